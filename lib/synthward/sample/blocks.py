"""Drawing synthetic rows on executors in fixed-size blocks.

Sampling is post-processing: it sees the model only, its seed is public, and the same request gives the same rows on any
cluster. The number of tasks is a function of the requested rows, so file counts say nothing about data or cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from synthward.domain.codes import MISSING, OTHER, CodeBook
from synthward.fit.model import ColumnModel, Model
from synthward.sample import _worker

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BLOCK_ROWS = 2**18
"""Rows of a block; part of what makes a release reproducible, so a change is a change of the model's format."""


def sample_plan(model: Model, books: Mapping[str, CodeBook], rows: int, seed: int) -> _worker.SamplePlan:
    """The worker's instructions as plain arrays."""
    columns = tuple(_column_plan(model.column(name), book) for name, book in books.items())
    return _worker.SamplePlan(columns, seed, BLOCK_ROWS, rows)


def _column_plan(column: ColumnModel, book: CodeBook) -> _worker.ColumnPlan:
    cumulative = np.cumsum(column.probabilities)
    special = np.array([OTHER, MISSING], dtype=np.int64)
    if column.starts is None:
        codes = np.arange(book.attribute.size, dtype=np.int64)
        starts, lengths = np.concatenate([codes, special]), np.ones(len(codes) + 2, dtype=np.int64)
    else:
        ends = np.append(column.starts[1:], column.count)
        starts = np.concatenate([column.starts, special])
        lengths = np.concatenate([ends - column.starts, np.ones(2, dtype=np.int64)])
    return _worker.ColumnPlan(cumulative / cumulative[-1], starts, lengths)


def sample_places(spark: SparkSession, plan: _worker.SamplePlan, rows_per_task: int) -> DataFrame:
    """Synthetic rows as places: `_row` LONG, then `c0`, `c1`, ... LONG (grid index or code, OTHER or MISSING).

    Args:
        spark: Session.
        plan: What to draw.
        rows_per_task: Public target of rows for each task and file.
    """
    blocks = -(-plan.rows // plan.block_rows)
    tasks = max(1, -(-blocks * plan.block_rows // max(rows_per_task, plan.block_rows)))
    schema = ", ".join(["_row long", *(f"c{place} long" for place in range(len(plan.columns)))])
    numbers = spark.range(0, blocks, 1, min(tasks, blocks))
    return numbers.mapInArrow(_worker.sample_blocks(plan), schema)
