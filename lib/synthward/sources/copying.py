"""Copying what has no versions: a run-scoped copy of a view, or of a filtered table, in the protected zone.

A copy holds the needed columns of one table on the path to the patient. It is made after the charge, since it reads
every row, is measured like any other Delta table at its version, and is dropped once everything is sealed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from synthward.conditions import kind_of
from synthward.errors import SourceError
from synthward.sources import delta
from synthward.sources.patient import needed_columns
from synthward.sources.protocol import Pinned
from synthward.sources.reading import PinnedSource, open_table
from synthward.spec.request import Source
from synthward.spec.request_file import RequestFile
from synthward.store.delta import drop, exists, version_of
from synthward.store.places import TableRef, quoted

logger = logging.getLogger(__name__)

PROPERTIES = {
    # Column mapping lets a copy keep names with dots, spaces and brackets.
    "delta.columnMapping.mode": "name",
    # Statistics are values of cells, in a transaction log that may outlive the data files.
    "delta.dataSkippingNumIndexedCols": "0",
}


def copy_tables(
    spark: SparkSession, pinned: PinnedSource, file: RequestFile, copies: Mapping[int, TableRef]
) -> PinnedSource:
    """Copies tables that have no versions, and pins the copies. Where one fails, none is left.

    Args:
        spark: Session.
        pinned: The request's tables.
        file: The request.
        copies: Target by the table's place on the path.

    Raises:
        SourceError: A table cannot be read to its end, or the copy cannot be written.
    """
    tables = list(pinned.tables)
    try:
        for place, target in copies.items():
            tables[place] = _copy(spark, tables[place], needed_columns(file, place), target)
    except BaseException:
        discard(spark, copies.values())
        raise
    return PinnedSource(tuple(tables))


def _copy(spark: SparkSession, table: Pinned, columns: list[str], target: TableRef) -> Pinned:
    try:
        writer = open_table(spark, table, columns).writeTo(target.sql).using("delta")
        for name, value in PROPERTIES.items():
            writer = writer.tableProperty(name, value)
        writer.createOrReplace()
        version = version_of(spark, target)
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001  a classic session passes some errors on as py4j's own
        # Unlike a pass, a view may compute anything, and so fail on a cell, which Spark's text would quote.
        raise SourceError(
            f"source '{table.source.location}' cannot be copied into the protected zone ({kind_of(error)}): a view "
            "must be readable to its end, whatever its cells hold (try_cast, not CAST), and the zone writable. Nothing "
            "was measured; mend it and run the same command again, which spends nothing more"
        ) from None
    located = Source(format="delta", path=target.path, table=".".join(target.parts) or None)
    return Pinned(located, version=version)


def is_whole(spark: SparkSession, pinned: PinnedSource, places: Iterable[int]) -> bool:
    """Whether the copies at these places can still be read; the log of a dropped one may be there without its files."""
    try:
        for place in places:
            frame = delta.frame_of(spark, pinned.tables[place])
            # Of a constant Spark would not open any file.
            frame.select(F.col(quoted(frame.columns[0])).isNull()).limit(1).collect()
    except Exception:  # noqa: BLE001  whatever it is, that copy is of no use
        return False
    return True


def discard(spark: SparkSession, copies: Iterable[TableRef]) -> None:
    """Removes copies, half-written ones included, as far as that is possible; what is left over is told in the log."""
    for ref in copies:
        try:
            if not exists(spark, ref):
                # Data files without a commit belong to no table that could be dropped.
                spark.range(0).writeTo(ref.sql).using("delta").createOrReplace()
            drop(spark, ref)
        except Exception as error:  # noqa: BLE001  what made the run stop is what has to be raised
            logger.warning("the copy of a source at %s could not be removed (%s); remove it", ref, kind_of(error))
