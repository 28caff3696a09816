"""The common part of `few_round` and `aim`: candidates, public checks, the charge and the forecast."""

from __future__ import annotations

from abc import ABC, abstractmethod
from fractions import Fraction

from synthward.domain.codes import codebooks
from synthward.fit.base import Task, budget_of
from synthward.fit.forecast import Forecast, mean_distance
from synthward.fit.settings import (
    FIT,
    joint_problems,
    needs_gaussian,
    unknown_columns,
    unused,
    useless,
    workload_problems,
)
from synthward.fit.structure import allocation, drowned, weights_of
from synthward.fit.tables import column_errors, joint_noise, tables_round
from synthward.privacy.accounting import NANO, Charge
from synthward.privacy.measurement import Round
from synthward.privacy.queries import Clique


class AdaptiveSynthesizer(ABC):
    """Base of synthesizers that choose their tables. A subclass adds the rounds."""

    uses_bins = True
    fits_field = False
    """True if the model is a field, for the forecast."""

    @abstractmethod
    def columns(self, task: Task) -> Round:
        """Return the first round: population and every column. Without candidates it has the whole budget."""

    @abstractmethod
    def for_tables(self, task: Task, columns: Round) -> int:
        """Return the nano-rho left for joint tables after the first round, selections and scores."""

    def check(self, task: Task) -> list[str]:
        """Check settings, candidates, zeros and caps, and refuse a release that would be useless."""
        problems = [*needs_gaussian(task), *unused(task, FIT | {"target", "workload"}), *unknown_columns(task)]
        problems = problems or workload_problems(task) or joint_problems(task)
        return problems or useless(task, self.expected_errors)

    def charge(self, task: Task) -> Charge:
        """Return the whole budget: a later round gets what an earlier one does not need."""
        return Charge.concentrated(Fraction(budget_of(task), NANO))

    def cliques(self, task: Task) -> tuple[Clique, ...]:
        """Return all candidates."""
        return tuple(weights_of(task))

    def expected_errors(self, task: Task) -> Forecast:
        """Forecast the errors (see `fit.forecast`), as if all candidates were measured on the cells of the domain."""
        weights, first = weights_of(task), self.columns(task)
        columns = column_errors(task, first)
        if not weights:
            return Forecast(columns, None)
        sizes = {name: book.cells for name, book in codebooks(task.domain).items()}
        asked = tables_round(task, allocation(weights, sizes), self.for_tables(task, first))
        return Forecast(columns, mean_distance(joint_noise(task, asked), task.declared_rows), self.fits_field)

    def forecast(self, task: Task) -> dict[str, float]:
        """Return the noise distance of each column, at the declared number of rows."""
        return self.expected_errors(task).columns

    def joint_forecast(self, task: Task) -> float | None:
        """See `fit.forecast`."""
        return self.expected_errors(task).expected

    def warnings(self, task: Task) -> list[str]:
        """See `fit.forecast`. Also name the workload's tables that will not be measured."""
        return drowned(task) + self.expected_errors(task).warnings()
