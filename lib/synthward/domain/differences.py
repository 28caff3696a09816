"""Derived dates: days of a column that is declared to be after another one, from places; public arithmetic only.

The order of the two dates holds by construction. A derived date is its base's date plus a difference of at least
`within[0]`, and no later than its own last bound, which is at least `within[0]` after the base's (`domain.spec`).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Date, Difference


def with_bases(books: Mapping[str, CodeBook], name: str) -> dict[str, CodeBook]:
    """The code books that decoding of a column needs: its own and, of a derived date, those of the dates before it."""
    needed = {name: books[name]}
    attribute = books[name].attribute
    while isinstance(attribute, Difference):
        needed[attribute.base] = books[attribute.base]
        attribute = books[attribute.base].attribute
    return needed


def days_of(
    books: Mapping[str, CodeBook], places: Mapping[str, npt.NDArray[np.int32]], name: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Released dates of a column by day.

    Args:
        books: Code books, the bases of the column included.
        places: Places by column, equal lengths.
        name: Column of a date with granularity day, derived or not.

    Returns:
        Days since 1970-01-01, and where there is no date. A derived date is absent where its base is.
    """
    attribute, own = books[name].attribute, places[name].astype(np.int64)
    if isinstance(attribute, Difference):
        start, absent = days_of(books, places, attribute.base)
        return np.minimum(start + own + attribute.grid.low, attribute.last_day), absent | (own < 0)
    assert isinstance(attribute, Date)
    return own + attribute.grid.low, own < 0
