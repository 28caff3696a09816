"""The reference of how a cell is understood never fails, and says what the declaration says."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.domain.codes import MISSING, OTHER, CodeBook
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
        if book.place_of(cell) < 0:
            assert book.quantum_of(cell) == 0


@pytest.mark.parametrize(
    ("cell", "place"),
    [
        (None, MISSING),
        ("NA", MISSING),
        ("na", OTHER),
        (" ", MISSING),
        (math.nan, MISSING),
        ("NaN", MISSING),
        (-9.0, MISSING),
        ("-9", MISSING),
        (math.inf, OTHER),
        ("1e999", OTHER),
        ("abc", OTHER),
        ("3E03317", OTHER),
        ("00845", 100),
        (10.04, 100),
        (-0.0, 0),
        (-1e308, 0),
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
        (1.0, "1.0"),
        (1e7, "1.0E7"),
        (-1.25e8, "-1.25E8"),
        (0.001, "0.001"),
        (1.5e-5, "1.5E-5"),
        (-0.0, "-0.0"),
        (True, "true"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (math.nan, "NaN"),
        (Decimal("1.00"), "1.00"),
        (7, "7"),
        (Decimal("1E+3"), "1000"),
        (date(2000, 1, 2), "2000-01-02"),
    ],
)
def test_texts_of_other_types_are_those_of_the_engine(cell: object, text: str) -> None:
    assert CodeBook("x", Categorical(values=(text,))).place_of(cell) == 0


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
        ("2000", 0),
        ("1900-01-01", MISSING),
        ("1899-01-01", 0),
        ("2021-02-29", OTHER),
        ("+12345-01-01", 7305),
        ("-0001-01-01", 0),
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
    assert book.place_of(datetime(9999, 12, 31, 23, tzinfo=UTC)) == 8


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
