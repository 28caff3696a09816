"""What a column of a release can hold, compared with a slow and plain answer on generated types, bounds and labels."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyspark.sql import types as T

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Attribute, Boolean, Categorical, Date, Numeric
from synthward.errors import ConfigError
from synthward.kernels.held import spellings
from synthward.kernels.supported import unsupported
from synthward.release.fitting import key_types, misfits
from synthward.release.names import LINEAGE, name_faults
from synthward.release.table import constraints_by_column
from synthward.run.rehearsal import Script, rehearsed_places
from synthward.sample.decode import cast_text
from trial import DOMAIN, TestSite, plan_of

BITS = {T.ByteType(): 8, T.ShortType(): 16, T.IntegerType(): 32, T.LongType(): 64}


def faults(attribute: Attribute, data_type: T.DataType) -> list[str]:
    return misfits({"x": CodeBook("x", attribute)}, {"x": data_type}, {}, 10)


def number(low: Any, high: Any, step: Any = 1, **more: Any) -> Numeric:
    return Numeric(bounds=(Decimal(str(low)), Decimal(str(high))), resolution=Decimal(str(step)), **more)


def holds(attribute: Numeric, data_type: T.DataType) -> bool:
    """Whether every single value of a grid is a value of the type; for FLOAT and DOUBLE, stays nearest to itself."""
    grid = attribute.grid
    values = [grid.value(index) for index in range(grid.count)]
    if isinstance(data_type, T.IntegralType):
        top = 2 ** (BITS[data_type] - 1)
        return all(value.denominator == 1 and -top <= value < top for value in values)
    if isinstance(data_type, T.DecimalType):
        scaled = [value * 10**data_type.scale for value in values]
        return all(value.denominator == 1 and abs(value) < 10**data_type.precision for value in scaled)
    kind = np.float32 if isinstance(data_type, T.FloatType) else np.float64
    rounded = [Fraction(float(kind(float(value)))) for value in values]
    step = Fraction(grid.step, grid.denominator)
    return all(abs(there - value) < step / 2 for there, value in zip(rounded, values, strict=True))


TYPES = st.one_of(
    st.sampled_from([*BITS, T.FloatType(), T.DoubleType()]),
    st.tuples(st.integers(1, 12), st.integers(0, 6))
    .filter(lambda ps: ps[0] >= ps[1])
    .map(lambda ps: T.DecimalType(*ps)),
)
ENDS = [0, 1, -1, 126, 127, 128, -128, -129, 32767, 32768, -32768, 2**24, 2**31 - 1, 2**31, 9, 10, 99, 100, 999]


@given(
    data_type=TYPES,
    start=st.one_of(st.sampled_from(ENDS), st.integers(-(2**40), 2**40)),
    places=st.integers(0, 3),
    step=st.integers(1, 60),
    count=st.integers(2, 60),
    down=st.booleans(),
)
@example(data_type=T.ByteType(), start=0, places=0, step=75, count=3, down=False)
@example(data_type=T.IntegerType(), start=0, places=1, step=5, count=21, down=False)
@example(data_type=T.DecimalType(3, 1), start=0, places=2, step=5, count=20, down=False)
@example(data_type=T.FloatType(), start=2**24, places=0, step=1, count=50, down=False)
def test_numbers_fit_exactly_where_every_value_does(
    data_type: T.DataType, start: int, places: int, step: int, count: int, down: bool
) -> None:
    unit = Decimal(10) ** -places
    low = (start - (count - 1) * step if down else start) * unit
    attribute = Numeric(bounds=(low, low + (count - 1) * step * unit), resolution=step * unit)
    found = faults(attribute, data_type)
    assert (found == []) == holds(attribute, data_type)
    for fault in found:
        assert fault.startswith(f"column 'x' is {data_type.simpleString().upper()}: ")
        assert "; give " in fault
        assert "view" in fault


@pytest.mark.parametrize(
    ("low", "high", "step", "data_type", "words"),
    [
        (0, 150, 1, T.ByteType(), "bounds [0, 150] do not fit, it holds -128 to 127"),
        (0, 40000, 1, T.ShortType(), "it holds -32768 to 32767"),
        (0, 10, "0.5", T.IntegerType(), "finer values than multiples of 1"),
        (0, 10, "0.05", T.DecimalType(3, 1), "finer values than multiples of 0.1"),
        (0, "9999.9", "0.1", T.DecimalType(3, 1), "it holds -99.9 to 99.9"),
        (0, 5, 1, T.BooleanType(), "it holds 0 to 1"),
        (0, "1e6", "0.01", T.FloatType(), "more than its 7 digits"),
        (0, "1e19", "1e12", T.DoubleType(), "more than 64 bits"),
    ],
)
def test_a_refusal_names_type_bounds_and_what_fits(low: Any, high: Any, step: Any, data_type: Any, words: str) -> None:
    assert any(words in fault for fault in faults(number(low, high, step), data_type))


def test_a_long_grid_is_decided_at_its_ends_too() -> None:
    assert faults(number(0, 2**24, 1), T.FloatType()) == []
    assert faults(number(0, 2**24 + 2, 1), T.FloatType())
    assert faults(number(-(2**24) - 2, 10, 1), T.FloatType())


@given(low=st.integers(-500, 500), count=st.integers(2, 80), places=st.integers(0, 3))
def test_a_bound_is_what_the_column_holds(low: int, count: int, places: int) -> None:
    """The CHECK of a FLOAT or DOUBLE column takes the first and the last value as they are written, and none beyond."""
    unit = Decimal(10) ** -places
    attribute = Numeric(bounds=(low * unit, (low + count - 1) * unit), resolution=unit)
    grid = attribute.grid
    for data_type, kind in ((T.FloatType(), np.float32), (T.DoubleType(), np.float64)):
        check = constraints_by_column({"x": CodeBook("x", attribute)}, {"x": data_type})["x"]
        first, last = (float(text.removesuffix("D")) for text in check.rstrip(")").split(" BETWEEN ")[1].split(" AND "))
        ends = [kind((grid.low + index * grid.step) / grid.denominator) for index in (0, grid.count - 1)]
        assert [first, last] == [float(end) for end in ends]
        down, up = attribute.limits
        assert down <= first <= last <= up
        beyond = grid.value(0) - Fraction(grid.step, grid.denominator)
        assert float(kind(float(beyond))) < down


def test_a_neighbouring_number_is_not_the_bound() -> None:
    """The FLOAT next to a large whole bound is another whole number, which lies beyond it."""
    assert number(2**24 + 1, 2**24 + 3).limits == (2**24 + 1, 2**24 + 3)
    assert number("0.7", "30.1", "0.1").limits == (float(np.float32(0.7)), float(np.float32(30.1)))


def test_a_declared_number_is_found_in_a_float_column() -> None:
    assert float(np.float32(-9.9)) in spellings(-9.9, T.FloatType())
    assert spellings(-9.9, T.DoubleType()) == [-9.9]
    assert spellings(-9.0, T.FloatType()) == [-9.0]


LABELS: list[tuple[tuple[str, ...], str | None, T.DataType, str]] = [
    (
        ("1", "x"),
        None,
        T.IntegerType(),
        "1 of 2 declared values can never be in a int column (its values are numbers, without leading zeros",
    ),
    (
        ("1", "2"),
        "other",
        T.IntegerType(),
        "cannot hold label 'other' of undeclared values (`other`), which would become NULL",
    ),
    (("1", "300"), None, T.ByteType(), "its values lie between -128 and 127): '300'"),
    (("1",), "300", T.ByteType(), "cannot hold label '300' of undeclared values (`other`), which would become NULL"),
    (("1",), "1.0", T.IntegerType(), "value '1' and label '1.0' of undeclared values (`other`) are one value"),
    (("1",), "01", T.IntegerType(), "(its values are numbers, without leading zeros or letters); give a label"),
    (("1.5", "2"), None, T.LongType(), "(its values are whole numbers): '1.5'"),
    (("1", "1.0"), None, T.DoubleType(), "'1' and '1.0' are one value"),
    (("1.25", "2"), None, T.DecimalType(3, 1), "(the number does not fit the type): '1.25'"),
    (("1", "1e400"), None, T.FloatType(), "can never be in a float column"),
    (("16777217", "16777216"), None, T.FloatType(), "are one value"),
    (("yes", "no"), None, T.BooleanType(), "'yes', 'no'; declare `type: boolean`"),
    (("2020-01-01", "01.01.2020"), None, T.DateType(), "(a date is written as yyyy-MM-dd): '01.01.2020'"),
    (("1", "NaN"), None, T.DecimalType(9, 0), "'NaN'"),
    (("1", "1e999999999"), None, T.DecimalType(9, 0), "'1e999999999'"),
]


@pytest.mark.parametrize(("values", "other", "data_type", "words"), LABELS)
def test_a_label_that_the_type_cannot_hold_is_refused(
    values: tuple[str, ...], other: str | None, data_type: T.DataType, words: str
) -> None:
    [fault] = faults(Categorical(values=values, other=other), data_type)
    assert words in fault


@pytest.mark.parametrize("data_type", [T.IntegerType(), T.DoubleType(), T.DecimalType(3, 0), T.StringType()])
def test_a_label_of_the_columns_type_that_is_no_declared_value_is_accepted(data_type: T.DataType) -> None:
    assert faults(Categorical(values=("1", "2"), other="0"), data_type) == []


@given(value=st.integers(-(2**40), 2**40), data_type=st.sampled_from([*BITS, T.DecimalType(5, 0), T.DoubleType()]))
def test_whole_labels_fit_where_their_number_does(value: int, data_type: T.DataType) -> None:
    top = 2 ** (BITS[data_type] - 1) if data_type in BITS else None
    fits = abs(value) < 10**5 if isinstance(data_type, T.DecimalType) else top is None or -top <= value < top
    assert (faults(Categorical(values=(str(value),)), data_type) == []) == fits


def test_values_that_never_occur_are_refused_whatever_type_the_release_has() -> None:
    """`output.types: declared` gives a text column to the release; the source has no such values all the same."""
    books = {name: CodeBook(name, Categorical(values=("Y", "1"), other="unknown")) for name in ("a", "b", "c")}
    types: dict[str, T.DataType] = {"a": T.IntegerType(), "b": T.StringType(), "c": T.BooleanType()}
    found = {name: unsupported(book, types[name]) for name, book in books.items()}
    assert found["b"] is None
    for name in ("a", "c"):
        fault = found[name]
        assert fault is not None
        assert "1 of 2 declared values can never be in a" in fault
        assert "'Y'" in fault
        assert "unknown" not in fault  # a label is the release's matter
    assert misfits(books, dict.fromkeys(books, T.StringType()), {}, 10) == []


@pytest.mark.parametrize(
    ("text", "data_type", "cast"),
    [
        ("2.0", T.IntegerType(), "2"),
        ("-1e2", T.ShortType(), "-100"),
        ("1.0", T.BooleanType(), "1"),
        ("true", T.BooleanType(), "true"),
        ("1.5", T.DecimalType(3, 1), "1.5"),
        ("2.0", T.StringType(), "2.0"),
        ("01", T.IntegerType(), "01"),
        ("1.5", T.IntegerType(), "1.5"),
    ],
)
def test_a_whole_number_is_written_as_a_cast_reads_it(text: str, data_type: T.DataType, cast: str) -> None:
    assert cast_text(text, data_type) == cast


def test_texts_fit_texts() -> None:
    assert faults(Categorical(values=("01", " a", ""), other="?"), T.StringType()) == []
    assert faults(number(0, 10, "0.001"), T.StringType()) == []
    assert faults(Boolean(true=("Y",), false=("N",)), T.StringType()) == []


@pytest.mark.parametrize(
    ("boolean", "data_type", "number_of_faults"),
    [
        (Boolean(), T.IntegerType(), 0),
        (Boolean(true=("Y",)), T.IntegerType(), 1),
        (Boolean(true=("Y",), false=("N",)), T.IntegerType(), 2),
        (Boolean(true=("2",), false=("1",)), T.IntegerType(), 0),
        (Boolean(), T.DecimalType(2, 2), 1),
        (Boolean(true=("Y",), false=("N",)), T.BooleanType(), 0),
    ],
)
def test_a_column_of_numbers_holds_a_number_for_true_and_for_false(
    boolean: Boolean, data_type: T.DataType, number_of_faults: int
) -> None:
    assert len(faults(boolean, data_type)) == number_of_faults


@pytest.mark.parametrize(
    ("text", "granularity", "fine"),
    [
        ("yyyy-MM-dd", "day", True),
        ("yyyy-MM", "day", False),
        ("yyyy-MM", "month", True),
        ("yyyy", "month", False),
        ("yyyy", "year", True),
    ],
)
def test_a_format_says_what_the_granularity_needs(text: str, granularity: Any, fine: bool) -> None:
    bounds = (dt.date(2018, 1, 1), dt.date(2020, 1, 1))
    assert (faults(Date(bounds=bounds, format=text, granularity=granularity), T.StringType()) == []) == fine
    assert faults(Date(bounds=bounds, format=text, granularity=granularity), T.DateType()) == []


@pytest.mark.parametrize(("text", "fine"), [("yyyyMMdd", True), ("yyyyMM", False), ("yyyy", False), ("excel", True)])
def test_a_number_says_what_the_granularity_needs(text: str, fine: bool) -> None:
    bounds = (dt.date(2018, 1, 1), dt.date(2020, 1, 1))
    assert (faults(Date(bounds=bounds, format=text), T.IntegerType()) == []) == fine


def key_faults(data_type: T.DataType, rows: int) -> list[str]:
    return misfits({}, {}, {"k": data_type}, rows)


@pytest.mark.parametrize(
    ("data_type", "most"),
    [
        (T.ByteType(), 2**7),
        (T.ShortType(), 2**15),
        (T.IntegerType(), 2**31),
        (T.LongType(), 10**10),
        (T.DecimalType(5, 2), 999),
        (T.DecimalType(3, 0), 999),
        (T.FloatType(), 2**24),
        (T.DoubleType(), 10**10),
        (T.StringType(), 10**10),
        (T.BinaryType(), 10**10),
    ],
)
def test_the_last_fresh_key_fits_its_type(data_type: T.DataType, most: int) -> None:
    assert key_faults(data_type, most) == []
    if most < 10**10:
        [fault] = key_faults(data_type, most + 1)
        assert f"-{most + 1}" in fault
        assert f"at most {most} rows" in fault


@pytest.mark.parametrize("data_type", [T.DateType(), T.BooleanType(), T.TimestampType(), T.ArrayType(T.LongType())])
def test_a_key_that_is_no_number_and_no_text_is_refused(data_type: T.DataType) -> None:
    [fault] = key_faults(data_type, 10)
    assert "fresh keys are whole numbers or texts" in fault


def test_a_fresh_key_has_no_collation() -> None:
    assert key_types({"k": T.StringType("UNICODE_CI"), "n": T.LongType()}) == {"k": T.StringType(), "n": T.LongType()}


@pytest.mark.parametrize("name", [*LINEAGE, "_ROW", "_Release_ID"])
def test_a_lineage_name_is_refused_whatever_its_case(name: str) -> None:
    for names in ([name], ["sex", name]):
        [fault] = name_faults(names)
        assert "lineage column" in fault


@pytest.mark.parametrize(
    "changes", [{"columns": ["sex", "_row"]}, {"output": {"keys": "fresh", "key_columns": ["_ROW"]}}]
)
def test_a_lineage_name_is_refused_when_the_run_is_planned(tmp_path: Path, changes: dict[str, Any]) -> None:
    site = TestSite(tmp_path)
    site.domain({**DOMAIN["attributes"], "_row": {"type": "numeric", "integer": True, "bounds": [0, 9]}})
    with pytest.raises(ConfigError, match="lineage column"):
        plan_of(site, site.request(**changes))


def test_two_names_that_differ_by_case_are_refused() -> None:
    assert list(name_faults(["sex", "age"])) == []
    [fault] = name_faults(["sex", "Sex"])
    assert "twice" in fault


def test_everything_is_said_at_once() -> None:
    books = {"_row": CodeBook("_row", number(0, 300)), "b": CodeBook("b", number(0, 10, "0.5"))}
    types: Mapping[str, T.DataType] = {"_row": T.ByteType(), "b": T.IntegerType()}
    found = misfits(books, types, {"k": T.ByteType()}, 1000)
    assert [fault.split(":")[0].split(" has")[0] for fault in found] == [
        "column '_row'",
        "column '_row' is TINYINT",
        "column 'b' is INT",
        "key column 'k' is TINYINT",
    ]


@pytest.mark.parametrize(
    ("attribute", "data_type", "places"),
    [
        (number(0, 100), T.LongType(), [0, 1, 50, 99, 100, -1, -2]),
        (number(0, 1), T.LongType(), [0, 1, -1, -2]),
        (number(0, 100, required=True), T.LongType(), [0, 1, 50, 99, 100]),
        (Categorical(values=("a", "b", "c")), T.StringType(), [0, 1, 2, -1, -2]),
        (Categorical(values=("a", "b"), required=True), T.StringType(), [0, 1]),
        (Categorical(values=("a", "b"), required=True, other="x"), T.StringType(), [0, 1, -1]),
        (Boolean(), T.BooleanType(), [0, 1, -1, -2]),
    ],
)
def test_the_places_that_a_release_can_hold_are_rehearsed(
    attribute: Attribute, data_type: T.DataType, places: list[int]
) -> None:
    assert rehearsed_places(CodeBook("x", attribute), data_type).tolist() == places


def test_every_label_of_a_column_that_is_no_text_is_rehearsed_and_the_last_row_number() -> None:
    codes = Categorical(values=tuple(str(code) for code in range(900)))
    script = Script({"x": CodeBook("x", codes)}, {"x": T.IntegerType()}, {}, 5000)
    assert set(range(900)) <= set(script.places["x"].tolist())
    assert script.row_numbers[-1] == 4999
    assert len(set(script.row_numbers.tolist())) == len(script.row_numbers)
