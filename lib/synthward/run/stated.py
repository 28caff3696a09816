"""Requests that state their privacy as a risk: the epsilon that keeps it, and whether the plan's charge does."""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from decimal import Decimal

from synthward.errors import ConfigError, Problem
from synthward.fit.catalog import synthesizer
from synthward.privacy.membership import Membership, epsilon_within
from synthward.spec.request import Privacy, Request


def settled(request: Request) -> Request:
    """The request with an epsilon, found from its risk where it states one; any other is as it was.

    Raises:
        ConfigError: The risk is too small for any noise of the product.
    """
    privacy = request.privacy
    if privacy.epsilon is not None:
        return request
    # As in `plan.with_curve`.
    exact = privacy.mechanism == "gaussian" and synthesizer(request.synthesizer.name).exact_curve
    epsilon = _epsilon(privacy, exact)
    if not epsilon:
        raise ConfigError([Problem("privacy", "no epsilon keeps so small a risk; allow more of it")])
    return replace(request, privacy=replace(privacy, epsilon=epsilon))


@functools.lru_cache(maxsize=64)
def _epsilon(privacy: Privacy, exact: bool) -> Decimal:
    return epsilon_within(
        lambda found: risk_of(privacy, found), _wanted(privacy), privacy.mechanism, privacy.delta, exact_curve=exact
    )


def risk_of(privacy: Privacy, found: Membership) -> float:
    """The risk that a request states, of what was charged."""
    if privacy.detection is not None:
        return found.detection(float(privacy.detection.false_alarms))
    return found.advantage


def _wanted(privacy: Privacy) -> float:
    return float(privacy.detection.rate if privacy.detection is not None else privacy.membership_advantage or 0)


def unkept(privacy: Privacy, found: Membership) -> str | None:
    """Why a plan does not keep the risk that its request states; None where it does, or none is stated."""
    if privacy.membership_advantage is None and privacy.detection is None:
        return None
    wanted, charged = _wanted(privacy), risk_of(privacy, found)
    if charged <= wanted:
        return None
    return f"asks for a risk of {wanted} at most, and the plan's charge allows {charged:.6f}; state an epsilon instead"


def risk_words(found: Membership, unit: str, false_alarms: Decimal = Decimal("0.01")) -> str:
    """What a membership test can do at most, in words.

    Args:
        found: What was charged.
        unit: Name of the privacy unit.
        false_alarms: Rate of false alarms at which detection is stated.
    """
    rate = found.detection(float(false_alarms))
    return (
        f"a test for one {unit}, by somebody who knows all others, detects those who are in the source more often than "
        f"it raises false alarms by at most {_percent(found.advantage)} (membership advantage); with "
        f"{_percent(float(false_alarms))} false alarms it detects at most {_percent(rate)}"
    )


def _percent(share: float) -> str:
    """A share in per cent, with two places, never rounded down."""
    return f"{min(100.0, math.ceil(round(share * 1e4, 6)) / 100):.2f} %"
