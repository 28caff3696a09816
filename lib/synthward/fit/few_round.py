"""`few_round`: measure every column, then every relation worth its noise, and fit one Markov field to all of it.

Rounds, all Gaussian:

1. the population and a marginal of every column: a tenth of rho, up to four tenths if the columns are too noisy;
2. only where noise is high: the L1 error of every candidate table against independent columns, as one noisy vector, a
   tenth of rho. Candidates that would teach less than they cost are left out;
3. the tables: all candidates, or those that round 2 leaves. Shares grow with (weight x cells) ^ 2/3.

Then one fit: a junction tree of the tables that it can hold gives the first guess (`fit.packing`, `fit.estimate`), and
`fit.field` fits all tables. No relation has to be left out because a tree cannot hold it.

Guarantee: all calls together cost at most the rho of the task. Shares are integers, each call costs at most its share,
and a round gets what earlier rounds left. Scores and tables have the sensitivities of `privacy.sensitivity`. Whether
round 2 takes place depends on public numbers only. Everything else here is post-processing.
"""

from __future__ import annotations

from synthward.domain.codes import codebooks
from synthward.fit.base import Rounds, Task, budget_of
from synthward.fit.conditionals import directed
from synthward.fit.forecast import mean_distance
from synthward.fit.joint import Joint
from synthward.fit.packing import Prospects
from synthward.fit.structure import allocation, candidate_errors, weights_of, worth_measuring
from synthward.fit.tables import joint_noise, tables_round
from synthward.fit.tree import Tree, scores_round, whole_budget_noise
from synthward.fit.whole_field import fitted_field
from synthward.privacy.measurement import Measurement, Round

CLEAR = 0.0125
"""If the tables' mean expected noise distance is at most this, every candidate is measured without asking for
scores."""


class FewRound(Tree):
    """See the module."""

    name = "few_round"
    fits_field = True

    def rounds(self, task: Task) -> Rounds:
        """Ask the rounds, then fit. One round without candidates; two if no table is worth measuring."""
        weights = weights_of(task)
        first = self.columns(task)
        joint = Joint(task, (yield first))
        left = budget_of(task) - first.charge.nano_rho
        prospects: Prospects | None = None
        if self.asks_for_scores(task, first):
            second = scores_round(task, joint, tuple(weights))
            [answer] = yield second
            scores = dict(zip(weights, answer.counts.tolist(), strict=True))
            left -= second.charge.nano_rho
            prospects = worth_measuring(joint, scores, answer.deviation, weights, whole_budget_noise(task, left))
            weights = {clique: weights[clique] for clique in prospects.names}
        tables: tuple[Measurement, ...] = ()
        if weights:
            tables = yield tables_round(task, allocation(weights, joint.sizes), left)
        if not tables:
            fitted = joint.fit(joint.graph().tree(), (), task.options.max_iterations, None)
            return directed(self.name, joint, fitted)
        if prospects is None:
            errors = candidate_errors(joint, tables)
            prospects = Prospects(weights, errors, joint.sizes, whole_budget_noise(task, left))
        return fitted_field(self.name, joint, tables, prospects)

    def for_tables(self, task: Task, columns: Round) -> int:
        """Return what columns, and scores if they are asked for, leave of the budget."""
        left = budget_of(task) - columns.charge.nano_rho
        return super().for_tables(task, columns) if self.asks_for_scores(task, columns) else left

    @staticmethod
    def asks_for_scores(task: Task, columns: Round) -> bool:
        """Return True if the tables would be so noisy that scores should decide which of them are measured.

        Args:
            task: The task.
            columns: The first round.
        """
        weights = weights_of(task)
        if not weights:
            return False
        sizes = {name: book.cells for name, book in codebooks(task.domain).items()}
        asked = tables_round(task, allocation(weights, sizes), budget_of(task) - columns.charge.nano_rho)
        distance = mean_distance(joint_noise(task, asked), task.declared_rows)
        return distance is not None and distance > CLEAR
