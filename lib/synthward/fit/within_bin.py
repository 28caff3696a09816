"""Values inside learned bins follow the noisy histogram from which the bins were cut.

A learned bin can be wide where rows are rare. The histogram on the public grid is sealed and charged already, so using
its shape inside a bin costs nothing. Relations with other columns are kept by bins only: the finer cells of a bin share
its group. Everything here is a function of sealed numbers and public constants.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from synthward.fit.model import MAX_CELLS, ColumnModel, Model

Floats = npt.NDArray[np.float64]
Indexes = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Histogram:
    """A noisy histogram on the public grid of a column.

    Attributes:
        name: Column.
        starts: Grid index at which each cell starts, shape (cells,), the first one 0; every bin of the model's column
            starts where a cell does.
        counts: Noisy rows of each cell, shape (cells,).
        deviation: Standard deviation of their noise.
    """

    name: str
    starts: Indexes
    counts: Floats
    deviation: float


def refined(model: Model, histograms: Iterable[Histogram]) -> Model:
    """Refine columns of a model to the cells of their histograms.

    A column stays as it is if the model would otherwise have more than `MAX_CELLS` probabilities.
    """
    finer = {found.name: found for found in histograms}
    columns, cells = list(model.columns), model.cells
    for place, column in enumerate(columns):
        if column.name in finer:
            fine = _refined(column, finer[column.name])
            grown = cells - column.probabilities.size + fine.probabilities.size
            if grown <= MAX_CELLS:
                columns[place], cells = fine, grown
    return replace(model, columns=tuple(columns))


def _refined(column: ColumnModel, found: Histogram) -> ColumnModel:
    assert column.starts is not None
    bins = np.searchsorted(column.starts, found.starts, side="right") - 1
    widths = np.diff(found.starts, append=column.count).astype(np.float64)
    within = np.empty(len(bins))
    for own in range(len(column.starts)):
        inside = bins == own
        within[inside] = _shares(found.counts[inside], widths[inside], found.deviation)
    special = np.arange(len(column.starts), column.cells)
    cell = np.concatenate([bins, special])
    groups = np.arange(column.cells) if column.groups is None else column.groups
    return replace(
        column,
        probabilities=column.probabilities[..., cell] * np.concatenate([within, np.ones(len(special))]),
        starts=found.starts,
        groups=groups[cell],
    )


def _shares(counts: Floats, widths: Floats, deviation: float) -> Floats:
    """Return the shares of the cells of one bin, shrunk towards an even spread as far as they are noise.

    This is the positive part estimator of James and Stein (1961) around the even spread of the bin's noisy rows. For m
    cells with squared distance d from it, noise alone explains the part (m - 1) deviation^2 / d.
    """
    even: Floats = widths / widths.sum()
    rows = float(counts.sum())
    away = counts - rows * even
    distance = float((away * away).sum())
    noise = (len(counts) - 1) * deviation**2
    if rows <= 0 or distance <= noise:
        return even
    drawn: Floats = np.maximum(rows * even + (1 - noise / distance) * away, 0.0)
    shares: Floats = drawn / drawn.sum()
    return shares
