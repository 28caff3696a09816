"""What a catalog is told about a release: grants, marks and reader views, behind one interface.

Three kinds of catalogs: tables at paths, where the storage decides who reads and a grant is a record only; tables in a
catalog of Spark such as Hive's, which has comments, properties and views, but no GRANT in open-source Spark; and Unity
Catalog, which has all of it and tags. An adapter makes statements; `execute` runs them. So what a catalog is told can
be read and tested without one.

Every name is quoted. Texts are ours, or ids and digests; no text of a person becomes part of a statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from synthward.errors import UsageError
from synthward.release.names import LINEAGE
from synthward.release.table import SAYS_SYNTHETIC
from synthward.store.delta import commit_again
from synthward.store.places import TableRef, Zone, quoted
from synthward.store.safety import is_databricks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CatalogKind = Literal["auto", "paths", "hive", "unity"]


class Catalog(Protocol):
    """What each kind of catalog can do. Every method returns SQL statements, in order; repeating them does no harm."""

    kind: str

    def grant(self, table: TableRef, recipient: str) -> list[str]:
        """Let a recipient read a table or a view."""

    def revoke(self, table: TableRef, recipient: str) -> list[str]:
        """Take a recipient's access away."""

    def describe(self, table: TableRef, comment: str, tags: Mapping[str, str]) -> list[str]:
        """Say on the table what it is."""

    def view(self, table: TableRef, view: TableRef, columns: Sequence[str], comment: str) -> list[str]:
        """Make a view of a table without its lineage columns.

        Raises:
            UsageError: This kind of catalog has no views.
        """

    def drop_view(self, view: TableRef) -> list[str]:
        """Remove a view, if it is there."""


class Paths:
    """Tables at paths: the storage decides who reads them, and a grant is a record."""

    kind = "paths"

    def grant(self, table: TableRef, recipient: str) -> list[str]:  # noqa: ARG002
        """See `Catalog.grant`: nothing to tell."""
        return []

    def revoke(self, table: TableRef, recipient: str) -> list[str]:  # noqa: ARG002
        """See `Catalog.revoke`: nothing to tell."""
        return []

    def describe(self, table: TableRef, comment: str, tags: Mapping[str, str]) -> list[str]:  # noqa: ARG002
        """See `Catalog.describe`: the table's own properties say it."""
        return []

    def view(self, table: TableRef, view: TableRef, columns: Sequence[str], comment: str) -> list[str]:  # noqa: ARG002
        """See `Catalog.view`."""
        raise UsageError(f"table {table}: a view needs a catalog, and this release zone is a folder; grant the table")

    def drop_view(self, view: TableRef) -> list[str]:  # noqa: ARG002
        """See `Catalog.drop_view`: there is none."""
        return []


class SparkCatalog:
    """Tables in a catalog of Spark (Hive's, for instance): comments and views; grants are records."""

    kind = "hive"

    def grant(self, table: TableRef, recipient: str) -> list[str]:  # noqa: ARG002
        """See `Catalog.grant`: open-source Spark has no GRANT."""
        return []

    def revoke(self, table: TableRef, recipient: str) -> list[str]:  # noqa: ARG002
        """See `Catalog.revoke`: open-source Spark has no REVOKE."""
        return []

    def describe(self, table: TableRef, comment: str, tags: Mapping[str, str]) -> list[str]:  # noqa: ARG002
        """See `Catalog.describe`: a comment; these catalogs have no tags."""
        return [f"COMMENT ON TABLE {table.sql} IS {literal(comment)}"]

    def view(self, table: TableRef, view: TableRef, columns: Sequence[str], comment: str) -> list[str]:
        """See `Catalog.view`. The first column says that the rows are synthetic, too."""
        shown = [name for name in columns if name.lower() not in LINEAGE]
        declared = [
            f"{quoted(name)} COMMENT {literal(SAYS_SYNTHETIC)}" if place == 0 else quoted(name)
            for place, name in enumerate(shown)
        ]
        columns_sql = ", ".join(map(quoted, shown))
        parts = (
            f"CREATE VIEW IF NOT EXISTS {view.sql} ({', '.join(declared)}) COMMENT {literal(comment)}",
            "TBLPROPERTIES ('synthward.synthetic' = 'true')",
            f"AS SELECT {columns_sql} FROM {table.sql}",
        )
        return [" ".join(parts)]

    def drop_view(self, view: TableRef) -> list[str]:
        """See `Catalog.drop_view`."""
        return [f"DROP VIEW IF EXISTS {view.sql}"]


class Unity(SparkCatalog):
    """Unity Catalog on Databricks: grants and tags as well."""

    kind = "unity"

    def grant(self, table: TableRef, recipient: str) -> list[str]:
        """See `Catalog.grant`. A reader needs the use of catalog and schema; they show no table by themselves."""
        who = quoted(recipient)
        above = []
        if len(table.parts) == 3:
            above.append(f"GRANT USE CATALOG ON CATALOG {quoted(table.parts[0])} TO {who}")
        if len(table.parts) > 1:
            schema = ".".join(map(quoted, table.parts[:-1]))
            above.append(f"GRANT USE SCHEMA ON SCHEMA {schema} TO {who}")
        return [*above, f"GRANT SELECT ON TABLE {table.sql} TO {who}"]

    def revoke(self, table: TableRef, recipient: str) -> list[str]:
        """See `Catalog.revoke`. Catalog and schema may be used for other releases, so those grants stay."""
        return [f"REVOKE SELECT ON TABLE {table.sql} FROM {quoted(recipient)}"]

    def describe(self, table: TableRef, comment: str, tags: Mapping[str, str]) -> list[str]:
        """See `Catalog.describe`: a comment and tags."""
        pairs = ", ".join(f"{literal(name)} = {literal(value)}" for name, value in tags.items())
        return [*super().describe(table, comment, tags), f"ALTER TABLE {table.sql} SET TAGS ({pairs})"]


def literal(text: str) -> str:
    """A string literal whose meaning does not depend on Spark's setting `escapedStringLiterals`.

    Raises:
        UsageError: The text has a quote or a backslash.
    """
    if "'" in text or "\\" in text:
        raise UsageError(f"text {text!r}: quotes and backslashes are not allowed in a statement for a catalog")
    return f"'{text}'"


def catalog_for(spark: SparkSession, releases: Zone, kind: CatalogKind) -> Catalog:
    """The adapter of a release zone.

    Args:
        spark: Session.
        releases: The release zone.
        kind: What the site says; `auto` looks at the zone and at the session.

    Raises:
        UsageError: The site names a catalog, and its release zone is a folder, or the other way round.
    """
    if releases.is_path != (kind == "paths") and kind != "auto":
        found = "a folder" if releases.is_path else "a schema of a catalog"
        raise UsageError(f"site: catalog {kind} does not fit the release zone, which is {found}; use auto")
    if releases.is_path:
        return Paths()
    return Unity() if kind == "unity" or (kind == "auto" and is_databricks(spark)) else SparkCatalog()


def execute(spark: SparkSession, statements: Sequence[str]) -> None:
    """Run statements in order. A concurrent commit to a table is no reason to give up."""
    for statement in statements:
        commit_again(lambda text=statement: spark.sql(text).collect())  # type: ignore[misc]
