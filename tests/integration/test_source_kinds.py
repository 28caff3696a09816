"""Kinds of files that hospitals have: odd types, several types, padded texts, unlike keys, paths like patterns."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from synthward.errors import SourceError
from synthward.sources import parquet
from synthward.sources import reading as source
from synthward.sources.patient import same_value
from synthward.spec.request import Source
from trial import CSV, DOMAIN, TestSite, exact_answers, merged, plan_of, visits

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect

S = 2**16
PARQUET = {"format": "parquet"}


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    return TestSite(tmp_path)


def put(site: TestSite, name: str, columns: dict[str, Any], **options: Any) -> Path:
    """Writes one Parquet file."""
    path = site.data() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


def pinned(spark: SparkSession, site: TestSite, path: str = "data/visits", **csv: Any) -> source.Pinned:
    """A source by itself, pinned."""
    kind: dict[str, Any] = {"format": "csv", "csv": csv} if csv else PARQUET
    plan = plan_of(site, site.request(source=merged(CSV, {**kind, "path": path}) if csv else {**kind, "path": path}))
    return source.pin(spark, plan.file).tables[0]


FAR = {"ms": 2**62, "us": 2**62, "ns": 2**62}


def test_columns_that_nobody_asked_for_never_block_and_far_instants_are_instants(
    spark: SparkSession, site: TestSite
) -> None:
    """Unrequested: nanoseconds, a time, a list, types that differ. Requested: every unit, with far cells."""
    first = {"pid": [1, 2], "sex": ["F", "M"], "age": pa.array([3, 4], pa.int32())}
    odd = {
        "loaded_at": pa.array([1, 2], pa.timestamp("ns")),
        "clock": pa.array([1, 2], pa.time64("us")),
        "site": pa.array([1, 2], pa.int64()),
        "tags": pa.array([["a"], []], pa.list_(pa.string())),
        "uuid": pa.array([b"a" * 16, b"b" * 16], pa.binary(16)),
    }
    instants = {
        f"seen_{unit}{zone or ''}": pa.array([86_400 * per, sign * FAR[unit]], pa.timestamp(unit, zone))
        for unit, per in (("ms", 10**3), ("us", 10**6), ("ns", 10**9))
        for zone, sign in ((None, 1), ("UTC", -1))
    }
    put(site, "0.parquet", {**first, **odd, **instants})
    put(site, "1.parquet", {**first, "site": ["a", "b"], **{k: pa.array([None, None], pa.null()) for k in instants}})
    frame = source.open_table(spark, pinned(spark, site), ["pid", *instants])
    types = {field.name: field.dataType.simpleString() for field in frame.schema}
    assert types == {
        "pid": "bigint",
        **{name: "timestamp" if name.endswith("UTC") else "timestamp_ntz" for name in instants},
    }
    texts = [F.when(F.col(name).isNotNull(), F.year(name)).alias(name) for name in instants]
    found = frame.select("pid", *texts).collect()
    assert len(found) == 4
    for name in instants:
        near, far = sorted((row[name] for row in found if row[name] is not None), key=lambda year: abs(year - 1970))
        assert near == 1970
        # Nanoseconds in 64 bits end in the year 2262.
        assert abs(far - 1970) > (140 if "_ns" in name else 100_000), name


def test_a_far_cell_in_milliseconds_is_a_far_date_like_any_other(spark: SparkSession, site: TestSite) -> None:
    bounds = {"type": "date", "bounds": [dt.date(2019, 1, 1), dt.date(2021, 12, 31)], "bins": 4}
    site.domain({"seen": bounds})
    day = int(dt.datetime(2020, 1, 1, tzinfo=dt.UTC).timestamp()) * 1000
    put(site, "a.parquet", {"pid": [1, 2], "seen": pa.array([day, 2**62], pa.timestamp("ms"))})
    answers = exact_answers(spark, plan_of(site, site.request(source=PARQUET, columns=["seen"])))
    assert answers["population"] == [2 * S]
    assert sum(answers["marginal(seen)"]) == 2 * S


def test_int96_is_read_to_its_end(spark: SparkSession, site: TestSite) -> None:
    put(
        site,
        "a.parquet",
        {"pid": [1], "seen": pa.array([dt.datetime(2020, 5, 5, tzinfo=dt.UTC)], pa.timestamp("ns"))},
        use_deprecated_int96_timestamps=True,
    )
    put(site, "b.parquet", {"pid": [2], "seen": pa.array([1], pa.timestamp("ms", "UTC"))})
    frame = source.open_table(spark, pinned(spark, site), ["seen"])
    assert sorted(row[0] for row in frame.select(F.year("seen")).collect()) == [1970, 2020]


@pytest.mark.parametrize(
    ("kinds", "common"),
    [
        (["INT", "BIGINT"], "bigint"),
        (["VOID", "DATE"], "date"),
        (["VOID"], "string"),
        (["FLOAT", "DOUBLE"], "double"),
        (["FLOAT"], "float"),
        (["BIGINT", "DOUBLE"], "double"),
        (["INT", "DECIMAL(20,0)"], "decimal(20,0)"),
        (["DECIMAL(5,2)", "DECIMAL(10,1)"], "decimal(11,2)"),
        (["BIGINT", "DECIMAL(38,10)"], "decimal(38,10)"),
        (["BIGINT", "DECIMAL(38,20)"], None),
        (["CHAR(3)", "STRING"], "string"),
        (["TIMESTAMP(MILLIS)", "TIMESTAMP(NANOS)", "INT96"], "timestamp"),
        (["TIMESTAMP(MILLIS)", "TIMESTAMP_NTZ(MILLIS)"], None),
        (["DATE", "TIMESTAMP(MICROS)"], None),
        (["STRING", "INT"], None),
        (["TIME"], None),
    ],
)
def test_types_are_widened_by_public_rules(kinds: list[str], common: str | None) -> None:
    for order in (kinds, kinds[::-1]):
        found = parquet.common_type(order)
        assert (None if found is None else found.simpleString()) == common


def test_types_of_files_are_widened_or_refused_with_column_files_and_types(spark: SparkSession, site: TestSite) -> None:
    put(site, "0.parquet", {"pid": [1], "sex": ["F"], "age": pa.array([3], pa.int32()), "site": [1], "at": ["x"]})
    put(
        site,
        "w=a/1.parquet",
        {"pid": [2], "sex": ["F"], "age": [2.0], "site": [b"x"], "at": pa.array([1], pa.time64("us"))},
    )
    answers = exact_answers(spark, plan_of(site, site.request(source=PARQUET)))
    assert answers["population"] == [2 * S]
    assert answers["presence(age)"] == [2 * S]
    put(site, "w=b/1.parquet", {"pid": [2], "same_name": [1]})
    put(site, "w=c/1.parquet", {"pid": [2], "same_name": ["x"]})
    with pytest.raises(SourceError) as refused:
        source.open_table(spark, pinned(spark, site), ["pid", "site", "at", "same_name"])
    assert "column 'same_name' is BIGINT in visits/w=.../1.parquet and STRING in visits/w=" in str(refused.value)
    assert "column 'site' is BIGINT in visits/0.parquet and BINARY in visits/w=.../1.parquet" in str(refused.value)
    assert "column 'at' is STRING in visits/0.parquet and TIME in visits/w=.../1.parquet" in str(refused.value)


def test_a_column_is_a_folder_everywhere_or_nowhere(spark: SparkSession, site: TestSite) -> None:
    """Otherwise one patient's folder would decide where all others' values come from."""
    put(site, "sex=F/0.parquet", {"pid": [1], "age": [3]})
    put(site, "1.parquet", {"pid": [2], "sex": ["F"], "age": [2]})
    with pytest.raises(SourceError, match=r"column 'sex' is a folder in some files and a column in visits/1.parquet"):
        source.open_table(spark, pinned(spark, site), ["sex"])


def test_a_name_in_another_case_is_not_taken_for_a_missing_column(spark: SparkSession, site: TestSite) -> None:
    put(site, "0.parquet", {"pid": [1], "sex": ["F"]})
    put(site, "1.parquet", {"pid": [2], "SEX": ["F"]})
    with pytest.raises(SourceError, match=r"column 'sex' is written in other upper and lower case in visits/1.parquet"):
        source.open_table(spark, pinned(spark, site), ["sex"])


def test_footers_on_the_executors_say_the_same(
    spark: SparkSession, site: TestSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(site, "0.parquet", {"pid": [1], "seen": pa.array([1], pa.timestamp("ms"))})
    put(site, "1.parquet", {"pid": np.arange(5000), "other": ["x" * 50] * 5000})
    one = pinned(spark, site)
    files = parquet.list_files(spark, one.source)
    here = parquet._footers(spark, one.source, files, ("pid", "seen"))
    monkeypatch.setattr(parquet, "_seen_here", lambda _: None)
    assert parquet._footers(spark, one.source, files, ("pid", "seen")) == here
    assert [fact["kinds"] for fact in here] == [
        {"pid": ["BIGINT", "pid"], "seen": ["TIMESTAMP_NTZ(MILLIS)", "seen"]},
        {"pid": ["BIGINT", "pid"]},
    ]


@pytest.mark.parametrize("name", ["extract [2024]", "a{b,c}*?", "sp ace+100%"])
def test_a_path_is_literal(spark: SparkSession, site: TestSite, name: str) -> None:
    table = pa.table({"pid": [1, 2], "sex": ["F", "M"], "age": [1, 2]})
    for folder in (site.data() / name, site.data() / "extract 2", site.data() / "ab"):
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / "t.parquet")
        (folder / "t.csv").write_text("pid,sex,age\n1,F,1\n2,M,2\n", encoding="utf-8")
    for kind, file in ((PARQUET, "t.parquet"), (CSV, "t.csv")):
        path = site.request(source={**kind, "path": f"data/visits/{name}/{file}"})
        assert exact_answers(spark, plan_of(site, path))["population"] == [2 * S]


def test_a_delta_path_is_literal(spark: SparkSession, site: TestSite) -> None:
    site.write(spark, name="extract [2024]")
    path = site.request(source={"path": "data/extract [2024]"})
    assert exact_answers(spark, plan_of(site, path))["population"] == [12 * S]


@pytest.mark.parametrize("name", ["_t.parquet", ".t.parquet"])
def test_a_hidden_file_is_said_to_be_hidden(spark: SparkSession, site: TestSite, name: str) -> None:
    put(site, name, {"pid": [1], "sex": ["F"], "age": [1]})
    with pytest.raises(SourceError, match=r"Spark hides files whose names begin with _ or"):
        pinned(spark, site, f"data/visits/{name}")


def test_char_is_compared_without_its_padding(spark: SparkSession, site: TestSite) -> None:
    spark.sql(f"CREATE TABLE delta.`{site.data()}` (pid CHAR(9), sex CHAR(5), age INT) USING delta").collect()
    spark.sql(f"INSERT INTO delta.`{site.data()}` VALUES ('a', 'F', 1), ('a', 'F', 2), ('b', 'M', 3)").collect()
    answers = exact_answers(spark, plan_of(site, site.request()))
    assert answers["population"] == [2 * S]
    assert answers["marginal(sex)"] == [2 * S, S, 0, 0]


KEYS: list[tuple[str, str, str, str, bool | None]] = [
    ("DOUBLE", "1", "BIGINT", "1", True),
    ("DOUBLE", "1.5", "BIGINT", "1", False),
    ("DOUBLE", "1e300", "BIGINT", "1", False),
    ("DOUBLE", "9007199254740993", "BIGINT", "9007199254740992", True),
    ("DOUBLE", "cast('NaN' as double)", "DOUBLE", "cast('NaN' as double)", False),
    ("DOUBLE", "-0.0", "DOUBLE", "0.0", True),
    ("DECIMAL(12,2)", "1.00", "BIGINT", "1", True),
    ("DECIMAL(12,2)", "1.50", "BIGINT", "1", False),
    ("DECIMAL(38,0)", "99999999999999999999", "BIGINT", "1", False),
    ("DECIMAL(12,2)", "100.00", "INT", "100", True),
    ("STRING", "'1'", "BIGINT", "1", True),
    ("STRING", "'1.0'", "BIGINT", "1", True),
    ("STRING", "'01'", "BIGINT", "1", False),
    ("STRING", "'-7.00'", "DOUBLE", "-7", True),
    ("STRING", "'1\\n'", "BIGINT", "1", False),
    ("STRING", "'1.0'", "STRING", "'1'", False),
    ("STRING", "'2020-01-01'", "DATE", "'2020-01-01'", True),
    ("SMALLINT", "7", "BIGINT", "7", True),
    ("BOOLEAN", "true", "INT", "1", None),
    ("DATE", "'2020-01-01'", "BIGINT", "1", None),
    ("TIMESTAMP", "'2020-01-01'", "STRING", "'2020-01-01'", None),
    ("BINARY", "X'41'", "STRING", "'A'", True),
]


def test_keys_are_compared_by_value_or_refused_by_type(spark: SparkSession) -> None:
    row, expected = [], []
    for ours_type, ours, theirs_type, theirs, equal in KEYS:
        one = F.expr(f"CAST({ours} AS {ours_type})")
        other = F.expr(f"CAST({theirs} AS {theirs_type})")
        types = spark.range(1).select(one.alias("a"), other.alias("b")).schema
        found = same_value(one, types["a"].dataType, other, types["b"].dataType)
        assert (found is None) == (equal is None), (ours_type, theirs_type)
        if found is not None:
            row.append(F.coalesce(found, F.lit(False)).alias(f"x{len(row)}"))
            expected.append(equal)
    assert list(spark.range(1).select(*row).collect()[0]) == expected


def test_a_foreign_key_that_pandas_made_a_double_finds_its_patient(spark: SparkSession, site: TestSite) -> None:
    """A column of whole numbers with one gap is DOUBLE in pandas."""
    rows = visits()
    site.write(spark, [(float(pid), sex, age) for pid, sex, age in rows], "stay DOUBLE, sex STRING, age INT")
    site.write(spark, [(pid, pid) for pid in {row[0] for row in rows}], "stay BIGINT, pid BIGINT", name="stays")
    step = [{"source": {"format": "delta", "path": "data/stays"}, "on": {"stay": "stay"}}]
    answers = exact_answers(spark, plan_of(site, site.request(patient={"path": step})))
    assert answers["population"] == [12 * S]


def test_keys_of_kinds_without_a_common_value_are_refused(spark: SparkSession, site: TestSite) -> None:
    site.write(spark, [], "stay BOOLEAN, sex STRING, age INT")
    site.write(spark, [], "stay BIGINT, pid BIGINT", name="stays")
    step = [{"source": {"format": "delta", "path": "data/stays"}, "on": {"stay": "stay"}}]
    with pytest.raises(SourceError, match=r"path: column 'stay' is boolean and column 'stay' of .* is bigint"):
        exact_answers(spark, plan_of(site, site.request(patient={"path": step})))


def test_every_csv_file_is_read_by_its_own_header_and_no_message_tells_what_it_found(
    spark: SparkSession, site: TestSite
) -> None:
    site.domain(
        {**DOMAIN["attributes"], "low": {"type": "numeric", "integer": True, "bounds": [0, 300], "edges": [100]}}
    )
    site.data().mkdir(parents=True)
    (site.data() / "2019.csv").write_text("pid,age,low\n1,90,150\n2,90,150\n", encoding="utf-8")
    (site.data() / "2020.csv").write_text("low,age,pid\n150,90,3\nlow,age,pid\n", encoding="utf-8")
    answers = exact_answers(spark, plan_of(site, site.request(source=CSV, columns=["age", "low"])))
    assert answers["population"] == [3 * S]
    assert answers["marginal(low)"][:2] == [0, 3 * S]
    (site.data() / "2021.csv").write_text("MRN-00042,Jane Q. Public,53\n7,Jim,3\n", encoding="utf-8")
    with pytest.raises(SourceError) as refused:
        source.open_table(spark, pinned(spark, site, records="one_per_line"), ["pid", "age", "low"])
    assert "column 'low' is not in the header of visits/2021.csv" in str(refused.value)
    assert not any(word in str(refused.value) for word in ("MRN", "Jane", "53"))


def test_encodings_without_a_mark_are_refused(spark: SparkSession, site: TestSite) -> None:
    site.data().mkdir(parents=True)
    (site.data() / "a.csv").write_bytes("pid,sex,age\n1,F,1\n".encode("utf-16-le"))
    with pytest.raises(SourceError, match=r"visits/a.csv has no byte order mark"):
        source.open_table(spark, pinned(spark, site, encoding="UTF-16", records="one_per_line"), ["pid"])


def test_decimals_keep_their_digits(spark: SparkSession, site: TestSite) -> None:
    put(site, "0.parquet", {"x": pa.array([Decimal("1.25")], pa.decimal128(5, 2))})
    put(site, "1.parquet", {"x": pa.array([2**63], pa.uint64())})
    found = source.open_table(spark, pinned(spark, site), ["x"]).collect()
    assert sorted(row[0] for row in found) == [Decimal("1.25"), Decimal(2**63)]


def test_a_table_is_opened_where_only_the_source_says_so() -> None:
    named = Source(format="parquet", table="a.b", snapshot="materialize")
    assert source.format_of(named).__name__.endswith("catalog")
    assert source.format_of(Source(format="delta", table="a.b")).__name__.endswith("delta")
