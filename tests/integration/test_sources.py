"""Sources: formats, names, keys, joins and pins give the same exact answers, whatever the data are written in."""

from __future__ import annotations

import gzip
import re
import shutil
import traceback
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.domain.codes import codebooks
from synthward.errors import SourceError
from synthward.sources import reading as source
from synthward.sources.patient import source_rows
from trial import (
    CSV,
    DOMAIN,
    VISITS,
    TestSite,
    exact_answers,
    merged,
    plan_of,
    visits,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect

S = 2**16


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    return TestSite(tmp_path)


@pytest.fixture(scope="module")
def expected(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """Answers for `visits()` in a plain Delta table."""
    site = TestSite(tmp_path_factory.mktemp("plain"))
    site.write(spark)
    return exact_answers(spark, plan_of(site, site.request()))


def test_the_plain_answers_are_right(expected: dict[str, list[int]]) -> None:
    rows = visits()
    patients = {row[0] for row in rows}
    assert expected["population"] == [len(patients) * S]
    by_patient = {p: [row for row in rows if row[0] == p] for p in patients}
    women = sum(min(2, len(own)) * S for own in by_patient.values() if own[0][1] == "F" and len(own) <= 2)
    women += sum(2 * S // 3 * 3 for own in by_patient.values() if own[0][1] == "F" and len(own) == 3)
    assert expected["marginal(sex)"][0] == women
    assert expected["marginal(sex)"][2:] == [0, 0]


def test_parquet(spark: SparkSession, site: TestSite, expected: dict[str, list[int]]) -> None:
    site.write(spark, format="parquet")
    assert exact_answers(spark, plan_of(site, site.request(source={"format": "parquet"}))) == expected


@pytest.mark.slow
def test_a_catalog_table_by_name(spark: SparkSession, site: TestSite, expected: dict[str, list[int]]) -> None:
    name = f"t{uuid.uuid4().hex}"
    spark.createDataFrame(visits(), VISITS).write.format("delta").saveAsTable(name)
    try:
        plan = plan_of(site, site.request(source={"_whole": True, "format": "delta", "table": name}))
        pinned = source.pin(spark, plan.file)
        spark.createDataFrame([(77, "F", 5)], VISITS).write.format("delta").mode("append").saveAsTable(name)
        assert exact_answers(spark, plan, pinned) == expected
        assert exact_answers(spark, plan)["population"] != expected["population"]
    finally:
        spark.sql(f"DROP TABLE {name}").collect()


def test_csv_with_quotes_and_gzip(spark: SparkSession, site: TestSite, expected: dict[str, list[int]]) -> None:
    lines = ["pid;note;sex;age", *(f'{pid};"said ""so""; then left";{sex};{age}' for pid, sex, age in visits())]
    site.data().mkdir(parents=True)
    with gzip.open(site.data() / "visits.csv.gz", "wt", encoding="utf-8") as stream:
        stream.write("\r\n".join(lines) + "\r\n")
    assert (
        exact_answers(spark, plan_of(site, site.request(source=merged(CSV, {"csv": {"delimiter": ";"}})))) == expected
    )


def test_a_csv_line_that_is_no_record_belongs_to_nobody(spark: SparkSession, site: TestSite) -> None:
    """Too few fields, too many, a stray quote, bytes that are no text, an empty line: no error, and no patient."""
    site.data().mkdir(parents=True)
    lines = [b"pid,sex,age", b"1,F,30", b"2", b"3,M", b"4,M,1,2,3", b",F,9", b'5,"M,9', b"6,F,", b"", b"7,\xe9,9"]
    lines += [b"8,\xef\xbf\xbd,9", b'9,"F","9"\r', b""]
    (site.data() / "a.csv").write_bytes(b"\n".join(lines))
    answers = exact_answers(spark, plan_of(site, site.request(source=CSV)))
    assert answers["population"] == [4 * S]
    assert answers["marginal(sex)"] == [3 * S, 0, S, 0]
    assert answers["presence(age)"] == [3 * S]


def test_delta_is_read_at_the_version_it_was_pinned_at(
    spark: SparkSession, site: TestSite, expected: dict[str, list[int]]
) -> None:
    site.write(spark)
    plan = plan_of(site, site.request())
    pinned = source.pin(spark, plan.file)
    site.write(spark, [(77, "F", 5)], mode="append")
    restored = source.PinnedSource.restored(plan.file, pinned.record())
    assert exact_answers(spark, plan, restored) == expected
    assert exact_answers(spark, plan)["population"] != expected["population"]


def test_a_table_that_was_made_again_in_the_same_place_is_noticed(spark: SparkSession, site: TestSite) -> None:
    """Its first version has the number of the pinned one, and other rows."""
    site.write(spark)
    pinned = source.pin(spark, plan_of(site, site.request()).file)
    source.check_unchanged(spark, pinned)
    shutil.rmtree(site.data())
    site.write(spark, [(77, "F", 5)])
    with pytest.raises(SourceError, match="is another table than the one that was pinned"):
        source.check_unchanged(spark, pinned)


@pytest.mark.parametrize("first", ["1", "1,F,30", "", "\ufeff1,F,30"])
def test_csv_without_a_header_has_the_columns_asked_for_whatever_its_lines_are(
    spark: SparkSession, site: TestSite, first: str
) -> None:
    """Whether a column is there must not depend on what the first line holds."""
    site.data().mkdir(parents=True)
    (site.data() / "a.csv").write_text("".join(f"{line}\n" for line in (first, "2,M,40") if first), encoding="utf-8")
    csv = {"header": False, "names": ["pid", "sex", "age"]}
    answers = exact_answers(spark, plan_of(site, site.request(source=merged(CSV, {"csv": csv}))))
    patients = {"1": 1, "1,F,30": 2, "": 0, "\ufeff1,F,30": 2}[first]
    assert answers["population"] == [patients * S]
    assert answers["presence(age)"] == [patients * S]


def test_a_csv_line_with_more_fields_than_any_table_has_is_no_error(spark: SparkSession, site: TestSite) -> None:
    """Spark's own limit of 20480 fields would end in an error that quotes the line."""
    site.data().mkdir(parents=True)
    (site.data() / "a.csv").write_text(f"pid,sex,age\n1,F,30\n2,M,40{',Jane Doe' * 30_000}\n", encoding="utf-8")
    answers = exact_answers(spark, plan_of(site, site.request(source=CSV)))
    assert answers["population"] == [S]
    assert answers["presence(age)"] == [S]


def test_files_that_were_added_after_the_pin_are_noticed(spark: SparkSession, site: TestSite) -> None:
    site.data().mkdir(parents=True)
    (site.data() / "a.csv").write_text("pid,sex,age\n1,F,30\n", encoding="utf-8")
    plan = plan_of(site, site.request(source=CSV))
    pinned = source.pin(spark, plan.file)
    source.check_unchanged(spark, pinned)
    (site.data() / "b.csv").write_text("pid,sex,age\n2,F,30\n", encoding="utf-8")
    with pytest.raises(SourceError, match="changed after it was pinned"):
        source.check_unchanged(spark, pinned)


@pytest.mark.slow
def test_delta_with_partitions_mapping_deletion_vectors_generated_columns_and_z_order(
    spark: SparkSession, site: TestSite, expected: dict[str, list[int]]
) -> None:
    table = f"delta.`{site.data()}`"
    spark.sql(
        f"CREATE TABLE {table} (pid BIGINT, gender STRING, age INT, ward STRING, decade INT "
        "GENERATED ALWAYS AS (CAST(age DIV 10 AS INT))) USING delta PARTITIONED BY (ward) "
        "TBLPROPERTIES ('delta.enableDeletionVectors' = 'true', 'delta.columnMapping.mode' = 'name')"
    ).collect()
    rows = [(pid, sex, age, f"w{age % 3}") for pid, sex, age in visits()]
    extra = [(5000 + k, "F", 77, f"w{k % 3}") for k in range(30)]
    frame = spark.createDataFrame([*rows, *extra], "pid BIGINT, gender STRING, age INT, ward STRING").coalesce(1)
    frame.write.format("delta").mode("append").save(str(site.data()))
    spark.sql(f"OPTIMIZE {table} ZORDER BY (pid)").collect()
    spark.sql(f"DELETE FROM {table} WHERE pid >= 5000").collect()
    spark.sql(f"ALTER TABLE {table} RENAME COLUMN gender TO sex").collect()
    assert any("deletionVector" in path.read_text() for path in (site.data() / "_delta_log").glob("*.json"))
    assert exact_answers(spark, plan_of(site, site.request())) == expected


@pytest.mark.slow
def test_parquet_files_of_several_schemas(spark: SparkSession, site: TestSite, expected: dict[str, list[int]]) -> None:
    """Files differ in the order of columns, in columns that others lack, and in a partition column."""
    first, second = visits()[:9], visits()[9:]
    one = spark.createDataFrame(first, VISITS).coalesce(1)
    one.write.parquet(str(site.data() / "year=2024"))
    two = spark.createDataFrame(
        [(age, "new", sex, pid) for pid, sex, age in second], "age INT, unit STRING, sex STRING, pid BIGINT"
    )
    two.coalesce(1).write.parquet(str(site.data() / "year=2025"))
    bare = spark.createDataFrame([(None, "F")], "pid BIGINT, sex STRING").coalesce(1)
    bare.write.parquet(str(site.data() / "year=2019"))
    assert exact_answers(spark, plan_of(site, site.request(source={"format": "parquet"}))) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("written", "read", "missed"), [("latin-1", "ISO-8859-1", 0), ("latin-1", "UTF-8", 1)])
def test_csv_in_another_encoding(spark: SparkSession, site: TestSite, written: str, read: str, missed: int) -> None:
    """Declared, it is read; undeclared, a line that cannot be decoded is no record."""
    site.domain({**DOMAIN["attributes"], "sex": {"type": "categorical", "values": ["männlich", "weiblich"]}})
    site.data().mkdir(parents=True)
    text = "pid,sex,age\n1,männlich,30\n2,weiblich,40\n"
    (site.data() / "a.csv").write_bytes(text.encode(written))
    answers = exact_answers(spark, plan_of(site, site.request(source=merged(CSV, {"csv": {"encoding": read}}))))
    assert answers["population"] == [(2 - missed) * S]
    assert answers["marginal(sex)"] == [S * (1 - missed), S, 0, 0]


NAMES = {"sex at birth (F/M)": "sex", "Alter.Jahre": "age", "PID": "pid"}


def test_names_with_dots_spaces_brackets_and_capitals(
    spark: SparkSession, site: TestSite, expected: dict[str, list[int]]
) -> None:
    frame = spark.createDataFrame(visits(), "`PID` BIGINT, `sex at birth (F/M)` STRING, `Alter.Jahre` INT")
    frame.write.format("parquet").save(str(site.data()))
    attributes = {
        "sex at birth (F/M)": {"type": "categorical", "values": ["F", "M"]},
        "Alter.Jahre": {"type": "numeric", "integer": True, "bounds": [0, 100], "bins": 4},
    }
    site.domain(attributes)
    path = site.request(source={"format": "parquet"}, patient={"key": "PID"}, columns=list(attributes))
    found = exact_answers(spark, plan_of(site, path))
    assert {label.replace("Alter.Jahre", "age").replace("sex at birth (F/M)", "sex") for label in found} == set(
        expected
    )
    assert list(found.values()) == list(expected.values())


def test_a_path_into_a_struct(spark: SparkSession, site: TestSite, expected: dict[str, list[int]]) -> None:
    rows = [((pid,), ((sex, age),)) for pid, sex, age in visits()]
    site.write(spark, rows, "who STRUCT<id: BIGINT>, what STRUCT<person: STRUCT<sex: STRING, age: INT>>")
    attributes = {
        "what.person.sex": {"type": "categorical", "values": ["F", "M"], "missing": ["?"]},
        "what.person.age": {"type": "numeric", "integer": True, "bounds": [0, 100], "bins": 4},
    }
    site.domain(attributes)
    path = site.request(patient={"key": "who.id"}, columns=list(attributes))
    assert list(exact_answers(spark, plan_of(site, path)).values()) == list(expected.values())


KEYS: dict[str, list[Any]] = {
    "BIGINT": [-(2**63), -1, 0, 2**63 - 1],
    "INT": [-(2**31), -1, 0, 2**31 - 1],
    "STRING": ["7", "07", "id-ü", "7 "],
    "UUID": [str(uuid.UUID(int=k)) for k in range(4)],
    "BINARY": [b"\x00", b"\x00\x00", b"\xff", b" "],
    "DECIMAL(38,0)": [-(10**37), -1, 0, 10**37],
    "DECIMAL(12,2)": [-(10**9), -1, 0, 10**9],
    "DOUBLE": [1.0 - 2**53, -1.0, 0.0, 2.0**53 - 1],
}


@pytest.mark.parametrize("kind", KEYS)
def test_patient_ids_of_every_type_are_told_apart(spark: SparkSession, site: TestSite, kind: str) -> None:
    ids = [Decimal(k) for k in KEYS[kind]] if kind.startswith("DECIMAL") else KEYS[kind]
    rows: list[tuple[Any, ...]] = [(k, "F", 10) for k in ids for _ in range(3)] + [(None, "M", 90)]
    site.write(spark, rows, f"pid {'STRING' if kind == 'UUID' else kind}, sex STRING, age INT", format="parquet")
    answers = exact_answers(spark, plan_of(site, site.request(source={"format": "parquet"})))
    assert answers["population"] == [4 * S]
    assert answers["marginal(sex)"] == [4 * 3 * (2 * S // 3), 0, 0, 0]


def path_of(*steps: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Steps (table, our column, its column)."""
    return [{"source": {"format": "delta", "path": f"data/{table}"}, "on": {ours: its}} for table, ours, its in steps]


def test_a_path_over_two_tables_with_keys_of_two_types(
    spark: SparkSession, site: TestSite, expected: dict[str, list[int]]
) -> None:
    stays = {pid: str(10 * pid) for pid, _, _ in visits()}
    rows = [(stays[pid], sex, age) for pid, sex, age in visits()]
    site.write(spark, [*rows, ("orphan", "F", 1), (None, "M", 2), ("005", "M", 3)], "stay STRING, sex STRING, age INT")
    links: list[tuple[Any, ...]] = [(int(stay), pid) for pid, stay in stays.items()]
    site.write(spark, [*links, (5, 5), (6, None), (None, 7)], "stay_id BIGINT, pid BIGINT", name="stays")
    path = site.request(patient={"path": path_of(("stays", "stay", "stay_id"))})
    assert exact_answers(spark, plan_of(site, path)) == expected


@pytest.mark.parametrize("kind", ["csv", "delta"])
@pytest.mark.parametrize("place", [0, 1])
def test_every_table_of_the_path_is_compared_after_a_pass(
    spark: SparkSession, site: TestSite, kind: str, place: int
) -> None:
    """Who a row belongs to changes with a joined table, as its values do with the first one."""
    names = ("visits", "stays")
    schemas = ("stay BIGINT, sex STRING, age INT", "stay_id BIGINT, pid BIGINT")
    contents: list[list[tuple[Any, ...]]] = [
        [(10 * pid, sex, age) for pid, sex, age in visits()],
        [(10 * pid, pid) for pid in {pid for pid, _, _ in visits()}],
    ]
    options = {"header": "true"} if kind == "csv" else {}

    def write(number: int) -> None:
        site.write(spark, contents[number], schemas[number], name=names[number], format=kind, **options)

    for number in range(2):
        write(number)
    [step] = path_of(("stays", "stay", "stay_id"))
    written = {"format": "csv", "csv": {"records": "one_per_line"}} if kind == "csv" else {"format": kind}
    step["source"] |= written
    plan = plan_of(site, site.request(source=written, patient={"path": [step]}))
    pinned = source.pin(spark, plan.file)
    before = exact_answers(spark, plan, pinned)
    assert before["population"] == [S * len(contents[1])]
    # Made again with the same rows: other files, and for Delta another table in the same place.
    shutil.rmtree(site.data(names[place]))
    write(place)
    words = "changed after it was pinned" if kind == "csv" else "is another table than the one that was pinned"
    with pytest.raises(SourceError, match=f"{names[place]}' {words}"):
        exact_answers(spark, plan, pinned)


@pytest.mark.slow
def test_a_path_over_three_tables(spark: SparkSession, site: TestSite, expected: dict[str, list[int]]) -> None:
    rows = [(f"e{place}", sex, age) for place, (_, sex, age) in enumerate(visits())]
    links: list[tuple[Any, ...]] = [(f"e{place}", 7 * pid) for place, (pid, _, _) in enumerate(visits())]
    people: list[tuple[Any, ...]] = [(str(7 * pid), pid) for pid in {pid for pid, _, _ in visits()}]
    site.write(spark, rows, "event STRING, sex STRING, age INT")
    site.write(spark, links, "event STRING, stay BIGINT", name="stays")
    site.write(spark, people, "stay STRING, pid BIGINT", name="people")
    path = site.request(patient={"path": path_of(("stays", "event", "event"), ("people", "stay", "stay"))})
    assert exact_answers(spark, plan_of(site, path)) == expected


def test_an_ambiguous_parent_fans_out(spark: SparkSession, site: TestSite) -> None:
    site.write(spark, [("a", "F", 10)], "stay STRING, sex STRING, age INT")
    site.write(spark, [("a", 1), ("a", 2)], "stay STRING, pid BIGINT", name="stays")
    answers = exact_answers(spark, plan_of(site, site.request(patient={"path": path_of(("stays", "stay", "stay"))})))
    assert answers["population"] == [2 * S]
    assert answers["marginal(sex)"] == [2 * S, 0, 0, 0]


def test_rows_without_a_patient_count_for_nobody(spark: SparkSession, site: TestSite) -> None:
    site.write(
        spark, [("a", "F", 10), ("b", "F", 10), (None, "F", 10), ("c", "M", 10)], "stay STRING, sex STRING, age INT"
    )
    site.write(spark, [("a", 1), ("b", None), (None, 3)], "stay STRING, pid BIGINT", name="stays")
    answers = exact_answers(spark, plan_of(site, site.request(patient={"path": path_of(("stays", "stay", "stay"))})))
    assert answers["population"] == [S]
    assert answers["marginal(sex)"] == [S, 0, 0, 0]
    assert answers["presence(age)"] == [S]


@pytest.mark.parametrize("kind", ["BOOLEAN", "DATE", "ARRAY<INT>"])
def test_keys_that_cannot_tell_patients_apart_are_refused(spark: SparkSession, site: TestSite, kind: str) -> None:
    site.write(spark, [], f"pid {kind}, sex STRING, age INT", format="parquet")
    with pytest.raises(SourceError, match="patient key 'pid': a patient key is a string, a whole number or binary"):
        exact_answers(spark, plan_of(site, site.request(source={"format": "parquet"})))


def test_a_view_is_refused_as_a_pin(spark: SparkSession, site: TestSite) -> None:
    spark.createDataFrame(visits(), VISITS).createOrReplaceTempView("visits_view")
    path = site.request(source={"_whole": True, "format": "delta", "table": "visits_view"})
    with pytest.raises(SourceError, match="snapshot: materialize"):
        exact_answers(spark, plan_of(site, path))


@pytest.mark.parametrize("kind", ["delta", "parquet"])
def test_only_requested_columns_are_read(
    spark: SparkSession, site: TestSite, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    rows = [(1, "PLANTED NOTE", "F", 30, 7.5)]
    site.write(spark, rows, "pid BIGINT, note STRING, sex STRING, age INT, lab DOUBLE", format=kind)
    plan = plan_of(site, site.request(source={"format": kind}))
    source_rows(spark, source.pin(spark, plan.file), plan.file, codebooks(plan.domain)).explain()
    [schema] = re.findall(r"ReadSchema: struct<([^>]*)>", capsys.readouterr().out)
    assert {field.partition(":")[0] for field in schema.split(",")} == {"pid", "sex", "age"}


def lose_the_data_files(table: Path) -> None:
    """What VACUUM does to old versions."""
    for file in table.glob("*.parquet"):
        file.unlink()


def lose_the_log(table: Path) -> None:
    """What the clean-up of old log entries does, only more so."""
    shutil.rmtree(table / "_delta_log")


@pytest.mark.parametrize("lose", [lose_the_data_files, lose_the_log])
def test_a_pinned_version_that_is_gone_is_forfeit_and_said_so(
    spark: SparkSession, site: TestSite, lose: Callable[[Path], None]
) -> None:
    table = site.write(spark)
    plan = plan_of(site, site.request())
    pinned = source.pin(spark, plan.file)
    lose(table)
    with pytest.raises(SourceError, match="rest of this run's charge is forfeit") as refused:
        exact_answers(spark, plan, pinned)
    assert str(table) in str(refused.value)
    assert not refused.value.retryable
    assert "part-" not in "".join(traceback.format_exception(refused.value))


def test_a_pass_that_fails_for_another_reason_is_not_forfeit(spark: SparkSession, site: TestSite) -> None:
    table = site.write(spark)
    plan = plan_of(site, site.request())
    pinned = source.pin(spark, plan.file)
    for file in table.glob("*.parquet"):
        file.write_bytes(b"no Parquet")
    with pytest.raises(Exception) as failed:  # noqa: PT011 - Spark's own, one for each lane
        exact_answers(spark, plan, pinned)
    assert not isinstance(failed.value, SourceError)
