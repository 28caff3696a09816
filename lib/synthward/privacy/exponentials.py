"""exp(-x) of a rational between two rationals, for bounds that must never come out too small.

Decimals of `DIGITS` digits, in a context of their own: what the caller's context rounds to does not matter.
"""

from __future__ import annotations

from decimal import ROUND_FLOOR, Context, Decimal
from fractions import Fraction

DIGITS = 60
"""Decimal digits of the exponentials; each is rounded by less than one in the last, in the safe direction."""

_DECIMALS = Context(prec=DIGITS, rounding=ROUND_FLOOR)

SMALL_ENOUGH = Fraction(1000)
"""exp(-1000) is far below any delta that can be charged; smaller numbers are taken for it, or for 0 from below."""


def exp_above(x: Fraction) -> Fraction:
    """exp(-x) for x >= 0, rounded up."""
    # `exp` is correctly rounded to nearest, so the next decimal is above. A minus sign would use the caller's context.
    return Fraction(_DECIMALS.next_plus(_DECIMALS.exp(_below(min(x, SMALL_ENOUGH)).copy_negate())))


def exp_below(x: Fraction) -> Fraction:
    """exp(-x) for x >= 0, rounded down; 0 beyond `SMALL_ENOUGH`."""
    if x > SMALL_ENOUGH:
        return Fraction(0)
    return Fraction(_DECIMALS.next_minus(_DECIMALS.exp(_DECIMALS.next_plus(_below(x)).copy_negate())))


def _below(x: Fraction) -> Decimal:
    return _DECIMALS.divide(Decimal(x.numerator), Decimal(x.denominator))
