"""Hash chains in a Delta table: read and verify, compare-and-append.

Two plain Delta appends never conflict. So "read, decide, append" would let two drivers write the same position. Here a
link is appended by an insert-only MERGE with literal predicates: `t.key = '...' AND t.seq = n`. The table is
partitioned by key, serializable, and has no deletion vectors. Then two writers of one key always conflict, and writers
of two keys never do. An append has succeeded if one row was inserted *and* exactly one row with our hash is read back.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from synthward.config.instants import now
from synthward.errors import IntegrityError, LedgerCorrupt, StoreConflict, UsageError
from synthward.store import delta
from synthward.store.link_table import DeltaLinks, LinkStore, checked_key
from synthward.store.links import Link, next_link, time_after, verify_chain, verify_link
from synthward.store.lock import Lock
from synthward.store.places import TableRef
from synthward.store.trouble import unwritable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_KIND = re.compile(r"[a-z0-9_]{1,40}")


class HeadMoved(StoreConflict):
    """Another writer appended to the chain first. Read the chain again and decide again."""


class Chain:
    """Hash-chained, append-only records. One table holds the chains of many keys."""

    def __init__(
        self,
        spark: SparkSession | None,
        ref: TableRef,
        *,
        lock: Lock | None = None,
        single_writer: bool = False,
        clock: Callable[[], dt.datetime] = now,
        retries: int = delta.RETRIES,
        sleep: Callable[[float], None] = time.sleep,
        store: LinkStore | None = None,
    ) -> None:
        """Remember the settings. Nothing is read or created before the first use.

        Args:
            spark: The session. It may be None only if `store` is given.
            ref: The table.
            lock: Makes the lock that is held during a compare-and-append (`store.lock.lock_for`); None for no lock.
            single_writer: The site's promise that only one driver writes. Needed on object stores without a safe log
                store.
            clock: Gives the time of a new link. The time has a time zone.
            retries: Largest number of retries, after commit conflicts and after a moved head.
            sleep: For tests.
            store: Keeps the links instead of the Delta table `ref`.

        Raises:
            EnvironmentProblem: The table's location is not safe for several drivers.
        """
        if store is None:
            if spark is None:
                raise UsageError(f"chain table {ref}: needs a Spark session")
            store = DeltaLinks(spark, ref, single_writer=single_writer)
        self.ref = ref
        self.store = store
        self._lock = lock
        self._clock = clock
        self._retries = retries
        self._sleep = sleep
        self._held = threading.local()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock during a longer read-decide-append, so that processes of this machine wait in order.

        Appends inside the block do not lock again. A chain without a lock does nothing here.
        """
        if self._lock is None or getattr(self._held, "here", False):
            yield
            return
        with self._lock():
            self._held.here = True
            try:
                yield
            finally:
                self._held.here = False

    def rows(self, key: str, payloads: bool = True) -> tuple[Link, ...]:
        """Return the links of `key` in order of position, unverified."""
        return tuple(self.store.fetch(checked_key(key), 0, payloads))

    def read(self, key: str, payloads: bool = True) -> tuple[Link, ...]:
        """Return the links of `key`, verified; an empty tuple if there are none.

        Args:
            key: The chain.
            payloads: If False, payloads are not fetched. Spark computes their digests in the table instead.

        Raises:
            LedgerCorrupt: The chain was edited, has gaps, or has two links at one position.
        """
        return self._verified(key, self.rows(key, payloads))

    def all_keys(self) -> tuple[str, ...]:
        """Return the keys of all chains of the table, unverified."""
        return tuple(sorted({link.key for link in self.store.fetch(None, 0, payloads=False)}))

    def read_all(self, payloads: bool = True) -> dict[str, tuple[Link, ...]]:
        """Return every chain of the table by its key, verified. This takes one scan.

        Raises:
            LedgerCorrupt: A chain is broken.
        """
        chains: dict[str, list[Link]] = {}
        for link in self.store.fetch(None, 0, payloads):
            chains.setdefault(link.key, []).append(link)
        return {key: self._verified(key, links) for key, links in chains.items()}

    def read_on(self, key: str, known: Sequence[Link]) -> tuple[Link, ...]:
        """Return all links of `key`, verified. Only the links after the known ones are fetched.

        Args:
            key: The chain.
            known: The chain's first links, from an earlier read; may be empty.

        Raises:
            LedgerCorrupt: The chain is broken, or the last known link is no longer there.
        """
        if not known:
            return self.read(key)
        found = self.store.fetch(checked_key(key), known[-1].seq, True)
        if not found or found[0].hash != known[-1].hash:
            raise LedgerCorrupt(_gone(key, self.ref, known[-1].seq))
        return self._verified(key, [*known[:-1], *found])

    def _verified(self, key: str, links: Sequence[Link]) -> tuple[Link, ...]:
        problems = verify_chain(links)
        if problems:
            raise LedgerCorrupt(
                f"chain '{key}' in table {self.ref}: frozen, because its record is broken: {'; '.join(problems)}. "
                "Nothing more is appended. Find out who wrote to the table, then continue under a new key"
            )
        return tuple(links)

    def append(
        self, key: str, kind: str, body: Mapping[str, Any], payload: bytes | None, expected_head: Link | None
    ) -> Link:
        """Append one link after `expected_head`, if that is still the last link. None means: as the first link.

        Returns:
            The link. It is durable and was read back.

        Raises:
            HeadMoved: Another writer has taken that position.
            EnvironmentProblem: The storage accepts no write: no space, no quota or no permission.
            StoreConflict: Concurrent writers of the table committed first in every try.
            LedgerCorrupt: Two links have that position, or `expected_head` is gone.
        """
        if not _KIND.fullmatch(kind):
            raise UsageError(f"link kind '{kind}': only a-z, 0-9 and '_' are allowed, at most 40 characters")
        if expected_head is not None and expected_head.key != key:
            raise UsageError(f"chain '{key}': the expected head belongs to chain '{expected_head.key}'")
        at = time_after(expected_head, self._clock())
        link = next_link(expected_head, key=checked_key(key), kind=kind, body=body, payload=payload, at=at)
        outcome_unknown = False
        for attempt in range(self._retries + 1):
            failure: Exception | None = None
            inserted = 0
            with self.exclusive():
                try:
                    inserted = self.store.insert(link)
                except Exception as error:  # noqa: BLE001  the row may be committed: the read-back decides
                    failure = error
                    outcome_unknown = True
                landed = self._landed(link, expected_head)
            if landed is not None:
                # If this call cannot have written the equal row, another driver did, and the caller must know it.
                if landed.hash == link.hash and (inserted == 1 or outcome_unknown):
                    return landed
                raise HeadMoved(f"chain '{key}' in table {self.ref}: position {link.seq} was taken by another writer")
            if failure is None:
                raise IntegrityError(
                    f"chain '{key}' in table {self.ref}: link {link.seq} was committed and cannot be read back; the "
                    "storage lost a committed row, do not keep a ledger on this storage"
                )
            if not delta.is_conflict(failure):
                problem = unwritable(self.ref, failure)
                raise failure if problem is None else problem from failure
            self._sleep(delta.pause(attempt))
        raise StoreConflict(
            f"chain '{key}' in table {self.ref}: concurrent writers committed first in {self._retries} retries; "
            "run the same command again"
        )

    def _landed(self, link: Link, head: Link | None) -> Link | None:
        """Return the link that is now at the link's position. Check that the head before it is still there, once."""
        found = self.store.fetch(link.key, link.seq if head is None else head.seq, payloads=link.payload is not None)
        here = [row for row in found if row.seq == link.seq]
        before = [row for row in found if head is not None and row.seq == head.seq]
        if len(here) > 1 or len(before) > 1:
            raise LedgerCorrupt(
                f"chain '{link.key}' in table {self.ref}: frozen, because two links have one position; the table "
                "accepted two writers at once"
            )
        if head is not None and [row.hash for row in before] != [head.hash]:
            raise LedgerCorrupt(_gone(link.key, self.ref, head.seq))
        if here and verify_link(here[0]):
            raise LedgerCorrupt(f"chain '{link.key}' in table {self.ref}: frozen, {'; '.join(verify_link(here[0]))}")
        return here[0] if here else None

    def get_or_append(
        self,
        key: str,
        kind: str,
        match: Callable[[Link], bool],
        make_body: Callable[[], tuple[Mapping[str, Any], bytes | None]],
    ) -> tuple[Link, bool]:
        """Return the link that matches, or append a new one at the head if none matches. The first writer wins.

        Args:
            key: The chain.
            kind: Kind of the new link.
            match: True for the wanted link.
            make_body: Makes body and payload. It is called at most once, and no lock is held meanwhile, so it may be
                slow. Its result is discarded if another driver's link is appended first.

        Returns:
            The link, and True if this call appended it.

        Raises:
            StoreConflict: The head moved in every try.
            LedgerCorrupt: The chain is broken.
        """
        return Followed(self, key).get_or_append(kind, match, make_body)

    def again(self, attempt: int) -> None:
        """Wait before another try, after another writer was first.

        Raises:
            StoreConflict: The retries are used up.
        """
        if attempt >= self._retries:
            raise StoreConflict(
                f"table {self.ref}: the head of the chain moved {attempt + 1} times; run the same command again"
            )
        self._sleep(delta.pause(attempt))


class Followed:
    """One chain whose verified links stay in memory. Later reads fetch only the links after them.

    Links are never changed or removed, so a link in memory stays valid. All other links are looked up in the table.
    """

    def __init__(self, chain: Chain, key: str) -> None:
        """Remember the chain. Nothing is read yet."""
        self._chain = chain
        self.key = key
        self._links: tuple[Link, ...] | None = None

    @property
    def known(self) -> tuple[Link, ...]:
        """The links that were read so far. Nothing is fetched."""
        return self._links or ()

    def links(self) -> tuple[Link, ...]:
        """Return all present links, verified.

        Raises:
            LedgerCorrupt: The chain is broken, or links that were read before are gone.
        """
        self._links = self._chain.read_on(self.key, self._links or ())
        return self._links

    def find(self, match: Callable[[Link], bool]) -> Link | None:
        """Return the first link that matches, from memory or else from the table; None if no link matches.

        Raises:
            LedgerCorrupt: See `links`.
        """
        known = next((link for link in self._links or () if match(link)), None)
        return known if known is not None else next((link for link in self.links() if match(link)), None)

    def get_or_append(
        self,
        kind: str,
        match: Callable[[Link], bool],
        make_body: Callable[[], tuple[Mapping[str, Any], bytes | None]],
    ) -> tuple[Link, bool]:
        """Do the same as `Chain.get_or_append`, but start from memory.

        If another driver has appended a link, the append finds a moved head and reads again.

        Raises:
            StoreConflict: The head moved in every try.
            LedgerCorrupt: The chain is broken.
        """
        made: tuple[Mapping[str, Any], bytes | None] | None = None
        links = self._links if self._links is not None else self.links()
        for attempt in itertools.count():
            found = next((link for link in links if match(link)), None)
            if found is not None:
                return found, False
            if made is None:
                made = make_body()
            try:
                link = self._chain.append(self.key, kind, made[0], made[1], links[-1] if links else None)
            except HeadMoved:
                self._chain.again(attempt)
                links = self.links()
            else:
                self._links = (*links, link)
                return link, True
        raise AssertionError("unreachable: `again` ends the loop")


def _gone(key: str, ref: TableRef, seq: int) -> str:
    return (
        f"chain '{key}' in table {ref}: frozen, because link {seq} is gone or was replaced; the table was restored or "
        "rewritten while it was in use"
    )
