"""Quantile bins from noisy histograms."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.domain.quantiles import quantile_bins, quantile_places, rising
from synthward.domain.spec import Numeric


def stay(**changes: object) -> Numeric:
    declared = {"bounds": (Decimal(0), Decimal(99)), "integer": True, "bins": 20} | changes
    return Numeric(**declared)  # type: ignore[arg-type]


def test_even_counts_give_even_bins() -> None:
    found = quantile_bins(stay(), np.full(20, 10.0), 4)
    assert found.grid.starts == (0, 25, 50, 75)
    assert found.edges == (25, 50, 75)
    assert found.bins is None
    assert not list(found.problems())


def test_dense_regions_get_narrow_bins() -> None:
    counts = np.zeros(20)
    counts[2:6] = 100
    found = quantile_bins(stay(), counts, 4)
    assert found.grid.starts == (0, 15, 20, 25)


def test_a_spike_takes_several_quantiles() -> None:
    counts = np.zeros(20)
    counts[7] = 1000
    assert quantile_bins(stay(), counts, 10).grid.starts == (0, 40)


def test_bins_stay_on_the_resolution() -> None:
    found = quantile_bins(stay(integer=False, resolution=Decimal("0.1"), bins=10), np.full(10, 5.0), 5)
    assert all(edge % Decimal("0.1") == 0 for edge in found.edges)
    assert found.grid.bins == 5
    assert not list(found.problems())


def test_noise_moves_quantiles_little() -> None:
    random = np.random.default_rng(3)
    exact = np.repeat(1000.0, 20)
    places = quantile_places(exact + random.normal(0, 30, 20), 4)
    assert all(abs(place - goal) <= 1 for place, goal in zip(places, (5, 10, 15), strict=True))


def test_noise_that_makes_the_sums_fall_does_not_mislead_the_search() -> None:
    """Where noisy sums fall again, a search in them as they are could end anywhere, or find no cut at all."""
    np.testing.assert_array_equal(rising(np.array([6.0, 2.0, 8.0])), [4, 4, 8])
    assert quantile_places(np.array([6.0, -4.0, 6.0]), 2) == (1,)
    assert quantile_places(np.array([1.0, 8.0, -6.0, 1.0, 6.0, 0.0]), 2) == (2,)


def test_wrong_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="3 counts for 20 bins"):
        quantile_bins(stay(), np.ones(3), 2)


@given(
    counts=st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=20),
    bins=st.integers(1, 40),
)
def test_any_noisy_counts_give_a_valid_attribute(counts: list[float], bins: int) -> None:
    found = quantile_bins(stay(), np.array(counts), bins)
    assert 1 <= found.grid.bins <= min(bins, 20)
    assert set(found.grid.starts) <= set(stay().grid.starts)
    assert not list(found.problems())
    rows = rising(np.cumsum(counts))
    assert np.all(np.diff(rows) >= 0)
