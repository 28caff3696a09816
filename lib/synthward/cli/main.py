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
from synthward.cli import assess, budget, inspect, people, run, sample
from synthward.cli.logs import Terminated, log_to_stderr, terminable
from synthward.cli.options import common
from synthward.config.text import shown
from synthward.errors import JobFailed, SafeError

logger = logging.getLogger(__name__)

ENDINGS = (Exception, KeyboardInterrupt, Terminated)
"""What never leaves a command as it is: Python would print its text, which may quote a cell."""

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: Words after the program's name; default: those of the process.

    Returns:
        The exit code.
    """
    options = _options(arguments)
    try:
        return _execute(options)
    except ENDINGS as error:
        return _say(options, error)


def run_job(arguments: Sequence[str]) -> None:
    """Runs one command as a job: the process ends with the exit code, or with an exception where there are none.

    Raises:
        SystemExit: The command failed.
        JobFailed: The command failed on Databricks, where a task has no exit code but shows its exception.
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
        raise JobFailed(f"exit code {code}: what was wrong is on stderr")


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
    """The last words of a command that failed, on stderr; the traceback only where it was asked for.

    Returns:
        The exit code.
    """
    told = SafeError.of(error)
    if options.debug:
        traceback.print_exception(error, file=sys.stderr)
    if options.log_format == "json":
        logger.error(told.text, extra={"facts": {"event": "end", "code": told.code}})
    else:
        # Each line by itself: a list of problems has many, and none of them moves the cursor.
        print("\n".join(map(shown, f"synthward: {told.text}".split("\n"))), file=sys.stderr)
    return told.code


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; importing it needs neither Spark nor numpy."""
    parser = argparse.ArgumentParser(
        prog="synthward", description="Governed, differentially private synthetic health data on Apache Spark."
    )
    parser.add_argument("--version", action="version", version=f"synthward {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (run, assess, people, budget, inspect, sample):
        module.register(commands, common())
    return parser
