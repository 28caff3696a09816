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
    """SIGTERM has arrived: the platform wants the driver to end."""


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, message, and the facts that a record carries."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`; tracebacks are left to stderr, their texts may quote cells."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        facts = getattr(record, "facts", {})
        return json.dumps({"at": at, "level": record.levelname, "message": record.getMessage(), **facts})


def log_to_stderr(*, quiet: bool, style: str = "text") -> None:
    """Progress lines of the package on stderr; warnings only when quiet."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonLines() if style == "json" else text)
    logger = logging.getLogger("synthward")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.WARNING if quiet else logging.INFO)


def show_progress() -> None:
    """Shows the progress of runs in a notebook, as the command line does: one line a step, on stderr.

    For notebooks, where nobody else sets up the log; to be called once, and harmless when called again. A program with
    a log of its own leaves it out: the logger `synthward` is an ordinary one.
    """
    log_to_stderr(quiet=False)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated` in the main thread, so that sessions are stopped and results written on the way out.

    Nothing depends on it: a driver that is killed outright can be resumed just the same.
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
