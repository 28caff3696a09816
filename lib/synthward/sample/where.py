"""Wanted values of some columns: `where` of a sample, understood against the domain.

`{"sex": "F"}` fixes a value, `{"sex": {"F": 0.7, "M": 0.3}}` wants shares, None stands for missing. Values are written
as in the source. Of a number or date the model knows bins only: the rows hold the value that was asked for, everything
else depends on its bin.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import MISSING, OTHER, CodeBook
from synthward.domain.spec import Categorical, Date, Numeric
from synthward.errors import UsageError
from synthward.fit.model import ColumnModel
from synthward.sample import _worker
from synthward.sample.artifact import Artifact
from synthward.sample.blocks import sample_plan
from synthward.sample.condition import condition


@dataclass(frozen=True, eq=False)
class Wanted:
    """What is wanted of one column.

    Attributes:
        shares: Share of each cell of the model's column.
        pinned: Place inside a bin by cell.
    """

    shares: npt.NDArray[np.float64]
    pinned: Mapping[int, int]


def plan_where(artifact: Artifact, rows: int, seed: int, where: Mapping[str, Any]) -> _worker.SamplePlan:
    """The worker's instructions for rows under wanted values.

    Raises:
        UsageError: `where` names what the domain does not declare or the model cannot draw, or the model is too large.
    """
    unknown = [name for name in where if name not in artifact.books]
    if unknown:
        raise UsageError(f"where: '{unknown[0]}' is no column of the model; its columns: {', '.join(artifact.books)}")
    wanted = {
        name: _understood(artifact.books[name], artifact.model.column(name), value) for name, value in where.items()
    }
    model = condition(artifact.model, {name: one.shares for name, one in wanted.items()})
    plan = sample_plan(model, artifact.books, rows, seed)
    columns = [
        _pin(column, wanted[name]) if name in wanted else column
        for name, column in zip(artifact.books, plan.columns, strict=True)
    ]
    return replace(plan, columns=tuple(columns))


def _understood(book: CodeBook, column: ColumnModel, value: object) -> Wanted:
    listed = dict(value) if isinstance(value, Mapping) else {value: 1.0}
    shares, pinned = np.zeros(column.cells), dict[int, int]()
    for one, share in listed.items():
        if isinstance(share, bool) or not isinstance(share, int | float) or not math.isfinite(share) or share < 0:
            raise UsageError(f"where: a share of column '{book.name}' is not a number of at least 0")
        place = _place(book, one)
        cell = _cell(column, place)
        if column.starts is not None and place >= 0 and pinned.setdefault(cell, place) != place:
            raise UsageError(f"where: two values of column '{book.name}' lie in one bin of the model; ask for one")
        shares[cell] += share
    if not math.isclose(float(shares.sum()), 1.0, abs_tol=1e-6):
        raise UsageError(f"where: the shares of column '{book.name}' sum to {shares.sum():g}, not to 1")
    return Wanted(shares / shares.sum(), pinned)


def _place(book: CodeBook, value: object) -> int:
    """Where a wanted value stands.

    Raises:
        UsageError: It is not declared.
    """
    attribute = book.attribute
    if isinstance(attribute, Categorical) and attribute.other is not None and value == attribute.other:
        return OTHER
    # A value beyond the bounds would be clipped, which is right for a source and wrong for a wish.
    if isinstance(attribute, Numeric | Date):
        book = CodeBook(book.name, replace(attribute, outside="missing"))
    place = book.place_of(value)
    if place == OTHER or (place == MISSING and attribute.required):
        raise UsageError(f"where: {value!r} is not a declared value of column '{book.name}'; see the domain")
    return place


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
