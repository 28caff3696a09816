"""Places -> values in the source's names and types, as native Spark expressions.

The output can hold declared values only: a category is looked up in the declared list, a number or date is computed
from the declared grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from functools import reduce
from operator import and_

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.domain.codes import OTHER, CodeBook
from synthward.domain.grid import Grid
from synthward.domain.spec import EPOCH, Boolean, Categorical, Date, Difference, Numeric
from synthward.domain.texts import EXCEL_EPOCH, EXCEL_FALSE_DAY, is_plain_number
from synthward.kernels.supported import value_fault

PLAIN_PLACES = 18
"""Decimal places of a number that is written as text; finer numbers are written as doubles are."""


def release_type(book: CodeBook, source_type: T.DataType | None) -> T.DataType:
    """Type of a column in the release: the source's, or for text files the attribute's own.

    Args:
        book: The column's code book.
        source_type: Type in the source's schema; None where the source has text only.
    """
    attribute = book.declared
    if source_type is not None and not isinstance(source_type, T.StringType):
        return source_type
    if source_type is not None:
        return T.StringType()
    if isinstance(attribute, Numeric):
        return T.LongType() if attribute.integer else T.DoubleType()
    if isinstance(attribute, Date):
        return T.DateType()
    return T.BooleanType() if isinstance(attribute, Boolean) else T.StringType()


def decode(book: CodeBook, place: Column, target: T.DataType) -> Column:
    """The value at a place, NULL for what is missing and for undeclared values without a label.

    A derived date is no function of its own place alone; see `decode_all`.
    """
    attribute = book.attribute
    if isinstance(attribute, Categorical):
        labels = [*attribute.values, *([] if attribute.other is None else [attribute.other])]
        code = F.when(place == OTHER, attribute.size).otherwise(place) if attribute.other is not None else place
        value = F.get(F.array(*(F.lit(cast_text(label, target)) for label in labels)), code.cast("int"))
        return value if isinstance(target, T.StringType) else value.try_cast(target)
    inside = place >= 0
    if isinstance(attribute, Boolean):
        value = _boolean(attribute, place, target)
    elif isinstance(attribute, Date):
        value = _date(attribute, place, target)
    else:
        value = _number(attribute, place, target)
    return F.when(inside, value)


def decode_all(books: Mapping[str, CodeBook], types: Mapping[str, T.DataType]) -> list[Column]:
    """All columns by name, in the order of `books`, from `c0`, `c1`, ...

    A column with `missing_with` is NULL wherever one of those columns is. The rule is public and total: it reads drawn
    values only, so it costs no budget.
    """
    places = {name: F.col(f"c{place}") for place, name in enumerate(books)}
    values = {
        name: (
            _date_value(book.attribute.own, F.date_from_unix_date(_day(books, places, name)), types[name])
            if isinstance(book.attribute, Difference)
            else decode(book, places[name], types[name])
        )
        for name, book in books.items()
    }
    return [_together(values, name, book.missing_with).alias(name) for name, book in books.items()]


def _together(values: Mapping[str, Column], name: str, others: tuple[str, ...]) -> Column:
    """The value of a column, NULL where another one of its list is NULL."""
    if not others:
        return values[name]
    return F.when(reduce(and_, (values[other].isNotNull() for other in others)), values[name])


def _day(books: Mapping[str, CodeBook], places: Mapping[str, Column], name: str) -> Column:
    """Days since 1970-01-01 of a date, NULL where there is none; a derived date lies on or after its base."""
    attribute, place = books[name].attribute, places[name]
    if isinstance(attribute, Difference):
        start = _day(books, places, attribute.base)
        day = F.least(start + place + F.lit(attribute.grid.low), F.lit(attribute.last_day))
        return F.when((place >= 0) & start.isNotNull(), day)  # `least` skips NULL
    assert isinstance(attribute, Date)
    return F.when(place >= 0, place + F.lit(attribute.grid.low))


def cast_text(text: str, target: T.DataType) -> str:
    """A declared text as a cast to the type reads it: `2.0` and `2e0` are the whole number 2, but no INT to a cast."""
    whole = isinstance(target, T.IntegralType | T.BooleanType) and is_plain_number(text)
    return str(int(Decimal(text))) if whole and value_fault(text, target) is None else text


def _boolean(attribute: Boolean, place: Column, target: T.DataType) -> Column:
    if isinstance(target, T.StringType):
        return F.when(place == 1, attribute.true[0]).otherwise(attribute.false[0])
    if isinstance(target, T.BooleanType):
        return place == 1
    # The numbers that stand for true and false in the source; where none does, which is refused before the charge
    # (`release.fitting`), 1 and 0, which the rehearsal then does not find again.
    false, true = (
        F.lit(cast_text(next((text for text in texts if value_fault(text, target) is None), digit), target)).cast(
            target
        )
        for digit, texts in (("0", attribute.false), ("1", attribute.true))
    )
    return F.when(place == 1, true).otherwise(false)


def _number(attribute: Numeric, place: Column, target: T.DataType) -> Column:
    grid = attribute.grid
    if isinstance(target, T.StringType) and attribute.decimal == ",":
        return F.translate(_number(replace(attribute, decimal="."), place, target), ".", ",")
    # LONG: a place fits 32 bits, the numerator need not.
    numerator = place.cast("long") * F.lit(grid.step) + F.lit(grid.low)
    if grid.denominator == 1:
        return numerator.cast(target)
    if isinstance(target, T.DecimalType):
        return _decimal(numerator, grid, target.scale).cast(target)
    if isinstance(target, T.StringType) and (scale := _plain_scale(grid)) is not None:
        return _decimal(numerator, grid, scale).cast(target)
    # One correctly rounded division of two exact integers: 0.3 comes out as 0.3, not as 0.30000000000000004.
    value = numerator.cast("double") / F.lit(float(grid.denominator))
    # A cast to an integer cuts; what such a column cannot hold is refused before the charge (`release.fitting`).
    return F.rint(value).cast(target) if isinstance(target, T.IntegralType) else value.cast(target)


def _decimal(numerator: Column, grid: Grid, scale: int) -> Column:
    """The number with so many decimal places, rounded half up where the grid is finer."""
    exact = numerator.cast(T.DecimalType(19, 0)) / F.lit(grid.denominator).cast(T.DecimalType(19, 0))
    return exact.cast(T.DecimalType(38, scale))


def _plain_scale(grid: Grid) -> int | None:
    """Decimal places with which a text shows every number exactly, where a double would be written as 1.0E7."""
    largest = max(abs(grid.value(0)), abs(grid.value(grid.count - 1)))
    scale = next((places for places in range(PLAIN_PLACES + 1) if 10**places % grid.denominator == 0), None)
    return scale if largest >= 10**7 or Fraction(grid.step, grid.denominator) < Fraction(1, 1000) else None


def _date(attribute: Date, place: Column, target: T.DataType) -> Column:
    ordinal = place + F.lit(attribute.grid.low)
    if attribute.granularity == "day":
        value = F.date_from_unix_date(ordinal.cast("int"))
    else:
        months = ordinal if attribute.granularity == "month" else ordinal * 12
        value = F.add_months(F.lit(EPOCH), months.cast("int"))
    return _date_value(attribute, value, target)


def _date_value(attribute: Date, value: Column, target: T.DataType) -> Column:
    """A date as the attribute writes it in a column of the type."""
    if attribute.serial and isinstance(target, T.StringType | T.NumericType):
        serial = F.unix_date(value) - EXCEL_EPOCH
        return (serial - (serial <= EXCEL_FALSE_DAY).cast("int")).cast(target)
    if isinstance(target, T.StringType | T.NumericType):
        return F.date_format(value, attribute.format).cast(target) if attribute.format else value.cast(target)
    if isinstance(target, T.TimestampType):
        # Midnight in the declared zone, whatever the session's zone: days since the epoch, shifted back to UTC.
        midnight = F.timestamp_micros(F.unix_date(value).cast("long") * F.lit(86_400_000_000))
        return F.to_utc_timestamp(midnight, attribute.time_zone)
    return value.cast(target)
