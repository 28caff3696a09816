"""Making a gated release visible: one commit that everybody sees at once, and that may be repeated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from synthward.errors import IntegrityError
from synthward.release.table import PROPERTY, SAYS_SYNTHETIC, Fingerprint, fingerprint
from synthward.store.delta import commit_again, detail, read
from synthward.store.delta import properties as properties_of
from synthward.store.places import TableRef

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_NOTE = "manifest_noted"
"""Property whose commit puts the manifest's digest into the history; a clone's own commit has no room for it."""

_KEPT = ("delta.constraints.", "delta.dataSkipping", "delta.columnMapping.mode")


def published_state(spark: SparkSession, target: TableRef) -> Mapping[str, str] | None:
    """Synthward's properties of what stands at a target, None where nothing does."""
    found = properties_of(spark, target)
    if found is None:
        return None
    return {name.removeprefix(PROPERTY): value for name, value in found.items() if name.startswith(PROPERTY)}


def publish(
    spark: SparkSession, staged: TableRef, version: int, target: TableRef, properties: Mapping[str, str], how: str
) -> bool:
    """Makes a staged table visible at `target` in one commit; repeating it changes nothing.

    Args:
        spark: Session.
        staged: The gated table.
        version: Its gated version.
        target: The release's own place.
        properties: Synthward's properties of the release: release id, `rows`, `content`, `manifest_sha256` among them.
        how: `clone` (shallow, shares the staged files) or `copy` (stands alone).

    Returns:
        False when the same release is there already.

    Raises:
        IntegrityError: Something else is there.
    """
    there, is_new = published_state(spark, target), False
    if there is None:
        try:
            make = _clone if how == "clone" else _copy
            make(spark, staged, version, target, properties)
            is_new = True
        except Exception:
            # Another driver of the run may have come first, which has many conditions: what is there now counts.
            there = published_state(spark, target)
            if there is None:
                raise
    if there is not None:
        _compare(spark, target, there, properties)
    if there is None or _NOTE not in there:
        # A clone has no comment of its own yet; it comes with the commit that has to be made anyway.
        note = f"'{PROPERTY}{_NOTE}' = '{properties['manifest_sha256']}', 'comment' = '{SAYS_SYNTHETIC}'"
        commit_again(lambda: spark.sql(f"ALTER TABLE {target.sql} SET TBLPROPERTIES ({note})").collect())
    return is_new


def recognise(spark: SparkSession, target: TableRef, properties: Mapping[str, str]) -> None:
    """Checks that a published release is still what it was: release id, number of rows, content.

    Raises:
        IntegrityError: It is gone, or something else.
    """
    there = published_state(spark, target)
    if there is None:
        raise IntegrityError(
            f"this run published its release at {target}, where there is nothing now; a release that was removed is "
            "not published again. Start a run with a new key, which is charged anew"
        )
    _compare(spark, target, there, properties)


def _compare(spark: SparkSession, target: TableRef, there: Mapping[str, str], properties: Mapping[str, str]) -> None:
    differing = sorted(name for name, value in properties.items() if there.get(name) != value)
    if not differing:
        wanted = Fingerprint(int(properties["rows"]), properties["content"])
        differing = [] if fingerprint(read(spark, target)) == wanted else ["its rows"]
    if differing:
        raise IntegrityError(
            f"target {target} holds something else than this release (it differs in {', '.join(differing)}); Synthward "
            "never replaces a published table. Move it away, or give the request another output name"
        )


def _clone(
    spark: SparkSession, staged: TableRef, version: int, target: TableRef, properties: Mapping[str, str]
) -> None:
    pairs = ", ".join(f"'{PROPERTY}{name}' = '{value}'" for name, value in properties.items())
    spark.sql(
        f"CREATE TABLE IF NOT EXISTS {target.sql} SHALLOW CLONE {staged.sql} VERSION AS OF {version} "
        f"TBLPROPERTIES ({pairs})"
    ).collect()


def _copy(spark: SparkSession, staged: TableRef, version: int, target: TableRef, properties: Mapping[str, str]) -> None:
    kept = {name: value for name, value in detail(spark, staged).properties.items() if name.startswith(_KEPT)}
    writer = read(spark, staged, version).writeTo(target.sql).using("delta")
    for name, value in (*kept.items(), *((PROPERTY + key, value) for key, value in properties.items())):
        writer = writer.tableProperty(name, value)
    # A failed earlier copy may have left files but no table; two drivers that race here write equal rows.
    writer.createOrReplace()
