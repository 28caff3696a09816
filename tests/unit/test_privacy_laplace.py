"""rho of discrete Laplace noise: never below the divergence of any two neighbours, and reached by some."""

from __future__ import annotations

import math
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synthward.privacy.accounting import NANO, Charge, ceil_units
from synthward.privacy.laplace import laplace_rho
from synthward.privacy.noise import laplace_for

ORDERS = np.concatenate([1 + np.logspace(-3, 0, 12), np.linspace(2.2, 40, 25), np.logspace(1.7, 4, 8)])


def divergence(scale: float, moved: int, order: float) -> float:
    """Renyi divergence of discrete Laplace noise from itself moved by `moved`, summed over the integers.

    Beyond 0 and `moved` the ratio of the two is constant; the geometric sums of both tails are exact.
    """
    a = 1 / scale
    inside = np.arange(1, moved)
    # log of P, and of the ratio, at the left tail, at each integer between, at the right tail
    log_p = np.concatenate([[-math.log1p(-math.exp(-a))], -a * inside, [-a * moved - math.log1p(-math.exp(-a))]])
    ratio = np.concatenate([[a * moved], a * (moved - 2 * inside), [-a * moved]])
    log_p += math.log(math.tanh(a / 2))
    terms = log_p + (order - 1) * ratio
    top = terms.max()
    return float((top + math.log(np.exp(terms - top).sum())) / (order - 1))


scales = st.floats(0.05, 200)


@given(scales, st.lists(st.integers(0, 12), min_size=1, max_size=4).filter(any))
@example(0.7, [1])
@example(1.0, [1, 1])
@example(3.0, [5, 0, 4])
def test_no_neighbours_diverge_by_more_than_order_times_rho(scale: float, moved: list[int]) -> None:
    """Every order and every way to share out the distance over entries."""
    rho = float(laplace_rho(scale, sum(moved)))
    for order in ORDERS:
        together = sum(divergence(scale, each, order) for each in moved if each)
        assert together <= order * rho * (1 + 1e-9) + 1e-11


@given(scales, st.integers(1, 40))
def test_rho_is_attained_by_one_entry_at_orders_near_one(scale: float, moved: int) -> None:
    order = 1 + 1e-5
    found = divergence(scale, moved, order) / order
    assert found >= float(laplace_rho(scale, moved)) * (1 - 2e-3) - 1e-9


def exact(scale: float, sensitivity: int, digits: int) -> Fraction:
    """The formula in decimals of many digits, its error below 10^(20 - digits)."""
    with localcontext(Context(prec=digits)):
        s = Decimal(scale)
        a, epsilon = 1 / s, sensitivity / s
        sinh = (a.exp() - (-a).exp()) / 2
        return Fraction(epsilon - a / sinh * (1 - (-epsilon).exp()))


@given(st.floats(2e-3, 1e15), st.integers(1, 2**40))
@example(2.0**16, 2**16)
@example(1e15, 1)
@example(2e-3, 2**40)
def test_rho_is_rounded_up_and_hardly(scale: float, sensitivity: int) -> None:
    """Against 220 digits: at or above the exact number, and above by nothing that a charge would show."""
    found, true = laplace_rho(scale, sensitivity), exact(scale, sensitivity, 220)
    assert true - Fraction(1, 10**90) <= found
    assert found <= true + Fraction(1, 10**40) * max(1, sensitivity)
    if scale > 0.05 and true > Fraction(1, 10**30):
        # The reference errs by 10^-150 or less; what one rounding the wrong way would take is 10^-90 or more.
        assert found > true


@given(st.floats(1e-6, 1e300), st.integers(1, 2**62))
def test_rho_is_at_most_what_holds_of_every_pure_mechanism(scale: float, sensitivity: int) -> None:
    epsilon = Fraction(sensitivity) / Fraction(scale)
    assert 0 < laplace_rho(scale, sensitivity) <= min(epsilon, epsilon**2 / 2)


def test_discrete_noise_costs_more_than_the_formula_of_continuous_noise() -> None:
    """With scale 1 by a sixth: a d - 1 + exp(-a d) would be charged too little."""
    assert float(laplace_rho(1.0, 1)) == pytest.approx(1 - (1 - math.exp(-1)) / math.sinh(1), rel=1e-12)
    assert float(laplace_rho(1.0, 1)) > 1.25 * math.exp(-1)


@given(st.integers(10**3, 20 * NANO), st.integers(1, 2**30))
def test_a_laplace_call_is_charged_both_numbers(nano: int, sensitivity: int) -> None:
    """What was charged before, epsilon^2 / 2, is never less: old records cover what is asked under them."""
    call = laplace_for(nano, sensitivity)
    rho = laplace_rho(call.scale, sensitivity)
    assert call.charge.nano_rho == ceil_units(rho, NANO)
    assert Charge.pure(Fraction(call.charge.nano_epsilon or 0, NANO)).covers(call.charge)


def test_what_is_saved_at_epsilon_one() -> None:
    call = laplace_for(NANO, 2**16)
    assert 0.735 < call.charge.nano_rho / (NANO // 2) < 0.737


@pytest.mark.parametrize(("scale", "sensitivity"), [(1.0, 1), (4.0, 4), (0.5, 3), (10.0, 3), (3.0, 7)])
def test_dp_accounting_agrees(accounting: Any, scale: float, sensitivity: int) -> None:
    """Its privacy loss distribution of the same noise: the mean loss is rho, and no order costs more."""
    loss = accounting.from_discrete_laplace_mechanism(
        1 / scale, sensitivity=sensitivity, value_discretization_interval=1e-5
    )._pmf_remove
    dense = loss.to_dense_pmf() if hasattr(loss, "to_dense_pmf") else loss
    values = (dense._lower_loss + np.arange(dense.size)) * dense._discretization
    rho = float(laplace_rho(scale, sensitivity))
    assert dense._infinity_mass == 0
    assert float(np.dot(dense._probs, values)) == pytest.approx(rho, rel=1e-3)
    with np.errstate(divide="ignore"):
        log_p = np.log(dense._probs)
    for order in ORDERS[:30]:
        terms = log_p + (order - 1) * values
        found = (terms.max() + np.log(np.exp(terms - terms.max()).sum())) / (order - 1)
        assert found <= order * rho + 2e-5 * order
