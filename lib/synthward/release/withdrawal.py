"""A published table whose release was recalled or has expired: its rows go, a tombstone with its marks stays.

The tombstone has the schema and the properties of the release, no rows, and says what happened to it and which event
of the release's chain says so. Staged rows, seals, model, manifest and report stay where they are, so that a recalled
release can be verified: its rows are drawn again from the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from synthward.release.catalogs import literal
from synthward.release.publication import published_state
from synthward.release.table import PROPERTY
from synthward.store.delta import commit_again, empty_and_vacuum
from synthward.store.places import TableRef

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STATUS = "status"
"""Property of a tombstone: `recalled` or `expired`."""


def tombstone(spark: SparkSession, table: TableRef, release_id: str, marks: Mapping[str, str]) -> str:
    """Empty a release's table and mark it. Repeating it changes nothing.

    Args:
        spark: Session.
        table: The published table.
        release_id: The release that has to be there.
        marks: Synthward's properties to set: `status`, and the event.

    Returns:
        What was found and done, in a few words.
    """
    there = published_state(spark, table)
    if there is None:
        return "no table is there any more"
    if there.get("release_id") != release_id:
        return "another table is there now, and was left alone"
    if not marks.items() <= there.items():
        pairs = ", ".join(f"{literal(PROPERTY + name)} = {literal(value)}" for name, value in marks.items())
        # The mark comes first: a reader who comes in between finds rows and the mark, never an unmarked empty table.
        commit_again(lambda: spark.sql(f"ALTER TABLE {table.sql} SET TBLPROPERTIES ({pairs})").collect())
    commit_again(lambda: empty_and_vacuum(spark, table))
    return "rows removed, tombstone left"
