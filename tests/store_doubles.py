"""Stand-ins for the Delta side of a chain, with faults on demand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from pyspark.errors import PySparkException

from synthward.store.links import Link


class Conflict(PySparkException):
    """Looks like a lost Delta commit on any kind of session: only the condition tells."""

    def getCondition(self) -> str:
        return "DELTA_CONCURRENT_APPEND.WITH_PARTITION_HINT"


class MemoryLinks:
    """A store in a list. `faults` are run before each insert, in turn; one may raise, write first, or do nothing."""

    def __init__(self) -> None:
        self.links: list[Link] = []
        self.faults: list[Callable[[Link], None]] = []

    def fetch(self, key: str | None, since: int, payloads: bool) -> list[Link]:
        found = [link for link in self.links if key in (None, link.key) and link.seq >= since]
        shown = [link if payloads else dataclasses.replace(link, payload=None) for link in found]
        return sorted(shown, key=lambda link: (link.key, link.seq, link.hash))

    def insert(self, link: Link) -> int:
        if self.faults:
            self.faults.pop(0)(link)
        if any((old.key, old.seq) == (link.key, link.seq) for old in self.links):
            return 0
        self.links.append(link)
        return 1
