"""Which of the tables worth measuring a junction tree under the public caps can hold.

A greedy pass takes tables in an order and keeps each that the caps allow. A local search improves the order: it sends
one table that was kept to the end, or brings one that did not fit to the front, and accepts what lowers the error that
is predicted for all tables together. Everything is a function of sealed answers and public settings; the number of
passes is bounded by a public number, not by a clock, so that a resumed run ends with the same tree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt

from synthward.fit.conditionals import drawn_cells
from synthward.fit.joint import Joint
from synthward.fit.junction import Graph
from synthward.fit.model import MAX_CELLS
from synthward.privacy.queries import Clique

Floats = npt.NDArray[np.float64]

GRAVE = 0.1
"""An error of this distance counts twice in the search, and tables with a larger one come first in its first order,
whatever they cost: it bounds the worst pair."""

PRICE = 0.6
"""Exponent of a table's cells when tables compete for the tree: 0 would spend the cap on few large tables."""

POWER = 2 / 3
"""Shares of the budget go with (weight x cells) ^ 2/3, which minimises the summed weighted noise of Gaussian tables."""

EFFORT = 800_000
"""Passes x tables x columns of the search at most: about 400 passes, or 7 CPU-seconds, for all pairs of 17 columns."""

GAIN = 1e-6
"""Least part of the predicted error that a change must save: far above what float arithmetic can differ by."""


class Prospects:
    """Tables that may be measured, and the error that is predicted for them.

    Attributes:
        names: The tables, by weighted error per (cells ^ `PRICE`), best first.
    """

    def __init__(
        self,
        weights: Mapping[Clique, int],
        scores: Mapping[Clique, float],
        sizes: Mapping[str, int],
        mean_absolute: float,
    ) -> None:
        """Ranks the tables.

        Args:
            weights: Weight of each table.
            scores: Noisy L1 error of each under independent columns, in rows.
            sizes: Groups of each column.
            mean_absolute: Mean absolute noise of a cell, in rows, if one table had the whole budget.
        """
        cells = {clique: prod(sizes[name] for name in clique) for clique in weights}
        self.names = sorted(weights, key=lambda clique: -weights[clique] * scores[clique] / cells[clique] ** PRICE)
        self.errors: Floats = np.array([max(scores[clique], 0.0) for clique in self.names])
        self.weights: Floats = np.array([float(weights[clique]) for clique in self.names])
        self._cells: Floats = np.array([float(cells[clique]) for clique in self.names])
        self._shares: Floats = (self.weights * self._cells) ** POWER
        self._mean_absolute = mean_absolute

    def left(self, measured: npt.NDArray[np.bool_]) -> Floats:
        """L1 error of each table, in rows, when some are measured together.

        With L1 error s under independence and L1 noise e, shrinkage leaves about s e / sqrt(s^2 + e^2) of a measured
        table's error; every further table makes all others noisier.

        Args:
            measured: Which, shape (tables,).
        """
        whole = float(self._shares[measured].sum())
        noise = self._mean_absolute * self._cells * np.sqrt(whole / self._shares)
        shrunk = self.errors * noise / np.maximum(np.hypot(self.errors, noise), np.finfo(float).tiny)
        result: Floats = np.where(measured, shrunk, self.errors)
        return result


def packed(joint: Joint, order: Sequence[Clique]) -> tuple[Graph, list[Clique]]:
    """The graph of a greedy pass, and the tables that made it grow.

    Args:
        joint: Groups, forced cliques and caps.
        order: Tables, those to be held before all others first.
    """
    cells = {name: book.cells for name, book in joint.books.items()}
    graph, kept = joint.graph(), []
    for clique in order:
        if graph.covers(clique):
            continue
        larger = graph.with_clique(clique)
        if larger.cells <= joint.task.options.max_cells and drawn_cells(larger.tree(), joint.sizes, cells) <= MAX_CELLS:
            graph = larger
            kept.append(clique)
    return graph, kept


def searched(joint: Joint, prospects: Prospects) -> Graph:
    """The graph with the least predicted error that the search finds.

    Args:
        joint: Groups, forced cliques and caps.
        prospects: The tables worth measuring.
    """
    names, rows = prospects.names, joint.total
    grave = [clique for clique, error in zip(names, prospects.errors, strict=True) if error > 2 * GRAVE * rows]
    order = list(dict.fromkeys([*grave, *names]))
    graph, kept = packed(joint, order)
    least = _cost(prospects, graph, rows)
    passes, better = EFFORT // max(1, len(names) * len(joint.sizes)), True
    while better:
        better = False
        for clique, last in _moves(order, kept, graph):
            if not passes:
                return graph
            passes -= 1
            rest = [other for other in order if other != clique]
            changed = [*rest, clique] if last else [clique, *rest]
            found, used = packed(joint, changed)
            cost = _cost(prospects, found, rows)
            if cost < least * (1 - GAIN):
                order, kept, graph, least, better = changed, used, found, cost, True
    return graph


def _moves(order: Sequence[Clique], kept: Sequence[Clique], graph: Graph) -> list[tuple[Clique, bool]]:
    """What to try: each kept table last, then each table that the graph does not hold first."""
    outside = [clique for clique in order if not graph.covers(clique)]
    return [(clique, True) for clique in kept] + [(clique, False) for clique in outside]


def _cost(prospects: Prospects, graph: Graph, rows: float) -> float:
    """Weighted sum of predicted errors, a large one for more than its size."""
    left = prospects.left(np.array([graph.covers(clique) for clique in prospects.names], dtype=bool))
    return float((prospects.weights * left * (1 + left / (2 * GRAVE * rows))).sum())
