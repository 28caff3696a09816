"""The units in which privacy is charged, and how charges add up.

A `Charge` holds integers, always rounded up, so that a ledger never rounds in the spender's favour:

* nano-epsilon (10^-9): only while the mechanism is pure, otherwise absent;
* nano-rho (10^-9) of zero-concentrated DP: always; a pure epsilon of which nothing else is known counts as
  epsilon^2 / 2 (Bun and Steinke 2016, Proposition 1.4), discrete Laplace noise by its exact number (`laplace`);
* atto-delta (10^-18): the additive failure probability of approximate mechanisms.

The epsilon of a total at a reporting delta is the smaller of two valid bounds: the sum of epsilons while every charge
is pure (basic composition), and the conversion of the summed rho at what is left of delta (Canonne, Kamath and Steinke
2020, computed by OpenDP with rounding upwards). Neighbours are always "add or remove one privacy unit".
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Any

NANO = 10**9
ATTO = 10**18
INFINITE = Decimal("Infinity")


def ceil_units(value: Fraction | Decimal | float, unit: int) -> int:
    """Smallest integer number of `1 / unit` that is at least `value`, computed exactly.

    Raises:
        ValueError: The value is negative, NaN or infinite.

    >>> ceil_units(Decimal("0.1"), NANO)
    100000000
    >>> ceil_units(Fraction(1, 3), 10)
    4
    """
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"a charge must be finite and not negative, found {value}")
    return math.ceil(Fraction(value) * unit)


@dataclass(frozen=True)
class Charge:
    """A privacy cost in integer units, rounded up.

    Attributes:
        nano_epsilon: Pure epsilon in 10^-9; None when the mechanism is not pure.
        nano_rho: rho of zCDP in 10^-9.
        atto_delta: Additive delta in 10^-18.
    """

    nano_epsilon: int | None
    nano_rho: int
    atto_delta: int = 0

    def __post_init__(self) -> None:
        parts = (self.nano_rho, self.atto_delta, 0 if self.nano_epsilon is None else self.nano_epsilon)
        if any(type(part) is not int or part < 0 for part in parts):
            raise ValueError(f"a charge is made of integers that are not negative, found {parts}")

    @classmethod
    def pure(cls, epsilon: Fraction | Decimal | float) -> Charge:
        """Cost of an epsilon-DP mechanism, which is also (epsilon^2 / 2)-zCDP."""
        nano = ceil_units(epsilon, NANO)
        return cls(nano_epsilon=nano, nano_rho=ceil_units(Fraction(nano, NANO) ** 2 / 2, NANO))

    @classmethod
    def concentrated(cls, rho: Fraction | Decimal | float) -> Charge:
        """Cost of a rho-zCDP mechanism."""
        return cls(nano_epsilon=None, nano_rho=ceil_units(rho, NANO))

    @property
    def is_pure(self) -> bool:
        """Whether the basic composition of epsilons applies."""
        return self.nano_epsilon is not None and self.atto_delta == 0

    def covers(self, other: Charge) -> bool:
        """Whether what costs `other` is paid for by this charge, in every unit that this charge states."""
        within = other.nano_rho <= self.nano_rho and other.atto_delta <= self.atto_delta
        if self.nano_epsilon is None:
            return within
        return within and other.nano_epsilon is not None and other.nano_epsilon <= self.nano_epsilon

    def __add__(self, other: Charge) -> Charge:
        ours, theirs = self.nano_epsilon, other.nano_epsilon
        return Charge(
            nano_epsilon=None if ours is None or theirs is None else ours + theirs,
            nano_rho=self.nano_rho + other.nano_rho,
            atto_delta=self.atto_delta + other.atto_delta,
        )


ZERO = Charge(nano_epsilon=0, nano_rho=0)


def total(charges: Iterable[Charge]) -> Charge:
    """Sum of charges; the sum of none is zero and pure.

    >>> total([Charge.pure(Fraction(1)), Charge.pure(Fraction(1, 2))])
    Charge(nano_epsilon=1500000000, nano_rho=625000000, atto_delta=0)
    """
    return sum(charges, ZERO)


@functools.cache
def _zcdp_to_approximate() -> Any:
    """OpenDP's conversion from zCDP, as a function of rho alone.

    The measurement below is a carrier: its input distance *is* rho, its map the identity, its function never runs.
    """
    import opendp.prelude as dp

    dp.enable_features("contrib", "honest-but-curious")
    carrier = dp.m.make_user_measurement(
        dp.atom_domain(T=float, nan=False),
        dp.absolute_distance(T=float),
        dp.zero_concentrated_divergence(),
        lambda value: value,
        lambda rho: rho,
        TO=float,
    )
    return dp.c.make_zCDP_to_approxDP(carrier)


def _float_above(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def _float_below(value: Fraction) -> float:
    nearest = float(value)
    return nearest if Fraction(nearest) <= value else math.nextafter(nearest, -math.inf)


def conversion_doubles(nano_rho: int, atto_delta: int) -> tuple[float, float]:
    """Doubles of rho and delta that the conversion computes with: rho not below, delta not above the exact number.

    Epsilon rises with rho and falls with delta, so that it comes out for a total that is no better than the true one.

    Args:
        nano_rho: rho in 10^-9.
        atto_delta: delta in 10^-18.
    """
    return _float_above(Fraction(nano_rho, NANO)), _float_below(Fraction(atto_delta, ATTO))


@functools.lru_cache(maxsize=4096)
def epsilon_of_rho(nano_rho: int, atto_delta: int) -> Decimal:
    """Smallest known epsilon such that rho-zCDP implies (epsilon, delta)-DP, rounded up to 10^-9.

    Args:
        nano_rho: rho in 10^-9.
        atto_delta: The delta at which to report, in 10^-18.

    Returns:
        Epsilon; zero for zero rho; infinite when delta is not positive, or rho too large for floats.

    >>> epsilon_of_rho(NANO // 2, 10**9)  # rho 0.5 at delta 1e-9
    Decimal('6.474070021')
    """
    if nano_rho == 0:
        return Decimal(0)
    if atto_delta <= 0:
        return INFINITE
    rho, delta = conversion_doubles(nano_rho, atto_delta)
    curve = _zcdp_to_approximate().map(rho)
    try:
        epsilon = curve.epsilon(delta)
    except Exception as error:
        # OpenDP's own exception, a class of its package: exp(epsilon) is beyond floats, so no finite bound is known.
        if "not finite" not in str(error):
            raise
        return INFINITE
    return Decimal(ceil_units(epsilon, NANO)) / NANO


def epsilon_of(charge: Charge, delta: Decimal) -> Decimal:
    """Epsilon of a total at the reporting `delta`: the better of the two valid bounds, rounded up to 10^-9.

    A pure total that is reported by its sum of epsilons uses up none of delta.

    Args:
        charge: The summed charges.
        delta: The delta at which the guarantee is stated, additive deltas included.

    Returns:
        Epsilon, infinite when the additive deltas leave nothing of `delta` and the total is not pure.

    >>> epsilon_of(Charge.pure(Fraction(1)), Decimal(0))
    Decimal('1')
    """
    left = int((delta * ATTO).to_integral_value(rounding=ROUND_FLOOR)) - charge.atto_delta
    by_rho = epsilon_of_rho(charge.nano_rho, left) if left >= 0 else INFINITE
    if charge.nano_epsilon is None or charge.atto_delta:
        return by_rho
    return min(by_rho, Decimal(charge.nano_epsilon) / NANO)


def fits(charge: Charge, cap_epsilon: Decimal, cap_delta: Decimal) -> bool:
    """Whether a total is within an (epsilon, delta) cap.

    >>> fits(Charge.pure(Fraction(1)), Decimal(1), Decimal(0))
    True
    >>> fits(Charge.pure(Fraction(11, 10)), Decimal(1), Decimal(0))
    False
    """
    return epsilon_of(charge, cap_delta) <= cap_epsilon


@functools.lru_cache(maxsize=256)
def rho_for(epsilon: Decimal, delta: Decimal) -> int:
    """Largest rho, in 10^-9, whose total is reported within (epsilon, delta).

    Found by bisection on integers, so that what is charged afterwards never exceeds what was asked for.

    Raises:
        ValueError: epsilon or delta is not positive.

    >>> rho_for(Decimal(1), Decimal("1e-9"))  # nano-rho
    14973057
    """
    if epsilon <= 0 or delta <= 0:
        raise ValueError(f"zCDP needs epsilon > 0 and delta > 0, found epsilon {epsilon}, delta {delta}")
    atto_delta = int(delta * ATTO)
    low, high = 0, 1
    while epsilon_of_rho(high, atto_delta) <= epsilon:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if epsilon_of_rho(middle, atto_delta) <= epsilon:
            low = middle
        else:
            high = middle
    return low


def remaining_epsilon(spent: Charge, cap_epsilon: Decimal, cap_delta: Decimal) -> Decimal:
    """What a scope's cap has left, as the plain difference of epsilons; never negative.

    Under zCDP a next release may cost less than this difference suggests; the ledger's test is `fits`, not this number.

    >>> remaining_epsilon(Charge.pure(Fraction(1)), Decimal(3), Decimal("1e-9"))
    Decimal('2.000000000')
    """
    used = epsilon_of(spent, cap_delta)
    return max(cap_epsilon - used, Decimal(0)).quantize(Decimal("1e-9"), rounding=ROUND_FLOOR)
