"""Charges round up, add up, and are reported by the better of two valid bounds, never below the truth."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from synthward.privacy.accounting import (
    ATTO,
    INFINITE,
    NANO,
    ZERO,
    Charge,
    ceil_units,
    conversion_doubles,
    epsilon_of,
    epsilon_of_rho,
    fits,
    remaining_epsilon,
    rho_for,
    total,
)

DELTA = Decimal("1e-9")
amounts = st.integers(0, 10**12)
charges = st.builds(Charge, st.one_of(st.none(), amounts), amounts, st.integers(0, 10**9))


@given(st.fractions(0, 1000))
def test_rounding_is_upwards_by_less_than_one_unit(value: Fraction) -> None:
    nano = ceil_units(value, NANO)
    assert value <= Fraction(nano, NANO) < value + Fraction(1, NANO)


@given(st.floats(0, 1e6))
def test_doubles_are_rounded_up_from_their_exact_value(value: float) -> None:
    assert Fraction(ceil_units(value, NANO), NANO) >= Fraction(value)


@pytest.mark.parametrize("value", [-1, -1e-300, math.nan, math.inf, Decimal("NaN"), Decimal("Infinity")])
def test_what_is_no_charge_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        ceil_units(value, NANO)


@pytest.mark.parametrize("parts", [(1.0, 1, 0), (1, -1, 0), (-1, 1, 0), (1, 1, -1), (True, 1, 0), (1, 0.5, 0)])
def test_a_charge_is_made_of_integers(parts: tuple) -> None:
    with pytest.raises(ValueError, match="integers"):
        Charge(*parts)


@given(st.decimals(min_value="1e-9", max_value=100, places=12))
def test_pure_epsilon_also_counts_as_rho(epsilon: Decimal) -> None:
    charge = Charge.pure(epsilon)
    assert Fraction(charge.nano_epsilon or 0, NANO) >= Fraction(epsilon)
    assert Fraction(charge.nano_rho, NANO) >= Fraction(epsilon) ** 2 / 2
    assert charge.is_pure


@given(st.lists(charges, max_size=6))
def test_sums_are_exact_and_pure_only_while_all_are(parts: list[Charge]) -> None:
    whole = total(parts)
    assert whole.nano_rho == sum(part.nano_rho for part in parts)
    assert whole.atto_delta == sum(part.atto_delta for part in parts)
    if all(part.nano_epsilon is not None for part in parts):
        assert whole.nano_epsilon == sum(part.nano_epsilon or 0 for part in parts)
    else:
        assert whole.nano_epsilon is None
    assert total([]) == ZERO


def best_epsilon(rho: float, delta: float) -> float:
    """Canonne, Kamath and Steinke 2020, Corollary 13, over a fine grid of orders."""
    orders = 1 + np.logspace(-4, 7, 200_000)
    extra = math.log(1 / delta) + (orders - 1) * np.log1p(-1 / orders) - np.log(orders)
    return float(np.min(orders * rho + extra / (orders - 1)))


@pytest.mark.parametrize("nano_rho", [1, 1000, 10**6, 10**8, 10**9, 5 * 10**9])
@pytest.mark.parametrize("atto_delta", [1, 10**6, 10**9, 10**12])
def test_the_conversion_is_that_of_the_literature(nano_rho: int, atto_delta: int) -> None:
    found = float(epsilon_of_rho(nano_rho, atto_delta))
    known = best_epsilon(nano_rho / NANO, atto_delta / ATTO)
    assert known * (1 - 1e-6) - 1e-9 <= found <= known * 1.01 + 2e-9


@given(nano_rho=st.integers(1, 10**15), atto_delta=st.integers(1, 10**17))
@example(nano_rho=100_000_001, atto_delta=10**9)
@example(nano_rho=3, atto_delta=10**17 - 1)
def test_the_doubles_of_a_conversion_lie_on_the_safe_side(nano_rho: int, atto_delta: int) -> None:
    """Against exact rationals: 1e-9 and 1e-18 have no doubles, so that nearly every number is rounded."""
    rho, delta = conversion_doubles(nano_rho, atto_delta)
    assert Fraction(math.nextafter(rho, 0)) < Fraction(nano_rho, NANO) <= Fraction(rho)
    assert Fraction(delta) <= Fraction(atto_delta, ATTO) < Fraction(math.nextafter(delta, 1))


def test_the_edges_of_the_conversion() -> None:
    assert epsilon_of_rho(0, 0) == 0
    assert epsilon_of_rho(1, 0) == INFINITE
    assert epsilon_of_rho(1, -1) == INFINITE


def test_the_smaller_of_two_bounds_is_reported() -> None:
    """One pure charge: its epsilon. Very many small ones: concentration wins over the sum."""
    one = Charge.pure(1)
    assert epsilon_of(one, DELTA) == Decimal(1)
    many = total([Charge.pure(Decimal("0.001"))] * 10_000)
    by_rho = epsilon_of_rho(many.nano_rho, 10**9)
    assert by_rho < Decimal(many.nano_epsilon or 0) / NANO
    assert epsilon_of(many, DELTA) == by_rho


def test_a_mixed_total_has_no_pure_bound_and_delta_is_used_up() -> None:
    mixed = Charge.pure(1) + Charge.concentrated(Decimal("0.01"))
    assert epsilon_of(mixed, DELTA) == epsilon_of_rho(mixed.nano_rho, 10**9)
    used = Charge(nano_epsilon=NANO, nano_rho=NANO // 2, atto_delta=4 * 10**8)
    assert epsilon_of(used, DELTA) == epsilon_of_rho(NANO // 2, 6 * 10**8)
    gone = Charge(nano_epsilon=NANO, nano_rho=NANO // 2, atto_delta=10**9)
    assert epsilon_of(gone, DELTA) == INFINITE
    assert not fits(gone, Decimal(1000), DELTA)
    assert epsilon_of(Charge(None, 5, 10**9 + 1), DELTA) == INFINITE


@pytest.mark.parametrize("epsilon", ["0.001", "0.1", "1", "4.5", "20"])
@pytest.mark.parametrize("delta", ["1e-12", "1e-9", "1e-5"])
def test_rho_for_never_exceeds_and_wastes_nothing(epsilon: str, delta: str) -> None:
    wanted, at = Decimal(epsilon), Decimal(delta)
    rho = rho_for(wanted, at)
    assert epsilon_of(Charge(None, rho), at) <= wanted
    assert epsilon_of(Charge(None, rho + 1), at) > wanted


@pytest.mark.parametrize(("epsilon", "delta"), [("0", "1e-9"), ("-1", "1e-9"), ("1", "0")])
def test_rho_for_needs_something_to_spend(epsilon: str, delta: str) -> None:
    with pytest.raises(ValueError, match="zCDP needs"):
        rho_for(Decimal(epsilon), Decimal(delta))


@given(st.lists(amounts, min_size=1, max_size=5))
def test_a_total_never_costs_less_than_a_part(parts: list[int]) -> None:
    whole = total(Charge.concentrated(Fraction(part, 10**12)) for part in parts)
    for part in parts:
        assert epsilon_of(Charge.concentrated(Fraction(part, 10**12)), DELTA) <= epsilon_of(whole, DELTA)


def test_what_remains_is_never_negative_and_rounded_down() -> None:
    assert remaining_epsilon(Charge.pure(Decimal("0.3")), Decimal(1), DELTA) == Decimal("0.7")
    assert remaining_epsilon(Charge.pure(2), Decimal(1), DELTA) == 0


def test_a_rho_beyond_floats_has_no_finite_epsilon_and_a_pure_one_keeps_its_sum() -> None:
    """A request that asks for epsilon 50,000 is refused by policy with a sentence, not by an overflow."""
    assert epsilon_of_rho(10**17, 10**9).is_infinite()
    assert epsilon_of(Charge.pure(5000), Decimal("1e-9")) == 5000
