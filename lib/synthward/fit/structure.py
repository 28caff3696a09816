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
from synthward.fit.packing import POWER, Prospects
from synthward.fit.zeros import cells_of
from synthward.privacy.calibration import calibrated
from synthward.privacy.queries import Clique, Marginal
from synthward.privacy.sensitivity import WEIGHT_UNIT

TARGET_WEIGHT = 3
"""Of pairs with the target column. Against 1, AUC at epsilon 1 rose by .011 (median of three seeds) and the mean
distance of all pairs by .0007; 8 gave no more AUC."""

SIGNIFICANT = 2.0
"""Standard deviations of its noise that a score needs."""


def weights_of(task: Task) -> dict[Clique, int]:
    """Weight of every candidate; tables that noise would drown or that exceed the cap by themselves are left out.

    Candidates are all pairs, which weigh 1, then the larger tables of the workload. An entry's weight takes the place
    of the 1, and whatever a pair weighs counts `TARGET_WEIGHT` times if it has the target.

    A table is drowned when its noise would exceed all declared rows even if the whole budget went to it and one other
    table for each column. Where the domain was learned, candidates are those of the plan, whose tables were larger.
    """
    options, names = task.options, tuple(task.domain.attributes)
    found = dict.fromkeys(combinations(names, 2), 1) | {
        tuple(sorted(entry.columns, key=names.index)): entry.weight for entry in options.workload
    }
    books = codebooks(task.domain if task.widest is None else task.widest)
    share = budget_of(task) // max(len(names), 1)
    call = calibrated(Marginal(names[:1]), task.unit, task.domain, task.mechanism, share)
    noise = call.mean_absolute / WEIGHT_UNIT / 2
    return {
        clique: weight * (TARGET_WEIGHT if len(clique) == 2 and options.target in clique else 1)
        for clique, weight in found.items()
        if cells_of(clique, books) * noise <= task.declared_rows and cells_of(clique, books) <= options.max_cells
    }


def drowned(task: Task) -> list[str]:
    """Tables that the workload names and `weights_of` leaves out because of their noise, in words."""
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
