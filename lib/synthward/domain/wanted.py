"""Wanted values of a column, as `where` writes them, understood against its code book; public statements only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from synthward.domain.codes import MISSING, OTHER, CodeBook
from synthward.domain.spec import Categorical, Date, Difference, Numeric

MAX_SWEEPS = 500
"""Rounds of fitting after which wanted shares of several columns count as impossible together."""

TOLERANCE = 1e-6
"""Largest difference of a share to the wanted one after fitting several columns."""


def wanted_shares(book: CodeBook, value: object) -> dict[int, float]:
    """Wanted shares by place.

    Args:
        book: The column's code book.
        value: A value as written in the source, None for missing, or a mapping of such values to shares.

    Returns:
        Shares that sum to 1, by grid index or code, `OTHER` or `MISSING`.

    Raises:
        ValueError: A value is not declared, a share is no number of at least 0, or they do not sum to 1; or the column
            is a date that is derived from another one, or is missing together with other columns.

    >>> from decimal import Decimal
    >>> from synthward.domain.spec import Categorical
    >>> wanted_shares(CodeBook("sex", Categorical(values=("F", "M"))), {"F": Decimal("0.25"), "M": Decimal("0.75")})
    {0: 0.25, 1: 0.75}
    """
    if isinstance(book.attribute, Difference):
        raise ValueError(
            f"column '{book.name}' is a date derived from '{book.attribute.base}', and only the days between them are "
            f"known; ask for values of '{book.attribute.base}', or choose among the rows afterwards"
        )
    if book.missing_with:
        raise ValueError(
            f"column '{book.name}' is missing together with {', '.join(book.missing_with)} (`missing_together`), so "
            "that a wanted share of its values cannot be kept; choose among the rows afterwards"
        )
    listed = dict(value) if isinstance(value, Mapping) else {value: 1}
    shares: dict[int, float] = {}
    for one, share in listed.items():
        number = float(share) if isinstance(share, int | float | Decimal) and not isinstance(share, bool) else -1.0
        if not (math.isfinite(number) and number >= 0):
            raise ValueError(f"a share of column '{book.name}' is not a number of at least 0")
        place = _place(book, one)
        shares[place] = shares.get(place, 0.0) + number
    whole = sum(shares.values())
    if not math.isclose(whole, 1.0, abs_tol=1e-6):
        raise ValueError(f"the shares of column '{book.name}' sum to {whole:g}, not to 1")
    return {place: share / whole for place, share in shares.items()}


def _place(book: CodeBook, value: object) -> int:
    attribute = book.attribute
    if isinstance(attribute, Categorical) and attribute.other is not None and value == attribute.other:
        return OTHER
    # A value beyond the bounds would be clipped, which is right for a source and wrong for a wish.
    if isinstance(attribute, Numeric | Date):
        book = CodeBook(book.name, replace(attribute, outside="missing"))
    place = book.place_of(value)
    if place == OTHER or (place == MISSING and attribute.required):
        raise ValueError(f"{value!r} is not a declared value of column '{book.name}'; see the domain")
    return place
