"""What `few_round` and `aim` have in common: candidates, public checks, the charge, and the outlook."""

from __future__ import annotations

from fractions import Fraction

from synthward.domain.codes import codebooks
from synthward.fit.base import Task, budget_of
from synthward.fit.outlook import Outlook, mean_distance
from synthward.fit.settings import FIT, joint_problems, needs_gaussian, unknown_columns, unused, useless
from synthward.fit.structure import allocation, weights_of
from synthward.fit.tables import columns_outlook, joint_noise, one_way_round, tables_round
from synthward.privacy.accounting import NANO, Charge
from synthward.privacy.queries import Clique

COLUMNS, TABLES = Fraction(1, 10), Fraction(8, 10)
"""Shares of the budget that the outlook takes for columns and for joint tables."""


class Choosing:
    """Everything but the rounds of a synthesizer that chooses its tables."""

    uses_bins = True

    def check(self, task: Task) -> list[str]:
        """Settings, candidates, zeros, caps, and whether the release could be of any use."""
        problems = [*needs_gaussian(task), *unused(task, FIT | {"target", "workload"}), *unknown_columns(task)]
        problems = problems or joint_problems(task)
        return problems or useless(task, self.outlook)

    def charge(self, task: Task) -> Charge:
        """The whole budget: what a round does not need, a later one gets."""
        return Charge.concentrated(Fraction(budget_of(task), NANO))

    def cliques(self, task: Task) -> tuple[Clique, ...]:
        """All candidates."""
        return tuple(weights_of(task))

    def outlook(self, task: Task) -> Outlook:
        """See `fit.outlook`; the joint tables are guessed to be all candidates, on the cells of the domain."""
        weights, budget = weights_of(task), budget_of(task)
        columns = columns_outlook(task, one_way_round(task, int(budget * COLUMNS)))
        if not weights:
            return Outlook(columns, None)
        sizes = {name: book.cells for name, book in codebooks(task.domain).items()}
        asked = tables_round(task, allocation(weights, sizes), int(budget * TABLES))
        return Outlook(columns, mean_distance(joint_noise(task, asked), task.declared_rows))

    def forecast(self, task: Task) -> dict[str, float]:
        """Noise share of the total variation distance of each column, at the declared number of rows."""
        return self.outlook(task).columns

    def warnings(self, task: Task) -> list[str]:
        """See `fit.outlook`."""
        return self.outlook(task).warnings()
