"""What can be read from which column: decided from types and declarations alone, before anything is spent.

A declaration that a column can never satisfy is refused with the column's type, an example and the fix. Declared values
are public, so that messages may show them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import numpy as np
from pyspark.sql import types as T

from synthward.domain.codes import CodeBook
from synthward.domain.matching import Coded
from synthward.domain.spec import Boolean, Categorical, Date, Numeric
from synthward.domain.texts import is_plain_number

_BITS: dict[type[T.DataType], int] = {T.ByteType: 8, T.ShortType: 16, T.IntegerType: 32, T.LongType: 64}
_SHOWN = 3


def fits_long(number: Decimal) -> bool:
    """Whether a number is whole and fits 64 bits."""
    return number == number.to_integral_value() and -(2**63) <= number < 2**63


def fits_decimal(number: Decimal, data_type: T.DecimalType) -> bool:
    """Whether a number is one of the type's values."""
    exponent = number.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent <= data_type.scale and abs(number) < Decimal(10) ** (data_type.precision - data_type.scale)


def unsupported(book: CodeBook, data_type: T.DataType) -> str | None:
    """Why an attribute cannot be read from a column of this type, or None. Types are metadata, not data."""
    attribute = book.declared
    if isinstance(attribute, Date):
        return _date_fault(attribute, data_type)
    name = data_type.simpleString()
    dated = isinstance(attribute, Categorical) and isinstance(data_type, T.DateType)
    if not dated and not isinstance(data_type, T.StringType | T.NumericType | T.BooleanType):
        return f"a {attribute.TAG} attribute is read from a plain column, not from {name}"
    if isinstance(attribute, Numeric):
        return _range_fault(attribute, data_type)
    if isinstance(data_type, T.StringType):
        return None
    if isinstance(attribute, Boolean):
        return "; ".join(boolean_faults(attribute, data_type)) or None
    return values_fault(attribute, data_type)


def value_fault(text: str, data_type: T.DataType) -> str | None:
    """Why no cell of a column can ever be equal to a declared text, or None."""
    if isinstance(data_type, T.StringType):
        return None
    if isinstance(data_type, T.DateType):
        return None if _is_date(text) else "a date is written as yyyy-MM-dd"
    if isinstance(data_type, T.BooleanType):
        if text in ("true", "false") or (is_plain_number(text) and Decimal(text) in (0, 1)):
            return None
        return "its values are true and false"
    if not is_plain_number(text):
        return "its values are numbers, without leading zeros or letters"
    number = Decimal(text)
    if isinstance(data_type, T.DecimalType):
        return None if fits_decimal(number, data_type) else "the number does not fit the type"
    bits = _BITS.get(type(data_type))
    if bits is not None and number != number.to_integral_value():
        return "its values are whole numbers"
    low, high = limits(data_type)
    return None if low <= number <= high else f"its values lie between {low} and {high}"


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def limits(data_type: T.DataType) -> tuple[Decimal, Decimal]:
    """Smallest and largest value of a type of numbers, or of BOOLEAN as 0 and 1."""
    if isinstance(data_type, T.BooleanType):
        return Decimal(0), Decimal(1)
    if isinstance(data_type, T.DecimalType):
        largest = (Decimal(10) ** data_type.precision - 1).scaleb(-data_type.scale)
        return -largest, largest
    bits = _BITS.get(type(data_type))
    if bits is not None:
        return Decimal(-(2 ** (bits - 1))), Decimal(2 ** (bits - 1) - 1)
    largest = Decimal("3.4028234e38") if isinstance(data_type, T.FloatType) else Decimal("1.797e308")
    return -largest, largest


def values_fault(attribute: Categorical, data_type: T.DataType) -> str | None:
    """Why a column that is no text cannot have the declared values, or None.

    The label of undeclared values is not looked at: only a release holds it, whose type may be another
    (`release.fitting`).
    """
    name = data_type.simpleString()
    faults = {text: fault for text in attribute.values if (fault := value_fault(text, data_type)) is not None}
    if faults:
        first = next(iter(faults.values()))
        shown = ", ".join(f"'{text}'" for text in list(faults)[:_SHOWN]) + (", ..." if len(faults) > _SHOWN else "")
        fix = (
            "declare `type: boolean`"
            if isinstance(data_type, T.BooleanType)
            else "declare the values that the column has, or read it as text (a view, or another export)"
        )
        found = f"{len(faults)} of {attribute.size} declared values can never be in a {name} column ({first})"
        return f"{found}: {shown}; {fix}"
    owner: dict[object, str] = {}
    for text in attribute.values:
        first = owner.setdefault(value_of(text, data_type), text)
        if first != text:
            return f"'{first}' and '{text}' are one value in a {name} column; declare it once"
    return None


def value_of(text: str, data_type: T.DataType) -> object:
    """The value of a type of numbers, truths or dates that a text means which has no `value_fault`."""
    if text in ("true", "false") and isinstance(data_type, T.BooleanType):
        return Decimal(int(text == "true"))
    if isinstance(data_type, T.DateType) or not is_plain_number(text):
        return text
    number = Decimal(text)
    if isinstance(data_type, T.FloatType):
        return float(np.float32(float(number)))
    return float(number) if isinstance(data_type, T.DoubleType) else number


def boolean_faults(attribute: Boolean, data_type: T.DataType) -> Iterator[str]:
    """Why a column that is no text cannot hold true or false."""
    if isinstance(data_type, T.BooleanType):
        return
    for word, texts in (("true", attribute.true), ("false", attribute.false)):
        if all(value_fault(text, data_type) is not None for text in texts):
            yield (
                f"none of the texts for {word} ({', '.join(texts[:_SHOWN])}) can be in a {data_type.simpleString()} "
                f"column, which holds numbers; add its number, for instance `{word}: [{int(word == 'true')}]`"
            )


def held_texts(attribute: Coded, data_type: T.DataType) -> tuple[str, ...]:
    """The declared texts that a column of this type can hold."""
    texts = attribute.values if isinstance(attribute, Categorical) else (*attribute.false, *attribute.true)
    return tuple(text for text in texts if value_fault(text, data_type) is None)


def _range_fault(attribute: Numeric, data_type: T.DataType) -> str | None:
    if isinstance(data_type, T.StringType):
        return None
    (low, high), (first, last) = limits(data_type), attribute.bounds
    if first <= high and low <= last:
        return None
    return (
        f"no value of a {data_type.simpleString()} column lies within the bounds [{first}, {last}]; its values lie "
        f"between {low:f} and {high:f}"
    )


def _date_fault(attribute: Date, data_type: T.DataType) -> str | None:
    name = data_type.simpleString()
    if isinstance(data_type, T.StringType | T.DateType | T.TimestampType | T.TimestampNTZType):
        return None
    if not isinstance(data_type, T.NumericType):
        return f"a date is read from DATE, TIMESTAMP, STRING or a column of numbers, not from {name}"
    width = None if attribute.pattern is None else attribute.pattern.width
    if not attribute.serial and width is None:
        return (
            f"a {name} column holds numbers; declare how they are dates: `format: yyyyMMdd` (digits alone) or "
            "`format: excel` (serial numbers)"
        )
    if isinstance(data_type, T.FloatType):
        return f"{name} has too few digits for dates; read the column as DOUBLE or text"
    low, high = limits(data_type)
    last = max(attribute.number_of(day) for day in attribute.bounds)
    if last <= high:
        return None
    return f"dates are numbers up to {last}, and the values of a {name} column lie between {low:f} and {high:f}"
