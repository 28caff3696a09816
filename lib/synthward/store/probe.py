"""A test whether a zone can be written: a tiny file or an empty table is created and removed, without any data."""

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
"""Several tries, because two drivers of one run may conflict."""


def write_probe(spark: SparkSession, zone: Zone, mark: str, sleep: Callable[[float], None] = time.sleep) -> None:
    """Write a probe into a zone: a text file through Spark's writer, or in a catalog an empty Delta table.

    The probe holds no data. The table is dropped afterwards. The file is removed if this machine sees it. Otherwise it
    stays, as a constant text, and the next try of the same run overwrites it. In a directory nothing is committed.

    Args:
        spark: The session.
        zone: The zone. A missing directory is created.
        mark: Public id of the run, which makes its probe unique; letters, digits, `_` and `-`.
        sleep: For tests.

    Raises:
        Exception: Spark's error of the last try.
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
    if local_path(path) is not None:  # it is removed below, so each try may use another path
        path = f"{path}_{secrets.token_hex(4)}"
        folder = local_path(path)
    try:
        spark.range(0, 1, 1, 1).select(F.lit(TEXT).alias("value")).write.mode("overwrite").text(path)
    finally:
        if folder is not None:  # also after a failure, because a full disk may hold a part of it
            shutil.rmtree(folder, ignore_errors=True)
