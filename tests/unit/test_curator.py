"""The curator's order of business, without Spark: refuse, charge, draw, seal, and use only what the seal holds."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from synthward.config.loader import bind
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.errors import ConfigError, IntegrityError
from synthward.fit.base import Task, share_out
from synthward.fit.moments import Moments
from synthward.measure import curator as module
from synthward.measure.curator import Curator, SealStore
from synthward.measure.layout import Layout
from synthward.privacy.accounting import Charge, total
from synthward.privacy.calibration import calibrated
from synthward.privacy.measurement import Asked, Round
from synthward.privacy.noise import NoiseCall, SecureNoise
from synthward.privacy.queries import Marginal, Population, Query, Scores, Selection, SquareSum, Sum
from synthward.privacy.unit import PrivacyUnit
from synthward.spec.request import Synthesizer
from trial import MemorySeals, Stopped, heard, stepping, stop_after

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
        "check_source": lambda _: heard_of.append("compared"),
        "step": stepping(heard_of.append),
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
    def changed(_: Exception | None) -> None:
        raise Stopped("changed")

    noise = Plus(1)
    with pytest.raises(Stopped):
        build(MemorySeals(), noise, check_source=changed).answer(asked())
    assert noise.labels == []


@pytest.mark.usefixtures("passes")
def test_a_pass_that_fails_over_a_changed_source_says_that_it_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> None:
        raise OSError("checksum")

    def changed(_: Exception | None) -> None:
        raise Stopped("changed")

    monkeypatch.setattr(module, "collect_vector", unreadable)
    with pytest.raises(Stopped):
        build(MemorySeals(), Plus(1), check_source=changed).answer(asked())
    with pytest.raises(OSError, match="checksum"):
        build(MemorySeals(), Plus(1)).answer(asked())


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
    items = asked().asked
    for others in (items[1:], (*items[:-2], items[-1], items[-2])):
        with pytest.raises(IntegrityError, match="seal has other queries"):
            build(seals, Plus(1)).answer(replace(asked(), asked=others))


def test_no_exact_number_is_logged_or_raised(passes: list[str]) -> None:
    with heard() as messages:
        build(MemorySeals(), Plus(5)).answer(asked())
        for step in ("aggregate", "draw", "seal"):
            with pytest.raises(Stopped) as stopped:
                build(MemorySeals(), Plus(5), step=stepping(stop_after(step))).answer(asked())
            messages.append(str(stopped.value))
    assert messages
    assert str(PLANTED) not in "\n".join(messages).replace(",", "")


GAUSS = replace(TASK, mechanism="gaussian", epsilon=Decimal(5), delta=Decimal("1e-6"))
PAIR = ("sex", "age")


def rounds(guessed: int = 0) -> tuple[Round, Round, Round]:
    """A marginal, then the score of a guess, then a choice and the chosen table, all under one charge."""
    guess = (np.full(4, guessed, dtype=np.int64), np.full(32, guessed, dtype=np.int64))
    cliques = (("sex",), PAIR)
    queries = (
        (Population(), Marginal(("sex",))),
        (Scores(cliques, guess),),
        (Selection(cliques, guess, (1, 2), (0, 0)), Marginal(PAIR)),
    )
    shares = share_out(GAUSS, {query: 1.0 for asked in queries for query in asked})
    steps = ("one", "two", "three")
    return tuple(  # type: ignore[return-value]
        Round(step, tuple(Asked(query, shares[query]) for query in asked))
        for step, asked in zip(steps, queries, strict=True)
    )


def charge_of(*asked: Round) -> Charge:
    return total(each.charge for each in asked)


class Choosing(Plus):
    """Adds a constant to numbers and always chooses the second candidate."""

    def draw(self, label: str, exact: np.ndarray, call: NoiseCall) -> np.ndarray:
        self.labels.append(label)
        return np.array([1]) if call.mechanism == "exponential" else exact + self.shift


def test_announced_cliques_are_counted_in_the_first_pass_and_serve_all_rounds(passes: list[str]) -> None:
    seals, asked_all = MemorySeals(), rounds()
    curator = build(seals, Choosing(5), charge=charge_of(*asked_all), cliques=(PAIR,))
    one, two, three = (curator.answer(each) for each in asked_all)
    assert passes == ["pass"]
    assert {int(value) for answer in one for value in answer.values} == {PLANTED + 5}
    # The marginals are flat, so a score is their number of cells times the planted count.
    assert two[0].values.tolist() == [4 * PLANTED + 5, 32 * PLANTED + 5]
    assert three[0].values.tolist() == [1]
    assert three[1].values.tolist() == [PLANTED + 5] * 32


def test_a_clique_that_was_not_announced_costs_another_pass(passes: list[str]) -> None:
    asked_all = rounds()
    curator = build(MemorySeals(), Choosing(5), charge=charge_of(*asked_all))
    for each in asked_all:
        curator.answer(each)
    assert passes == ["pass", "pass"]


def test_a_run_resumed_between_rounds_makes_one_pass_and_draws_no_sealed_step_again(passes: list[str]) -> None:
    seals, asked_all = MemorySeals(), rounds()
    first = build(seals, Choosing(5), charge=charge_of(*asked_all), cliques=(PAIR,))
    before = [first.answer(each) for each in asked_all[:2]]
    noise = Choosing(9)
    again = build(seals, noise, charge=charge_of(*asked_all), cliques=(PAIR,))
    after = [again.answer(each) for each in asked_all]
    assert passes == ["pass", "pass"]
    assert noise.labels == [item.query.label for item in asked_all[2].asked]
    for old, new in zip(before, after, strict=False):
        assert [m.values.tolist() for m in new] == [m.values.tolist() for m in old]


def test_nothing_exact_is_held_after_closing(passes: list[str]) -> None:
    asked_all = rounds()
    curator = build(MemorySeals(), Choosing(5), charge=charge_of(*asked_all), cliques=(PAIR,))
    curator.answer(asked_all[0])
    curator.close()
    held = [each for value in vars(curator).values() if isinstance(value, dict) for each in value.values()]
    assert not [each for each in held if isinstance(each, np.ndarray)]


def test_the_sum_of_all_rounds_is_held_against_the_charge(passes: list[str]) -> None:
    asked_all = rounds()
    curator = build(MemorySeals(), Choosing(5), charge=charge_of(*asked_all[:2]), cliques=(PAIR,))
    curator.answer(asked_all[0])
    curator.answer(asked_all[1])
    with pytest.raises(IntegrityError, match="step 'three' would spend more"):
        curator.answer(asked_all[2])


def test_rounds_that_were_sealed_by_an_earlier_driver_count(passes: list[str]) -> None:
    """A resumed run must not spend what its sealed rounds have spent already."""
    first, seals = rounds()[0], MemorySeals()
    build(seals, Choosing(5), charge=charge_of(first), cliques=(PAIR,)).answer(first)
    resumed = build(seals, Choosing(5), charge=charge_of(first), cliques=(PAIR,))
    resumed.answer(first)
    with pytest.raises(IntegrityError, match="step 'again' would spend more"):
        resumed.answer(replace(first, step="again"))
    assert passes == ["pass"]


def test_a_selection_with_added_noise_is_refused(passes: list[str]) -> None:
    asked_all = rounds()
    selection = asked_all[2].asked[0]
    wrong = replace(selection, call=replace(selection.call, mechanism="gaussian"))
    with pytest.raises(IntegrityError, match="cannot be answered by the mechanism gaussian"):
        build(MemorySeals(), Choosing(5), charge=charge_of(*asked_all)).answer(replace(asked_all[2], asked=(wrong,)))
    assert passes == []


def test_a_prediction_of_another_size_is_refused(passes: list[str]) -> None:
    short = Scores((("sex",),), (np.zeros(3, dtype=np.int64),))
    asked_one = Round("one", (Asked(short, share_out(GAUSS, {short: 1.0})[short]),))
    with pytest.raises(IntegrityError, match="predictions with other numbers of cells"):
        build(MemorySeals(), Choosing(5), charge=asked_one.charge).answer(asked_one)
    assert passes == []


@pytest.mark.parametrize("sealed", [0, 1, 3])
def test_a_run_resumed_anywhere_draws_the_rest_once(passes: list[str], sealed: int) -> None:
    seals, asked_all = MemorySeals(), rounds()
    first = build(seals, Choosing(5), charge=charge_of(*asked_all), cliques=(PAIR,))
    before = [first.answer(each) for each in asked_all[:sealed]]
    passes.clear()
    noise = Choosing(9)
    again = build(seals, noise, charge=charge_of(*asked_all), cliques=(PAIR,))
    after = [again.answer(each) for each in asked_all]
    assert noise.labels == [item.query.label for each in asked_all[sealed:] for item in each.asked]
    assert len(passes) == (0 if sealed == len(asked_all) else 1)
    for old, new in zip(before, after, strict=False):
        assert [m.values.tolist() for m in new] == [m.values.tolist() for m in old]


def test_a_driver_that_predicts_otherwise_goes_on_with_what_is_sealed(passes: list[str]) -> None:
    """Fits differ from one kind of processor to the next; the answer is not drawn again for that."""
    seals, theirs, ours = MemorySeals(), rounds(0), rounds(1 << 16)
    assert theirs[1].digest != ours[1].digest
    first = build(seals, Choosing(5), charge=charge_of(*theirs), cliques=(PAIR,))
    before = [first.answer(each) for each in theirs]
    noise = Choosing(9)
    again = build(seals, noise, charge=charge_of(*ours), cliques=(PAIR,))
    after = [again.answer(each) for each in ours]
    assert noise.labels == []
    assert [[m.values.tolist() for m in part] for part in after] == [[m.values.tolist() for m in p] for p in before]


def test_a_source_that_changed_leaves_nothing_to_answer_from(passes: list[str]) -> None:
    def changed(_: Exception | None) -> None:
        raise Stopped("changed")

    noise, asked_all = Choosing(5), rounds()
    curator = build(
        MemorySeals(), noise, charge=charge_of(*asked_all, *asked_all), cliques=(PAIR,), check_source=changed
    )
    for _ in range(2):
        with pytest.raises(Stopped):
            curator.answer(asked_all[0])
    assert passes == ["pass", "pass"]
    assert noise.labels == []


def test_an_exact_answer_cannot_be_changed_by_a_noise_source(passes: list[str]) -> None:
    class Writing(Plus):
        def draw(self, label: str, exact: np.ndarray, call: NoiseCall) -> np.ndarray:  # noqa: ARG002, RUF100 - protocol
            exact += 1
            return exact

    with pytest.raises(ValueError, match="read-only"):
        build(MemorySeals(), Writing(0), charge=charge_of(*rounds()), cliques=(PAIR,)).answer(rounds()[0])


def test_more_cells_than_can_be_held_are_refused_before_any_pass(
    passes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those announced at once, others when they are asked about."""
    monkeypatch.setattr("synthward.domain.cells.MAX_VECTOR_CELLS", 31)
    asked_all = rounds()
    with pytest.raises(ConfigError, match="have 32 cells"):
        build(MemorySeals(), Choosing(1), cliques=(PAIR,))
    curator = build(MemorySeals(), Choosing(1), charge=charge_of(*asked_all))
    curator.answer(asked_all[0])
    with pytest.raises(ConfigError, match="have 36 cells"):
        curator.answer(asked_all[1])
    assert passes == ["pass"]


def test_a_selection_is_within_a_pure_charge(passes: list[str]) -> None:
    guess = (np.zeros(4, dtype=np.int64),)
    query = Selection((("sex",),), guess, (1,), (0,))
    asked_one = Round("x", (Asked(query, calibrated(query, TASK.unit, DOMAIN, "laplace", 10**9)),))
    assert build(MemorySeals(), Choosing(1), charge=Charge.pure(1)).answer(asked_one)
    with pytest.raises(IntegrityError, match="would spend more"):
        build(MemorySeals(), Choosing(1), charge=Charge.pure(Decimal("0.9"))).answer(asked_one)


def test_what_is_sealed_counts_against_the_charge_of_a_run_that_goes_on(passes: list[str]) -> None:
    """A driver that comes later reads a sealed round, and has only the rest of the charge for others."""
    seals, asked_all = MemorySeals(), rounds()
    build(seals, Choosing(5), charge=charge_of(*asked_all[:2])).answer(asked_all[0])
    passes.clear()
    noise = Choosing(9)
    again = build(seals, noise, charge=charge_of(*asked_all[:2]))
    again.answer(asked_all[0])
    fresh = replace(asked_all[0], step="fresh")
    # It would fit if what is sealed had cost nothing.
    assert charge_of(*asked_all[:2]).covers(fresh.charge)
    assert not charge_of(*asked_all[:2]).covers(charge_of(asked_all[0], fresh))
    with pytest.raises(IntegrityError, match="step 'fresh' would spend more than the run was charged"):
        again.answer(fresh)
    assert passes == []
    again.answer(asked_all[1])
    assert noise.labels == [item.query.label for item in asked_all[1].asked]


@pytest.mark.parametrize("place", [0, 2])
def test_the_exact_curve_admits_only_what_it_was_computed_for(passes: list[str], place: int) -> None:
    """No selection, and no answer with more cells than announced."""
    asked_all = rounds()
    largest = 3 if place == 0 else 32
    curator = build(MemorySeals(), Choosing(5), charge=charge_of(*asked_all), cliques=(PAIR,), curve_cells=largest)
    with pytest.raises(IntegrityError, match="does not meet the conditions of the exact Gaussian curve"):
        curator.answer(asked_all[place])
    assert passes == []


@pytest.mark.parametrize("query", [Sum("age"), SquareSum("age")])
def test_the_exact_curve_admits_no_sum(passes: list[str], query: Query) -> None:
    """A sum may move by less than S, so that its noise may be too narrow for the bound on discreteness (PROOFS 4.8)."""
    asked_one = Round("one", (Asked(query, calibrated(query, TASK.unit, DOMAIN, "gaussian", 10**6)),))
    with pytest.raises(IntegrityError, match="does not meet the conditions of the exact Gaussian curve"):
        build(MemorySeals(), Plus(1), charge=asked_one.charge, curve_cells=24).answer(asked_one)
    assert passes == []
    assert build(MemorySeals(), Plus(1), charge=asked_one.charge).answer(asked_one)


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
