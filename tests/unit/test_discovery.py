"""Rounds about texts without Spark: refuse, draw, threshold, seal, and use only what the seal holds."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from synthward.domain.spec import Categorical, Domain
from synthward.errors import IntegrityError
from synthward.measure import texts as module
from synthward.measure.curator import Curator
from synthward.privacy.accounting import ATTO, NANO, Charge, ceil_units
from synthward.privacy.discovery import AskedCategories, pack, payload_size, unpack
from synthward.privacy.measurement import Asked, Round
from synthward.privacy.noise import NoiseCall, gaussian_for, laplace_for
from synthward.privacy.queries import Categories, Population
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.thresholds import Threshold, count_bound, threshold_for
from synthward.privacy.unit import PrivacyUnit
from trial import MemorySeals, NoNoise, Stopped, heard, stepping, stop_after

K0, DELTA = 3, 10**8


def asked(at_most: int = 10, column: str = "ward", most: int = K0, pattern: str = "[A-Za-z ]{1,20}") -> Round:
    call = gaussian_for(10**7, count_bound("gaussian", most, WEIGHT_UNIT))
    threshold = threshold_for(call, most, DELTA, WEIGHT_UNIT)
    query = Categories(column, pattern, ("Known",), at_most, most)
    return Round("learn_categories", (AskedCategories(query, call, threshold.above),))


def questions(*rounds: Round) -> list[AskedCategories]:
    """The queries of rounds about texts."""
    return [item for each in rounds for item in each.asked if isinstance(item, AskedCategories)]


LIMIT = int(questions(asked())[0].patients)
"""Patients that the threshold of `asked` lies above."""

EXACT = {"Rare Disease": 1, "Common": LIMIT + 1, "Bound": LIMIT, "Huge": 7 * LIMIT, "Large": 2 * LIMIT}


class Plus:
    """Noise that adds a constant number of patients and remembers its calls."""

    def __init__(self, patients: int = 0) -> None:
        self.patients = patients
        self.calls: list[tuple[str, NoiseCall, list[int]]] = []

    def draw(self, label: str, exact: np.ndarray, call: NoiseCall) -> np.ndarray:
        self.calls.append((label, call, exact.tolist()))
        return exact + self.patients * WEIGHT_UNIT


class Frame:
    """What the kernel returns, from a dictionary."""

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts

    def toLocalIterator(self) -> Any:
        """Rows one by one."""
        return ({"place": 0, "text": text, "patients": count} for text, count in self._counts.items())


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Replaces the pass; says with which columns and secret it was made."""
    made: list[Any] = []

    def kept_counts(_: Any, columns: Any, secret: bytes) -> Frame:
        made.append((columns, secret))
        return Frame(EXACT)

    monkeypatch.setattr(module, "kept_counts", kept_counts)
    return made


def build(
    seals: MemorySeals, noise: Any, charge: Charge | None = None, column: str = "ward", **changes: Any
) -> Curator:
    given = {"check_source": lambda _: None, "step": stepping(), "curve_cells": None, "tasks": 2, **changes}
    unit = given.pop("unit", PrivacyUnit("patient", 2))
    paid = asked().charge if charge is None else charge
    domain = Domain(version=1, attributes={column: Categorical(values=("Known",))})
    return Curator(lambda: None, domain, unit, paid, seals, noise, **given)  # type: ignore[arg-type, return-value]


def texts_of(answers: Any) -> list[dict[str, int]]:
    """Released texts with their noisy counts."""
    return [found.released for found in answers]


def test_what_is_strictly_above_the_threshold_comes_out(passes: list[Any]) -> None:
    noise = Plus()
    [found] = build(MemorySeals(), noise).answer(asked())
    assert list(found.released) == ["Common", "Huge", "Large"]
    assert found.released["Huge"] == 7 * LIMIT * WEIGHT_UNIT
    [(label, call, exact)] = noise.calls
    assert label == "categories(ward)"
    assert call == asked().asked[0].call
    # Every text gets noise, whatever its count, in an order that says nothing.
    assert exact == [EXACT[text] * WEIGHT_UNIT for text in sorted(EXACT)]
    [(columns, secret)] = passes
    assert [(c.pattern, c.listed, c.most) for c in columns] == [("[A-Za-z ]{1,20}", ("Known",), K0)]
    assert len(secret) == 32


def test_every_pass_has_a_secret_of_its_own(passes: list[Any]) -> None:
    for _ in range(2):
        build(MemorySeals(), NoNoise()).answer(asked())
    assert passes[0][1] != passes[1][1]


def test_of_too_many_the_largest_come_out(passes: list[Any]) -> None:
    [found] = build(MemorySeals(), NoNoise()).answer(asked(at_most=2))
    assert list(found.released) == ["Huge", "Large"]


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("at_most", [1, 2, 10])
def test_chunks_do_not_matter(passes: list[Any], monkeypatch: pytest.MonkeyPatch, chunk: int, at_most: int) -> None:
    expected = texts_of(build(MemorySeals(), NoNoise()).answer(asked(at_most)))
    monkeypatch.setattr(module, "CHUNK", chunk)
    noise = Plus()
    assert texts_of(build(MemorySeals(), noise).answer(asked(at_most))) == expected
    assert sum(len(exact) for _, _, exact in noise.calls) == len(EXACT)


def test_the_seal_holds_released_texts_and_nothing_else(passes: list[Any]) -> None:
    seals = MemorySeals()
    with heard() as messages:
        build(seals, Plus(3)).answer(asked())
    sealed = seals.find("learn_categories")
    assert sealed is not None
    assert [text for text, _ in json.loads(sealed[1])[0]] == ["Bound", "Common", "Huge", "Large"]
    everything = json.dumps(sealed[0]) + sealed[1].decode() + " ".join(messages)
    assert "Rare" not in everything
    told = json.dumps(sealed[0]) + " ".join(messages)
    assert not [text for text in EXACT if text in told]
    assert str(len(EXACT)) not in " ".join(messages).replace("learn_categories", "").split()


@pytest.mark.parametrize("at_most", [1, 3, 50])
def test_the_size_of_a_seal_does_not_depend_on_the_draw(passes: list[Any], at_most: int) -> None:
    """Nothing comes out, something, or as much as may: memory and time of sealing must not tell."""
    sizes, numbers = set(), set()
    for patients in (-9 * LIMIT, 0, 3, 1000 * LIMIT):
        seals = MemorySeals()
        [found] = build(seals, Plus(patients)).answer(asked(at_most))
        sealed = seals.find("learn_categories")
        assert sealed is not None
        sizes.add(len(sealed[1]))
        numbers.add(len(found.released))
    assert sizes == {payload_size(questions(asked(at_most)))}
    assert numbers >= {0, min(at_most, len(EXACT))}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"[\"\\]{1,40}", '"\\' * 20),
        ("[A-Z]{3}", "ABC"),
        ("[Ωé]{1,9}", "Ω" * 9),
        ("[\U0001d538-]{5}", "\U0001d538" * 5),
    ],
)
@pytest.mark.parametrize("at_most", [1, 2, 200])
def test_the_longest_answers_have_room_in_a_seal(pattern: str, text: str, at_most: int) -> None:
    """As many of the longest texts as may come out, with the widest counts there are; and they are read back."""
    [first] = questions(asked(at_most, pattern=pattern))
    counts, items = [{text: -(2**63)}] * 2, (first, first)
    one = len(json.dumps([[text, -(2**63)]]))
    assert len(pack(items, counts)) == payload_size(items)
    # The pair alone, times as many as may come out, and what stands between them.
    assert 2 * at_most * (one - 2 + len(", ")) + len("[[], []]") <= payload_size(items)
    assert [found.released for found in unpack(items, pack(items, counts))] == counts


def test_a_seal_of_an_earlier_version_is_read() -> None:
    """It was not padded."""
    [found] = unpack(questions(asked()), b'[[["Cardiology", 65536000]]]')
    assert found.released == {"Cardiology": 65536000}


def test_a_sealed_answer_is_never_drawn_again(passes: list[Any]) -> None:
    seals = MemorySeals()
    first = build(seals, Plus(3)).answer(asked())
    noise = Plus(9)
    assert texts_of(build(seals, noise).answer(asked())) == texts_of(first)
    assert noise.calls == []
    assert len(passes) == 1


def test_a_draw_that_was_not_sealed_is_forgotten(passes: list[Any]) -> None:
    seals = MemorySeals()
    with pytest.raises(Stopped):
        build(seals, Plus(3), step=stepping(stop_after("draw"))).answer(asked())
    assert seals.find("learn_categories") is None
    [found] = build(seals, Plus(0)).answer(asked())
    assert "Bound" not in found.released


def test_a_source_that_changed_is_not_sealed(passes: list[Any]) -> None:
    def changed(_: Exception | None) -> None:
        raise Stopped("changed")

    seals = MemorySeals()
    with pytest.raises(Stopped):
        build(seals, Plus(), check_source=changed).answer(asked())
    assert seals.find("learn_categories") is None


@pytest.mark.usefixtures("passes")
def test_a_pass_that_fails_over_a_changed_source_says_that_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> None:
        raise OSError("checksum")

    def changed(_: Exception | None) -> None:
        raise Stopped("changed")

    monkeypatch.setattr(module, "kept_counts", unreadable)
    with pytest.raises(Stopped):
        build(MemorySeals(), Plus(), check_source=changed).answer(asked())
    with pytest.raises(OSError, match="checksum"):
        build(MemorySeals(), Plus()).answer(asked())


def test_other_questions_do_not_take_the_seal(passes: list[Any]) -> None:
    seals = MemorySeals()
    build(seals, NoNoise()).answer(asked())
    for other, column in ((asked(at_most=9), "ward"), (asked(column="room"), "room")):
        with pytest.raises(IntegrityError, match="seal has other queries"):
            build(seals, NoNoise(), column=column).answer(other)


def test_a_round_is_held_against_rho_and_delta(passes: list[Any]) -> None:
    cost = asked().charge
    assert cost.nano_epsilon is None
    assert 0 < cost.atto_delta <= DELTA
    for charge in (replace(cost, nano_rho=cost.nano_rho - 1), replace(cost, atto_delta=cost.atto_delta - 1)):
        with pytest.raises(IntegrityError, match="would spend more"):
            build(MemorySeals(), NoNoise(), charge).answer(asked())
    assert passes == []


def test_counts_of_other_units_are_refused(passes: list[Any]) -> None:
    [item] = questions(asked())
    wrong = Round("learn_categories", (replace(item, call=gaussian_for(10**7, 2)),))
    with pytest.raises(IntegrityError, match="has sensitivity"):
        build(MemorySeals(), NoNoise()).answer(wrong)
    with pytest.raises(IntegrityError, match="has sensitivity"):
        build(MemorySeals(), NoNoise(), unit=PrivacyUnit("row", 1)).answer(asked())
    rows = asked(most=1)
    assert build(MemorySeals(), NoNoise(), rows.charge, unit=PrivacyUnit("row", 1)).answer(rows)


def test_the_curve_admits_only_what_it_was_computed_for(passes: list[Any]) -> None:
    assert build(MemorySeals(), NoNoise(), curve_cells=K0).answer(asked())
    with pytest.raises(IntegrityError, match="exact Gaussian curve"):
        build(MemorySeals(), NoNoise(), curve_cells=K0 - 1).answer(asked())
    [item] = questions(asked())
    call = laplace_for(10**9, count_bound("laplace", K0, WEIGHT_UNIT))
    pure = Round("x", (replace(item, call=call, above=threshold_for(call, K0, DELTA, WEIGHT_UNIT).above),))
    with pytest.raises(IntegrityError, match="exact Gaussian curve"):
        build(MemorySeals(), NoNoise(), pure.charge, curve_cells=K0).answer(pure)


def test_the_charge_of_a_round_is_that_of_its_parts() -> None:
    both = Round("x", asked().asked + asked(column="room").asked)
    assert both.charge == asked().charge + asked().charge
    [item] = questions(asked())
    assert item.threshold.charge.nano_rho == item.call.charge.nano_rho
    assert item.threshold.charge.atto_delta == ceil_units(item.threshold.delta, ATTO)
    assert item.threshold.charge.nano_rho <= NANO // 100


def test_in_units_of_s_the_threshold_is_about_that_of_whole_patients() -> None:
    """The same rho and delta, counted in patients: the finer unit has the finer threshold and bound."""
    [item] = questions(asked())
    coarse = threshold_for(gaussian_for(10**7, count_bound("gaussian", K0, 1)), K0, DELTA, 1)
    ratio = coarse.call.sensitivity / (item.call.sensitivity / WEIGHT_UNIT)
    assert ratio == pytest.approx(2 / 3**0.5, rel=1e-4)
    assert (item.patients - 1) * ratio == pytest.approx(coarse.above - 1, abs=1)
    lower = replace(item, above=item.above - 1).threshold
    assert ceil_units(lower.delta, ATTO) > DELTA
    with pytest.raises(ValueError, match=f"at least {WEIGHT_UNIT}"):
        Threshold(item.call, K0, WEIGHT_UNIT - 1, WEIGHT_UNIT)


def test_a_round_of_texts_is_about_the_columns_of_its_table(passes: list[Any]) -> None:
    """Columns are counted by their place, so that another order would answer a question with another column."""
    both = Round("x", asked().asked + asked(column="room").asked)
    plain = Round("x", (*asked().asked, Asked(Population(), gaussian_for(10**7, WEIGHT_UNIT))))
    for wrong in (both, asked(column="room"), plain):
        with pytest.raises(IntegrityError, match="other columns than its table"):
            build(MemorySeals(), NoNoise(), wrong.charge).answer(wrong)
    assert passes == []
