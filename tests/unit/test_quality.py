"""Quality as a statement about the real rows: simulated releases, expected distances, verdicts, the gate."""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import joint_fits
import synthward
from benchmarks.fidelity_numpy import CodeCurator
from joint_fits import BOOKS, ROWS, data
from synthward.evaluate.gates.expected_distance import judge
from synthward.evaluate.gates.gate import Thresholds
from synthward.evaluate.quality import distances
from synthward.evaluate.quality.assessed import Assessed, Release, assess
from synthward.evaluate.quality.bootstrap import Replicate, refitted
from synthward.evaluate.quality.distances import Expected, basis_of, expected_distances
from synthward.evaluate.quality.simulated import SimulatedNoise, SimulatedSource
from synthward.evaluate.quality.tables import judged, shown_codes, total_variation
from synthward.evaluate.quality.verdicts import judged_by, quality_summary
from synthward.evaluate.relations import beyond_noise, clique_quality
from synthward.evaluate.tables import noisy_tables, total_rows
from synthward.fit.catalog import synthesizer
from synthward.governance.policy import QualityLimits
from synthward.privacy.measurement import Asked, Measurement, Round
from synthward.privacy.noise import NoiseCall
from synthward.privacy.queries import Marginal, Population, Presence, Scores, SquareSum, Sum
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.sample.drawn import DrawnRows
from synthward.spec.request import MaxExpected, Utility

QUIET = NoiseCall("gaussian", 1e-3, 1)
"""Noise that rounds to nothing."""


def seeded(number: int = 1) -> SimulatedNoise:
    return SimulatedNoise(np.random.SeedSequence(number))


def fitted(name: str, **settings: Any) -> tuple[Any, Any, list[Measurement]]:
    """Task, model and sealed answers of a release of `joint_fits.data`."""
    task = joint_fits.task(name, **settings)
    model, _, sealed = joint_fits.run(task)
    return task, model, [answer for part in sealed for answer in part]


def assessed(name: str, seed: int = 1, **settings: Any) -> Assessed:
    task, model, sealed = fitted(name, **settings)
    return assess(Release(synthesizer(name), task, ROWS, seed, replicates=2), model, sealed, {})


# -- the simulated source


def test_a_simulated_source_counts_its_rows_as_the_curator_would() -> None:
    task, model, _ = fitted("fixed")
    drawn = DrawnRows.of(model, BOOKS, 5000, 1)
    asked = Round("r", tuple(Asked(Marginal(c), QUIET) for c in (("x",), ("x", "z"), ("age", "z"))))
    curator = CodeCurator(task, pd.DataFrame(drawn.codes), SimpleNamespace(draw=lambda label, exact, call: exact))
    ours = SimulatedSource(drawn, 5000, 5000, seeded()).answer(asked)
    for one, two in zip(ours, curator.answer(asked), strict=True):
        assert np.array_equal(one.values, two.values)


def test_each_simulated_row_weighs_what_it_stands_for() -> None:
    _, model, _ = fitted("independent")
    drawn = DrawnRows.of(model, BOOKS, 1000, 1)
    source = SimulatedSource(drawn, 3_000_000, 700, seeded())
    asked = Round("r", (Asked(Population(), QUIET), Asked(Marginal(("x",)), QUIET)))
    population, marginal = source.answer(asked)
    assert population.counts.tolist() == [700.0]
    assert marginal.counts.sum() == 3_000_000


def test_simulated_sums_are_those_of_the_fixed_point_values() -> None:
    _, model, _ = fitted("independent")
    drawn, book = DrawnRows.of(model, BOOKS, 400, 1), BOOKS["age"]
    asked = Round("r", tuple(Asked(query("age"), QUIET) for query in (Presence, Sum, SquareSum)))
    presence, first, second = SimulatedSource(drawn, 400, 400, seeded()).answer(asked)
    quanta = [book.quantum_of(book.format_place(int(place))) for place in drawn.places["age"] if place >= 0]
    shift = book.attribute.fixed_point.shift  # type: ignore[union-attr]
    assert presence.values.tolist() == [len(quanta) * WEIGHT_UNIT]
    assert first.values.tolist() == [sum(quanta)]
    assert second.values.tolist() == [sum((q * q + (1 << (shift - 1))) >> shift for q in quanta)]


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_simulated_noise_has_the_scale_of_its_call(mechanism: Any) -> None:
    call = NoiseCall(mechanism, 1000.0, 1)
    noise = seeded().disturbed(np.zeros(40_000, dtype=np.int64), call)
    assert noise.std() == pytest.approx(call.deviation, rel=0.03)
    assert np.abs(noise).mean() == pytest.approx(call.mean_absolute, rel=0.03)


def test_a_simulated_selection_prefers_the_largest_score() -> None:
    call = NoiseCall("exponential", 1.0, 1)
    assert seeded().disturbed(np.array([0, 100, 5]), call).tolist() == [1]


def test_simulated_noise_is_no_noise_source() -> None:
    assert not hasattr(SimulatedNoise, "draw")


def imported(path: Path) -> Iterator[str]:
    """Modules of the package that a file imports when it is loaded or run."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("synthward"):
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.startswith("synthward"))


def test_nothing_that_reads_a_source_can_be_reached_from_a_simulation() -> None:
    root = Path(synthward.__file__).parent
    waiting, seen = (
        [f"synthward.evaluate.quality.{path.stem}" for path in (root / "evaluate/quality").glob("*.py")],
        set(),
    )
    while waiting:
        name = waiting.pop()
        file = root.joinpath(*name.split(".")[1:]).with_suffix(".py")
        if name in seen or not file.is_file():
            continue
        seen.add(name)
        waiting += imported(file)
    assert "synthward.evaluate.quality.bootstrap" in seen
    rooms = {name.split(".")[1] for name in seen}
    assert not rooms & {"measure", "kernels", "sources", "ledger", "run"}, sorted(rooms)


# -- replicates and expected distances


def test_equal_seeds_give_equal_statements() -> None:
    one, two, other = assessed("fixed"), assessed("fixed"), assessed("fixed", seed=2)
    assert one.expected == two.expected
    assert one.counts.factors == two.counts.factors
    assert one.expected != other.expected


@pytest.mark.parametrize("name", ["fixed", "few_round"])
def test_the_expected_distance_is_near_the_true_one(name: str) -> None:
    task, model, sealed = fitted(name)
    found = assess(Release(synthesizer(name), task, ROWS, 1, replicates=3), model, sealed, {}).expected
    released, rows = DrawnRows.of(model, BOOKS, ROWS, 1), data()
    real = DrawnRows(BOOKS, {}, ROWS)
    codes = {column: rows[column].to_numpy(np.int64) for column in rows}
    known = [each for each in found.values() if each.basis == "measured"]
    true = [
        total_variation(real.table(e.columns, codes) / ROWS, released.table(e.columns, shown_codes(released)) / ROWS)
        for e in known
    ]
    assert sum(float(e.distance or 0) for e in known) == pytest.approx(sum(true), rel=0.6)
    covered = [float(e.low or 0) <= t <= float(e.high or 0) for e, t in zip(known, true, strict=True)]
    assert np.mean(covered) >= 0.7


def test_moments_can_be_simulated() -> None:
    task, (_, model, _) = joint_fits.task("moments", mechanism="laplace"), fitted("independent")
    source = SimulatedSource(DrawnRows.of(model, BOOKS, 5000, 1), ROWS, ROWS, seeded())
    normal, sealed = refitted(synthesizer("moments"), task, source)
    found = assess(Release(synthesizer("moments"), task, ROWS, 1, replicates=2), normal, sealed, {}).expected
    assert all(0 <= float(found[(column,)].distance or 0) < 0.1 for column in BOOKS)
    assert {each.basis for each in found.values() if len(each.columns) == 2} == {"none"}


def test_an_empty_source_gets_a_statement() -> None:
    task = joint_fits.task("independent")
    rows = data().iloc[:1]
    model, _, sealed = joint_fits.run(task, rows=rows)
    flat = [answer for part in sealed for answer in part]
    found = assess(Release(synthesizer("independent"), task, 50, 1, replicates=2), model, flat, {})
    assert all(0 <= float(found.expected[(column,)].distance or 0) <= 1 for column in BOOKS)


def replicates_of(*listed: float) -> list[Replicate]:
    return [Replicate({("x",): value, ("x", "y"): value}, (), {("x",): 50.0, ("x", "y"): 50.0}) for value in listed]


def test_a_pair_that_the_model_did_not_see_is_further_off() -> None:
    measured = expected_distances(replicates_of(0.01, 0.012), {("x",): "measured", ("x", "y"): "measured"}, {})
    scored = expected_distances(replicates_of(0.01, 0.012), {("x",): "measured", ("x", "y"): "scored"}, {})
    one, two = measured["x", "y"], scored["x", "y"]
    assert one.distance is not None
    assert two.distance == pytest.approx(one.distance * distances.UNSEEN)
    assert (two.high or 0) > distances.UNSEEN * (one.high or 0)
    assert (one.low or 0) < 0.01
    assert (one.high or 0) > 0.012


def test_a_distance_of_few_cells_has_a_wide_range() -> None:
    basis: Any = {("x",): "measured", ("x", "y"): "measured"}
    many = replicates_of(0.01, 0.0101)
    few = [dataclasses.replace(each, cells={("x",): 2.0, ("x", "y"): 2.0}) for each in many]
    wide, narrow = (expected_distances(found, basis, {})["x", "y"] for found in (few, many))
    assert (wide.high or 0) > 1.3 * (narrow.high or 0)
    assert wide.distance == narrow.distance


def test_nothing_is_said_of_a_pair_of_which_no_answer_speaks() -> None:
    found = expected_distances(replicates_of(0.01, 0.02), {("x",): "measured", ("x", "y"): "none"}, {})
    assert found["x", "y"] == Expected(("x", "y"), "none", None, None, None)


def test_what_noise_does_not_explain_is_a_lower_bound() -> None:
    basis: Any = {("x",): "measured", ("x", "y"): "measured"}
    found = expected_distances(replicates_of(0.01, 0.012), basis, {("x", "y"): 0.4})["x", "y"]
    assert (found.distance, found.low) == (0.4, 0.4)
    assert (found.high or 0) > 0.4


def test_the_basis_is_what_sealed_answers_speak_of() -> None:
    call = NoiseCall("gaussian", 5.0, 1)
    empty = np.zeros(1, dtype=np.int64)
    vector = np.zeros(3, dtype=np.int64)
    sealed = [
        Measurement(Asked(Marginal(("z", "x", "age")), call), empty),
        Measurement(Asked(Scores((("x", "y"),), (vector,)), call), empty),
    ]
    found = basis_of(sealed, judged(BOOKS))
    assert found["x", "z"] == found["z", "age"] == found[("age",)] == "measured"
    assert found["x", "y"] == "scored"
    assert found["y", "z"] == found[("y",)] == "none"


def test_a_bad_model_is_not_to_be_used() -> None:
    task, _, sealed = fitted("fixed", epsilon="10")
    wrong, _, _ = joint_fits.run(joint_fits.task("independent"), rows=data()[::-1] % 3)
    drawn = DrawnRows.of(wrong, BOOKS, ROWS, 1)
    noisy = noisy_tables(sealed, BOOKS)
    rows = total_rows(noisy.values())
    codes = shown_codes(drawn)
    against = [clique_quality(table, drawn.table(c, codes), BOOKS, rows) for c, table in noisy.items()]
    release = Release(synthesizer("fixed"), task, ROWS, 1, replicates=2)
    found = assess(release, wrong, sealed, {each.columns: beyond_noise(each) for each in against})
    verdicts = judged_by(found.expected.values(), QualityLimits())
    assert {each.verdict for each in verdicts if len(each.expected.columns) == 2} == {"do not use"}
    good = assessed("fixed", epsilon="10")
    assert good.expected["x", "z"].distance is not None
    judged_good = {e.expected.columns: e.verdict for e in judged_by(good.expected.values(), QualityLimits())}
    assert judged_good["x", "z"] == "rely on"


# -- verdicts and the gate

LIMITS = QualityLimits(
    rely_on_column=Decimal("0.02"),
    with_care_column=Decimal("0.1"),
    rely_on_pair=Decimal("0.05"),
    with_care_pair=Decimal("0.15"),
)


def one(distance: float | None, low: float | None = None, high: float | None = None, width: int = 1) -> Expected:
    basis: Any = "none" if distance is None else "measured"
    return Expected(
        ("x", "y")[:width],
        basis,
        distance,
        low if low is not None else distance,
        high if high is not None else distance,
    )


@pytest.mark.parametrize(
    ("expected", "verdict", "unclear"),
    [
        (one(0.01, 0.005, 0.02), "rely on", False),
        (one(0.01, 0.005, 0.03), "with care", False),
        (one(0.05, 0.01, 0.2), "with care", True),
        (one(0.2, 0.1, 0.4), "do not use", False),
        (one(0.05, width=2), "rely on", False),
        (one(0.16, width=2), "do not use", False),
        (one(None, width=2), "do not use", True),
    ],
)
def test_verdicts_follow_the_limits(expected: Expected, verdict: str, unclear: bool) -> None:
    [found] = judged_by([expected], LIMITS)
    assert (found.verdict, found.unclear) == (verdict, unclear)


def test_the_summary_counts_verdicts_and_what_is_unknown() -> None:
    found = quality_summary(judged_by([one(0.01), one(0.3), one(0.04, width=2), one(None, width=2)], LIMITS))
    assert (found.columns_rely_on, found.columns_do_not_use, found.pairs_unknown) == (1, 1, 1)
    assert found.expected_column_mean == pytest.approx(0.155)
    assert found.expected_pair_max == 0.04


def thresholds(**limits: str) -> Thresholds:
    asked = MaxExpected(**{name: Decimal(value) for name, value in limits.items()})
    return Thresholds(10, 2, Decimal(1), Decimal(1), None, None, asked)


def test_the_gate_judges_means_and_every_column_and_pair() -> None:
    verdicts = judged_by([one(0.01), one(0.03, width=2), one(0.09, width=2)], LIMITS)
    assert judge(verdicts, thresholds(mean_column="0.02", mean_pair="0.06", column="0.01", pair="0.1"))[0]
    assert "mean expected distance of a pair 0.0600, at most 0.05" in judge(verdicts, thresholds(mean_pair="0.05"))[1]
    passed, detail = judge(verdicts, thresholds(pair="0.05"))
    assert not passed
    assert "x x y (0.0900)" in detail
    assert "0.0300" not in detail


def test_the_gate_lets_nothing_unknown_pass() -> None:
    verdicts = judged_by([one(0.01), one(None, width=2)], LIMITS)
    assert "nothing known" in judge(verdicts, thresholds(pair="0.5"))[1]
    assert "of no pair anything is known" in judge(verdicts, thresholds(mean_pair="0.5"))[1]
    assert not judge((), thresholds(mean_column="0.5"))[0]


def test_replicates_of_a_request() -> None:
    assert list(Utility(max_out_of_domain_share=Decimal(1)).problems()) == []
    assert [name for name, _ in Utility(max_out_of_domain_share=Decimal(1), replicates=1).problems()] == ["replicates"]
    asked = Utility(max_out_of_domain_share=Decimal(1), max_expected=MaxExpected(), replicates=0)
    assert [name for name, _ in asked.problems()] == ["max_expected"]


def test_limits_of_verdicts_must_be_in_order() -> None:
    wrong = dataclasses.replace(LIMITS, rely_on_pair=Decimal("0.2"))
    assert [name for name, _ in wrong.problems()] == ["rely_on_pair"]
