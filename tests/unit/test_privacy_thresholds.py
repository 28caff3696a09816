"""The least threshold for a delta, what is charged, and what comes out."""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from random import Random

import pytest

from synthward.privacy.exponentials import exp_above, exp_below
from synthward.privacy.noise import Mechanism, NoiseCall, gaussian_for, laplace_for
from synthward.privacy.thresholds import Threshold, count_bound, kept, threshold_for


def test_bounds_of_the_counts() -> None:
    assert [count_bound("laplace", k, 1) for k in (1, 2, 4, 10)] == [1, 2, 4, 10]
    assert [count_bound("gaussian", k, 1) for k in (1, 2, 3, 4, 5, 9, 10)] == [1, 2, 2, 2, 3, 3, 4]
    with pytest.raises(ValueError, match="K0 = 0"):
        count_bound("laplace", 0, 1)


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("categories", [1, 3, 40])
@pytest.mark.parametrize("atto_delta", [10, 10**9, 10**14])
def test_the_threshold_is_the_least_within_delta(mechanism: Mechanism, categories: int, atto_delta: int) -> None:
    calibrate = laplace_for if mechanism == "laplace" else gaussian_for
    call = calibrate(10**8, count_bound(mechanism, categories, 1))
    found = threshold_for(call, categories, atto_delta, 1)
    assert 0 < found.charge.atto_delta <= atto_delta
    assert Threshold(call, categories, found.above - 1, 1).charge.atto_delta > atto_delta
    assert found.charge.nano_rho == call.charge.nano_rho
    assert found.charge.nano_epsilon == call.charge.nano_epsilon
    assert found.charge.is_pure is False


def test_delta_is_that_of_the_closed_form() -> None:
    # K0 = 2, s = 1, T = 3: 2 e^-3 / (1 + e^-1).
    threshold = Threshold(NoiseCall("laplace", 1.0, 2), 2, 3, 1)
    assert float(threshold.delta) == pytest.approx(2 * math.exp(-3) / (1 + math.exp(-1)), rel=1e-12)


def test_delta_never_exceeds_one() -> None:
    assert Threshold(NoiseCall("laplace", 1000.0, 50), 50, 1, 1).delta == 1


def test_noise_for_another_k0_is_refused() -> None:
    with pytest.raises(ValueError, match="K0 = 3 has sensitivity 3, found 1"):
        Threshold(NoiseCall("laplace", 1.0, 1), 3, 5, 1)
    with pytest.raises(ValueError, match="at least 1, found 0"):
        Threshold(NoiseCall("laplace", 1.0, 1), 1, 0, 1)
    with pytest.raises(ValueError, match="1e-18"):
        threshold_for(NoiseCall("laplace", 1.0, 1), 1, 0, 1)


def test_only_counts_strictly_above_and_texts_of_the_pattern_come_out() -> None:
    threshold = Threshold(NoiseCall("laplace", 1.0, 1), 1, 5, 1)
    noisy = {"E11": 6, "A00": 7, "B20": 5, "Mr Smith": 100, "E11\n": 9}
    assert threshold.released(noisy, "[A-Z][0-9]{2}") == ("A00", "E11")


def test_exponentials_are_enclosed() -> None:
    for x in (Fraction(1, 10**12), Fraction(1, 3), Fraction(1), Fraction(700)):
        low, high = exp_below(x), exp_above(x)
        assert 0 < low < high <= 1
        assert high - low < high / 10**50
    assert exp_below(Fraction(10**7)) == 0 < exp_above(Fraction(10**7)) < Fraction(1, 10**400)
    known = Fraction("0.367879441171442321595523770161460867445811131031767834507836801697")
    assert exp_below(Fraction(1)) < known < exp_above(Fraction(1))


@pytest.mark.parametrize("ambient", [6, 28])
def test_exponentials_are_enclosed_whatever_context_the_caller_has(ambient: int) -> None:
    exact = Context(prec=120)
    random = Random(7)
    with localcontext() as context:
        context.prec = ambient
        for _ in range(300):
            x = Fraction(random.getrandbits(60), random.getrandbits(54) + 1)
            true = Fraction(exact.exp(exact.divide(Decimal(x.numerator), Decimal(x.denominator)).copy_negate()))
            assert exp_below(x) < true < exp_above(x)


def test_the_key_decides_which_categories_are_kept() -> None:
    categories = [f"c{place}" for place in range(50)]
    chosen = {kept(b"patient", categories, 5, bytes([key])) for key in range(20)}
    assert len(chosen) == 20
    # Length of the id is part of the message: id and category cannot be shifted against each other.
    assert [kept(b"1", ["11", "2"], 1, b"k")] * 3 == [kept(b"1", ["2", "11", "2"], 1, b"k")] * 3
