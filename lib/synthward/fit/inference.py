"""Exact marginals of a log-linear model on a junction tree.

The model is `p(x) = exp(sum of potentials) / Z` with one table of potentials for each of a list of cliques. Potentials
are summed into their tree clique, messages go up the tree in logarithms (each table is scaled by its maximum before it
is exponentiated) and beliefs come down by division, so one exponential a tree cell is all that a call costs beside
additions (Lauritzen and Spiegelhalter 1988). A potential of -inf is a structural zero and stays one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from synthward.fit.junction import Clique, JunctionTree

Floats = npt.NDArray[np.float64]


@dataclass
class _Node:
    """How tables of some cliques are summed out of a table, or into it.

    Attributes:
        axes: Columns of the table.
        own: Places, in the list of cliques, of potentials with exactly these columns.
        drops: One column summed out, and the node of what is left.
    """

    axes: Clique
    own: list[int] = field(default_factory=list)
    drops: list[tuple[str, _Node]] = field(default_factory=list)


def _plan(axes: Clique, wanted: dict[int, frozenset[str]], sizes: Mapping[str, int]) -> _Node:
    """Sums out the longest columns first, and shares what several cliques have in common.

    All pairs of a table cost three passes over it, not one each.
    """
    node = _Node(axes, own=[place for place, clique in wanted.items() if len(clique) == len(axes)])
    left = {place: clique for place, clique in wanted.items() if len(clique) < len(axes)}
    for axis in sorted(axes, key=lambda name: -sizes[name]):
        without = {place: clique for place, clique in left.items() if axis not in clique}
        if without:
            rest = tuple(name for name in axes if name != axis)
            node.drops.append((axis, _plan(rest, without, sizes)))
            left = {place: clique for place, clique in left.items() if place not in without}
    return node


class Inference:
    """Sum-product on one tree for a fixed list of cliques."""

    def __init__(self, tree: JunctionTree, sizes: Mapping[str, int], cliques: Sequence[Clique]) -> None:
        """Plans the sums.

        Args:
            tree: Contains every clique.
            sizes: Cells of each column.
            cliques: Columns of each table of potentials; tables are row-major in this order of columns.

        Raises:
            ValueError: The tree does not contain a clique.
        """
        self.tree = tree
        self.cliques = tuple(cliques)
        self._sizes = sizes
        self._shapes = [tuple(sizes[name] for name in clique) for clique in tree.cliques]
        hosted: list[dict[int, frozenset[str]]] = [{} for _ in tree.cliques]
        for place, clique in enumerate(cliques):
            host = tree.host(clique)
            if host is None:
                raise ValueError(f"the junction tree has no table with {', '.join(clique)}")
            hosted[host][place] = frozenset(clique)
        self._plans = [_plan(axes, wanted, sizes) for axes, wanted in zip(tree.cliques, hosted, strict=True)]

    def beliefs(self, potentials: Sequence[Floats]) -> tuple[float, list[Floats]]:
        """Logarithm of Z, and the probabilities of every tree clique.

        Args:
            potentials: One table a clique of the list, in its order of columns.

        Returns:
            log Z, -inf where zeros leave nothing, and tables in the order of the tree (meaningless without mass).
        """
        tree = self.tree
        count = len(tree.cliques)
        tables = [self._gathered(place, potentials) for place in range(count)]
        upward: list[Floats] = [np.ones(())] * count
        log_z = 0.0
        for place in range(count - 1, -1, -1):
            table = tables[place]
            peak = float(table.max())
            if peak == -np.inf:
                return -np.inf, tables
            np.subtract(table, peak, out=table)
            np.exp(table, out=table)
            parent = tree.parents[place]
            upward[place] = self._summed(table, tree.cliques[place], tree.separators[place])
            if parent < 0:
                log_z += peak + float(np.log(upward[place]))
                continue
            with np.errstate(divide="ignore"):
                message = np.log(upward[place]) + peak
            tables[parent] += self._spread(message, tree.separators[place], tree.cliques[parent])
        for place in range(count):
            parent = tree.parents[place]
            if parent < 0:
                tables[place] /= upward[place]
                continue
            separator = tree.separators[place]
            above = self._summed(tables[parent], tree.cliques[parent], separator)
            ratio = np.divide(above, upward[place], out=np.zeros_like(above), where=upward[place] > 0)
            tables[place] *= self._spread(ratio, separator, tree.cliques[place])
        return log_z, tables

    def marginals(self, potentials: Sequence[Floats]) -> tuple[float, list[Floats]]:
        """log Z and the probabilities of every clique of the list, in its order of columns."""
        log_z, tables = self.beliefs(potentials)
        found: list[Floats] = [np.zeros(())] * len(self.cliques)
        for table, plan in zip(tables, self._plans, strict=True):
            self._scatter(table, plan, found)
        return log_z, found

    def clique_of(self, beliefs: Sequence[Floats], clique: Clique) -> Floats:
        """Probabilities of any columns that stand together in one table, in the order asked for."""
        host = self.tree.host(clique)
        assert host is not None
        axes = self.tree.cliques[host]
        kept = tuple(name for name in axes if name in set(clique))
        summed = self._summed(beliefs[host], axes, kept)
        return summed.transpose([kept.index(name) for name in clique])

    def _gathered(self, place: int, potentials: Sequence[Floats]) -> Floats:
        table = np.zeros(self._shapes[place])
        self._gather(table, self._plans[place], potentials)
        return table

    def _gather(self, table: Floats, node: _Node, potentials: Sequence[Floats]) -> None:
        for own in node.own:
            table += self._aligned(potentials[own], self.cliques[own], node.axes)
        for axis, below in node.drops:
            part = np.zeros([self._sizes[name] for name in below.axes])
            self._gather(part, below, potentials)
            table += np.expand_dims(part, node.axes.index(axis))

    def _scatter(self, table: Floats, node: _Node, found: list[Floats]) -> None:
        for own in node.own:
            order = [node.axes.index(name) for name in self.cliques[own]]
            found[own] = np.ascontiguousarray(table.transpose(order))
        for axis, below in node.drops:
            self._scatter(_drop(table, node.axes.index(axis)), below, found)

    @staticmethod
    def _aligned(table: Floats, clique: Clique, axes: Clique) -> Floats:
        return table.transpose([clique.index(name) for name in axes])

    def _spread(self, table: Floats, kept: Clique, axes: Clique) -> Floats:
        """A table over `kept` with axes of length 1 for the other columns; `kept` may be in another order than axes."""
        order = [kept.index(name) for name in axes if name in kept]
        return table.transpose(order).reshape([self._sizes[name] if name in kept else 1 for name in axes])

    def _summed(self, table: Floats, axes: Clique, kept: Clique) -> Floats:
        """Sums a table down to `kept`, longest axes first; the result is in the order of `axes`, then transposed."""
        left = list(axes)
        for name in sorted((name for name in axes if name not in kept), key=lambda name: -self._sizes[name]):
            table = _drop(table, left.index(name))
            left.remove(name)
        return table.transpose([left.index(name) for name in kept])


def _drop(table: Floats, axis: int) -> Floats:
    """Sum over one axis of a contiguous table."""
    shape = table.shape
    before = int(np.prod(shape[:axis], dtype=np.int64))
    flat = np.ascontiguousarray(table).reshape(before, shape[axis], -1)
    summed = flat[:, :, 0].sum(axis=1) if flat.shape[2] == 1 else flat.sum(axis=1)
    return summed.reshape(shape[:axis] + shape[axis + 1 :])
