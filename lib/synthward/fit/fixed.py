"""`fixed`: the tables that the request names, and the model of largest entropy that explains them.

One round: the population, a marginal of every column, and the named joint tables, with shares of the budget that grow
with their cells. Nothing is selected, so it works with pure epsilon and with zCDP, and every number of the model can be
traced to a named table.

Guarantee: that of the round's noise calls, composed by addition (see `privacy.accounting`); everything else here is
post-processing.
"""

from __future__ import annotations

from functools import reduce

from synthward.fit.base import Rounds, Task
from synthward.fit.conditionals import directed
from synthward.fit.forecast import Forecast, mean_distance
from synthward.fit.joint import Joint
from synthward.fit.junction import Graph
from synthward.fit.settings import FIT, joint_problems, unknown_columns, unused, useless
from synthward.fit.tables import column_errors, joint_noise, one_way_round
from synthward.privacy.accounting import Charge
from synthward.privacy.measurement import Round
from synthward.privacy.queries import Clique, Marginal


class Fixed:
    """See the module."""

    name = "fixed"
    uses_bins = True
    exact_curve = True

    def check(self, task: Task) -> list[str]:
        """Check settings, tables, zeros and caps, and refuse a release that would be useless."""
        named = task.options.cliques
        problems = [*unused(task, FIT | {"cliques"}), *unknown_columns(task)]
        if not named:
            problems.append("fixed needs `cliques`: the columns of each joint table; without any, use independent")
        if len({frozenset(clique) for clique in named}) < len(named):
            problems.append("cliques names the same columns twice; keep one")
        problems = problems or joint_problems(task, named)
        return problems or useless(task, self.expected_errors)

    def charge(self, task: Task) -> Charge:
        """Return the cost of the one round."""
        return _round(task).charge

    def cliques(self, task: Task) -> tuple[Clique, ...]:
        """Return the named tables; the only round asks about them."""
        return task.options.cliques

    def rounds(self, task: Task) -> Rounds:
        """Ask one round, then fit."""
        sealed = yield _round(task)
        joint = Joint(task, sealed)
        named = task.options.cliques
        tables = [m for m in sealed if isinstance(m.asked.query, Marginal) and m.asked.query.clique in named]
        graph = reduce(Graph.with_clique, named, joint.graph())
        fitted = joint.fit(graph.tree(), tables, task.options.max_iterations, None)
        return directed(self.name, joint, fitted)

    def expected_errors(self, task: Task) -> Forecast:
        """See `fit.forecast`."""
        asked = _round(task)
        return Forecast(column_errors(task, asked), mean_distance(joint_noise(task, asked), task.declared_rows))

    def forecast(self, task: Task) -> dict[str, float]:
        """Return the noise distance of each column, at the declared number of rows."""
        return self.expected_errors(task).columns

    def joint_forecast(self, task: Task) -> float | None:
        """See `fit.forecast`."""
        return self.expected_errors(task).expected

    def warnings(self, task: Task) -> list[str]:
        """See `fit.forecast`."""
        return self.expected_errors(task).warnings()


def _round(task: Task) -> Round:
    return one_way_round(task, named=dict.fromkeys(task.options.cliques, 1.0))
