"""Drawing synthetic rows on executors in fixed-size blocks.

Sampling is post-processing: it sees the model only, its seed is public, and the same request gives the same rows on any
cluster. That is part of the model's format: block size, streams and rounding may only change together with it. The
number of tasks is a function of the requested rows, so file counts say nothing about data or cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from synthward.domain.codes import MISSING, OTHER, CodeBook
from synthward.errors import UsageError
from synthward.fit.model import MAX_CELLS, ColumnModel, Model
from synthward.fit.prototypes import group_shares, prototypes
from synthward.sample import _worker

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BLOCK_ROWS = 2**18
"""Rows of a block; part of what makes a release reproducible, so a change is a change of the model's format."""


def sample_plan(model: Model, books: Mapping[str, CodeBook], rows: int, seed: int) -> _worker.SamplePlan:
    """The worker's instructions as plain arrays, which travel to the tasks inside their function.

    Raises:
        UsageError: The model is too large to travel.
    """
    if model.cells > MAX_CELLS:
        raise UsageError(
            f"the model has {model.cells} probabilities and every sampling task would receive them all; at most "
            f"{MAX_CELLS} are possible. Give the synthesizer a smaller cap on cells, or columns fewer values or bins"
        )
    if model.field is not None:
        return _field_plan(model, books, rows, seed)
    place = {name: number for number, name in enumerate(books)}
    groups = {column.name: column.group_count for column in model.columns}
    columns = tuple(_column_plan(model.column(name), place, groups) for name in books)
    return _worker.SamplePlan(columns, tuple(place[name] for name in model.order), seed, BLOCK_ROWS, rows)


def _field_plan(model: Model, books: Mapping[str, CodeBook], rows: int, seed: int) -> _worker.SamplePlan:
    """The plan of a model with a field: its prototypes, and cells inside their groups."""
    known = {column.name: number for number, column in enumerate(model.columns)}
    made = prototypes(model, max(rows, 1), seed).astype(np.uint16)
    columns = tuple(_grouped_column(model.column(name)) for name in books)
    ordered = np.ascontiguousarray(made[[known[name] for name in books]])
    return _worker.SamplePlan(columns, tuple(range(len(columns))), seed, ordered.shape[1], rows, ordered)


def _grouped_column(column: ColumnModel) -> _worker.ColumnPlan:
    plan = _column_plan(column, {}, {})
    groups = np.arange(column.cells) if column.groups is None else column.groups
    within = group_shares(column.probabilities, groups, column.group_count)
    cumulative = np.cumsum(within, axis=1)
    certain = within.argmax(axis=1).astype(np.int32) if np.all((within > 0).sum(axis=1) == 1) else None
    return replace(plan, cumulative=cumulative / cumulative[:, -1:], groups=groups, certain=certain)


def _column_plan(column: ColumnModel, place: Mapping[str, int], groups: Mapping[str, int]) -> _worker.ColumnPlan:
    cumulative = np.cumsum(np.atleast_2d(column.probabilities), axis=1)
    special = np.array([OTHER, MISSING], dtype=np.int64)
    if column.starts is None:
        starts, lengths = np.concatenate([np.arange(column.cells - 2), special]), None
    else:
        if column.clipped:  # drawn as the bounds
            special = np.array([0, column.count - 1, OTHER, MISSING], dtype=np.int64)
        starts = np.concatenate([column.starts, special])
        lengths = np.concatenate([np.diff(column.starts, append=column.count), np.ones(len(special))]).astype(np.uint64)
        if lengths.max() == 1:
            lengths = None
    strides = [prod(groups[after] for after in column.parents[k + 1 :]) for k in range(len(column.parents))]
    return _worker.ColumnPlan(
        cumulative=cumulative / cumulative[:, -1:],
        starts=starts.astype(np.int32),
        lengths=lengths,
        parents=tuple((place[name], stride) for name, stride in zip(column.parents, strides, strict=True)),
        groups=column.groups,
    )


def task_count(rows: int, block_rows: int, rows_per_task: int) -> int:
    """Number of tasks, and so of files, of a release: a function of public numbers, never of the cluster or of data.

    Args:
        rows: Rows of the release.
        block_rows: Rows of a block, which one task draws as a whole.
        rows_per_task: Rows that a task and its file are meant to have.

    >>> task_count(10_000_000, 2**18, 2**20)
    10
    """
    blocks = -(-rows // block_rows)
    return max(1, -(-blocks * block_rows // max(rows_per_task, block_rows)))


def sample_places(spark: SparkSession, plan: _worker.SamplePlan, rows_per_task: int) -> DataFrame:
    """Synthetic rows as places: `_row` LONG, then `c0`, `c1`, ... INT (grid index or code, OTHER or MISSING).

    Args:
        spark: Session.
        plan: What to draw.
        rows_per_task: Public target of rows for each task and file.
    """
    blocks = -(-plan.rows // plan.block_rows)
    tasks = task_count(plan.rows, plan.block_rows, rows_per_task)
    schema = ", ".join(["_row long", *(f"c{place} int" for place in range(len(plan.columns)))])
    numbers = spark.range(0, blocks, 1, tasks)
    return numbers.mapInArrow(_worker.sample_blocks(plan), schema)
