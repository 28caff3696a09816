"""The main job on a standalone cluster: two workers, executors that have numpy, pyarrow and the zip, nothing else."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pack_environment import build_archive
from submitted import Cluster, bare_python, prepared, standalone, submit
from synthward.spark.package import build_zip
from trial import SCOPE, charges

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_zip(tmp_path_factory.mktemp("zip") / "synthward.zip")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with standalone(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def executors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Settings of two small executors with a bare Python."""
    return {
        "spark.executor.memory": "768m",
        "spark.executor.cores": "1",
        "spark.pyspark.python": str(bare_python(tmp_path_factory.mktemp("bare") / "env")),
        "spark.pyspark.driver.python": sys.executable,
    }


def test_a_run_on_a_cluster_whose_executors_have_next_to_nothing(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path, cluster: Cluster, executors: dict[str, str]
) -> None:
    site, request = prepared(spark, tmp_path)
    words = ("--site", str(site.file), "--request", str(request), "--run-key", "a")
    done = submit(root, package, *words, cwd=tmp_path, master=cluster.master, conf=executors)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    [line] = [text for text in done.stdout.splitlines() if text.startswith("{")]
    opened = site.open(spark)
    rows = opened.rows(json.loads(line)["release_id"])
    assert rows.count() == rows.select("_row").distinct().count() == 200
    assert charges(opened) == 1
    assert opened.verify(SCOPE) == []
    # Two executors did it, each in a process of its own.
    assert len({path.parent.name for path in cluster.work.glob("*/*/stderr")}) == 2


def test_executors_without_the_package_are_found_before_anything_is_spent(
    spark: SparkSession, tmp_path: Path, root: Path, cluster: Cluster, executors: dict[str, str]
) -> None:
    site, request = prepared(spark, tmp_path)
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w") as archive:
        archive.writestr("nothing.txt", "")
    words = ("--site", str(site.file), "--request", str(request))
    here = {"PYTHONPATH": str(root / "lib")}  # the driver has the package, by other means than the zip
    done = submit(root, empty, *words, cwd=tmp_path, master=cluster.master, conf=executors, env=here)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert "executors cannot run Synthward's Python code" in done.stdout + done.stderr
    assert charges(site.open(spark)) == 0


def test_a_run_with_the_packed_environment_on_executors(
    spark: SparkSession, tmp_path: Path, root: Path, package: Path, cluster: Cluster
) -> None:
    """The archive of `make env-pack` is unpacked by Spark beside each executor, whose Python it then is."""
    site, request = prepared(spark, tmp_path)
    archive = build_archive(tmp_path / "env.tar.gz")
    conf = {
        "spark.executor.memory": "768m",
        "spark.executor.cores": "1",
        "spark.archives": f"{archive}#environment",
        "spark.pyspark.python": "./environment/bin/python",
        "spark.pyspark.driver.python": sys.executable,
        "spark.executorEnv.SYNTHWARD_PYTHON": sys.base_prefix + "/bin/python3",
    }
    words = ("--site", str(site.file), "--request", str(request))
    done = submit(root, package, *words, cwd=tmp_path, master=cluster.master, conf=conf)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert charges(site.open(spark)) == 1


def test_a_driver_on_a_standalone_cluster_is_not_possible(
    tmp_path: Path, root: Path, package: Path, cluster: Cluster
) -> None:
    """Spark's own rule for Python, which docs/running.md tells."""
    done = submit(root, package, cwd=tmp_path, master=cluster.master, options=("--deploy-mode", "cluster"))
    assert done.returncode != 0
    assert "Cluster deploy mode is currently not supported for python applications" in done.stdout + done.stderr
