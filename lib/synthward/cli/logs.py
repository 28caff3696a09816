"""Log lines on stderr, for people or for machines, and signals that end a command in order."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

STYLES = ("text", "json")


class Terminated(BaseException):
    """SIGTERM has arrived: the platform asks the driver to end."""


class JsonLines(logging.Formatter):
    """Writes one JSON object for each line: time, level, message, and the facts of the log record."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`. Tracebacks are left out, because their texts may quote cells."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        facts = getattr(record, "facts", {})
        return json.dumps({"at": at, "level": record.levelname, "message": record.getMessage(), **facts})


def log_to_stderr(*, quiet: bool, style: str = "text") -> None:
    """Send the package's progress lines to stderr. If `quiet`, send warnings only."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonLines() if style == "json" else text)
    logger = logging.getLogger("synthward")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.WARNING if quiet else logging.INFO)


def show_progress() -> None:
    """Show the progress of runs in a notebook as on the command line: one line for each step, on stderr.

    Call it once in a notebook, because a notebook sets up no log. Further calls do no harm. A program with its own log
    does not need it: the logger `synthward` is an ordinary logger.
    """
    log_to_stderr(quiet=False)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the main thread, so that sessions are stopped and results are written.

    No guarantee depends on it: the run of a killed driver can be resumed in the same way.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)
