"""Delta tables by SQL: create if absent, insert if absent, read back.

Everything here works on classic Spark and on Spark Connect. Names and paths are quoted in one place, `places`.
Values never become SQL text: they travel as a one-row DataFrame. (Named parameters are no way out: with Delta's parser
on Spark 4.2 they are reported as unbound. Binary literals of some megabytes exhaust the driver's heap.)
"""

from __future__ import annotations

import math
import os
import re
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException
from pyspark.sql import types as T

from synthward.conditions import condition_of
from synthward.errors import EnvironmentProblem, IntegrityError, StoreConflict, UsageError
from synthward.store.places import TableRef, local_path, quoted

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row, SparkSession

RETRIES = 12
"""Default bound on retries after a commit conflict: about a minute with the pauses below."""

CREATE_TRIES = 6
"""Tries to create a table after errors that are no conflicts; some come from another driver's half-made table.

About ten seconds in all: a first commit on a busy machine takes several."""

_SAFE_TEXT = re.compile(r"[A-Za-z0-9_.:@/+-]{1,200}")
_ABSENT = (
    "PATH_NOT_FOUND",
    "DELTA_PATH_DOES_NOT_EXIST",
    "DELTA_MISSING_DELTA_TABLE",
    "DELTA_TABLE_NOT_FOUND",
    "DELTA_SCHEMA_NOT_SET",
    "TABLE_OR_VIEW_NOT_FOUND",
    "SCHEMA_NOT_FOUND",
)
_CONFLICT = ("DELTA_CONCURRENT", "DELTA_METADATA_CHANGED", "DELTA_PROTOCOL_CHANGED")


@dataclass(frozen=True)
class Identity:
    """Which table it is, whatever it is called.

    Attributes:
        id: Delta's own id; a clone has another.
        location: The folder of its files.
    """

    id: str
    location: str


@dataclass(frozen=True)
class Detail:
    """What `DESCRIBE DETAIL` says and this package relies on."""

    location: str
    partition_by: tuple[str, ...]
    properties: Mapping[str, str]


def is_conflict(error: BaseException) -> bool:
    """Whether a commit lost against a concurrent one, so that trying again makes sense."""
    return condition_of(error).startswith(_CONFLICT)


def pause(attempt: int) -> float:
    """Seconds to wait before retry number `attempt` (from 0): doubling, at most 8, half of it random.

    The random half comes from the operating system: seeded generators would keep two drivers in step.
    """
    longest = min(0.2 * 2.0**attempt, 8.0)
    return longest * (0.5 + 0.5 * int.from_bytes(os.urandom(4), "big") / 2.0**32)


def commit_again(
    commit: Callable[[], object], retries: int = RETRIES, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Commits, and does so again as long as a concurrent commit comes first.

    Args:
        commit: One commit that may be made twice.
        retries: How often to try again.
        sleep: For tests.

    Raises:
        Exception: Spark's own, of the last try or of a failure that is no conflict.
    """
    for attempt in range(retries + 1):
        try:
            commit()
            return
        except Exception as error:
            if attempt == retries or not is_conflict(error):
                raise
        sleep(pause(attempt))


def exists(spark: SparkSession, ref: TableRef) -> bool:
    """Whether the table is there (for a path: a Delta table); analysis only, no Spark job."""
    try:
        if ref.path is None:
            # Asked by a query, a missing name would be logged as an error.
            return spark.catalog.tableExists(ref.sql)
        _ = read(spark, ref).schema
    except PySparkException as error:
        if condition_of(error).startswith(_ABSENT):
            return False
        raise
    return True


def create_if_absent(
    spark: SparkSession,
    ref: TableRef,
    schema_ddl: str,
    partition_by: Sequence[str] = (),
    properties: Mapping[str, str] | None = None,
) -> None:
    """Create an empty Delta table, or leave the one that is there. Safe when several drivers do it at once.

    Nothing is registered in a metastore for a table with a path.

    Args:
        spark: The session.
        ref: The table.
        schema_ddl: Columns, for instance `id STRING NOT NULL, n BIGINT`.
        partition_by: Partition columns.
        properties: Table properties; an existing table is not changed (see `require_properties`).

    Raises:
        EnvironmentProblem: The schema of a catalog zone does not exist.
    """
    if exists(spark, ref):
        return
    partitioned = f" PARTITIONED BY ({', '.join(map(quoted, partition_by))})" if partition_by else ""
    pairs = ", ".join(f"{_text(name)} = {_text(value)}" for name, value in (properties or {}).items())
    with_properties = f" TBLPROPERTIES ({pairs})" if pairs else ""
    statement = f"CREATE TABLE IF NOT EXISTS {ref.sql} ({schema_ddl}) USING delta{partitioned}{with_properties}"
    for attempt in range(RETRIES + 1):
        try:
            spark.sql(statement).collect()
            return
        except Exception as error:
            if condition_of(error).startswith("SCHEMA_NOT_FOUND"):
                raise EnvironmentProblem(
                    f"table {ref}: its schema does not exist; have it made once: "
                    f"CREATE SCHEMA {'.'.join(map(quoted, ref.parts[:-1]))}"
                ) from error
            # A driver that lost the race sees one of many conditions; that the table is there now is what counts.
            if exists(spark, ref):
                return
            # Between the first file of another driver's table and its first commit the error looks final and is not.
            if attempt == RETRIES or (attempt >= CREATE_TRIES and not is_conflict(error)):
                raise
        time.sleep(pause(attempt))


def add_columns(spark: SparkSession, ref: TableRef, schema_ddl: str) -> None:
    """Add to a table the columns of a schema that it lacks, at its end; rows that are there have NULL in them.

    Args:
        spark: The session.
        ref: The table.
        schema_ddl: All columns, as given to `create_if_absent`.
    """
    wanted = spark.createDataFrame([], schema_ddl).schema
    for attempt in range(RETRIES + 1):
        there = set(read(spark, ref).schema.names)
        lacking = [field for field in wanted.fields if field.name not in there]
        if not lacking:
            return
        columns = ", ".join(f"{quoted(field.name)} {field.dataType.simpleString()}" for field in lacking)
        try:
            spark.sql(f"ALTER TABLE {ref.sql} ADD COLUMNS ({columns})").collect()
            return
        except Exception as error:
            # Another driver may have added them; then nothing is lacking at the next look.
            if attempt == RETRIES or not (is_conflict(error) or condition_of(error).startswith(("FIELD", "COLUMN"))):
                raise
        time.sleep(pause(attempt))


def _text(value: str) -> str:
    """A string literal that reads the same whatever `escapedStringLiterals` says."""
    if "'" in value or "\\" in value:
        raise UsageError(f"property text {value!r}: quotes and backslashes are not allowed")
    return f"'{value}'"


def properties(spark: SparkSession, ref: TableRef) -> dict[str, str] | None:
    """The properties of a table, None where it is not there; metadata only, no Spark job.

    Spark blanks what looks like a secret or an address (`spark.redaction.regex`): for texts of users see `detail`.
    """
    if not exists(spark, ref):
        return None
    return {row["key"]: row["value"] for row in spark.sql(f"SHOW TBLPROPERTIES {ref.sql}").collect()}


def table_id(spark: SparkSession, ref: TableRef) -> str:
    """Delta's own id of a table, made when the table is; one that is dropped and made again has another."""
    return str(spark.sql(f"DESCRIBE DETAIL {ref.sql}").select("id").collect()[0][0])


def identity(spark: SparkSession, ref: TableRef) -> Identity:
    """Delta's id and the folder of a table."""
    row = spark.sql(f"DESCRIBE DETAIL {ref.sql}").select("id", "location").collect()[0]
    return Identity(str(row["id"]), str(row["location"]))


def detail(spark: SparkSession, ref: TableRef) -> Detail:
    """Location, partition columns and properties of a table; it counts files, which takes several Spark jobs."""
    row = spark.sql(f"DESCRIBE DETAIL {ref.sql}").select("location", "partitionColumns", "properties").collect()[0]
    return Detail(row["location"], tuple(row["partitionColumns"]), dict(row["properties"] or {}))


def require_properties(ref: TableRef, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Refuse a table that somebody made without the properties that its safety rests on.

    Raises:
        EnvironmentProblem: A property is missing or differs; the message has the statement that repairs it.
    """
    wrong = {name: value for name, value in wanted.items() if found.get(name) != value}
    if wrong:
        pairs = ", ".join(f"'{name}' = '{value}'" for name, value in wrong.items())
        raise EnvironmentProblem(
            f"table {ref}: not safe for concurrent appends, {', '.join(sorted(wrong))} not as needed; "
            f"run once: ALTER TABLE {ref.sql} SET TBLPROPERTIES ({pairs})"
        )


def read(spark: SparkSession, ref: TableRef, version: int | None = None) -> DataFrame:
    """The table's rows, at `version` where one is given."""
    at = "" if version is None else f" VERSION AS OF {int(version)}"
    return spark.sql(f"SELECT * FROM {ref.sql}{at}")


def version_of(spark: SparkSession, ref: TableRef) -> int:
    """Number of the latest Delta commit."""
    return int(spark.sql(f"DESCRIBE HISTORY {ref.sql} LIMIT 1").select("version").collect()[0][0])


def insert_if_absent(source: DataFrame, ref: TableRef, predicate: str) -> int:
    """One try of an insert-only MERGE: insert the rows of `source` unless a row of `ref` meets `predicate`.

    Args:
        source: One row or a few; its columns are the ones inserted.
        ref: The table.
        predicate: Over the target `t`, of literals only. With literals on partition columns two writers of different
            partitions do not conflict, two writers of one partition always do.

    Returns:
        Number of rows inserted: all or none.
    """
    columns = ", ".join(map(quoted, source.columns))
    values = ", ".join(f"s.{quoted(column)}" for column in source.columns)
    # `{source}` is filled in by Spark, every other brace must be doubled.
    merge = f"MERGE INTO {ref.sql} t USING ".replace("{", "{{").replace("}", "}}") + "{source}"
    insert = f" s ON {predicate} WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
    # coalesce: a classic session splits a local row over as many tasks as the cluster has cores.
    done = source.sparkSession.sql(merge + insert.replace("{", "{{").replace("}", "}}"), source=source.coalesce(1))
    return int(done.select("num_inserted_rows").collect()[0][0])


def append_if_absent(
    spark: SparkSession,
    ref: TableRef,
    *,
    keys: Mapping[str, str | int],
    rows: Sequence[Mapping[str, Any]],
    retries: int = RETRIES,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Insert the rows of one key into a small keyed table, in one commit, unless the key is there; then compare.

    Args:
        spark: The session.
        ref: The table, which must be there.
        keys: Key columns and their values: integers, or text of letters, digits and `_ . : @ / + -`.
        rows: The other columns of each row, the same ones in all; columns that are not named become NULL.
        retries: Bound on retries after commit conflicts.
        sleep: For tests.

    Returns:
        True when the rows were inserted, False when equal rows were there already.

    Raises:
        IntegrityError: Different rows, or another number of them, stand under that key.
        StoreConflict: Concurrent writers won every time.
        UsageError: A column is not in the table, or a key has other characters.
    """
    named = {**keys, **rows[0]}
    schema = read(spark, ref).schema
    unknown = sorted(set(named) - set(schema.names))
    if unknown:
        raise UsageError(f"table {ref}: no column {', '.join(unknown)}; it has {', '.join(schema.names)}")
    struct = T.StructType([T.StructField(field.name, field.dataType) for field in schema.fields if field.name in named])
    values = [tuple({**keys, **row}[name] for name in struct.names) for row in rows]
    source = spark.createDataFrame(values, struct)
    predicate = " AND ".join(f"t.{quoted(name)} = {_literal(name, value)}" for name, value in keys.items())
    where = predicate.replace("t.`", "`")
    for attempt in range(retries + 1):
        failure: Exception | None = None
        inserted = 0
        try:
            inserted = insert_if_absent(source, ref, predicate)
        except Exception as error:  # noqa: BLE001  it may have been committed all the same: what is there decides
            failure = error
        if inserted == len(rows):
            return True
        # Nothing was inserted, or nobody knows: what is there decides.
        found = read(spark, ref).where(where).select(*struct.names).limit(len(rows) + 1).collect()
        if found:
            _compare(ref, where, found, struct.names, values)
            return failure is not None
        if failure is None:
            raise IntegrityError(f"table {ref}: the row where {where} was neither inserted nor is it there")
        if not is_conflict(failure):
            raise failure
        sleep(pause(attempt))
    raise StoreConflict(f"table {ref}: {retries} retries lost against concurrent writers; run the same command again")


def _compare(
    ref: TableRef, where: str, found: Sequence[Row], names: Sequence[str], wanted: Sequence[tuple[Any, ...]]
) -> None:
    """Refuses rows that are there and are not the wanted ones; values of both in the order of `names`."""
    if len(found) != len(wanted):
        raise IntegrityError(
            f"table {ref}: not the {len(wanted)} expected rows where {where}; keep the right ones and remove the rest"
        )
    read_back = [tuple(bytes(v) if isinstance(v, bytearray) else v for v in row) for row in found]
    pairs = list(zip(sorted(read_back, key=_as_text), sorted(wanted, key=_as_text), strict=True))
    differing = [
        name for place, name in enumerate(names) if not all(_same(here[place], ours[place]) for here, ours in pairs)
    ]
    if differing:
        raise IntegrityError(
            f"table {ref}: the row where {where} is there with other contents in {', '.join(differing)}; "
            "a record is never replaced, use a new key"
        )


def _as_text(values: Sequence[Any]) -> list[str]:
    return [str(value) for value in values]


def _literal(name: str, value: str | int) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value}L"
    if isinstance(value, str) and _SAFE_TEXT.fullmatch(value):
        return f"'{value}'"
    raise UsageError(
        f"key column {name}: only integers and text of letters, digits and '_.:@/+-' (200 at most) can be a key"
    )


def _same(one: Any, other: Any) -> bool:
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return both_nan or one == other


def drop(spark: SparkSession, ref: TableRef) -> None:
    """Remove a run-scoped table with its data files, for instance the copy of a source that was measured.

    In a catalog this is DROP TABLE. For a path DROP TABLE does nothing at all, so the directory is removed where this
    machine sees it; elsewhere the table is emptied and vacuumed: its transaction log stays,
    so such copies are best written without column statistics.

    A table that is not there is fine. Never call it for a record: ledger, journal and releases are append-only.
    """
    if ref.path is None:
        spark.sql(f"DROP TABLE IF EXISTS {ref.sql}").collect()
        return
    folder = local_path(ref.path)
    if folder is not None and (folder / "_delta_log").is_dir():
        shutil.rmtree(folder)
        return
    if exists(spark, ref):
        empty_and_vacuum(spark, ref)


def empty_and_vacuum(spark: SparkSession, ref: TableRef) -> None:
    """Delete all data files of a table by SQL alone; the transaction log stays."""
    spark.sql(
        f"ALTER TABLE {ref.sql} SET TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 0 hours')"
    ).collect()
    spark.sql(f"DELETE FROM {ref.sql}").collect()
    spark.sql(f"VACUUM {ref.sql}").collect()
