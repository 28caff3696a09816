"""The archive of dependencies: what goes in, and that its Python finds it wherever it is unpacked."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

import pack_environment as archive
from pack_environment import build_archive, needed


def test_what_is_packed_is_what_we_ask_for_without_spark_and_ourselves() -> None:
    names = {installed.name.lower() for installed in needed()}
    assert {"numpy", "pandas", "pyarrow", "opendp", "pyyaml", "jinja2"} <= names
    # What these ask for in turn comes along, extras do not.
    assert {"markupsafe", "python-dateutil"} <= names
    assert not names & {"synthward", "pyspark", "delta-spark", "py4j", "mlflow", "pytest"}
    assert {"mlflow"} <= {installed.name.lower() for installed in needed(["mlflow"])} - names


def test_its_python_finds_the_packages_wherever_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "needed", lambda _: [metadata.distribution("six")])
    target = build_archive(tmp_path / "out" / "env.tar.gz")
    home = tmp_path / "else where"
    with tarfile.open(target) as packed:
        assert not [name for name in packed.getnames() if name.endswith(".pyc") or ".." in name]
        packed.extractall(home, filter="data")
    given = {**os.environ, "PYTHONPATH": str(tmp_path), "SYNTHWARD_PYTHON": sys.executable}
    program = "import six, sys; print(six.__file__); print(sys.path.index(sys.argv[1]))"
    command = [str(home / "bin" / "python"), "-S", "-c", program, str(tmp_path)]
    found, place = subprocess.run(command, env=given, capture_output=True, text=True, check=True).stdout.splitlines()
    assert Path(found) == home / "packages" / "six.py"
    # What Spark puts on the path, our zip among it, comes first.
    assert int(place) == 1
    missing = subprocess.run(
        command, env={**given, "SYNTHWARD_PYTHON": "no-such-python"}, capture_output=True, text=True, check=False
    )
    assert missing.returncode == 127
    assert "this node has no no-such-python; set SYNTHWARD_PYTHON" in missing.stderr
