"""Contribution weights: every answer bounds a privacy unit by re-weighting its rows, never by dropping some.

With n the unit's row count and K the contribution bound, a unit-level integer `total` counts as `total` when n <= K and
as `(total * K) div n` otherwise (truncating division). |(total * K) div n| <= |total| * K / n <= K * max|row|, whatever
the row order, and the result is exact and the same on every engine (DESIGN 4.5, PROOFS.md section 2).
"""

from __future__ import annotations

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T


def reweighted(sums: Column, n: Column, max_rows: int) -> Column:
    """A unit's bounded contribution to a sum.

    Args:
        sums: LONG, the sum over the unit's rows.
        n: LONG, the unit's row count, the same for every feature.
        max_rows: K.
    """
    return F.when(n <= max_rows, sums).otherwise(F.call_function("div", sums * F.lit(max_rows).cast("long"), n))


def key_problem(data_type: T.DataType) -> str | None:
    """Why a column of this type cannot be a patient key, or None."""
    if isinstance(data_type, T.StringType | T.BinaryType | T.IntegralType):
        return None
    if isinstance(data_type, T.DecimalType) and data_type.scale == 0:
        return None
    return f"a patient key is a string, an integer or binary, not {data_type.simpleString()}"


def unit_key(key: Column, data_type: T.DataType) -> Column:
    """A key under which two patients can never merge: integers as LONG, everything else as its exact bytes.

    Hashing to 64 bits would merge two of 10^8 patients with probability 3e-4; a collation could merge 'ab1' and 'AB1'.
    """
    if isinstance(data_type, T.IntegralType):
        return key.cast("long")
    if isinstance(data_type, T.BinaryType):
        return key
    return key.cast("string").cast("binary")
