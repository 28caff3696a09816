"""Instants: the clock of production, and the only text form of a moment."""

from __future__ import annotations

import datetime as dt


def now() -> dt.datetime:
    """Return the present moment in UTC."""
    return dt.datetime.now(dt.UTC)


def utc_text(moment: dt.datetime, timespec: str = "seconds") -> str:
    """Return a moment in UTC as ISO 8601 with a final Z.

    Args:
        moment: A moment with a time zone.
        timespec: Smallest unit written, as in `datetime.isoformat`: seconds, milliseconds, microseconds.

    Raises:
        ValueError: The moment has no time zone, so its meaning is unknown.

    Example:
        >>> utc_text(dt.datetime(2026, 11, 30, 9, 5, tzinfo=dt.UTC))
        '2026-11-30T09:05:00Z'
    """
    if moment.tzinfo is None:
        raise ValueError("a clock must return times with a zone, for instance datetime.now(timezone.utc)")
    return moment.astimezone(dt.UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"
