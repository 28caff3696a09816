"""The table of executions: a folder or a catalog schema, one commit a row, and a warning where it cannot be written."""

from __future__ import annotations

import datetime as dt
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synthward.errors import PolicyRefused
from synthward.run.plan import Plan
from synthward.run.result import RunResult
from synthward.run.runs import Runs
from synthward.store.delta import version_of
from synthward.store.places import Zone
from trial import TestSite, heard, plan_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.connect, pytest.mark.slow]
START = dt.datetime(2026, 1, 15, 9, 0, tzinfo=dt.UTC)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    site = TestSite(tmp_path)
    return plan_of(site, site.request())


def ended(plan: Plan, minute: int) -> RunResult:
    at = START + dt.timedelta(minutes=minute)
    return RunResult.failure(PolicyRefused(['it\'s \\ "not" approved']), plan, started=at, ended=at)


@pytest.mark.parametrize("kind", ["folder", "schema"])
def test_rows_come_back_in_order_and_cost_one_commit_each(
    spark: SparkSession, tmp_path: Path, plan: Plan, kind: str
) -> None:
    name = f"s{uuid.uuid4().hex}"
    if kind == "schema":
        spark.sql(f"CREATE SCHEMA {name} LOCATION '{tmp_path / name}'").collect()
    try:
        runs = Runs(spark, Zone(str(tmp_path / "zone") if kind == "folder" else f"spark_catalog.{name}"))
        assert runs.of(plan.identity.run_id) == []
        late, early = ended(plan, 5), ended(plan, 1)
        assert runs.add(late)
        assert runs.add(early)
        assert version_of(spark, runs.ref) == 1
        found = runs.of(plan.identity.run_id)
        assert [row["execution"] for row in found] == [early.execution, late.execution]
        assert found[0]["message"] == early.message
        assert runs.of("another") == []
    finally:
        if kind == "schema":
            spark.sql(f"DROP SCHEMA {name} CASCADE").collect()


def test_a_table_that_cannot_be_written_is_a_warning(spark: SparkSession, tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "zone").write_text("a file where a folder should be", encoding="utf-8")
    with heard() as messages:
        assert not Runs(spark, Zone(str(tmp_path / "zone"))).add(ended(plan, 0))
    assert [text for text in messages if "is not noted in" in text]
