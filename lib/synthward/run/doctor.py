"""What a run needs from a session and a site, as findings: the checks are those of the run's own preflight.

`synthward doctor`, `ward.doctor()` and `synthward.doctor(spark, site)` show them. Each check is a function that the
run calls as well, so that the doctor and the run never disagree. No protected data are read.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthward.errors import SynthwardError
from synthward.ledger.ledger import Ledger
from synthward.run import preflight
from synthward.run.private_files import LOCAL_DIR_KEY, open_to_others
from synthward.spec.site import Site
from synthward.store.places import Zone
from synthward.tracking import database, record

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MARK = "doctor"
"""Stands in the probes' names where a run's release id does."""


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


def guarded(name: str, check: Callable[[], Finding]) -> Finding:
    """Run a check; what it raises becomes the finding."""
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a doctor reports, whatever breaks
        return failure(name, error)


def session_findings(spark: SparkSession, scratch: str | None = None) -> list[Finding]:
    """Whether a session can run a Delta commit and Synthward's Python code on its executors.

    Args:
        spark: The session.
        scratch: Directory URI for a small Delta table, shared by all executors. Default: a local temporary directory,
            which suits a local session only.
    """
    mode = "Connect" if type(spark).__module__.startswith("pyspark.sql.connect") else "classic"
    return [
        Finding("spark", True, f"{spark.version}, {mode} session"),
        guarded("delta table", lambda: _round_trip(spark, scratch)),
        guarded("workers", lambda: _workers(spark)),
    ]


def site_findings(spark: SparkSession, site: Site, ledger: Ledger | None = None) -> list[Finding]:
    """Whether a site's zones can be written, its tracking server reached and its ledger read.

    Args:
        spark: The session.
        site: The site.
        ledger: The site's ledger; default: one opened here.
    """
    accounts = ledger or Ledger(spark, Zone(site.ledger), single_writer=site.single_writer)
    return [
        Finding("site", True, site.name),
        guarded("zones", lambda: _zones(spark, site)),
        guarded("tracking", lambda: tracking_finding(site)),
        guarded("private files", lambda: private_files_finding(site, {LOCAL_DIR_KEY: _spill_folder(spark)})),
        guarded("ledger", lambda: _accounts(accounts)),
    ]


def tracking_finding(site: Site) -> Finding:
    """Whether MLflow can be written, by the run's own probe; nothing is created."""
    if not site.tracking.enabled:
        return Finding("tracking", True, "switched off: runs are not logged to MLflow")
    shown = without_password(site.tracking.uri)
    trouble = record.reachable(site.tracking)
    if not trouble:
        return Finding("tracking", True, f"{shown}: nothing speaks against it")
    if trouble in (database.HALF_MADE, database.NO_DATABASE):
        file = database.file_of(site.tracking.uri)
        return Finding("tracking", False, f"{shown}: {trouble}", f"mv {file} {file}.broken")
    fix = (
        "mend it, correct `tracking.uri` in the site file, or switch it off there (`tracking: {enabled: false}`): runs "
        "work without MLflow"
    )
    return Finding("tracking", False, f"{shown}: {trouble}", fix)


def private_files_finding(site: Site | None, settings: Mapping[str, str]) -> Finding:
    """Whether zones, MLflow's file and Spark's spill folders are closed to the other users of this machine.

    Args:
        site: The site; without one only the spill folders are looked at.
        settings: Spark settings in force.
    """
    name = "private files"
    faults = open_to_others(site, settings, os.environ)
    if not faults:
        return Finding(name, True, "other users of this machine cannot open what is kept here")
    shown = [fault.partition(": ") for fault in faults]
    return Finding(name, False, "\n".join(what for what, _, _ in shown), "\n".join(fix for _, _, fix in shown))


def _spill_folder(spark: SparkSession) -> str:
    return spark.conf.get(LOCAL_DIR_KEY, "") or ""


def without_password(uri: str) -> str:
    """A URI as it may be shown: credentials in it are somebody's secret."""
    parts = urllib.parse.urlsplit(uri)
    return uri if "@" not in parts.netloc else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


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
    found = preflight.check_executors(spark)
    return Finding("workers", True, ", ".join(f"{name} {version}" for name, version in found.items()))


def _zones(spark: SparkSession, site: Site) -> Finding:
    preflight.check_zones(spark, preflight.written_zones(site), MARK)
    return Finding("zones", True, f"{' and '.join(preflight.written_zones(site))} can be written")


def _accounts(ledger: Ledger) -> Finding:
    shown = ", ".join(f"{state.scope} (epsilon left {state.remaining})" for state in ledger.scopes())
    return Finding("ledger", True, shown or "no scope is open")
