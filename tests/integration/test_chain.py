"""Delta tables and chains on a real local Delta, classic and Connect."""

from __future__ import annotations

import dataclasses
import threading
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.errors import EnvironmentProblem, IntegrityError, LedgerCorrupt, UsageError
from synthward.store import delta
from synthward.store.chain import Chain, HeadMoved
from synthward.store.link_table import SCHEMA
from synthward.store.links import Link
from synthward.store.lock import lock_for
from synthward.store.places import Zone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect

NASTY = "quote' dq\" back\\slash \n tab\t ü ☃ 😀 :name {brace} ${x} %s `tick` -- /* */ ; \u0001"


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    """A place whose name needs every kind of quoting."""
    return Zone(str(tmp_path / "it's a `zone` {0} %20"))


def make_chain(spark: SparkSession, zone: Zone, **options: Any) -> Chain:
    ref = zone.table("journal")
    return Chain(spark, ref, lock=lock_for(ref), **options)


@pytest.mark.usefixtures("compiled")  # Spark decodes a catalog entry with generated code only
def test_create_exists_read_drop(spark: SparkSession, zone: Zone) -> None:
    ref = zone.table("t")
    assert not delta.exists(spark, ref)
    delta.drop(spark, ref)
    for _ in range(2):
        delta.create_if_absent(spark, ref, "id STRING NOT NULL, n BIGINT", ("id",), {"delta.appendOnly": "true"})
    found = delta.detail(spark, ref)
    assert (found.partition_by, found.properties["delta.appendOnly"]) == (("id",), "true")
    assert delta.version_of(spark, ref) == 0
    assert delta.read(spark, ref).columns == ["id", "n"]
    assert [table.name for table in spark.catalog.listTables() if table.name == "t"] == []
    delta.drop(spark, ref)
    assert not delta.exists(spark, ref)
    assert not Path(str(ref)).exists()


def test_a_folder_that_is_not_delta_is_no_table(spark: SparkSession, zone: Zone) -> None:
    ref = zone.table("t")
    Path(str(ref)).mkdir(parents=True)
    assert not delta.exists(spark, ref)
    spark.range(3).coalesce(1).write.mode("append").parquet(str(ref))
    assert not delta.exists(spark, ref)


def test_catalog_zone(spark: SparkSession) -> None:
    zone = Zone("synthward_store_test")
    with pytest.raises(EnvironmentProblem, match="CREATE SCHEMA `synthward_store_test`"):
        delta.create_if_absent(spark, zone.table("t"), "id STRING")
    spark.sql("CREATE SCHEMA synthward_store_test").collect()
    try:
        chain = Chain(spark, zone.table("journal"))
        head = chain.append("a", "opened", {"n": 1}, b"x", None)
        assert chain.read("a") == (head,)
        assert delta.version_of(spark, zone.table("journal")) == 1
        delta.drop(spark, zone.table("journal"))
        assert not delta.exists(spark, zone.table("journal"))
    finally:
        spark.sql("DROP SCHEMA synthward_store_test CASCADE").collect()


def test_many_creators_make_one_table(spark: SparkSession, zone: Zone) -> None:
    ref = zone.table("t")
    failures: list[Exception] = []

    def create() -> None:
        try:
            delta.create_if_absent(spark, ref, SCHEMA, ("key",))
        except Exception as error:  # noqa: BLE001  whatever it is, the test reports it
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert delta.read(spark, ref).count() == 0


@pytest.mark.slow_on_connect
def test_vacuumed_copy_keeps_no_data_files(spark: SparkSession, zone: Zone) -> None:
    ref = zone.table("copy")
    spark.range(10).write.format("delta").save(str(ref))
    # VACUUM lists files with as many tasks as this says, 10,000 by default: a minute on two cores.
    setting = "spark.sql.sources.parallelPartitionDiscovery.parallelism"
    before = spark.conf.get(setting)
    spark.conf.set(setting, "2")
    try:
        delta.empty_and_vacuum(spark, ref)
    finally:
        spark.conf.set(setting, before)
    assert not list(Path(str(ref)).glob("*.parquet"))


@pytest.mark.slow_on_connect
def test_append_if_absent(spark: SparkSession, zone: Zone) -> None:
    ref = zone.table("releases")
    ddl = "release_id STRING NOT NULL, n BIGINT, text STRING, d DECIMAL(20,9), x DOUBLE, raw BINARY, extra STRING"
    delta.create_if_absent(spark, ref, ddl)
    values = {"n": 3, "text": NASTY, "d": Decimal("1.5"), "x": float("nan"), "raw": b"\x00\xff"}

    def put(release_id: str, **changed: Any) -> bool:
        return delta.append_if_absent(spark, ref, keys={"release_id": release_id}, rows=[{**values, **changed}])

    assert put("r1")
    assert not put("r1")
    with pytest.raises(IntegrityError, match="other contents in text"):
        put("r1", text="edited")
    assert put("r2", text=None)
    rows = {row["release_id"]: row for row in delta.read(spark, ref).collect()}
    assert (rows["r1"]["text"], rows["r2"]["text"], rows["r1"]["extra"]) == (NASTY, None, None)
    with pytest.raises(UsageError, match="no column nope"):
        put("r3", nope=1)
    with pytest.raises(UsageError, match="key column"):
        put("r' OR '1' = '1")


@pytest.mark.slow_on_connect
def test_rows_of_one_key_come_in_one_commit_or_not_at_all(spark: SparkSession, zone: Zone) -> None:
    ref = zone.table("artifacts")
    delta.create_if_absent(spark, ref, "release_id STRING NOT NULL, name STRING, content BINARY")
    files = [{"name": name, "content": name.encode() * 9} for name in ("a", "b", "c")]

    def put(rows: list[dict[str, Any]]) -> bool:
        return delta.append_if_absent(spark, ref, keys={"release_id": "r1"}, rows=rows)

    before = delta.version_of(spark, ref)
    assert put(files)
    assert delta.version_of(spark, ref) == before + 1
    assert not put(files[::-1])
    with pytest.raises(IntegrityError, match="other contents in content"):
        put([*files[:2], {"name": "c", "content": b"edited"}])
    with pytest.raises(IntegrityError, match="expected 2 rows where"):
        put(files[:2])
    assert delta.read(spark, ref).count() == 3


def test_chain_round_trip(spark: SparkSession, zone: Zone) -> None:
    chain = make_chain(spark, zone)
    assert chain.read("run-1") == ()
    assert chain.read_all() == {}
    first = chain.append("run-1", "opened", {"text": NASTY, "big": 2**80}, None, None)
    second = chain.append("run-1", "sealed", {"n": 1}, bytes(range(256)) * 1000, first)
    other = chain.append("run-2", "opened", {}, b"", None)
    assert chain.read("run-1") == (first, second)
    assert make_chain(spark, zone).read_all() == {"run-1": (first, second), "run-2": (other,)}
    assert first.facts["text"] == NASTY
    without = chain.read("run-1", payloads=False)
    assert without == (first, dataclasses.replace(second, payload=None))
    with pytest.raises(HeadMoved):
        chain.append("run-1", "sealed", {"n": 2}, None, first)
    link, is_new = chain.get_or_append("run-1", "sealed", lambda link: link.kind == "sealed", lambda: ({"n": 3}, None))
    assert (link, is_new) == (second, False)


def test_racing_threads_get_one_position_each(spark: SparkSession, zone: Zone) -> None:
    won: list[Link] = []
    lost: list[BaseException] = []
    make_chain(spark, zone).append("other", "k", {}, None, None)

    def race(number: int) -> None:
        chain = Chain(spark, zone.table("journal"))  # no lock: Delta's own conflicts decide
        try:
            won.append(chain.append("a", "k", {"n": number}, None, None))
        except HeadMoved as error:
            lost.append(error)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 2)
    assert make_chain(spark, zone).read("a") == tuple(won)


def test_other_tables_under_the_name_are_refused(spark: SparkSession, zone: Zone) -> None:
    delta.create_if_absent(spark, zone.table("journal"), SCHEMA, ("key",))
    with pytest.raises(EnvironmentProblem, match="ALTER TABLE"):
        make_chain(spark, zone).append("a", "k", {}, None, None)


@pytest.mark.slow_on_connect
def test_edits_are_refused_by_the_table_and_found_by_the_chain(spark: SparkSession, zone: Zone) -> None:
    chain = make_chain(spark, zone)
    first = chain.append("a", "k", {"n": 0}, None, None)
    chain.append("a", "k", {"n": 1}, None, first)
    table = zone.table("journal").sql
    for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET body = '{{}}'"):
        with pytest.raises(Exception, match="append"):
            spark.sql(statement).collect()
    spark.sql(f"OPTIMIZE {table}").collect()
    assert len(chain.read("a")) == 2
    spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.appendOnly' = 'false')").collect()
    spark.sql(f"UPDATE {table} SET body = '{{\"n\":5}}' WHERE seq = 0").collect()
    with pytest.raises(LedgerCorrupt, match="edited"):
        chain.read("a")
