"""Counting inside a Python worker: packed words in, exact integer partial counts out.

Imports numpy and pyarrow only, so that executors need nothing else. A task sees every row of its units: the caller has
partitioned by unit id. One unit's rows may span many Arrow batches, so a unit's row count `n` is known only when the
whole partition has been read; rows wait meanwhile as words and dictionary codes, and go to a temporary file beyond
`GROUP_ROWS`, so that memory is bounded for any partition.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Self

import numpy as np
import pyarrow as pa

CHUNK_ROWS = 1 << 14
"""Rows counted at a time: 16 k rows keep all buffers in the cache; fresh temporaries would cost page faults."""

GROUP_ROWS = 1 << 21
"""Rows of one partition held in memory at a time."""

LANE_BITS = 16
"""Words are cut into lanes of 16 bits, see `domain.cells`; a column of more bits is cut from the word itself."""

YIELD_ROWS = 1 << 16
"""Cells in one batch of the answer."""


@dataclass(frozen=True)
class CountPlan:
    """What to count, in plain integers.

    Attributes:
        slots: (word, shift, bits) of each column.
        blocks: ((slot, cells), ...) of each table that is counted, row-major.
        tables: (offset, block, axes) of each marginal in the vector: a block summed over its other axes, in the order
            of `axes`.
        cells: Length of the vector.
        max_rows: Contribution bound K.
        weight_unit: S.
    """

    slots: tuple[tuple[int, int, int], ...]
    blocks: tuple[tuple[tuple[int, int], ...], ...]
    tables: tuple[tuple[int, int, tuple[int, ...]], ...]
    cells: int
    max_rows: int
    weight_unit: int


class Counter:
    """Adds weighted rows into the counts of all blocks; exact, since every number is an integer."""

    def __init__(self, plan: CountPlan) -> None:
        self.plan = plan
        self.shapes = [tuple(cells for _, cells in block) for block in plan.blocks]
        self.counts = [np.zeros(math.prod(shape), dtype=np.int64) for shape in self.shapes]
        self._lanes = sorted({(word, shift // LANE_BITS) for word, shift, bits in plan.slots if bits <= LANE_BITS})
        self._lane_place = {lane: place for place, lane in enumerate(self._lanes)}
        self._lane_words = [np.empty(CHUNK_ROWS, dtype=np.uint16) for _ in self._lanes]
        self._codes = [
            np.empty(CHUNK_ROWS, dtype=np.uint16 if bits <= LANE_BITS else np.int64) for _, _, bits in plan.slots
        ]
        self._narrow = [
            len(counts) <= 1 << LANE_BITS and all(plan.slots[slot][2] <= LANE_BITS for slot, _ in block)
            for counts, block in zip(self.counts, plan.blocks, strict=True)
        ]
        self._short = np.empty(CHUNK_ROWS, dtype=np.uint16)
        self._index = np.empty(CHUNK_ROWS, dtype=np.int64)

    def add(self, words: list[np.ndarray], weights: np.ndarray | None) -> None:
        """Counts rows.

        Args:
            words: One int64 array a word, equal lengths.
            weights: Weight of each row in 1/S, int64, or None when every row weighs S.
        """
        rows = len(words[0])
        for start in range(0, rows, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, rows)
            self._cut([word[start:stop] for word in words])
            self._count(stop - start, self.plan.weight_unit if weights is None else weights[start:stop])

    def _cut(self, words: list[np.ndarray]) -> None:
        """Words -> codes of every column."""
        rows = len(words[0])
        for (word, lane), out in zip(self._lanes, self._lane_words, strict=True):
            np.copyto(out[:rows], words[word].astype("<i8", copy=False).view("<u2")[lane::4])
        for (word, shift, bits), code in zip(self.plan.slots, self._codes, strict=True):
            if bits <= LANE_BITS:
                lane, within = divmod(shift, LANE_BITS)
                source = self._lane_words[self._lane_place[word, lane]]
                np.right_shift(source[:rows], np.uint16(within), out=code[:rows])
                np.bitwise_and(code[:rows], np.uint16((1 << bits) - 1), out=code[:rows])
            else:
                np.right_shift(words[word], shift, out=code[:rows])
                np.bitwise_and(code[:rows], (1 << bits) - 1, out=code[:rows])

    def _count(self, rows: int, weights: np.ndarray | int) -> None:
        index = self._index[:rows]
        for block, counts, narrow in zip(self.plan.blocks, self.counts, self._narrow, strict=True):
            first, *others = [(self._codes[slot][:rows], cells) for slot, cells in block]
            if not others:
                np.copyto(index, first[0])
            elif narrow:
                # Sixteen bits as long as possible: four times the rows in one instruction.
                short, before = self._short[:rows], first[0]
                for code, cells in others[:-1]:
                    np.multiply(before, np.uint16(cells), out=short)
                    np.add(short, code, out=short)
                    before = short
                np.multiply(before, np.uint16(others[-1][1]), out=short)
                np.add(short, others[-1][0], out=index, casting="unsafe")
            else:
                np.copyto(index, first[0])
                for code, cells in others:
                    np.multiply(index, cells, out=index)
                    np.add(index, code, out=index)
            # Unlike `bincount` it needs no fresh array of all cells for every chunk, and adds integers.
            np.add.at(counts, index, weights)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The vector as rows (cell, value): every marginal is a sum over its block."""
        vector = np.empty(self.plan.cells, dtype=np.int64)
        for offset, block, axes in self.plan.tables:
            shape = self.shapes[block]
            summed = tuple(axis for axis in range(len(shape)) if axis not in axes)
            kept = [axis for axis in range(len(shape)) if axis in axes]
            table = self.counts[block].reshape(shape).sum(axis=summed).transpose([kept.index(axis) for axis in axes])
            vector[offset : offset + table.size] = table.ravel()
        for start in range(0, len(vector), YIELD_ROWS):
            part = vector[start : start + YIELD_ROWS]
            cells = np.arange(start, start + len(part), dtype=np.int64)
            yield pa.RecordBatch.from_arrays([pa.array(cells), pa.array(part)], names=["cell", "value"])


def _words(batch: pa.RecordBatch, first: int) -> list[np.ndarray]:
    return [batch.column(place).to_numpy(zero_copy_only=False) for place in range(first, batch.num_columns)]


def count_rows(plan: CountPlan) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Function for `mapInArrow` where the unit is the row: every row weighs S. Input columns: the words."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counter = Counter(plan)
        for batch in batches:
            if batch.num_rows:
                counter.add(_words(batch, 0), None)
        yield from counter.batches()

    return run


def count_units(plan: CountPlan) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Function for `mapInArrow` where the unit owns many rows. Input columns: unit id, then the words."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counter = Counter(plan)
        with Waiting() as waiting:
            for batch in batches:
                waiting.add(batch)
            for weights, codes, words in waiting.rows(lambda n: unit_weights(n, plan.max_rows, plan.weight_unit)):
                for start in range(0, len(codes), CHUNK_ROWS):
                    part = slice(start, start + CHUNK_ROWS)
                    counter.add([word[part] for word in words], weights[codes[part]])
        yield from counter.batches()

    return run


def unit_weights(n: np.ndarray, max_rows: int, weight_unit: int) -> np.ndarray:
    """What each row of a unit weighs in 1/S: S where n <= K, else (K * S) div n; n is the unit's whole row count."""
    weights = (max_rows * weight_unit) // n
    weights[n <= max_rows] = weight_unit
    return weights


class Waiting:
    """Rows of one partition that wait for their units' row counts, in groups of at most `GROUP_ROWS`."""

    def __init__(self) -> None:
        self._batches: list[pa.RecordBatch] = []
        self._held = 0
        self._groups: list[tuple[int, int, int]] = []
        self._file: IO[bytes] | None = None
        self._names: list[pa.Array] = []
        self._counts: list[np.ndarray] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes one batch: unit id, then the words."""
        if not batch.num_rows:
            return
        self._batches.append(batch)
        self._held += batch.num_rows
        if self._held >= GROUP_ROWS:
            codes, words = self._close_group()
            self._spill(codes, words)

    def rows(
        self, weigh: Callable[[np.ndarray], np.ndarray]
    ) -> Iterator[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
        """Yields (weight by code, codes, words), group by group.

        Args:
            weigh: Weights of units from their row counts over the whole partition.
        """
        last = self._close_group() if self._batches else None
        if not self._counts:
            return
        per_group = self._totals()
        for place, group in enumerate(self._groups):
            yield weigh(per_group[place]), *self._load(group)
        if last is not None:
            yield weigh(per_group[-1]), *last

    def _close_group(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Turns the ids of the held batches into dictionary codes; equal ids get one code, different ids never do."""
        table = pa.Table.from_batches(self._batches)
        self._batches, self._held = [], 0
        ids = table.column(0)
        if pa.types.is_binary(ids.type):
            ids = ids.cast(pa.large_binary())  # 64-bit offsets: long ids of many rows may pass 2 GiB together
        dictionary = ids.combine_chunks().dictionary_encode()
        codes = dictionary.indices.to_numpy(zero_copy_only=False)
        self._names.append(dictionary.dictionary)
        self._counts.append(np.bincount(codes, minlength=len(dictionary.dictionary)))
        return codes, [table.column(place).to_numpy() for place in range(1, table.num_columns)]

    def _totals(self) -> list[np.ndarray]:
        """Row count over the whole partition for the ids of each group."""
        if len(self._names) == 1:
            return [self._counts[0].astype(np.int64)]
        merged = pa.concat_arrays(self._names).dictionary_encode()
        place = merged.indices.to_numpy(zero_copy_only=False)
        totals = np.zeros(len(merged.dictionary), dtype=np.int64)
        np.add.at(totals, place, np.concatenate(self._counts))
        ends = np.cumsum([len(names) for names in self._names])[:-1]
        return [totals[part] for part in np.split(place, ends)]

    def _spill(self, codes: np.ndarray, words: list[np.ndarray]) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="synthward-")  # noqa: SIM115 - closed in __exit__
        start = self._file.tell()
        self._file.write(codes.astype(np.int32).tobytes())
        for word in words:
            self._file.write(word.tobytes())
        self._groups.append((start, len(codes), len(words)))

    def _load(self, group: tuple[int, int, int]) -> tuple[np.ndarray, list[np.ndarray]]:
        start, rows, words = group
        assert self._file is not None
        self._file.seek(start)
        codes = np.frombuffer(self._file.read(rows * 4), dtype=np.int32)
        return codes, [np.frombuffer(self._file.read(rows * 8), dtype=np.int64) for _ in range(words)]
