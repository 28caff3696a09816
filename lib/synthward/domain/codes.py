"""Value <-> code: the reference of how a cell is understood, in plain Python, numpy and Arrow.

`kernels/encode.py` says the same in native Spark expressions; tests hold the two together on every code. A code book
has codes `0 .. size - 1` for the declared values (a category, false and true, or a bin of the grid), then, where values
beyond the bounds are clipped, one for those `below` and one for those `above`, then `other` for what is present but not
declared, then `missing`. The place of a value is finer than its code: an index of the grid instead of a bin.
"""

from __future__ import annotations

import math
import re
import zoneinfo
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synthward.domain import matching
from synthward.domain.matching import MISSING
from synthward.domain.spec import EPOCH, Attribute, Boolean, Categorical, Date, Difference, Domain, Numeric
from synthward.domain.texts import (
    EXCEL_EPOCH,
    EXCEL_FALSE_DAY,
    EXCEL_LAST,
    date_regex,
    number_regex,
    tidied,
)

__all__ = ["ABOVE", "BELOW", "MISSING", "OTHER", "CodeBook", "codebooks", "date_at", "square_of"]

OTHER = -1
"""Place of what is present but not declared."""

BELOW, ABOVE = -3, -4
"""Places of what is clipped: in a sum the value counts as the bound, in a marginal it has a cell of its own."""


@dataclass(frozen=True)
class CodeBook:
    """Codes of one attribute.

    Attributes:
        name: Column name.
        attribute: What is counted of it: its declaration, or the `Difference` of a date that is declared to be after
            another one. The value of a difference is the pair of the cells (its own, that of the other date).
        missing_with: The other columns that are missing in the same rows of a release.
    """

    name: str
    attribute: Attribute
    missing_with: tuple[str, ...] = ()

    @property
    def declared(self) -> Attribute:
        """The declaration of the column's own cells, which is the date of a difference."""
        return self.attribute.own if isinstance(self.attribute, Difference) else self.attribute

    @property
    def clips(self) -> bool:
        """Whether values beyond the bounds are clipped, and have codes of their own."""
        return isinstance(self.attribute, Numeric | Date) and self.attribute.outside == "clip"

    @property
    def below(self) -> int:
        """Code of values below the bounds.

        Raises:
            TypeError: The attribute clips nothing.
        """
        if not self.clips:
            raise TypeError(f"'{self.name}' clips nothing")
        return self.attribute.size

    @property
    def above(self) -> int:
        """Code of values above the bounds; see `below`."""
        return self.below + 1

    @property
    def other(self) -> int:
        """Code of what is present but outside the domain."""
        return self.attribute.size + 2 * self.clips

    @property
    def missing(self) -> int:
        """Code of what is missing."""
        return self.other + 1

    @property
    def cells(self) -> int:
        """Number of codes in all."""
        return self.other + 2

    @cached_property
    def _texts(self) -> dict[str, int]:
        """Places by tidied text, those of missing texts included."""
        attribute = self.attribute
        if isinstance(attribute, Categorical):
            return matching.by_text(attribute)
        if isinstance(attribute, Boolean):
            return {text.lower(): place for text, place in matching.declared(attribute) if place >= 0}
        return {}

    @cached_property
    def _numbers(self) -> dict[Decimal, int]:
        return matching.by_number(self.attribute) if isinstance(self.attribute, Categorical | Boolean) else {}

    @cached_property
    def _doubles(self) -> dict[float, int]:
        return matching.by_double(self.attribute) if isinstance(self.attribute, Categorical | Boolean) else {}

    @cached_property
    def _truths(self) -> Mapping[bool, int]:
        return matching.by_truth(self.attribute) if isinstance(self.attribute, Categorical) else {}

    def labels(self) -> tuple[str, ...]:
        """A short text for each code, for reports."""
        attribute = self.attribute
        if isinstance(attribute, Categorical):
            declared = attribute.values
        elif isinstance(attribute, Boolean):
            declared = ("false", "true")
        else:
            declared = tuple(self.format_place(start) for start in attribute.grid.starts)
            if self.clips:
                first, last = (self.format_place(place) for place in (0, attribute.grid.count - 1))
                declared = (*declared, f"(below {first})", f"(above {last})")
        return (*declared, "(other)", "(missing)")

    def format_place(self, index: int) -> str:
        """The value at a grid index, as text.

        Raises:
            TypeError: The attribute has no grid.
        """
        attribute = self.attribute
        if isinstance(attribute, Date):
            return date_at(attribute, index).isoformat()
        if isinstance(attribute, Numeric):
            value = attribute.grid.value(index)
            if isinstance(attribute, Difference):
                return f"{value.numerator} days"
            return str(value.numerator) if value.denominator == 1 else f"{float(value):g}"
        raise TypeError(f"'{self.name}' is {attribute.TAG} and has no grid")

    def place_of(self, value: object) -> int:
        """Where a source value stands: grid index or declared code, or one of the negative places. Never fails."""
        attribute = self.attribute
        if value is None:
            return MISSING
        if isinstance(attribute, Difference):
            return _numeric_place(attribute, days_between(attribute, value))
        if isinstance(attribute, Numeric):
            return _numeric_place(attribute, value)
        if isinstance(attribute, Date):
            return _date_place(attribute, value)
        if isinstance(value, bool):
            return int(value) if isinstance(attribute, Boolean) else self._truths.get(value, OTHER)
        if isinstance(value, float):
            return MISSING if math.isnan(value) else self._doubles.get(value, OTHER)
        if isinstance(value, int | Decimal):
            return self._numbers.get(Decimal(value), OTHER)
        return self._text_place(str(value))

    def _text_place(self, text: str) -> int:
        attribute = self.attribute
        if isinstance(attribute, Categorical):
            return self._texts.get(tidied(text, trim=attribute.trim, fold=attribute.case == "fold"), OTHER)
        if text in attribute.missing or not text.strip(" "):
            return MISSING
        return self._texts.get(text.strip(" ").lower(), OTHER)

    def code_of_place(self, place: int) -> int:
        """Code of a place: the bin of a grid index, the index itself of a category."""
        if place == OTHER:
            return self.other
        if place == MISSING:
            return self.missing
        if place in (BELOW, ABOVE):
            return self.below if place == BELOW else self.above
        if isinstance(self.attribute, Numeric | Date):
            return int(np.searchsorted(self.attribute.grid.starts, place, side="right")) - 1
        return place

    def code_of(self, value: object) -> int:
        """Code of one source value."""
        return self.code_of_place(self.place_of(value))

    def is_present(self, value: object) -> bool:
        """Whether a value counts in sums of a graded attribute: it is declared, or clipped to a bound."""
        return self.place_of(value) not in (OTHER, MISSING)

    def quantum_of(self, value: object) -> int:
        """The fixed-point integer `q` that a value adds to a sum; 0 where nothing is present.

        Raises:
            TypeError: The attribute is not graded.
        """
        attribute = self.attribute
        if isinstance(attribute, Difference):
            number = days_between(attribute, value) if self.is_present(value) else None
        elif isinstance(attribute, Numeric):
            number = _finite(attribute, value) if self.is_present(value) else None
        elif isinstance(attribute, Date):
            place = self.place_of(value)
            place = {BELOW: 0, ABOVE: attribute.grid.count - 1}.get(place, place)
            number = float(attribute.grid.low + place) if place >= 0 else None
        else:
            raise TypeError(f"'{self.name}' is {attribute.TAG} and has no sum")
        if number is None:
            return 0
        scale = attribute.fixed_point
        clipped = min(max(number, attribute.grid.low_float), attribute.grid.high_float)
        rounded = int(np.rint((clipped - scale.centre) * scale.per_unit))
        return min(max(rounded, -scale.limit), scale.limit)

    def encode(self, values: pa.Array | Iterable[object]) -> npt.NDArray[np.int32]:
        """Codes of a column.

        Args:
            values: Arrow array or plain values of any length.

        Returns:
            Codes, same length.
        """
        listed = values.to_pylist() if isinstance(values, pa.Array) else list(values)
        return np.fromiter((self.code_of(value) for value in listed), dtype=np.int32, count=len(listed))


def codebooks(domain: Domain) -> dict[str, CodeBook]:
    """Code books of a domain, in its order.

    >>> from synthward.domain.spec import Categorical
    >>> books = codebooks(Domain(version=1, attributes={"sex": Categorical(values=("F", "M"))}))
    >>> books["sex"].encode(["F", "M", "X", None]).tolist()  # declared values, other, missing
    [0, 1, 2, 3]
    """
    return {name: CodeBook(name, attribute, domain.missing_with(name)) for name, attribute in domain.counted.items()}


Q = TypeVar("Q", int, npt.NDArray[np.int64])


def square_of(q: Q, shift: int) -> Q:
    """The integer square of a fixed-point value, or of an array of them, on its own grid (see `FixedPoint`)."""
    return (q * q + (1 << (shift - 1))) >> shift


def days_between(attribute: Difference, value: object) -> float:
    """Days from the base's cell to the column's own: NaN if either is missing, else infinity if either is undeclared.

    Both dates count as they stand in the source, whatever their bounds.

    Args:
        attribute: The difference.
        value: The pair of the cells: the column's own, that of its base.
    """
    own, base = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
    ends = [_end_of(attribute.own, own), _end_of(attribute.start, base)]
    if None in ends:
        return math.nan
    days = [end.toordinal() for end in ends if isinstance(end, date)]
    return float(days[0] - days[1]) if len(days) == 2 else math.inf


def _end_of(attribute: Date, value: object) -> date | float | None:
    """One end of a difference: its date, infinity where it is none, None where it is missing."""
    if value is None or _date_place(attribute, value) == MISSING:
        return None
    day = _day(attribute, value)
    return day if isinstance(day, date) else math.inf


def date_at(attribute: Date, index: int) -> date:
    """First day of the period at a grid index."""
    ordinal = attribute.grid.low + index
    if attribute.granularity == "day":
        return date.fromordinal(EPOCH.toordinal() + ordinal)
    if attribute.granularity == "year":
        return date(EPOCH.year + ordinal, 1, 1)
    return date(EPOCH.year + ordinal // 12, ordinal % 12 + 1, 1)


def _finite(attribute: Numeric, value: object) -> float | None:
    """A number as a double; NaN stays NaN, text that is no number is None."""
    if isinstance(value, bool | int | float | Decimal):
        return float(value)
    text = str(value)
    if not re.fullmatch(number_regex(attribute.decimal), text):
        return None
    return float(text.replace(attribute.decimal, "."))


def _numeric_place(attribute: Numeric, value: object) -> int:
    if isinstance(value, str) and (value in attribute.missing or not value.strip(" ")):
        return MISSING
    number = _finite(attribute, value)
    if number is None:
        return OTHER
    if math.isnan(number) or number in {float(sentinel) for sentinel in attribute.sentinels}:
        return MISSING
    grid = attribute.grid
    if math.isinf(number):
        return OTHER
    low, high = attribute.limits
    if not low <= number <= high:
        return OTHER if attribute.outside == "missing" else (BELOW if number < low else ABOVE)
    clipped = min(max(number, grid.low_float), grid.high_float)
    return int(np.rint((clipped - grid.low_float) * grid.per_unit))


def _date_place(attribute: Date, value: object) -> int:
    if isinstance(value, str) and (value in attribute.missing or not value.strip(" ")):
        return MISSING
    if isinstance(value, float) and math.isnan(value):
        return MISSING
    day = _day(attribute, value)
    if day is None:
        return OTHER
    if isinstance(day, date):
        if day in attribute.sentinels:
            return MISSING
        index = attribute.ordinal(day) - attribute.grid.low
        if 0 <= index < attribute.grid.count:
            return index
        below = index < 0
    else:
        below = day < 0  # before or after everything that can be declared
    return OTHER if attribute.outside == "missing" else (BELOW if below else ABOVE)


def _day(attribute: Date, value: object) -> date | float | None:
    """The date of a cell, None where it is none, -inf or inf where an instant lies beyond Python's calendar."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.date()  # only an instant needs the declared zone to have a date
        try:
            return value.astimezone(zoneinfo.ZoneInfo(attribute.time_zone)).date()
        except OverflowError:
            return -math.inf if value.year == 1 else math.inf
    if isinstance(value, date):
        return value
    if isinstance(value, bool):
        return None
    if attribute.serial:
        return _day_of_serial(value)
    if isinstance(value, int | float | Decimal):
        return _day_of_digits(attribute, value)
    return _day_of_text(attribute, value) if isinstance(value, str) else None


def _day_of_serial(value: object) -> date | None:
    """Excel's serial number; its fraction is the time of day."""
    if isinstance(value, str):
        if not re.fullmatch(number_regex("."), value):
            return None
        number = float(value)
    elif isinstance(value, int | float | Decimal):
        number = float(value)
    else:
        return None
    if not 1 <= number < EXCEL_LAST + 1:
        return None
    serial = math.floor(number)
    if serial == EXCEL_FALSE_DAY:
        return None
    return EPOCH + timedelta(days=EXCEL_EPOCH + serial + (serial < EXCEL_FALSE_DAY))


def _day_of_digits(attribute: Date, value: float | Decimal) -> date | None:
    """A number whose digits are the date, such as 20240131."""
    pattern, number = attribute.pattern, float(value)
    if pattern is None or pattern.width is None or not 0 <= number < 10**pattern.width or number != int(number):
        return None
    return _day_of_text(attribute, f"{int(number):0{pattern.width}}")


def _day_of_text(attribute: Date, text: str) -> date | None:
    if attribute.pattern is not None:
        found = re.fullmatch(attribute.pattern.regex, text.strip(" "))
        if found is None:
            return None
        parts = [int(found[group]) if group else 1 for group in attribute.pattern.groups]
    elif re.fullmatch(date_regex(attribute.granularity), text, re.DOTALL):
        written = text.strip(" ")[:10].split("-")
        parts = [int(part) for part in (*written, "1", "1")[:3]]
    else:
        return None
    try:
        return date(*parts)
    except ValueError:
        return None
