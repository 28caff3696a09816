"""From sealed tables to a joint model: what every synthesizer of joint structure shares.

After the one-way tables it fixes the groups of every column, the total and the base of independent columns; then it
turns further tables into targets, fits them on a junction tree, and predicts what any table would hold.
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
"""Strength of the shrinkage towards independent columns. Of .005 to .2, on medians of three seeds, .01 to .02 gave the
lowest mean distance of pairs at epsilon 1, and above .05 columns by themselves began to suffer."""

FLOOR = 0.5
"""Rows that every group has at least in the base, so that no noise makes a declared value impossible."""


class Joint:
    """The public state of a fit after the one-way tables."""

    def __init__(self, task: Task, sealed: Iterable[Measurement]) -> None:
        """Reads the one-way tables among the sealed answers; all columns must be there."""
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
        zero_tables = potentials(self._zeros, self.groupings)
        for clique, table in zero_tables.items():
            self._base[clique] = self._base[clique] + table if clique in self._base else table
        self.forced = tuple(clique for clique in zero_tables if len(clique) > 1)

    def graph(self) -> Graph:
        """The graph with the structural zeros' columns joined and nothing else."""
        return reduce(Graph.with_clique, self.forced, Graph(self.sizes))

    def target(self, measured: Measurement) -> Target:
        """A sealed marginal on the groups.

        Where a required column's excluded cells hold more than their noise, the rest is scaled up to all rows, so that
        missing values go to the declared ones in proportion.
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

    def fit(self, tree: JunctionTree, tables: Sequence[Measurement], iterations: int, start: Fitted | None) -> Fitted:
        """Fits all tables, the one-way ones included.

        Args:
            tree: Contains their cliques and the forced ones.
            tables: Sealed marginals beside those given to the constructor.
            iterations: Steps at most.
            start: An earlier fit, or None.
        """
        targets = [*self.ones, *(self.target(table) for table in tables)]
        return estimate(
            tree, self.sizes, self._base, targets, self.total, ridge=RIDGE, max_iterations=iterations, start=start
        )

    def predictions(self, cliques: Sequence[Clique], fitted: Fitted | None) -> tuple[npt.NDArray[np.int64], ...]:
        """What the model expects in every cell of some tables, in units of 1/S, row-major.

        In whole rows, which is all that a prediction is good for.

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
        """Puts the model's probabilities where no cell is excluded; the excluded ones stay independent."""
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
    """Product table of vectors."""
    table: Floats = reduce(np.multiply.outer, vectors)
    return table
