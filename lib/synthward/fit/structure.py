"""Which joint tables to measure: candidates, their weights, those worth their noise, and shares of the budget.

Candidates are all pairs and the larger tables that the workload names. The noisy error of a table against independent
columns tells how much measuring it would teach. `fit.packing` decides which of them one model can hold. Everything is a
function of sealed answers and public settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import prod

import numpy as np

from synthward.domain.codes import codebooks
from synthward.fit.base import Task, budget_of
from synthward.fit.joint import Joint
from synthward.fit.packing import POWER, Prospects
from synthward.fit.zeros import cells_of
from synthward.privacy.calibration import calibrated
from synthward.privacy.measurement import Measurement
from synthward.privacy.queries import Clique, Marginal
from synthward.privacy.sensitivity import WEIGHT_UNIT

TARGET_WEIGHT = 3
"""Weight of pairs with the target column. Compared with 1, AUC at epsilon 1 rose by .011 (median of three seeds), and
the mean distance of all pairs rose by .0007. A weight of 8 gave no higher AUC."""

SIGNIFICANT = 2.0
"""A score must exceed this many standard deviations of its noise."""


def weights_of(task: Task) -> dict[Clique, int]:
    """Return the weight of every candidate, without tables that noise would drown or that exceed the cap by themselves.

    Candidates are all pairs, then the larger tables of the workload. A pair weighs 1, or what its workload entry says.
    A pair with the target counts `TARGET_WEIGHT` times.

    Noise drowns a table if it would exceed all declared rows even with this budget: the whole budget divided by the
    number of columns. If the domain was learned, the candidates are those of the plan, whose tables were larger.
    """
    options, names = task.options, tuple(task.domain.attributes)
    found = dict.fromkeys(combinations(names, 2), 1) | {
        tuple(sorted(entry.columns, key=names.index)): entry.weight for entry in options.workload
    }
    books = codebooks(task.domain if task.planned_domain is None else task.planned_domain)
    share = budget_of(task) // max(len(names), 1)
    call = calibrated(Marginal(names[:1]), task.unit, task.domain, task.mechanism, share)
    noise = call.mean_absolute / WEIGHT_UNIT / 2
    return {
        clique: weight * (TARGET_WEIGHT if len(clique) == 2 and options.target in clique else 1)
        for clique, weight in found.items()
        if cells_of(clique, books) * noise <= task.declared_rows and cells_of(clique, books) <= options.max_cells
    }


def drowned(task: Task) -> list[str]:
    """Name the workload's tables that `weights_of` leaves out because of their noise."""
    kept = {frozenset(clique) for clique in weights_of(task)}
    return [
        f"workload[{number}], ({', '.join(entry.columns)}), will not be measured: at epsilon {task.epsilon} its noise "
        f"is larger than {task.declared_rows} declared rows; give its columns fewer values or bins, or leave it out"
        for number, entry in enumerate(task.options.workload)
        if frozenset(entry.columns) not in kept
    ]


def worth_measuring(
    joint: Joint, scores: Mapping[Clique, float], noise: float, weights: Mapping[Clique, int], mean_absolute: float
) -> Prospects:
    """Return the candidates that are worth their share of the budget, best first.

    Every further table makes all others noisier. The number of tables is the one with the least predicted error
    (`Prospects.left`).

    Args:
        joint: Groups.
        scores: Noisy L1 error of each candidate, in rows.
        noise: Standard deviation of a score.
        weights: Weight of each candidate.
        mean_absolute: Mean absolute noise of a cell, in rows, as if one table had the whole budget.
    """
    significant = {clique: weight for clique, weight in weights.items() if scores[clique] >= SIGNIFICANT * noise}
    prospects = Prospects(significant, scores, joint.sizes, mean_absolute)
    ranks = np.arange(len(significant))
    errors = [float((prospects.weights * prospects.left(ranks < count)).sum()) for count in range(len(significant) + 1)]
    best = prospects.names[: int(np.argmin(errors))]
    return Prospects({clique: significant[clique] for clique in best}, scores, joint.sizes, mean_absolute)


def candidate_errors(joint: Joint, tables: Sequence[Measurement]) -> dict[Clique, float]:
    """Return the L1 error of measured tables against independent columns, in rows, less what noise alone explains.

    Args:
        joint: Groups and base.
        tables: Sealed marginals.
    """
    found: dict[Clique, float] = {}
    for table in tables:
        query = table.asked.query
        assert isinstance(query, Marginal)
        target = joint.target(table)
        expected = joint.total * joint.base_shares(target.clique)
        noise = math.sqrt(2 / math.pi) * float(np.sqrt(target.variance).sum())
        found[query.clique] = max(float(np.abs(target.counts - expected).sum()) - noise, 0.0)
    return found


def allocation(cliques: Mapping[Clique, int], sizes: Mapping[str, int]) -> dict[Clique, float]:
    """Return the relative share of the budget of each table.

    Args:
        cliques: Weight of each table.
        sizes: Number of cells of each column.

    >>> shares = allocation({("age", "sex"): 1, ("age", "ward"): 1}, {"age": 8, "sex": 1, "ward": 8})
    >>> [round(share, 3) for share in shares.values()]
    [4.0, 16.0]
    """
    return {clique: float(weight * prod(sizes[name] for name in clique)) ** POWER for clique, weight in cliques.items()}
