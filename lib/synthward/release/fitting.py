"""Whether the columns of a release can hold what is declared: decided from declarations and types alone.

A release keeps the types of its source. What a type cannot hold would stop the run when rows are written, after the
charge, or would change values without a word. Here it is found before anything is spent, for every column, with type,
declared value and fix. What the source's columns can have is `kernels.supported`, which is asked before this. The
rehearsal (`run.rehearsal`) then shows the same on the engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction

import numpy as np
from pyspark.sql import types as T

from synthward.domain.codes import CodeBook
from synthward.domain.grid import Grid
from synthward.domain.spec import Attribute, Boolean, Categorical, Date, Numeric
from synthward.kernels.held import held
from synthward.kernels.supported import boolean_faults, value_fault, value_of, values_fault
from synthward.release.names import name_faults

_INTEGERS: dict[type[T.DataType], int] = {T.ByteType: 8, T.ShortType: 16, T.IntegerType: 32, T.LongType: 64}
"""Bits of the integer types."""

_EXACT_IN: dict[type[T.DataType], int] = {T.FloatType: 24, T.DoubleType: 53}
"""Integers up to two to the power of this are exact."""

MOST_PLACES = 2**19
"""Places at either end of a grid that are tried one by one: rounding is coarsest where numbers are largest."""


def misfits(
    books: Mapping[str, CodeBook], types: Mapping[str, T.DataType], keys: Mapping[str, T.DataType], rows: int
) -> list[str]:
    """Everything that the release's columns cannot hold; empty where all fits.

    Args:
        books: Code books in release order.
        types: Column types of the release.
        keys: Key columns that get fresh ids, with their types.
        rows: Rows of the release.

    Returns:
        One message for each fault: column, type, what was declared, what is allowed, the fix.
    """
    found = [*name_faults([*keys, *books])]
    for name, book in books.items():
        found += [f"column '{name}' is {_name(types[name])}: {fault}" for fault in _faults(book, types[name])]
    for name, data_type in keys.items():
        found += [f"key column '{name}' is {_name(data_type)}: {fault}" for fault in _key_faults(data_type, rows)]
    return found


def key_types(types: Mapping[str, T.DataType]) -> dict[str, T.DataType]:
    """Types that fresh keys have: the source's; a text has no collation in a release."""
    return {name: T.StringType() if isinstance(found, T.StringType) else found for name, found in types.items()}


def _name(data_type: T.DataType) -> str:
    return data_type.simpleString().upper()


def _faults(book: CodeBook, data_type: T.DataType) -> Iterator[str]:
    attribute = book.declared
    if isinstance(attribute, Numeric):
        yield from _number_faults(attribute, data_type)
    elif isinstance(attribute, Date):
        yield from _date_faults(attribute, data_type)
    elif isinstance(attribute, Boolean):
        yield from () if isinstance(data_type, T.StringType) else boolean_faults(attribute, data_type)
    else:
        yield from _label_faults(attribute, data_type)


# Numbers


def _number_faults(attribute: Numeric, data_type: T.DataType) -> Iterator[str]:
    grid = attribute.grid
    bounds = f"bounds [{attribute.bounds[0]:f}, {attribute.bounds[1]:f}]"
    if not _fits_long(grid):
        yield f"{bounds} at the resolution need whole numbers of more than 64 bits; give a coarser resolution"
        return
    limits = _limits(data_type)
    if limits is not None:
        low, high, step = limits
        if grid.value(0) < low or grid.value(grid.count - 1) > high:
            yield f"{bounds} do not fit, it holds {_plain(low)} to {_plain(high)}; give narrower bounds, or {_CAST}"
        if (grid.value(0) / step).denominator != 1 or (Fraction(grid.step, grid.denominator) / step).denominator != 1:
            yield (
                f"resolution {_resolution(attribute)} from {attribute.bounds[0]:f} needs finer values than multiples "
                f"of {_plain(step)}; give such a resolution and such bounds, or {_CAST}"
            )
    elif isinstance(data_type, T.FloatType | T.DoubleType) and not _survives(grid, data_type):
        digits = "7" if isinstance(data_type, T.FloatType) else "15"
        yield (
            f"{bounds} at resolution {_resolution(attribute)} need more than its {digits} digits, so that neighbouring "
            f"values become one; give a coarser resolution, or {_CAST}"
        )


_CAST = "set `output.types: declared`, or read the source through a view that casts the column to a wider type"
_AS_TEXT = "set `output.types: declared`, or read the source through a view that casts the column to STRING"


def _resolution(attribute: Numeric) -> str:
    return f"{attribute.resolution if attribute.resolution is not None else Decimal(1):f}"


def _fits_long(grid: Grid) -> bool:
    """Whether decoding can compute `place * step + low` in 64 bits and divide it as a double."""
    ends = (grid.low, grid.step, grid.low + (grid.count - 1) * grid.step, (grid.count - 1) * grid.step)
    return all(-(2**63) <= number < 2**63 for number in ends) and grid.denominator < 2**63


def _limits(data_type: T.DataType) -> tuple[Fraction, Fraction, Fraction] | None:
    """Lowest and highest value and their distance, of a type whose values are evenly spaced."""
    bits = _INTEGERS.get(type(data_type))
    if bits is not None:
        return Fraction(-(2 ** (bits - 1))), Fraction(2 ** (bits - 1) - 1), Fraction(1)
    if isinstance(data_type, T.DecimalType):
        step = Fraction(1, 10**data_type.scale)
        highest = (10**data_type.precision - 1) * step
        return -highest, highest, step
    if isinstance(data_type, T.BooleanType):
        return Fraction(0), Fraction(1), Fraction(1)
    return None


def _plain(number: Fraction) -> str:
    if number.denominator == 1:
        return str(number.numerator)
    return f"{Decimal(number.numerator) / Decimal(number.denominator):f}"


def _survives(grid: Grid, data_type: T.DataType) -> bool:
    """Whether each place is found again after its value has been rounded to the type; see `kernels.encode`."""
    if grid.count <= 2 * MOST_PLACES:
        ranges = [(0, grid.count)]
    else:
        ranges = [(0, MOST_PLACES), (grid.count - MOST_PLACES, grid.count)]
    for first, last in ranges:
        places = np.arange(first, last, dtype=np.int64)
        read = np.clip(held(grid, places, data_type), grid.low_float, grid.high_float)
        if not np.array_equal(np.rint((read - grid.low_float) * grid.per_unit).astype(np.int64), places):
            return False
    return True


# Dates


def _date_faults(attribute: Date, data_type: T.DataType) -> Iterator[str]:
    if not isinstance(data_type, T.StringType | T.NumericType) or attribute.pattern is None:
        return
    _, month, day = attribute.pattern.groups
    lost = [
        part
        for part, group, needed in (("month", month, ("day", "month")), ("day", day, ("day",)))
        if not group and attribute.granularity in needed
    ]
    if lost:
        finest = "year" if not month else "month"
        yield (
            f"format '{attribute.format}' has no {' and no '.join(lost)}, but the granularity is "
            f"{attribute.granularity}; set `granularity: {finest}`"
        )


# Labels


def _label_faults(attribute: Categorical, data_type: T.DataType) -> Iterator[str]:
    if isinstance(data_type, T.StringType):
        return
    fault = values_fault(attribute, data_type)
    if fault is not None:
        yield fault
    label = attribute.other
    if label is None:
        return
    shown = f"label '{label}' of undeclared values (`other`)"
    fault = value_fault(label, data_type)
    if fault is not None:
        yield (
            f"it cannot hold {shown}, which would become NULL ({fault}); give a label of that type that is no declared "
            f"value, leave `other` out, or {_AS_TEXT}"
        )
        return
    meant = value_of(label, data_type)
    for value in attribute.values:
        if value_fault(value, data_type) is None and value_of(value, data_type) == meant:
            yield f"in it value '{value}' and {shown} are one value; give another label, leave it out, or {_AS_TEXT}"
            return


# Keys


def _key_faults(data_type: T.DataType, rows: int) -> Iterator[str]:
    """Fresh keys are -1, -2, ... down to minus the number of rows, or texts."""
    if isinstance(data_type, T.StringType | T.BinaryType):
        return
    if not isinstance(data_type, T.NumericType):
        yield "fresh keys are whole numbers or texts; leave it out of `output.key_columns`"
        return
    exact = _EXACT_IN.get(type(data_type))
    limits = _limits(data_type)
    lowest = Fraction(-(2**exact)) if exact is not None else limits[0] if limits is not None else None
    if lowest is not None and -rows < lowest:
        yield (
            f"the fresh key of the last of {rows} rows is -{rows}, and it holds whole numbers down to "
            f"{int(lowest)}; ask for at most {-int(lowest)} rows, or leave the column out of `output.key_columns`"
        )


def declared_value(attribute: Attribute, place: int) -> str:
    """The declared value at a place, as text, for messages; it is public."""
    if isinstance(attribute, Categorical):
        return attribute.values[place]
    if isinstance(attribute, Boolean):
        return ("false", "true")[place]
    return CodeBook("", attribute).format_place(place)
