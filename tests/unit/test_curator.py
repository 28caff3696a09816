"""The curator's order of business, without Spark: refuse, charge, draw, seal, and use only what the seal holds."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from store_doubles import MemoryLinks
from synthward.config.loader import bind
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.errors import ConfigError, IntegrityError
from synthward.fit.base import Task
from synthward.fit.moments import Moments
from synthward.governance.request import Synthesizer
from synthward.measure import curator as module
from synthward.measure.curator import Curator, SealStore
from synthward.measure.layout import Layout
from synthward.pipeline.journal import Journal, JournalSeals
from synthward.privacy.accounting import Charge, total
from synthward.privacy.calibration import calibrated
from synthward.privacy.gaussian import rounding_gap
from synthward.privacy.measurement import Asked, Round
from synthward.privacy.noise import NoiseCall, SecureNoise
from synthward.privacy.queries import Base, Marginal, Population, Query, Scores, Selection
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
        self.exact: list[list[int]] = []

    def draw(self, label: str, exact: np.ndarray, call: NoiseCall) -> np.ndarray:  # noqa: ARG002, RUF100 - protocol
        self.labels.append(label)
        self.exact.append(exact.tolist())
        return np.array([exact.argmax()]) if call.mechanism == "exponential" else exact + self.shift


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


CLIQUES = (("sex",), ("age",), ("sex", "age"))
CELLS = {("sex",): 4, ("age",): 6, ("sex", "age"): 24}
ROUNDED = replace(TASK, mechanism="gaussian", epsilon=Decimal(1), delta=Decimal("1e-9"))


def predicted(value: int, cliques: tuple[tuple[str, ...], ...] = CLIQUES) -> tuple[np.ndarray, ...]:
    return tuple(np.full(CELLS[clique], value, dtype=np.int64) for clique in cliques)


def round_of(step: str, *queries: Query) -> Round:
    calls = [calibrated(query, ROUNDED.unit, DOMAIN, "gaussian", 10**6) for query in queries]
    return Round(step, tuple(Asked(query, call) for query, call in zip(queries, calls, strict=True)))


COLUMNS = round_of("columns", Population(), Marginal(("sex",)))
SCORED = round_of("scores", Scores(CLIQUES, predicted(PLANTED - 2)))
CHOSEN = round_of("choice", Selection(CLIQUES, predicted(PLANTED + 3), (9, 1, 1)), Marginal(("sex", "age")))
ROUNDS = (COLUMNS, SCORED, CHOSEN)


def adaptive(seals: SealStore, noise: Plus, events: list[str] | None = None, **changes: Any) -> Curator:
    """A curator for `ROUNDS`, with all cliques announced."""
    given = {"charge": total(item.charge for item in ROUNDS), "cliques": CLIQUES, **changes}
    return build(seals, noise, events, **given)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[list[Base]]:
    """Replaces the pass over the source; says what each one was to measure."""
    made: list[list[Base]] = []

    def frame(rows: object, books: object, layout: Layout, *rest: object) -> None:  # noqa: ARG001, RUF100
        made.append(list(layout._parts))

    monkeypatch.setattr(module, "exact_vector_frame", frame)
    monkeypatch.setattr(module, "collect_vector", lambda _, cells: np.full(cells, PLANTED, dtype=np.int64))
    return made


def test_all_rounds_of_announced_cliques_take_one_pass(counted: list[list[Base]]) -> None:
    noise, events = Plus(5), []
    curator = adaptive(MemorySeals(), noise, events)
    first, second, third = (curator.answer(item) for item in ROUNDS)
    [measured] = counted
    assert set(measured) == {Population(), *(Marginal(clique) for clique in CLIQUES)}
    assert events == ["compared", "aggregate", "draw", "seal", "draw", "seal", "draw", "seal"]
    assert {int(value) for answer in first for value in answer.values} == {PLANTED + 5}
    # Each cell is off by 2, by 3 in the selection, whose first clique counts nine times.
    assert second[0].values.tolist() == [2 * CELLS[clique] + 5 for clique in CLIQUES]
    assert noise.exact[3] == [9 * 3 * 4, 3 * 6, 3 * 24]
    assert third[0].values.tolist() == [0]
    assert {int(value) for value in third[1].values} == {PLANTED + 5}


def test_a_clique_that_was_not_announced_costs_another_pass(counted: list[list[Base]]) -> None:
    curator = adaptive(MemorySeals(), Plus(5), cliques=())
    for item in ROUNDS:
        curator.answer(item)
    assert [set(measured) for measured in counted] == [
        {Population(), Marginal(("sex",))},
        {Marginal(("age",)), Marginal(("sex", "age"))},
    ]


@pytest.mark.parametrize("sealed", [0, 1, 2, 3])
def test_a_run_resumed_between_rounds_makes_one_pass_for_the_rest(counted: list[list[Base]], sealed: int) -> None:
    seals = MemorySeals()
    before = adaptive(seals, Plus(5))
    kept = [before.answer(item) for item in ROUNDS[:sealed]]
    counted.clear()
    noise = Plus(7)
    after = adaptive(seals, noise)
    answers = [after.answer(item) for item in ROUNDS]
    assert noise.labels == [item.query.label for done in ROUNDS[sealed:] for item in done.asked]
    assert len(counted) == (1 if sealed < len(ROUNDS) else 0)
    for ours, theirs in zip(answers, kept, strict=False):
        assert [a.values.tolist() for a in ours] == [a.values.tolist() for a in theirs]


def test_nothing_exact_is_kept_after_closing(counted: list[list[Base]]) -> None:
    curator = adaptive(MemorySeals(), Plus(5))
    curator.answer(COLUMNS)
    assert curator._exact
    curator.close()
    assert not curator._exact


def test_a_source_that_changed_leaves_nothing_to_answer_from(counted: list[list[Base]]) -> None:
    def changed() -> None:
        raise Stopped("changed")

    curator = adaptive(MemorySeals(), Plus(5), check_source=changed)
    for _ in range(2):
        with pytest.raises(Stopped):
            curator.answer(COLUMNS)
    assert not curator._exact


def test_an_exact_answer_cannot_be_changed_by_a_noise_source(counted: list[list[Base]]) -> None:
    class Writing(Plus):
        def draw(self, label: str, exact: np.ndarray, call: NoiseCall) -> np.ndarray:  # noqa: ARG002, RUF100 - protocol
            exact += 1
            return exact

    with pytest.raises(ValueError, match="read-only"):
        adaptive(MemorySeals(), Writing(0)).answer(COLUMNS)


def test_more_cells_than_can_be_held_are_refused_before_anything(
    counted: list[list[Base]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthward.measure.answers.MAX_CELLS", 33)
    with pytest.raises(ConfigError, match=r"3 marginals .* 34 cells .* at most 33 .* \(sex, age\), has 24"):
        adaptive(MemorySeals(), Plus(1))
    curator = adaptive(MemorySeals(), Plus(1), cliques=CLIQUES[:2])
    curator.answer(COLUMNS)
    with pytest.raises(ConfigError, match="34 cells"):
        curator.answer(SCORED)
    assert len(counted) == 1


@pytest.mark.parametrize(
    ("asked_round", "says"),
    [
        (round_of("x", Scores((("age",),), predicted(1, (("sex",),)))), "other numbers of cells"),
        (
            Round("x", (Asked(Selection(CLIQUES, predicted(0), (1, 1, 1)), NoiseCall("gaussian", 1e9, 2**17)),)),
            "cannot be answered by the mechanism gaussian",
        ),
        (
            Round("x", (Asked(Marginal(("sex",)), NoiseCall("exponential", 1e9, 2**17)),)),
            "cannot be answered by the mechanism exponential",
        ),
        (Round("x", (Asked(Scores(CLIQUES, predicted(0)), NoiseCall("gaussian", 1e9, 2**17)),)), "has sensitivity"),
    ],
    ids=["cells", "selection with noise", "marginal without", "sqrt(m) forgotten"],
)
def test_rounds_that_do_not_fit_are_refused_before_the_pass(
    counted: list[list[Base]], asked_round: Round, says: str
) -> None:
    with pytest.raises(IntegrityError, match=says):
        adaptive(MemorySeals(), Plus(1)).answer(asked_round)
    assert counted == []


def test_a_selection_is_within_a_pure_charge(counted: list[list[Base]]) -> None:
    query = Selection(CLIQUES, predicted(0), (1, 1, 1))
    call = calibrated(query, TASK.unit, DOMAIN, "laplace", 10**9)
    asked_round = Round("x", (Asked(query, call),))
    assert build(MemorySeals(), Plus(1), charge=Charge.pure(1)).answer(asked_round)
    with pytest.raises(IntegrityError, match="would spend more"):
        build(MemorySeals(), Plus(1), charge=Charge.pure(Decimal("0.9"))).answer(asked_round)


def test_the_curve_admits_gaussian_noise_of_large_scale_within_its_gap(counted: list[list[Base]]) -> None:
    gap = sum(rounding_gap(size, SCORED.asked[0].call.scale) for size in (1, 3))
    curator = adaptive(MemorySeals(), Plus(5), gap=gap)
    curator.answer(SCORED)
    with pytest.raises(IntegrityError, match="more cells than the run's accounting covers"):
        curator.answer(COLUMNS)
    with pytest.raises(IntegrityError, match="as the run's accounting demands"):
        adaptive(MemorySeals(), Plus(5), gap=Fraction(1)).answer(CHOSEN)
    small = Round("x", (Asked(Population(), NoiseCall("gaussian", 4000.0, 2**16)),))
    with pytest.raises(IntegrityError, match="scale of at least 4096"):
        adaptive(MemorySeals(), Plus(5), gap=Fraction(1), charge=small.charge).answer(small)
    assert len(counted) == 1
