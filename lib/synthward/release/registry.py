"""The `releases` and `artifacts` tables of the release zone: one row a release, one row a file.

Rows of a release's own table join on `_release_id`; here stands once what would otherwise be repeated in every row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from synthward.errors import IntegrityError, UsageError
from synthward.store.delta import add_columns, append_if_absent, create_if_absent, exists, read
from synthward.store.places import TableRef, Zone, quoted

RELEASES = "releases"
ARTIFACTS = "artifacts"
VIEW_SUFFIX = "_with_lineage"

RELEASES_SCHEMA = """
    release_id STRING NOT NULL, run_id STRING, request_digest STRING, title STRING, purpose STRING, audience STRING,
    tier STRING, scope STRING, source_ref STRING, unit STRING, max_rows_per_unit BIGINT, mechanism STRING,
    epsilon STRING, delta STRING, nano_epsilon BIGINT, nano_rho BIGINT, atto_delta BIGINT, bounds STRING,
    sampling_seed BIGINT, rows BIGINT, content STRING, domain_digest STRING, model_digest STRING,
    manifest_digest STRING, policy_digest STRING, site_digest STRING, ledger_seq BIGINT, ledger_head STRING,
    ledger_genesis STRING, generated_at STRING, version STRING, release_table STRING, unit_by STRING,
    readable_until STRING
"""
ARTIFACTS_SCHEMA = "release_id STRING NOT NULL, name STRING NOT NULL, media_type STRING, sha256 STRING, content BINARY"


@dataclass(frozen=True)
class Artifact:
    """One file of a release.

    Attributes:
        name: File name, unique within the release.
        media_type: Media type.
        content: The bytes.
    """

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True)
class Listed:
    """A release's row, as far as it decides who may read it. Columns of the same names.

    Attributes:
        release_id: The release.
        run_id: Its run.
        title: Title of its request.
        purpose: Purpose of its request.
        audience: Audience of its request.
        tier: Its tier.
        scope: The scope that paid.
        epsilon: Its epsilon, exact text.
        delta: Its delta, exact text.
        rows: Rows of the release.
        manifest_digest: Digest of its manifest.
        policy_digest: Digest of the policy under which it was made.
        site_digest: Digest of the site file then.
        ledger_seq: Position of its charge.
        ledger_genesis: Hash of the ledger's genesis.
        generated_at: When, UTC, ISO 8601.
        release_table: Its table.
        readable_until: Last day on which it may be read, ISO 8601; None for no end.
    """

    release_id: str
    run_id: str
    title: str
    purpose: str
    audience: str
    tier: str
    scope: str
    epsilon: str
    delta: str
    rows: int
    manifest_digest: str
    policy_digest: str
    site_digest: str
    ledger_seq: int
    ledger_genesis: str
    generated_at: str
    release_table: str
    readable_until: str | None = None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Listed:
        """From a row of the table; a table of an earlier version lacks columns that came later."""
        return cls(**{item.name: row[item.name] for item in fields(cls) if item.name in row})

    @property
    def table(self) -> TableRef:
        """Its table."""
        return TableRef.parse(self.release_table)


class Registry:
    """Reads and writes the two tables."""

    def __init__(self, spark: SparkSession, zone: Zone) -> None:
        self._spark = spark
        self.releases: TableRef = zone.table(RELEASES)
        self.artifacts: TableRef = zone.table(ARTIFACTS)

    def prepare(self) -> None:
        """Creates both tables where they are absent; fails where the zone cannot be written.

        A table of an earlier version gets the columns that came later, which are NULL in its rows.
        """
        create_if_absent(self._spark, self.releases, RELEASES_SCHEMA, properties={"delta.appendOnly": "true"})
        add_columns(self._spark, self.releases, RELEASES_SCHEMA)
        create_if_absent(self._spark, self.artifacts, ARTIFACTS_SCHEMA, properties={"delta.appendOnly": "true"})

    def record(self, release_id: str, values: Mapping[str, Any]) -> bool:
        """Adds a release; False when an equal row is there.

        Raises:
            IntegrityError: Another row is there under that id.
        """
        return append_if_absent(self._spark, self.releases, keys={"release_id": release_id}, rows=[values])

    def keep(self, release_id: str, artifacts: Sequence[Artifact]) -> bool:
        """Stores all artifacts of a release in one commit; False when they are there with the same content.

        Raises:
            IntegrityError: Other artifacts are there under that id.
        """
        rows = [
            {
                "name": artifact.name,
                "media_type": artifact.media_type,
                "sha256": hashlib.sha256(artifact.content).hexdigest(),
                "content": artifact.content,
            }
            for artifact in artifacts
        ]
        return append_if_absent(self._spark, self.artifacts, keys={"release_id": release_id}, rows=rows)

    def row(self, release_id: str) -> dict[str, Any] | None:
        """A release's row, or None."""
        if not exists(self._spark, self.releases):
            return None
        found = read(self._spark, self.releases).where(F.col("release_id") == release_id).limit(2).collect()
        return found[0].asDict() if found else None

    def listed(self, release_id: str | None = None) -> tuple[Listed, ...]:
        """Every release, or the one with this id; in the order of scopes and charges."""
        if not exists(self._spark, self.releases):
            return ()
        found = read(self._spark, self.releases)
        if release_id is not None:
            found = found.where(F.col("release_id") == release_id).limit(1)
        listed = (Listed.of(row.asDict()) for row in found.collect())
        return tuple(sorted(listed, key=lambda one: (one.scope, one.ledger_seq, one.release_id)))

    def rows(self, scope: str) -> list[dict[str, Any]]:
        """A scope's releases, in the order of their charges."""
        if not exists(self._spark, self.releases):
            return []
        found = read(self._spark, self.releases).where(F.col("scope") == scope).collect()
        return sorted((row.asDict() for row in found), key=lambda row: row["ledger_seq"])

    def receipts(self) -> list[tuple[str, tuple[int, str, str]]]:
        """Scope and receipt (seq, head hash, genesis hash) of each release: of the charge that paid for it."""
        if not exists(self._spark, self.releases):
            return []
        columns = ("scope", "ledger_seq", "ledger_head", "ledger_genesis")
        rows = read(self._spark, self.releases).select(*columns).collect()
        return [(str(row[0]), (int(row[1]), str(row[2]), str(row[3]))) for row in rows]

    def artifact(self, release_id: str, name: str) -> bytes:
        """Content of an artifact, checked against its digest.

        Raises:
            UsageError: There is no such artifact.
            IntegrityError: Its content does not have its digest.
        """
        rows: list[Any] = []
        if exists(self._spark, self.artifacts):
            wanted = (F.col("release_id") == release_id) & (F.col("name") == name)
            rows = read(self._spark, self.artifacts).where(wanted).limit(1).collect()
        if not rows:
            raise UsageError(f"release '{release_id}' has no artifact '{name}'; the releases are in {self.releases}")
        content = bytes(rows[0]["content"])
        if hashlib.sha256(content).hexdigest() != rows[0]["sha256"]:
            raise IntegrityError(f"artifact '{name}' of release '{release_id}' does not have its digest; do not use it")
        return content

    def with_lineage(self, release: DataFrame) -> DataFrame:
        """Rows of a release together with everything the registry knows of it."""
        facts = read(self._spark, self.releases).withColumnRenamed("release_id", "_release_id")
        added = lineage_names(release.columns, facts.columns)
        chosen = facts.select("_release_id", *(F.col(column).alias(name) for column, name in added.items()))
        return release.join(F.broadcast(chosen), "_release_id", "left")

    def create_view(self, target: TableRef) -> TableRef | None:
        """Makes the ready view of a release in a catalog: its rows with what `with_lineage` adds, for users of SQL.

        Making it again changes nothing.

        Returns:
            The view, named after the release's table; None for a table with a path, since a view needs a catalog.
        """
        view = view_of(target, VIEW_SUFFIX)
        if view is None:
            return None
        columns = read(self._spark, target).columns
        added = lineage_names(columns, read(self._spark, self.releases).columns)
        shown = [f"rows.{quoted(name)}" for name in columns]
        shown += [f"facts.{quoted(column)} AS {quoted(name)}" for column, name in added.items()]
        self._spark.sql(
            f"CREATE VIEW IF NOT EXISTS {view.sql} AS SELECT {', '.join(shown)} FROM {target.sql} AS rows "
            f"LEFT JOIN {self.releases.sql} AS facts ON rows.`_release_id` = facts.`release_id`"
        ).collect()
        return view


def view_of(table: TableRef, suffix: str) -> TableRef | None:
    """The view that belongs to a release's table: its name with a suffix; None for a table with a path."""
    if table.path is not None:
        return None
    return TableRef(parts=(*table.parts[:-1], table.parts[-1] + suffix))


def lineage_names(release: Sequence[str], registry: Sequence[str]) -> dict[str, str]:
    """Registry columns that can be shown beside a release's, with the names they get: an underscore first.

    Left out is what would stand there twice; names are compared as Spark does, without regard to case.
    """
    taken = {name.lower() for name in release} | {"_release_id"}
    named = {column: f"_{column.removeprefix('_')}" for column in registry}
    return {column: name for column, name in named.items() if name.lower() not in taken}
