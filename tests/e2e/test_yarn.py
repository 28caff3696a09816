"""The main job on YARN, with source, ledger and zones in HDFS; nodes bring Python, the archive all that it imports.

Needs what `make extras` makes and `make test-all` names: SYNTHWARD_YARN_JARS, a folder with Hadoop's own daemons.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hadoop_cluster import Hadoop, hadoop
from pack_environment import build_archive
from submitted import SETTINGS, SPARK_HOME, prepared, result_line, submit, whole
from synthward.spark.package import build_zip
from trial import SCOPE, TestSite, charges

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
HERE = Path(__file__).parent

Submit = Callable[..., subprocess.CompletedProcess[str]]
Where = Callable[[TestSite, Path], tuple[tuple[str, ...], tuple[str, ...]]]

FLAT = ("site.yaml", "policy.yaml", "request.yaml", "domain.yaml")
"""What a driver on the cluster is sent; there are no code books here."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hadoop]:
    jars = os.environ.get("SYNTHWARD_YARN_JARS")
    if jars is None:
        pytest.skip("no daemons of Hadoop's; `make extras`, then set SYNTHWARD_YARN_JARS to .extras/yarnjars")
    with hadoop(tmp_path_factory.mktemp("hadoop"), Path(jars)) as running:
        yield running


@pytest.fixture(scope="module")
def on_yarn(root: Path, tmp_path_factory: pytest.TempPathFactory, cluster: Hadoop) -> Submit:
    """spark-submit to the cluster, with the zip and the archive of `make zip env-pack`."""
    folder = tmp_path_factory.mktemp("packed")
    package, archive = build_zip(folder / "synthward.zip"), build_archive(folder / "env.tar.gz")
    python = f"{sys.base_prefix}/bin/python3"
    settings = {
        "spark.executor.memory": "640m",
        "spark.executor.cores": "1",
        "spark.executor.extraJavaOptions": SETTINGS["spark.driver.extraJavaOptions"],
        "spark.yarn.am.memory": "384m",
        "spark.yarn.jars": f"local:{SPARK_HOME}/jars/*",
        "spark.pyspark.python": "./environment/bin/python",
        "spark.pyspark.driver.python": sys.executable,
        **{
            f"spark.{who}.{name}": value
            for who in ("executorEnv", "yarn.appMasterEnv")
            for name, value in (("SYNTHWARD_PYTHON", python), ("SPARK_LOCAL_IP", "127.0.0.1"))
        },
    }

    def run(*words: str, options: Sequence[str], conf: Mapping[str, str] = {}, folders: str = "", **more: Any) -> Any:
        archives = f"{archive}#environment" + (f",{folders}" if folders else "")
        return submit(
            root,
            package,
            *words,
            cwd=folder,
            master="yarn",
            conf={**settings, **conf},
            env={"HADOOP_CONF_DIR": str(cluster.conf)},
            options=("--archives", archives, *options),
            **more,
        )

    return run


def in_client(site: TestSite, request: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words and options of a driver outside of the cluster."""
    return ("--site", str(site.file), "--request", str(request)), ("--deploy-mode", "client")


IN_CLUSTER = ("--deploy-mode", "cluster", "--conf", "spark.pyspark.driver.python=./environment/bin/python")


def in_cluster(site: TestSite, request: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Words and options of a driver in a container, where its files lie side by side."""
    files = ",".join(str(site.root / name) for name in FLAT)
    return ("--site", site.file.name, "--request", request.name), (*IN_CLUSTER, "--files", files)


def told(spark: SparkSession, result: str) -> dict[str, Any]:
    """What a run wrote to `--result`."""
    found: dict[str, Any] = json.loads(spark.read.text(result).collect()[0][0])
    return found


def test_a_driver_outside_of_the_cluster(spark: SparkSession, tmp_path: Path, cluster: Hadoop, on_yarn: Submit) -> None:
    """Executors come and go, and what they spill is encrypted."""
    site, request = prepared(spark, tmp_path, away=f"{cluster.files}/client")
    conf = {
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.maxExecutors": "2",
        "spark.dynamicAllocation.executorIdleTimeout": "10s",
        "spark.io.encryption.enabled": "true",
    }
    words, options = in_client(site, request)
    done = on_yarn(*words, conf=conf, options=options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    line = result_line(done.stdout)
    assert line["table"].startswith(f"{cluster.files}/client/releases/visits__r")
    whole(site, spark, request, line["release_id"])


def test_a_driver_on_the_cluster(spark: SparkSession, tmp_path: Path, cluster: Hadoop, on_yarn: Submit) -> None:
    """How it ended is in HDFS and in the log of its container."""
    site, request = prepared(spark, tmp_path, away=f"{cluster.files}/cluster")
    result = f"{cluster.files}/cluster/result"
    words, options = in_cluster(site, request)
    done = on_yarn(*words, "--result", result, options=options)
    assert done.returncode == 0, done.stderr[-3000:]
    ended = told(spark, result)
    assert (ended["status"], ended["code"]) == ("published", 0)
    whole(site, spark, request, ended["release_id"])
    logs = [log.read_text("utf-8") for log in cluster.logs.glob("*/*/*/stdout")]
    [printed] = [text for text in logs if ended["release_id"] in text]
    assert result_line(printed)["table"] == ended["table"]


@pytest.mark.parametrize(("where", "code"), [(in_client, 3), (in_cluster, 1)])
def test_a_refusal_is_told_in_full_where_the_client_learns_failure_only(
    spark: SparkSession, tmp_path: Path, cluster: Hadoop, on_yarn: Submit, where: Where, code: int
) -> None:
    """The exit code reaches whoever submits from a driver outside of the cluster; `--result` has it from both."""
    home = f"{cluster.files}/refused-{code}"
    site, request = prepared(spark, tmp_path, away=home)
    # Approvals are bound to the request as it was.
    request.write_text(request.read_text("utf-8").replace("a trial", "another trial"), encoding="utf-8")
    words, options = where(site, request)
    done = on_yarn(*words, "--result", f"{home}/result", options=options)
    assert done.returncode == code, done.stderr[-3000:]
    ended = told(spark, f"{home}/result")
    assert (ended["status"], ended["code"], ended["retryable"]) == ("refused", 3, False)
    assert charges(site.open(spark)) == 0


def test_a_second_attempt_goes_on_where_the_first_driver_died(
    spark: SparkSession, tmp_path: Path, cluster: Hadoop, on_yarn: Submit
) -> None:
    """Site and request come in their folder, as an archive."""
    site, request = prepared(spark, tmp_path / "conf", away=f"{cluster.files}/attempts")
    folder = shutil.make_archive(str(tmp_path / "conf"), "zip", site.root)
    done = on_yarn(
        *(f"conf/{site.file.name}", f"conf/{request.name}", "seal"),
        script=str(HERE / "attempted_driver.py"),
        conf={"spark.yarn.maxAppAttempts": "2"},
        folders=f"{folder}#conf",
        options=IN_CLUSTER,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # The first container of each attempt is its driver's.
    drivers = [log.name for log in cluster.logs.glob("*/*/container_*_000001") if log.parent.name in done.stderr]
    assert sorted(name.split("_")[-2] for name in drivers) == ["01", "02"]
    [release] = site.open(spark).registry.rows(SCOPE)
    whole(site, spark, request, release["release_id"])
