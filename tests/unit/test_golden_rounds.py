"""What stands in seals of runs that were begun by earlier versions: digests, descriptions and payloads do not change.

A run that goes on under another version asks the same questions and compares them with its seals. If a test here fails,
either the change is not wanted, or every run that is under way has to be finished by the version that began it.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest

from synthward.config.canonical import canonical_json
from synthward.config.loader import bind
from synthward.domain.spec import Categorical, Domain
from synthward.measure import curator as curator_module
from synthward.measure import texts as texts_module
from synthward.measure.curator import Curator
from synthward.privacy.discovery import AskedCategories
from synthward.privacy.measurement import Asked, Round
from synthward.privacy.noise import NoiseCall
from synthward.privacy.queries import (
    Categories,
    Marginal,
    Population,
    Presence,
    Query,
    Scores,
    Selection,
    SquareSum,
    Sum,
)
from synthward.privacy.sensitivity import WEIGHT_UNIT, bound
from synthward.privacy.thresholds import count_bound, threshold_for
from synthward.privacy.unit import PrivacyUnit
from trial import MemorySeals, NoNoise, stepping

UNIT = PrivacyUnit("patient", 2)
DOMAIN = bind(
    "version: 1\nattributes:\n  sex: {type: categorical, values: [F, M]}\n"
    # A column that clips has two cells more than in versions before model format 4.
    "  age: {type: numeric, integer: true, bounds: [0, 100], bins: 4, outside: missing}\n",
    Domain,
    None,
)
GUESS = (np.arange(4, dtype=np.int64), np.arange(24, dtype=np.int64))
CLIQUES = (("sex",), ("sex", "age"))

QUERIES: dict[str, tuple[Query, str]] = {
    "population": (Population(), "eadc09c5139badc3"),
    "marginal": (Marginal(("sex", "age")), "c8de53795cfb6321"),
    "presence": (Presence("age"), "51d9f9897bee0200"),
    "sum": (Sum("age"), "23f98f6302f1cd5e"),
    "square_sum": (SquareSum("age"), "419d5f6804197c53"),
    "scores": (Scores(CLIQUES, GUESS), "2bceaae67e79ebb4"),
    "selection": (Selection(CLIQUES, GUESS, (1, 2), (0, -5)), "637a1a8244234b32"),
}


def asked_of(query: Query, mechanism: Any) -> Asked:
    return Asked(query, NoiseCall(mechanism, 2.0**20, bound(query, UNIT, DOMAIN, mechanism)))


def round_of(mechanism: str) -> Round:
    """Every kind of question by one mechanism, the choice by its own."""
    queries = [query for query, _ in QUERIES.values()]
    chosen = ["exponential" if isinstance(query, Selection) else mechanism for query in queries]
    return Round("golden", tuple(asked_of(query, each) for query, each in zip(queries, chosen, strict=True)))


def categories() -> Round:
    call = NoiseCall("gaussian", 3.0 * 2**18, count_bound("gaussian", 3, WEIGHT_UNIT))
    question = Categories("ward", "[A-Z]{1,5}", ("ICU",), 2, 3)
    threshold = threshold_for(call, 3, 10**8, WEIGHT_UNIT)
    return Round("golden", (AskedCategories(question, call, threshold.above),))


def short(value: Any) -> str:
    """The first digits of a digest of anything."""
    text = value if isinstance(value, bytes) else canonical_json(value).encode()
    return hashlib.sha256(text).hexdigest()[:16]


@pytest.mark.parametrize(("mechanism", "digest"), [("laplace", "fc78319041124827"), ("gaussian", "b0cb2ab2c9c6e110")])
def test_a_round_has_the_digest_that_it_always_had(mechanism: str, digest: str) -> None:
    assert round_of(mechanism).digest[:16] == digest


def test_a_round_of_categories_has_the_digest_that_it_always_had() -> None:
    assert categories().asked[0].to_json()["above"] == 5_201_957
    assert categories().digest[:16] == "286c3e99b8492287"


@pytest.mark.parametrize(("kind", "description"), [(kind, found) for kind, (_, found) in QUERIES.items()])
def test_a_question_is_described_as_it_always_was(kind: str, description: str) -> None:
    mechanism = "exponential" if kind == "selection" else "gaussian"
    found = asked_of(QUERIES[kind][0], mechanism).to_json()
    assert found["kind"] == kind
    assert short(found) == description


def test_a_seal_of_the_curator_holds_what_it_always_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curator_module, "exact_vector_frame", lambda *_: None)
    monkeypatch.setattr(curator_module, "collect_vector", lambda _, cells: np.arange(cells, dtype=np.int64) * 7 - 3)
    seals, asked = MemorySeals(), round_of("gaussian")
    Curator(
        rows=lambda: None,  # type: ignore[arg-type, return-value]
        domain=DOMAIN,
        unit=UNIT,
        charge=asked.charge,
        seals=seals,
        noise=NoNoise(),
        tasks=2,
        check_source=lambda _: None,
        step=stepping(),
    ).answer(asked)
    sealed = seals.find("golden")
    assert sealed is not None
    body, payload = sealed
    assert sorted(body) == ["asked", "cells", "digest"]
    assert body["cells"] == [1, 24, 1, 1, 1, 2, 1]
    assert (short(body), short(payload)) == ("5bd96036c80008e8", "3f3e5d26412257c9")


def test_a_seal_of_categories_holds_what_it_always_held(monkeypatch: pytest.MonkeyPatch) -> None:
    class Frame:
        def toLocalIterator(self) -> Any:
            """Rows of the kernel."""
            return iter([{"place": 0, "text": text, "patients": 900} for text in ("B", "A", "C")])

    monkeypatch.setattr(texts_module, "kept_counts", lambda *_: Frame())
    seals, asked = MemorySeals(), categories()
    Curator(
        rows=lambda: None,  # type: ignore[arg-type, return-value]
        domain=Domain(version=1, attributes={"ward": Categorical(values=("ICU",))}),
        unit=UNIT,
        charge=asked.charge,
        seals=seals,
        noise=NoNoise(),
        tasks=2,
        check_source=lambda _: None,
        step=stepping(),
    ).answer(asked)
    sealed = seals.find("golden")
    assert sealed is not None
    body, payload = sealed
    assert sorted(body) == ["asked", "digest"]
    assert short(body) == "bc1b141fa29fb5f6"
    assert json.loads(payload) == [[["A", 900 * WEIGHT_UNIT], ["B", 900 * WEIGHT_UNIT]]]
