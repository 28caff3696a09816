"""The protocol of synthesizers.

A synthesizer is a generator. It yields rounds of public queries, receives sealed measurements, and returns the model.
The main job drives it against the curator. A synthesizer never sees data, a session or a random generator.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Protocol, TypeVar

from synthward.domain.spec import Domain
from synthward.fit.model import Model
from synthward.privacy.accounting import NANO, Charge, rho_for
from synthward.privacy.calibration import calibrated
from synthward.privacy.gaussian import gaussian_rho_for
from synthward.privacy.measurement import Measurement, Round
from synthward.privacy.noise import Additive, NoiseCall
from synthward.privacy.queries import Clique, Query
from synthward.privacy.unit import PrivacyUnit
from synthward.spec.request import Synthesizer as Settings

A = TypeVar("A")
R = TypeVar("R")

Rounds = Generator[Round, tuple[Measurement, ...], Model]


@dataclass(frozen=True)
class Task:
    """The public settings of one synthesis.

    Attributes:
        domain: The requested attributes.
        unit: Privacy unit and contribution bound.
        mechanism: Noise distribution.
        epsilon: Largest epsilon that the run may spend, stated at `delta`.
        delta: Failure probability; 0 for pure mechanisms.
        declared_rows: Publicly declared number of rows of the source. Used for forecasts only.
        options: The synthesizer's settings in the request.
        curve_cells: Number of integers in the largest answer, if the exact Gaussian curve accounts for the run. None if
            the conversion from zCDP does.
        budget_share: The synthesizer's share of the run's budget. The learning rounds before it have the rest.
        planned_domain: The domain used for planning, before bins and values were learned. It has as many bins and
            values as a learned domain can have, so costs computed on it are valid for any learned domain. None before
            anything is learned.
    """

    domain: Domain
    unit: PrivacyUnit
    mechanism: Additive
    epsilon: Decimal
    delta: Decimal
    declared_rows: int
    options: Settings
    curve_cells: int | None = None
    budget_share: Fraction = Fraction(1)
    planned_domain: Domain | None = None


class Synthesizer(Protocol):
    """Turns noisy answers into a model."""

    name: str
    uses_bins: bool
    """True if numbers are drawn by their bins. Then it matters where the bins are cut."""
    exact_curve: bool
    """True if no call selects or sums fixed-point values. Then the curve of `privacy.gaussian` applies."""

    def check(self, task: Task) -> list[str]:
        """Return what is wrong with the task's options; an empty list if nothing is."""
        ...

    def charge(self, task: Task) -> Charge:
        """Return the upper bound on the cost of `rounds`. The ledger is charged this, before anything is read."""
        ...

    def cliques(self, task: Task) -> tuple[Clique, ...]:
        """Return every clique that a later round may ask about. All of them are counted in the first pass."""
        ...

    def rounds(self, task: Task) -> Rounds:
        """Yield rounds of queries, receive their sealed measurements, return the model."""
        ...

    def forecast(self, task: Task) -> dict[str, float]:
        """Return, by attribute, the expected total variation distance that noise alone causes."""
        ...

    def joint_forecast(self, task: Task) -> float | None:
        """Return the expected mean distance of the release's joint tables; None if none is measured."""
        ...

    def warnings(self, task: Task) -> list[str]:
        """Return warnings about the expected quality that an approver should read; often empty."""
        ...


def driven(
    rounds: Generator[A, tuple[Measurement, ...], R], answer: Callable[[A], tuple[Measurement, ...]]
) -> tuple[R, tuple[Measurement, ...]]:
    """Drive rounds to their end. Return what they lead to, and all answers in order.

    Args:
        rounds: Rounds of a synthesizer, which lead to a model, or of a program, which lead to a fit.
        answer: Answers a round: a curator, or a simulated one.
    """
    known: list[Measurement] = []
    asked = next(rounds)
    while True:
        answers = answer(asked)
        known.extend(answers)
        try:
            asked = rounds.send(answers)
        except StopIteration as finished:
            result: R = finished.value
            return result, tuple(known)


def budget_of(task: Task) -> int:
    """Return the synthesizer's budget: nano-epsilon for laplace, nano-rho for gaussian."""
    return int(whole_budget(task) * task.budget_share)


def whole_budget(task: Task) -> int:
    """Return the budget of the whole run, learning rounds included, in the unit of `budget_of`."""
    if task.mechanism == "laplace":
        return int(task.epsilon * NANO)
    by_zcdp = rho_for(task.epsilon, task.delta)
    if task.curve_cells is None:
        return by_zcdp
    return max(by_zcdp, gaussian_rho_for(task.epsilon, task.delta, task.curve_cells))


def share_out(task: Task, weights: Mapping[Query, float], budget: int | None = None) -> dict[Query, NoiseCall]:
    """Split a budget over queries in proportion to `weights`. Each query gets its own noise scale.

    Shares are integers, rounded down. Each charge is at most its share, so the sum is within the budget. Laplace splits
    epsilon, gaussian splits rho.

    Args:
        task: Mechanism, unit and domain.
        weights: Positive.
        budget: In the unit of `budget_of`; default: all of it.
    """
    available = budget_of(task) if budget is None else budget
    whole = sum(weights.values())
    return {
        query: calibrated(query, task.unit, task.domain, task.mechanism, int(available * weight / whole))
        for query, weight in weights.items()
    }
