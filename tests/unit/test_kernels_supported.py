"""What a column can never satisfy is refused from its type and the declaration alone."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import types as T

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Attribute, Boolean, Categorical, Date, Numeric
from synthward.kernels.supported import unsupported

BYTE, SHORT, INT, LONG = T.ByteType(), T.ShortType(), T.IntegerType(), T.LongType()
FLOAT, DOUBLE, BOOL, DAY, TEXT = T.FloatType(), T.DoubleType(), T.BooleanType(), T.DateType(), T.StringType()
DECIMAL = T.DecimalType(4, 2)


def values(*listed: str, **rest: Any) -> Categorical:
    return Categorical(values=listed, **rest)


def days(last: date = date(2001, 1, 1), **rest: Any) -> Date:
    return Date(bounds=(date(2000, 1, 1), last), **rest)


def bounds(low: str, high: str) -> Numeric:
    return Numeric(bounds=(Decimal(low), Decimal(high)), resolution=Decimal("0.5"))


@pytest.mark.parametrize(
    ("attribute", "data_type"),
    [
        (values("1", "2.0"), INT),
        (values("1", "2.5", missing=("?", "NA")), DOUBLE),
        (values("0.1"), FLOAT),
        (values("1", "99.99"), DECIMAL),
        (values("1.5"), T.DecimalType(38, 20)),
        (values("true"), BOOL),
        (values("1", "0"), BOOL),
        (values("2000-01-01", other="1900-01-01"), DAY),
        (values("01", "A", other="?"), TEXT),
        (values("1", other="0"), INT),
        (values("1", other="Other"), INT),  # whether a release can hold it is `release.fitting`
        (Boolean(), INT),
        (Boolean(), DOUBLE),
        (Boolean(), T.DecimalType(10, 7)),
        (Boolean(true=("Y",), false=("N",)), BOOL),
        (bounds("0", "1"), BOOL),
        (bounds("100", "300"), BYTE),
        (bounds("0", "1"), T.DecimalType(10, 7)),
        (days(), DAY),
        (days(), T.TimestampNTZType()),
        (days(format="yyyyMMdd"), INT),
        (days(format="yyyy"), SHORT),
        (days(format="excel"), DOUBLE),
        (days(format="excel"), INT),
        (days(format="yyyyMMdd"), T.DecimalType(8, 0)),
    ],
)
def test_what_fits(attribute: Attribute, data_type: T.DataType) -> None:
    assert unsupported(CodeBook("x", attribute), data_type) is None


@pytest.mark.parametrize(
    ("attribute", "data_type", "said"),
    [
        (values("01", "02", "3"), INT, ["2 of 3", "int column", "'01', '02'", "leading zeros"]),
        (values("A", "B", "C", "D"), LONG, ["4 of 4", "bigint", "'A', 'B', 'C', ...", "as text"]),
        (values("1.5"), INT, ["'1.5'", "whole numbers"]),
        (values("128"), BYTE, ["tinyint", "-128 and 127"]),
        (values("100"), DECIMAL, ["decimal(4,2)", "does not fit"]),
        (values("0.001"), DECIMAL, ["does not fit"]),
        (values("NaN"), DOUBLE, ["'NaN'"]),
        (values("1e60"), FLOAT, ["'1e60'"]),
        (values("Y", "N"), BOOL, ["boolean column", "'Y', 'N'", "type: boolean"]),
        (values("2"), BOOL, ["type: boolean"]),
        (values("2000-1-1"), DAY, ["yyyy-MM-dd"]),
        (values("2000-02-30"), DAY, ["yyyy-MM-dd"]),
        (values("1", "1.0"), DOUBLE, ["'1' and '1.0' are one value"]),
        (values("true", "1"), BOOL, ["'true' and '1' are one value"]),
        (values("0.1", "0.10000000149"), FLOAT, ["are one value"]),
        (values("1"), T.TimestampType(), ["plain column", "timestamp"]),
        (values("1"), T.ArrayType(TEXT), ["plain column"]),
        (Boolean(true=("Y",), false=("N",)), INT, ["texts for true (Y)", "true: [1]"]),
        (Boolean(true=("1",), false=("N",)), DOUBLE, ["texts for false (N)", "false: [0]"]),
        (bounds("300", "400"), BYTE, ["tinyint", "[300, 400]"]),
        (bounds("100", "400"), DECIMAL, ["decimal(4,2)"]),
        (bounds("0", "1"), DAY, ["plain column"]),
        (days(), LONG, ["bigint", "yyyyMMdd", "excel"]),
        (days(format="MM/dd/yyyy"), INT, ["yyyyMMdd"]),
        (days(format="yyyyMMdd"), SHORT, ["20010101", "smallint"]),
        (days(format="yyyyMMdd"), FLOAT, ["DOUBLE"]),
        (days(format="excel"), BOOL, ["boolean"]),
    ],
)
def test_what_can_never_match_is_refused_with_its_type_and_an_example(
    attribute: Attribute, data_type: T.DataType, said: list[str]
) -> None:
    fault = unsupported(CodeBook("x", attribute), data_type)
    assert fault is not None
    assert [part for part in said if part not in fault] == [], fault
