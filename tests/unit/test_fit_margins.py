"""Margins: tables without negative cells that agree with their columns, and columns that learn from their tables."""

from __future__ import annotations

import numpy as np
import pytest

from synthward.fit.estimate import Target
from synthward.fit.margins import nearest, reconciled

MARGINS = [np.array([500.0, 300, 150, 50]), np.array([500.0, 300, 150, 50])]


def noisy(seed: int, deviation: float = 20.0) -> np.ndarray:
    """A column and its twin: all rows on the diagonal."""
    return np.diag(MARGINS[0]) + np.random.default_rng(seed).normal(0, deviation, (4, 4))


def test_a_table_gets_its_margins_and_no_negative_cell() -> None:
    for seed in range(5):
        table = nearest(noisy(seed), np.full((4, 4), 400.0), np.ones((4, 4), dtype=bool), MARGINS)
        assert table.min() >= 0
        assert table.sum(axis=1) == pytest.approx(MARGINS[0], abs=0.5)
        assert table.sum(axis=0) == pytest.approx(MARGINS[1], abs=0.5)
        assert np.abs(table - np.diag(MARGINS[0])).sum() < np.abs(noisy(seed) - np.diag(MARGINS[0])).sum()


def test_impossible_cells_stay_empty() -> None:
    possible = ~np.eye(3, dtype=bool)
    even = [np.full(3, 100.0)] * 2
    table = nearest(np.full((3, 3), 40.0), np.ones((3, 3)), possible, even)
    assert not table[~possible].any()
    assert table.sum(axis=0) == pytest.approx(even[0], abs=0.5)


def test_a_table_that_fits_already_is_kept() -> None:
    table = np.outer(MARGINS[0], MARGINS[1]) / 1000
    assert nearest(table, np.ones((4, 4)), np.ones((4, 4), dtype=bool), MARGINS) == pytest.approx(table)


def test_a_column_is_averaged_with_its_tables_by_their_precision() -> None:
    single = Target(("a",), np.array([60.0, 40.0]), np.full(2, 4.0))
    table = Target(("b", "a"), np.array([[40.0, 10.0], [40.0, 10.0]]), np.full((2, 2), 1.0))
    found = reconciled(single, [table, Target(("b", "c"), np.ones((2, 2)), np.ones((2, 2)))])
    assert found.counts == pytest.approx([(60 / 4 + 80 / 2) / (3 / 4), (40 / 4 + 20 / 2) / (3 / 4)])
    assert found.variance == pytest.approx(np.full(2, 4 / 3))
