"""The release as a Delta table: staged in the protected zone, checked there, then made visible in one commit.

A staged table is replaced as a whole by every attempt, so leftovers of a crash do no harm. Lineage columns are few and
compact; everything else about a release stands once in the `releases` table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Attribute, Date, Numeric
from synthward.kernels.held import held
from synthward.release.names import ROW
from synthward.sample.decode import decode_all, release_type
from synthward.store.delta import commit_again, version_of
from synthward.store.places import TableRef, quoted

PROPERTY = "synthward."

SAYS_SYNTHETIC = "SYNTHETIC DATA. No row is a real person."
"""First words of every comment of a table, a view and a first column."""


@dataclass(frozen=True)
class Lineage:
    """What every row says of its origin.

    Attributes:
        release_id: Joins with the `releases` table.
        model_digest: sha256 of the model.
        generated_at: Time of the last seal, UTC, ISO 8601; retries write equal rows.
    """

    release_id: str
    model_digest: str
    generated_at: str


@dataclass(frozen=True)
class Fingerprint:
    """What a table's content is recognised by, whatever its files look like.

    Attributes:
        rows: Number of rows.
        content: Sum over rows of a 64-bit hash of all columns, as text; rows carry their number, so order cannot hide
            a swap. It recognises a repeated run, not an attacker: the manifest's sha256 and the chain do that.
    """

    rows: int
    content: str


def release_types(
    books: Mapping[str, CodeBook], source_schema: Mapping[str, T.DataType | None]
) -> dict[str, T.DataType]:
    """Column types of the release by name."""
    return {name: release_type(book, source_schema[name]) for name, book in books.items()}


def release_rows(
    places: DataFrame,
    books: Mapping[str, CodeBook],
    types: Mapping[str, T.DataType],
    keys: Mapping[str, T.DataType],
    lineage: Lineage,
) -> DataFrame:
    """Decoded rows with fresh keys and lineage columns.

    Args:
        places: Output of `sample_places`.
        books: Code books in release order.
        types: Column types of the release.
        keys: Key columns that get fresh ids, with their types.
        lineage: Lineage constants.
    """
    constants = [
        F.lit(True).alias("_synthetic"),
        F.lit(lineage.release_id).alias("_release_id"),
        F.lit(lineage.model_digest).alias("_model_digest"),
        F.lit(lineage.generated_at).alias("_generated_at"),
        F.col(ROW),
    ]
    fresh = [_fresh_key(data_type, lineage.release_id).alias(name) for name, data_type in keys.items()]
    first, *others = [*fresh, *decode_all(books, types)]
    # The comment travels with the column into clones and copies, and stays where lineage columns are hidden.
    said = first.alias(next(iter([*keys, *books])), metadata={"comment": SAYS_SYNTHETIC})
    return places.select(said, *others, *constants)


def _fresh_key(data_type: T.DataType, release_id: str) -> Column:
    """An id made from the row number alone: integers count down from -1, texts start with `synthetic-`."""
    if isinstance(data_type, T.NumericType):
        return (-1 - F.col(ROW)).cast(data_type)
    text = F.concat(F.lit(f"synthetic-{release_id}-"), F.lpad(F.col(ROW).cast("string"), 12, "0"))
    return text.cast("binary") if isinstance(data_type, T.BinaryType) else text


def constraints(books: Mapping[str, CodeBook], types: Mapping[str, T.DataType]) -> dict[str, str]:
    """CHECK expressions from the domain: ranges and presence only.

    Lists of values would cost a third of the write's throughput; categories hold by construction and gates check them.
    """
    checks = {
        "synthetic_only": "`_synthetic` IS NOT NULL AND `_synthetic`",
        "row_number": f"`{ROW}` IS NOT NULL AND `{ROW}` >= 0",
        "release": "`_release_id` IS NOT NULL",
    }
    by_column = constraints_by_column(books, types)
    return checks | {f"domain_{place}": by_column[name] for place, name in enumerate(books) if name in by_column}


def constraints_by_column(books: Mapping[str, CodeBook], types: Mapping[str, T.DataType]) -> dict[str, str]:
    """CHECK expressions by column, of those that have one."""
    checks = {}
    for name, book in books.items():
        column = quoted(name)
        found = [f"{column} IS NOT NULL"] if book.attribute.required else []
        in_range = _range(column, book.declared, types[name])
        if in_range is not None:
            found.append(f"({column} IS NULL OR {in_range})")
        if found:
            checks[name] = " AND ".join(found)
    return checks


def _range(column: str, attribute: Attribute, data_type: T.DataType) -> str | None:
    if isinstance(attribute, Numeric) and isinstance(data_type, T.NumericType):
        texts = [f"{bound:f}" for bound in attribute.bounds]
        if isinstance(data_type, T.FloatType | T.DoubleType):
            # As the type holds them: 0.7 as FLOAT is less than 0.7 as DOUBLE, and would break its own bound.
            ends = held(attribute.grid, np.array([0, attribute.grid.count - 1], dtype=np.int64), data_type)
            texts = [f"{float(end)!r}D" for end in ends]
        return f"{column} BETWEEN {texts[0]} AND {texts[1]}"
    if isinstance(attribute, Date) and isinstance(data_type, T.DateType):
        first = attribute.bounds[0].replace(day=1) if attribute.granularity != "day" else attribute.bounds[0]
        first = first.replace(month=1) if attribute.granularity == "year" else first
        return f"{column} BETWEEN DATE'{first}' AND DATE'{attribute.bounds[1]}'"
    return None


def stage(rows: DataFrame, target: TableRef, checks: Mapping[str, str], properties: Mapping[str, str]) -> int:
    """Writes rows and all properties in one commit; returns the table's version."""
    write(rows, target, checks, properties)
    return version_of(rows.sparkSession, target)


def write(rows: DataFrame, target: TableRef, checks: Mapping[str, str], properties: Mapping[str, str]) -> None:
    """Writes rows and all properties in one commit, in place of what is there."""
    writer = rows.writeTo(target.sql).using("delta").tableProperty("delta.dataSkippingStatsColumns", ROW)
    writer = writer.tableProperty("comment", SAYS_SYNTHETIC)
    if any(set(name) & set(" ,;{}()\n\t=") for name in rows.columns):
        writer = writer.tableProperty("delta.columnMapping.mode", "name")
    for name, expression in checks.items():
        writer = writer.tableProperty(f"delta.constraints.{name}", expression)
    for name, value in properties.items():
        writer = writer.tableProperty(PROPERTY + name, value)
    # Of two drivers of one run that stage at once, both go on: with versions of their own that hold equal rows.
    commit_again(writer.createOrReplace)


def content_columns(columns: Sequence[str]) -> list[Column]:
    """Aggregates that make up a `Fingerprint`: number of rows, sum of row hashes."""
    hashed = F.xxhash64(*(F.col(quoted(name)) for name in columns))
    return [F.count(F.lit(1)).alias("rows"), F.sum(hashed.cast("decimal(38,0)")).cast("string").alias("content")]


def fingerprint(frame: DataFrame) -> Fingerprint:
    """Reads a table once."""
    row = frame.agg(*content_columns(frame.columns)).collect()[0]
    return Fingerprint(int(row["rows"]), str(row["content"]))
