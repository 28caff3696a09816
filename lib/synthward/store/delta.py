"""Delta tables by SQL: create if absent, insert if absent, read back.

Everything here works on classic Spark and on Spark Connect. Names and paths are quoted in one module, `places`.
Values never become SQL text: they travel as a one-row DataFrame. Named parameters do not work instead, because Delta's
parser on Spark 4.2 reports them as unbound. Binary literals of some megabytes exhaust the driver's heap.
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
"""Default number of retries after a commit conflict. With the pauses below they take about a minute."""

CREATE_TRIES = 6
"""Number of tries to create a table after errors other than conflicts. Another driver's half-made table causes some.

All tries take about ten seconds, because a first commit on a busy machine takes several seconds."""

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
    """The identity of a table, independent of its name.

    Attributes:
        id: Delta's own id. A clone has another id.
        location: The folder of its files.
    """

    id: str
    location: str


@dataclass(frozen=True)
class Detail:
    """The results of `DESCRIBE DETAIL` that this package uses."""

    location: str
    partition_by: tuple[str, ...]
    properties: Mapping[str, str]


def is_conflict(error: BaseException) -> bool:
    """True if a concurrent commit came first, so that another try makes sense."""
    return condition_of(error).startswith(_CONFLICT)


def pause(attempt: int) -> float:
    """Return the seconds to wait before retry number `attempt` (from 0). They double up to 8, and half is random.

    The random half comes from the operating system. With seeded generators two drivers would wait equally long.
    """
    longest = min(0.2 * 2.0**attempt, 8.0)
    return longest * (0.5 + 0.5 * int.from_bytes(os.urandom(4), "big") / 2.0**32)


def commit_again(
    commit: Callable[[], object], retries: int = RETRIES, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Commit. Try again while concurrent commits come first.

    Args:
        commit: One commit. Making it twice must do no harm.
        retries: Largest number of further tries.
        sleep: For tests.

    Raises:
        Exception: Spark's error of the last try, or of a failure that is not a conflict.
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
    """True if the table exists (at a path: as a Delta table). This is analysis only; it starts no Spark job."""
    try:
        if ref.path is None:
            # A query for a missing name would be logged as an error.
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
    """Create an empty Delta table, or leave an existing one as it is. Several drivers may do this at once.

    A table with a path is not registered in a metastore.

    Args:
        spark: The session.
        ref: The table.
        schema_ddl: Columns, for instance `id STRING NOT NULL, n BIGINT`.
        partition_by: Partition columns.
        properties: Table properties. An existing table keeps its own (see `require_properties`).

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
                    f"table {ref}: its schema does not exist; ask an administrator to run once: "
                    f"CREATE SCHEMA {'.'.join(map(quoted, ref.parts[:-1]))}"
                ) from error
            # If another driver was first, the error has one of many conditions. Only the table's existence matters.
            if exists(spark, ref):
                return
            # Another driver may have written the first file and not yet committed. Then the error only looks final.
            if attempt == RETRIES or (attempt >= CREATE_TRIES and not is_conflict(error)):
                raise
        time.sleep(pause(attempt))


def add_columns(spark: SparkSession, ref: TableRef, schema_ddl: str) -> None:
    """Add the columns of a schema that a table does not have yet, at its end. Existing rows have NULL in them.

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
            # Another driver may have added the columns. Then the next look finds no missing column.
            if attempt == RETRIES or not (is_conflict(error) or condition_of(error).startswith(("FIELD", "COLUMN"))):
                raise
        time.sleep(pause(attempt))


def _text(value: str) -> str:
    """Return a string literal whose meaning does not depend on Spark's setting `escapedStringLiterals`."""
    if "'" in value or "\\" in value:
        raise UsageError(f"property text {value!r}: quotes and backslashes are not allowed")
    return f"'{value}'"


def properties(spark: SparkSession, ref: TableRef) -> dict[str, str] | None:
    """Return the properties of a table; None if the table does not exist. Metadata only, no Spark job.

    Spark hides values that look like a secret or an address (`spark.redaction.regex`). For texts of users use `detail`.
    """
    if not exists(spark, ref):
        return None
    return {row["key"]: row["value"] for row in spark.sql(f"SHOW TBLPROPERTIES {ref.sql}").collect()}


def table_id(spark: SparkSession, ref: TableRef) -> str:
    """Return Delta's id of a table. A table that is dropped and created again has another id."""
    return str(spark.sql(f"DESCRIBE DETAIL {ref.sql}").select("id").collect()[0][0])


def identity(spark: SparkSession, ref: TableRef) -> Identity:
    """Return Delta's id and the folder of a table."""
    row = spark.sql(f"DESCRIBE DETAIL {ref.sql}").select("id", "location").collect()[0]
    return Identity(str(row["id"]), str(row["location"]))


def detail(spark: SparkSession, ref: TableRef) -> Detail:
    """Return location, partition columns and properties. Delta counts the files, which takes several Spark jobs."""
    row = spark.sql(f"DESCRIBE DETAIL {ref.sql}").select("location", "partitionColumns", "properties").collect()[0]
    return Detail(row["location"], tuple(row["partitionColumns"]), dict(row["properties"] or {}))


def require_properties(ref: TableRef, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Refuse a table that was created without the properties needed for safety.

    Raises:
        EnvironmentProblem: A property is missing or differs. The message has the statement that repairs it.
    """
    wrong = {name: value for name, value in wanted.items() if found.get(name) != value}
    if wrong:
        pairs = ", ".join(f"'{name}' = '{value}'" for name, value in wrong.items())
        raise EnvironmentProblem(
            f"table {ref}: not safe for concurrent appends, wrong or missing: {', '.join(sorted(wrong))}; "
            f"run once: ALTER TABLE {ref.sql} SET TBLPROPERTIES ({pairs})"
        )


def read(spark: SparkSession, ref: TableRef, version: int | None = None) -> DataFrame:
    """Return the table's rows, at `version` if one is given."""
    at = "" if version is None else f" VERSION AS OF {int(version)}"
    return spark.sql(f"SELECT * FROM {ref.sql}{at}")


def version_of(spark: SparkSession, ref: TableRef) -> int:
    """Return the number of the latest Delta commit."""
    return int(spark.sql(f"DESCRIBE HISTORY {ref.sql} LIMIT 1").select("version").collect()[0][0])


def insert_if_absent(source: DataFrame, ref: TableRef, predicate: str) -> int:
    """Try an insert-only MERGE once: insert the rows of `source` unless a row of `ref` meets `predicate`.

    Args:
        source: One row or a few rows. All its columns are inserted.
        ref: The table.
        predicate: A condition on the target `t`, with literals only. If the literals are on partition columns, two
            writers of one partition always conflict, and writers of different partitions do not.

    Returns:
        Number of rows inserted: all or none.
    """
    columns = ", ".join(map(quoted, source.columns))
    values = ", ".join(f"s.{quoted(column)}" for column in source.columns)
    # Spark replaces `{source}`. Every other brace must be doubled.
    merge = f"MERGE INTO {ref.sql} t USING ".replace("{", "{{").replace("}", "}}") + "{source}"
    insert = f" s ON {predicate} WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
    # coalesce: a classic session would use as many tasks for a local row as the cluster has cores.
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
    """Insert the rows of one key into a small keyed table, in one commit. If the key is there, compare the rows.

    Args:
        spark: The session.
        ref: The table. It must exist.
        keys: Key columns and their values: integers, or text of letters, digits and `_ . : @ / + -`.
        rows: The other columns of each row. All rows have the same columns. Columns without a value become NULL.
        retries: Largest number of retries after commit conflicts.
        sleep: For tests.

    Returns:
        True if the rows were inserted, False if equal rows were there already.

    Raises:
        IntegrityError: The key has different rows, or another number of rows.
        StoreConflict: Concurrent writers committed first in every try.
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
        except Exception as error:  # noqa: BLE001  the rows may be committed: the present rows decide
            failure = error
        if inserted == len(rows):
            return True
        # Nothing was inserted, or the outcome is unknown: the present rows decide.
        found = read(spark, ref).where(where).select(*struct.names).limit(len(rows) + 1).collect()
        if found:
            _compare(ref, where, found, struct.names, values)
            return failure is not None
        if failure is None:
            raise IntegrityError(f"table {ref}: the row where {where} was not inserted and does not exist")
        if not is_conflict(failure):
            raise failure
        sleep(pause(attempt))
    raise StoreConflict(
        f"table {ref}: concurrent writers committed first in {retries} retries; run the same command again"
    )


def _compare(
    ref: TableRef, where: str, found: Sequence[Row], names: Sequence[str], wanted: Sequence[tuple[Any, ...]]
) -> None:
    """Refuse existing rows that differ from the wanted ones. The values of both are in the order of `names`."""
    if len(found) != len(wanted):
        raise IntegrityError(
            f"table {ref}: expected {len(wanted)} rows where {where}, found another number; keep the right rows and "
            "remove the others"
        )
    read_back = [tuple(bytes(v) if isinstance(v, bytearray) else v for v in row) for row in found]
    pairs = list(zip(sorted(read_back, key=_as_text), sorted(wanted, key=_as_text), strict=True))
    differing = [
        name for index, name in enumerate(names) if not all(_same(here[index], ours[index]) for here, ours in pairs)
    ]
    if differing:
        raise IntegrityError(
            f"table {ref}: the row where {where} exists with other contents in {', '.join(differing)}; "
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
        f"key column {name}: only integers and text of letters, digits and '_.:@/+-' (at most 200 characters) can be "
        "a key"
    )


def _same(one: Any, other: Any) -> bool:
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return both_nan or one == other


def drop(spark: SparkSession, ref: TableRef) -> None:
    """Remove a table of one run with its data files, for instance the copy of a source that was measured.

    In a catalog this is DROP TABLE. For a path, DROP TABLE does nothing. So the directory is removed if this machine
    sees it. Otherwise the table is emptied and vacuumed. Its transaction log stays, so such copies are best written
    without column statistics.

    A missing table is not an error. Never call this for a record: ledger, journal and releases are append-only.
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
    """Delete all data files of a table by SQL alone. The transaction log stays."""
    spark.sql(
        f"ALTER TABLE {ref.sql} SET TBLPROPERTIES ('delta.deletedFileRetentionDuration' = 'interval 0 hours')"
    ).collect()
    spark.sql(f"DELETE FROM {ref.sql}").collect()
    spark.sql(f"VACUUM {ref.sql}").collect()
