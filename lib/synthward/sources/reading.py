"""Pinning and reading the source: the same rows for every pass, or a refusal.

A Delta table is pinned by its version, files by the fingerprint of their list (path, length, modification time), which
is compared again after every pass. Views and other sources without versions can only be materialised, see
`measure.copying`. What is found here stays in the restricted run record; nothing of it is published.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.domain.codes import CodeBook
from synthward.errors import SourceError, conditions_of, kind_of
from synthward.kernels.encode import UNIT
from synthward.kernels.patients import key_problem, unit_key
from synthward.kernels.supported import unsupported
from synthward.sources.csv_files import open_csv
from synthward.spec.request import PathStep, Source
from synthward.spec.request_file import RequestFile
from synthward.store.delta import table_id, version_of
from synthward.store.places import TableRef

_GONE = (
    "FAILED_READ_FILE.FILE_NOT_EXIST",
    "FAILED_READ_FILE.DBR_FILE_NOT_EXIST",
    "DELTA_FILE_NOT_FOUND",
    "DELTA_VERSION_NOT_FOUND",
)
"""Conditions of a version whose data files are gone: Spark's, Databricks' and Delta's."""
_TOGETHER = "STAGE_MATERIALIZATION_MULTIPLE_FAILURES"


@dataclass(frozen=True)
class Pinned:
    """One table of a source at one state.

    Attributes:
        source: Where it is, resolved.
        version: Delta version, or None.
        table_id: Delta's id of the table, which a table that is made again in the same place has not; None without a
            version, and of a copy, which is made anew on purpose.
        fingerprint: sha256 of the file list, or None. Without either, the table has to be copied before it is read.
    """

    source: Source
    version: int | None = None
    fingerprint: str | None = None
    table_id: str | None = None

    @property
    def ref(self) -> TableRef:
        """The table as a store reference."""
        if self.source.path is not None:
            return TableRef(path=self.source.path)
        return TableRef(parts=tuple(str(self.source.table).split(".")))


@dataclass(frozen=True)
class PinnedSource:
    """Every table on the path to the patient, pinned; the first one holds the columns."""

    tables: tuple[Pinned, ...]

    @property
    def unversioned(self) -> tuple[int, ...]:
        """Places of the tables that have neither version nor fingerprint: only a copy of them stays the same."""
        return tuple(k for k, table in enumerate(self.tables) if table.version is None and table.fingerprint is None)

    def record(self) -> list[dict[str, Any]]:
        """For the restricted run record."""
        return [
            {
                "location": pinned.source.location,
                "version": pinned.version,
                "fingerprint": pinned.fingerprint,
                "table_id": pinned.table_id,
            }
            for pinned in self.tables
        ]

    @classmethod
    def restored(cls, file: RequestFile, record: list[dict[str, Any]]) -> PinnedSource:
        """The state that an earlier attempt of the run has recorded."""
        tables = []
        for source, entry in zip(_sources(file), record, strict=True):
            located = source
            if entry["location"] != source.location:
                ref = TableRef.parse(entry["location"])
                located = Source(format="delta", path=ref.path, table=".".join(ref.parts) or None)
            tables.append(Pinned(located, entry["version"], entry["fingerprint"], entry["table_id"]))
        return cls(tuple(tables))


def _sources(file: RequestFile) -> list[Source]:
    request = file.request
    return [file.resolved(source) for source in (request.source, *(step.source for step in request.patient.path))]


def pin(spark: SparkSession, file: RequestFile) -> PinnedSource:
    """Pins every table of the request.

    Raises:
        SourceError: A table cannot be found, read or pinned.
    """
    return PinnedSource(tuple(_pin_one(spark, source) for source in _sources(file)))


def _pin_one(spark: SparkSession, source: Source) -> Pinned:
    if source.snapshot == "materialize":
        return Pinned(source)
    if source.format == "delta":
        pinned = Pinned(source)
        try:
            return replace(pinned, version=version_of(spark, pinned.ref), table_id=table_id(spark, pinned.ref))
        except Exception as error:  # noqa: BLE001  a classic session passes some errors on as py4j's own
            raise SourceError(
                f"source '{source.location}' cannot be pinned as a Delta table ({kind_of(error)}); check the "
                "location and the format, or for a view or a filtered table set `snapshot: materialize`"
            ) from None
    if source.path is None:
        raise SourceError(
            f"source '{source.location}' is a catalog table that is not Delta and has no versions; "
            "set `snapshot: materialize`, or give its files by `path`"
        )
    return Pinned(source, fingerprint=_fingerprint(spark, source))


def _fingerprint(spark: SparkSession, source: Source) -> str:
    """sha256 over the sorted file list; the driver holds one line a file."""
    listing = spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", "[!._]*")
    try:
        files = listing.load(source.path).select("path", "modificationTime", "length").collect()
    except Exception as error:  # noqa: BLE001  see above
        raise SourceError(f"source '{source.location}' cannot be listed ({kind_of(error)}); check the path") from None
    # Spark lists no file that is empty. Without a header that is a table without rows, and no error.
    if not files and (source.format != "csv" or source.csv_options.header):
        raise SourceError(f"source '{source.location}' has no files; check the path")
    lines = sorted(f"{row[0]}\t{row[1].isoformat()}\t{row[2]}" for row in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_unchanged(spark: SparkSession, pinned: PinnedSource, failure: Exception | None = None) -> None:
    """Compares the file lists once more, after a pass, and looks at what a failed pass says about versions.

    Args:
        spark: Session.
        pinned: The source as it was pinned.
        failure: What the pass failed with, if it did.

    Raises:
        SourceError: Files were added, removed or rewritten since the source was pinned, a table was made again, or data
            files of a pinned version are gone.
    """
    for table in pinned.tables:
        if table.fingerprint is not None and _fingerprint(spark, table.source) != table.fingerprint:
            raise SourceError(
                f"source '{table.source.location}' changed after it was pinned; nothing of this pass is used. Restore "
                "the files and run again, or start a run with a new key, which is charged anew"
            )
        if table.table_id is not None and failure is None and table_id(spark, table.ref) != table.table_id:
            raise SourceError(
                f"source '{table.source.location}' is another table than the one that was pinned; it was dropped and "
                "made again. The rest of this run's charge is forfeit: start a run with a new key, charged anew"
            )
    versions = [f"version {t.version} of '{t.source.location}'" for t in pinned.tables if t.version is not None]
    if failure is not None and versions and _lacks_a_file(failure):
        raise SourceError(
            f"source: a data file of {' or of '.join(versions)}, as pinned, is gone ({kind_of(failure)}), for instance "
            "by VACUUM. The rest of this run's charge is forfeit: start a run with a new key, which is charged anew, "
            "and keep old versions longer than a run may take (delta.deletedFileRetentionDuration)"
        )


def _lacks_a_file(failure: Exception) -> bool:
    conditions = conditions_of(failure)
    if any(condition.startswith(_GONE) for condition in conditions):
        return True
    # Where stages failed together, their own conditions stand in the text only, which is looked through and not told.
    return _TOGETHER in conditions and any(f"[{condition}" in str(failure) for condition in _GONE)


@contextmanager
def compared_after(check_source: Callable[[Exception | None], None]) -> Iterator[None]:
    """Compares the source after a pass over it, whether that succeeds or fails.

    A file that changed meanwhile may be unreadable; then that it changed is what has to be said.

    Args:
        check_source: Raises if the source has changed since it was pinned, or is gone; is given what the pass failed
            with, or None.
    """
    try:
        yield
    except Exception as failure:
        try:
            check_source(failure)
        except SourceError as found:
            raise found from None  # Spark's text may quote a cell
        raise
    check_source(None)


def open_table(spark: SparkSession, pinned: Pinned) -> DataFrame:
    """A pinned table as a DataFrame; text files come as all-string columns.

    Raises:
        SourceError: It cannot be opened.
    """
    source = pinned.source
    try:
        frame = _reader(spark, pinned)
        _ = frame.schema  # over Connect nothing has been looked at before
    except Exception as error:  # noqa: BLE001  see above
        fix = (
            "if its pinned version is gone, the rest of this run's charge is forfeit and a new run key is needed"
            if pinned.version is not None
            else "give every column a name of its own, upper and lower case aside"
            if kind_of(error).startswith("COLUMN_ALREADY_EXISTS")
            else "check the location, the format and the permissions"
        )
        raise SourceError(
            f"source '{source.location}' cannot be opened as {source.format} ({kind_of(error)}); {fix}"
        ) from None
    return frame


def _reader(spark: SparkSession, pinned: Pinned) -> DataFrame:
    source = pinned.source
    if source.format == "csv":
        return open_csv(spark, source.path or "", source.csv_options)
    reader = spark.read
    if pinned.version is not None:
        reader = reader.option("versionAsOf", pinned.version)
    if source.format == "parquet":
        # Files of several schemas: otherwise the columns are those of whichever file Spark looks at first.
        reader = reader.option("mergeSchema", "true")
    if source.path is not None:
        return reader.format(source.format).load(source.path)
    return reader.table(str(source.table))


def resolve_column(frame: DataFrame, name: str) -> tuple[Column, T.DataType]:
    """A column by its exact name, else by a dotted path into structs.

    Raises:
        SourceError: There is no such column.
    """
    whole = _field(frame.schema, name)
    if whole is not None:
        return F.col(_quoted(name)), whole.dataType
    parts = name.split(".")
    data_type: T.DataType = frame.schema
    for part in parts:
        found = _field(data_type, part)
        if found is None:
            raise SourceError(
                f"column '{name}' is not in the source; its columns are: {_listed(frame.columns)}. "
                f"Names are compared exactly, upper and lower case included{_numbered(frame.columns, name)}"
            )
        data_type = found.dataType
    return F.col(".".join(_quoted(part) for part in parts)), data_type


def _field(struct: T.DataType, name: str) -> T.StructField | None:
    """The field of exactly this name.

    Raises:
        SourceError: Others differ from it by case only; which one Spark would read depends on the session.
    """
    fields = struct.fields if isinstance(struct, T.StructType) else []
    alike = [field for field in fields if field.name.lower() == name.lower()]
    found = next((field for field in alike if field.name == name), None)
    if found is not None and len(alike) > 1:
        raise SourceError(
            f"column '{name}' is more than once in the source, upper and lower case aside: "
            f"{', '.join(field.name for field in alike)}; give every column a name of its own, for instance in a view"
        )
    return found


def _listed(columns: list[str], most: int = 60) -> str:
    return ", ".join(columns[:most]) + (", ..." if len(columns) > most else "")


def _numbered(columns: list[str], name: str) -> str:
    """A hint where Spark has numbered a name that stands more than once in a header, by its place."""
    numbered = [column for place, column in enumerate(columns) if column.lower() == f"{name.lower()}{place}"]
    if len(numbered) < 2:
        return ""
    return (
        f". It stands more than once in the header, so that Spark numbers it ({', '.join(numbered)}): give every "
        "column a name of its own"
    )


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def source_rows(
    spark: SparkSession, pinned: PinnedSource, file: RequestFile, books: Mapping[str, CodeBook]
) -> DataFrame:
    """The requested columns as `c0`, `c1`, ... and the unit's id; only these columns are read.

    The path to the patient is a chain of plain inner joins: rows without a patient contribute nothing, and a foreign
    key with several parents fans out. n is counted on the result, on the final id.

    Raises:
        SourceError: A column is missing or has a type that its attribute cannot be read from.
    """
    patient = file.request.patient
    frame = open_table(spark, pinned.tables[0])
    columns, problems = [], []
    for place, (name, book) in enumerate(books.items()):
        column, data_type = resolve_column(frame, name)
        fault = unsupported(book, data_type)
        if fault is not None:
            problems.append(f"column '{name}': {fault}")
        columns.append(column.alias(f"c{place}"))
    if problems:
        raise SourceError("\n".join(problems))
    if patient.unit == "row":
        return frame.select(*columns)
    names = [f"c{place}" for place in range(len(columns))]
    first = patient.path[0].on if patient.path else {str(patient.key): ""}
    carried = frame.select(*columns, *(carried_column(frame, name, f"k{k}") for k, name in enumerate(first)))
    for depth, step in enumerate(patient.path):
        hand_on = _next_keys(patient.path, depth, patient.key)
        carried = _join(spark, carried, names, pinned.tables[depth + 1], step, hand_on)
    key_type = carried.schema["k0"].dataType
    fault = key_problem(key_type)
    if fault is not None:
        raise SourceError(f"patient key '{patient.key}': {fault}")
    kept = carried.where(F.col("k0").isNotNull())
    return kept.select(*names, unit_key(F.col("k0"), key_type).alias(UNIT))


def carried_column(frame: DataFrame, name: str, alias: str) -> Column:
    """A column under another name; `resolve_column` says which and what it raises."""
    return resolve_column(frame, name)[0].alias(alias)


def _next_keys(path: tuple[PathStep, ...], depth: int, key: str | None) -> list[str]:
    """Columns that the table joined at `depth` must hand on: the next join's left side, at the end the patient's id."""
    return list(path[depth + 1].on) if depth + 1 < len(path) else [str(key)]


def _join(
    spark: SparkSession, carried: DataFrame, names: list[str], table: Pinned, step: PathStep, hand_on: list[str]
) -> DataFrame:
    parent = open_table(spark, table)
    right = parent.select(
        *(carried_column(parent, name, f"r{k}") for k, name in enumerate(step.on.values())),
        *(carried_column(parent, name, f"n{k}") for k, name in enumerate(hand_on)),
    )
    condition = F.lit(True)
    for place in range(len(step.on)):
        left_type, right_type = carried.schema[f"k{place}"].dataType, right.schema[f"r{place}"].dataType
        ours, theirs = F.col(f"k{place}"), F.col(f"r{place}")
        if left_type != right_type:  # an implicit cast could fail on a cell; text never does
            ours, theirs = ours.cast("string"), theirs.cast("string")
        condition = condition & (ours == theirs)
    joined = carried.join(right, condition, "inner")
    return joined.select(*names, *(F.col(f"n{k}").alias(f"k{k}") for k in range(len(hand_on))))
