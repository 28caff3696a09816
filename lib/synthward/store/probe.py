"""Trying whether a zone can be written: a tiny file or an empty table, made and removed, whatever the data are."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from synthward.store.delta import pause
from synthward.store.places import Zone, local_path

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TEXT = "Synthward was here to see whether it can write."

TRIES = 5
"""Two drivers of one run may be in each other's way."""


def write_probe(spark: SparkSession, zone: Zone, mark: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Writes something without data into a zone: a text file through Spark's writer, in a catalog an empty Delta table.

    The table is dropped, the file removed where this machine sees it. Elsewhere it stays: a constant text that the next
    try of the same run overwrites. No commit is made where the zone is a directory.

    Args:
        spark: The session.
        zone: The zone; a directory that is absent is made.
        mark: Public id that sets one run's probe apart, of letters, digits, `_` and `-`.
        sleep: For tests.

    Raises:
        Exception: Spark's own, of the last try.
    """
    table = zone.table(f"_synthward_probe_{mark}")
    for attempt in range(TRIES):
        try:
            if table.path is None:
                spark.sql(f"CREATE TABLE IF NOT EXISTS {table.sql} (written BOOLEAN) USING delta").collect()
                spark.sql(f"DROP TABLE IF EXISTS {table.sql}").collect()
            else:
                _write_file(spark, table.path)
        except Exception:
            if attempt == TRIES - 1:
                raise
            sleep(pause(attempt))
        else:
            return


def _write_file(spark: SparkSession, path: str) -> None:
    folder = None
    if local_path(path) is not None:  # removed below, so each try may have a place of its own
        path = f"{path}_{secrets.token_hex(4)}"
        folder = local_path(path)
    try:
        spark.range(0, 1, 1, 1).select(F.lit(TEXT).alias("value")).write.mode("overwrite").text(path)
    finally:
        if folder is not None:  # what a full disk let be made, too
            shutil.rmtree(folder, ignore_errors=True)
