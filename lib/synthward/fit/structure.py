"""Which joint tables to measure: candidates, their weights, those worth their noise, and shares of the budget.

Candidates are all pairs and the larger tables that the workload names. Their noisy errors against independent columns
say what a table would teach; which of them one model can hold is decided by `fit.packing`. Everything is a function of
sealed answers and public settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import prod

import numpy as np

from synthward.domain.codes import codebooks
from synthward.fit.base import Task, budget_of
from synthward.fit.joint import Joint
from synthward.fit.junction import Clique
from synthward.fit.packing import POWER, Prospects
from synthward.fit.zeros import cells_of
from synthward.privacy.calibration import calibrated
from synthward.privacy.queries import Marginal
from synthward.privacy.sensitivity import WEIGHT_UNIT

TARGET_WEIGHT = 3
"""Of pairs with the target column. Against 1, AUC at epsilon 1 rose by .011 (median of three seeds) and the mean
distance of all pairs by .0007; 8 gave no more AUC."""

SIGNIFICANT = 2.0
"""Standard deviations of its noise that a score needs."""


def weights_of(task: Task) -> dict[Clique, int]:
    """Weight of every candidate, in the order of the domain; tables that noise would drown are left out.

    A table is drowned when its noise would exceed all declared rows even if the whole budget went to it and one other
    table for each column. Where the domain was learned, candidates are those of the plan, whose tables were larger.
    """
    options, names = task.options, tuple(task.domain.attributes)
    place = {name: number for number, name in enumerate(names)}
    found: dict[Clique, int] = {pair: TARGET_WEIGHT if options.target in pair else 1 for pair in combinations(names, 2)}
    for entry in options.workload:
        found[tuple(sorted(entry.columns, key=lambda name: place[name]))] = entry.weight
    books = codebooks(task.domain if task.widest is None else task.widest)
    share = budget_of(task) // max(len(names), 1)
    call = calibrated(Marginal(names[:1]), task.unit, task.domain, task.mechanism, share)
    noise = call.mean_absolute / WEIGHT_UNIT / 2
    return {
        clique: weight
        for clique, weight in found.items()
        if cells_of(clique, books) * noise <= task.declared_rows and cells_of(clique, books) <= options.max_cells
    }


def worth_measuring(
    joint: Joint, scores: Mapping[Clique, float], noise: float, weights: Mapping[Clique, int], mean_absolute: float
) -> Prospects:
    """The candidates that are worth their part of the budget, best first.

    Every further table makes all others noisier; the number of tables is the one with the least predicted error
    (`Prospects.left`) if all of them were measured.

    Args:
        joint: Groups.
        scores: Noisy L1 error of each candidate, in rows.
        noise: Standard deviation of a score.
        weights: Weight of each candidate.
        mean_absolute: Mean absolute noise of a cell, in rows, if one table had the whole budget.
    """
    told = {clique: weight for clique, weight in weights.items() if scores[clique] >= SIGNIFICANT * noise}
    all_told = Prospects(told, scores, joint.sizes, mean_absolute)
    places = np.arange(len(told))
    expected = [float((all_told.weights * all_told.left(places < number)).sum()) for number in range(len(told) + 1)]
    best = all_told.names[: int(np.argmin(expected))]
    return Prospects({clique: told[clique] for clique in best}, scores, joint.sizes, mean_absolute)


def allocation(cliques: Mapping[Clique, int], sizes: Mapping[str, int]) -> dict[Clique, float]:
    """Relative share of the budget of each table.

    Args:
        cliques: Weight of each.
        sizes: Cells of each column.
    """
    return {clique: float(weight * prod(sizes[name] for name in clique)) ** POWER for clique, weight in cliques.items()}
