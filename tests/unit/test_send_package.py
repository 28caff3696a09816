"""A Connect server elsewhere is sent the package, once a session, and its refusal is not the end. Without Spark."""

from __future__ import annotations

import logging
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

import synthward
from synthward.spark.package import build_zip
from synthward.spark.session import build_session

MARKS = ("SPARK_REMOTE", "PYSPARK_GATEWAY_PORT", "DATABRICKS_RUNTIME_VERSION")


class Remote:
    """Builder and session of a server that keeps the names in the archives it is sent."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.refusal = refusal
        self.sent: list[list[str]] = []
        self.address = ""

    def appName(self, name: str) -> Remote:
        return self

    def remote(self, address: str) -> Remote:
        self.address = address
        return self

    def config(self, key: str, value: str) -> Remote:
        return self

    def getOrCreate(self) -> Remote:
        return self

    def addArtifacts(self, path: str, *, pyfile: bool = False) -> None:
        if self.refusal is not None:
            raise self.refusal
        assert pyfile, "a file that is not on the workers' path is of no use"
        self.sent.append(zipfile.ZipFile(path).namelist())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`build_session` against a double of a server."""
    for name in MARKS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: None)

    def run(server: Remote) -> None:
        monkeypatch.setattr(SparkSession, "builder", server)
        assert build_session("test", remote="sc://elsewhere:15002") is server
        assert server.address == "sc://elsewhere:15002"

    return run


def test_a_server_elsewhere_is_sent_the_package(opened: Any) -> None:
    server = Remote()
    opened(server)
    [names] = server.sent
    assert {"synthward/kernels/_worker.py", "synthward/sample/_worker.py", "synthward/run/_worker.py"} <= set(names)


def test_a_driver_that_came_with_a_zip_sends_that(opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = build_zip(tmp_path / "synthward.zip")
    monkeypatch.setattr(synthward, "__file__", str(archive / "synthward" / "__init__.py"))
    server = Remote()
    opened(server)
    [names] = server.sent
    assert "synthward/kernels/_worker.py" in names


def test_a_server_that_takes_no_files_is_left_to_preflight(opened: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="synthward"):
        opened(Remote(PySparkException("not here")))
    assert "the Connect server did not accept the package" in caplog.text


def test_on_databricks_the_wheel_is_installed_and_nothing_is_sent(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    server = Remote()
    monkeypatch.setattr(SparkSession, "builder", server)
    build_session("test", remote="sc://elsewhere:15002")
    assert server.sent == []
