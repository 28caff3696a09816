"""The command line: `synthward COMMAND`. A thin skin over `synthward.api`; jobs call the same commands.

stdout carries results only (one JSON line of a run), stderr carries progress. Exit codes: 0 ok, 1 crash or environment,
2 usage, 3 refused by policy, 4 budget, 5 gate failed.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence

from synthward import __version__
from synthward.cli import (
    assess,
    budget,
    count,
    inspect,
    monitor,
    people,
    prove,
    releases,
    requests,
    run,
    sample,
    site,
)
from synthward.cli.logs import Terminated, log_to_stderr, terminable
from synthward.cli.options import common
from synthward.config.text import shown
from synthward.errors import JobFailed, SafeError

logger = logging.getLogger(__name__)

ENDINGS = (Exception, KeyboardInterrupt, Terminated)
"""Exceptions that never leave a command unchanged. Python would print their text, which may quote a cell."""

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after the program's name; default: those of the process.

    Returns:
        The exit code.
    """
    options = _options(arguments)
    try:
        return _execute(options)
    except ENDINGS as error:
        return _say(options, error)


def run_job(arguments: Sequence[str]) -> None:
    """Run one command as a job. The process ends with the exit code, or with an exception if the platform has none.

    Raises:
        SystemExit: The command failed.
        JobFailed: The command failed on Databricks. There a task has no exit code, but shows its exception.
    """
    from synthward.spark.jars import DATABRICKS_VARIABLE

    if not os.environ.get(DATABRICKS_VARIABLE):
        code = main(arguments)
        if code:
            sys.exit(code)
        return
    options = _options(arguments)
    try:
        code = _execute(options)
    except ENDINGS as error:
        _say(options, error)
        raise JobFailed.of(error) from None
    if code:
        raise JobFailed(f"exit code {code}: the reason is on stderr")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    options = build_parser().parse_args(arguments)
    log_to_stderr(quiet=options.quiet, style=options.log_format)
    return options


def _execute(options: argparse.Namespace) -> int:
    from synthward.spark.private import private_umask

    command: Command = options.command
    with private_umask(), terminable():
        return command(options)


def _say(options: argparse.Namespace, error: BaseException) -> int:
    """Print why a command failed on stderr. Print the traceback only with --debug.

    Returns:
        The exit code.
    """
    safe = SafeError.of(error)
    if options.debug:
        traceback.print_exception(error, file=sys.stderr)
    if options.log_format == "json":
        logger.error(safe.text, extra={"facts": {"event": "end", "code": safe.code}})
    else:
        # Each line is escaped by itself: a list of problems keeps its lines, and no line moves the cursor.
        print("\n".join(map(shown, f"synthward: {safe.text}".split("\n"))), file=sys.stderr)
    return safe.code


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands. Importing it needs neither Spark nor numpy."""
    parser = argparse.ArgumentParser(
        prog="synthward", description="Governed, differentially private synthetic health data on Apache Spark."
    )
    parser.add_argument("--version", action="version", version=f"synthward {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (run, requests, assess, people, budget, releases, monitor, site, prove, inspect, sample, count):
        module.register(commands, common())
    return parser
