"""The doctor on a working session, and on things that are broken."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

import synthward
from synthward.cli.main import main
from synthward.errors import EnvironmentProblem
from synthward.run import preflight
from synthward.run.doctor import Finding, render, session_findings
from synthward.spark import doctor
from synthward.spark.doctor import diagnose
from trial import TestSite, heard, open_budget


@pytest.mark.connect
def test_all_in_order_here(spark: SparkSession, zone_dir: str) -> None:
    def ledger() -> Finding:
        return Finding("ledger", True, "open")

    findings = diagnose(lambda: spark, scratch=zone_dir, checks=[ledger])
    assert [finding for finding in findings if not finding.ok] == []
    names = [finding.name for finding in findings]
    assert names[:8] == ["python", "pyspark", "delta-spark", "pandas", "numpy", "pyarrow", "opendp", "mlflow"]
    assert names[8:] == ["java", "delta jars", "spark", "delta table", "workers", "site", "ledger"]
    assert render(findings).endswith(f"all {len(findings)} in order")


@pytest.mark.connect
def test_workers_that_differ_are_named_by_the_runs_own_check(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight.synthward, "__version__", "9.9")
    with pytest.raises(EnvironmentProblem) as refused:
        preflight.check_executors(spark)
    [workers] = [finding for finding in session_findings(spark) if finding.name == "workers"]
    assert not workers.ok
    assert workers.detail == str(refused.value)
    assert "synthward 9.9" in workers.detail
    assert "PYSPARK_PYTHON" in workers.detail


@pytest.mark.connect
def test_the_api_looks_at_the_site_with_the_checks_of_a_run(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    ward = site.open(spark)
    open_budget(site.open(spark))
    findings = ward.doctor()
    assert [finding.name for finding in findings] == [
        *("spark", "delta table", "workers", "site", "zones", "tracking", "private files", "ledger")
    ]
    assert all(finding.ok for finding in findings), render(findings)
    # What a zone is tried with is gone again.
    assert not list((tmp_path / "zones").rglob("*probe*"))
    broken = TestSite(tmp_path / "b", site={"releases": "./zones/releases"})
    (tmp_path / "b" / "zones").mkdir()
    (tmp_path / "b" / "zones" / "releases").write_text("a file", encoding="utf-8")
    told = {finding.name: finding for finding in synthward.doctor(spark, broken.file)}
    assert not told["zones"].ok
    assert "the release zone" in told["zones"].detail
    assert told["workers"].ok


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


def test_a_site_that_is_wrong_is_a_finding_and_one_that_is_right_names_its_server(tmp_path: Path) -> None:
    site = TestSite(tmp_path, site={"tracking": {"enabled": True, "uri": "http://127.0.0.1:1"}})
    without_session = {finding.name: finding for finding in doctor._about_site(None, site.file)}
    assert without_session["site"].ok
    assert not without_session["tracking"].ok
    site.file.write_text("version: 1\n", encoding="utf-8")
    [finding] = doctor._about_site(None, site.file)
    assert (finding.name, finding.ok) == ("site", False)
