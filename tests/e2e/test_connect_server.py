"""The whole job on a Spark Connect server whose Python has numpy and pyarrow, and has never seen Synthward."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from submitted import bare_python, clean_environment, connect_server, finished, prepared, result_line, whole
from trial import charges

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# A driver that opens its session by itself and sends nothing.
UNEQUIPPED = """
import sys
from pathlib import Path
from pyspark.sql import SparkSession
from synthward.api import Ward
from synthward.spec.site import load_site
ward = Ward(SparkSession.builder.remote(sys.argv[1]).getOrCreate(), load_site(Path(sys.argv[2])))
ward.run(ward.request(sys.argv[3]))
"""


@pytest.fixture(scope="module")
def server(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("connect")
    with connect_server(root, folder, bare_python(folder / "env")) as address:
        yield address


def driver(root: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A program of ours that has the package; the server does not share its path."""
    environment = clean_environment() | {"PYTHONPATH": str(root / "lib")}
    return finished([sys.executable, *words], folder, environment)


def told(done: subprocess.CompletedProcess[str]) -> str:
    """What a driver said, without the server's stack."""
    return "\n".join(line for line in done.stderr.splitlines() if not line.startswith("\tat "))[-3000:]


def test_the_whole_job_on_a_server_that_never_saw_the_package(
    spark: SparkSession, tmp_path: Path, root: Path, server: str
) -> None:
    site, request = prepared(spark, tmp_path)
    alone = driver(root, tmp_path, "-c", UNEQUIPPED, server, str(site.file), str(request))
    assert alone.returncode == 1
    assert "executors cannot run Synthward's Python code" in alone.stderr
    assert 'spark.addArtifacts("synthward.zip", pyfile=True)' in alone.stderr
    assert charges(site.open(spark)) == 0

    words = ("-m", "synthward.cli", "run", str(request), "--site", str(site.file), "--remote", server)
    done = driver(root, tmp_path, *words)
    assert done.returncode == 0, told(done)
    line = result_line(done.stdout)
    assert line["is_new"] is True
    whole(site, spark, request, line["release_id"])
    again = driver(root, tmp_path, *words)
    assert again.returncode == 0, told(again)
    assert json.loads(again.stdout) == {**line, "is_new": False}
