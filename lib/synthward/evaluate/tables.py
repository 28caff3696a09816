"""Sealed marginals, joined: one noisy table for each set of columns that was measured.

Several answers about the same columns, and what wider tables say of a pair inside them, are averaged with weights
inverse to their variances, the unbiased mean of least variance. The scales are public, so this is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Categorical
from synthward.privacy.measurement import Measurement
from synthward.privacy.queries import Clique, Marginal

Floats = npt.NDArray[np.float64]

NORMAL_MEAN_ABSOLUTE = math.sqrt(2 / math.pi)
"""Expected absolute value of a normal variable of deviation 1. Exact within 1 part in 1000 for one Gaussian answer; a
mean or sum of several Laplace answers has between .75 and .80 of its deviation."""


@dataclass(frozen=True, eq=False)
class NoisyTable:
    """A noisy marginal.

    Attributes:
        columns: In the order of the domain.
        counts: Noisy counts in rows, shape (cells of the first column, ...), codes as in the code books; unbiased, so
            that empty cells are below zero as often as above.
        deviation: Standard deviation of the noise in one cell, in rows.
        mean_absolute: Expected absolute noise in one cell, in rows.
        answers: Sealed answers about exactly these columns; 0 where only wider tables speak of them.
    """

    columns: Clique
    counts: Floats
    deviation: float
    mean_absolute: float
    answers: int


def in_domain_order(columns: Iterable[str], books: Mapping[str, CodeBook]) -> Clique:
    """The columns of a clique in the order in which the domain has them."""
    wanted = set(columns)
    return tuple(name for name in books if name in wanted)


def has_label(book: CodeBook) -> bool:
    """Whether undeclared values have a label in the release; without one they count as missing there."""
    return isinstance(book.attribute, Categorical) and book.attribute.other is not None


def compared(counts: Floats, axis: int, book: CodeBook) -> Floats:
    """Counts of the code book's cells along one axis, as cells that can be told apart in a release.

    What is clipped is released as the bound, so it is counted in the bound's bin; `other` without a label is released
    as NULL, so it is counted as missing (the last cell).
    """
    moved = np.moveaxis(counts, axis, 0).copy()
    if book.clips:
        size = book.attribute.size
        moved[0] += moved[book.below]
        moved[size - 1] += moved[book.above]
        moved = np.delete(moved, [book.below, book.above], 0)
    if not has_label(book):
        moved[-1] += moved[-2]
        moved = np.delete(moved, -2, 0)
    return np.moveaxis(moved, 0, axis)


def noise_cells(book: CodeBook) -> float:
    """How many cells' noise the compared cells have: a sum of k cells counts as sqrt(k), in Gaussian terms."""
    ones = np.ones(book.cells)
    return float(np.sqrt(compared(ones, 0, book)).sum())


def compared_labels(book: CodeBook) -> tuple[str, ...]:
    """A text for each cell of `compared`."""
    labels = [
        label for code, label in enumerate(book.labels()) if not (book.clips and code in (book.below, book.above))
    ]
    return tuple(labels) if has_label(book) else (*labels[:-2], labels[-1])


def noisy_tables(sealed: Iterable[Measurement], books: Mapping[str, CodeBook]) -> dict[Clique, NoisyTable]:
    """One table for each set of columns with a sealed marginal; other kinds of answers are no tables.

    Args:
        sealed: Measurements of a run.
        books: Code books in the order of the domain.
    """
    tables: dict[Clique, NoisyTable] = {}
    for measurement in sealed:
        query = measurement.asked.query
        if not isinstance(query, Marginal):
            continue
        columns = in_domain_order(query.clique, books)
        counts = measurement.counts.reshape([books[name].cells for name in query.clique])
        counts = counts.transpose([query.clique.index(name) for name in columns])
        table = NoisyTable(columns, counts, measurement.deviation, measurement.mean_absolute, 1)
        tables[columns] = joined(tables[columns], table) if columns in tables else table
    return tables


def joined(first: NoisyTable, second: NoisyTable) -> NoisyTable:
    """Two independent noisy tables of the same columns as one, by inverse variance."""
    one, two = first.deviation**2, second.deviation**2
    weight = two / (one + two)
    deviation = math.sqrt(one * two / (one + two))
    counts = weight * first.counts + (1 - weight) * second.counts
    answers = first.answers + second.answers
    return NoisyTable(first.columns, counts, deviation, NORMAL_MEAN_ABSOLUTE * deviation, answers)


def with_pairs(tables: Mapping[Clique, NoisyTable]) -> dict[Clique, NoisyTable]:
    """The tables, and every pair inside a wider one; answers that tell of a pair are averaged."""
    result = dict(tables)
    for columns, table in tables.items():
        for pair in combinations(columns, 2) if len(columns) > 2 else ():
            part = _summed(table, pair)
            result[pair] = joined(result[pair], part) if pair in result else part
    return result


def _summed(table: NoisyTable, columns: Clique) -> NoisyTable:
    """What a table says of some of its columns."""
    gone = tuple(axis for axis, name in enumerate(table.columns) if name not in columns)
    cells = math.prod(table.counts.shape[axis] for axis in gone)
    deviation = table.deviation * math.sqrt(cells)
    return NoisyTable(columns, table.counts.sum(axis=gone), deviation, NORMAL_MEAN_ABSOLUTE * deviation, 0)


def total_rows(tables: Iterable[NoisyTable]) -> float:
    """Weighted number of rows of the source by all tables together, at least 1."""
    sums = [(float(table.counts.sum()), table.deviation**2 * table.counts.size) for table in tables]
    weight = sum(1 / variance for _, variance in sums)
    return max(sum(total / variance for total, variance in sums) / weight, 1.0)


def rows_deviation(tables: Iterable[NoisyTable]) -> float:
    """Standard deviation of the noise in `total_rows`."""
    return math.sqrt(1 / sum(1 / (table.deviation**2 * table.counts.size) for table in tables))
