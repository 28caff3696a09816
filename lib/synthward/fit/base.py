"""What every synthesizer is: a generator of public queries that is sent sealed measurements and returns a model.

The pipeline drives it against the curator; a synthesizer never sees data, a session or a random generator.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

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

Rounds = Generator[Round, tuple[Measurement, ...], Model]


@dataclass(frozen=True)
class Task:
    """What a synthesizer is asked to do; public.

    Attributes:
        domain: The requested attributes.
        unit: Privacy unit and contribution bound.
        mechanism: Noise distribution.
        epsilon: The most that may be spent, at `delta`.
        delta: Failure probability; 0 for pure mechanisms.
        declared_rows: Publicly declared size of the source, for forecasts only.
        options: The synthesizer's settings in the request.
        curve_cells: Integers in the largest answer, where the exact Gaussian curve accounts for the run; None where the
            conversion from zCDP does.
        part: Part of the budget that the synthesizer has; earlier rounds have the rest.
        widest: Where the domain was learned, the one before: it has as many bins and values as a learned one can have,
            so that what was planned on it holds for all of them. None where the domain is declared.
    """

    domain: Domain
    unit: PrivacyUnit
    mechanism: Additive
    epsilon: Decimal
    delta: Decimal
    declared_rows: int
    options: Settings
    curve_cells: int | None = None
    part: Fraction = Fraction(1)
    widest: Domain | None = None


class Synthesizer(Protocol):
    """A way to turn noisy answers into a model."""

    name: str
    uses_bins: bool
    """Whether numbers are drawn by their bins, so that it matters where those are cut."""
    exact_curve: bool
    """Whether no call selects or sums fixed-point values, so that the curve of `privacy.gaussian` holds."""

    def check(self, task: Task) -> list[str]:
        """What is wrong with the task's options; empty when nothing is."""
        ...

    def charge(self, task: Task) -> Charge:
        """The most that `rounds` will cost, known before anything is read; this is what the ledger is charged."""
        ...

    def cliques(self, task: Task) -> tuple[Clique, ...]:
        """Every clique whose exact table a later round may ask about; all are counted in the first round's pass."""
        ...

    def rounds(self, task: Task) -> Rounds:
        """Yields rounds of queries, receives their sealed measurements, returns the model."""
        ...

    def forecast(self, task: Task) -> dict[str, float]:
        """Expected total variation distance by attribute that the noise alone causes, from public numbers."""
        ...

    def joint_forecast(self, task: Task) -> float | None:
        """Expected mean distance of the release's joint tables, from public numbers; None where none is measured."""
        ...

    def warnings(self, task: Task) -> list[str]:
        """What to know of the release's expected quality before approving it, from public numbers; often empty."""
        ...


def budget_of(task: Task) -> int:
    """The synthesizer's budget: nano-epsilon for laplace, nano-rho for gaussian."""
    return int(whole_budget(task) * task.part)


def whole_budget(task: Task) -> int:
    """The run's budget, that of earlier rounds included, in the unit of `budget_of`."""
    if task.mechanism == "laplace":
        return int(task.epsilon * NANO)
    by_zcdp = rho_for(task.epsilon, task.delta)
    if task.curve_cells is None:
        return by_zcdp
    return max(by_zcdp, gaussian_rho_for(task.epsilon, task.delta, task.curve_cells))


def share_out(task: Task, weights: Mapping[Query, float], budget: int | None = None) -> dict[Query, NoiseCall]:
    """Splits a budget over queries in proportion to `weights`, each with its own scale.

    Shares are integers rounded down and every charge is at most its share, so the sum is within the budget. Laplace
    splits epsilon, gaussian splits rho.

    Args:
        task: Mechanism, unit and domain.
        weights: Positive.
        budget: In the unit of `budget_of`, which is the default.
    """
    available = budget_of(task) if budget is None else budget
    whole = sum(weights.values())
    return {
        query: calibrated(query, task.unit, task.domain, task.mechanism, int(available * weight / whole))
        for query, weight in weights.items()
    }
