"""Random conditions, whose counts in simulated rows show how far off counts of a release are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Date, Numeric
from synthward.privacy.queries import Clique

Integers = npt.NDArray[np.int64]
Codes = Mapping[str, Integers]

QUESTIONS = 200
"""Conditions for each number of columns in a replicate."""

MOST_COLUMNS = 3
"""Columns of a random condition at most."""


@dataclass(frozen=True)
class Condition:
    """A range of codes for some columns, both ends included.

    Attributes:
        columns: In the order of the domain.
        ranges: First and last code of each.
    """

    columns: Clique
    ranges: tuple[tuple[int, int], ...]

    def share(self, codes: Codes, weights: npt.NDArray[np.float64] | None = None) -> float:
        """Share of the rows that meet the condition.

        Args:
            codes: Codes of the rows, by column.
            weights: Weight of each row; every row counts the same unless given.
        """
        meets = np.ones(len(codes[self.columns[0]]), dtype=bool)
        for name, (low, high) in zip(self.columns, self.ranges, strict=True):
            meets &= (codes[name] >= low) & (codes[name] <= high)
        return float(np.average(meets, weights=weights))


@dataclass(frozen=True)
class Trial:
    """A condition's share in simulated rows, and in the release made from them.

    Attributes:
        columns: Columns of the condition, in the order of the domain.
        real: Share of the rows that meet it.
        released: Share of the release's rows.
    """

    columns: Clique
    real: float
    released: float


def conditions(books: Mapping[str, CodeBook], codes: Codes, random: np.random.Generator) -> Iterator[Condition]:
    """Random conditions of one, two and three columns.

    The values of a condition are those of a random row, so that frequent combinations are asked about more often. A
    numeric column asks for a range of bins that holds the row's bin.

    Args:
        books: Code books in the order of the domain.
        codes: Codes of rows, by column.
        random: Seeded chance.
    """
    names, rows = list(books), len(next(iter(codes.values())))
    for width in range(1, min(MOST_COLUMNS, len(names)) + 1):
        for _ in range(QUESTIONS):
            columns = tuple(names[place] for place in sorted(random.choice(len(names), width, replace=False)))
            row = int(random.integers(rows))
            yield Condition(columns, tuple(_range(books[name], int(codes[name][row]), random) for name in columns))


def trials(
    books: Mapping[str, CodeBook], real: Codes, released: Codes, random: np.random.Generator
) -> tuple[Trial, ...]:
    """Asks random conditions about simulated rows and about the release made from them.

    Args:
        books: Code books in the order of the domain.
        real: Codes of the simulated rows.
        released: Codes of the release.
        random: Seeded chance.
    """
    return tuple(Trial(one.columns, one.share(real), one.share(released)) for one in conditions(books, real, random))


def _range(book: CodeBook, code: int, random: np.random.Generator) -> tuple[int, int]:
    """First and last code of a random condition that a code meets."""
    if not isinstance(book.attribute, Numeric | Date) or code >= book.other:
        return code, code
    return int(random.integers(0, code + 1)), int(random.integers(code, book.other))
