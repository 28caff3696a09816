"""Trouble while a run is going on: executors that die, tasks that fail, a rival driver, a signal to end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from submitted import LIMIT, clean_environment, facts, prepared, program, standalone, submit
from synthward.spark.package import build_zip
from trial import SCOPE

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from trial import TestSite

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_zip(tmp_path_factory.mktemp("zip") / "synthward.zip")


def result_line(stdout: str) -> dict[str, Any]:
    """The JSON line of a run."""
    [line] = [text for text in stdout.splitlines() if text.startswith('{"run_id"')]
    found: dict[str, Any] = json.loads(line)
    return found


def whole(site: TestSite, spark: SparkSession, request: Path, release_id: str) -> None:
    """One charge, one seal, one release with every row once."""
    after = facts(site, spark, request)
    assert (after["charges"], len(after["seals"])) == (1, 1)
    assert after["kinds"] == ["opened", "sealed", "fitted", "validated", "published"]
    opened = site.open(spark)
    rows = opened.rows(release_id)
    assert rows.count() == rows.select("_row").distinct().count() == 200
    assert opened.verify(SCOPE) == []


def test_executors_die_and_a_task_fails_under_speculation(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path
) -> None:
    site, request = prepared(spark, tmp_path)
    happened = tmp_path / "happened"
    happened.mkdir()
    conf = {
        "spark.executor.memory": "768m",
        "spark.executor.cores": "1",
        "spark.speculation": "true",
        "spark.speculation.interval": "50ms",
        "spark.executorEnv.SYNTHWARD_TEST_TROUBLE": str(happened),
        "spark.executorEnv.PYTHONPATH": str(HERE / "trouble"),
    }
    words = ("--site", str(site.file), "--request", str(request))
    with standalone(tmp_path) as cluster:
        done = submit(root, package, *words, cwd=tmp_path, master=cluster.master, conf=conf)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert sorted(path.name for path in happened.iterdir()) == [
        "a task failed",
        "an executor was killed during aggregate",
        "an executor was killed during sample",
    ]
    whole(site, spark, request, result_line(done.stdout)["release_id"])


def test_two_live_drivers_of_one_run_make_one_release(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path
) -> None:
    site, request = prepared(spark, tmp_path)
    words = ("--site", str(site.file), "--request", str(request))
    command = program(root, "synthesize.py", *words, package=package, master="local[1]", conf={})
    drivers = [
        subprocess.Popen(command, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [driver.communicate(timeout=LIMIT)[0] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0], printed
    lines = [result_line(text) for text in printed]
    assert len({line["release_id"] for line in lines}) == len({line["table"] for line in lines}) == 1
    whole(site, spark, request, lines[0]["release_id"])


@pytest.mark.parametrize(("step", "where"), [("charge", "--master"), ("measure moments", "--remote")])
def test_sigterm_ends_in_order_and_the_same_command_resumes(
    spark: SparkSession, tmp_path: Path, root: Path, step: str, where: str
) -> None:
    """Resumed by a driver of the same kind, or over Connect with a server of its own."""
    site, request = prepared(spark, tmp_path)
    result = tmp_path / "result.json"
    words = ["run", str(request), "--site", str(site.file), "--result", str(result), "--log-format", "json"]
    command = [sys.executable, "-m", "synthward.cli", *words]
    environment = {**clean_environment(), "PYTHONPATH": str(root / "lib"), "SYNTHWARD_JARS_DIR": str(root / "jars")}
    driver = subprocess.Popen(
        [*command, "--master", "local[2]"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert driver.stderr is not None
    for line in driver.stderr:
        told = json.loads(line) if line.startswith("{") else {}
        if (told.get("step"), told.get("state")) == (step, "done"):
            driver.send_signal(signal.SIGTERM)
            break
    _, rest = driver.communicate(timeout=LIMIT)
    assert driver.returncode == 1, rest[-3000:]
    ended = json.loads(result.read_text(encoding="utf-8"))
    assert (ended["status"], ended["retryable"], ended["error"]) == ("stopped", True, "Terminated")
    assert "running the same command again resumes the run" in rest
    done = subprocess.run(
        [*command, where, "local[2]"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(result.read_text(encoding="utf-8"))["status"] == "published"
    whole(site, spark, request, result_line(done.stdout)["release_id"])


def test_sigterm_at_spark_submit_reaches_java_alone_and_the_same_command_resumes(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path
) -> None:
    """The driver's Python is a child of Java, which gets the signal: the run ends as in a crash."""
    site, request = prepared(spark, tmp_path)
    result = tmp_path / "result.json"
    words = ("--site", str(site.file), "--request", str(request), "--result", str(result), "--log-format", "json")
    command = program(root, "synthesize.py", *words, package=package, master="local[2]", conf={})
    driver = subprocess.Popen(
        command, cwd=tmp_path, env=clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert driver.stdout is not None
    for line in driver.stdout:
        told = json.loads(line) if line.startswith('{"at"') else {}
        if (told.get("step"), told.get("state")) == ("charge", "done"):
            driver.send_signal(signal.SIGTERM)
            break
    # The pipe ends when Python has ended as well.
    rest, _ = driver.communicate(timeout=LIMIT)
    assert driver.returncode == 143, rest[-3000:]
    if result.exists():  # Python may have been in the middle of something else than a call of Java
        ended = json.loads(result.read_text(encoding="utf-8"))
        assert (ended["status"], ended["code"], ended["retryable"]) == ("failed", 1, True)
    done = submit(root, package, *words, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert json.loads(result.read_text(encoding="utf-8"))["status"] == "published"
    whole(site, spark, request, result_line(done.stdout)["release_id"])
