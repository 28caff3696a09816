"""`synthward doctor`: does this machine or cluster have what a run needs? It reads no protected data."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import synthward
from synthward.errors import SynthwardError
from synthward.spark import jars
from synthward.spark.java import find_java
from synthward.spark.private import open_to_others
from synthward.spec.site import load_site
from synthward.tracking.database import HALF_MADE, NO_DATABASE, fault, file_of

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import SparkSession

TRACKING_SECONDS = 5.0
# Enough tasks that a cluster of a few executors sees at least one each.
_PROBE_TASKS = 16

# Package -> (oldest, first that is too new, whether a run needs it); the ranges of pyproject.toml.
_PACKAGES: dict[str, tuple[str, str | None, bool]] = {
    "pyspark": ("4.0.1", "4.3", True),
    "delta-spark": ("4.0.1", "4.5", False),
    "pandas": ("2.2", "3", True),
    "numpy": ("1.26", None, True),
    "pyarrow": ("18", None, True),
    "opendp": ("0.16", "0.17", True),
    "mlflow": ("3", "4", False),
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Attributes:
        name: What, in one or two words.
        ok: Whether a run can work with it.
        detail: What was found.
        fix: What to do; empty when nothing has to be done.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""


def diagnose(
    spark_factory: Callable[[], SparkSession],
    site_path: Path | None = None,
    *,
    checks: Sequence[Callable[[], Finding]] = (),
    scratch: str | None = None,
) -> list[Finding]:
    """Look at everything, and never stop at the first failure.

    Args:
        spark_factory: Gives the session; called only when Java and the JARs are in order. The caller stops it.
        site_path: The site file, for the tracking server it names.
        checks: More to look at, for instance the ledger's state; one that raises becomes a failed finding.
        scratch: Directory URI for a small Delta table, shared by all executors. Default: a local temporary directory,
            which suits a local session only.
    """
    findings = [_python(), *(_package(name) for name in _PACKAGES)]
    platform_checks = [_guarded("java", _java), _guarded("delta jars", _jars)]
    findings += platform_checks
    if all(finding.ok for finding in platform_checks):
        findings += _spark(spark_factory, scratch)
    else:
        findings.append(Finding("spark", False, "not started", "mend java and delta jars above first"))
    uri, site = _site(site_path)
    findings += site
    findings.append(_guarded("tracking", lambda: tracking(uri)))
    findings.append(_guarded("private files", lambda: _private(site_path)))
    findings += [_guarded(getattr(check, "__name__", "check").strip("_"), check) for check in checks]
    return findings


def render(findings: Sequence[Finding]) -> str:
    """The findings as aligned lines, each failure followed by its fix."""
    width = max((len(finding.name) for finding in findings), default=0)
    lines: list[str] = []
    for finding in findings:
        head = f"{'ok' if finding.ok else 'FAIL':<4}  {finding.name:<{width}}  "
        lines.append(head + finding.detail.replace("\n", "\n" + " " * len(head)))
        if finding.fix:
            indent = " " * len(head)
            lines.append(f"{indent}fix: " + finding.fix.replace("\n", "\n" + indent))
    failed = sum(not finding.ok for finding in findings)
    lines.append(f"{failed} of {len(findings)} need attention" if failed else f"all {len(findings)} in order")
    return "\n".join(lines)


def failure(name: str, error: Exception) -> Finding:
    """A finding from an exception: its first line says what, what follows `Fix:` or the first line says how."""
    text = str(error).strip() or type(error).__name__
    what, _, fix = text.partition(" Fix: ")
    if not fix:
        what, _, fix = text.partition("\n")
    if not isinstance(error, SynthwardError):
        # A message from Spark or Java runs over pages; the rest of it is in the log.
        what, fix = f"{type(error).__name__}: {what.strip()[:300]}", ""
    return Finding(name, False, what.strip(), fix.strip())


def tracking(uri: str | None) -> Finding:
    """Whether an MLflow tracking server answers, within seconds and without creating anything.

    Args:
        uri: Tracking URI, None when runs are not logged.
    """
    name = "tracking"
    if uri is None:
        return Finding(name, True, "none: runs are not logged to MLflow")
    if jars.installed_version("mlflow") is None and jars.installed_version("mlflow-skinny") is None:
        return Finding(
            name,
            False,
            f"{_without_password(uri)}, but mlflow is not installed",
            "pip install 'mlflow>=3,<4', or `tracking: {enabled: false}` in the site file",
        )
    parts = urllib.parse.urlsplit(uri)
    if parts.scheme in ("http", "https"):
        return _answers(uri)
    if parts.scheme == "sqlite":
        return _writable(uri, Path(uri.partition(":///")[2] or ".").absolute().parent)
    if parts.scheme in ("", "file"):
        allowed = os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() == "true"
        fix = "MLflow 3 refuses file stores: use sqlite:///... or a server, or set MLFLOW_ALLOW_FILE_STORE=true"
        return Finding(name, allowed, f"{uri} (file store)", "" if allowed else fix)
    return Finding(name, True, f"{_without_password(uri)} (not probed: {parts.scheme} has no address of its own)")


def _answers(uri: str) -> Finding:
    shown = _without_password(uri)
    request = urllib.request.Request(f"{uri.rstrip('/')}/health")  # noqa: S310 - http or https, see the caller
    try:
        with urllib.request.urlopen(request, timeout=TRACKING_SECONDS) as answer:  # noqa: S310
            return Finding("tracking", True, f"{shown} answers ({answer.status})")
    except urllib.error.HTTPError as error:
        # An answer that asks for credentials is still an answer: the credentials are MLflow's business.
        if error.code in (401, 403, 404):
            return Finding("tracking", True, f"{shown} answers ({error.code})")
        return Finding("tracking", False, f"{shown} answers {error.code}", "look at the tracking server's log")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        fix = (
            "start it, correct `tracking.uri` in the site file, or switch it off there (`tracking: {enabled: false}`): "
            "runs work without MLflow"
        )
        return Finding("tracking", False, f"{shown}: {reason}", fix)


def _private(site_path: Path | None) -> Finding:
    """Whether zones, MLflow's file and Spark's spill folders are closed to the other users of this machine."""
    name = "private files"
    try:
        site = None if site_path is None else load_site(site_path)
    except (SynthwardError, OSError):
        site = None  # the finding `site` says so
    faults = open_to_others(site, jars.settings_in_force(os.environ, {}), os.environ)
    if not faults:
        return Finding(name, True, "other users of this machine cannot open what is kept here")
    shown = [fault.partition(": ") for fault in faults]
    return Finding(name, False, "\n".join(what for what, _, _ in shown), "\n".join(fix for _, _, fix in shown))


def _writable(uri: str, folder: Path) -> Finding:
    file = file_of(uri)
    wrong = fault(file) if file is not None and file.exists() else ""
    if wrong:
        is_broken = wrong in (HALF_MADE, NO_DATABASE)
        fix = f"mv {file} {file}.broken" if is_broken else f"give this user write access to {file}"
        return Finding("tracking", False, f"{uri}: {wrong}", fix)
    if folder.is_dir() and os.access(folder, os.W_OK):
        return Finding("tracking", True, f"{uri} (its directory is writable)")
    return Finding("tracking", False, f"{uri}: {folder} is not a writable directory", f"mkdir -p {folder}")


def _without_password(uri: str) -> str:
    """A URI as it may be shown: credentials in it are somebody's secret."""
    parts = urllib.parse.urlsplit(uri)
    return uri if "@" not in parts.netloc else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


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
    """Whether Spark's JVM is started by someone else: spark-submit, Databricks or a Connect server."""
    remote = os.environ.get("SPARK_REMOTE", "").startswith("sc://")
    return remote or jars.DATABRICKS_VARIABLE in os.environ or "PYSPARK_GATEWAY_PORT" in os.environ


def _spark(spark_factory: Callable[[], SparkSession], scratch: str | None) -> Iterator[Finding]:
    try:
        spark = spark_factory()
        mode = "Connect" if type(spark).__module__.startswith("pyspark.sql.connect") else "classic"
        yield Finding("spark", True, f"{spark.version}, {mode} session")
    except Exception as error:  # noqa: BLE001 - whatever Spark throws is the finding
        yield failure("spark", error)
        return
    yield _guarded("delta table", lambda: _round_trip(spark, scratch))
    yield _guarded("workers", lambda: _workers(spark))


def _round_trip(spark: SparkSession, scratch: str | None) -> Finding:
    """Write three rows as a Delta table, append to it, read it back."""
    folder = tempfile.mkdtemp(prefix="synthward-doctor-") if scratch is None else None
    path = f"{(folder or scratch or '').rstrip('/')}/doctor"
    try:
        rows = spark.range(3).coalesce(1)
        rows.write.format("delta").mode("overwrite").save(path)
        rows.write.format("delta").mode("append").save(path)
        count = spark.read.format("delta").load(path).count()
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
    shared = "" if scratch else " in a local temporary directory"
    if count == 6:
        return Finding("delta table", True, f"written, appended and read back{shared}")
    return Finding(
        "delta table", False, f"read back {count} of 6 test rows{shared}", "give a directory that all executors share"
    )


def _workers(spark: SparkSession) -> Finding:
    """Compare the executors' Python with the driver's: a release decided on one and computed on another is not one."""

    # Nested, so that it travels by value: an executor without this package must be able to say so.
    def probe(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import importlib
        import sys

        import pyarrow as pa

        def version(name: str) -> str:
            try:
                return str(importlib.import_module(name).__version__)
            except ImportError:
                return "absent"

        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        found = [python, version("numpy"), version("pyarrow"), version("synthward")]
        for _ in batches:
            yield pa.RecordBatch.from_arrays([pa.array([word]) for word in found], _PROBE_COLUMNS)

    schema = ", ".join(f"{column} string" for column in _PROBE_COLUMNS)
    rows = spark.range(0, _PROBE_TASKS, 1, _PROBE_TASKS).mapInArrow(probe, schema).distinct().collect()
    here = dict(
        zip(
            _PROBE_COLUMNS,
            (
                f"{sys.version_info.major}.{sys.version_info.minor}",
                jars.installed_version("numpy"),
                jars.installed_version("pyarrow"),
                synthward.__version__,
            ),
            strict=True,
        )
    )
    there = {column: sorted({row[column] for row in rows}) for column in _PROBE_COLUMNS}
    different = [column for column in _PROBE_COLUMNS if there[column] != [here[column]]]
    if not different:
        return Finding("workers", True, ", ".join(f"{column} {here[column]}" for column in _PROBE_COLUMNS) + " as here")
    detail = "; ".join(f"{column} {', '.join(there[column])} there, {here[column]} here" for column in different)
    fixes = []
    if any(column != "synthward" for column in different):
        fixes.append("set PYSPARK_PYTHON to one environment on every node, or ship it with --archives env.tar.gz#env")
    if "synthward" in different:
        fixes.append("`make zip`, then spark-submit --py-files build/synthward.zip")
    return Finding("workers", False, detail, "; ".join(fixes))


_PROBE_COLUMNS = ["python", "numpy", "pyarrow", "synthward"]


def _site(path: Path | None) -> tuple[str | None, list[Finding]]:
    """The tracking URI of the site file, and what is to be said about the file."""
    if path is None:
        return os.environ.get("MLFLOW_TRACKING_URI"), []
    try:
        site = load_site(path)
    except (SynthwardError, OSError) as error:
        return None, [failure("site", error)]
    uri = site.tracking.uri if site.tracking.enabled else None
    return uri, [Finding("site", True, f"{site.name} ({path})")]


def _guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """Run a check; what it raises becomes the finding."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a doctor reports, whatever breaks
        return failure(name, error)
