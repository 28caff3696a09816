"""`synthward doctor`: checks that this machine or cluster has what a run needs. It reads no protected data."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import synthward
from synthward.errors import SynthwardError
from synthward.run.doctor import (
    Finding,
    failure,
    guarded,
    private_files_finding,
    session_findings,
    site_findings,
    tracking_finding,
)
from synthward.spark import jars
from synthward.spark.java import find_java
from synthward.spec.site import Site, load_site

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Package -> (oldest version, first version that is too new, True if a run needs it); the ranges of pyproject.toml.
_PACKAGES: dict[str, tuple[str, str | None, bool]] = {
    "pyspark": ("4.0.1", "4.3", True),
    "delta-spark": ("4.0.1", "4.5", False),
    "pandas": ("2.2", "3", True),
    "numpy": ("1.26", None, True),
    "pyarrow": ("18", None, True),
    "opendp": ("0.16", "0.17", True),
    "mlflow": ("3", "4", False),
}


def diagnose(
    spark_factory: Callable[[], SparkSession],
    site_path: Path | None = None,
    *,
    checks: Sequence[Callable[[], Finding]] = (),
    scratch: str | None = None,
) -> list[Finding]:
    """Check everything. A failed check does not stop the others.

    Args:
        spark_factory: Returns the session. Called only if Java and the JARs are in order. The caller stops the session.
        site_path: The site file, for its zones, ledger and tracking server.
        checks: Further checks. A check that raises an error becomes a failed finding.
        scratch: See `run.doctor.session_findings`.
    """
    findings = _packages()
    platform_checks = [guarded("java", _java), guarded("delta jars", _jars)]
    findings += platform_checks
    spark = None
    if all(finding.ok for finding in platform_checks):
        spark, found = _spark(spark_factory, scratch)
        findings += found
    else:
        findings.append(Finding("spark", False, "not started", "fix java and delta jars above first"))
    return [*findings, *_about_site(spark, site_path), *(guarded(_name(check), check) for check in checks)]


def doctor(spark: SparkSession, site: str | Path | None = None, *, scratch: str | None = None) -> list[Finding]:
    """Check everything that a run needs, with an existing session. For notebooks and jobs.

    Args:
        spark: The session.
        site: The site file, for its zones, ledger and tracking server.
        scratch: See `run.doctor.session_findings`.

    Returns:
        The findings. `synthward.run.doctor.render(findings)` gives them as text.
    """
    _, found = _spark(lambda: spark, scratch)
    return [*_packages(), *found, *_about_site(spark, None if site is None else Path(site))]


def _about_site(spark: SparkSession | None, path: Path | None) -> list[Finding]:
    """Check zones, tracking and ledger. Without a session, check only what needs no session."""
    site, findings = _site(path)
    if site is None:
        return findings
    if spark is None:
        return [
            Finding("site", True, site.name),
            guarded("tracking", lambda: tracking_finding(site)),
            guarded("private files", lambda: private_files_finding(site, jars.settings_in_force(os.environ, {}))),
        ]
    return site_findings(spark, site)


def _packages() -> list[Finding]:
    return [_python(), *(_package(name) for name in _PACKAGES)]


def _name(check: Callable[[], Finding]) -> str:
    return getattr(check, "__name__", "check").strip("_")


def _python() -> Finding:
    detail = f"{platform.python_version()} ({sys.executable}), synthward {synthward.__version__}"
    ok = sys.version_info >= (3, 11)
    return Finding("python", ok, detail, "" if ok else "use Python 3.11 or newer")


def _package(name: str) -> Finding:
    oldest, too_new, needed = _PACKAGES[name]
    version = jars.spark_version() if name == "pyspark" and _has_pyspark() else jars.installed_version(name)
    allowed = f">={oldest}" + (f",<{too_new}" if too_new else "")
    if version is None:
        return Finding(name, not needed, "not installed", f"pip install '{name}{allowed}'" if needed else "")
    found = jars.version_tuple(version)
    fits = found >= jars.version_tuple(oldest) and (too_new is None or found < jars.version_tuple(too_new))
    return Finding(name, fits, version, "" if fits else f"pip install '{name}{allowed}'")


def _has_pyspark() -> bool:
    return jars.spark_home({}) is not None


def _java() -> Finding:
    if _foreign_jvm():
        return Finding("java", True, "the platform's own")
    java = find_java(os.environ)
    return Finding("java", True, f"Java {java.major} ({java.source}: {java.executable})")


def _jars() -> Finding:
    if _foreign_jvm():
        return Finding("delta jars", True, "the platform's own")
    plan = jars.plan_for(os.environ, {})
    return Finding("delta jars", True, f"{plan.source}: {plan.detail}")


def _foreign_jvm() -> bool:
    """True if another program starts Spark's JVM: spark-submit, Databricks or a Connect server."""
    remote = os.environ.get("SPARK_REMOTE", "").startswith("sc://")
    return remote or jars.DATABRICKS_VARIABLE in os.environ or "PYSPARK_GATEWAY_PORT" in os.environ


def _spark(spark_factory: Callable[[], SparkSession], scratch: str | None) -> tuple[SparkSession | None, list[Finding]]:
    try:
        spark = spark_factory()
        _ = spark.version
    except Exception as error:  # noqa: BLE001 - any error of Spark is the finding
        return None, [failure("spark", error)]
    return spark, session_findings(spark, scratch)


def _site(path: Path | None) -> tuple[Site | None, list[Finding]]:
    """Return the site, and the findings about its file."""
    if path is None:
        return None, [Finding("site", True, "not checked: no site file, so no zones, tracking and ledger")]
    try:
        return load_site(path), []
    except (SynthwardError, OSError) as error:
        return None, [failure("site", error)]
