"""Cells of a declared attribute, made from its declaration alone: the extreme ones, every code, and hostile ones."""

from __future__ import annotations

import math
import re
from datetime import date
from typing import TypeVar

from synthward.domain.codes import CodeBook, date_at
from synthward.domain.spec import Boolean, Categorical, Date, Numeric

T = TypeVar("T")

MOST_CODES = 24
"""Codes of one column that get a row of their own; of longer lists the first, the last and some between."""


def extremes(book: CodeBook) -> tuple[object, object]:
    """Two cells that move every answer as far as a cell can, in opposite directions where it has directions."""
    attribute = book.attribute
    if isinstance(attribute, Numeric | Date):
        return _at(book, attribute.grid.count - 1), _at(book, 0)
    first = _codes(book)[0]
    return first, first


def every_code(book: CodeBook) -> list[object]:
    """Cells of the declared codes, of missing and of what is not declared."""
    attribute = book.attribute
    missing: list[object] = [None, *attribute.missing]
    if isinstance(attribute, Numeric):
        missing += [float(number) for number in attribute.sentinels]
    if isinstance(attribute, Date):
        missing += [_written(attribute, day) for day in attribute.sentinels]
    return [*_codes(book), *missing, *hostile(book)]


def hostile(book: CodeBook) -> list[object]:
    """Cells that no declaration foresees, as far as the type of the column holds them."""
    attribute = book.attribute
    if isinstance(attribute, Numeric):
        far = attribute.grid.high_float
        return [math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, far + abs(far) * 9 + 1e6, far + 0.25]
    if isinstance(attribute, Date):
        days = [date(1, 1, 1), date(9999, 12, 31), date(1970, 1, 1)]
        return [*(_written(attribute, day) for day in days), *(["", "soon"] if attribute.format else [])]
    return ["", " ", "\u03a9", "undeclared text", "x" * 300]


def _codes(book: CodeBook) -> list[object]:
    attribute = book.attribute
    if isinstance(attribute, Categorical):
        values: tuple[object, ...] = attribute.values
    elif isinstance(attribute, Boolean):
        values = (attribute.false[0], attribute.true[0])
    else:
        return [_at(book, start) for start in _spread(list(attribute.grid.starts))]
    return _spread(list(values))


def _spread(values: list[T]) -> list[T]:
    if len(values) <= MOST_CODES:
        return values
    return [values[place * (len(values) - 1) // (MOST_CODES - 1)] for place in range(MOST_CODES)]


def _at(book: CodeBook, index: int) -> object:
    attribute = book.attribute
    if isinstance(attribute, Date):
        return _written(attribute, date_at(attribute, index))
    assert isinstance(attribute, Numeric)
    return float(attribute.grid.value(index))


_PARTS = re.compile(r"yyyy|MM|M|dd|d|HH|mm|ss")


def _written(attribute: Date, day: date) -> object:
    """A day as its column holds it: a date, or a text in the declared format."""
    if attribute.format is None:
        return day
    parts = {
        "yyyy": f"{day.year:04}",
        "MM": f"{day.month:02}",
        "M": str(day.month),
        "dd": f"{day.day:02}",
        "d": str(day.day),
        "HH": "00",
        "mm": "00",
        "ss": "00",
    }
    return _PARTS.sub(lambda found: parts[found[0]], attribute.format)


def as_text(cell: object) -> str | None:
    """A cell as a text file holds it; None where it is nothing."""
    if cell is None:
        return None
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 2**53 else repr(cell)
    if isinstance(cell, date):
        return cell.isoformat()
    return str(cell)
