"""Options that several commands share."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from synthward.cli.logs import STYLES
from synthward.errors import UsageError

SITE_VARIABLE = "SYNTHWARD_SITE"


def common() -> argparse.ArgumentParser:
    """Return the options of every command."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress lines on stderr")
    parser.add_argument("--log-format", choices=STYLES, default=STYLES[0], help="form of the lines on stderr")
    parser.add_argument(
        "--debug",
        action="store_true",
        help="on failure, print the traceback on stderr; it may show PROTECTED VALUES: only for the protected zone",
    )
    parser.add_argument("--site", type=Path, default=None, help=f"site file (default: ${SITE_VARIABLE})")
    parser.add_argument("--master", default=None, help="Spark master (default: from spark-submit, or local[*])")
    parser.add_argument("--remote", default=None, help="Spark Connect address, or local[N] for a new local server")
    return parser


def given_site(options: argparse.Namespace) -> Path | None:
    """Return the site file from --site or the environment; None if neither is given."""
    found = options.site or os.environ.get(SITE_VARIABLE)
    return Path(found) if found else None


def site_path(options: argparse.Namespace) -> Path:
    """Return the site file from --site or the environment.

    Raises:
        UsageError: Neither is given.
    """
    found = given_site(options)
    if found is None:
        raise UsageError(f"no site file: give --site FILE or set {SITE_VARIABLE}; conf/site.yaml is an example")
    return found


def decimal(text: str) -> Decimal:
    """Parse a finite decimal of at least 0, for argparse."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number") from None
    if not number.is_finite() or number < 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a finite number of at least 0")
    return number


def day(text: str) -> dt.date:
    """Parse a date, for argparse."""
    try:
        return dt.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=dt.UTC).date()
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a date such as 2027-03-31") from None


def json_object(text: str, wrong: str) -> dict[str, Any]:
    """Return the JSON object of an argument.

    Args:
        text: The argument.
        wrong: What to say if it is none.

    Raises:
        UsageError: It is none.
    """
    try:
        return dict(json.loads(text))
    except (TypeError, ValueError, RecursionError):
        raise UsageError(wrong) from None
