"""A sealed run whose release cannot be made as it was asked: real tables, the command line, one charge."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import types as T

from synthward.cli.main import main
from synthward.errors import IntegrityError
from synthward.run.environment import Places
from synthward.spec.repair import load_repair
from trial import SCOPE, Clock, CountingNoise, TestSite, charges, ready, write_yaml

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = [(1000 + k, k % 100, "F" if k % 2 else "M", (7 * k) % 100) for k in range(40)]


def test_a_run_whose_target_is_taken_is_finished_under_another_name(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody puts a table at the target while the run goes on; the same command would fail for ever."""
    site = TestSite(tmp_path)
    site.write(spark, ROWS, "pid BIGINT, visit SMALLINT, sex STRING, age TINYINT")
    noise = CountingNoise()
    today = dt.datetime.now(dt.UTC)  # the command line has no clock of its own
    expires = today.date() + dt.timedelta(days=3)
    path = site.request(expires=expires, output={"keys": "fresh", "key_columns": ["visit"]})
    opened = site.open(spark, noise=noise, clock=Clock(today))
    request = ready(opened, path)
    plan = opened.plan(request)
    target = Places.of(opened.site, plan).target

    def overtake(step: str) -> None:
        if step == "validate":
            spark.range(3).write.format("delta").save(target.path)

    with pytest.raises(IntegrityError, match="Synthward never replaces a published table"):
        site.open(spark, noise=noise, on_step=overtake, clock=Clock(today)).run(request)
    drawn = len(noise.drawn)
    [tried] = opened.runs.of(plan.identity.run_id)
    assert (tried["status"], tried["code"], tried["retryable"]) == ("failed", 1, False)
    assert main(["history", plan.identity.run_id, "--site", str(site.file)]) == 0
    told = capsys.readouterr().err
    assert "stop the schedule" in told
    assert "synthward run REQUEST --repair FILE" in told
    output = {"name": "visits_again", "rows": 150, "types": "declared", "keys": "fresh", "key_columns": ["visit"]}
    ids = {"version": 1, "run": plan.identity.run_id, "reason": "a table stands at the target"}
    file = write_yaml(tmp_path / "output.yaml", {**ids, "output": output})
    common = [str(path), "--site", str(site.file), "--repair", str(file)]
    assert main(["approve", *common, "--by", "kim", "--role", "data_steward"]) == 0
    assert "recorded: approve by kim as data_steward" in capsys.readouterr().out
    release = site.open(spark, noise=noise, clock=Clock(today)).run(request, repair=load_repair(file))
    assert (release.outcome.is_new, charges(opened), len(noise.drawn)) == (True, 1, drawn)
    rows = opened.rows(release.release_id)
    assert rows.count() == 150
    assert release.table.endswith(f"/visits_again__{release.release_id}")
    types = {field.name: field.dataType for field in rows.schema.fields}
    assert (types["visit"], types["age"], types["sex"]) == (T.ShortType(), T.LongType(), T.StringType())
    assert {row[0] for row in rows.select("visit").collect()} == set(range(-150, 0))
    repaired = release.manifest.body["repair"]
    assert (repaired["of"], repaired["reason"]) == (plan.identity.release_id, "a table stands at the target")
    assert "drawn anew from the same model" in release.report
    assert spark.read.format("delta").load(str(target)).count() == 3
    assert opened.verify(SCOPE) == []
    assert [link.kind for link in opened.history(plan.identity.run_id)][-3:] == ["repaired", "validated", "published"]
    assert not list((tmp_path / "zones" / "protected").glob("rehearsal_*"))
    assert main(["run", *common]) == 0
    assert '"is_new": false' in capsys.readouterr().out
