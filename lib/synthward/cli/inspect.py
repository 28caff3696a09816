"""`synthward report`, `history`, `doctor`, `domain draft`: commands that show things and change nothing."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthward.cli.options import given_site
from synthward.config.text import shown

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ARTIFACTS = ("report.html", "manifest.json", "model.json")


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the commands."""
    report = commands.add_parser("report", parents=[common], help="extract the report of a release")
    report.add_argument("release", help="release id")
    report.add_argument("--out", type=Path, required=True, help="file to write")
    report.add_argument("--artifact", choices=ARTIFACTS, default=ARTIFACTS[0], help="what to extract")
    report.set_defaults(command=extract_report)

    history = commands.add_parser("history", parents=[common], help="show how far a run came, and what to do next")
    history.add_argument("run", help="run id")
    history.set_defaults(command=show_history)

    doctor = commands.add_parser("doctor", parents=[common], help="check this machine, and say how to fix it")
    doctor.set_defaults(command=diagnose)

    domain = commands.add_parser("domain", help="work on domain files")
    actions = domain.add_subparsers(title="actions", required=True, metavar="ACTION")
    draft = actions.add_parser("draft", parents=[common], help="draft a domain from a table's schema alone")
    draft.add_argument("table", help="catalog name, or path of files")
    draft.add_argument(
        "--format",
        choices=("delta", "parquet", "csv"),
        default=None,
        help="format of a path (default: from the file names)",
    )
    draft.add_argument("--header", action="store_true", help="for CSV files: the first line has the columns' names")
    draft.add_argument("--out", type=Path, default=None, help="file to write (default: stdout)")
    draft.set_defaults(command=draft_domain)


def extract_report(options: argparse.Namespace) -> int:
    """Write an artifact to a file."""
    from synthward.cli.sessions import known_zones, ward
    from synthward.store.outputs import require_writable, write_output

    require_writable(options.out, known_zones(options), "--out")
    with ward(options, "synthward report") as opened:
        content = opened.artifact(options.release, options.artifact)
    write_output(options.out, content)
    print(options.out)
    return 0


def show_history(options: argparse.Namespace) -> int:
    """Print the journal of a run. Print each try of the run, and the meaning of its state, on stderr."""
    from synthward.cli.sessions import ward
    from synthward.records.journal import detail_in, fold
    from synthward.run.journal import advice

    with ward(options, "synthward history") as opened:
        links = opened.history(options.run)
        tries = opened.runs.of(options.run)
        scope = fold((link.kind, link.facts) for link in links).scope
        charged = scope is not None and opened.is_charged(scope, options.run)
    for link in links:
        print(shown(f"{link.seq:>3} {link.at:<28} {link.kind:<10} {detail_in(link.facts)}"))
    for row in tries:
        reason = f": {row['error']}: {row['message']}" if row["error"] else ""
        print(
            shown(f"try {row['started_at']} {row['status']} (exit code {row['code']}){reason}"),
            file=sys.stderr,
        )
    repeats = bool(tries) and tries[-1]["status"] == "failed" and not tries[-1]["retryable"]
    print(f"run {options.run}: {advice(links, charged=charged, repeats=repeats)}", file=sys.stderr)
    return 0


def diagnose(options: argparse.Namespace) -> int:
    """Print findings and fixes. Return 0 if there is no failure."""
    from pyspark.sql import SparkSession

    from synthward.run.doctor import render
    from synthward.spark import doctor
    from synthward.spark.session import build_session, stop_session

    was_there = SparkSession.getActiveSession() is not None
    own: list[SparkSession] = []

    def factory() -> SparkSession:
        spark = build_session("synthward doctor", master=options.master, remote=options.remote)
        if not was_there:
            own.append(spark)
        return spark

    try:
        findings = doctor.diagnose(factory, given_site(options))
    finally:
        for spark in own:
            stop_session(spark)
    print(render(findings))
    return 0 if all(finding.ok for finding in findings) else 1


def draft_domain(options: argparse.Namespace) -> int:
    """Draft a domain from a schema. No rows are read; from a CSV file only the header line is read."""
    from synthward.cli.sessions import known_zones, session
    from synthward.run.drafting import draft_domain as drafted
    from synthward.store.outputs import require_writable, write_output

    if options.out is not None:
        require_writable(options.out, known_zones(options), "--out")

    with session(options, "synthward domain draft") as spark:
        text = drafted(spark, options.table, options.format, header=options.header)
    if options.out is None:
        print(text, end="")
        return 0
    write_output(options.out, text.encode())
    print(options.out)
    return 0
