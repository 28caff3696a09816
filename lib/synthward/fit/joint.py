"""From sealed tables to a joint model: the common part of all synthesizers of joint structure.

The one-way tables fix the groups of every column, the total, and the base of independent columns. Further tables become
targets, are fitted on a junction tree, and the model predicts the content of any table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import codebooks
from synthward.fit.base import Task
from synthward.fit.estimate import Fitted, Target, estimate, restored, total_of
from synthward.fit.groups import EXCLUDED, grouping
from synthward.fit.junction import Graph, JunctionTree
from synthward.fit.zeros import apart, potentials, read_zeros
from synthward.privacy.measurement import Measurement
from synthward.privacy.queries import Clique, Marginal
from synthward.privacy.sensitivity import WEIGHT_UNIT

Floats = npt.NDArray[np.float64]

RIDGE = 0.02
"""Strength of the shrinkage towards independent columns. Values from .005 to .2 were tried (medians of three seeds). At
epsilon 1, .01 to .02 gave the lowest mean distance of pairs; above .05, single columns became worse."""

FLOOR = 0.5
"""Smallest number of rows of a group in the base. So noise never makes a declared value impossible."""


class Joint:
    """The public state of a fit after the one-way tables."""

    def __init__(self, task: Task, sealed: Iterable[Measurement]) -> None:
        """Read the one-way tables among the sealed answers. Every column must have one."""
        self.task = task
        self.books = codebooks(task.domain)
        singles = {m.asked.query.clique: m for m in sealed if isinstance(m.asked.query, Marginal)}
        singles = {clique: m for clique, m in singles.items() if len(clique) == 1}
        self.total = total_of(
            [Target(clique, m.counts, np.full(m.counts.shape, m.deviation**2)) for clique, m in singles.items()]
        )
        self._zeros, _ = read_zeros(task.options.zeros, self.books)
        self.groupings = {
            name: grouping(book, singles[name,].counts, singles[name,].deviation, self.total, apart(self._zeros, name))
            for name, book in self.books.items()
        }
        self.sizes = {name: found.count for name, found in self.groupings.items()}
        self.ones = [self.target(singles[name,]) for name in self.books]
        self._base: dict[Clique, Floats] = {}
        for one in self.ones:
            rows = np.maximum(one.counts, FLOOR)
            self._base[one.clique] = np.log(rows / rows.sum())
        self.zero_tables = potentials(self._zeros, self.groupings)
        for clique, table in self.zero_tables.items():
            self._base[clique] = self._base[clique] + table if clique in self._base else table
        self.forced = tuple(clique for clique in self.zero_tables if len(clique) > 1)

    def base_logarithms(self, name: str) -> Floats:
        """Return the logarithms of a column's shares in the base; -inf for impossible groups."""
        return self._base[name,]

    def base_shares(self, clique: Clique) -> Floats:
        """Return the shares of a table's cells if columns were independent; 0 for cells that zeros make impossible."""
        shares = _outer([np.exp(self._base[name,]) for name in clique])
        for zero, table in self.zero_tables.items():
            if len(zero) > 1 and set(zero) <= set(clique):
                order = [zero.index(name) for name in clique if name in zero]
                shape = [self.sizes[name] if name in zero else 1 for name in clique]
                shares = shares * np.exp(table.transpose(order).reshape(shape))
        result: Floats = shares / shares.sum()
        return result

    def graph(self) -> Graph:
        """Return the graph in which only the columns of structural zeros are joined."""
        return reduce(Graph.with_clique, self.forced, Graph(self.sizes))

    def target(self, measured: Measurement) -> Target:
        """Sum a sealed marginal to the groups.

        If the excluded cells of a required column hold more rows than their noise explains, the other cells are scaled
        up to all rows: missing values go to the declared ones in proportion.
        """
        query = measured.asked.query
        assert isinstance(query, Marginal)
        table = measured.values.reshape([self.books[name].cells for name in query.clique])
        whole, cells = int(table.sum()), table.size
        for axis, name in enumerate(query.clique):
            table = self.groupings[name].summed(table, axis)
        kept = int(table.sum())
        members = _outer([self.groupings[name].members for name in query.clique])
        left = cells - float(members.sum())
        factor = restored(kept, whole - kept, measured.deviation * WEIGHT_UNIT * left**0.5)
        deviation = measured.deviation * factor
        variance = members * (deviation * deviation)
        return Target(query.clique, table.astype(np.float64) * (factor / WEIGHT_UNIT), variance)

    def fit(
        self,
        tree: JunctionTree,
        tables: Sequence[Measurement],
        iterations: int,
        start: Fitted | None,
        *,
        guess: bool = False,
    ) -> Fitted:
        """Fit all tables, the one-way tables included.

        Args:
            tree: Contains their cliques and those of structural zeros.
            tables: Sealed marginals, in addition to those given to the constructor.
            iterations: Largest number of steps.
            start: An earlier fit, or None.
            guess: True if another fit follows.
        """
        targets = [*self.ones, *(self.target(table) for table in tables)]
        return estimate(
            tree,
            self.sizes,
            self._base,
            targets,
            self.total,
            ridge=RIDGE,
            max_iterations=iterations,
            start=start,
            guess=guess,
        )

    def predictions(self, cliques: Sequence[Clique], fitted: Fitted | None) -> tuple[npt.NDArray[np.int64], ...]:
        """Predict every cell of some tables, in units of 1/S, row-major, rounded to whole rows.

        Args:
            cliques: Tables.
            fitted: The model; None for independent columns.
        """
        beliefs = None if fitted is None else fitted.inference.beliefs(fitted.potentials)[1]
        found = []
        for clique in cliques:
            shares = _outer([self.groupings[name].observed for name in clique])
            if fitted is not None and beliefs is not None:
                self._lay_over(shares, clique, fitted.inference.joint(beliefs, clique))
            found.append(np.rint(self.total * shares).astype(np.int64).ravel() * WEIGHT_UNIT)
        return tuple(found)

    def _lay_over(self, shares: Floats, clique: Clique, grouped: Floats) -> None:
        """Write the model's probabilities into the cells that are not excluded. Excluded cells stay independent."""
        places, table = [], grouped
        for axis, name in enumerate(clique):
            own = self.groupings[name]
            kept = np.flatnonzero(own.groups != EXCLUDED)
            weights = own.within[kept] * own.observed[kept].sum()
            shape = [-1 if other == axis else 1 for other in range(len(clique))]
            table = np.take(table, own.groups[kept], axis=axis) * weights.reshape(shape)
            places.append(kept)
        shares[np.ix_(*places)] = table


def _outer(vectors: Sequence[Floats]) -> Floats:
    """Return the outer product of vectors."""
    table: Floats = reduce(np.multiply.outer, vectors)
    return table
