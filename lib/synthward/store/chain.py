"""Hash chains in a Delta table: read and verify, compare-and-append.

Two plain Delta appends never conflict, so "read, decide, append" lets two drivers write the same position. Here a link
is appended by an insert-only MERGE whose predicates are literals, `t.key = '...' AND t.seq = n`, on a table that is
partitioned by key, serializable and without deletion vectors: two writers of one key always conflict, writers of two
keys never do. An append has succeeded when one row was inserted *and* exactly one row, with our hash, is read back.
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
    """Somebody else appended to the chain first; read it again and decide again."""


class Chain:
    """Hash-chained, append-only records, many keys in one table."""

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
        """Nothing is read or made before the first use.

        Args:
            spark: The session; only a chain with its own `store` does without.
            ref: The table.
            lock: Makes the lock that is held around a compare-and-append (`store.lock.lock_for`); None for none.
            single_writer: The site's promise for object stores without a safe log store.
            clock: The time that links carry; with a zone.
            retries: Bound on retries, after commit conflicts and after a moved head.
            sleep: For tests.
            store: Where links are kept instead of the Delta table `ref`.

        Raises:
            EnvironmentProblem: The table's place is not safe for several drivers.
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
        """Hold the lock over a longer read-decide-append, so that neighbours on this machine queue up in order.

        Appends inside it do not lock again. Without a lock it does nothing.
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
        """The links of `key` in order of position, as they stand, unverified."""
        return tuple(self.store.fetch(checked_key(key), 0, payloads))

    def read(self, key: str, payloads: bool = True) -> tuple[Link, ...]:
        """The links of `key`, verified; empty when there are none.

        Args:
            key: The chain.
            payloads: False leaves payloads in the table and verifies with the digests that Spark computes there.

        Raises:
            LedgerCorrupt: The chain is edited, has gaps or a doubled position.
        """
        return self._verified(key, self.rows(key, payloads))

    def all_keys(self) -> tuple[str, ...]:
        """Keys of all chains of the table as they stand, unverified."""
        return tuple(sorted({link.key for link in self.store.fetch(None, 0, payloads=False)}))

    def read_all(self, payloads: bool = True) -> dict[str, tuple[Link, ...]]:
        """Every chain of the table, by key, verified; one scan.

        Raises:
            LedgerCorrupt: A chain is broken.
        """
        chains: dict[str, list[Link]] = {}
        for link in self.store.fetch(None, 0, payloads):
            chains.setdefault(link.key, []).append(link)
        return {key: self._verified(key, links) for key, links in chains.items()}

    def read_on(self, key: str, known: Sequence[Link]) -> tuple[Link, ...]:
        """The links of `key`, verified, of which only those after the ones that are known are fetched.

        Args:
            key: The chain.
            known: Its first links, from an earlier read; empty for none.

        Raises:
            LedgerCorrupt: The chain is broken, or the last known link is not there any more.
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
                "Nothing more is appended; find out who wrote to the table, then go on under a new key"
            )
        return tuple(links)

    def append(
        self, key: str, kind: str, body: Mapping[str, Any], payload: bytes | None, expected_head: Link | None
    ) -> Link:
        """Append one link right after `expected_head` (None: as the first), if that is still the head.

        Returns:
            The link, which is durable and was read back.

        Raises:
            HeadMoved: Somebody else has that position.
            EnvironmentProblem: The storage takes no more: no space, no quota, no permission.
            StoreConflict: Concurrent writers of the table won every time.
            LedgerCorrupt: The position is doubled, or `expected_head` is gone.
        """
        if not _KIND.fullmatch(kind):
            raise UsageError(f"link kind '{kind}': only a-z, 0-9 and '_' are allowed, 40 at most")
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
                except Exception as error:  # noqa: BLE001  it may have been committed: what is read back decides
                    failure = error
                    outcome_unknown = True
                landed = self._landed(link, expected_head)
            if landed is not None:
                # An equal row that this call cannot have written is another driver's: the loser must know.
                if landed.hash == link.hash and (inserted == 1 or outcome_unknown):
                    return landed
                raise HeadMoved(f"chain '{key}' in table {self.ref}: position {link.seq} was taken by another writer")
            if failure is None:
                raise IntegrityError(
                    f"chain '{key}' in table {self.ref}: link {link.seq} was committed and cannot be read back; the "
                    "storage lost it, which a ledger must not sit on"
                )
            if not delta.is_conflict(failure):
                problem = unwritable(self.ref, failure)
                raise failure if problem is None else problem from failure
            self._sleep(delta.pause(attempt))
        raise StoreConflict(
            f"chain '{key}' in table {self.ref}: {self._retries} retries lost against concurrent writers; "
            "run the same command again"
        )

    def _landed(self, link: Link, head: Link | None) -> Link | None:
        """What stands at the link's position now; also that the head it follows is still there, once."""
        found = self.store.fetch(link.key, link.seq if head is None else head.seq, payloads=link.payload is not None)
        here = [row for row in found if row.seq == link.seq]
        before = [row for row in found if head is not None and row.seq == head.seq]
        if len(here) > 1 or len(before) > 1:
            raise LedgerCorrupt(
                f"chain '{link.key}' in table {self.ref}: frozen, because two links stand at one position; the table "
                "let two writers through at once"
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
        """First wins: the link that matches if there is one, else a new one at the head.

        Args:
            key: The chain.
            kind: Kind of the new link.
            match: Tells whether a link is the one that is wanted.
            make_body: Makes body and payload; called once at most, without a lock held, so it may take its time. Its
                result is thrown away when another driver's link gets there first.

        Returns:
            The link and whether this call appended it.

        Raises:
            StoreConflict: The head moved every time.
            LedgerCorrupt: The chain is broken.
        """
        return Followed(self, key).get_or_append(kind, match, make_body)

    def again(self, attempt: int) -> None:
        """Waits before another try against writers that came first.

        Raises:
            StoreConflict: There have been enough of them.
        """
        if attempt >= self._retries:
            raise StoreConflict(
                f"table {self.ref}: the head of the chain moved {attempt + 1} times; run the same command again"
            )
        self._sleep(delta.pause(attempt))


class Followed:
    """One chain whose links stay in memory once they were read and verified; only what follows is fetched later.

    Links are never changed or removed, so what was found stays found. What was not found is looked for in the table.
    """

    def __init__(self, chain: Chain, key: str) -> None:
        """Reads nothing yet."""
        self._chain = chain
        self.key = key
        self._links: tuple[Link, ...] | None = None

    @property
    def known(self) -> tuple[Link, ...]:
        """The links that were read so far; nothing is fetched."""
        return self._links or ()

    def links(self) -> tuple[Link, ...]:
        """All links as they stand now, verified.

        Raises:
            LedgerCorrupt: The chain is broken, or lost links that were read before.
        """
        self._links = self._chain.read_on(self.key, self._links or ())
        return self._links

    def find(self, match: Callable[[Link], bool]) -> Link | None:
        """The first link that matches: from memory, otherwise from the table.

        Raises:
            LedgerCorrupt: As for `links`.
        """
        known = next((link for link in self._links or () if match(link)), None)
        return known if known is not None else next((link for link in self.links() if match(link)), None)

    def get_or_append(
        self,
        kind: str,
        match: Callable[[Link], bool],
        make_body: Callable[[], tuple[Mapping[str, Any], bytes | None]],
    ) -> tuple[Link, bool]:
        """As `Chain.get_or_append`. It starts from memory: another driver's link shows as a moved head at the append.

        Raises:
            StoreConflict: The head moved every time.
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
