"""What every source format does: pin one state of a table, open it with an explicit list of columns, compare it again.

A format is one module with the three functions of `Format`. Reading is 1-stable (PROOFS section 0): a row is a function
of the bytes of its record and of metadata, never of other records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from synthward.records.journal import PinnedTable
from synthward.spec.request import Source
from synthward.store.places import TableRef

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


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

    def record(self) -> PinnedTable:
        """For the restricted run record."""
        return PinnedTable(self.source.location, self.version, self.fingerprint, self.table_id)


class Format(Protocol):
    """A source format; a module with these functions is one."""

    def pin(self, spark: SparkSession, source: Source) -> Pinned:
        """One state of the table.

        Raises:
            SourceError: The table cannot be found, listed or pinned.
        """
        ...

    def open(self, spark: SparkSession, pinned: Pinned, names: Sequence[str]) -> DataFrame:
        """The requested columns, and no others, under exactly these names and in this order.

        Raises:
            SourceError: A column is missing, ambiguous or of types that cannot be read as one.
        """
        ...

    def check_unchanged(self, spark: SparkSession, pinned: Pinned, failure: Exception | None) -> None:
        """Compares the table with its pinned state after a pass, which may have failed.

        Raises:
            SourceError: The table is not in the pinned state any more.
        """
        ...
