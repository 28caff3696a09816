"""Spark's encoding is the code book's, on every code; decoding a place and encoding it again gives its code.

All cases of a test share one table and one job: a column a case, shorter ones filled up with NULL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.domain.cells import Packing
from synthward.domain.codes import MISSING, OTHER, CodeBook
from synthward.domain.spec import Attribute, Boolean, Categorical, Date, Numeric
from synthward.kernels.encode import encode, present_column, quantum_column, word_column
from synthward.sample.decode import decode

pytestmark = pytest.mark.usefixtures("compiled")

INF, NAN = float("inf"), float("nan")
TINY = 5e-324


@dataclass(frozen=True)
class Case:
    """One source column: an attribute, an Arrow type and cells."""

    attribute: Attribute
    kind: pa.DataType
    cells: Sequence[object]
    collation: str | None = None


def number(low: str, high: str, resolution: str = "1", **rest: Any) -> Numeric:
    return Numeric(bounds=(Decimal(low), Decimal(high)), resolution=Decimal(resolution), **rest)


def days(first: date, last: date, **rest: Any) -> Date:
    return Date(bounds=(first, last), **rest)


NUMBER_TEXTS = (
    *(
        "0",
        "-0",
        "+5",
        "5.",
        ".5",
        "1e1",
        "1E-400",
        "1e400",
        "-1e400",
        "7d",
        "7F",
        "0x1p2",
        "0x1p99999",
        "0x.8p1",
        "0x10",
    ),
    *("nan", "NaN", "-NaN", "+NaN", "-nan", "inf", "-Infinity", "+infinity", "", " ", "  \t", " 3 ", "\t4\n", "4\x7f"),
    *(
        "0X1P2",
        "-0x1p2",
        " 12D",
        "12f ",
        "12\x00",
        "7\t ",
        " \n7",
        "1\u00a0",
        "5,",
        ",5",
        "-1,5",
        "1,2,3",
        "1.5,2",
        "1,5e1",
        "1,e0",
    ),
    *("0x1ep2", "0X1EP2", "1e1D", "1E1f", "1e1\t", "\t1e1", "1e1e0", "-1e0", "5.e0", "+.5E0", "e0", "-", "1e+", "1ee1"),
    *("12D", "12f", "1e", "e1", ".", "+", "-.5e-1", "1 2", "7\n", "\r7", "1e5L", "0b1", "1__0", "\x007", "1" * 400),
    *(
        "abc",
        "3E03317",
        "00845",
        "1_000",
        "1,5",
        "\uff11\uff12",
        "\u0661",
        "\u00a07",
        "999",
        "-9",
        "NA",
        "na",
        "10",
        "9.96",
        None,
    ),
)
DOUBLES = (0.0, -0.0, TINY, -TINY, 1e308, -1e308, INF, -INF, NAN, 9.95, 9.949999, 0.05, 0.15, -9.0, 999.0, 10.1, None)
DATE_TEXTS = (
    *("2020-02-03T10:00:00Z", "2020-02-03 10:00:00.123456+01", "2020-02-03 10:00-0330", "2020-02-03T24:00", "43831"),
    *("2020-02-03T10:60", "2020-02-03T10:00Zx", "2020-02-03T10", "2020-02-03\n", "0001-01-01", "0000-12-31", "2020 "),
    *(
        "2020-02-1T",
        "2020-02-1 ",
        "2020-02-1x",
        "0000-02-03",
        "2020/02/03",
        "2020-02-0",
        "2020-0-03T",
        "2020-02-\u0663",
    ),
    *(
        "2020-02-03 10:00:00",
        "2020-02-03T23:59:59",
        "2020-02-03 24:00:00",
        "2020-02-03 10:60:00",
        "2020-02-03 10:00:60",
    ),
    *(
        "2020-02-03 10:00:0Z",
        "2020-02-03 10:00:0\t",
        "2020-02-03 10:00:0.",
        "2020-2-13 1:02+11:00",
        "2020-2-13 1:2+11:00",
    ),
    *(
        "2020-2-13 01:02:00Z",
        "2020-2-13 1:02:03.0",
        "2020-2-13  1:02:03",
        "2020-02-3 10:00:00Z",
        "2020-2-3 1:2:0+1:00",
    ),
    *(
        "2020-02-03T00:30+02",
        "2020-02-03T23:30-02",
        "2020-02-03T10:00:00\t",
        "02020-02-03 1:00:00",
        "+2020-02-03 1:00:00",
    ),
    *("2020-02-30 10:00:00", "0000-02-03 10:00:00", "0999-02-03 10:00:00", "0999-02-03", "12020-2-03", "02020-2-03"),
    *("2020-2-1T01", "2020-2-1 -01", "2020-2-1\t\t", "2020-02-1\n", "\t2020-2-01", "1000000-02", "2020-02-03 x0:00:00"),
    *(
        "2020-02-03_10:00:00",
        "2020-02-03 10-00-00",
        "2020-02-03 10:0a:00",
        "2020-02-03 1:000:00",
        "20200-02-03 1:00:00",
    ),
    *("2020-02-29", "2021-02-29", "2020-2-9", "2020-02", "2020", "2020-02-", "2020-13-01", " 2020-02-03 ", "20200203"),
    *("2020-02-03T10:00:00", "2020-02-03 x", "2020-02-03x", "+2020-02-03", "-2020-02-03", "0000-02-29", "0000-02-30"),
    *("+12345-01-01", "+12345-99-99", "5881580-07-11", "5881580-07-12", "-5877641-06-23", "-5877641-06-22"),
    *("9999-12-31", "1900-01-01", "\x7f2020-02-03\n", "\u0662020-02-03", "", " ", "\t", "n/a", "today", "epoch", None),
)
PATTERN_TEXTS = (
    *("02/03/2020", "2/3/2020", "02/30/2020", "13/01/2020", "02/03/20", " 02/03/2020 ", "02/03/2020\n", "2020-02-03"),
    *("02/03/0000", "02/03/9999", "02-03-2020", "", " ", "n/a", "02/03/2020 10:00", "12/30/2011", "11/04/2018", None),
)
_ZONED = tuple(
    datetime(2018, 11, 4, 1, 59, 59, 999_999, tzinfo=UTC) + timedelta(hours=h, microseconds=m)
    for h in range(0, 27, 2)
    for m in (0, 1)
)
INSTANTS = (
    *_ZONED,
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 30, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
    None,
)
LOCALS = tuple(None if instant is None else instant.replace(tzinfo=None) for instant in INSTANTS)
DATES = (
    date(1, 1, 1),
    date(1582, 10, 10),
    date(1900, 1, 1),
    date(1969, 12, 31),
    date(2000, 1, 1),
    date(2000, 1, 31),
    date(2020, 12, 31),
    date(2021, 1, 1),
    date(9999, 12, 31),
    None,
)

CASES: dict[str, Case] = {
    "number from text": Case(
        number("0", "10", "0.1", bins=7, sentinels=(Decimal(-9), Decimal(999)), missing=("NA",)),
        pa.string(),
        NUMBER_TEXTS,
    ),
    "number from text, outside missing": Case(
        number("-1", "9", "0.5", outside="missing", missing=("NA", "10")), pa.string(), NUMBER_TEXTS
    ),
    "number from double": Case(
        number("0", "10", "0.1", edges=(Decimal(1), Decimal("9.9"), Decimal(10)), sentinels=(Decimal(-9),)),
        pa.float64(),
        DOUBLES,
    ),
    "number from double, last bin wider": Case(number("0", "10", "1", edges=(Decimal(5),)), pa.float64(), DOUBLES),
    "number from double, many sentinels": Case(
        number("-10", "10", "0.1", sentinels=tuple(map(Decimal, range(12)))), pa.float64(), DOUBLES
    ),
    "number from double, outside missing": Case(
        number("0", "9.9", "0.3", outside="missing", bins=1), pa.float64(), DOUBLES
    ),
    "number from float": Case(
        number("0", "10", "0.1"), pa.float32(), (0.1, 0.25, 0.3, -0.0, INF, -INF, NAN, 3e38, None)
    ),
    "number from long": Case(
        number("-5", "1000", integer=True, bins=10, sentinels=(Decimal(-9),)),
        pa.int64(),
        (-(2**63), 2**63 - 1, -9, -6, -5, 0, 99, 100, 101, 1000, 1001, None),
    ),
    "number from byte": Case(number("0", "100", "5", integer=True), pa.int8(), (-128, -1, 0, 2, 3, 100, 127, None)),
    "number from decimal": Case(
        number("0", "1", "0.01", bins=9),
        pa.decimal128(38, 10),
        tuple(map(Decimal, ("0", "0.005", "0.015", "0.999", "-9999999999999999999999999999.5", "1E27"))),
    ),
    "number from boolean": Case(number("0", "1", integer=True), pa.bool_(), (True, False, None)),
    "number beyond 2^53": Case(
        number("9007199254740992", "9007199254741992", "8", integer=True),
        pa.int64(),
        (2**53, 2**53 + 1, 2**53 + 500, 0),
    ),
    "category from text": Case(
        Categorical(values=("F", "M", "null", "é", " "), missing=("?", "-")),
        pa.string(),
        ("F", "M", "f", " F", "", "?", "-", "null", "é", "e\u0301", " ", "患者", None),
    ),
    "category, 300 values": Case(
        Categorical(values=tuple(f"v{n}" for n in range(300)), missing=("v",)),
        pa.string(),
        (*(f"v{n}" for n in range(302)), "v", "", None),
    ),
    "category, 5000 values, each twice": Case(
        Categorical(values=tuple(f"{n:05}" for n in range(5000))), pa.string(), (*(f"{n:05}" for n in range(5002)),) * 2
    ),
    "category, many missing texts": Case(
        Categorical(values=("a",), missing=tuple(f"m{n}" for n in range(20))),
        pa.string(),
        ("a", "m0", "m19", "m20", None),
    ),
    "category from long": Case(
        Categorical(values=("1", "-5", "7.0", "1e3"), missing=("9", "?")),
        pa.int64(),
        (1, -5, 7, 1000, 9, 2**63 - 1, None),
    ),
    "category from byte, 200 values": Case(
        Categorical(values=tuple(map(str, range(-100, 100))), missing=("-101",)), pa.int8(), (-101, -100, 99, 100, None)
    ),
    "category from long, codes of letters": Case(Categorical(values=("A", "01")), pa.int64(), (1, 0, None)),
    "category from float": Case(
        Categorical(values=("0.1", "1", "-2.50", "0")), pa.float32(), (0.1, 0.100001, 1.0, -2.5, -0.0, NAN, INF, None)
    ),
    "category from double, 200 values": Case(
        Categorical(values=tuple(f"{n / 10}" for n in range(200)), missing=("20.0",)),
        pa.float64(),
        (0.0, -0.0, 0.1, 19.9, 20.0, 20.1, NAN, -INF, None),
    ),
    "category from decimal, 200 values": Case(
        Categorical(values=tuple(f"{n}.5" for n in range(200))),
        pa.decimal128(12, 8),
        (Decimal("0.5"), Decimal("199.5"), Decimal("0.50000001"), None),
    ),
    "category from boolean by number": Case(Categorical(values=("1", "0")), pa.bool_(), (True, False, None)),
    "category, trimmed": Case(
        Categorical(values=("a", "\tb"), missing=("?",), trim=True),
        pa.string(),
        ("a", " a ", "\ta", "\tb ", " ? ", "", " ", "A", None),
    ),
    "category, folded": Case(
        Categorical(values=("Mä", "\u0411", "\u03a3", "ß"), missing=("N/A",), case="fold"),
        pa.string(),
        (
            "mä",
            "MÄ",
            "m\u00e4",
            "ma\u0308",
            "\u0431",
            "\u03c3",
            "\u03c2",
            "SS",
            "ß",
            "\u1e9e",
            "n/a",
            "\u0130",
            "\u0131",
        ),
    ),
    "category, both forms": Case(
        Categorical(values=("é", "ko\u0308ln", "\u212b"), normalise=True),
        pa.string(),
        ("\u00e9", "e\u0301", "k\u00f6ln", "ko\u0308ln", "\u212b", "\u00c5", "A\u030a", "E\u0301"),
    ),
    "category, all liberties, 300 values": Case(
        Categorical(values=tuple(f"é{n}" for n in range(300)), trim=True, case="fold", normalise=True, missing=("É",)),
        pa.string(),
        (" É299", "e\u03010 ", "E\u03017", "é", "É ", "x"),
    ),
    "category from double": Case(
        Categorical(values=("1", "1.0E7", "0.001", "1.5E-5", "-1.25E8", "-0.0"), missing=("9",)),
        pa.float64(),
        (1.0, 1e7, 0.001, 1.5e-5, -1.25e8, NAN, INF, -INF, -0.0, 0.0, 9.0, None),
    ),
    "category from decimal": Case(
        Categorical(values=("1", "0.00")),
        pa.decimal128(10, 2),
        (Decimal("1.00"), Decimal("0.00"), Decimal("1.10"), None),
    ),
    "category from tiny decimal": Case(
        Categorical(values=("0.000001", "0.000000")),
        pa.decimal128(10, 6),
        (Decimal("0.000001"), Decimal("0.000000"), None),
    ),
    "category from boolean": Case(Categorical(values=("true",), missing=("false",)), pa.bool_(), (True, False, None)),
    "category from date": Case(Categorical(values=("2000-01-01",)), pa.date32(), DATES),
    "category, collated": Case(
        Categorical(values=("a", "B"), missing=("x",)), pa.string(), ("a", "A", "b", "B", "x", "X", None), "UTF8_LCASE"
    ),
    "boolean from text": Case(
        Boolean(missing=("NA",)),
        pa.string(),
        ("true", "TRUE", " Yes ", "t", "0", "No", "\tyes", "2", "", " ", "NA", "na", None),
    ),
    "boolean from boolean": Case(
        Boolean(true=("y",), false=("n",), missing=("true",)), pa.bool_(), (True, False, None)
    ),
    "boolean from long": Case(Boolean(missing=("9",)), pa.int32(), (0, 1, 2, -1, 9, None)),
    "boolean from double": Case(Boolean(true=("2", "Ja"), false=("1",)), pa.float64(), (0.0, 1.0, 2.0, NAN, INF, None)),
    "boolean from decimal": Case(Boolean(), pa.decimal128(3, 2), (Decimal(0), Decimal(1), Decimal("0.5"), None)),
    "number, decimal comma": Case(
        number("0", "10", "0.1", decimal=",", missing=("k,A",)),
        pa.string(),
        ("1,5", "1.5", ",5", "5,", "1.000,5", "1,5e1", " 2,5 ", "-0,1", "k,A", ",", "1,2,3", "NaN", None),
    ),
    "date of digits from int": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), format="yyyyMMdd", sentinels=(date(1900, 1, 1),)),
        pa.int32(),
        (20200229, 20210229, 19000101, 0, -1, 20200101, 2**31 - 1, 20201301, 101, 18991231, None),
    ),
    "date of digits from long": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), format="ddMMyyyy"),
        pa.int64(),
        (1022020, 31122020, 2**63 - 1, -(2**63), 100000000, 99999999, None),
    ),
    "date of digits from double": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), format="yyyyMMdd", outside="missing"),
        pa.float64(),
        (20200229.0, 20200229.5, NAN, INF, -INF, 1e300, -0.0, 20300101.0, None),
    ),
    "date of digits from decimal": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), format="yyyyMM", granularity="month"),
        pa.decimal128(12, 2),
        (Decimal("202002.00"), Decimal("202002.01"), Decimal("202013.00"), None),
    ),
    "excel from double": Case(
        days(date(1900, 1, 1), date(2020, 12, 31), format="excel", sentinels=(date(1900, 1, 2),)),
        pa.float64(),
        (1.0, 2.0, 59.9, 60.0, 60.5, 61.0, 43831.75, 0.9, -5.0, 2958465.9, 2958466.0, NAN, INF, -INF, 1e300, None),
    ),
    "excel from long": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), format="excel", outside="missing"),
        pa.int64(),
        (36526, 44196, 44197, 36525, 60, 0, 2**63 - 1, -(2**63), None),
    ),
    "excel from text": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), format="excel", missing=("0",)),
        pa.string(),
        ("43831", " 43831.5 ", "4.3831e4", "0", "1", "43831D", "2020-01-01", "NaN", "1e400", "", None),
    ),
    "boolean, collated": Case(Boolean(missing=("NA",)), pa.string(), ("YES", "na", "NA", "no", None), "UNICODE_CI"),
    "number, collated": Case(number("0", "9", missing=("NA",)), pa.string(), ("1", "na", "NA", "x"), "UNICODE_CI"),
    "date from text": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), sentinels=(date(1900, 1, 1), date(9999, 12, 31)), missing=("n/a",)),
        pa.string(),
        DATE_TEXTS,
    ),
    "date from text, outside missing": Case(
        days(date(1, 1, 1), date(9999, 12, 31), outside="missing", granularity="year"), pa.string(), DATE_TEXTS
    ),
    "month from text": Case(days(date(1969, 11, 5), date(2020, 2, 3), granularity="month"), pa.string(), DATE_TEXTS),
    "date by pattern": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), format="MM/dd/yyyy", missing=("n/a",)), pa.string(), PATTERN_TEXTS
    ),
    "date by short pattern": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), format="M/d/yyyy"), pa.string(), PATTERN_TEXTS
    ),
    "date by pattern with time": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), format="MM/dd/yyyy HH:mm"), pa.string(), PATTERN_TEXTS
    ),
    "month by pattern": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), format="yyyyMM", granularity="month"),
        pa.string(),
        ("202002", "202013", "202000", "2020-02", "20200203", None),
    ),
    "day from date": Case(
        days(date(2000, 1, 1), date(2020, 12, 31), sentinels=(date(1900, 1, 1),)), pa.date32(), DATES
    ),
    "month from date": Case(
        days(date(1900, 1, 1), date(2020, 12, 31), granularity="month", outside="missing"), pa.date32(), DATES
    ),
    "year from date": Case(days(date(1582, 1, 1), date(2020, 1, 1), granularity="year", bins=7), pa.date32(), DATES),
    "date from timestamp": Case(
        days(date(1960, 1, 1), date(2030, 1, 1), time_zone="America/Sao_Paulo", bins=100_000),
        pa.timestamp("us", "UTC"),
        INSTANTS,
    ),
    "date from timestamp, east": Case(
        days(date(2018, 11, 1), date(2018, 11, 9), time_zone="Pacific/Auckland"), pa.timestamp("us", "UTC"), INSTANTS
    ),
    "date from timestamp without zone": Case(
        days(date(2018, 11, 1), date(2018, 11, 9), time_zone="Pacific/Auckland"), pa.timestamp("us"), LOCALS
    ),
}


@pytest.fixture(params=["UTC", pytest.param("America/Sao_Paulo", marks=pytest.mark.slow), "Pacific/Apia"])
def session_zone(spark: SparkSession, request: pytest.FixtureRequest) -> Iterator[str]:
    """The session's time zone, put back afterwards."""
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.sql(f"SET TIME ZONE '{request.param}'")
    yield request.param
    spark.sql(f"SET TIME ZONE '{before}'")


@pytest.fixture(params=["true", "false"], ids=["ansi", "not ansi"])
def ansi(spark: SparkSession, request: pytest.FixtureRequest) -> Iterator[str]:
    """ANSI mode, put back afterwards."""
    before = spark.conf.get("spark.sql.ansi.enabled")
    spark.sql(f"SET spark.sql.ansi.enabled = {request.param}")
    yield request.param
    spark.sql(f"SET spark.sql.ansi.enabled = {before}")


def parquet(spark: SparkSession, file: Path, columns: Sequence[tuple[pa.DataType, Sequence[object]]]) -> DataFrame:
    """Columns c0, c1, ... and a row number."""
    rows = max(len(cells) for _, cells in columns)
    arrays = [pa.array([*cells, *[None] * (rows - len(cells))], type=kind) for kind, cells in columns]
    names = [f"c{place}" for place in range(len(arrays))]
    pq.write_table(pa.table([*arrays, pa.array(range(rows))], names=[*names, "unit"]), file)
    return spark.read.parquet(str(file))


def encoded(rows: DataFrame, books: dict[str, CodeBook]) -> tuple[dict[str, np.ndarray], pa.Table]:
    """Codes by column, in row order, and the whole table."""
    packing = Packing.of(books)
    table = encode(rows, books, packing).orderBy("unit").toArrow()
    codes = {}
    for slot in packing.slots:
        words = table.column(word_column(slot.word)).to_numpy()
        codes[slot.name] = (words >> slot.shift) & ((1 << slot.bits) - 1)
    return codes, table


@pytest.mark.connect
def test_spark_encodes_as_the_code_book(spark: SparkSession, tmp_path: Path, session_zone: str, ansi: str) -> None:
    books = {name: CodeBook(name, case.attribute) for name, case in CASES.items()}
    frame = parquet(spark, tmp_path / "x.parquet", [(case.kind, case.cells) for case in CASES.values()])
    collated = {f"c{place}": case.collation for place, case in enumerate(CASES.values()) if case.collation is not None}
    columns = [F.collate(F.col(n), collated[n]).alias(n) if n in collated else F.col(n) for n in frame.columns]
    codes, table = encoded(frame.select(*columns), books)
    wrong = []
    for place, (name, case) in enumerate(CASES.items()):
        book = books[name]
        for row, cell in enumerate(case.cells):
            if codes[name][row] != book.code_of(cell):
                wrong.append((name, cell, int(codes[name][row]), book.code_of(cell)))
            if isinstance(case.attribute, Numeric | Date):
                q = table.column(quantum_column(place))[row].as_py()
                present = table.column(present_column(place))[row].as_py()
                if (q, present) != (book.quantum_of(cell), int(book.is_present(cell))):
                    wrong.append((name, cell, (q, present), book.quantum_of(cell)))
    assert not wrong, "\n".join(map(str, wrong))


HOSTILE = st.one_of(
    st.text(max_size=8),
    st.text(alphabet="0123456789+-.,eEdDfFxXpPNaInity \t\n\x7f", max_size=10),
    st.text(alphabet="0123456789-T:Z+ /\n", max_size=24),
    st.from_regex(r"[ ]?[+-]?[0-9]{0,3}[.,]?[0-9]{0,3}([eE][+-]?[0-9]{1,3})?[dDfFlL]?[ \n]?", fullmatch=True),
    st.from_regex(
        r"[ +-]?[0-9]{4,5}-[0-1]?[0-9]-[0-3]?[0-9]([T ][0-2][0-9]:[0-6][0-9](:[0-9]{2})?(Z|[+-][0-9]{2})?)?[ \n]?",
        fullmatch=True,
    ),
    st.from_regex(r"(19|20|00)[0-9]{2}(0|1)[0-9][0-3][0-9]", fullmatch=True),
    st.sampled_from("aAäÄ\u00e4\u0130\u0131\u017f\u212a\u03c3\u03c2\u1e9e\ufffd\U0001f600").map(lambda c: f" {c}"),
)
HOSTILE_BOOKS = {
    "number": number("0", "100", "0.5", missing=("9",)),
    "comma": number("0", "100", "0.5", decimal=",", outside="missing"),
    "day": days(date(1950, 1, 1), date(2020, 1, 1)),
    "month": days(date(1950, 1, 1), date(2020, 1, 1), granularity="month"),
    "year": days(date(1, 1, 1), date(9999, 1, 1), granularity="year", outside="missing"),
    "digits": days(date(1900, 1, 1), date(2099, 1, 1), format="yyyyMMdd"),
    "short": days(date(1900, 1, 1), date(2099, 1, 1), format="d/M/yyyy"),
    "excel": days(date(1900, 1, 1), date(2099, 1, 1), format="excel"),
    "category": Categorical(values=("a", "ä", "\u0131", "K"), trim=True, case="fold", normalise=True, missing=("0",)),
    "boolean": Boolean(),
}


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(texts=st.lists(HOSTILE, min_size=200, max_size=400))
def test_hostile_texts_are_read_alike(spark: SparkSession, tmp_path: Path, texts: list[str]) -> None:
    """Whatever a text holds, Spark and the reference give it one code, and none fails."""
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    books = {name: CodeBook(name, attribute) for name, attribute in HOSTILE_BOOKS.items()}
    frame = parquet(spark, tmp_path / f"{len(list(tmp_path.iterdir()))}.parquet", [(pa.string(), texts)] * len(books))
    codes, _ = encoded(frame, books)
    wrong = [
        (name, text, int(codes[name][row]), book.code_of(text))
        for name, book in books.items()
        for row, text in enumerate(texts)
        if codes[name][row] != book.code_of(text)
    ]
    assert not wrong, "\n".join(map(str, wrong[:20]))


def test_every_code_is_reached() -> None:
    """The cases above reach every declared code of small books, `other` and `missing`."""
    for name in ("category from text", "category, 300 values", "boolean from text"):
        case = CASES[name]
        book = CodeBook(name, case.attribute)
        assert {book.code_of(cell) for cell in case.cells} == set(range(book.cells)), name


def test_the_last_dates_and_instants_of_the_engine(
    spark: SparkSession, tmp_path: Path, session_zone: str, ansi: str
) -> None:
    """Days at the ends of 32 bits, microseconds at the ends of 64: below and above, never an error."""
    day_ends, instant_ends = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
    books = {
        f"{granularity} {kind}": CodeBook("x", days(low, high, granularity=granularity, time_zone="Asia/Kolkata"))
        for kind in ("date", "timestamp", "local")
        for granularity in ("day", "month", "year")
        for low, high in [(date(1950, 1, 1), date(2050, 1, 1))]
    }
    types = {"date": (pa.int32(), pa.date32()), "timestamp": (pa.int64(), pa.timestamp("us", "UTC"))}
    arrays = []
    for name in books:
        kind = name.split()[1]
        raw, logical = types.get(kind, (pa.int64(), pa.timestamp("us")))
        arrays.append(pa.array(day_ends if kind == "date" else instant_ends, type=raw).cast(logical))
    names = [*(f"c{place}" for place in range(len(books))), "unit"]
    pq.write_table(pa.table([*arrays, pa.array([0, 1])], names=names), tmp_path / "x.parquet")
    codes, _ = encoded(spark.read.parquet(str(tmp_path / "x.parquet")), books)
    for name, book in books.items():
        assert codes[name].tolist() == [book.below, book.above], name


def test_the_integer_clip_holds_by_itself(spark: SparkSession, tmp_path: Path) -> None:
    """The bound of a sum rests on integers: with a limit set by hand, q keeps it although every double is in bounds."""
    attribute = number("-10", "10", "0.5")
    attribute.__dict__["fixed_point"] = replace(attribute.fixed_point, limit=5)
    frame = parquet(spark, tmp_path / "x.parquet", [(pa.float64(), (-10.0, 10.0, 0.0, 3.5))])
    _, table = encoded(frame, {"x": CodeBook("x", attribute)})
    assert table.column(quantum_column(0)).to_pylist() == [-5, 5, 0, 5]


ROUND: dict[str, tuple[Attribute, tuple[T.DataType, ...]]] = {
    "whole": (
        number("-50", "1000", "5", integer=True, bins=9),
        (
            T.ShortType(),
            T.IntegerType(),
            T.LongType(),
            T.FloatType(),
            T.DoubleType(),
            T.DecimalType(12, 2),
            T.StringType(),
        ),
    ),
    "real": (number("-1", "2", "0.1", bins=11), (T.FloatType(), T.DoubleType(), T.DecimalType(12, 3), T.StringType())),
    "halves": (number("0.25", "10000.25", "0.5", bins=40), (T.DoubleType(), T.DecimalType(20, 6), T.StringType())),
    "category": (Categorical(values=("1", "-2", "30"), other="8"), (T.StringType(), T.IntegerType(), T.LongType())),
    "by value": (
        Categorical(values=("1", "2.50", "0"), other="9.5"),
        (T.DoubleType(), T.FloatType(), T.DecimalType(9, 7)),
    ),
    "truths": (Categorical(values=("1", "0")), (T.BooleanType(),)),
    "sexes": (Boolean(true=("f", "2"), false=("m", "1")), (T.IntegerType(), T.DoubleType(), T.StringType())),
    "comma": (number("-1", "2", "0.1", bins=11, decimal=","), (T.StringType(), T.DoubleType())),
    "digits of a day": (
        days(date(2000, 1, 1), date(2001, 12, 31), format="yyyyMMdd", bins=3000),
        (T.IntegerType(), T.LongType(), T.DoubleType(), T.DecimalType(8, 0), T.StringType(), T.DateType()),
    ),
    "excel": (
        days(date(1900, 1, 1), date(1901, 12, 31), format="excel", bins=3000),
        (T.ShortType(), T.LongType(), T.DoubleType(), T.DecimalType(9, 3), T.StringType(), T.TimestampNTZType()),
    ),
    "folded": (Categorical(values=("Ja", "NEIN"), trim=True, case="fold", normalise=True), (T.StringType(),)),
    "labels": (Categorical(values=tuple(f"é{n}" for n in range(300))), (T.StringType(),)),
    "boolean": (Boolean(true=("Ja",), false=("nein", "no")), (T.BooleanType(), T.StringType())),
    "digits": (Boolean(), (T.IntegerType(), T.BooleanType())),
    "day": (
        days(date(2018, 1, 1), date(2019, 12, 31), time_zone="America/Sao_Paulo", bins=200),
        (T.DateType(), T.TimestampType(), T.TimestampNTZType(), T.StringType()),
    ),
    "month": (
        days(date(1950, 2, 3), date(2050, 1, 1), granularity="month", time_zone="Asia/Kolkata"),
        (T.DateType(), T.TimestampType(), T.StringType()),
    ),
    "year": (
        days(date(1, 1, 1), date(9999, 1, 1), granularity="year", bins=10_000),
        (T.DateType(), T.TimestampNTZType(), T.StringType()),
    ),
    "pattern": (days(date(2000, 1, 1), date(2003, 12, 31), format="MM/dd/yyyy", bins=3000), (T.StringType(),)),
    "short pattern": (days(date(2000, 1, 1), date(2001, 12, 31), format="d.M.yyyy", bins=3000), (T.StringType(),)),
}


def _places(attribute: Attribute) -> list[int]:
    if isinstance(attribute, Numeric | Date):
        return [*range(attribute.grid.count), OTHER, MISSING]
    return [*range(attribute.size), OTHER, MISSING]


def test_decoding_a_place_and_encoding_it_gives_its_code(
    spark: SparkSession, tmp_path: Path, session_zone: str
) -> None:
    """For every attribute kind and target type, every place; an undeclared value is NULL, or its label."""
    books = {f"{name} as {t.simpleString()}": CodeBook(name, a) for name, (a, types) in ROUND.items() for t in types}
    targets = [target for _, types in ROUND.values() for target in types]
    places = [_places(book.attribute) for book in books.values()]
    frame = parquet(spark, tmp_path / "x.parquet", [(pa.int64(), listed) for listed in places])
    values: list[Column] = [
        decode(book, F.col(f"c{place}"), targets[place]).alias(f"c{place}") for place, book in enumerate(books.values())
    ]
    decoded = frame.select(*values, "unit")
    assert [field.dataType for field in decoded.schema.fields[:-1]] == targets
    codes, _ = encoded(decoded, books)
    for place, (name, book) in enumerate(books.items()):
        labelled = isinstance(book.attribute, Categorical) and book.attribute.other is not None
        expected = [
            book.missing if where == OTHER and not labelled else book.code_of_place(where) for where in places[place]
        ]
        assert codes[name][: len(expected)].tolist() == expected, name
