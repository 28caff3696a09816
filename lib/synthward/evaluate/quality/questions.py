"""Random conditions, whose counts in simulated rows show how far off counts of a release are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Date, Numeric
from synthward.privacy.queries import Clique

Integers = npt.NDArray[np.int64]

QUESTIONS = 200
"""Conditions for each number of columns in a replicate."""

MOST_COLUMNS = 3
"""Columns of a condition at most; one of more columns is treated like one of so many."""


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


def trials(
    books: Mapping[str, CodeBook],
    real: Mapping[str, Integers],
    released: Mapping[str, Integers],
    random: np.random.Generator,
) -> tuple[Trial, ...]:
    """Asks random conditions of one, two and three columns.

    The values of a condition are those of a random row, so that frequent combinations are asked about more often. A
    numeric column asks for a range of bins that holds the row's bin.

    Args:
        books: Code books in the order of the domain.
        real: Codes of the simulated rows.
        released: Codes of the release.
        random: Seeded chance.
    """
    names, rows = list(books), len(next(iter(real.values())))
    found = []
    for width in range(1, min(MOST_COLUMNS, len(names)) + 1):
        for _ in range(QUESTIONS):
            chosen = sorted(random.choice(len(names), width, replace=False))
            columns, row = tuple(names[place] for place in chosen), int(random.integers(rows))
            meets = [np.ones(rows, dtype=bool), np.ones(len(released[names[0]]), dtype=bool)]
            for name in columns:
                low, high = _range(books[name], int(real[name][row]), random)
                for place, codes in enumerate((real[name], released[name])):
                    meets[place] &= (codes >= low) & (codes <= high)
            found.append(Trial(columns, float(meets[0].mean()), float(meets[1].mean())))
    return tuple(found)


def _range(book: CodeBook, code: int, random: np.random.Generator) -> tuple[int, int]:
    """First and last code of a random condition that a code meets."""
    if not isinstance(book.attribute, Numeric | Date) or code >= book.other:
        return code, code
    return int(random.integers(0, code + 1)), int(random.integers(code, book.other))
