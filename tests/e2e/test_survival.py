"""Trouble while a run is going on: executors that die, tasks that fail, a rival driver, a signal to end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from submitted import (
    LIMIT,
    Cluster,
    clean_environment,
    finished,
    prepared,
    program,
    result_line,
    standalone,
    submit,
    whole,
)
from synthward.sample._worker import BATCH_ROWS
from synthward.sample.local import sample_table
from synthward.sample.model_file import ModelFile
from synthward.spark.package import build_zip
from trial import exact_answers

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


pytestmark = [pytest.mark.e2e, pytest.mark.slow]
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_zip(tmp_path_factory.mktemp("zip") / "synthward.zip")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with standalone(tmp_path_factory.mktemp("cluster"), hosts=("127.0.0.1", "127.0.0.2")) as running:
        yield running


def troubled(happened: Path) -> dict[str, str]:
    """Settings of a cluster on which everything happens that `trouble` has, told in a folder that is made here."""
    happened.mkdir()
    return {
        "spark.executor.memory": "768m",
        "spark.executor.cores": "1",
        # Two rows a batch, so that a task that counts a dozen patients has more than one.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "2",
        "spark.speculation": "true",
        "spark.speculation.interval": "50ms",
        "spark.speculation.task.duration.threshold": "3s",
        "spark.executorEnv.SYNTHWARD_TEST_TROUBLE": str(happened),
        "spark.executorEnv.PYTHONPATH": str(HERE / "trouble"),
    }


AGGREGATE = [
    "a copy of the slow task began",
    "a task failed during aggregate",
    "a task was slow",
    "an executor was killed during aggregate",
]


def test_exact_integers_are_the_same_after_all_that_can_happen_to_a_task(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path, cluster: Cluster
) -> None:
    """Between two batches one task stands still until its copy has won, one fails, one loses its executor."""
    site, request = prepared(spark, tmp_path)
    done = submit(
        root,
        package,
        str(site.file),
        str(request),
        cwd=tmp_path,
        script=str(HERE / "exact_driver.py"),
        master=cluster.master,
        conf=troubled(tmp_path / "happened"),
        env={"PYTHONPATH": str(root / "tests")},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert sorted(path.name for path in (tmp_path / "happened").iterdir()) == AGGREGATE
    [line] = [text for text in done.stdout.splitlines() if text.startswith("{")]
    opened = site.open(spark)
    untroubled = exact_answers(spark, opened.plan(opened.request(request)))
    assert json.loads(line) == untroubled
    assert any(any(values) for values in untroubled.values())


def test_a_run_whose_executors_die_publishes_the_rows_of_its_model(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path, cluster: Cluster
) -> None:
    """One process draws the same rows from the stored model as tasks of which one lost its executor on the way."""
    rows = 3 * BATCH_ROWS
    site, request = prepared(spark, tmp_path, output={"rows": rows})
    words = ("--site", str(site.file), "--request", str(request))
    conf = troubled(tmp_path / "happened")
    done = submit(root, package, *words, cwd=tmp_path, master=cluster.master, conf=conf)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    happened = sorted(path.name for path in (tmp_path / "happened").iterdir())
    assert happened == [*AGGREGATE, "an executor was killed during sample"]
    release_id = result_line(done.stdout)["release_id"]
    whole(site, spark, request, release_id, rows)
    opened = site.open(spark)
    model = ModelFile.parse(opened.registry.artifact(release_id, "model.json").decode())
    seed = opened.request(request).request.output.sampling_seed
    drawn = sample_table(model, rows, seed).to_pydict()
    released = opened.rows(release_id).orderBy("_row").select(*drawn).toArrow().to_pydict()
    assert released == drawn


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
    done = finished([*command, where, "local[2]"], tmp_path, environment)
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
