"""Value <-> code: the reference of how a cell is understood, in plain Python, numpy and Arrow.

`kernels/encode.py` says the same in native Spark expressions; tests hold the two together on every code. A code book
has codes `0 .. size - 1` for the declared values (a category, false and true, or a bin of the grid), then `other` for
what is present but not declared, then `missing`.
"""

from __future__ import annotations

import math
import re
import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from synthward.domain.spec import EPOCH, Attribute, Boolean, Categorical, Date, Domain, Numeric

OTHER = -1
MISSING = -2
"""Places that are no grid index: `place_of` returns an index of at least 0, or one of these."""

_SPACES = "".join(map(chr, range(33)))
"""What the JVM trims around a number; around a date it trims DEL as well."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[dDfF]?\Z")
_HEX_NUMBER = re.compile(r"[+-]?0[xX]([0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?\d+[dDfF]?\Z")
_NAN = re.compile(r"(?i:nan)\Z|[+-]NaN\Z")
_ISO_DATE = re.compile(r"([+-]?[0-9]{4,7})(?:-([0-9]{1,2})(?:-([0-9]{1,2})(?:[ T].*)?)?)?\Z", re.DOTALL)
_CYCLE_YEARS, _CYCLE_DAYS = 400, 146_097
"""The Gregorian calendar repeats after 400 years."""


@dataclass(frozen=True)
class CodeBook:
    """Codes of one attribute.

    Attributes:
        name: Column name.
        attribute: Its declaration.
    """

    name: str
    attribute: Attribute

    @property
    def other(self) -> int:
        """Code of what is present but outside the domain."""
        return self.attribute.size

    @property
    def missing(self) -> int:
        """Code of what is missing."""
        return self.attribute.size + 1

    @property
    def cells(self) -> int:
        """Number of codes in all."""
        return self.attribute.size + 2

    @cached_property
    def _positions(self) -> dict[str, int]:
        if isinstance(self.attribute, Categorical):
            return {value: code for code, value in enumerate(self.attribute.values)}
        if isinstance(self.attribute, Boolean):
            texts = {text.lower(): 0 for text in self.attribute.false}
            return texts | {text.lower(): 1 for text in self.attribute.true}
        return {}

    def labels(self) -> tuple[str, ...]:
        """A short text for each code, for reports."""
        attribute = self.attribute
        if isinstance(attribute, Categorical):
            declared = attribute.values
        elif isinstance(attribute, Boolean):
            declared = ("false", "true")
        else:
            declared = tuple(self.format_place(start) for start in attribute.grid.starts)
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
            return str(value.numerator) if value.denominator == 1 else f"{float(value):g}"
        raise TypeError(f"'{self.name}' is {attribute.TAG} and has no grid")

    def place_of(self, value: object) -> int:
        """Where a source value stands: grid index or declared code, or `OTHER` or `MISSING`. Never fails."""
        attribute = self.attribute
        if value is None or (isinstance(value, str) and value in attribute.missing):
            return MISSING
        if isinstance(attribute, Numeric):
            return _numeric_place(attribute, value)
        if isinstance(attribute, Date):
            return _date_place(attribute, value)
        if isinstance(attribute, Boolean) and isinstance(value, bool):
            return int(value)
        text = _text(value)
        if text in attribute.missing or (isinstance(attribute, Boolean) and not text.strip(" ")):
            return MISSING
        return self._positions.get(text.strip(" ").lower() if isinstance(attribute, Boolean) else text, OTHER)

    def code_of_place(self, place: int) -> int:
        """Code of a place: the bin of a grid index, the index itself of a category."""
        if place == OTHER:
            return self.other
        if place == MISSING:
            return self.missing
        if isinstance(self.attribute, Numeric | Date):
            return int(np.searchsorted(self.attribute.grid.starts, place, side="right")) - 1
        return place

    def code_of(self, value: object) -> int:
        """Code of one source value."""
        return self.code_of_place(self.place_of(value))

    def quantum_of(self, value: object) -> int:
        """The fixed-point integer `q` that a value adds to a sum; 0 where nothing is present.

        Raises:
            TypeError: The attribute is not graded.
        """
        attribute = self.attribute
        if isinstance(attribute, Numeric):
            number = _finite(value) if self.place_of(value) >= 0 else None
        elif isinstance(attribute, Date):
            number = float(attribute.grid.low + place) if (place := self.place_of(value)) >= 0 else None
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
    return {name: CodeBook(name, attribute) for name, attribute in domain.attributes.items()}


def square_of(q: int, shift: int) -> int:
    """The integer square of a fixed-point value, on its own grid (see `FixedPoint`)."""
    return (q * q + (1 << (shift - 1))) >> shift


def date_at(attribute: Date, index: int) -> date:
    """First day of the period at a grid index."""
    ordinal = attribute.grid.low + index
    if attribute.granularity == "day":
        return date.fromordinal(EPOCH.toordinal() + ordinal)
    if attribute.granularity == "year":
        return date(EPOCH.year + ordinal, 1, 1)
    return date(EPOCH.year + ordinal // 12, ordinal % 12 + 1, 1)


def _text(value: object) -> str:
    """The text that a cell of any plain type casts to."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _float_text(value)
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _float_text(value: float) -> str:
    """A double as the JVM writes it: 1.0, 1.0E7, Infinity."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    sign, digits, exponent = Decimal(repr(value)).normalize().as_tuple()
    shown = "".join(map(str, digits))
    return f"{'-' if sign else ''}{shown[0]}.{shown[1:] or '0'}E{int(exponent) + len(shown) - 1}"


def _finite(value: object) -> float | None:
    """A number as a double; NaN stays NaN, text that is no number is None."""
    if isinstance(value, bool | int | float | Decimal):
        return float(value)
    text = str(value).strip(_SPACES)
    if _NAN.match(text):
        return math.nan
    if _HEX_NUMBER.match(text):  # what the JVM takes for a double, so does the reference
        try:
            return float.fromhex(text.rstrip("dDfF"))
        except OverflowError:
            return -math.inf if text.startswith("-") else math.inf
    return float(text.rstrip("dDfF")) if _NUMBER.match(text) else None


def _numeric_place(attribute: Numeric, value: object) -> int:
    if isinstance(value, str) and not value.strip(" "):
        return MISSING
    number = _finite(value)
    if number is None:
        return OTHER
    if math.isnan(number) or number in {float(sentinel) for sentinel in attribute.sentinels}:
        return MISSING
    grid = attribute.grid
    if math.isinf(number) or (attribute.outside == "missing" and not grid.low_float <= number <= grid.high_float):
        return OTHER
    clipped = min(max(number, grid.low_float), grid.high_float)
    return int(np.rint((clipped - grid.low_float) * grid.per_unit))


def _date_place(attribute: Date, value: object) -> int:
    if isinstance(value, str) and not value.strip(" "):
        return MISSING
    day = _day(attribute, value)
    if day is None:
        return OTHER
    grid = attribute.grid
    if not isinstance(day, date):  # before or after everything that can be declared
        return OTHER if attribute.outside == "missing" else (0 if day < 0 else grid.count - 1)
    if day in attribute.sentinels:
        return MISSING
    index = attribute.ordinal(day) - grid.low
    if attribute.outside == "missing" and not attribute.bounds[0] <= day <= attribute.bounds[1]:
        return OTHER
    return min(max(index, 0), grid.count - 1)


def _day(attribute: Date, value: object) -> date | float | None:
    """The date of a cell, None where it is none, -inf or inf where the engine's calendar reaches beyond Python's."""
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.date()  # only an instant needs the declared zone to have a date
        try:
            return value.astimezone(zoneinfo.ZoneInfo(attribute.time_zone)).date()
        except OverflowError:
            return -math.inf if value.year == 1 else math.inf
    if isinstance(value, date):
        return value
    if not isinstance(value, str):
        return None
    text = value.strip(_SPACES + "\x7f")
    if attribute.pattern is not None:
        found = re.fullmatch(attribute.pattern.regex, value.strip(" "))
        text = "-".join(found[group] if group else "1" for group in attribute.pattern.groups) if found else ""
    found = _ISO_DATE.match(text)
    return None if found is None else _calendar_day(int(found[1]), int(found[2] or 1), int(found[3] or 1))


def _calendar_day(year: int, month: int, day: int) -> date | float | None:
    cycles, within = divmod(year - EPOCH.year, _CYCLE_YEARS)
    try:
        found = date(EPOCH.year + within, month, day)
    except ValueError:
        return None
    if 1 <= year <= 9999:
        return found.replace(year=year)
    epoch_day = (found - EPOCH).days + cycles * _CYCLE_DAYS
    if not -(2**31) <= epoch_day < 2**31:
        return None
    return -math.inf if year < 1 else math.inf
