"""A Markov field over all measured tables, fitted by persistent chains.

The field gives a row x the weight exp(sum_i h_i[x_i] + sum_f M_f[x_f]): one potential for every group of a column, and
one for every cell of a measured table. It needs no junction tree, so it can hold every measured relation. Its tables
cannot be summed exactly. They are estimated from chains: rows that are redrawn column by column from their conditionals
(Gibbs sampling), while the potentials follow the gradient of the regularised likelihood (persistent contrastive
divergence, Tieleman 2008, doi:10.1145/1390156.1390290).

The objective is that of `fit.estimate`: with noisy counts y, variance v, ridge r and N rows, the gradient of a table is
`N p - y + r v M`. A table far from independence beyond its noise has its own, smaller ridge.

Everything is post-processing of sealed numbers. The number of sweeps is public. The chance comes from a generator with
a fixed seed, so that equal input gives equal output on one kind of processor.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from synthward.fit.estimate import Target
from synthward.fit.tied import Block, tied_blocks
from synthward.privacy.queries import Clique

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Weights = npt.NDArray[np.floating[Any]]
"""Potentials or probabilities in single or double precision."""

PACKED_CELLS = 1200
"""Largest number of joint codes of columns that are looked up together: their tables stay in the cache."""

CHUNK_ROWS = 1 << 13
"""Rows that are redrawn at a time, so that their conditionals stay in the cache."""

FIRST_STEP, LAST_STEP = 0.2, 0.05
"""Step of the first and of the last sweep; it falls geometrically."""

SINGLE_GAIN = 2.5
"""The potentials of single columns take steps larger by this factor: a column's shares have to keep up with its tables.
With 1, columns of a code and its name lag behind for all sweeps."""

LARGEST_STEP = 0.5
"""A potential moves by at most this much in one step."""

SMALLEST_SHARE = 4e-4
"""The curvature of a cell is taken to be at least that of a cell with this share of all rows."""

PROGRESS = 10
"""Number of sweeps between two lines of the log."""


@dataclass(frozen=True, eq=False)
class Field:
    """Potentials of a Markov field.

    Attributes:
        names: Columns.
        singles: Potential of each group of each column.
        tables: Potential of each cell of the tables, by clique; -inf for impossible cells.
    """

    names: tuple[str, ...]
    singles: tuple[Floats, ...]
    tables: Mapping[Clique, Floats]


@dataclass(frozen=True, eq=False)
class FieldFit:
    """A fitted field.

    Attributes:
        field: Mean potentials of the last half of the sweeps.
        rows: Groups of the chains, shape (columns, chains).
        expected: The model's table of each clique in rows: the mean over the last half of the sweeps.
        sweeps: Number of sweeps.
        gaps: Distance of each table of the model to what the objective asks for, margins apart, as a share of all rows.
    """

    field: Field
    rows: Codes
    expected: Mapping[Clique, Floats]
    sweeps: int
    gaps: Mapping[Clique, float]


class Chains:
    """Rows on groups, with the joint codes of packed columns kept up to date.

    Columns are packed in such a way that one look-up gives the sum of several tables' potentials.
    """

    def __init__(
        self,
        rows: Codes,
        sizes: Sequence[int],
        cliques: Sequence[tuple[int, ...]],
        seed: int,
        packed_cells: int = PACKED_CELLS,
    ) -> None:
        """Take over the rows.

        Args:
            rows: Groups, shape (columns, rows); changed in place.
            sizes: Number of groups of each column.
            cliques: Columns of each table, by index.
            seed: Public seed of the chance.
            packed_cells: Largest number of joint codes of packed columns. Packing pays where many rows are looked up
                at a time; with 1, every column stays by itself.
        """
        self.rows = rows
        self.sizes = tuple(sizes)
        self.cliques = tuple(cliques)
        self._chance = np.random.Generator(np.random.PCG64(seed))
        self._packs = _packed(self.sizes, packed_cells)
        self._pack_of = {column: number for number, pack in enumerate(self._packs) for column in pack}
        self._strides = [_strides([self.sizes[column] for column in pack]) for pack in self._packs]
        self._codes = [self.joint_codes(pack) for pack in self._packs]
        self.tables_of = [
            tuple(number for number, clique in enumerate(self.cliques) if column in clique)
            for column in range(len(self.sizes))
        ]

    @property
    def work(self) -> int:
        """Numbers that are looked up for one row in one redraw of every column."""
        reached = [
            {self._pack_of[other] for number in tables for other in self.cliques[number]} for tables in self.tables_of
        ]
        return sum(size * (len(packs) + 1) for size, packs in zip(self.sizes, reached, strict=True))

    @property
    def count(self) -> int:
        """Number of rows."""
        return int(self.rows.shape[1])

    def joint_codes(self, columns: Sequence[int]) -> Codes:
        """Return the joint code of some columns for each row, row-major over the columns; 0 without columns."""
        code = np.zeros(self.count, dtype=np.int64)
        for column in columns:
            code = code * self.sizes[column] + self.rows[column]
        return code

    def lookups(
        self, column: int, tables: Sequence[Floats], among: Sequence[int] | None = None
    ) -> list[tuple[Codes, Floats]]:
        """Return pairs of codes and values: the sum of `values[codes]` is the sum of a column's tables.

        Args:
            column: Index of the column.
            tables: One array for each clique, in their order; its axes are the clique's columns.
            among: Numbers of the tables to add up; default: all tables of the column.

        Returns:
            For each pair, codes of shape (rows,) and values of shape (number of codes, groups of the column).
        """
        found: list[tuple[Codes, Floats]] = []
        by_pack: dict[int, Floats] = {}
        for number in self.tables_of[column] if among is None else among:
            clique, table = self.cliques[number], tables[number]
            others = tuple(other for other in clique if other != column)
            moved = np.moveaxis(table, clique.index(column), -1)
            if len(others) > 1:
                found.append((self.joint_codes(others), moved.reshape(-1, self.sizes[column])))
                continue
            pack_number = self._pack_of[others[0]]
            pack = self._packs[pack_number]
            if len(pack) == 1:
                by_pack[pack_number] = moved
                continue
            if pack_number not in by_pack:
                by_pack[pack_number] = np.zeros([*(self.sizes[each] for each in pack), self.sizes[column]])
            shape = [self.sizes[each] if each == others[0] else 1 for each in pack]
            by_pack[pack_number] += moved.reshape([*shape, self.sizes[column]])
        for pack_number, values in by_pack.items():
            found.append((self._codes[pack_number], values.reshape(-1, self.sizes[column])))
        return found

    def conditionals(self, base: Weights, lookups: Sequence[tuple[Codes, Weights]], part: slice | Codes) -> Weights:
        """Return unnormalised probabilities of a column's groups for some rows, shape (rows, groups)."""
        logits = np.broadcast_to(base, (len(self.rows[0, part]), len(base))).copy()
        for codes, values in lookups:
            logits += values[codes[part]]
        top = logits.max(axis=1, keepdims=True)
        logits -= np.where(np.isfinite(top), top, 0)
        weights: Weights = np.exp(logits)
        return weights

    def drawn(self, weights: Weights, now: Codes) -> Codes:
        """Draw one group for each row from unnormalised probabilities.

        Args:
            weights: Shape (rows, groups).
            now: Group that a row keeps if none is possible.
        """
        sums = np.cumsum(weights, axis=1)
        chance = self._chance.random(len(weights)) * sums[:, -1]
        fresh = (sums[:, :-1] <= chance[:, None]).sum(axis=1)
        return np.where(sums[:, -1] > 0, fresh, now)

    def redraw(self, column: int, base: Floats, tables: Sequence[Floats]) -> None:
        """Redraw a column of all rows from its conditional distribution.

        Args:
            column: Index of the column.
            base: Potentials of its groups.
            tables: Potentials of all tables.
        """
        lookups = [(codes, values.astype(np.float32)) for codes, values in self.lookups(column, tables)]
        self.put(column, slice(None), self.fresh(base, lookups, self.rows[column]))

    def fresh(self, base: Floats, lookups: Sequence[tuple[Codes, Weights]], now: Codes) -> Codes:
        """Draw one group for every row from its conditional distribution.

        Args:
            base: Potentials of the groups.
            lookups: As `lookups` gives them.
            now: Group that a row keeps if none is possible.
        """
        small = base.astype(np.float32)
        fresh = np.empty(self.count, dtype=np.int64)
        for start in range(0, self.count, CHUNK_ROWS):
            part = slice(start, min(start + CHUNK_ROWS, self.count))
            fresh[part] = self.drawn(self.conditionals(small, lookups, part), now[part])
        return fresh

    def put(self, column: int, part: slice | Codes, groups: Codes) -> None:
        """Write groups of a column into some rows."""
        pack = self._pack_of[column]
        stride = self._strides[pack][self._packs[pack].index(column)]
        self._codes[pack][part] += (groups - self.rows[column, part]) * stride
        self.rows[column, part] = groups

    def counts(self, column: int) -> list[Floats]:
        """Count the rows in the cells of every table of a column, in the order of `tables_of`."""
        own = self.rows[column]
        size = self.sizes[column]
        packed: dict[int, Codes] = {}
        found = []
        for number in self.tables_of[column]:
            clique = self.cliques[number]
            others = tuple(other for other in clique if other != column)
            if len(others) > 1:
                code = self.joint_codes(others) * size + own
                flat = np.bincount(code, minlength=int(np.prod([self.sizes[each] for each in clique])))
                table = flat.reshape([*(self.sizes[other] for other in others), size])
            else:
                pack_number = self._pack_of[others[0]]
                pack = self._packs[pack_number]
                if pack_number not in packed:
                    cells = int(np.prod([self.sizes[each] for each in pack])) * size
                    flat = np.bincount(self._codes[pack_number] * size + own, minlength=cells)
                    packed[pack_number] = flat.reshape([*(self.sizes[each] for each in pack), size])
                axes = tuple(axis for axis, each in enumerate(pack) if each != others[0])
                table = packed[pack_number].sum(axis=axes)
            found.append(np.moveaxis(table, -1, clique.index(column)).astype(np.float64))
        return found

    def singles(self, column: int) -> Floats:
        """Count the rows in the groups of a column."""
        return np.bincount(self.rows[column], minlength=self.sizes[column]).astype(np.float64)


def _packed(sizes: Sequence[int], most: int) -> list[tuple[int, ...]]:
    """Put columns together, in their order, while their joint codes stay few."""
    packs: list[list[int]] = []
    cells = most + 1
    for column, size in enumerate(sizes):
        if cells * size > most:
            packs.append([])
            cells = 1
        packs[-1].append(column)
        cells *= size
    return [tuple(pack) for pack in packs]


def _strides(sizes: Sequence[int]) -> list[int]:
    return [int(np.prod(sizes[place + 1 :], dtype=np.int64)) for place in range(len(sizes))]


def fit_field(
    start: Field,
    rows: Codes,
    singles: Sequence[Target],
    tables: Sequence[Target],
    ridges: Sequence[float],
    total: float,
    sweeps: int,
    seed: int,
) -> FieldFit:
    """Fit the field.

    Args:
        start: First guess; its tables are those of `tables`, then tables with structural zeros only.
        rows: Groups of the chains at the start, shape (columns, chains); changed in place. No row may lie in an
            impossible cell.
        singles: Noisy counts of each column, in the order of `start.names`.
        tables: Noisy counts of the measured tables. Impossible cells have the count 0.
        ridges: Ridge of each table.
        total: Number of rows.
        sweeps: Number of sweeps.
        seed: Public seed.
    """
    index = {name: place for place, name in enumerate(start.names)}
    cliques = [tuple(index[name] for name in clique) for clique in start.tables]
    chains = Chains(rows, [len(single) for single in start.singles], cliques, seed)
    problem = _Problem(start, singles, tables, ridges, total, chains)
    blocks = tied_blocks(chains)
    order = np.random.Generator(np.random.PCG64(seed + 1))
    for sweep in range(sweeps):
        step = FIRST_STEP * (LAST_STEP / FIRST_STEP) ** (sweep / max(sweeps - 1, 1))
        for block in blocks:
            problem.redraw(block)
        for column in order.permutation(len(start.names)):
            problem.update(int(column), step, averaged=sweep >= sweeps // 2)
        if (sweep + 1) % PROGRESS == 0:
            logger.info("field: sweep %d of %d", sweep + 1, sweeps)
    return problem.result(sweeps)


class _Problem:
    """Potentials, targets and running means of one fit."""

    def __init__(
        self,
        start: Field,
        singles: Sequence[Target],
        tables: Sequence[Target],
        ridges: Sequence[float],
        total: float,
        chains: Chains,
    ) -> None:
        self._names, self._cliques = start.names, list(start.tables)
        self._chains, self._total = chains, total
        self._scale = total / chains.count
        self._h = [single.copy() for single in start.singles]
        self._m = [table.copy() for table in start.tables.values()]
        self._measured = len(tables)
        self._wanted = [table.counts for table in tables]
        self._penalty = [ridge * table.variance for ridge, table in zip(ridges, tables, strict=True)]
        self._wanted_singles = [single.counts for single in singles]
        shares = [
            np.maximum(single.counts, 0.0) / max(float(np.maximum(single.counts, 0).sum()), 1.0) for single in singles
        ]
        self._floors = [
            np.maximum(reduce(np.multiply.outer, [shares[column] for column in clique]), SMALLEST_SHARE) * total
            for clique in chains.cliques[: self._measured]
        ]
        self._single_floors = [np.maximum(share, SMALLEST_SHARE) * total for share in shares]
        self._possible = [np.isfinite(table) for table in self._m]
        self._sums = [np.zeros_like(table) for table in self._m]
        self._counted = [np.zeros_like(table) for table in self._m]
        self._single_sums = [np.zeros_like(single) for single in self._h]
        self._means = 0
        self._table_means = np.zeros(len(self._m))

    def redraw(self, block: Block) -> None:
        """Redraw tied columns together; their potentials move when each of them is updated."""
        block.redraw(self._h, self._m)

    def update(self, column: int, step: float, *, averaged: bool) -> None:
        """Redraw a column, then move the potentials of its tables and its own."""
        chains = self._chains
        chains.redraw(column, self._h[column], self._m)
        for number, counted in zip(chains.tables_of[column], chains.counts(column), strict=True):
            if number >= self._measured:
                continue
            expected = self._scale * counted
            self._move(number, expected, step)
            if averaged:
                self._counted[number] += expected
                self._sums[number] += np.where(self._possible[number], self._m[number], 0.0)
                self._table_means[number] += 1
        own = self._scale * chains.singles(column)
        gap = own - self._wanted_singles[column]
        steps = SINGLE_GAIN * step * gap / np.maximum(self._single_floors[column], own)
        self._h[column] -= np.clip(steps, -LARGEST_STEP, LARGEST_STEP)
        if averaged:
            self._single_sums[column] += self._h[column]
        if averaged and column == 0:
            self._means += 1

    def _move(self, number: int, expected: Floats, step: float) -> None:
        table, penalty = self._m[number], self._penalty[number]
        possible = self._possible[number]
        known = np.where(possible, table, 0.0)
        slope = _centred(expected - self._wanted[number] + penalty * known, expected)
        curvature = np.maximum(self._floors[number], expected) + penalty
        change = np.clip(step * slope / curvature, -LARGEST_STEP, LARGEST_STEP)
        self._m[number] = np.where(possible, table - change, -np.inf)

    def result(self, sweeps: int) -> FieldFit:
        """Return the means of the last half."""
        tables, expected, gaps = {}, {}, {}
        for number, clique in enumerate(self._cliques):
            if number >= self._measured:
                tables[clique] = self._m[number]
                continue
            mean = self._sums[number] / self._table_means[number]
            tables[clique] = np.where(self._possible[number], mean, -np.inf)
            expected[clique] = self._counted[number] / self._table_means[number]
            gap = expected[clique] - self._wanted[number] + self._penalty[number] * mean
            gaps[clique] = float(np.abs(_centred(gap, expected[clique])).sum()) / 2 / self._total
        singles = tuple(total / self._means for total in self._single_sums)
        field = Field(self._names, singles, tables)
        return FieldFit(field, self._chains.rows, expected, sweeps, gaps)


def _centred(slope: Floats, expected: Floats) -> Floats:
    """Take the margins out of a table: the columns' own potentials move them.

    Each axis loses its weighted mean, with the table's current shares as weights.
    """
    found = slope
    for axis in range(slope.ndim):
        others = tuple(other for other in range(slope.ndim) if other != axis)
        mass = expected.sum(axis=others, keepdims=True)
        share = np.divide(expected, mass, out=np.zeros_like(expected), where=mass > 0)
        found = found - found.sum(axis=others, keepdims=True) * share
    return found
