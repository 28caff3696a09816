"""Privacy as the risk of a membership test: what a release can tell of whether one unit is in the source.

Guarantee. An attacker who knows everything but whether one privacy unit is there, and who raises a false alarm with
probability a, finds the unit with probability at most `Membership.detection(a)`. The excess of detections over false
alarms is at most `Membership.advantage`, whatever a is. Both follow from the charge alone, by the best of these bounds
(PROOFS.md, section 4.12), plus the charge's additive delta:

* pure epsilon: advantage tanh(epsilon / 2), detection min(e^epsilon a, 1 - e^-epsilon (1 - a));
* every call Gaussian: the trade-off curve of Gaussian noise, Phi(Phi^-1(a) + mu) with mu = sqrt(2 rho), plus the
  allowance for its being discrete; the advantage is the exact curve's delta at epsilon 0;
* rho-zCDP: the relative entropy of the two answers is at most rho, and so is that of two coins with the chances of
  detection and false alarm; Pinsker's and Bretagnolle and Huber's inequalities give the advantage.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from statistics import NormalDist

from synthward.privacy.accounting import ATTO, NANO, Charge, epsilon_of_rho, rho_for
from synthward.privacy.gaussian import (
    MAX_RHO,
    SHEPPARD,
    delta_of,
    discreteness,
    gaussian_epsilon_of,
    gaussian_rho_for,
)

MARGIN = 1e-9
"""Allowance for the errors of doubles in every bound, far above them."""

CAREFUL = 1 - 1e-6
"""Part of the wanted risk that the search aims at, so that what the plan charges in the end is within it."""

LARGEST = Decimal(20)
"""No risk below certainty needs a larger epsilon than this to be stated."""

STEP = Decimal("1e-6")
"""Epsilons are found to this, rounded down."""

CELLS = 2**22
"""Integers in the largest answer that the search allows for; more would move the risk by less than `CAREFUL` does."""

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Membership:
    """What a membership test can do at most against a release.

    Attributes:
        charge: What the release was charged.
        curve_cells: Integers in the largest answer where every call is Gaussian and the exact curve applies; else None.
    """

    charge: Charge
    curve_cells: int | None = None

    @property
    def advantage(self) -> float:
        """Largest excess of the detection rate over the rate of false alarms.

        >>> round(Membership(Charge.pure(1)).advantage, 4)
        0.4621
        """
        rho = self.charge.nano_rho / NANO
        found = [math.sqrt(rho / 2), math.sqrt(-math.expm1(-rho))]
        if self.charge.nano_epsilon is not None:
            found.append(math.tanh(self.charge.nano_epsilon / NANO / 2))
        if self._is_gaussian:
            found.append(float(delta_of(self.charge.nano_rho, Decimal(0), self.curve_cells or 0)))
        return self._with_allowance(min(found))

    def detection(self, false_alarms: float) -> float:
        """Largest rate of detection at a rate of false alarms.

        Args:
            false_alarms: Between 0 and 1, both excluded.

        >>> round(Membership(Charge.pure(1)).detection(0.01), 4)
        0.0272
        """
        rho = self.charge.nano_rho / NANO
        found = [false_alarms + self.advantage, _coin_within(false_alarms, rho)]
        if self.charge.nano_epsilon is not None:
            epsilon = self.charge.nano_epsilon / NANO
            # e^epsilon may be beyond doubles; then the first bound says nothing.
            found.append(false_alarms * math.exp(min(epsilon, 700)))
            found.append(1 - math.exp(-epsilon) * (1 - false_alarms))
        if self._is_gaussian:
            slack = float(discreteness(self.charge.nano_rho, self.curve_cells or 0))
            shifted = min(false_alarms + slack, 1 - 1e-15)
            found.append(_NORMAL.cdf(_NORMAL.inv_cdf(shifted) + math.sqrt(2 * rho * SHEPPARD)) + slack)
        return self._with_allowance(min(found))

    @property
    def _is_gaussian(self) -> bool:
        return self.curve_cells is not None and 0 < self.charge.nano_rho <= MAX_RHO * NANO

    def _with_allowance(self, bound: float) -> float:
        return min(1.0, bound + self.charge.atto_delta / ATTO + MARGIN)


def _coin_within(false_alarms: float, rho: float) -> float:
    """Largest chance of a coin whose relative entropy to one of chance `false_alarms` is at most rho, rounded up."""
    low, high = false_alarms, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        rest = 0.0 if middle >= 1 else (1 - middle) * math.log((1 - middle) / (1 - false_alarms))
        if middle * math.log(middle / false_alarms) + rest <= rho:
            low = middle
        else:
            high = middle
    return high


def epsilon_within(
    risk: Callable[[Membership], float], wanted: float, mechanism: str, delta: Decimal, *, exact_curve: bool
) -> Decimal:
    """The largest epsilon whose whole budget keeps a risk, rounded down; 0 where none does.

    It inverts the bounds above on the budget that the product itself gives for an epsilon. Risk grows with the budget,
    and the budget with epsilon, so a bisection finds it.

    Args:
        risk: Which risk.
        wanted: The most that it may be.
        mechanism: laplace or gaussian.
        delta: Delta of the release; for laplace it is not looked at.
        exact_curve: Whether every call will be Gaussian, so that the exact curve applies.
    """

    def keeps(found: Membership) -> bool:
        return risk(found) <= wanted * CAREFUL

    if mechanism == "laplace":
        steps = _largest(lambda steps: keeps(Membership(Charge.pure(steps * STEP))), int(LARGEST / STEP))
        return steps * STEP
    cells = CELLS if exact_curve else None
    nano_rho = _largest(lambda rho: keeps(Membership(Charge(None, rho), cells)), MAX_RHO * NANO)
    atto_delta = int(delta * ATTO)
    epsilon = epsilon_of_rho(nano_rho, atto_delta)
    if exact_curve:
        epsilon = min(epsilon, gaussian_epsilon_of(nano_rho, atto_delta, 1))
    epsilon = min(epsilon, LARGEST).quantize(STEP, rounding=ROUND_FLOOR)
    # Epsilon was rounded up and then down: a step or two may be left.
    while epsilon > 0 and not keeps(_whole(epsilon, delta, exact_curve)):
        epsilon -= STEP
    return epsilon


def _largest(holds: Callable[[int], bool], high: int) -> int:
    """The largest integer below `high` for which a falling condition holds; 0 where it holds for none."""
    low = 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _whole(epsilon: Decimal, delta: Decimal, exact_curve: bool) -> Membership:
    """A Gaussian release that uses up the budget of an epsilon."""
    rho = rho_for(epsilon, delta)
    if not exact_curve:
        return Membership(Charge(None, rho))
    return Membership(Charge(None, max(rho, gaussian_rho_for(epsilon, delta, 1))), CELLS)
