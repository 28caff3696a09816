"""Tables of the catalog without versions: views, tables with row filters, tables that are not Delta.

They cannot be pinned. `snapshot: materialize` copies them, see `sources.copying`; this module opens them for the copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from synthward.sources.columns import select_columns
from synthward.sources.protocol import Pinned
from synthward.spec.request import Source

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def pin(spark: SparkSession, source: Source) -> Pinned:  # noqa: ARG001 - the protocol's signature
    """No state: the table has to be copied before it is read."""
    return Pinned(source)


def open(spark: SparkSession, pinned: Pinned, names: Sequence[str]) -> DataFrame:  # noqa: A001 - the protocol's word
    """See `Format.open`."""
    return select_columns(spark.read.table(str(pinned.source.table)), names)


def check_unchanged(spark: SparkSession, pinned: Pinned, failure: Exception | None) -> None:
    """There is nothing to compare: what is measured is the copy."""
