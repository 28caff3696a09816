"""Groups of cells: the coarser codes on which a joint model is fitted.

For rare values, noise hides any relation with other columns, and in a joint table they cost cells and add noise.
Therefore cells with a small noisy one-way count share a group: neighbouring bins of a graded column, rare codes of any
other column. Inside a group, values follow the noisy one-way shares, independently of everything else. Groups are a
function of sealed counts and public constants.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Categorical, Date, Numeric

Floats = npt.NDArray[np.float64]
Indexes = npt.NDArray[np.int64]

DEVIATIONS = 3.0
"""A count below this many standard deviations of its noise cannot be distinguished from zero."""

SMALLEST_SHARE = 0.003
"""A cell with less than this share of all rows does not get a group of its own either."""

EXCLUDED = -1


@dataclass(frozen=True, eq=False)
class Grouping:
    """Groups of one column.

    Attributes:
        name: Column.
        groups: Group of each cell, shape (cells,), numbered from 0; `EXCLUDED` for cells the release never has.
        within: Share of each cell in its group, shape (cells,); 0 for excluded cells.
        observed: Noisy share of each cell among all rows, excluded ones too, shape (cells,).
    """

    name: str
    groups: Indexes
    within: Floats
    observed: Floats

    @property
    def count(self) -> int:
        """Number of groups."""
        return int(self.groups.max()) + 1

    @property
    def members(self) -> Floats:
        """Number of cells of each group, shape (count,)."""
        kept = self.groups[self.groups != EXCLUDED]
        return np.bincount(kept, minlength=self.count).astype(np.float64)

    def summed(self, table: npt.NDArray[np.int64], axis: int) -> npt.NDArray[np.int64]:
        """Sum a table of cells to groups along one axis, without the excluded cells. Exact: integers."""
        kept = self.groups != EXCLUDED
        moved = np.moveaxis(table, axis, 0)
        result = np.zeros((self.count, *moved.shape[1:]), dtype=np.int64)
        np.add.at(result, self.groups[kept], moved[kept])
        return np.moveaxis(result, 0, axis)


def excluded_cells(book: CodeBook) -> tuple[int, ...]:
    """Return the cells that a release never has: of a required column, `missing`, and `other` if it has no label."""
    attribute = book.attribute
    if not attribute.required:
        return ()
    labelled = isinstance(attribute, Categorical) and attribute.other is not None
    return (book.missing,) if labelled else (book.other, book.missing)


def grouping(book: CodeBook, counts: Floats, deviation: float, total: float, apart: Collection[int]) -> Grouping:
    """Compute the groups of a column.

    Args:
        book: Code book.
        counts: Noisy rows of each cell, shape (cells,).
        deviation: Standard deviation of their noise.
        total: Noisy number of rows.
        apart: Cells that keep a group of their own.

    >>> from synthward.domain.spec import Categorical
    >>> book = CodeBook("ward", Categorical(values=("A", "B", "C")))
    >>> grouping(book, np.array([600.0, 390.0, 2.0, 8.0, 0.0]), 3.0, 1000.0, apart=()).groups.tolist()
    [0, 1, 1, 1, 1]
    """
    least = max(DEVIATIONS * deviation, SMALLEST_SHARE * total)
    excluded = set(excluded_cells(book))
    runs = list(range(book.attribute.size)) if isinstance(book.attribute, Numeric | Date) else []
    if book.clips:  # in their order: what is clipped is next to the bound
        runs = [book.below, *runs, book.above]
    singles = [cell for cell in range(book.cells) if cell not in excluded and cell not in runs]
    put_together = _runs(runs, counts, least, apart)
    common = _rare([cell for cell in singles if cell not in apart], counts, least, put_together)
    parts = [[cell] for cell in apart] + put_together + common
    groups = np.full(book.cells, EXCLUDED, dtype=np.int64)
    within = np.zeros(book.cells)
    for number, cells in enumerate(sorted(sorted(part) for part in parts)):
        groups[cells] = number
        within[cells] = _shares(counts[cells])
    return Grouping(book.name, groups, within, _shares(counts))


def _runs(bins: list[int], counts: Floats, least: float, apart: Collection[int]) -> list[list[int]]:
    """Join neighbouring bins until a run has enough rows. The remainder joins the last run.

    What is clipped stands before the first bin and after the last one.
    """
    found: list[list[int]] = []
    run: list[int] = []
    for cell in bins:
        if cell in apart:
            continue
        run.append(cell)
        if counts[run].sum() > least:
            found.append(run)
            run = []
    if run and found:
        found[-1] += run
    elif run:
        found.append(run)
    return found


def _rare(codes: list[int], counts: Floats, least: float, others: list[list[int]]) -> list[list[int]]:
    """Give codes with enough rows a group each, and the rare codes one group together.

    If the rare codes are too few for a group, they join the smallest one.

    Args:
        codes: Cells to group.
        counts: Noisy rows.
        least: Number of rows that is enough.
        others: Runs of the column's bins. The smallest one takes the remainder if no code has enough rows.
    """
    common = [[cell] for cell in codes if counts[cell] > least]
    rare = [cell for cell in codes if counts[cell] <= least]
    if not rare:
        return common
    if counts[rare].sum() > least * len(rare) ** 0.5 or not (common or others):
        return [*common, rare]
    smallest = min(common or others, key=lambda part: (float(counts[part].sum()), part))
    smallest += rare
    return common


def _shares(counts: Floats) -> Floats:
    """Turn noisy counts into probabilities: negative counts become zero; if nothing is left, the result is uniform."""
    positive = np.maximum(counts, 0.0)
    whole = positive.sum()
    return positive / whole if whole > 0 else np.full(len(counts), 1 / len(counts))
