"""Wanted values of some columns: `where` of a sample, understood against the domain.

`{"sex": "F"}` fixes a value, `{"sex": {"F": 0.7, "M": 0.3}}` wants shares, None stands for missing. Values are written
as in the source. Of a number or date the model knows bins only: the rows hold the value that was asked for, everything
else depends on its bin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from synthward.config.text import shown
from synthward.domain.codes import OTHER, CodeBook
from synthward.domain.wanted import wanted_shares
from synthward.errors import UsageError
from synthward.fit.model import ColumnModel
from synthward.sample import _worker
from synthward.sample.blocks import sample_plan
from synthward.sample.condition import condition
from synthward.sample.model_file import ModelFile
from synthward.sample.wishes import plain_where


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is wanted of one column.

    Attributes:
        shares: Share of each cell of the model's column.
        pinned: Place inside a bin by cell.
    """

    shares: npt.NDArray[np.float64]
    pinned: Mapping[int, int]


def plan_where(file: ModelFile, rows: int, seed: int, where: Mapping[str, Any]) -> _worker.SamplePlan:
    """The worker's instructions for rows under wanted values.

    Raises:
        UsageError: `where` names what the domain does not declare or the model cannot draw, or the model is too large.
    """
    where = plain_where(where)
    unknown = [name for name in where if name not in file.books]
    if unknown:
        raise UsageError(
            f"where: '{shown(unknown[0], 60)}' is no column of the model; its columns: {', '.join(file.books)}"
        )
    wanted = {name: _understood(file.books[name], file.model.column(name), value) for name, value in where.items()}
    model = condition(file.model, {name: one.shares for name, one in wanted.items()})
    plan = sample_plan(model, file.books, rows, seed)
    columns = [
        _pin(column, wanted[name]) if name in wanted else column
        for name, column in zip(file.books, plan.columns, strict=True)
    ]
    return replace(plan, columns=tuple(columns))


def _understood(book: CodeBook, column: ColumnModel, value: object) -> Wanted:
    try:
        by_place = wanted_shares(book, value)
    except ValueError as error:
        raise UsageError(f"where: {error}") from None
    shares, pinned = np.zeros(column.cells), dict[int, int]()
    for place, share in by_place.items():
        cell = _cell(column, place)
        if column.starts is not None and place >= 0 and pinned.setdefault(cell, place) != place:
            raise UsageError(f"where: two values of column '{book.name}' lie in one bin of the model; ask for one")
        shares[cell] += share
    return Wanted(shares, pinned)


def _cell(column: ColumnModel, place: int) -> int:
    if place < 0:
        return column.cells - 2 if place == OTHER else column.cells - 1
    if column.starts is None:
        return place
    return int(np.searchsorted(column.starts, place, side="right")) - 1


def _pin(column: _worker.ColumnPlan, wanted: Wanted) -> _worker.ColumnPlan:
    if not wanted.pinned:
        return column
    starts = column.starts.copy()
    lengths = None if column.lengths is None else column.lengths.copy()
    for cell, place in wanted.pinned.items():
        starts[cell] = place
        if lengths is not None:
            lengths[cell] = 1
    return replace(column, starts=starts, lengths=lengths)
