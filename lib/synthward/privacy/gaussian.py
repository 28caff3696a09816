"""The exact privacy curve of composed Gaussian noise, for runs whose every call is Gaussian at a large scale.

Guarantee: let every call of a run add discrete Gaussian noise, calls i with `cells_i` cells, scale s_i >= 2^12 and L2
sensitivity d_i, and let rho be at least the sum of d_i^2 / (2 s_i^2). If the gaps `cells_i / (2000 s_i^4)` add up to at
most `allowed_gap(epsilon, delta)`, and epsilon is at least `gaussian_epsilon_of(rho, delta)`, then the run is
(epsilon, delta)-DP for add/remove of one privacy unit. Proof: PROOFS.md, section 4.9. Discrete Gaussians compose to a
curve of their own; they are compared with rounded continuous ones, whose curve is known exactly and which differ by the
gap in total variation.

Everything is computed in decimals of 100 digits and rounded in the safe direction. The curve states the epsilon of one
release; the ledger and the scope's cap go on counting rho by its zCDP conversion, which is larger.
"""

from __future__ import annotations

import functools
from decimal import ROUND_FLOOR, Context, Decimal, localcontext
from fractions import Fraction
from typing import Literal

from synthward.privacy.accounting import ATTO, INFINITE, NANO

Accounting = Literal["zcdp", "gaussian"]
"""How a release's epsilon follows from its rho: by the zCDP conversion, or by the curve of this module."""

LEAST_SCALE = 2**12
"""Scales below this have no proven gap."""

RESERVED = Fraction(1, 128)
"""Part of delta that pays for the gap; at delta 1e-9 and epsilon 1 all of it costs 0.05 percent of epsilon."""

_DIGITS = 100
_MARGIN = Decimal("1e-40")
"""More than all rounding errors of a tail together: see `_mills`."""

_HALF_PI = Decimal(
    "1.5707963267948966192313216916397514420985846996875529104874722961539082031431044993140174126710585340"
)
_FAR = 12
"""Beyond this many deviations a tail is below 1e-32, and a crude bound of it serves as well."""


def rounding_gap(cells: int, scale: float) -> Fraction:
    """Bound of the total variation between discrete and rounded continuous Gaussian noise on that many cells.

    Raises:
        ValueError: The scale is below `LEAST_SCALE`.
    """
    if scale < LEAST_SCALE:
        raise ValueError(f"the Gaussian curve needs noise scales of at least {LEAST_SCALE}, found {scale}")
    return Fraction(cells) / (2000 * Fraction(scale) ** 4)


def allowed_gap(epsilon: Decimal, delta: Decimal) -> Fraction:
    """The summed gap that the reserved part of delta pays for: `delta / 128 / (1 + e^epsilon)`, rounded down."""
    with localcontext(Context(prec=_DIGITS)):
        growth = (1 + epsilon.exp().next_plus()).next_plus()
    return RESERVED * Fraction(delta) / Fraction(growth)


def curve_applies(cells: int, sensitivity: int, epsilon: Decimal, delta: Decimal) -> bool:
    """Whether any run that spends what `gaussian_rho_for` allows keeps its gap, as a function of public constants.

    A call of L2 sensitivity d that costs rho_i has the scale d / sqrt(2 rho_i), hence the gap of n cells is at most
    4 n rho_i^2 / (2000 d^4). Summed over calls that cost rho together, with n cells at most in each, this is at most
    4 n rho^2 / (2000 d^4), however many calls there are.

    Args:
        cells: The most cells that one answer of the run has.
        sensitivity: The smallest sensitivity that a query of the run can have.
        epsilon: Epsilon of the release.
        delta: Its delta.
    """
    rho = Fraction(gaussian_rho_for(epsilon, delta), NANO)
    square = Fraction(sensitivity) ** 2 / (2 * rho) if rho else Fraction(0)
    return square >= LEAST_SCALE**2 and cells / (2000 * square**2) <= allowed_gap(epsilon, delta)


@functools.lru_cache(maxsize=1024)
def gaussian_epsilon_of(nano_rho: int, atto_delta: int) -> Decimal:
    """Smallest epsilon on the curve of Gaussian noise of that rho, rounded up to 10^-9.

    Args:
        nano_rho: Summed rho in 10^-9.
        atto_delta: The delta at which to report, in 10^-18; `RESERVED` of it is set aside.

    Returns:
        Epsilon; zero for zero rho, infinite when delta is not positive.
    """
    if nano_rho == 0:
        return Decimal(0)
    if atto_delta <= 0:
        return INFINITE
    low, high = -1, 1
    while not _within(nano_rho, high, atto_delta):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if _within(nano_rho, middle, atto_delta):
            high = middle
        else:
            low = middle
    return Decimal(high) / NANO


@functools.lru_cache(maxsize=256)
def gaussian_rho_for(epsilon: Decimal, delta: Decimal) -> int:
    """Largest rho, in 10^-9, that the curve reports within (epsilon, delta).

    Raises:
        ValueError: epsilon or delta is not positive.
    """
    if epsilon <= 0 or delta <= 0:
        raise ValueError(f"the Gaussian curve needs epsilon > 0 and delta > 0, found epsilon {epsilon}, delta {delta}")
    nano_epsilon = int((epsilon * NANO).to_integral_value(rounding=ROUND_FLOOR))
    atto_delta = int((delta * ATTO).to_integral_value(rounding=ROUND_FLOOR))
    low, high = 0, 1
    while _within(high, nano_epsilon, atto_delta):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if _within(middle, nano_epsilon, atto_delta):
            low = middle
        else:
            high = middle
    return low


def _within(nano_rho: int, nano_epsilon: int, atto_delta: int) -> bool:
    """Whether the curve's delta is at most what is not reserved of `atto_delta`."""
    return _delta(nano_rho, nano_epsilon) <= (1 - RESERVED) * Fraction(atto_delta, ATTO)


def _delta(nano_rho: int, nano_epsilon: int) -> Fraction:
    """Upper bound of the curve's delta: Q(a) - e^epsilon Q(b) with a, b = epsilon / mu -+ mu / 2.

    Since e^epsilon phi(b) = phi(a), this is phi(a) (R(a) - R(b)) with the Mills ratio R = Q / phi: no large factor.
    """
    with localcontext(Context(prec=_DIGITS)):
        # The continuous twin of scale s has variance s^2 - 1/12, hence mu^2 = 2 rho / (1 - 1 / 12 s^2) at most.
        mu = (2 * Decimal(nano_rho) / NANO * (1 + Decimal(2) ** -27)).sqrt()
        middle = Decimal(nano_epsilon) / NANO / mu
        a, b = middle - mu / 2, middle + mu / 2
        if a <= -_FAR:
            return Fraction(1)
        density = (-a * a / 2).exp() / (4 * _HALF_PI).sqrt()
        if a >= _FAR:
            return Fraction((density / a).next_plus() + _MARGIN)
        # Gordon 1941: R(x) >= x / (x^2 + 1).
        below = _mills(b) if b <= _FAR else b / (b * b + 1)
        return Fraction(density * (_mills(a) - below) + _MARGIN)


def _mills(x: Decimal) -> Decimal:
    """R(x) = Q(x) / phi(x) for |x| <= 12 as sqrt(pi / 2) e^(x^2 / 2) - sum of x^(2k+1) / (2k+1)!!, within 1e-60.

    Terms of one sign, each within 1e-97 of its size, up to e^72 < 1e32 together; the terms left out are halved from one
    to the next and the first one is below 1e-90.
    """
    square = x * x
    term, total, odd = x, x, 1
    while abs(term) > Decimal("1e-90") or odd < 2 * square:
        odd += 2
        term = term * square / odd
        total += term
    return _HALF_PI.sqrt() * (square / 2).exp() - total
