"""The curator's order of business, without Spark: refuse, charge, draw, seal, and use only what the seal holds."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from store_doubles import MemoryLinks
from synthward.config.loader import bind
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.errors import IntegrityError
from synthward.fit.base import Task
from synthward.fit.moments import Moments
from synthward.governance.request import Synthesizer
from synthward.measure import curator as module
from synthward.measure.curator import Curator, SealStore
from synthward.measure.layout import Layout
from synthward.pipeline.journal import Journal, JournalSeals
from synthward.privacy.measurement import Round
from synthward.privacy.noise import NoiseCall, SecureNoise
from synthward.privacy.unit import PrivacyUnit
from synthward.store.chain import Chain
from synthward.store.delta import TableRef
from trial import Clock, MemorySeals, Stopped, heard, stop_after

DOMAIN = bind(
    "version: 1\nattributes:\n  sex: {type: categorical, values: [F, M]}\n"
    "  age: {type: numeric, integer: true, bounds: [0, 100], bins: 4}\n",
    Domain,
    None,
)
TASK = Task(DOMAIN, PrivacyUnit("patient", 2), "laplace", Decimal(1), Decimal(0), 100, Synthesizer())
PLANTED = 1237
"""What every exact answer is."""


class Plus:
    """Noise that adds a constant and remembers its calls."""

    def __init__(self, shift: int) -> None:
        self.shift = shift
        self.labels: list[str] = []

    def draw(self, label: str, exact: np.ndarray, call: NoiseCall) -> np.ndarray:  # noqa: ARG002, RUF100 - protocol
        self.labels.append(label)
        return exact + self.shift


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the pass over the source; says when it was made."""
    made: list[str] = []
    monkeypatch.setattr(module, "exact_vector_frame", lambda *rest: made.append("pass"))  # noqa: ARG005, RUF100
    monkeypatch.setattr(module, "collect_vector", lambda _, cells: np.full(cells, PLANTED, dtype=np.int64))
    return made


def asked() -> Round:
    return next(Moments().rounds(TASK))


def build(seals: SealStore, noise: Plus, events: list[str] | None = None, **changes: Any) -> Curator:
    heard_of = [] if events is None else events
    given: dict[str, Any] = {
        "rows": lambda: None,
        "domain": DOMAIN,
        "unit": TASK.unit,
        "charge": Moments().charge(TASK),
        "seals": seals,
        "noise": noise,
        "tasks": 2,
        "check_source": lambda: heard_of.append("compared"),
        "on_step": heard_of.append,
    }
    return Curator(**{**given, **changes})


def test_every_answer_is_drawn_once_and_sealed(passes: list[str]) -> None:
    noise, events = Plus(5), []
    answers = build(MemorySeals(), noise, events).answer(asked())
    assert [item.query.label for item in asked().asked] == noise.labels
    assert {int(value) for answer in answers for value in answer.values} == {PLANTED + 5}
    assert passes == ["pass"]
    assert events == ["compared", "aggregate", "draw", "seal"]


def test_a_sealed_step_is_neither_measured_nor_drawn_again(passes: list[str]) -> None:
    seals = MemorySeals()
    first = build(seals, Plus(5)).answer(asked())
    noise = Plus(7)
    again = build(seals, noise).answer(asked())
    assert noise.labels == []
    assert passes == ["pass"]
    assert [a.values.tolist() for a in again] == [a.values.tolist() for a in first]


def test_what_is_used_is_what_the_seal_holds_not_what_was_drawn(passes: list[str]) -> None:
    """Another driver has sealed first: our draw is thrown away."""
    theirs = MemorySeals()
    build(theirs, Plus(5)).answer(asked())

    class Overtaken:
        def find(self, step: str) -> None:  # noqa: ARG002, RUF100 - the protocol's
            return None

        def put(self, step: str, body: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
            return theirs.put(step, body, payload)

    answers = build(Overtaken(), Plus(9)).answer(asked())
    assert {int(value) for answer in answers for value in answer.values} == {PLANTED + 5}


def test_a_source_that_changed_is_noticed_before_anything_is_drawn(passes: list[str]) -> None:
    def changed() -> None:
        raise Stopped("changed")

    noise = Plus(1)
    with pytest.raises(Stopped):
        build(MemorySeals(), noise, check_source=changed).answer(asked())
    assert noise.labels == []


@pytest.mark.parametrize("more", [-1, 1])
def test_noise_for_another_sensitivity_is_refused_before_the_pass(passes: list[str], more: int) -> None:
    population, marginal, *others = asked().asked
    needed = marginal.call.sensitivity
    wrong = replace(marginal, call=replace(marginal.call, sensitivity=needed + more))
    with pytest.raises(IntegrityError, match=f"has sensitivity {needed}, but its noise was calibrated for"):
        build(MemorySeals(), Plus(1)).answer(replace(asked(), asked=(population, wrong, *others)))
    assert passes == []


def test_rounds_beyond_the_charge_are_refused_before_the_pass(passes: list[str]) -> None:
    curator = build(MemorySeals(), Plus(1))
    curator.answer(asked())
    with pytest.raises(IntegrityError, match="step 'more' would spend more than the run was charged"):
        curator.answer(replace(asked(), step="more"))
    assert passes == ["pass"]


def test_another_round_under_a_sealed_name_is_refused(passes: list[str]) -> None:
    seals = MemorySeals()
    build(seals, Plus(1)).answer(asked())
    fewer = replace(asked(), asked=asked().asked[1:])
    with pytest.raises(IntegrityError, match="is sealed with other queries"):
        build(seals, Plus(1)).answer(fewer)


def test_no_exact_number_is_logged_or_raised(passes: list[str]) -> None:
    with heard() as messages:
        build(MemorySeals(), Plus(5)).answer(asked())
        for step in ("aggregate", "draw", "seal"):
            with pytest.raises(Stopped) as stopped:
                build(MemorySeals(), Plus(5), on_step=stop_after(step)).answer(asked())
            messages.append(str(stopped.value))
    assert messages
    assert str(PLANTED) not in "\n".join(messages).replace(",", "")


def test_seals_are_links_of_the_journal_and_the_first_one_wins() -> None:
    chain = Chain(None, TableRef(parts=("journal",)), store=MemoryLinks(), clock=Clock())
    journal = Journal(chain, "run")
    receipt = {"seq": 1, "head": "h", "genesis": "g"}
    ours, theirs = (JournalSeals(journal, chain, receipt) for _ in range(2))
    assert ours.find("moments") is None
    stored = theirs.put("moments", {"digest": "d"}, b"theirs")
    assert ours.put("moments", {"digest": "d"}, b"ours") == stored
    assert stored[1] == b"theirs"
    assert stored[0]["ledger"] == receipt
    assert len(journal.links()) == 1
    assert ours.put("other", {"digest": "e"}, b"ours")[1] == b"ours"


def test_layout_covers_every_query_once() -> None:
    queries = [item.query for item in asked().asked]
    layout = Layout.of(queries, codebooks(DOMAIN))
    parts = [layout.part(query) for query in queries]
    places = sorted(place for part in parts for place in range(part.start, part.stop))
    assert places == list(range(layout.cells))


def test_noise_of_production_is_fresh_at_every_draw() -> None:
    exact, call = np.zeros(64, dtype=np.int64), NoiseCall("laplace", 1000.0, 1)
    one, two = (SecureNoise().draw("x", exact, call) for _ in range(2))
    assert one.tolist() != two.tolist()
    assert len(set(one.tolist())) > 32
