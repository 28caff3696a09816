"""Counting inside a Python worker: packed words in, exact integer partial counts out.

Imports numpy and pyarrow only, so that executors need nothing else. A task sees every row of its units: the caller has
partitioned by unit id. One unit's rows may span many Arrow batches, so a unit's row count `n` is known only when the
whole partition has been read; rows wait meanwhile, and go to temporary files beyond `GROUP_ROWS` and `GROUP_BYTES`, so
that memory is bounded for any partition, however many rows and units a source has beyond what was declared.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

CHUNK_ROWS = 1 << 14
"""Rows counted at a time: 16 k rows keep all buffers in the cache; fresh temporaries would cost page faults."""

GROUP_ROWS = 1 << 21
"""Rows of one partition held in memory at a time, and distinct units whose row counts are."""

GROUP_BYTES = 1 << 28
"""Bytes of ids and words held at a time, and of distinct ids: long ids and wide tables go to files earlier."""

SPLIT_BITS = 6
"""Bits of an id's hash that choose its file: 64 files, and 64 again for each that has too many units."""

SPLITS = 10
"""Times that rows are split, which uses up the hash; what cannot be told apart then is counted in memory."""

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
        population: Cell of the vector for the number of units, each counted as S; None where nobody asks.
    """

    slots: tuple[tuple[int, int, int], ...]
    blocks: tuple[tuple[tuple[int, int], ...], ...]
    tables: tuple[tuple[int, int, tuple[int, ...]], ...]
    cells: int
    max_rows: int
    weight_unit: int
    population: int | None = None


class Counter:
    """Adds weighted rows into the counts of all blocks; exact, since every number is an integer.

    Attributes:
        units: Units counted so far; whoever adds rows says how many units they are of.
    """

    def __init__(self, plan: CountPlan) -> None:
        self.plan = plan
        self.units = 0
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
        """The vector as rows (cell, value): marginals are sums over their blocks, the population counts units as S."""
        vector = np.zeros(self.plan.cells, dtype=np.int64)
        if self.plan.population is not None:
            vector[self.plan.population] = self.units * self.plan.weight_unit
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


def count_rows(plan: CountPlan) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Function for `mapInArrow` where the unit is the row: every row weighs S. Input columns: the words."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counter = Counter(plan)
        for batch in batches:
            if batch.num_rows:
                counter.add(_words(batch, 0), None)
                counter.units += batch.num_rows
        yield from counter.batches()

    return run


def count_units(plan: CountPlan) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Function for `mapInArrow` where the unit owns many rows. Input columns: unit id, never NULL, then the words."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        counter = Counter(plan)
        waiting = Waiting()
        for counts, codes, words in waiting.rows(batches):
            weights = unit_weights(counts, plan.max_rows, plan.weight_unit)
            for start in range(0, len(codes), CHUNK_ROWS):
                part = slice(start, start + CHUNK_ROWS)
                counter.add([word[part] for word in words], weights[codes[part]])
        counter.units = waiting.units
        yield from counter.batches()

    return run


def unit_weights(n: np.ndarray, max_rows: int, weight_unit: int) -> np.ndarray:
    """What each row of a unit weighs in 1/S: S where n <= K, else (K * S) div n; n is the unit's whole row count."""
    weights = (max_rows * weight_unit) // n
    weights[n <= max_rows] = weight_unit
    return weights


Group = tuple[np.ndarray, np.ndarray, list[np.ndarray]]
"""Rows of some units: the units' row counts over the whole partition by code, the rows' codes, the rows' words."""


class Waiting:
    """Rows of one partition that wait for their units' row counts.

    They wait in memory up to a group. Beyond, they go to files by a hash of the whole id, so that all rows of a unit
    are in one file, and file by file is read twice: for the counts, and for the rows. A file of more units than a group
    may have is split by further bits. Ids are kept and compared whole, so that units with equal hashes share a file and
    never a count.

    Attributes:
        units: Distinct units of what `rows` has yielded.
    """

    def __init__(self) -> None:
        self.units = 0

    def rows(self, batches: Iterable[pa.RecordBatch]) -> Iterator[Group]:
        """Yields all rows once, group by group, when the last batch has been read.

        Args:
            batches: Unit id, LONG or BINARY and never NULL, then the words.
        """
        with ExitStack() as files:
            split = Split(files, level=0)
            for group in _groups(batches):
                if split.spools or _is_full(group.num_rows, group.nbytes):
                    split.add(group)
                else:
                    yield self._alone(group)  # less than a group, hence the last one
            for spool in split.spools.values():
                yield from self._counted(spool, level=1)

    def _alone(self, group: pa.Table) -> Group:
        names, codes = _coded(group)
        self.units += len(names)
        return np.bincount(codes, minlength=len(names)), codes, _words(group, 1)

    def _counted(self, spool: Spool, level: int) -> Iterator[Group]:
        """The rows of one file, in memory bounded by a group's rows and units."""
        names, counts = pa.array([], type=spool.schema.field(0).type), np.zeros(0, dtype=np.int64)
        for group in spool.groups():
            names, counts = _merged(names, counts, group)
            if level < SPLITS and len(names) > 1 and _is_full(len(names), names.nbytes):
                del names, counts, group
                yield from self._split(spool, level)
                return
        self.units += len(names)
        for group in spool.groups():
            codes = pc.index_in(group.column(0).combine_chunks(), value_set=names)
            yield counts, codes.to_numpy(zero_copy_only=False), _words(group, 1)
        spool.close()

    def _split(self, spool: Spool, level: int) -> Iterator[Group]:
        with ExitStack() as files:
            split = Split(files, level)
            split.take(spool)
            for part in split.spools.values():
                yield from self._counted(part, level + 1)


class Spool:
    """Batches in a temporary file: written once, then read as often as wanted."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema
        self._file = tempfile.TemporaryFile(prefix="synthward-")  # noqa: SIM115 - whoever makes the spool closes it
        self._writer = pa.ipc.new_stream(self._file, schema)
        self._written = False

    def write(self, rows: pa.Table) -> None:
        """Appends rows."""
        self._writer.write_table(rows)

    def groups(self) -> Iterator[pa.Table]:
        """All rows from the first one, a group at a time; nothing can be written afterwards."""
        if not self._written:
            self._writer.close()
            self._written = True
        self._file.seek(0)
        return _groups(pa.ipc.open_stream(self._file))

    def close(self) -> None:
        """Gives the file back, also when it was not written to its end."""
        self._file.close()


class Split:
    """Distributes groups over files by some bits of their ids' hashes.

    Attributes:
        spools: By number, those that have rows.
    """

    def __init__(self, files: ExitStack, level: int) -> None:
        """Makes no file yet.

        Args:
            files: Closes the files.
            level: How often the rows have been split before.
        """
        self.spools: dict[int, Spool] = {}
        self._files = files
        self._shift = np.uint64(level * SPLIT_BITS)

    def take(self, spool: Spool) -> None:
        """Takes all rows of a file, which is given back."""
        for group in spool.groups():
            self.add(group)
        spool.close()

    def add(self, group: pa.Table) -> None:
        """Takes a group."""
        names, codes = _coded(group)
        number = ((_hashes(names) >> self._shift) & np.uint64((1 << SPLIT_BITS) - 1)).astype(np.uint8)[codes]
        group = group.take(np.argsort(number, kind="stable"))
        ends = np.cumsum(np.bincount(number, minlength=1 << SPLIT_BITS)).tolist()
        for place, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            if start < end:
                self._spool(place, group.schema).write(group.slice(start, end - start))

    def _spool(self, place: int, schema: pa.Schema) -> Spool:
        if place not in self.spools:
            self.spools[place] = self._files.enter_context(closing(Spool(schema)))
        return self.spools[place]


def _words(rows: pa.RecordBatch | pa.Table, first: int) -> list[np.ndarray]:
    if isinstance(rows, pa.Table):
        return [rows.column(place).to_numpy() for place in range(first, rows.num_columns)]
    return [rows.column(place).to_numpy(zero_copy_only=False) for place in range(first, rows.num_columns)]


def _is_full(rows: int, size: int) -> bool:
    return rows >= GROUP_ROWS or size >= GROUP_BYTES


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Joins batches until they are a group; ids that are bytes get 64-bit offsets, or long ones would pass 2 GiB."""
    held, rows, size = [], 0, 0
    for batch in batches:
        if not batch.num_rows:
            continue
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if _is_full(rows, size):
            yield _joined(held)
            held, rows, size = [], 0, 0
    if held:
        yield _joined(held)


def _joined(batches: list[pa.RecordBatch]) -> pa.Table:
    table = pa.Table.from_batches(batches)
    if pa.types.is_binary(table.column(0).type):
        table = table.set_column(0, "unit", table.column(0).cast(pa.large_binary()))
    return table


def _coded(group: pa.Table) -> tuple[pa.Array, np.ndarray]:
    """Distinct ids and the code of each row's: equal ids get one code, different ids never do."""
    found = group.column(0).combine_chunks().dictionary_encode()
    return found.dictionary, found.indices.to_numpy(zero_copy_only=False)


def _merged(names: pa.Array, counts: np.ndarray, group: pa.Table) -> tuple[pa.Array, np.ndarray]:
    """Distinct ids and their row counts so far, with a group's added; ids that are there keep their places."""
    fresh, codes = _coded(group)
    both = pa.concat_arrays([names, fresh]).dictionary_encode()
    place = both.indices.to_numpy(zero_copy_only=False)
    totals = np.zeros(len(both.dictionary), dtype=np.int64)
    np.add.at(totals, place, np.concatenate([counts, np.bincount(codes, minlength=len(fresh))]))
    return both.dictionary, totals


def _hashes(names: pa.Array) -> np.ndarray:
    """A hash of each whole id, 64 bits; it decides where rows wait and nothing else."""
    if pa.types.is_integer(names.type):
        mixed: np.ndarray = names.to_numpy().astype(np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # the finalizer of splitmix64
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
        return mixed
    found = np.empty(len(names), dtype=np.int64)
    for start in range(0, len(names), CHUNK_ROWS):
        part = names.slice(start, CHUNK_ROWS).to_numpy(zero_copy_only=False)
        found[start : start + len(part)] = np.fromiter(map(hash, part), dtype=np.int64, count=len(part))
    return found.view(np.uint64)
