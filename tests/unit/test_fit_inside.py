"""Values inside of learned bins: the noisy histogram's shape, nothing that noise explains, and no new relations."""

from __future__ import annotations

import numpy as np
import pytest

from small_model import model_file
from synthward.fit import within_bin as inside
from synthward.fit.model import Model
from synthward.fit.within_bin import Histogram, refined
from synthward.sample.condition import condition

AGE = np.arange(0, 100, 2)
"""Cells of the public grid of the column `age`, whose bins hold ten values each."""


def histogram(counts: np.ndarray, deviation: float = 0.5) -> Histogram:
    return Histogram("age", AGE, counts, deviation)


def by_bins(model: Model, name: str) -> np.ndarray:
    """Probabilities of a column, its finer cells summed to bins."""
    column = model.column(name)
    if name != "age":
        return column.probabilities
    cells = [*(int(start) // 10 for start in column.starts if column.starts is not None), 10, 11]  # type: ignore[union-attr]
    summed = np.zeros((*column.probabilities.shape[:-1], 12))
    np.add.at(summed.T, cells, column.probabilities.T)
    return summed


@pytest.mark.parametrize("groups", [False, True])
def test_the_joint_distribution_of_bins_stays(groups: bool) -> None:
    """What children and conditions see of the column is what they saw before."""
    before = model_file(groups).model
    after = refined(before, [histogram(np.arange(50.0) * 100)])
    assert after.column("age").cells == 52
    assert after.column("age").group_count == before.column("age").group_count
    assert after.digest != before.digest
    for name in before.order:
        np.testing.assert_allclose(by_bins(after, name), before.column(name).probabilities, atol=1e-12)
    wanted = {"sex": np.array([0.25, 0.75, 0.0, 0.0]), "ill": np.array([0.5, 0.5, 0.0, 0.0])}
    one, other = condition(before, wanted), condition(after, wanted)
    for name in before.order:
        np.testing.assert_allclose(by_bins(other, name), one.column(name).probabilities, atol=1e-5)
    assert Model.parse(after.text, after.digest).digest == after.digest


def test_a_clear_shape_is_kept() -> None:
    counts = np.tile([1000.0, 0, 0, 0, 3000], 10)
    probabilities = refined(model_file().model, [histogram(counts)]).column("age").probabilities
    inside_of_bin = probabilities[:, :5] / probabilities[:, :5].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(inside_of_bin, np.tile([0.25, 0, 0, 0, 0.75], (len(probabilities), 1)), atol=1e-3)
    assert (probabilities >= 0).all()


def test_noise_is_spread_evenly() -> None:
    rng = np.random.default_rng(5)
    counts = 200 + rng.normal(0, 60, 50)
    probabilities = refined(model_file().model, [histogram(counts, 60)]).column("age").probabilities[0, :50]
    shares = probabilities.reshape(10, 5) / probabilities.reshape(10, 5).sum(axis=1, keepdims=True)
    naive = counts.reshape(10, 5) / counts.reshape(10, 5).sum(axis=1, keepdims=True)
    assert np.abs(shares - 0.2).mean() < np.abs(naive - 0.2).mean() / 3
    assert (np.abs(shares - 0.2) < 1e-12).all(axis=1).sum() >= 4


@pytest.mark.parametrize("counts", [np.zeros(50), np.full(50, -7.0), np.eye(50)[3] * 1e9 - 1e6])
def test_any_numbers_give_a_distribution(counts: np.ndarray) -> None:
    column = refined(model_file().model, [histogram(counts)]).column("age")
    np.testing.assert_allclose(column.probabilities.sum(axis=1), 1)


def test_runs_of_unequal_width_are_even_by_value() -> None:
    found = Histogram("age", np.array([0, 1, 4, *range(10, 100, 10)]), np.zeros(12), 1.0)
    row = refined(model_file().model, [found]).column("age").probabilities[0, :3]
    np.testing.assert_allclose(row / row.sum(), [0.1, 0.3, 0.6])


def test_a_model_that_would_grow_too_large_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = model_file().model
    grown = refined(before, [histogram(np.zeros(50))])
    monkeypatch.setattr(inside, "MAX_CELLS", grown.cells - 1)
    assert refined(before, [histogram(np.zeros(50))]).digest == before.digest
    monkeypatch.setattr(inside, "MAX_CELLS", grown.cells)
    assert refined(before, [histogram(np.zeros(50))]).digest == grown.digest
