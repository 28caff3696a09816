"""Tables of shares that are compared with each other: simulated, released and noisy ones, as a reader sees them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import CodeBook
from synthward.evaluate.tables import has_label
from synthward.privacy.queries import Clique
from synthward.sample.drawn import DrawnRows

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

MOST_CELLS = 2**20
"""A pair with more cells is not judged: its cells have less than one row each in most releases."""

MOST_PAIRS = 5000
"""Pairs that are judged at most, in the order of the domain."""


def judged(books: Mapping[str, CodeBook]) -> tuple[Clique, ...]:
    """All columns, and all pairs that are not too large."""
    pairs = [pair for pair in combinations(books, 2) if books[pair[0]].cells * books[pair[1]].cells <= MOST_CELLS]
    return (*((name,) for name in books), *pairs[:MOST_PAIRS])


def shown_codes(drawn: DrawnRows) -> dict[str, Integers]:
    """Codes as a reader of a release sees them: what is undeclared and has no label is missing."""
    return {
        name: drawn.codes[name]
        if has_label(book)
        else np.where(drawn.codes[name] == book.other, book.missing, drawn.codes[name])
        for name, book in drawn.books.items()
    }


def total_variation(one: Floats, two: Floats) -> float:
    """Total variation distance of two tables of shares.

    >>> total_variation(np.array([0.5, 0.5]), np.array([0.75, 0.25]))
    0.25
    """
    return float(np.abs(one - two).sum()) / 2


def effective_cells(one: Floats, two: Floats) -> float:
    """How many cells the distance of two tables comes from, at least 1; many small differences count fully.

    >>> effective_cells(np.array([0.5, 0.2, 0.2, 0.1]), np.array([0.5, 0.3, 0.1, 0.1]))
    2.0
    """
    difference = np.abs(one - two)
    squares = float((difference**2).sum())
    return max(1.0, round(float(difference.sum()) ** 2 / squares, 6)) if squares > 0 else 1.0
