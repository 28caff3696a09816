"""A published release is granted, recalled and expired: what readers, tables, MLflow, the ledger and a retry find."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.errors import UsageError, Withdrawn
from synthward.release.publication import published_state
from synthward.release.table import SAYS_SYNTHETIC
from synthward.run.environment import staged_table
from synthward.run.releases import Actor, Wish
from synthward.store.delta import exists, read
from synthward.store.places import TableRef, Zone
from synthward.tracking.record import ALIAS
from trial import SCOPE, Clock, TestSite, charges, ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.api import Ward

LEE = Actor("lee", "privacy_officer", "rows do not follow their answers")
WISH = Wish("analysts", b"No linkage.", "terms.txt", "Bo", dt.date(2026, 1, 14))


def assert_says_synthetic(spark: SparkSession, table: TableRef) -> None:
    """The table and its first column say what they are."""
    described = {row[0]: row[2] for row in spark.sql(f"DESCRIBE TABLE {table.sql}").collect()}
    assert described["sex"] == SAYS_SYNTHETIC
    assert spark.sql(f"DESCRIBE DETAIL {table.sql}").collect()[0]["description"] == SAYS_SYNTHETIC


def train_on(client: Any, table: TableRef) -> None:
    """Somebody's run in MLflow that names the table as its input."""
    from mlflow.entities import Dataset, DatasetInput

    trained = client.create_run("0", run_name="readmission").info.run_id
    own = Dataset(name="visits", digest="1", source_type="delta_table", source=json.dumps({"path": str(table)}))
    client.log_inputs(trained, [DatasetInput(own)])
    client.set_terminated(trained)


def cut_events(ward: Ward, release_id: str) -> None:
    """Somebody who can write to the release zone removes the recall."""
    events = Zone(ward.site.releases).table("release_events")
    ward.session.sql(f"ALTER TABLE {events.sql} SET TBLPROPERTIES ('delta.appendOnly' = 'false')").collect()
    ward.session.sql(f"DELETE FROM {events.sql} WHERE key = '{release_id}' AND kind <> 'grant'").collect()


def test_a_recalled_release_is_read_by_nobody_and_stays_whole(spark: SparkSession, tmp_path: Path) -> None:
    from mlflow.tracking import MlflowClient

    where = f"sqlite:///{tmp_path}/mlflow.db"
    site = TestSite(tmp_path, site={"tracking": {"enabled": True, "uri": where, "models": "synthward-"}})
    site.write(spark)
    clock = Clock()
    ward = site.open(spark, clock=clock)
    request = ready(ward, site.request(), runs=2)
    release = ward.run(request)
    release_id, table = release.release_id, TableRef.parse(release.table)
    assert_says_synthetic(spark, table)
    client = MlflowClient(tracking_uri=where, registry_uri=where)
    train_on(client, table)

    assert ward.published.grant(release_id, WISH, LEE).is_complete
    with pytest.raises(UsageError, match="a view needs a catalog"):
        ward.published.grant(release_id, Wish(**{**WISH.__dict__, "hide_lineage": True}), LEE)

    done = ward.published.recall(release_id, LEE)
    assert done.applied is not None
    assert done.is_complete, done.applied.steps
    steps = {step.name: step for step in done.applied.steps}
    assert [one for one in steps["mlflow"].found if "readmission" in one]
    assert "1 model versions marked recalled" in steps["mlflow"].detail
    version = client.get_model_version("synthward-visits", "1")
    assert "recalled" in version.aliases
    assert ALIAS not in version.aliases

    # Nobody reads, by no way; the table is a tombstone with its marks.
    for way in (ward.rows, ward.model, lambda name: ward.artifact(name, "model.json")):
        with pytest.raises(Withdrawn, match="was recalled on 2026-01-15"):
            way(release_id)
    assert read(spark, table).count() == 0
    marks = published_state(spark, table)
    assert marks is not None
    assert (marks["status"], marks["synthetic"], marks["release_id"]) == ("recalled", "true", release_id)
    assert marks["recalled_by_event"] == done.standing.links[-2].hash

    # A retry of the same run publishes nothing and pays nothing; another run is another release.
    before = charges(ward)
    with pytest.raises(Withdrawn, match="not published again under this run key"):
        ward.run(request)
    assert (charges(ward), read(spark, table).count()) == (before, 0)
    other = ward.run(request, run_key="next")
    assert ward.rows(other.release_id).count() == 200

    # It is no fault of the records: everything about it verifies, and evidence stays.
    assert ward.verify(SCOPE) == []
    assert ward.published.verify(ward.published.of(release_id)) == []
    assert ward.manifest(release_id).record.release_id == release_id
    assert "<html" in ward.report(release_id)
    assert exists(spark, staged_table(ward.site, release_id))

    cut_events(ward, release_id)
    again = site.open(spark, clock=clock)
    assert f"release {release_id} was recalled, and the event is missing" in " ".join(again.verify(SCOPE))
    with pytest.raises(Withdrawn, match="its events do not say so"):
        again.run(request)


@pytest.mark.parametrize("publish", ["clone", "copy"])
def test_retention_removes_the_rows_everywhere(spark: SparkSession, tmp_path: Path, publish: str) -> None:
    site = TestSite(tmp_path, site={"publish": publish})
    site.write(spark)
    clock = Clock()
    ward = site.open(spark, clock=clock)
    release = ward.run(ready(ward, site.request(retention_days=5)))
    assert release.manifest.record.request.readable_until == "2026-01-20"
    assert ward.published.expire_due() == ()
    clock.now += dt.timedelta(days=6)
    with pytest.raises(Withdrawn, match="could be read until 2026-01-20"):
        ward.rows(release.release_id)
    [done] = ward.published.expire_due()
    assert done.applied is not None
    assert done.is_complete, done.applied.steps
    assert not exists(spark, staged_table(ward.site, release.release_id))
    assert list(Path(release.table).glob("*.parquet")) == []
    assert read(spark, TableRef.parse(release.table)).count() == 0
    assert ward.verify(SCOPE) == []
