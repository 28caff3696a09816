"""SIGKILL at any point, then spark-submit of the real job: one charge, one seal, one release, exit code 0."""

from __future__ import annotations

import datetime as dt
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from submitted import clean_environment, facts, finished, prepared, submit
from synthward.spark.package import build_zip
from trial import SCOPE, Clock, TestSite, ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.e2e
DRIVER = Path(__file__).with_name("killed_driver.py")


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_zip(tmp_path_factory.mktemp("zip") / "synthward.zip")


def kill_after(site: TestSite, request: Path, step: str) -> None:
    command = [sys.executable, str(DRIVER), str(site.file), str(request), step]
    done = finished(command, site.root, clean_environment())
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]


WHERE = {
    "charge": ["opened"],
    "draw": ["opened"],
    "seal": ["opened", "sealed"],
    "fitted": ["opened", "sealed", "fitted"],
    "sample": ["opened", "sealed", "fitted"],
    "register": ["opened", "sealed", "fitted", "validated"],
}


LADDER = (
    "preflight",
    "open",
    "charge",
    "aggregate",
    "draw",
    "seal",
    "measure moments",
    "fitted",
    "sample",
    "quality",
    "validate",
    "register",
    "publish",
)
"""Every step that another one follows."""


@pytest.mark.slow
def test_a_run_killed_between_every_two_steps_in_turn(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path
) -> None:
    """Eleven drivers, each killed one step later than the one before, and a twelfth that finishes: one charge."""
    site, request = prepared(spark, tmp_path)
    seals: set[str] = set()
    for step in LADDER:
        kill_after(site, request, step)
        found = facts(site, spark, request)
        assert found["charges"] == (0 if step in ("preflight", "open") else 1), step
        seals |= set(found["seals"])
    done = submit(root, package, "--site", str(site.file), "--request", str(request), cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    [line] = [text for text in done.stdout.splitlines() if text.startswith("{")]
    after = facts(site, spark, request)
    assert (after["charges"], after["kinds"]) == (1, ["opened", "sealed", "fitted", "validated", "published"])
    assert seals == set(after["seals"])
    rows = site.open(spark).rows(json.loads(line)["release_id"])
    assert rows.count() == rows.select("_row").distinct().count() == 200
    assert site.open(spark).verify(SCOPE) == []


# One of them in `make test`: killed with a sealed answer and nothing else, the place where a second draw would hurt.
@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=() if step == "seal" else pytest.mark.slow) for step in WHERE]
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
    assert after["kinds"] == ["opened", "sealed", "fitted", "validated", "published"]
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
