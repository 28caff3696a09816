"""Estimation: exact measurements are met exactly, noise is averaged and shrunk, equal input is equal output."""

from __future__ import annotations

import numpy as np
import pytest

from synthward.fit.estimate import Fitted, Target, consistent, estimate, merged, own_ridge, total_of
from synthward.fit.junction import tree_of
from synthward.privacy.queries import Clique

SIZES = {"a": 3, "b": 4, "c": 2, "d": 5}
CLIQUES: list[Clique] = [("a", "b"), ("c", "b"), ("c", "d"), ("a", "d")]
ROWS = 10_000.0


def truth(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(120, 0.5)).reshape(3, 4, 2, 5) * ROWS


def table(joint: np.ndarray, clique: Clique) -> np.ndarray:
    names = list(SIZES)
    kept = [name for name in names if name in clique]
    summed = joint.sum(axis=tuple(place for place, name in enumerate(names) if name not in clique))
    return summed.transpose([kept.index(name) for name in clique])


def target(joint: np.ndarray, clique: Clique, deviation: float = 1.0) -> Target:
    counts = table(joint, clique)
    return Target(clique, counts, np.full(counts.shape, deviation**2))


def base() -> dict[Clique, np.ndarray]:
    return {(name,): np.full(count, -np.log(count)) for name, count in SIZES.items()}


def fit(targets: list[Target], ridge: float = 1e-4, iterations: int = 2000, start: Fitted | None = None) -> Fitted:
    tree = tree_of(SIZES, [each.clique for each in targets])
    return estimate(tree, SIZES, base(), targets, ROWS, ridge=ridge, max_iterations=iterations, start=start)


def expected(fitted: Fitted, clique: Clique) -> np.ndarray:
    beliefs = fitted.inference.beliefs(fitted.potentials)[1]
    return fitted.inference.joint(beliefs, clique) * fitted.total


def test_measured_tables_are_met_without_noise() -> None:
    joint = truth()
    fitted = fit([target(joint, clique, 0.1) for clique in CLIQUES])
    assert fitted.ended.reached
    for clique in CLIQUES:
        np.testing.assert_allclose(expected(fitted, clique), table(joint, clique), atol=ROWS * 1e-4)


def test_the_optimum_is_stationary() -> None:
    """At the optimum each cell's residual is ridge x variance x potential; that is what makes the shrinkage."""
    noise = np.random.default_rng(3)
    aims = [target(truth(), clique, 30.0) for clique in CLIQUES]
    aims = [Target(a.clique, a.counts + noise.normal(0, 30, a.counts.shape), a.variance) for a in aims]
    fitted = fit(aims, ridge=0.05)
    assert fitted.ended.reached
    for aim in (consistent(each, np.ones(each.counts.shape), ROWS) for each in aims):
        potential = fitted.potential(aim.clique)
        assert potential is not None
        ridge = min(0.05, own_ridge(aim, np.full(aim.counts.shape, ROWS / aim.counts.size), ROWS))
        gap = aim.counts - expected(fitted, aim.clique) - ridge * aim.variance * potential
        assert np.abs(gap).max() < 0.02 * ROWS / aim.counts.size


def test_noise_is_shrunk_towards_the_base() -> None:
    """Independent columns, measured with much noise: the regularised fit is nearer to the truth."""
    noise = np.random.default_rng(5)
    joint = np.full((3, 4, 2, 5), ROWS / 120)
    aims = [target(joint, clique, 200.0) for clique in CLIQUES]
    aims = [Target(a.clique, a.counts + noise.normal(0, 200, a.counts.shape), a.variance) for a in aims]
    errors = [
        sum(np.abs(expected(fitted, clique) - table(joint, clique)).sum() for clique in CLIQUES)
        for fitted in (fit(aims, ridge=1e-4), fit(aims, ridge=0.05))
    ]
    assert errors[1] < 0.7 * errors[0]


def test_a_strong_relation_is_kept_under_much_noise() -> None:
    """Two columns that never differ: far from the base, so that their noise, however large, is no reason to doubt."""
    joint = np.zeros((3, 4, 2, 5))
    joint[0, :, 0, :], joint[2, :, 1, :] = ROWS / 40, ROWS / 40
    aim = target(joint, ("a", "c"), 300.0)
    kept = expected(fit([aim], ridge=0.05), ("a", "c"))
    assert np.abs(kept - aim.counts).sum() / (2 * ROWS) < 0.02


def test_the_own_ridge_is_what_makes_the_seen_distance_expected() -> None:
    base = np.array([[40.0, 60.0], [40.0, 60.0]])
    seen = base + np.array([[10.0, -10.0], [-10.0, 10.0]])
    assert own_ridge(Target(("a", "b"), seen, np.full((2, 2), 50.0)), base, 200.0) == 200 / (400 - 200)
    assert own_ridge(Target(("a", "b"), seen, np.full((2, 2), 100.0)), base, 200.0) == np.inf


def test_repeated_measurements_are_averaged_by_inverse_variance() -> None:
    first = Target(("a", "c"), np.full((3, 2), 10.0), np.full((3, 2), 1.0))
    second = Target(("c", "a"), np.full((2, 3), 40.0), np.full((2, 3), 2.0))
    [both] = merged([first, second])
    assert both.clique == ("a", "c")
    np.testing.assert_allclose(both.counts, (10 * 1 + 40 / 2) / 1.5)
    np.testing.assert_allclose(both.variance, 1 / 1.5)


def test_averaging_respects_the_order_of_columns() -> None:
    counts = np.arange(6.0).reshape(3, 2)
    [both] = merged([Target(("a", "c"), counts, np.ones((3, 2))), Target(("c", "a"), counts.T, np.ones((2, 3)))])
    np.testing.assert_allclose(both.counts, counts)


def test_the_total_is_a_weighted_mean_of_noisy_sums() -> None:
    precise = Target(("a",), np.array([50.0, 50.0, 0.0]), np.full(3, 1.0))
    rough = Target(("b",), np.array([50.0, 50.0, 50.0, 50.0]), np.full(4, 1e6))
    assert total_of([precise, rough]) == pytest.approx(100, abs=0.1)
    assert total_of([Target(("a",), np.array([-5.0, -5.0, -5.0]), np.ones(3))]) == 1.0


def test_counts_are_moved_to_the_total_where_the_noise_is() -> None:
    moved = consistent(Target(("a",), np.array([10.0, 10.0, 10.0]), np.array([1.0, 1.0, 2.0])), np.ones(3), 34.0)
    np.testing.assert_allclose(moved.counts, [11, 11, 12])


def test_rows_that_cannot_be_go_to_the_possible_cells_in_proportion() -> None:
    found = Target(("a",), np.array([10.0, 30.0, 40.0]), np.ones(3))
    moved = consistent(found, np.array([0.5, 0.5, 0.0]), 80.0)
    np.testing.assert_allclose(moved.counts, [20, 60, 0])
    np.testing.assert_allclose(moved.variance[:2], 4)


def test_noise_in_impossible_cells_is_spread_as_noise() -> None:
    found = Target(("a",), np.array([10.0, 30.0, 2.0]), np.ones(3))
    moved = consistent(found, np.array([0.5, 0.5, 0.0]), 42.0)
    np.testing.assert_allclose(moved.counts, [11, 31, 0])
    np.testing.assert_allclose(moved.variance, 1)


def test_zeros_that_the_data_contradict_spoil_no_other_table() -> None:
    """Three quarters of all rows have what was said to be impossible."""
    joint = np.full((3, 4, 2, 5), 1.0)
    joint[0, :2] = 20.0
    joint[:, :, 0, :2] *= 3
    joint[1, 2] *= 6
    joint *= ROWS / joint.sum()
    fixed = base() | {("a", "b"): np.where(np.arange(12).reshape(3, 4) < 2, -np.inf, 0.0)}
    cliques: list[Clique] = [("a",), ("b",), *CLIQUES]
    aims = [target(joint, clique) for clique in cliques]
    fitted = estimate(tree_of(SIZES, CLIQUES), SIZES, fixed, aims, ROWS, ridge=0.02, max_iterations=400)
    assert (expected(fitted, ("a", "b"))[0, :2] == 0).all()
    assert np.abs(expected(fitted, ("c", "d")) - table(joint, ("c", "d"))).sum() / 2 < 0.05 * ROWS
    assert (expected(fitted, ("a",)) > 0.15 * ROWS).all()


def test_structural_zeros_are_kept_whatever_was_measured() -> None:
    joint = truth()
    fixed = base() | {("b", "c"): np.where(np.arange(8).reshape(4, 2) == 5, -np.inf, 0.0)}
    aims = [target(joint, clique) for clique in CLIQUES]
    tree = tree_of(SIZES, [*CLIQUES, ("b", "c")])
    fitted = estimate(tree, SIZES, fixed, aims, ROWS, ridge=1e-3, max_iterations=300)
    assert table(joint, ("b", "c"))[2, 1] > 1
    assert expected(fitted, ("b", "c"))[2, 1] == 0
    assert np.isfinite(np.concatenate([t.ravel() for t in fitted.potentials[: fitted.measured]])).all()


def test_a_warm_start_finds_the_same_model_sooner() -> None:
    aims = [target(truth(), clique, 20.0) for clique in CLIQUES]
    cold = fit(aims, ridge=0.02)
    warm = fit(aims, ridge=0.02, start=cold)
    assert warm.ended.steps < cold.ended.steps
    for clique in CLIQUES:
        np.testing.assert_allclose(expected(warm, clique), expected(cold, clique), atol=ROWS * 1e-3)


def test_a_warm_start_survives_another_tree() -> None:
    aims = [target(truth(), clique, 20.0) for clique in CLIQUES]
    smaller = fit(aims[:2], ridge=0.02)
    assert smaller.potential(("d", "a")) is None
    grown = fit(aims, ridge=0.02, start=smaller)
    cold = fit(aims, ridge=0.02)
    np.testing.assert_allclose(expected(grown, ("a", "d")), expected(cold, ("a", "d")), atol=ROWS * 1e-3)


def test_iterations_bound_the_fit() -> None:
    fitted = fit([target(truth(), clique, 0.1) for clique in CLIQUES], iterations=3)
    assert (fitted.ended.steps, fitted.ended.at_most, fitted.ended.reached) == (3, 3, False)


def test_equal_input_is_equal_output() -> None:
    aims = [target(truth(), clique, 5.0) for clique in CLIQUES]
    once, twice = (fit(aims, ridge=0.02) for _ in range(2))
    assert all((a == b).all() for a, b in zip(once.potentials, twice.potentials, strict=True))
