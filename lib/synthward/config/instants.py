"""Instants: the clock of production, and the one way to write a moment as text."""

from __future__ import annotations

import datetime as dt


def now() -> dt.datetime:
    """The present moment, in UTC."""
    return dt.datetime.now(dt.UTC)


def utc_text(moment: dt.datetime, timespec: str = "seconds") -> str:
    """A moment in UTC as ISO 8601 with a final Z.

    Args:
        moment: A moment with a zone.
        timespec: Last unit written, as in `datetime.isoformat`: seconds, milliseconds, microseconds.

    Raises:
        ValueError: The moment has no zone, so that it could mean anything.

    Example:
        >>> utc_text(dt.datetime(2026, 11, 30, 9, 5, tzinfo=dt.UTC))
        '2026-11-30T09:05:00Z'
    """
    if moment.tzinfo is None:
        raise ValueError("a clock must return times with a zone, for instance datetime.now(timezone.utc)")
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"
