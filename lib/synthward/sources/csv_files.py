"""CSV files as all-string columns: whatever a line holds, reading it is no error and changes no other line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import types as T

from synthward.spec.request import CsvOptions

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

MOST_FIELDS = 2**20
"""Fields of a line that the parser takes; beyond them it fails with the whole line in its message (PROOFS 7)."""

UNNAMED_COLUMNS = 2**10
"""Columns `_c0`, `_c1`, ... of files without a header. Spark would take their number from the first line, so that one
patient's line decided whether a column is there; only the columns that are asked for are parsed."""


def open_csv(spark: SparkSession, path: str, options: CsvOptions) -> DataFrame:
    """Files at a path as a DataFrame of strings, named by their header or `_c0`, `_c1`, ... without one.

    A line with too few fields has NULL in the others, one with too many loses the rest.

    Args:
        spark: The session.
        path: File or folder.
        options: How the files are written.
    """
    reader = (
        spark.read.option("header", options.header)
        .option("sep", options.delimiter)
        .option("quote", options.quote)
        .option("escape", options.escape)
        .option("encoding", options.encoding)
        .option("multiLine", options.multiline)
        .option("mode", "PERMISSIVE")
        .option("maxCharsPerColumn", -1)
        .option("maxColumns", MOST_FIELDS)
    )
    if not options.header:
        reader = reader.schema(T.StructType([T.StructField(f"_c{k}", T.StringType()) for k in range(UNNAMED_COLUMNS)]))
    return reader.csv(path)
