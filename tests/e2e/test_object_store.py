"""Source, ledger and zones in an S3 bucket, against moto's server: nothing leaves this machine.

Needs what `make extras` makes and `make test-all` names by two variables: SYNTHWARD_MOTO_PYTHON, the Python of an
environment with `moto[server]`, and SYNTHWARD_S3_JARS, a folder with hadoop-aws of Spark's own Hadoop version, the AWS
bundle that it asks for, and analyticsaccelerator-s3.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from submitted import clean_environment, finished, free_port, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
DRIVER = Path(__file__).with_name("object_store_driver.py")


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """A server with one empty bucket."""
    python = os.environ.get("SYNTHWARD_MOTO_PYTHON")
    if python is None:
        pytest.skip("no S3 server; `make extras`, then set SYNTHWARD_MOTO_PYTHON to .extras/moto/bin/python")
    port = free_port()
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with (tmp_path / "moto.log").open("wb") as log:
        command = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, env=own, stdout=log, stderr=log)
    try:
        wait_for(port)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("PUT", "/clinic")
        assert connection.getresponse().status == 200
        connection.close()
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()


def test_a_whole_run_in_a_bucket_and_a_ledger_that_is_refused(root: Path, tmp_path: Path, endpoint: str) -> None:
    jars = os.environ.get("SYNTHWARD_S3_JARS")
    if jars is None:
        pytest.skip("no S3 client for Spark; `make extras`, then set SYNTHWARD_S3_JARS to .extras/s3jars")
    environment = clean_environment() | {
        "PYTHONPATH": os.pathsep.join([str(root / "lib"), str(root / "tests")]),
        "SYNTHWARD_JARS_DIR": str(root / "jars"),
    }
    command = [sys.executable, str(DRIVER), str(tmp_path), endpoint, jars]
    done = finished(command, tmp_path, environment)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert "single_writer" in found.pop("refused")
    assert found.pop("table").startswith("s3a://clinic/releases/visits__r")
    assert found == {"new": [True, False], "rows": 200, "charges": 1, "problems": [], "status": "unchanged"}
