"""Noise has the scale that its charge pays for, comes fresh every time, and is the distribution it says."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.privacy.accounting import NANO
from synthward.privacy.noise import Additive, NoiseCall, SecureNoise, exponential_for, gaussian_for, laplace_for

SENSITIVITIES = [1, 2**16, 7 * 40960, 1023 * 2**16]


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
@pytest.mark.parametrize("nano", [1000, 10**6, 333_333_333, NANO, 10 * NANO])
def test_laplace_spends_its_share_and_no_more(nano: int, sensitivity: int) -> None:
    """charge <= share, and >= the share less rounding; the scale is d / eps, so half of it would be caught here."""
    call = laplace_for(nano, sensitivity)
    spent = call.charge.nano_epsilon
    assert spent is not None
    assert nano * (1 - 1e-6) - 1 <= spent <= nano
    assert call.sensitivity == sensitivity
    assert call.scale == pytest.approx(sensitivity / (nano / NANO), rel=1e-6)
    assert Fraction(sensitivity) / Fraction(call.scale) <= Fraction(nano, NANO)


@pytest.mark.parametrize("sensitivity", SENSITIVITIES)
@pytest.mark.parametrize("nano", [1000, 10**6, 333_333_333, NANO, 10 * NANO])
def test_gaussian_spends_its_share_and_no_more(nano: int, sensitivity: int) -> None:
    """rho = d^2 / (2 scale^2)."""
    call = gaussian_for(nano, sensitivity)
    assert call.charge.nano_epsilon is None
    assert nano * (1 - 1e-6) - 1 <= call.charge.nano_rho <= nano
    assert call.scale == pytest.approx(sensitivity / math.sqrt(2 * nano / NANO), rel=1e-6)
    assert Fraction(sensitivity) ** 2 / (2 * Fraction(call.scale) ** 2) <= Fraction(nano, NANO)


@given(st.integers(1, 10**11), st.integers(1, 2**30))
def test_any_share_is_kept(nano: int, sensitivity: int) -> None:
    assert (laplace_for(nano, sensitivity).charge.nano_epsilon or 0) <= nano
    assert gaussian_for(nano, sensitivity).charge.nano_rho <= nano


@given(st.floats(1e-3, 1e9), st.integers(1, 2**30))
def test_the_charge_is_never_below_the_formula(scale: float, sensitivity: int) -> None:
    """Computed exactly: what is charged is at least d / s, or d^2 / 2 s^2."""
    laplace = NoiseCall("laplace", scale, sensitivity).charge
    assert Fraction(laplace.nano_epsilon or 0, NANO) >= Fraction(sensitivity) / Fraction(scale)
    gaussian = NoiseCall("gaussian", scale, sensitivity).charge
    assert Fraction(gaussian.nano_rho, NANO) >= Fraction(sensitivity) ** 2 / (2 * Fraction(scale) ** 2)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_a_scale_is_positive_and_finite(scale: float) -> None:
    with pytest.raises(ValueError, match="scale"):
        NoiseCall("laplace", scale, 1)


@pytest.mark.parametrize("sensitivity", [0, -1])
def test_a_sensitivity_is_at_least_one(sensitivity: int) -> None:
    with pytest.raises(ValueError, match="sensitivity"):
        NoiseCall("gaussian", 1.0, sensitivity)


@pytest.mark.parametrize("make", [laplace_for, gaussian_for])
def test_nothing_to_spend(make: type) -> None:
    with pytest.raises(ValueError, match="at least 1e-9"):
        make(0, 1)


def deviations(values: np.ndarray, expected: float, spread: float) -> float:
    """How many standard errors a mean is off."""
    return abs(float(values.mean()) - expected) / (spread / math.sqrt(len(values)))


@pytest.mark.parametrize(("mechanism", "kurtosis"), [("laplace", 6.0), ("gaussian", 3.0)])
def test_the_noise_has_the_variance_that_was_declared(mechanism: str, kurtosis: float) -> None:
    """20,000 draws around different exact values: centred, of the declared variance and tails, within 5 sigma."""
    call = NoiseCall(mechanism, 1000.0, 1)
    exact = np.arange(20_000, dtype=np.int64) * 7 - 50_000
    noise = SecureNoise().draw("x", exact, call) - exact
    assert deviations(noise.astype(float), 0, call.deviation) < 5
    assert deviations(noise.astype(float) ** 2, call.deviation**2, call.deviation**2 * math.sqrt(kurtosis - 1)) < 5
    beyond = float(np.mean(np.abs(noise) > 2 * call.deviation))
    tail = math.exp(-2 * math.sqrt(2)) if mechanism == "laplace" else math.erfc(math.sqrt(2))
    assert abs(beyond - tail) < 5 * math.sqrt(tail / len(noise)) + 1e-3


@pytest.mark.parametrize("cells", [1, 2, 3, 16])
@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_every_cell_of_a_vector_has_its_noise(mechanism: Additive, cells: int) -> None:
    """The variance of each cell by itself: one of many that had no noise would hardly be seen in the mean of all.

    300 vectors; each cell within 7 standard errors, which sound noise leaves once in 10^8 runs or less.
    """
    call, exact, vectors = NoiseCall(mechanism, 1000.0, 1), np.arange(cells, dtype=np.int64) * 12345 - 7, 300
    noise = np.array([SecureNoise().draw("x", exact, call) for _ in range(vectors)]) - exact
    kurtosis = 6.0 if mechanism == "laplace" else 3.0
    spread = call.deviation**2 * math.sqrt((kurtosis - 1) / vectors)
    for cell in range(cells):
        assert abs(float(np.mean(noise[:, cell] ** 2)) - call.deviation**2) < 7 * spread, cell
        assert abs(float(noise[:, cell].mean())) < 7 * call.deviation / math.sqrt(vectors), cell


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_two_draws_differ_and_cells_are_independent(mechanism: str) -> None:
    """No seed anywhere: 200 cells of scale 2^20 agree between two draws with probability below 1e-1000."""
    call = NoiseCall(mechanism, 2.0**20, 1)
    exact = np.zeros(2000, dtype=np.int64)
    first, second = (SecureNoise().draw("x", exact, call) for _ in range(2))
    assert np.count_nonzero(first == second) < 20
    assert abs(np.corrcoef(first, second)[0, 1]) < 5 / math.sqrt(len(first))
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 5 / math.sqrt(len(first))


def test_noise_is_integer_and_keeps_the_length() -> None:
    for exact in ([], [2**61], [-(2**61), 0, 5]):
        drawn = SecureNoise().draw("x", np.array(exact, dtype=np.int64), NoiseCall("laplace", 5.0, 1))
        assert drawn.dtype == np.int64
        assert drawn.shape == (len(exact),)


@pytest.mark.parametrize("beside", ["laplace", "gaussian"])
@pytest.mark.parametrize("nano", [10**6, 333_333_333, 10 * NANO])
def test_a_selection_spends_its_share_and_no_more(nano: int, beside: Additive) -> None:
    """epsilon = 2 d / s because scores are not monotonic, and rho = d^2 / 2 s^2; both are charged."""
    call = exponential_for(nano, 7 * 2**16, beside)
    charge, ratio = call.charge, Fraction(7 * 2**16) / Fraction(call.scale)
    assert charge.nano_epsilon is not None
    assert Fraction(charge.nano_epsilon, NANO) >= 2 * ratio
    assert Fraction(charge.nano_rho, NANO) >= ratio**2 / 2
    spent = charge.nano_epsilon if beside == "laplace" else charge.nano_rho
    assert nano * (1 - 1e-5) - 1 <= spent <= nano


def test_a_selection_is_drawn_with_the_probabilities_of_the_exponential_mechanism() -> None:
    """4,000 draws; exp(x / s) is proportional to 1, 2 and 4."""
    scale = 1000.0
    scores = np.array([0, round(scale * math.log(2)), round(scale * math.log(4))], dtype=np.int64)
    call = NoiseCall("exponential", scale, 1)
    drawn = [int(SecureNoise().draw("x", scores, call)[0]) for _ in range(4000)]
    counted = np.bincount(drawn, minlength=3)
    expected = 4000 * np.array([1, 2, 4]) / 7
    assert float(((counted - expected) ** 2 / expected).sum()) < 35  # chi-square with 2 degrees: 1 in 10^7


def test_a_selection_has_no_deviation() -> None:
    with pytest.raises(ValueError, match="no noise in it"):
        _ = NoiseCall("exponential", 1.0, 1).deviation


@given(st.floats(1e-3, 1e9), st.integers(1, 2**30))
def test_the_charge_of_a_selection_is_never_below_the_formula(scale: float, sensitivity: int) -> None:
    """Computed exactly: epsilon = 2 d / s and rho = epsilon^2 / 8, both at once."""
    charge = NoiseCall("exponential", scale, sensitivity).charge
    epsilon = 2 * Fraction(sensitivity) / Fraction(scale)
    assert Fraction(charge.nano_epsilon or 0, NANO) >= epsilon
    assert Fraction(charge.nano_rho, NANO) >= epsilon**2 / 8


def test_the_order_of_scores_does_not_matter() -> None:
    """10,000 draws of unsorted scores, some negative: within 5 standard errors of exp(x / s)."""
    scores, scale, draws = np.array([5, 2000, 1000, 1500, -10_000], dtype=np.int64), 700.0, 10_000
    expected = np.exp(scores / scale) / np.exp(scores / scale).sum()
    call = NoiseCall("exponential", scale, 1)
    drawn = np.concatenate([SecureNoise().draw("x", scores, call) for _ in range(draws)])
    found = np.bincount(drawn, minlength=len(scores)) / draws
    assert np.all(np.abs(found - expected) <= 5 * np.sqrt(expected * (1 - expected) / draws) + 1e-12)


def test_a_selection_takes_scores_of_any_size() -> None:
    """Scores near the largest integers are chosen from as well, and one that is far ahead always wins."""
    call = NoiseCall("exponential", 1000.0, 1)
    for scores in ([2**62, 0, 2**61], [0, -(2**62)], [7]):
        assert SecureNoise().draw("x", np.array(scores, dtype=np.int64), call).tolist() == [0]
