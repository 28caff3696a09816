"""Counting inside a Python worker: packed words in, exact integer partial counts out.

Imports numpy and pyarrow only, so that executors need nothing else. A task sees every row of its units: the caller has
partitioned by unit id. One unit's rows may span many Arrow batches, so a unit's row count `n` is known only when the
whole partition has been read; rows wait meanwhile as words and dictionary codes, and go to a temporary file beyond
`GROUP_ROWS`, so that memory is bounded for any partition.
"""

from __future__ import annotations

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


@dataclass(frozen=True)
class CountPlan:
    """What to count, in plain integers.

    Attributes:
        slots: (word, shift, mask) of each column.
        tables: (offset, ((slot, stride), ...)) of each marginal in the vector.
        cells: Length of the vector.
        max_rows: Contribution bound K.
        weight_unit: S.
    """

    slots: tuple[tuple[int, int, int], ...]
    tables: tuple[tuple[int, tuple[tuple[int, int], ...], int], ...]
    cells: int
    max_rows: int
    weight_unit: int


class Counter:
    """Adds weighted rows into one int64 vector."""

    def __init__(self, plan: CountPlan) -> None:
        self.plan = plan
        self.vector = np.zeros(plan.cells, dtype=np.int64)
        self._codes = [np.empty(CHUNK_ROWS, dtype=np.int64) for _ in plan.slots]
        self._index = np.empty(CHUNK_ROWS, dtype=np.int64)
        self._term = np.empty(CHUNK_ROWS, dtype=np.int64)

    def add(self, words: list[np.ndarray], weights: np.ndarray | None) -> None:
        """Counts rows.

        Args:
            words: One int64 array a word, equal lengths.
            weights: Weight of each row in 1/S, or None when every row weighs S.
        """
        rows = len(words[0])
        for start in range(0, rows, CHUNK_ROWS):
            stop = min(start + CHUNK_ROWS, rows)
            self._chunk([word[start:stop] for word in words], None if weights is None else weights[start:stop])

    def _chunk(self, words: list[np.ndarray], weights: np.ndarray | None) -> None:
        rows = len(words[0])
        for code, (word, shift, mask) in zip(self._codes, self.plan.slots, strict=True):
            np.right_shift(words[word], shift, out=code[:rows])
            np.bitwise_and(code[:rows], mask, out=code[:rows])
        for offset, parts, size in self.plan.tables:
            index = self._cell_index(parts, rows)
            # Sums of a chunk's weights stay below 2^14 * 2^16 = 2^30: exact in bincount's doubles.
            counted = np.bincount(index, weights=weights, minlength=size)
            scale = self.plan.weight_unit if weights is None else 1
            self.vector[offset : offset + size] += counted.astype(np.int64) * scale

    def _cell_index(self, parts: tuple[tuple[int, int], ...], rows: int) -> np.ndarray:
        if len(parts) == 1:
            return self._codes[parts[0][0]][:rows]
        index, term = self._index[:rows], self._term[:rows]
        index.fill(0)
        for slot, stride in parts:
            np.multiply(self._codes[slot][:rows], stride, out=term)
            np.add(index, term, out=index)
        return index

    def batch(self) -> pa.RecordBatch:
        """The vector as rows (cell, value)."""
        return pa.RecordBatch.from_arrays(
            [pa.array(np.arange(self.plan.cells, dtype=np.int64)), pa.array(self.vector)], names=["cell", "value"]
        )


def _words(batch: pa.RecordBatch, first: int) -> list[np.ndarray]:
    return [batch.column(place).to_numpy(zero_copy_only=False) for place in range(first, batch.num_columns)]


def count_rows(plan: CountPlan) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Function for `mapInArrow` where the unit is the row: every row weighs S. Input columns: the words."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counter = Counter(plan)
        for batch in batches:
            if batch.num_rows:
                counter.add(_words(batch, 0), None)
        yield counter.batch()

    return run


def count_units(plan: CountPlan) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Function for `mapInArrow` where the unit owns many rows. Input columns: unit id, then the words."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counter = Counter(plan)
        with Waiting() as waiting:
            for batch in batches:
                waiting.add(batch)
            for n, words in waiting.rows():
                _add_weighted(counter, n, words)
        yield counter.batch()

    return run


def _add_weighted(counter: Counter, n: np.ndarray, words: list[np.ndarray]) -> None:
    """Rows of units with n <= K weigh S, the others (K * S) div n; n is the unit's whole row count."""
    bound, unit = counter.plan.max_rows, counter.plan.weight_unit
    heavy = n > bound
    if not heavy.any():
        counter.add(words, None)
        return
    light = ~heavy
    counter.add([word[light] for word in words], None)
    weights = ((bound * unit) // n[heavy]).astype(np.float64)
    counter.add([word[heavy] for word in words], weights)


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

    def rows(self) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yields (n of each row's unit, words), group by group."""
        last = self._close_group() if self._batches else None
        if not self._counts:
            return
        per_group = self._totals()
        for place, group in enumerate(self._groups):
            codes, words = self._load(group)
            yield per_group[place][codes], words
        if last is not None:
            codes, words = last
            yield per_group[-1][codes], words

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
