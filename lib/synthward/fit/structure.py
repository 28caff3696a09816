"""Which joint tables to measure: candidates, their weights, and a junction tree that grows under a public cap.

Candidates are all pairs and the larger tables that the workload names. Their noisy errors against independent columns
say what a table would teach; a greedy pass takes the gravest first and the others by weighted error per
(cells ^ `PRICE`), and keeps each that the cap allows. Everything is a function of sealed answers and public settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from math import prod

import numpy as np

from synthward.domain.codes import codebooks
from synthward.fit.base import Task, budget_of
from synthward.fit.conditionals import drawn_cells
from synthward.fit.joint import Joint
from synthward.fit.junction import Clique, Graph
from synthward.fit.model import MAX_CELLS
from synthward.fit.zeros import cells_of
from synthward.privacy.calibration import calibrated
from synthward.privacy.queries import Marginal
from synthward.privacy.sensitivity import WEIGHT_UNIT

TARGET_WEIGHT = 3
"""Of pairs with the target column. Against 1, AUC at epsilon 1 rose by .011 (median of three seeds) and the mean
distance of all pairs by .0007; 8 gave no more AUC."""

GRAVE = 0.1
"""Candidates whose error is a larger distance than this come first, whatever they cost: it bounds the worst pair."""

PRICE = 0.6
"""Exponent of a table's cells when the other candidates compete for the tree: 0 would spend the cap on few large
tables."""

POWER = 2 / 3
"""Shares of the budget go with (weight x cells) ^ 2/3, which minimises the summed weighted noise of Gaussian tables."""

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


def grown(joint: Joint, scores: Mapping[Clique, float], weights: Mapping[Clique, int]) -> Graph:
    """The graph of the tables that a junction tree under the caps can hold.

    Args:
        joint: Groups and forced cliques.
        scores: Noisy L1 error of each candidate, in rows.
        weights: Weight of each table that is worth measuring.
    """
    books, options = joint.books, joint.task.options
    cells = {name: book.cells for name, book in books.items()}
    grave = [clique for clique in weights if scores[clique] > 2 * GRAVE * joint.total]
    first = sorted(grave, key=lambda clique: -weights[clique] * scores[clique])
    ranked = dict.fromkeys([*first, *_ranked(weights, scores, joint.sizes)])
    graph = joint.graph()
    for clique in ranked:
        if graph.covers(clique):
            continue
        larger = graph.with_clique(clique)
        if larger.cells <= options.max_cells and drawn_cells(larger.tree(), joint.sizes, cells) <= MAX_CELLS:
            graph = larger
    return graph


def worth_measuring(
    joint: Joint, scores: Mapping[Clique, float], noise: float, weights: Mapping[Clique, int], mean_absolute: float
) -> dict[Clique, int]:
    """The candidates that are worth their part of the budget, best first.

    Every further table makes all others noisier. With L1 error s under independence and L1 noise e, shrinkage leaves
    about s e / sqrt(s^2 + e^2) of a measured table's error; the number of tables is the one with the least sum.

    Args:
        joint: Groups.
        scores: Noisy L1 error of each candidate, in rows.
        noise: Standard deviation of a score.
        weights: Weight of each candidate.
        mean_absolute: Mean absolute noise of a cell, in rows, if one table had the whole budget.
    """
    told = {clique: weight for clique, weight in weights.items() if scores[clique] >= SIGNIFICANT * noise}
    ranked = _ranked(told, scores, joint.sizes)
    error = np.array([scores[clique] for clique in ranked])
    weight = np.array([float(told[clique]) for clique in ranked])
    cells = np.array([float(prod(joint.sizes[name] for name in clique)) for clique in ranked])
    share = (weight * cells) ** POWER
    best, least = 0, float((weight * error).sum())
    for number in range(1, len(ranked) + 1):
        rough = mean_absolute * cells[:number] * np.sqrt(share[:number].sum() / share[:number])
        left = error[:number] * rough / np.hypot(error[:number], rough)
        expected = float((weight[:number] * left).sum() + (weight[number:] * error[number:]).sum())
        if expected < least:
            best, least = number, expected
    return {clique: told[clique] for clique in ranked[:best]}


def _ranked(weights: Mapping[Clique, int], scores: Mapping[Clique, float], sizes: Mapping[str, int]) -> list[Clique]:
    """Tables by weighted error per price."""
    price = {clique: prod(sizes[name] for name in clique) ** PRICE for clique in weights}
    return sorted(weights, key=lambda clique: -weights[clique] * scores[clique] / price[clique])


def allocation(cliques: Mapping[Clique, int], sizes: Mapping[str, int]) -> dict[Clique, float]:
    """Relative share of the budget of each table.

    Args:
        cliques: Weight of each.
        sizes: Cells of each column.
    """
    return {clique: float(weight * prod(sizes[name] for name in clique)) ** POWER for clique, weight in cliques.items()}
