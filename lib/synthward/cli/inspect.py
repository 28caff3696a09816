"""`synthward report`, `history`, `doctor`, `domain draft`: looking at what is there."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthward.cli.main import SITE_VARIABLE

if TYPE_CHECKING:
    from pyspark.sql.types import DataType

ARTIFACTS = ("report.html", "manifest.json", "model.json")


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands."""
    report = commands.add_parser("report", parents=[common], help="extract the report of a release")
    report.add_argument("release", help="release id")
    report.add_argument("--out", type=Path, required=True, help="file to write")
    report.add_argument("--artifact", choices=ARTIFACTS, default=ARTIFACTS[0], help="what to extract")
    report.set_defaults(command=extract_report)

    history = commands.add_parser("history", parents=[common], help="how far a run has come, and what to do about it")
    history.add_argument("run", help="run id")
    history.set_defaults(command=show_history)

    doctor = commands.add_parser("doctor", parents=[common], help="check this machine, and say how to mend it")
    doctor.set_defaults(command=diagnose)

    domain = commands.add_parser("domain", help="work on domain files")
    actions = domain.add_subparsers(title="actions", required=True, metavar="ACTION")
    draft = actions.add_parser("draft", parents=[common], help="draft a domain from a table's schema alone")
    draft.add_argument("table", help="catalog name, or path of files")
    draft.add_argument("--format", choices=("delta", "parquet", "csv"), default="delta", help="format of a path")
    draft.add_argument("--out", type=Path, default=None, help="file to write (default: stdout)")
    draft.set_defaults(command=draft_domain)


def extract_report(options: argparse.Namespace) -> int:
    """Writes an artifact to a file."""
    from synthward.cli.sessions import ward

    with ward(options, "synthward report") as opened:
        content = opened.registry.artifact(options.release, options.artifact)
    options.out.write_bytes(content)
    print(options.out)
    return 0


def show_history(options: argparse.Namespace) -> int:
    """Prints the journal of a run; on stderr each try of it, and what its state means."""
    from synthward.cli.sessions import ward
    from synthward.run.journal import advice

    with ward(options, "synthward history") as opened:
        links = opened.history(options.run)
        tries = opened.runs.of(options.run)
        charged = bool(links) and opened.is_charged(links[0].facts["scope"], options.run)
    for link in links:
        facts = link.facts
        detail = facts.get("step") or facts.get("table") or ("passed" if facts.get("passed") else "")
        print(f"{link.seq:>3} {link.at:<28} {link.kind:<10} {detail}")
    for row in tries:
        told = f": {row['error']}: {row['message']}" if row["error"] else ""
        print(
            f"try {row['started_at']} {row['status']} (exit code {row['code']}){told}",
            file=sys.stderr,
        )
    repeats = bool(tries) and tries[-1]["status"] == "failed" and not tries[-1]["retryable"]
    print(f"run {options.run}: {advice(links, charged=charged, repeats=repeats)}", file=sys.stderr)
    return 0


def diagnose(options: argparse.Namespace) -> int:
    """Prints findings and fixes; 0 when all is well."""
    from synthward.spark import doctor
    from synthward.spark.session import build_session, stop_session

    found = options.site or os.environ.get(SITE_VARIABLE)
    site = Path(found) if found else None
    opened: list[Any] = []

    own: list[Any] = []

    def factory() -> Any:
        from pyspark.sql import SparkSession

        was_there = SparkSession.getActiveSession() is not None
        opened.append(build_session("synthward doctor", master=options.master, remote=options.remote))
        if not was_there:
            own.append(opened[0])
        return opened[0]

    def ledger() -> doctor.Finding:
        if site is None or not opened:
            return doctor.Finding("ledger", True, "not looked at: no site file or no session")
        from synthward.api import open_ward

        states = open_ward(opened[0], site).ledger.scopes()
        shown = ", ".join(f"{state.scope} (epsilon left {state.remaining})" for state in states) or "no scope is open"
        return doctor.Finding("ledger", True, shown)

    findings = doctor.diagnose(factory, site, checks=[ledger])
    if own:
        stop_session(own[0])
    print(doctor.render(findings))
    return 0 if all(finding.ok for finding in findings) else 1


def draft_domain(options: argparse.Namespace) -> int:
    """Drafts a domain from a schema; reads no rows (of a CSV file the header line)."""
    from synthward.cli.sessions import session
    from synthward.spec.draft import draft

    with session(options, "synthward domain draft") as spark:
        reader = spark.read.option("header", True)
        is_path = "/" in options.table or Path(options.table).exists()
        frame = reader.format(options.format).load(options.table) if is_path else reader.table(options.table)
        columns = list(_flat("", frame.schema))
    text = draft(Path(options.table).name if is_path else options.table, columns)
    if options.out is None:
        print(text, end="")
        return 0
    if options.out.exists():
        print(f"{options.out} exists; a draft never replaces a file", file=sys.stderr)
        return 2
    options.out.write_text(text, encoding="utf-8")
    print(options.out)
    return 0


def _flat(prefix: str, data_type: DataType) -> Any:
    """(dotted name, type) of every plain column, structs opened."""
    from pyspark.sql.types import StructType

    if isinstance(data_type, StructType):
        for field in data_type.fields:
            yield from _flat(f"{prefix}{field.name}.", field.dataType)
    else:
        yield prefix.rstrip("."), data_type.simpleString()
