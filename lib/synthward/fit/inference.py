"""Exact marginals of a log-linear model on a junction tree.

The model is `p(x) = exp(sum of potentials) / Z` with one table of potentials for each of a list of cliques. Potentials
are summed into their tree clique, messages go up the tree in logarithms (each slice of a table is scaled by its largest
entry before it is exponentiated) and beliefs come down by division, so that one exponential a tree cell is all that a
call costs beside additions (Lauritzen and Spiegelhalter 1988). A potential of -inf is a structural zero and stays one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from synthward.fit.junction import JunctionTree
from synthward.privacy.queries import Clique

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
            clique, parent, separator = tree.cliques[place], tree.parents[place], tree.separators[place]
            table = tables[place]
            # Scaled by the largest entry of every slice, so that no slice underflows, however unlikely it is.
            peak = self._reduced(np.maximum, table, clique, separator)
            if parent < 0 and peak == -np.inf:
                return -np.inf, tables
            possible = peak > -np.inf
            np.subtract(table, self._spread(np.where(possible, peak, 0), separator, clique), out=table)
            np.exp(table, out=table)
            upward[place] = self._summed(table, clique, separator)
            message = peak + np.log(np.where(possible, upward[place], 1))
            if parent < 0:
                log_z += float(message)
            else:
                tables[parent] += self._spread(message, separator, tree.cliques[parent])
        for place in range(count):
            clique, parent, separator = tree.cliques[place], tree.parents[place], tree.separators[place]
            if parent < 0:
                tables[place] /= upward[place]
                continue
            above = self._summed(tables[parent], tree.cliques[parent], separator)
            ratio = above / np.where(upward[place] > 0, upward[place], 1)
            tables[place] *= self._spread(ratio, separator, clique)
        return log_z, tables

    def marginals(self, potentials: Sequence[Floats]) -> tuple[float, list[Floats]]:
        """Logarithm of Z, and the probabilities of every clique of the list, in its order of columns."""
        log_z, tables = self.beliefs(potentials)
        found: list[Floats] = [np.zeros(())] * len(self.cliques)
        for table, plan in zip(tables, self._plans, strict=True):
            self._scatter(table, plan, found)
        return log_z, found

    def joint(self, beliefs: Sequence[Floats], clique: Clique) -> Floats:
        """Probabilities of any columns together, whether or not one table holds them, in the order asked for.

        Args:
            beliefs: Of this tree.
            clique: Different columns; the result has the product of their cells.
        """
        found: Floats = np.ones(())
        labels: Clique = ()
        left = set(clique)
        while left:
            place = self._richest(left)
            part, names = self._collect(beliefs, place, None, left)
            found, labels = np.multiply.outer(found, part), labels + names
            left -= set(names)
        return found.transpose([labels.index(name) for name in clique])

    def _richest(self, wanted: set[str]) -> int:
        """The table with most of the columns, the smallest one of several."""
        tree = self.tree
        return max(
            range(len(tree.cliques)),
            key=lambda place: (len(wanted & set(tree.cliques[place])), -tree.tables[place], -place),
        )

    def _collect(
        self, beliefs: Sequence[Floats], place: int, source: int | None, wanted: set[str]
    ) -> tuple[Floats, Clique]:
        """Joint probabilities of the wanted columns on this side of the tree, given the separator towards `source`.

        Returns:
            The table, and its columns: the separator to `source` first, then the wanted ones that are not in it.
        """
        axes = self.tree.cliques[place]
        up = () if source is None else self._between(place, source)
        here = wanted & set(axes)
        branches = []
        for other in self._neighbours(place):
            below = (wanted - set(axes)) & self._beyond(place, other)
            if other != source and below:
                branches.append((other, below))
        needed = set(up) | here | {name for other, _ in branches for name in self._between(place, other)}
        labels = tuple(name for name in axes if name in needed)
        table = self._summed(beliefs[place], axes, labels)
        if up:
            mass = self._summed(table, labels, up)
            inverse = np.divide(1, mass, out=np.zeros_like(mass), where=mass > 0)
            table = table * self._spread(inverse, up, labels)
        for other, below in branches:
            part, names = self._collect(beliefs, other, place, below)
            table, labels = _times(table, labels, part, names)
        kept = (*up, *(name for name in labels if name in wanted and name not in up))
        return self._summed(np.ascontiguousarray(table), labels, kept), kept

    def _neighbours(self, place: int) -> list[int]:
        parents, separators = self.tree.parents, self.tree.separators
        below = [child for child, parent in enumerate(parents) if parent == place and separators[child]]
        return below if parents[place] < 0 else [parents[place], *below]

    def _between(self, place: int, other: int) -> Clique:
        child = place if self.tree.parents[place] == other else other
        return self.tree.separators[child]

    def _beyond(self, place: int, other: int) -> set[str]:
        """Columns on the far side of an edge of the tree."""
        seen, waiting, found = {place}, [other], set[str]()
        while waiting:
            each = waiting.pop()
            seen.add(each)
            found |= set(self.tree.cliques[each])
            waiting += [near for near in self._neighbours(each) if near not in seen]
        return found

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
        """Sums a table down to `kept`, in the order of `kept`."""
        return self._reduced(np.add, table, axes, kept)

    def _reduced(self, operation: np.ufunc, table: Floats, axes: Clique, kept: Clique) -> Floats:
        """Reduces a table to `kept`, longest axes first; the result is in the order of `kept`."""
        left = list(axes)
        for name in sorted((name for name in axes if name not in kept), key=lambda name: -self._sizes[name]):
            table = _drop(table, left.index(name), operation)
            left.remove(name)
        return table.transpose([left.index(name) for name in kept])


def _times(table: Floats, labels: Clique, part: Floats, names: Clique) -> tuple[Floats, Clique]:
    """Product of two tables on the union of their columns."""
    joined = (*labels, *(name for name in names if name not in labels))
    order = [names.index(name) for name in joined if name in names]
    shape = [part.shape[names.index(name)] if name in names else 1 for name in joined]
    wide = table.reshape(table.shape + (1,) * (len(joined) - len(labels)))
    return wide * part.transpose(order).reshape(shape), joined


def _drop(table: Floats, axis: int, operation: np.ufunc = np.add) -> Floats:
    """Reduces one axis of a table."""
    shape = table.shape
    before = int(np.prod(shape[:axis], dtype=np.int64))
    flat = np.ascontiguousarray(table).reshape(before, shape[axis], -1)
    # A last axis of length 1 would make numpy loop over the axis before it, one entry at a time.
    found = operation.reduce(flat[:, :, 0], axis=1) if flat.shape[2] == 1 else operation.reduce(flat, axis=1)
    reduced: Floats = found.reshape(shape[:axis] + shape[axis + 1 :])
    return reduced
