"""The reference of how a cell is understood never fails, and says what the declaration says."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.domain.codes import ABOVE, BELOW, MISSING, OTHER, CodeBook
from synthward.domain.spec import Attribute, Boolean, Categorical, Date, DatePattern, Numeric

ATTRIBUTES: tuple[Attribute, ...] = (
    Numeric(bounds=(Decimal(0), Decimal(10)), resolution=Decimal("0.1"), sentinels=(Decimal(-9),), missing=("NA",)),
    Numeric(bounds=(Decimal(0), Decimal(10)), integer=True, outside="missing"),
    Categorical(values=("a", "b", ""), missing=("?",)),
    Boolean(missing=("na",)),
    Date(bounds=(date(2000, 1, 1), date(2020, 1, 1)), sentinels=(date(1900, 1, 1),)),
    Date(bounds=(date(2000, 1, 1), date(2020, 1, 1)), granularity="month", format="M/d/yyyy", outside="missing"),
    Date(bounds=(date(1, 1, 1), date(9999, 12, 31)), time_zone="Pacific/Auckland", granularity="year"),
)
cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**31), max_value=10**31),
    st.text(max_size=12),
    st.from_regex(r"[+-]?[0-9.eExXpPdDfF]{1,12}", fullmatch=True),
    st.from_regex(r"[+-]?[0-9]{1,7}-[0-9]{1,2}-[0-9]{1,2}([ T].*)?", fullmatch=True),
    st.from_regex(r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}", fullmatch=True),
    st.dates(),
    st.datetimes(timezones=st.just(UTC)),
    st.datetimes(),
)


@pytest.mark.parametrize("attribute", ATTRIBUTES, ids=lambda a: a.TAG)
@given(cell=cells)
def test_every_conceivable_cell_has_a_code(attribute: Attribute, cell: object) -> None:
    book = CodeBook("x", attribute)
    assert 0 <= book.code_of(cell) < book.cells
    if isinstance(attribute, Numeric | Date):
        assert abs(book.quantum_of(cell)) <= attribute.fixed_point.limit
        if not book.is_present(cell):
            assert book.quantum_of(cell) == 0


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        (None, MISSING),
        ("NA", MISSING),
        ("na", OTHER),
        (" ", MISSING),
        (math.nan, MISSING),
        ("NaN", OTHER),
        ("12D", OTHER),
        ("12f", OTHER),
        ("0x1p1", OTHER),
        ("\t4", OTHER),
        ("4\n", OTHER),
        (" 4 ", 40),
        ("+4.", 40),
        (".4e1", 40),
        ("4,0", OTHER),
        ("1_0", OTHER),
        ("Infinity", OTHER),
        (-9.0, MISSING),
        ("-9", MISSING),
        (math.inf, OTHER),
        ("1e999", OTHER),
        ("abc", OTHER),
        ("3E03317", OTHER),
        ("00845", ABOVE),
        (10.04, ABOVE),
        (10.0, 100),
        ("-0.001", BELOW),
        (-0.0, 0),
        (-1e308, BELOW),
        (Decimal("0.25"), 2),
        ("0x1p99999", OTHER),
        ("٣", OTHER),
        (True, 10),
    ],
)
def test_numbers(cell: object, place: int) -> None:
    assert CodeBook("x", ATTRIBUTES[0]).place_of(cell) == place


@pytest.mark.parametrize(
    ("cell", "place"),
    [("a", 0), ("", 2), ("?", MISSING), (None, MISSING), ("A", OTHER), (" a", OTHER), ("c", OTHER)],
)
def test_categories_are_compared_exactly(cell: object, place: int) -> None:
    assert CodeBook("x", ATTRIBUTES[2]).place_of(cell) == place


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (1.0, "1"),
        (1.0, "1.00"),
        (1e7, "1.0E7"),
        (-1.25e8, "-125000000"),
        (0.1, "0.1"),
        (0.10000000149011612, "0.1"),  # what a FLOAT column holds
        (-0.0, "0"),
        (True, "true"),
        (True, "1"),
        (False, "0"),
        (Decimal("1.00"), "1"),
        (7, "7.0"),
        (Decimal("1E+3"), "1000"),
        (date(2000, 1, 2), "2000-01-02"),
    ],
)
def test_cells_of_other_types_are_compared_by_value(cell: object, text: str) -> None:
    assert CodeBook("x", Categorical(values=(text,))).place_of(cell) == 0
    assert CodeBook("x", Categorical(values=("z",), missing=(text,))).place_of(cell) == MISSING


@pytest.mark.parametrize(
    ("cell", "text"), [(1, "01"), (1.0, "+1"), (1, " 1"), (True, "True"), (math.inf, "Infinity"), (0, "")]
)
def test_what_is_no_plain_number_is_equal_to_none(cell: object, text: str) -> None:
    assert CodeBook("x", Categorical(values=(text,))).place_of(cell) == OTHER


def test_a_number_that_is_none_is_missing() -> None:
    assert CodeBook("x", Categorical(values=("NaN",))).place_of(math.nan) == MISSING
    assert CodeBook("x", Boolean()).place_of(math.nan) == MISSING


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"trim": True}, {" a": 0, "a ": 0, "\ta": OTHER, "A": OTHER, " ? ": MISSING}),
        ({"case": "fold"}, {"A": 0, "\u00c4RZTIN": 1, "\u00e4rztin": 1, "A ": OTHER, "\u0130": OTHER}),
        ({"normalise": True}, {"a\u0308rztin": OTHER, "\u00e4rztin": OTHER, "A\u0308rztin": 1, "\u00c4rztin": 1}),
        ({"normalise": True, "case": "fold", "trim": True}, {" a\u0308RZTIN ": 1, "A": 0}),
    ],
)
def test_declared_liberties_of_codes(options: dict[str, Any], texts: dict[str, int]) -> None:
    book = CodeBook("x", Categorical(values=("a", "\u00c4rztin"), missing=("?",), **options))
    assert {text: book.place_of(text) for text in texts} == texts


@pytest.mark.parametrize(
    ("options", "values"),
    [({"trim": True}, ("a", "a ")), ({"case": "fold"}, ("a", "A")), ({"normalise": True}, ("\u00e9", "e\u0301"))],
)
def test_values_that_become_one_are_refused(options: dict[str, Any], values: tuple[str, ...]) -> None:
    assert not list(Categorical(values=values).problems())
    assert [key for key, _ in Categorical(values=values, **options).problems()] == ["values"]
    with_missing = Categorical(values=values[:1], missing=values[1:], **options)
    assert [key for key, _ in with_missing.problems()] == ["values"]


@pytest.mark.parametrize(
    ("text", "place"), [("1,5", 15), ("1.5", OTHER), (",5", 5), ("5,", 50), ("1.000,5", OTHER), ("1,5e0", 15)]
)
def test_decimal_comma(text: str, place: int) -> None:
    book = CodeBook("x", Numeric(bounds=(Decimal(0), Decimal(10)), resolution=Decimal("0.1"), decimal=","))
    assert book.place_of(text) == place


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        (20000102, 1),
        (20000102.0, 1),
        (Decimal("20000102.00"), 1),
        ("20000102", 1),
        (20000102.5, OTHER),
        (20001301, OTHER),
        (1, OTHER),
        (-20000102, OTHER),
        (200001020, OTHER),
        (math.nan, MISSING),
        (math.inf, OTHER),
        (True, OTHER),
    ],
)
def test_dates_of_digits(cell: object, place: int) -> None:
    book = CodeBook("x", Date(bounds=(date(2000, 1, 1), date(2000, 1, 9)), format="yyyyMMdd"))
    assert book.place_of(cell) == place


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        (1, 0),
        (59, 58),
        (60, OTHER),
        (61, 59),
        ("43831", 43_829),
        (43831.75, 43_829),
        (Decimal("43831.25"), 43_829),
        (0, OTHER),
        (0.5, OTHER),
        (-3, OTHER),
        (2_958_465.99, 2_958_463),
        (2_958_466, OTHER),
        ("2020-01-01", OTHER),
        ("43831D", OTHER),
        (math.nan, MISSING),
        (date(1900, 1, 2), 1),
    ],
)
def test_excel_serial_dates(cell: object, place: int) -> None:
    """43831 is 2020-01-01; serial 60 is a day that never was."""
    book = CodeBook("x", Date(bounds=(date(1900, 1, 1), date(9999, 12, 31)), format="excel"))
    assert book.place_of(cell) == place


def test_excel_begins_in_1900_and_its_numbers_are_the_days() -> None:
    attribute = Date(bounds=(date(1900, 1, 1), date(2020, 1, 1)), format="excel")
    assert list(attribute.problems()) == []
    known = {date(1900, 1, 1): 1, date(1900, 2, 28): 59, date(1900, 3, 1): 61, date(2020, 1, 1): 43_831}
    assert {day: attribute.number_of(day) for day in known} == known
    early = Date(bounds=(date(1899, 12, 31), date(2020, 1, 1)), format="excel")
    assert [key for key, _ in early.problems()] == ["bounds"]


@pytest.mark.parametrize(
    ("granularity", "text", "known"),
    [("month", "2000-02", True), ("month", "2000", False), ("year", "2000", True), ("year", "2000-02", True)],
)
def test_a_date_is_as_precise_as_its_granularity(granularity: Any, text: str, known: bool) -> None:
    book = CodeBook("x", Date(bounds=(date(2000, 1, 1), date(2020, 1, 1)), granularity=granularity))
    assert (book.place_of(text) >= 0) == known


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        (" YES ", 1),
        ("0", 0),
        ("", MISSING),
        (" ", MISSING),
        ("na", MISSING),
        ("NA", OTHER),
        (True, 1),
        (0, 0),
        (2, OTHER),
    ],
)
def test_booleans(cell: object, place: int) -> None:
    assert CodeBook("x", ATTRIBUTES[3]).place_of(cell) == place


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        ("2000-01-02", 1),
        ("2000", OTHER),
        ("2000-01", OTHER),
        ("2000-1-2", OTHER),
        (" 2000-01-02 ", 1),
        ("2000-01-02T23:59:59.5+02:00", 1),
        ("2000-01-02 24:00", OTHER),
        ("2000-01-02 x", OTHER),
        ("2000-01-02\n", OTHER),
        ("43831", OTHER),
        ("0000-01-01", OTHER),
        ("1900-01-01", MISSING),
        ("1899-01-01", BELOW),
        ("2020-01-02", ABOVE),
        ("2020-01-01", 7305),
        ("2021-02-29", OTHER),
        ("+12345-01-01", OTHER),
        ("-0001-01-01", OTHER),
        ("+12345-13-01", OTHER),
        ("9999999-01-01", OTHER),
        (5, OTHER),
        ("", MISSING),
        ("today", OTHER),
    ],
)
def test_dates(cell: object, place: int) -> None:
    assert CodeBook("x", ATTRIBUTES[4]).place_of(cell) == place


def test_an_instant_has_a_date_in_the_declared_zone_and_a_local_time_its_own() -> None:
    book = CodeBook("x", Date(bounds=(date(2000, 1, 1), date(2000, 1, 9)), time_zone="Pacific/Auckland"))
    assert book.place_of(datetime(2000, 1, 2, 12, tzinfo=UTC)) == 2
    assert book.place_of(datetime(2000, 1, 2, 12)) == 1  # noqa: DTZ001 - a TIMESTAMP_NTZ cell
    assert book.place_of(datetime(9999, 12, 31, 23, tzinfo=UTC)) == ABOVE


@pytest.mark.parametrize(
    ("pattern", "groups"),
    [
        ("MM/dd/yyyy", (3, 1, 2)),
        ("d.M.yyyy", (3, 2, 1)),
        ("yyyyMM", (1, 2, 0)),
        ("yyyy", (1, 0, 0)),
        ("HH:mm dd MM yyyy", (3, 2, 1)),
    ],
)
def test_patterns(pattern: str, groups: tuple[int, int, int]) -> None:
    assert DatePattern.of(pattern).groups == groups


@pytest.mark.parametrize(
    "pattern", ["", "MM/dd", "yy-MM-dd", "dd-MMM-yyyy", "yyyy-yyyy", "yyyy M MM", "yyyy'T'", "yyyy[MM]", "yyyy٣"]
)
def test_patterns_that_are_not_understood(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"not understood|needs yyyy"):
        DatePattern.of(pattern)
    with_format = Date(bounds=(date(2000, 1, 1), date(2001, 1, 1)), format=pattern)
    assert [key for key, _ in with_format.problems()] == ["format"]


def test_repeated_values_are_found_in_lists_of_any_length() -> None:
    values = tuple(map(str, range(20_000)))
    assert list(Categorical(values=values).problems()) == []
    assert [key for key, _ in Categorical(values=(*values, "7")).problems()] == ["values"]


def test_labels_and_columns() -> None:
    book = CodeBook("x", Boolean())
    assert book.labels() == ("false", "true", "(other)", "(missing)")
    assert book.encode([True, None, "x"]).tolist() == [1, 3, 2]


def test_clipped_values_have_codes_of_their_own_and_count_as_the_bound_in_sums() -> None:
    clip = CodeBook("x", Numeric(bounds=(Decimal(34), Decimal(43)), resolution=Decimal("0.1"), bins=9))
    size = clip.attribute.size
    assert (clip.below, clip.above, clip.other, clip.missing) == (size, size + 1, size + 2, size + 3)
    assert [clip.code_of(cell) for cell in (33.9, 34, 43, 98.6, math.inf, None)] == [
        *(clip.below, 0, size - 1, clip.above, clip.other, clip.missing)
    ]
    assert clip.quantum_of(98.6) == clip.quantum_of(43.0) == -clip.quantum_of(-5.0)
    assert clip.labels()[-4:] == ("(below 34)", "(above 43)", "(other)", "(missing)")
    gone = CodeBook("x", replace(clip.attribute, outside="missing"))  # type: ignore[type-var]
    assert (gone.cells, gone.code_of(98.6), gone.quantum_of(98.6)) == (size + 2, gone.other, 0)
    with pytest.raises(TypeError, match="clips nothing"):
        _ = gone.below


def test_clipped_dates_count_as_the_first_and_last_period() -> None:
    """A month is declared as a whole: the release holds its first day, which may lie before the bound."""
    months = CodeBook("x", Date(bounds=(date(2000, 1, 5), date(2000, 3, 9)), granularity="month"))
    assert [months.code_of(day) for day in (date(1999, 12, 31), date(2000, 1, 1))] == [months.below, 0]
    assert [months.code_of(day) for day in (date(2000, 3, 31), date(2000, 4, 1))] == [2, months.above]
    assert months.quantum_of(date(1990, 1, 1)) == months.quantum_of(date(2000, 1, 5))
    assert months.quantum_of(date(2010, 1, 1)) == months.quantum_of(date(2000, 3, 9))


@pytest.mark.parametrize(
    "text", ["1" * 20_000 + "x", " " * 20_000 + "x", "1." + "1" * 20_000 + " x", "1e" + "1" * 20_000]
)
def test_long_texts_are_read_in_linear_time(text: str) -> None:
    """Two repetitions that could share the digits would take some 10^8 steps here, and hours for longer cells."""
    started = time.process_time()
    for attribute in ATTRIBUTES:
        assert CodeBook("x", attribute).place_of(text) == OTHER
    assert time.process_time() - started < 1


@pytest.mark.parametrize("outside", ["clip", "missing"])
def test_a_bound_is_within_the_bounds_as_a_float_column_holds_it(outside: Any) -> None:
    """0.7 is 0.699999988 and 30.1 is 30.1000004 there: neither is clipped, and neither is undeclared."""
    book = CodeBook("x", Numeric(bounds=(Decimal("0.7"), Decimal("30.1")), resolution=Decimal("0.1"), outside=outside))
    assert book.place_of(float(np.float32(0.7))) == 0
    assert book.place_of(float(np.float32(30.1))) == 294
    assert book.place_of(0.6999) == (BELOW if outside == "clip" else OTHER)
    wide = Numeric(bounds=(Decimal(0), Decimal(10) ** 60), resolution=Decimal(10) ** 58, outside=outside)
    assert CodeBook("x", wide).place_of(1.001e60) == (ABOVE if outside == "clip" else OTHER)
