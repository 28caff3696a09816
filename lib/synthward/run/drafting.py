"""A first draft of a domain from a table, from its schema alone; no row of it is read.

Of a CSV file the names are in the header, so that its first line is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from pyspark.sql import types as T

from synthward.conditions import kind_of
from synthward.errors import SourceError, UsageError
from synthward.spec.draft import draft
from synthward.store.places import local_path

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Format = Literal["csv", "parquet", "delta"]

_ENDINGS: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet"}
_PACKED = (".gz", ".bz2", ".zst", ".snappy")


def guessed_format(location: str) -> Format:
    """The format of the files at a path, by names alone.

    A folder with a Delta log is Delta. Otherwise the ending says it, that of the path or, for a local folder, that of
    the files in it. Without any sign it is Delta.

    Example:
        >>> guessed_format("s3a://bucket/extract/visits.csv.gz")
        'csv'
    """
    folder = local_path(location) or Path(location)
    names = [location]
    if folder.is_dir():
        if (folder / "_delta_log").is_dir():
            return "delta"
        names += sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith(("_", ".")))
    return next((_ENDINGS[ending] for ending in map(_ending, names) if ending in _ENDINGS), "delta")


def _ending(name: str) -> str:
    path = PurePosixPath(name.rstrip("/").lower())
    return path.with_suffix("").suffix if path.suffix in _PACKED else path.suffix


def draft_domain(
    spark: SparkSession,
    table: str,
    format: Format | None = None,  # noqa: A002 - as in a request
    *,
    header: bool = False,
) -> str:
    """Drafts a domain from the schema of a table.

    Args:
        spark: Session.
        table: Name in the catalog, or path of files.
        format: Format of the files; default: `guessed_format`.
        header: The first line of CSV files holds the columns' names. Somebody has to have looked, because the line of a
            file without a header is a patient's.

    Returns:
        YAML text that loads once every TODO is replaced.

    Raises:
        SourceError: The table cannot be opened.
        UsageError: CSV files without `header`.
    """
    is_path = "/" in table or Path(table).exists()
    if is_path:
        path = table if "/" in table else str(Path(table).absolute())
        kind = format or guessed_format(path)
        if kind == "csv" and not header:
            raise UsageError(
                f"{table}: the draft of a CSV file takes its names from the first line, which may be a patient's; look "
                "at it, and give --header if it holds names"
            )
    schema = _schema(spark, kind, path) if is_path else _schema(spark, None, table)
    return draft(PurePosixPath(table.rstrip("/")).name if is_path else table, list(_flat("", schema)))


def _schema(spark: SparkSession, kind: Format | None, location: str) -> T.StructType:
    reader = spark.read.option("header", True)
    try:
        return (reader.table(location) if kind is None else reader.format(kind).load(location)).schema
    except Exception as error:  # noqa: BLE001  a classic session passes some errors on as py4j's own
        raise SourceError(
            f"'{location}' cannot be opened{'' if kind is None else f' as {kind}'} ({kind_of(error)}); check the "
            "location, the format and the permissions"
        ) from None


def _flat(prefix: str, data_type: T.DataType) -> Iterator[tuple[str, str]]:
    """(dotted name, type) of every plain column, structs opened."""
    if isinstance(data_type, T.StructType):
        for field in data_type.fields:
            yield from _flat(f"{prefix}{field.name}.", field.dataType)
    else:
        yield prefix.rstrip("."), data_type.simpleString()
