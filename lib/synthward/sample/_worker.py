"""Sampling inside a Python worker: block numbers in, places of synthetic rows out.

Imports numpy and pyarrow only. A block is a fixed number of rows drawn from its own random stream, so rows depend on
the public seed and the block's number, never on partitions, cluster size or retries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

BATCH_ROWS = 1 << 16


@dataclass(frozen=True)
class ColumnPlan:
    """How to draw one column, as plain arrays.

    Attributes:
        cumulative: Cumulative probabilities of the runs or codes, then `other` and `missing`, shape (cells,).
        starts: First place of each run or code, shape (cells,); `other` and `missing` have their own places.
        lengths: Number of places in each run, shape (cells,); 1 for codes.
    """

    cumulative: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray


@dataclass(frozen=True)
class SamplePlan:
    """What to draw: columns in order, the public seed, block size and number of rows in all."""

    columns: tuple[ColumnPlan, ...]
    seed: int
    block_rows: int
    rows: int


def draw_block(plan: SamplePlan, block: int) -> list[np.ndarray]:
    """Places of one block, one int64 array a column, equal lengths.

    Cells are filled by systematic rounding: each gets its expected number of rows up to one, from one random offset,
    and an independent shuffle breaks the order, so that columns are independent of each other inside a block.
    """
    count = min(plan.block_rows, plan.rows - block * plan.block_rows)
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([plan.seed, block])))
    ticks = np.arange(count, dtype=np.float64)
    places = []
    for column in plan.columns:
        ends = np.ceil(column.cumulative * count - random.random())
        ends = np.clip(ends, 0, count).astype(np.int64)
        ends[-1] = count
        per_cell = np.diff(ends, prepend=0)
        cells = np.repeat(np.arange(len(per_cell), dtype=np.int32), per_cell)
        random.shuffle(cells)
        drawn = column.starts[cells]
        lengths = column.lengths[cells]
        if (column.lengths > 1).any():
            np.multiply(random.random(count, out=ticks), lengths, out=ticks)
            drawn = drawn + ticks.astype(np.int64)
        places.append(drawn)
    return places


def sample_blocks(plan: SamplePlan) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Function for `mapInArrow`. Input: block numbers. Output: `_row`, then a LONG place for each column."""
    names = ["_row", *(f"c{place}" for place in range(len(plan.columns)))]

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for block in batch.column(0).to_pylist():
                places = draw_block(plan, block)
                first = block * plan.block_rows
                for start in range(0, len(places[0]), BATCH_ROWS):
                    stop = min(start + BATCH_ROWS, len(places[0]))
                    rows = pa.array(np.arange(first + start, first + stop, dtype=np.int64))
                    yield pa.RecordBatch.from_arrays(
                        [rows, *(pa.array(column[start:stop]) for column in places)], names=names
                    )

    return run
