"""Sampling inside a Python worker: block numbers in, places of synthetic rows out.

Imports numpy and pyarrow only. A block is a fixed number of rows; every column of it has its own random stream, which
depends on the public seed, the block's number and the column's place and on nothing else. So the same plan gives the
same rows for any partitioning, cluster size or retry. Only raw output of PCG64 and IEEE additions, products and
roundings are used: numpy promises the former for good and the latter are the same everywhere, whereas the methods of
`numpy.random.Generator` may change their streams from version to version (NEP 19).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

BATCH_ROWS = 1 << 16

CHUNK_ROWS = 1 << 14
"""Rows for which chance is drawn at a time: chunks that stay in the cache and need no fresh pages."""

MAX_BLOCK_ROWS = 1 << 18
"""Rows of a block at most: their numbers take 18 bits of a sort key, which leaves enough for groups and chance."""


@dataclass(frozen=True)
class ColumnPlan:
    """How to draw one column, as plain arrays.

    Attributes:
        cumulative: Cumulative probabilities of the runs or codes, then `other` and `missing`, for each combination of
            the parents, shape (groups, cells); every row ends in 1.
        starts: First place of each cell, int32, shape (cells,).
        lengths: Number of places of each cell, uint64, shape (cells,); None where each has one.
        parents: (column, stride) of each parent: strides of the groups, row-major.
        groups: Group of each cell, int64, shape (cells,), which is what children depend on; None for the cell itself.
        certain: With prototypes, the only cell of each group, int32, if every group has one cell only; else None.
    """

    cumulative: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray | None
    parents: tuple[tuple[int, int], ...]
    groups: np.ndarray | None = None
    certain: np.ndarray | None = None


@dataclass(frozen=True)
class SamplePlan:
    """What to draw.

    Attributes:
        columns: Columns in release order.
        order: Their places in the order of drawing, parents first.
        seed: The public seed.
        block_rows: Rows of a block, at most `MAX_BLOCK_ROWS`.
        rows: Rows in all.
        prototypes: Groups of the rows that every block holds, uint16, shape (columns, block_rows); a column's
            `cumulative` then has one row for each of its own groups. None for other plans.
    """

    columns: tuple[ColumnPlan, ...]
    order: tuple[int, ...]
    seed: int
    block_rows: int
    rows: int
    prototypes: np.ndarray | None = None


class Sampler:
    """Draws blocks of one plan, in buffers of one block: fresh pages for each column would cost a third of the time."""

    def __init__(self, plan: SamplePlan) -> None:
        self.plan = plan
        rows = min(plan.block_rows, plan.rows)
        if plan.prototypes is not None:
            rows = plan.block_rows  # the order of all prototypes is drawn, also for a shorter block
        self._numbers = np.arange(rows, dtype=np.uint64)
        self._keys = np.empty(rows, dtype=np.uint64)
        self._ordered = np.empty(rows, dtype=np.uint64)
        self._top = np.empty(rows, dtype=np.uint16)
        self._groups = np.empty(rows, dtype=np.int64)
        self._cells = [np.empty(rows, dtype=np.int32) for _ in plan.columns]

    def batches(self, block: int) -> Iterator[list[np.ndarray]]:
        """Places of one block, at most `BATCH_ROWS` rows at a time: one int32 array a column, equal lengths."""
        count = min(self.plan.block_rows, self.plan.rows - block * self.plan.block_rows)
        streams = [
            np.random.PCG64(np.random.SeedSequence(self.plan.seed, spawn_key=(block, place)))
            for place in range(len(self.plan.columns))
        ]
        if self.plan.prototypes is None:
            for place in self.plan.order:
                self._draw(place, self._find_groups(self.plan.columns[place], count), count, streams[place])
        else:
            self._copy(self.plan.prototypes, block, count, streams)
        for start in range(0, count, BATCH_ROWS):
            stop = min(start + BATCH_ROWS, count)
            yield [
                _places(column, cells[start:stop], bits)
                for column, cells, bits in zip(self.plan.columns, self._cells, streams, strict=True)
            ]

    def _copy(self, prototypes: np.ndarray, block: int, count: int, streams: list[np.random.PCG64]) -> None:
        """Fills all columns' cells: the prototypes in an order of this block, and cells drawn inside their groups."""
        own = np.random.PCG64(np.random.SeedSequence(self.plan.seed, spawn_key=(block, len(streams))))
        chosen = self._shuffled_rows(None, 1, self.plan.block_rows, own)[:count].copy()
        for place, column in enumerate(self.plan.columns):
            groups = self._groups[:count]
            groups[:] = prototypes[place][chosen]
            certain = column.certain
            if certain is None:
                self._draw(place, groups, count, streams[place])
            else:
                np.take(certain, groups, out=self._cells[place][:count], mode="clip")

    def _draw(self, place: int, groups: np.ndarray | None, count: int, bits: np.random.PCG64) -> None:
        """Fills one column's cells, given the group of each row.

        Systematic rounding: inside each group of rows with equal parents, every cell gets its expected number of rows
        up to one, from a random offset of the group. Which rows of the group they are is an independent, uniformly
        random choice: without it two children of one parent would come out dependent.
        """
        column = self.plan.columns[place]
        rows = self._shuffled_rows(groups, len(column.cumulative), count, bits)
        sizes = np.array([count]) if groups is None else np.bincount(groups, minlength=len(column.cumulative))
        self._cells[place][rows] = _expected_cells(column.cumulative, sizes, _uniform(bits, len(sizes)))

    def _find_groups(self, column: ColumnPlan, count: int) -> np.ndarray | None:
        """Which combination of its parents' cells each row has; None without parents."""
        if not column.parents:
            return None
        groups, term = self._groups[:count], self._keys[:count].view(np.int64)
        groups.fill(0)
        for parent, stride in column.parents:
            cells, own = self._cells[parent][:count], self.plan.columns[parent].groups
            if own is None:
                np.multiply(cells, stride, out=term)
            else:
                np.take(own * stride, cells, out=term, mode="clip")  # any other mode would copy; cells are in range
            np.add(groups, term, out=groups)
        return groups

    def _shuffled_rows(self, groups: np.ndarray | None, number: int, count: int, bits: np.random.PCG64) -> np.ndarray:
        """Row numbers, group after group, in random order inside each group.

        One sort does both: the key is the group, then chance, then the row's number, so that keys are distinct and the
        result does not depend on the sorting algorithm. At least 22 bits are left to chance, because a model's cells
        are capped; rows of one group whose chance is equal stand in the order of their numbers.
        """
        keys = self._keys[:count]
        row_bits = np.uint64((1 << (count - 1).bit_length()) - 1)
        group_bits = (number - 1).bit_length()
        for start in range(0, count, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, count)
            part = keys[start:stop]
            np.right_shift(bits.random_raw(stop - start), np.uint64(group_bits), out=part)
            if groups is not None and group_bits:
                np.bitwise_or(part, groups[start:stop].view(np.uint64) << np.uint64(64 - group_bits), out=part)
            np.bitwise_and(part, ~row_bits, out=part)
            np.bitwise_or(part, self._numbers[start:stop], out=part)
        ordered = self._sorted(keys)
        np.bitwise_and(ordered, row_bits, out=ordered)
        return ordered.view(np.int64)

    def _sorted(self, keys: np.ndarray) -> np.ndarray:
        """The keys in ascending order, in a buffer of their own.

        A radix pass over the top 16 bits brings nearly every key to its place, and timsort is quick on nearly sorted
        numbers: a third of the time of numpy's own sort of 64-bit numbers where that has no vector instructions.
        """
        ordered, top = self._ordered[: len(keys)], self._top[: len(keys)]
        np.right_shift(keys, np.uint64(48), out=ordered)
        np.copyto(top, ordered, casting="unsafe")
        np.take(keys, np.argsort(top, kind="stable"), out=ordered, mode="clip")
        ordered.sort(kind="stable")
        return ordered


def _expected_cells(cumulative: np.ndarray, sizes: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Cells in ascending order, group after group: each one as often as expected, up to one.

    Args:
        cumulative: Shape (groups, cells).
        sizes: Rows of each group.
        offsets: One for each group, in [0, 1).

    Returns:
        int32, one for each row.
    """
    if not sizes.all():
        held = np.flatnonzero(sizes)
        cumulative, sizes, offsets = cumulative[held], sizes[held], offsets[held]
    ends = cumulative * sizes[:, None]
    np.subtract(ends, offsets[:, None], out=ends)
    np.ceil(ends, out=ends)
    np.clip(ends, 0, sizes[:, None], out=ends)
    ends[:, -1] = sizes
    filled = np.diff(ends.astype(np.int64), axis=1, prepend=0)
    return np.repeat(np.tile(np.arange(cumulative.shape[1], dtype=np.int32), len(sizes)), filled.ravel())


def _uniform(bits: np.random.PCG64, number: int) -> np.ndarray:
    """Uniform doubles in [0, 1)."""
    uniform = np.empty(number)
    np.multiply(np.right_shift(bits.random_raw(number), np.uint64(11)), 2.0**-53, out=uniform)
    return uniform


def _places(column: ColumnPlan, cells: np.ndarray, bits: np.random.PCG64) -> np.ndarray:
    """Places of cells: uniform inside a run."""
    places: np.ndarray = column.starts[cells]
    if column.lengths is not None:
        # 32 bits of chance are enough: a run has at most 2^31 places.
        chance = bits.random_raw((len(cells) + 1) // 2).astype("<u8", copy=False).view("<u4")[: len(cells)]
        inside = column.lengths[cells]
        np.multiply(inside, chance, out=inside)
        np.right_shift(inside, np.uint64(32), out=inside)
        places += inside.astype(np.int32)
    return places


def sample_blocks(plan: SamplePlan) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Function for `mapInArrow`. Input: block numbers. Output: `_row`, then an INT place for each column."""
    names = ["_row", *(f"c{place}" for place in range(len(plan.columns)))]

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        sampler = Sampler(plan)
        for batch in batches:
            for block in batch.column(0).to_pylist():
                row = block * plan.block_rows
                for places in sampler.batches(block):
                    numbers = np.arange(row, row + len(places[0]), dtype=np.int64)
                    row += len(numbers)
                    yield pa.RecordBatch.from_arrays([pa.array(numbers), *map(pa.array, places)], names=names)

    return run
