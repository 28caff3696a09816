"""`independent`: noisy one-way marginals, and columns that do not depend on each other.

One round: the population, and a marginal of every column. A column's share of the budget grows with its cells. This
works with pure epsilon and with zCDP. It is the baseline for every synthesizer of joint structure. Only structural
zeros relate columns to each other.

Guarantee: that of the round's noise calls, composed by addition (see `privacy.accounting`); everything else here is
post-processing.
"""

from __future__ import annotations

from synthward.fit.base import Rounds, Task
from synthward.fit.conditionals import directed
from synthward.fit.forecast import Forecast
from synthward.fit.joint import Joint
from synthward.fit.settings import FIT, joint_problems, unknown_columns, unused, useless
from synthward.fit.tables import column_errors, one_way_round
from synthward.privacy.accounting import Charge
from synthward.privacy.queries import Clique


class Independent:
    """See the module."""

    name = "independent"
    uses_bins = True
    exact_curve = True

    def check(self, task: Task) -> list[str]:
        """Check settings, zeros and caps, and refuse a release that would be useless."""
        problems = [*unused(task, FIT), *unknown_columns(task)] or joint_problems(task)
        return problems or useless(task, self.expected_errors)

    def charge(self, task: Task) -> Charge:
        """Return the cost of the one round."""
        return one_way_round(task).charge

    def cliques(self, task: Task) -> tuple[Clique, ...]:  # noqa: ARG002 - the protocol's
        """None: there is no later round."""
        return ()

    def rounds(self, task: Task) -> Rounds:
        """Ask one round, then fit."""
        joint = Joint(task, (yield one_way_round(task)))
        fitted = joint.fit(joint.graph().tree(), (), task.options.max_iterations, None)
        return directed(self.name, joint, fitted)

    def expected_errors(self, task: Task) -> Forecast:
        """See `fit.forecast`."""
        return Forecast(column_errors(task, one_way_round(task)), None)

    def forecast(self, task: Task) -> dict[str, float]:
        """Return the noise distance of each column, at the declared number of rows."""
        return self.expected_errors(task).columns

    def joint_forecast(self, task: Task) -> float | None:  # noqa: ARG002 - the protocol's
        """None: no joint table is measured."""
        return None

    def warnings(self, task: Task) -> list[str]:
        """See `fit.forecast`."""
        return self.expected_errors(task).warnings()
