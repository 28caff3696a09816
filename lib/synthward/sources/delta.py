"""Delta tables: pinned by version and table id. The table declares its columns' types, so that nothing is inferred."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from synthward.conditions import conditions_of, kind_of
from synthward.errors import SourceError
from synthward.sources.columns import select_columns
from synthward.sources.protocol import Pinned
from synthward.spec.request import Source
from synthward.store.delta import table_id, version_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_GONE = (
    "FAILED_READ_FILE.FILE_NOT_EXIST",
    "FAILED_READ_FILE.DBR_FILE_NOT_EXIST",
    "DELTA_FILE_NOT_FOUND",
    "DELTA_VERSION_NOT_FOUND",
)
"""Conditions of a version whose data files are gone: Spark's, Databricks' and Delta's."""
_TOGETHER = "STAGE_MATERIALIZATION_MULTIPLE_FAILURES"


def pin(spark: SparkSession, source: Source) -> Pinned:
    """See `Format.pin`."""
    pinned = Pinned(source)
    try:
        return replace(pinned, version=version_of(spark, pinned.ref), table_id=table_id(spark, pinned.ref))
    except Exception as error:  # noqa: BLE001  a classic session passes some errors on as py4j's own
        raise SourceError(
            f"source '{source.location}' cannot be pinned as a Delta table ({kind_of(error)}); check the "
            "location and the format, or for a view or a filtered table set `snapshot: materialize`"
        ) from None


def open(spark: SparkSession, pinned: Pinned, names: Sequence[str]) -> DataFrame:  # noqa: A001 - the protocol's word
    """See `Format.open`."""
    return select_columns(frame_of(spark, pinned), names)


def frame_of(spark: SparkSession, pinned: Pinned) -> DataFrame:
    """The whole table at its pinned version."""
    reader = spark.read
    if pinned.version is not None:
        reader = reader.option("versionAsOf", pinned.version)
    path = pinned.source.path
    return reader.table(str(pinned.source.table)) if path is None else reader.format("delta").load(path)


def check_unchanged(spark: SparkSession, pinned: Pinned, failure: Exception | None) -> None:
    """See `Format.check_unchanged`."""
    if pinned.table_id is not None and failure is None and table_id(spark, pinned.ref) != pinned.table_id:
        raise SourceError(
            f"source '{pinned.source.location}' is another table than the one that was pinned; it was dropped and "
            "made again. The rest of this run's charge is forfeit: start a run with a new key, charged anew"
        )


def lacks_a_file(failure: Exception) -> bool:
    """Whether a pass failed since data files of a pinned version are gone."""
    conditions = conditions_of(failure)
    if any(condition.startswith(_GONE) for condition in conditions):
        return True
    # Where stages failed together, their own conditions stand in the text only, which is looked through and not told.
    return _TOGETHER in conditions and any(f"[{condition}" in str(failure) for condition in _GONE)
