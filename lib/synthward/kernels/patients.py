"""Contribution weights: every answer bounds a privacy unit by re-weighting its rows, never by dropping some.

With n the unit's row count and K the contribution bound, a unit-level integer `total` counts as `total` when n <= K and
as `(total * K) div n` otherwise (truncating division). |(total * K) div n| <= |total| * K / n <= K * max|row|, whatever
the row order, and the result is exact and the same on every engine (DESIGN 4.5, PROOFS.md section 2).
"""

from __future__ import annotations

import re

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.spec.patient_id import IdShape


def reweighted(sums: Column, n: Column, max_rows: int) -> Column:
    """A unit's bounded contribution to a sum.

    Args:
        sums: LONG, the sum over the unit's rows.
        n: LONG, the unit's row count, the same for every feature.
        max_rows: K.
    """
    return F.when(n <= max_rows, sums).otherwise(F.call_function("div", sums * F.lit(max_rows).cast("long"), n))


_BLANK_OR_NOT = "[^\\s\\p{Z}\\p{Cc}\\p{Cf}]"
"""A character that is no blank, no control and no format character: an id has at least one."""
_REPLACEMENT = "\ufffd"
"""What undecodable bytes become: several ids that were different may be one afterwards."""
_EXACT = 2**53
"""Whole numbers below this one are exact doubles, and no other number is rounded to one of them."""
_EXACT_SINGLE = 2**24
"""The same of single precision."""


def key_problem(data_type: T.DataType) -> str | None:
    """Why a column of this type cannot be a patient key, or None."""
    if isinstance(data_type, T.StringType | T.BinaryType | T.IntegralType | T.DecimalType | T.DoubleType | T.FloatType):
        return None
    return f"a patient key is a string, a whole number or binary, not {data_type.simpleString()}"


def id_problem(data_type: T.DataType, shape: IdShape | None) -> str | None:
    """Why ids of this type cannot have a declared shape, or None."""
    if shape is not None and isinstance(data_type, T.BinaryType):
        return "`patient.id` speaks of texts and whole numbers, and the key is binary; remove `id`, or use another key"
    return None


def is_whole_number(data_type: T.DataType) -> bool:
    """Whether keys of this type are whole numbers, compared by value."""
    return isinstance(data_type, T.IntegralType | T.DecimalType | T.DoubleType | T.FloatType)


def is_id(key: Column, data_type: T.DataType, shape: IdShape | None) -> Column:
    """Whether a key is the id of somebody: a function of this key and of the declared shape alone (PROOFS.md, 2.7).

    NULL, the empty text, texts of blanks and undecodable texts are never ids; nor are numbers that are not whole, or so
    large that their type cannot tell neighbours apart; nor is what the shape excludes. The answer is never NULL.
    """
    there = key.isNotNull()
    if isinstance(data_type, T.BinaryType):
        return there & (F.octet_length(key) > 0)
    if isinstance(data_type, T.DecimalType) and data_type.scale > 0:
        there = there & (key % F.lit(1) == F.lit(0))
    elif isinstance(data_type, T.DoubleType | T.FloatType):
        most = _EXACT_SINGLE if isinstance(data_type, T.FloatType) else _EXACT
        # NaN is larger than every number; a whole number is its own floor.
        there = there & (F.abs(key) < F.lit(float(most))) & (F.rint(key) == key)
    text = id_text(key, data_type)
    if isinstance(data_type, T.StringType):
        # Most ids begin with a plain character, which is cheap to see.
        plain = (text >= F.lit("!")) & (text < F.lit("\x7f"))
        there = there & F.when(plain, F.lit(True)).otherwise(text.rlike(_BLANK_OR_NOT))
        there = there & ~F.contains(text, F.lit(_REPLACEMENT))
    if shape is not None:
        excluded = _non_ids(shape, data_type)
        if excluded:
            there = there & ~text.isin(*excluded)
        if shape.pattern is not None:
            # As a whole; `$` would let a line break pass.
            there = there & text.rlike(rf"\A(?:{shape.pattern})\z")
    return F.coalesce(there, F.lit(False))


def _non_ids(shape: IdShape, data_type: T.DataType) -> list[str]:
    """Declared non-ids as texts of keys of this type; a text that is no whole number cannot be such a key."""
    if not is_whole_number(data_type):
        return list(shape.never)
    return [str(int(text)) for text in shape.never if re.fullmatch(r"[-+]?[0-9]{1,38}", text)]


def id_text(key: Column, data_type: T.DataType) -> Column:
    """A key as text: a whole number as its plain digits. Not for binary keys; of an id only it is exact."""
    if isinstance(data_type, T.DoubleType | T.FloatType):
        # Clipped first: an engine may evaluate the cast of a key that is no id.
        most = float(_EXACT)
        inside = F.greatest(F.lit(-most), F.least(F.lit(most), key.cast("double")))
        return F.rint(inside).cast("long").cast("string")
    if isinstance(data_type, T.DecimalType) and data_type.scale > 0:
        # One digit more than whole digits: a key that is no id may be rounded up, and the cast must not fail on it.
        return key.cast(T.DecimalType(data_type.precision - data_type.scale + 1, 0)).cast("string")
    if isinstance(data_type, T.StringType) and data_type.simpleString() != "string":
        return F.collate(key, "UTF8_BINARY")
    return key.cast("string")


def unit_key(key: Column, data_type: T.DataType) -> Column:
    """A key under which two patients can never merge: integers as LONG, everything else as its exact bytes.

    Hashing to 64 bits would merge two of 10^8 patients with probability 3e-4; a collation could merge 'ab1' and 'AB1'.
    Numbers of other types are the digits of their whole value, so that 1001.0 is 1001; `is_id` leaves out all others.
    """
    if isinstance(data_type, T.IntegralType):
        return key.cast("long")
    if isinstance(data_type, T.BinaryType):
        return key
    return id_text(key, data_type).cast("binary")
