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
from decimal import Decimal, InvalidOperation
from pathlib import Path

from synthward import __version__
from synthward.cli.logs import STYLES, Terminated, log_to_stderr, terminable
from synthward.errors import JobFailed, SafeError, UsageError

logger = logging.getLogger(__name__)

ENDINGS = (Exception, KeyboardInterrupt, Terminated)
"""What never leaves a command as it is: Python would print its text, which may quote a cell."""

SITE_VARIABLE = "SYNTHWARD_SITE"
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
        print(f"synthward: {told.text}", file=sys.stderr)
    return told.code


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands; importing it needs neither Spark nor numpy."""
    from synthward.cli import budget, inspect, run, sample

    parser = argparse.ArgumentParser(
        prog="synthward", description="Governed, differentially private synthetic health data on Apache Spark."
    )
    parser.add_argument("--version", action="version", version=f"synthward {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (run, budget, inspect, sample):
        module.register(commands, _common())
    return parser


def _common() -> argparse.ArgumentParser:
    """Options that every command takes."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("-q", "--quiet", action="store_true", help="no progress lines on stderr")
    common.add_argument("--log-format", choices=STYLES, default=STYLES[0], help="form of the lines on stderr")
    common.add_argument(
        "--debug",
        action="store_true",
        help="on failure the traceback on stderr; it may show PROTECTED VALUES: in the protected zone only",
    )
    common.add_argument("--site", type=Path, default=None, help=f"site file (default: ${SITE_VARIABLE})")
    common.add_argument("--master", default=None, help="Spark master (default: what spark-submit says, or local[*])")
    common.add_argument("--remote", default=None, help="Spark Connect address, or local[N] for a server of its own")
    return common


def site_path(options: argparse.Namespace) -> Path:
    """The site file from --site or the environment.

    Raises:
        UsageError: Neither is given.
    """
    found = options.site or os.environ.get(SITE_VARIABLE)
    if not found:
        raise UsageError(f"no site file: give --site FILE or set {SITE_VARIABLE}; conf/site.yaml is an example")
    return Path(found)


def decimal(text: str) -> Decimal:
    """A positive, finite decimal, for argparse."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not number.is_finite() or number < 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a finite number of at least 0")
    return number
