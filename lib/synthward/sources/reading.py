"""Pinning and opening a request's tables, each by the module of its format: the same rows for every pass, or a refusal.

A Delta table is pinned by its version, files by the fingerprint of their list (path, length, modification time), which
is compared again after every pass. Views and other tables without versions can only be materialised, see
`sources.copying`. What is found here stays in the restricted run record; nothing of it is published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthward.conditions import kind_of
from synthward.errors import SourceError
from synthward.records.journal import PinnedTable
from synthward.sources import catalog, csv, delta, parquet
from synthward.sources.protocol import Format, Pinned
from synthward.spec.request import Source
from synthward.spec.request_file import RequestFile
from synthward.store.places import TableRef

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FORMATS: Mapping[str, Format] = {"csv": csv, "delta": delta, "parquet": parquet}
"""A further format is a module, an entry here, and its word in `spec.request.Source`."""


def format_of(source: Source) -> Format:
    """The module that reads a source."""
    if source.path is None and (source.snapshot == "materialize" or source.format != "delta"):
        return catalog
    return FORMATS[source.format]


@dataclass(frozen=True)
class PinnedSource:
    """Every table that is read, pinned: the one with the columns, the path to the patient, the list of opt-outs."""

    tables: tuple[Pinned, ...]

    @property
    def unversioned(self) -> tuple[int, ...]:
        """Places of the tables that have neither version nor fingerprint: only a copy of them stays the same."""
        return tuple(k for k, table in enumerate(self.tables) if table.version is None and table.fingerprint is None)

    def record(self) -> tuple[PinnedTable, ...]:
        """For the restricted run record."""
        return tuple(pinned.record() for pinned in self.tables)

    @classmethod
    def restored(cls, file: RequestFile, record: Sequence[PinnedTable]) -> PinnedSource:
        """The state that an earlier attempt of the run has recorded."""
        tables = []
        for source, entry in zip(resolved_sources(file), record, strict=True):
            located = source
            if entry.location != source.location:
                ref = TableRef.parse(entry.location)
                located = Source(format="delta", path=ref.path, table=".".join(ref.parts) or None)
            tables.append(Pinned(located, entry.version, entry.fingerprint, entry.table_id))
        return cls(tuple(tables))


def resolved_sources(file: RequestFile) -> list[Source]:
    """The request's tables, resolved: the source, those of the path to the patient, the list of opt-outs."""
    return [file.resolved(source) for source in file.request.sources]


def pin(spark: SparkSession, file: RequestFile) -> PinnedSource:
    """Pins every table of the request.

    Raises:
        SourceError: A table cannot be found, read or pinned.
    """
    return PinnedSource(tuple(_pin_one(spark, source) for source in resolved_sources(file)))


def _pin_one(spark: SparkSession, source: Source) -> Pinned:
    if source.snapshot == "materialize":
        return Pinned(source)
    if source.path is None and source.format != "delta":
        raise SourceError(
            f"source '{source.location}' is a catalog table that is not Delta and has no versions; "
            "set `snapshot: materialize`, or give its files by `path`"
        )
    return format_of(source).pin(spark, source)


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
        format_of(table.source).check_unchanged(spark, table, failure)
    versions = [f"version {t.version} of '{t.source.location}'" for t in pinned.tables if t.version is not None]
    if failure is not None and versions and delta.lacks_a_file(failure):
        raise SourceError(
            f"source: a data file of {' or of '.join(versions)}, as pinned, is gone ({kind_of(failure)}), for instance "
            "by VACUUM. The rest of this run's charge is forfeit: start a run with a new key, which is charged anew, "
            "and keep old versions longer than a run may take (delta.deletedFileRetentionDuration)"
        )


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


def open_table(spark: SparkSession, pinned: Pinned, names: Sequence[str]) -> DataFrame:
    """The requested columns of a pinned table, and no others, under exactly these names.

    Args:
        spark: The session.
        pinned: The table.
        names: Columns by exact name or by a path into structs; a name that is asked for twice comes once.

    Raises:
        SourceError: The table cannot be opened, or a column is not there.
    """
    source = pinned.source
    try:
        frame = format_of(source).open(spark, pinned, list(dict.fromkeys(names)))
        _ = frame.schema  # over Connect nothing has been looked at before
    except SourceError:
        raise
    except Exception as error:  # noqa: BLE001  a classic session passes some errors on as py4j's own
        fix = (
            "if its pinned version is gone, the rest of this run's charge is forfeit and a new run key is needed"
            if pinned.version is not None
            else "check the location, the format and the permissions"
        )
        raise SourceError(
            f"source '{source.location}' cannot be opened as {source.format} ({kind_of(error)}); {fix}"
        ) from None
    return frame
