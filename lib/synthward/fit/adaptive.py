"""What `few_round` and `aim` have in common: candidates, public checks, the charge, and the expected_errors."""

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
from synthward.fit.tables import columns_outlook, joint_noise, tables_round
from synthward.privacy.accounting import NANO, Charge
from synthward.privacy.measurement import Round
from synthward.privacy.queries import Clique


class AdaptiveSynthesizer(ABC):
    """Everything but the rounds of a synthesizer that chooses its tables."""

    uses_bins = True

    @abstractmethod
    def columns(self, task: Task) -> Round:
        """The first round: the population and every column, with the whole budget where there are no candidates."""

    @abstractmethod
    def for_tables(self, task: Task, columns: Round) -> int:
        """nano-rho that joint tables get after a first round, selection and scores not counted."""

    def check(self, task: Task) -> list[str]:
        """Settings, candidates, zeros, caps, and whether the release could be of any use."""
        problems = [*needs_gaussian(task), *unused(task, FIT | {"target", "workload"}), *unknown_columns(task)]
        problems = problems or workload_problems(task) or joint_problems(task)
        return problems or useless(task, self.expected_errors)

    def charge(self, task: Task) -> Charge:
        """The whole budget: what a round does not need, a later one gets."""
        return Charge.concentrated(Fraction(budget_of(task), NANO))

    def cliques(self, task: Task) -> tuple[Clique, ...]:
        """All candidates."""
        return tuple(weights_of(task))

    def expected_errors(self, task: Task) -> Forecast:
        """See `fit.expected_errors`; the joint tables are guessed to be all candidates, on the cells of the domain."""
        weights, first = weights_of(task), self.columns(task)
        columns = columns_outlook(task, first)
        if not weights:
            return Forecast(columns, None)
        sizes = {name: book.cells for name, book in codebooks(task.domain).items()}
        asked = tables_round(task, allocation(weights, sizes), self.for_tables(task, first))
        return Forecast(columns, mean_distance(joint_noise(task, asked), task.declared_rows))

    def forecast(self, task: Task) -> dict[str, float]:
        """Noise share of the total variation distance of each column, at the declared number of rows."""
        return self.expected_errors(task).columns

    def joint_forecast(self, task: Task) -> float | None:
        """See `fit.expected_errors`."""
        return self.expected_errors(task).expected

    def warnings(self, task: Task) -> list[str]:
        """See `fit.expected_errors`; and tables of the workload that will not be measured."""
        return drowned(task) + self.expected_errors(task).warnings()
