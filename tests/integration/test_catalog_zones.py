"""A whole run where every zone is a catalog schema: names of several levels, and the ready view."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from synthward.release.names import LINEAGE
from synthward.release.table import SAYS_SYNTHETIC
from synthward.run.releases import Actor, Wish
from trial import SCOPE, TestSite, open_budget, ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("compiled")]
"""Spark decodes catalog entries with generated code only."""


@pytest.fixture
def zones(spark: SparkSession, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Three schemas, by zone."""
    mark = uuid4().hex[:8]
    made = {name: f"spark_catalog.synthward_{name}_{mark}" for name in ("ledger", "protected", "releases")}
    for zone, schema in made.items():
        spark.sql(f"CREATE SCHEMA {schema} LOCATION '{(tmp_path / 'warehouse' / zone).as_uri()}'").collect()
    yield made
    for schema in made.values():
        spark.sql(f"DROP SCHEMA {schema} CASCADE").collect()


def test_a_run_lives_in_the_catalog(spark: SparkSession, tmp_path: Path, zones: dict[str, str]) -> None:
    site = TestSite(tmp_path, site=zones)
    site.write(spark)
    ward = site.open(spark)
    request = ready(ward, site.request(), runs=2)
    release = ward.run(request)
    assert str(release.table) == f"{zones['releases']}.visits__{release.release_id}"
    rows = spark.table(str(release.table))
    assert rows.columns == ["sex", "age", *LINEAGE]
    assert rows.count() == 200

    view = spark.table(f"{release.table}_with_lineage")
    assert view.count() == 200
    assert set(view.columns) > {*rows.columns, "_scope", "_epsilon", "_ledger_head", "_request_digest"}
    assert [row["_scope"] for row in view.select("_scope").distinct().collect()] == [SCOPE]
    assert view.columns == ward.rows(release.release_id, lineage=True).select(*view.columns).columns

    for schema in zones.values():
        names = [row["tableName"] for row in spark.sql(f"SHOW TABLES IN {schema}").collect()]
        assert [name for name in names if "probe" in name] == []

    assert not ward.run(request).outcome.is_new
    assert ward.verify(SCOPE) == []

    lee = Actor("lee", "privacy_officer", "for the test")
    wish = Wish("analysts", b"No linkage.", "terms.txt", "Bo", dt.date(2026, 1, 14), hide_lineage=True)
    assert ward.published.grant(release.release_id, wish, lee).is_complete
    shown = spark.table(f"{release.table}_for_readers")
    assert shown.columns == ["sex", "age"]
    assert shown.schema["sex"].metadata["comment"] == SAYS_SYNTHETIC
    done = ward.published.recall(release.release_id, lee)
    assert done.is_complete, done.applied
    names = {row["tableName"] for row in spark.sql(f"SHOW TABLES IN {zones['releases']}").collect()}
    assert not [name for name in names if name.endswith(("_for_readers", "_with_lineage"))]
    assert spark.table(str(release.table)).count() == 0


def test_a_schema_that_is_not_there_is_named(spark: SparkSession, tmp_path: Path, zones: dict[str, str]) -> None:
    site = TestSite(tmp_path, site={**zones, "ledger": "spark_catalog.synthward_nowhere"})
    ward = site.open(spark)
    with pytest.raises(Exception, match="CREATE SCHEMA") as caught:
        open_budget(ward)
    assert "synthward_nowhere" in str(caught.value)
