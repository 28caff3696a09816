"""Texts of numbers in the report. Rounding never promises too much."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal

LARGEST_EXPONENT = 230.0
"""e to this power is the largest factor that is computed. Beyond it nothing is promised."""


def rounded_up(value: Decimal, digits: int = 4) -> str:
    """Return a privacy loss, rounded up to `digits` significant digits. Rounding down would promise too much."""
    if not value.is_finite():
        return "unlimited"
    if value == 0:
        return "0"
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() - digits + 1), ROUND_CEILING).normalize()
    return f"{rounded:e}".replace("e-0", "e-") if abs(rounded) < Decimal("0.0001") else f"{rounded:f}"


def chance(value: Decimal) -> str:
    """Return a probability as "1 in N", rounded so that it does not promise too much."""
    return f"1 in {int(1 / value):,}" if value > 0 else "none"


def number(value: float) -> str:
    """Return a number with separators. Below a thousand it has three significant digits."""
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def percent(value: float) -> str:
    """Return a share as a percentage."""
    if 0 < value < 0.0005:
        return "<0.1%"
    if 0.9995 < value < 1:
        return ">99.9%"
    return f"{100 * value:.1f}%"


def distance(value: float) -> str:
    """Return the text of a total variation distance."""
    return f"{value:.3f}" if value >= 0.0005 or value == 0 else "<0.001"


def factor(epsilon: Decimal) -> str:
    """Return e^epsilon as a text, rounded up."""
    if epsilon > LARGEST_EXPONENT:
        return "more than 10^99"
    found = Decimal(math.exp(float(epsilon)))
    return rounded_up(found, 3) if found < 1000 else f"{int(found) + 1:,}" if found < 10**9 else f"{found:.1e}"


def instant(text: str) -> str:
    """Return an ISO 8601 instant in a form for people."""
    day, _, time = text.partition("T")
    return f"{day} {time[:5]} UTC" if time.endswith(("Z", "+00:00")) else text


FILTERS = {
    "up": rounded_up,
    "number": number,
    "percent": percent,
    "chance": chance,
    "distance": distance,
    "factor": factor,
    "instant": instant,
}
"""The template's filters."""
