"""SIGKILL at any point, then spark-submit of the real job: one charge, one seal, one release, exit code 0."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.spark.package import build_zip
from trial import SCOPE, Clock, TestSite, charges, ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.e2e
DRIVER = Path(__file__).with_name("killed_driver.py")
LIMIT = 600.0
"""Seconds; many times what an idle machine needs, for a busy one."""
SETTINGS = {
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.ui.enabled": "false",
}


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_zip(tmp_path_factory.mktemp("zip") / "synthward.zip")


def clean_environment() -> dict[str, str]:
    """The environment without what a running session has left in it."""
    dropped = ("PYSPARK_", "SPARK_CONNECT", "SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_ENV", "SPARK_SUBMIT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}


def submit(root: Path, package: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """spark-submit of the main job with the package's zip, as on a cluster, in local mode."""
    jars = ",".join(str(path) for path in sorted((root / "jars").glob("*.jar")))
    conf = [word for name, value in SETTINGS.items() for word in ("--conf", f"{name}={value}")]
    command = [
        str(Path(sys.executable).with_name("spark-submit")),
        *("--master", "local[2]", "--jars", jars, "--py-files", str(package), *conf),
        str(root / "jobs" / "synthesize.py"),
        *words,
    ]
    return subprocess.run(
        command, cwd=cwd, env=clean_environment(), capture_output=True, text=True, timeout=LIMIT, check=False
    )


def prepared(spark: SparkSession, folder: Path) -> tuple[TestSite, Path]:
    site = TestSite(folder)
    site.write(spark)
    today = dt.datetime.now(dt.UTC)
    path = site.request(expires=today.date() + dt.timedelta(days=3))
    ready(site.open(spark, clock=Clock(today)), path)
    return site, path


def kill_after(site: TestSite, request: Path, step: str) -> None:
    command = [sys.executable, str(DRIVER), str(site.file), str(request), step]
    done = subprocess.run(
        command, cwd=site.root, env=clean_environment(), capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]


def facts(site: TestSite, spark: SparkSession, request: Path) -> dict[str, Any]:
    """What the ledger and the journal hold, read by a driver that was not there."""
    opened = site.open(spark)
    links = opened.history(opened.plan(opened.request(request)).identity.run_id)
    seals = [link.hash for link in links if link.kind == "sealed"]
    return {"charges": charges(opened), "kinds": [link.kind for link in links], "seals": seals}


WHERE = {
    "charge": ["opened"],
    "draw": ["opened"],
    "seal": ["opened", "sealed"],
    "sample": ["opened", "sealed"],
    "register": ["opened", "sealed", "validated"],
}


@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=[] if step == "seal" else pytest.mark.slow) for step in WHERE]
)
def test_a_killed_run_is_finished_by_spark_submit(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path, step: str
) -> None:
    site, request = prepared(spark, tmp_path)
    kill_after(site, request, step)
    before = facts(site, spark, request)
    assert before["kinds"] == WHERE[step]
    assert before["charges"] == 1
    words = ("--site", str(site.file), "--request", str(request))
    done = submit(root, package, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    [line] = [text for text in done.stdout.splitlines() if text.startswith("{")]
    result = json.loads(line)
    assert result["is_new"] is True
    after = facts(site, spark, request)
    assert after["charges"] == 1
    assert after["kinds"] == ["opened", "sealed", "validated", "published"]
    if before["seals"]:
        assert after["seals"] == before["seals"]
    opened = site.open(spark)
    rows = opened.rows(result["release_id"])
    assert rows.count() == rows.select("_row").distinct().count() == 200
    assert opened.verify(SCOPE) == []


def test_spark_submit_ends_with_the_jobs_exit_code(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path
) -> None:
    """An unapproved request ends with 3 before Spark has anything to do; a wrong file ends with 2."""
    site = TestSite(tmp_path)
    request = site.request(expires=dt.datetime.now(dt.UTC).date() + dt.timedelta(days=3))
    done = submit(root, package, "--site", str(site.file), "--request", str(request), cwd=tmp_path)
    assert done.returncode == 3, done.stderr[-3000:]
    # spark-submit sends the driver's stderr to its own stdout.
    assert "approval is missing from: privacy_officer" in done.stdout
    assert not [text for text in done.stdout.splitlines() if text.startswith("{")]


@pytest.mark.slow
def test_spark_submit_ends_with_5_when_a_gate_fails(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path
) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    today = dt.datetime.now(dt.UTC)
    path = site.request(expires=today.date() + dt.timedelta(days=3), utility={"max_mean_tvd": 0})
    ready(site.open(spark, clock=Clock(today)), path)
    done = submit(root, package, "--site", str(site.file), "--request", str(path), cwd=tmp_path)
    assert done.returncode == 5, done.stderr[-3000:]
    assert "GateFailed" in done.stdout
