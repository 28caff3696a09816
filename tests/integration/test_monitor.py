"""Monitoring and the drill at a real site: nothing of it is changed, and what is found is told."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synthward.cli.main import main
from synthward.release.table import fingerprint
from synthward.store.delta import read
from synthward.store.places import TableRef
from trial import TestSite, approve, heard, open_population

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_site_is_watched_and_a_recall_is_practised(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    ward = site.open(spark)
    request = ward.request(site.request())
    open_population(ward, request)
    approve(ward, request)
    release = ward.run(request)
    assert ward.monitor().findings == ()

    before = fingerprint(read(spark, TableRef.parse(release.table)))
    drilled = ward.drill()
    assert drilled.passed, drilled.steps
    assert drilled.release == release.release_id
    assert {"freeze", "table", "ledger", "readers", "rows", "records"} <= {step.name for step in drilled.steps}
    assert fingerprint(read(spark, TableRef.parse(release.table))) == before
    assert ward.published.of(release.release_id).links == ()
    assert ward._monitor.last()[1] == drilled

    soon = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=30)
    waits = site.request("waits", title="Another", expires=soon)
    with heard():
        words = ["site", "build", "--site", str(site.file), "--out", str(tmp_path / "officer"), "--requests"]
        assert main([*words, str(request.path), str(waits)]) == 0
    page = (tmp_path / "officer" / "index.html").read_text(encoding="utf-8")
    assert "decide about “Another”" in page
    assert "agree with journals" in page
    assert (tmp_path / "officer" / "releases" / f"{release.release_id}.report.html").is_file()

    # The source gets another type and a new column; a notice has names and types, and no value.
    other = spark.createDataFrame([(1, "F", "old", "x")], "pid BIGINT, sex STRING, age STRING, note STRING")
    other.write.format("delta").mode("overwrite").option("overwriteSchema", True).save(str(site.data()))
    out = tmp_path / "findings.json"
    with heard():
        words = ["monitor", "--site", str(site.file), "--out", str(out)]
        assert main(words) == 6
        assert "age is string, was int" in capsys.readouterr().out
        assert main(words) == 0
    assert json.loads(out.read_text(encoding="utf-8"))["worst"] is None
    assert "x" not in [one.message for one in ward._monitor.last()[0].findings]  # type: ignore[union-attr]
