"""`tree`: measure every column, find pairs that deviate from independence, measure those that a tree can hold, fit.

Three rounds, all Gaussian:

1. the population and a marginal of every column: a tenth of rho, up to four tenths if the columns are too noisy;
2. the L1 error of every candidate table against independent columns, as one noisy vector: a tenth of rho;
3. the tables with the least predicted error that a junction tree under the public cap can hold (`fit.packing`); shares
   grow with (weight x cells) ^ 2/3.

Then one fit (`fit.estimate`). Selecting by noisy scores instead of the exponential mechanism keeps everything Gaussian
(the `SWIFT` mechanism of google/dpsynth does so too), and the shrinkage of the fit makes tables cheap to measure.

Guarantee: all calls together cost at most the rho of the task. Shares are integers, each call costs at most its share,
and a round gets what earlier rounds left. Scores and tables have the sensitivities of `privacy.sensitivity`. Weights
act after the noise. Nothing is divided by a true total. Everything else here is post-processing.
"""

from __future__ import annotations

from fractions import Fraction
from statistics import fmean

from synthward.fit.adaptive import AdaptiveSynthesizer
from synthward.fit.base import Rounds, Task, budget_of, share_out
from synthward.fit.conditionals import directed
from synthward.fit.joint import Joint
from synthward.fit.packing import searched
from synthward.fit.structure import allocation, weights_of, worth_measuring
from synthward.fit.tables import column_errors, one_way_round, tables_round
from synthward.privacy.measurement import Asked, Measurement, Round
from synthward.privacy.queries import Clique, Marginal, Scores
from synthward.privacy.sensitivity import WEIGHT_UNIT

ONE_WAY = (Fraction(1, 10), Fraction(2, 10), Fraction(3, 10), Fraction(4, 10))
"""Possible shares of the budget for the first round; the forecast chooses among them."""

COLUMN_DISTANCE = 0.01
"""A mean expected noise distance of the columns below this is good enough."""

SCORES = Fraction(1, 10)
"""Share of the budget of the second round."""


class Tree(AdaptiveSynthesizer):
    """See the module."""

    name = "tree"
    exact_curve = True

    def rounds(self, task: Task) -> Rounds:
        """Ask three rounds, then fit. One round without candidates; two if no table is worth measuring."""
        weights = weights_of(task)
        first = self.columns(task)
        joint = Joint(task, (yield first))
        tables: tuple[Measurement, ...] = ()
        graph = joint.graph()
        if weights:
            second = scores_round(task, joint, tuple(weights))
            [answer] = yield second
            scores = dict(zip(weights, answer.counts.tolist(), strict=True))
            left = budget_of(task) - first.charge.nano_rho - second.charge.nano_rho
            prospects = worth_measuring(joint, scores, answer.deviation, weights, whole_budget_noise(task, left))
            graph = searched(joint, prospects)
            chosen = {clique: weights[clique] for clique in prospects.names if graph.covers(clique)}
            if chosen:
                tables = yield tables_round(task, allocation(chosen, joint.sizes), left)
        fitted = joint.fit(graph.tree(), tables, task.options.max_iterations, None)
        return directed(self.name, joint, fitted)

    def columns(self, task: Task) -> Round:
        """Return the first round: the smallest good enough share of `ONE_WAY`; everything without candidates."""
        if not weights_of(task):
            return one_way_round(task)
        for share in ONE_WAY:
            asked = one_way_round(task, int(budget_of(task) * share))
            if fmean(column_errors(task, asked).values()) <= COLUMN_DISTANCE:
                break
        return asked

    def for_tables(self, task: Task, columns: Round) -> int:
        """Return what columns and scores leave of the budget."""
        budget = budget_of(task)
        return budget - columns.charge.nano_rho - int(budget * SCORES)


def whole_budget_noise(task: Task, budget: int) -> float:
    """Return the mean absolute noise of a cell, in rows, as if one table had the whole budget."""
    query = Marginal(tuple(task.domain.attributes)[:1])
    return share_out(task, {query: 1.0}, budget)[query].mean_absolute / WEIGHT_UNIT


def scores_round(task: Task, joint: Joint, candidates: tuple[Clique, ...]) -> Round:
    """Make the round that asks for the error of every candidate against independent columns."""
    query = Scores(candidates, joint.predictions(candidates, None))
    calls = share_out(task, {query: 1.0}, int(budget_of(task) * SCORES))
    return Round("scores", (Asked(query, calls[query]),))
