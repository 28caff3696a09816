"""The doctor on a working session, and on things that are broken."""

from __future__ import annotations

import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from synthward.cli.main import main
from synthward.errors import EnvironmentProblem
from synthward.spark import doctor
from synthward.spark.doctor import Finding, diagnose, render, tracking
from trial import TestSite, heard, open_budget


@pytest.mark.connect
def test_all_in_order_here(spark: SparkSession, zone_dir: str) -> None:
    findings = diagnose(lambda: spark, scratch=zone_dir, checks=[lambda: Finding("ledger", True, "open")])
    assert [finding for finding in findings if not finding.ok] == []
    names = [finding.name for finding in findings]
    assert names[:8] == ["python", "pyspark", "delta-spark", "pandas", "numpy", "pyarrow", "opendp", "mlflow"]
    assert names[8:] == ["java", "delta jars", "spark", "delta table", "workers", "tracking", "private files", "ledger"]
    assert render(findings).endswith(f"all {len(findings)} in order")


@pytest.mark.connect
def test_workers_that_differ_are_named(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.jars, "installed_version", lambda package: "0.0.1")
    monkeypatch.setattr(doctor.synthward, "__version__", "9.9")
    finding = doctor._workers(spark)
    assert not finding.ok
    assert "numpy" in finding.detail
    assert "0.0.1 here" in finding.detail
    assert "PYSPARK_PYTHON" in finding.fix
    assert "--py-files build/synthward.zip" in finding.fix


@pytest.mark.slow
@pytest.mark.connect
def test_the_command_on_a_sound_and_on_a_corrupt_ledger(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = TestSite(tmp_path)
    open_budget(site.open(spark))
    words = ["doctor", "--site", str(site.file)]
    with heard():
        assert main(words) == 0, capsys.readouterr().out
        told = capsys.readouterr().out
        assert "clinic (epsilon left 1000" in told
        assert "in order" in told
        charges = f"delta.`{tmp_path / 'zones' / 'ledger' / 'charges'}`"
        spark.sql(f"ALTER TABLE {charges} SET TBLPROPERTIES ('delta.appendOnly' = 'false')").collect()
        spark.sql(f"UPDATE {charges} SET body = replace(body, '1000', '9999') WHERE key = 'clinic'").collect()
        assert main(words) == 1
        told = capsys.readouterr().out
    [finding] = [line for line in told.splitlines() if "ledger" in line and "edited after it was written" in line]
    assert finding.startswith("FAIL")
    assert "9999" not in told
    # A session that was there before is nobody's to stop.
    assert spark.range(1).count() == 1


def test_a_session_that_does_not_start_and_a_check_that_raises_are_findings() -> None:
    def broken() -> SparkSession:
        raise EnvironmentProblem("Spark did not start.\nDo this.")

    def ledger() -> Finding:
        raise RuntimeError("page one\npage two")

    findings = {finding.name: finding for finding in diagnose(broken, checks=[ledger])}
    assert findings["spark"] == Finding("spark", False, "Spark did not start.", "Do this.")
    assert findings["ledger"] == Finding("ledger", False, "RuntimeError: page one", "")
    assert "workers" not in findings


def test_without_java_spark_is_not_started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("SPARK_REMOTE", "PYSPARK_GATEWAY_PORT", "DATABRICKS_RUNTIME_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    findings = {finding.name: finding for finding in diagnose(lambda: pytest.fail("started"))}
    assert not findings["java"].ok
    assert "apt-get install -y openjdk-17" in findings["java"].fix
    assert findings["spark"].detail == "not started"


def test_site_names_the_tracking_server(tmp_path: Path) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(
        "version: 1\nname: Test\npolicy: policy.yaml\n"
        "ledger: ./z/ledger\nprotected: ./z/protected\nreleases: ./z/releases\n"
        "tracking: {uri: 'sqlite:///nowhere/mlflow.db'}\n"
    )
    uri, findings = doctor._site(site)
    assert [finding.ok for finding in findings] == [True]
    assert uri is not None
    assert not tracking(uri).ok
    site.write_text("version: 1\n")
    uri, findings = doctor._site(site)
    assert uri is None
    assert [finding.ok for finding in findings] == [False]


def test_tracking_server_that_never_answers_costs_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TRACKING_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        finding = tracking(f"http://user:secret@127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - start < 5
    assert not finding.ok
    assert "secret" not in finding.detail + finding.fix


@pytest.mark.parametrize(("status", "ok"), [(200, True), (401, True), (500, False)])
def test_tracking_server_that_answers(status: int, ok: bool) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        finding = tracking(f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()
    assert (finding.ok, str(status) in finding.detail) == (ok, True)


def test_tracking_never_imports_mlflow_nor_creates_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "mlflow", raising=False)
    assert tracking(f"sqlite:///{tmp_path}/mlflow.db").ok
    assert not tracking(f"sqlite:///{tmp_path}/none/mlflow.db").ok
    assert tracking("databricks").detail.startswith("databricks")
    assert list(tmp_path.iterdir()) == []
    assert "mlflow" not in sys.modules
