"""Links as rows of one Delta table, and the protocol of everything that keeps links."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from synthward.errors import SynthwardError, UsageError
from synthward.store import delta
from synthward.store.links import Link
from synthward.store.places import TableRef
from synthward.store.safety import configured_log_store, is_databricks, refuse_unsafe
from synthward.store.trouble import unwritable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

KEY = re.compile(r"[a-z0-9_.-]{1,80}")
_COLUMNS = ("key", "seq", "kind", "body", "payload", "at", "prev", "hash")
SCHEMA = (
    "key STRING NOT NULL, seq BIGINT NOT NULL, kind STRING NOT NULL, body STRING NOT NULL, payload BINARY, "
    "at STRING NOT NULL, prev STRING NOT NULL, hash STRING NOT NULL"
)
SAFETY = {
    "delta.appendOnly": "true",
    "delta.isolationLevel": "Serializable",
    "delta.enableDeletionVectors": "false",
}
"""Required properties. Without them two writers might not conflict, or links could be edited."""
# Statistics of bodies and hashes would cost time and have no use.
_PROPERTIES = {**SAFETY, "delta.dataSkippingStatsColumns": "seq"}


class LinkStore(Protocol):
    """Keeps links. The product uses a Delta table, tests use a list."""

    def fetch(self, key: str | None, since: int, payloads: bool) -> list[Link]:
        """Return the links of `key` (None: of every key) from position `since` on, unverified.

        They are in the order of key and position.
        """
        ...

    def insert(self, link: Link) -> int:
        """Try once to insert a link, unless its position is taken. Return the number of rows inserted."""
        ...


class DeltaLinks:
    """Links as rows of one Delta table. The table is created on first use."""

    def __init__(self, spark: SparkSession, ref: TableRef, *, single_writer: bool = False) -> None:
        """Remember the settings. Nothing is read or created yet.

        Args:
            spark: The session.
            ref: The table.
            single_writer: The site's promise that only one driver writes. Needed on object stores without a safe log
                store.

        Raises:
            EnvironmentProblem: The table's location is not safe for several drivers.
        """
        self._spark = spark
        self.ref = ref
        self._single_writer = single_writer
        self._there = False
        self._ready = False
        if ref.path is not None:
            self._refuse_unsafe(ref.path)

    def _refuse_unsafe(self, location: str) -> None:
        log_store = configured_log_store(self._spark, location)
        refuse_unsafe(location, self._single_writer, log_store, lambda: is_databricks(self._spark))

    def prepare(self) -> None:
        """Create the table if it does not exist. Check its properties and its location. Done once for each session.

        Raises:
            EnvironmentProblem: An existing table does not have the required properties, the location is not safe, or
                the table cannot be created because space or permission is missing.
        """
        if not self._ready:
            try:
                delta.create_if_absent(self._spark, self.ref, SCHEMA, ("key",), _PROPERTIES)
            except SynthwardError:
                raise
            except Exception as error:
                problem = unwritable(self.ref, error)
                raise error if problem is None else problem from error
            delta.require_properties(self.ref, delta.properties(self._spark, self.ref) or {}, SAFETY)
            if self.ref.path is None:
                # A catalog table may be on an object store. Finding out costs a look at all of its files.
                self._refuse_unsafe(delta.detail(self._spark, self.ref).location)
            self._ready = self._there = True

    def fetch(self, key: str | None, since: int, payloads: bool) -> list[Link]:
        """See `LinkStore`. A table that does not exist yet has no links."""
        self._there = self._there or delta.exists(self._spark, self.ref)
        if not self._there:
            return []
        payload = "payload" if payloads else "CAST(NULL AS BINARY) AS payload"
        where = f"seq >= {since}L" + (f" AND key = '{checked_key(key)}'" if key is not None else "")
        rows = self._spark.sql(
            f"SELECT key, seq, kind, body, {payload}, sha2(payload, 256) AS payload_sha256, at, prev, hash "
            f"FROM {self.ref.sql} WHERE {where}"
        ).collect()
        links = [
            Link(**{**row.asDict(), "payload": None if row["payload"] is None else bytes(row["payload"])})
            for row in rows
        ]
        # Sorted on the driver, because a sort in Spark would be one more shuffle for a few rows.
        return sorted(links, key=lambda link: (link.key, link.seq, link.hash))

    def insert(self, link: Link) -> int:
        """See `LinkStore`."""
        self.prepare()
        row = tuple(getattr(link, name) for name in _COLUMNS)
        source = self._spark.createDataFrame([row], SCHEMA)
        return delta.insert_if_absent(source, self.ref, f"t.key = '{checked_key(link.key)}' AND t.seq = {link.seq}L")


def checked_key(key: str) -> str:
    """Return the key of a chain after a check, because the key becomes part of SQL text.

    Raises:
        UsageError: The key has characters that are not allowed.
    """
    if not KEY.fullmatch(key):
        raise UsageError(f"chain key '{key}': only a-z, 0-9, '_', '.' and '-' are allowed, at most 80 characters")
    return key
