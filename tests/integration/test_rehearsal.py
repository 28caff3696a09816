"""The rehearsal on a real session: what a release cannot hold is refused before the charge, all else is written.

The pure checks (`release.fitting`) have tests of their own; here the engine says the same, and what only it can know.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.sql import types as T

from synthward.conditions import Outlook, outlook_of, text_of
from synthward.domain.spec import Attribute, Boolean, Categorical, Date, Domain, Numeric
from synthward.errors import EnvironmentProblem, SourceError
from synthward.release import table
from synthward.release.fitting import misfits
from synthward.run import rehearsal
from synthward.run.rehearsal import Script, rehearse
from synthward.store.places import TableRef, Zone
from trial import TestSite, charges, ready, run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def number(low: str, high: str, step: str = "1", **more: Any) -> Numeric:
    return Numeric(bounds=(Decimal(low), Decimal(high)), resolution=Decimal(step), **more)


def script(columns: Mapping[str, tuple[Attribute, T.DataType]], **more: Any) -> Script:
    domain = Domain(version=1, attributes={name: attribute for name, (attribute, _) in columns.items()})
    types = {name: data_type for name, (_, data_type) in columns.items()}
    given = {"keys": {}, "rows": 1000, **more}
    return Script.of(domain, types, given["keys"], given["rows"])


DATES = (dt.date(2018, 1, 1), dt.date(2020, 12, 31))

HELD: dict[str, tuple[Attribute, T.DataType]] = {
    **{
        f"float{place}": (number(low, high, step), T.FloatType())
        for place, (low, high, step) in enumerate(
            [("0.7", "30.1", "0.1"), ("0.1", "20", "0.1"), ("-0.3", "0.7", "0.1"), ("0.05", "1.15", "0.05")]
        )
    },
    "float_missing": (number("0.7", "30.1", "0.1", outside="missing", sentinels=(Decimal("9.9"),)), T.FloatType()),
    "float_required": (number("0.7", "30.1", "0.1", required=True), T.FloatType()),
    "double": (number("0.1", "99.9", "0.1"), T.DoubleType()),
    "byte": (number("-128", "127"), T.ByteType()),
    "short": (number("-32768", "32767"), T.ShortType()),
    "int": (number("-2147483648", "-1", required=True), T.IntegerType()),
    "long": (number("-9007000000000000", "9007000000000000", "1000000000"), T.LongType()),
    "decimal": (number("-9.95", "9.95", "0.05"), T.DecimalType(3, 2)),
    "wide_decimal": (number("-99999999.99", "-9999.99", "99.99"), T.DecimalType(10, 2)),
    "bit": (number("0", "1"), T.BooleanType()),
    "text_number": (number("0", "20000000", "0.5"), T.StringType()),
    "text_fine": (number("0", "0.01", "0.0001"), T.StringType()),
    "flag": (Boolean(), T.BooleanType()),
    "flag_int": (Boolean(), T.IntegerType()),
    "flag_text": (Boolean(true=("Y",), false=("N",)), T.StringType()),
    "sex": (Categorical(values=("F", "M"), other="x"), T.StringType()),
    "sex_required": (Categorical(values=("F", "M"), required=True), T.StringType()),
    "code_int": (Categorical(values=("1", "2", "300"), other="0"), T.IntegerType()),
    "code_value": (Categorical(values=("1", "2.0", "3e1"), other="0"), T.IntegerType()),
    "flag_two": (Boolean(true=("2.0",), false=("1",)), T.IntegerType()),
    "clipped": (number("-50", "50", "5", outside="clip"), T.ShortType()),
    "text_comma": (number("0", "20000000", "0.5", decimal=","), T.StringType()),
    "digits_of_a_day": (Date(bounds=DATES, format="yyyyMMdd"), T.IntegerType()),
    "serial": (Date(bounds=DATES, format="excel"), T.DoubleType()),
    "folded": (Categorical(values=("Ja", "NEIN"), other="?", trim=True, case="fold"), T.StringType()),
    "code_date": (Categorical(values=("2020-01-01", "2021-01-01")), T.DateType()),
    "day": (Date(bounds=DATES), T.DateType()),
    "month": (Date(bounds=DATES, granularity="month"), T.DateType()),
    "instant": (Date(bounds=DATES, time_zone="America/Sao_Paulo"), T.TimestampType()),
    "local": (Date(bounds=DATES, granularity="year"), T.TimestampNTZType()),
    "text_day": (Date(bounds=DATES, format="MM/dd/yyyy"), T.StringType()),
    "a name, with `signs`": (number("0", "9"), T.LongType()),
}


@pytest.mark.connect
def test_what_every_type_can_hold_is_written_and_read_back(spark: SparkSession, tmp_path: Path) -> None:
    """Columns of every type at the very ends of what it holds, with fresh keys that just fit, in one table."""
    keys = {
        "k8": T.ByteType(),
        "kd": T.DecimalType(3, 0),
        "kf": T.FloatType(),
        "kt": T.StringType(),
        "kb": T.BinaryType(),
    }
    told = script(HELD, keys=keys, rows=128)
    assert misfits(told.books, told.types, told.keys, told.rows) == []
    folder = tmp_path / "zone"
    rehearse(spark, told, Zone(str(folder)).table("rehearsal_r1"), told.types)
    assert not list(folder.glob("rehearsal*"))


UNLIKE: dict[str, tuple[Attribute, T.DataType, str]] = {
    "leading zeros": (Categorical(values=("01", "02")), T.IntegerType(), "'01' is written as '1'"),
    "labels of doubles": (Categorical(values=("a", "2")), T.DoubleType(), "'a' is written as NULL"),
    "wide byte": (number("0", "150"), T.ByteType(), "cannot be made"),
    "half of an integer": (number("0", "10", "0.5"), T.IntegerType(), "is written as '0'"),
    "narrow decimal": (number("0", "9999.9", "0.1"), T.DecimalType(4, 1), "cannot be made"),
    "coarse decimal": (number("0", "9", "0.05"), T.DecimalType(3, 1), "is written as"),
    "coarse float": (number("16777216", "16777316"), T.FloatType(), "is written as"),
    "yes on boolean": (Categorical(values=("Y", "N")), T.BooleanType(), "'Y' is written as 'true'"),
    "flag": (Boolean(true=("Y",), false=("N",)), T.IntegerType(), "is written as '1'"),
    "month lost": (Date(bounds=DATES, format="yyyy"), T.StringType(), "is written as '2018'"),
}


@pytest.mark.connect
def test_the_engine_finds_by_itself_what_the_pure_checks_find(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All columns at once, each with its type; without the pure checks the written table shows the same."""
    told = script({name: (attribute, data_type) for name, (attribute, data_type, _) in UNLIKE.items()})
    found = misfits(told.books, told.types, {}, 1000)
    named = {name for name in UNLIKE if any(f"column '{name}'" in fault for fault in found)}
    assert set(UNLIKE) - named <= {"leading zeros", "yes on boolean"}
    monkeypatch.setattr(rehearsal, "misfits", lambda *_: [])
    for group in (("wide byte", "narrow decimal"), tuple(set(UNLIKE) - {"wide byte", "narrow decimal"})):
        part = script({name: UNLIKE[name][:2] for name in group})
        with pytest.raises(SourceError, match="Nothing was spent") as refused:
            rehearse(spark, part, TableRef(path=str(tmp_path / "r")), {})
        lines = str(refused.value).splitlines()[1:]
        for name in group:
            [line] = [text for text in lines if f"column '{name}'" in text]
            assert UNLIKE[name][2] in line
        assert not (tmp_path / "r").exists()


@pytest.mark.connect
def test_a_time_zone_that_java_does_not_know_is_refused_by_column(spark: SparkSession, tmp_path: Path) -> None:
    seen = Date(bounds=DATES, time_zone="Nowhere/Land")
    told = script({"seen": (seen, T.TimestampType()), "left": (seen, T.TimestampType()), "sex": HELD["sex"]})
    with pytest.raises(SourceError, match="2 found") as refused:
        rehearse(spark, told, TableRef(path=str(tmp_path / "r")), told.types)
    assert "column 'seen': this Java does not know the time zone Nowhere/Land" in str(refused.value)
    assert "column 'left'" in str(refused.value)
    # Text and dates never need a zone.
    quiet = script({"seen": (seen, T.DateType())})
    rehearse(spark, quiet, TableRef(path=str(tmp_path / "r")), quiet.types)


def test_a_collation_of_the_source_is_asked_of_the_engine(spark: SparkSession) -> None:
    known, unknown = T.StringType("UNICODE_CI"), T.StringType()
    unknown.collation = "NOWHERE_CI"  # as a newer engine may have written it
    found = rehearsal.collation_faults(spark, {"a": known, "b": T.StringType(), "c": unknown})
    [fault] = found
    assert "column 'c' is STRING COLLATE NOWHERE_CI" in fault


def test_a_place_that_cannot_be_written_is_no_fault_of_a_column(spark: SparkSession, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")
    told = script({"sex": HELD["sex"]})
    waits: list[float] = []
    with pytest.raises(EnvironmentProblem, match="could not be rehearsed"):
        rehearse(spark, told, TableRef(path=str(blocked / "r")), told.types, waits.append)


@pytest.mark.parametrize(
    ("expression", "outlook"),
    [
        ("CAST('x' AS INT)", Outlook.DETERMINISTIC),
        ("CAST(300 AS TINYINT)", Outlook.DETERMINISTIC),
        ("1 DIV 0", Outlook.DETERMINISTIC),
        ("no_such_column", Outlook.DETERMINISTIC),
        ("raise_error('x')", Outlook.UNKNOWN),
    ],
)
def test_failures_of_the_engine_are_classified(spark: SparkSession, expression: str, outlook: Outlook) -> None:
    with pytest.raises(Exception) as failed:  # noqa: PT011 - Spark's own
        spark.range(1).selectExpr(expression).collect()
    assert outlook_of(failed.value) is outlook


def test_a_broken_constraint_is_deterministic_and_a_quoted_text_is_bounded(spark: SparkSession, tmp_path: Path) -> None:
    rows = spark.range(3).selectExpr("CAST(id AS INT) AS n", "id AS _row")
    with pytest.raises(Exception) as failed:  # noqa: PT011 - Spark's own
        table.stage(rows, TableRef(path=str(tmp_path / "t")), {"small": "n < 2"}, {})
    assert outlook_of(failed.value) is Outlook.DETERMINISTIC
    shown = text_of(failed.value)
    assert "small" in shown
    assert "\n" not in shown
    assert "\tat " not in shown
    assert len(shown) < 2100


FLOATS = {"crp": {"type": "numeric", "bounds": [0.7, 30.1], "resolution": 0.1, "bins": 295, "outside": "missing"}}


def test_a_float_column_whose_bounds_are_no_floats_is_published(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.domain(FLOATS)
    rows = [(1000 + k, 0.7 if k % 2 else 30.1) for k in range(40)]
    site.write(spark, rows, "pid BIGINT, crp FLOAT")
    opened = site.open(spark)
    release = run(opened, site.request(columns=["crp"], synthesizer={"name": "independent"}))
    found = {row[0] for row in opened.rows(release.release_id).select("crp").distinct().collect()}
    assert {float(np.float32(0.7)), float(np.float32(30.1))} <= found
    assert not (tmp_path / "zones" / "protected").joinpath(f"rehearsal_{release.release_id}").exists()


REFUSED: dict[str, tuple[dict[str, Any], str, list[tuple[Any, ...]], dict[str, Any], tuple[str, ...]]] = {
    "types": (
        {
            "a": {"type": "numeric", "integer": True, "bounds": [0, 150]},
            "b": {"type": "numeric", "bounds": [0, 10], "resolution": 0.5},
            "c": {"type": "numeric", "bounds": [0, 10], "resolution": 0.05},
            "d": {"type": "categorical", "values": ["1", "2"], "other": "unknown"},
        },
        "pid BIGINT, a TINYINT, b INT, c DECIMAL(3,1), d INT",
        [(1, 7, 3, Decimal("1.5"), 1)],
        {"columns": ["a", "b", "c", "d"]},
        (
            "column 'a' is TINYINT: bounds [0, 150] do not fit, it holds -128 to 127",
            "column 'b' is INT: resolution 0.5",
            "column 'c' is DECIMAL(3,1)",
            "column 'd' is INT: it cannot hold label 'unknown'",
        ),
    ),
    "keys": (
        {"sex": {"type": "categorical", "values": ["F", "M"]}},
        "pid BIGINT, visit TINYINT, day DATE, sex STRING",
        [(1, 1, dt.date(2020, 1, 1), "F")],
        {"columns": ["sex"], "output": {"keys": "fresh", "key_columns": ["visit", "day"]}},
        ("key column 'visit' is TINYINT: the fresh key of the last of 200 rows", "key column 'day' is DATE"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_release_cannot_hold_is_refused_before_the_charge(
    spark: SparkSession, tmp_path: Path, name: str
) -> None:
    attributes, schema, rows, changes, words = REFUSED[name]
    site = TestSite(tmp_path)
    site.domain(attributes)
    site.write(spark, rows, schema)
    opened = site.open(spark)
    request = ready(opened, site.request(**changes))
    with pytest.raises(SourceError, match="Nothing was spent") as refused:
        opened.run(request)
    for word in words:
        assert word in str(refused.value)
    assert charges(opened) == 0
    assert opened.result is not None
    assert (opened.result.status, opened.result.retryable) == ("invalid", False)
    assert opened.history(opened.result.run_id or "") == ()
    [tried] = opened.runs.of(opened.result.run_id or "")
    assert (tried["status"], tried["code"], tried["retryable"]) == ("invalid", 2, False)
    assert words[0] in tried["message"]
