"""Locations of tables: names, paths, the zones that hold them, and how SQL statements name them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from synthward.errors import UsageError

_TABLE_NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")


@dataclass(frozen=True)
class TableRef:
    """A Delta table: a directory (`path`) or a catalog name (`parts`), never both.

    Attributes:
        path: Directory or URI. As in Hadoop, percent signs are not decoded.
        parts: Catalog, schema and table, or the last one or two of them.
    """

    path: str | None = None
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.path is None) == (not self.parts) or self.path == "" or not all(self.parts):
            raise UsageError(f"a table is a path or a catalog name, found path {self.path!r} and name {self.parts}")

    @classmethod
    def parse(cls, text: str) -> TableRef:
        """Parse a text. With a `/` it is a path, otherwise a catalog name such as `main.synthward.releases`."""
        return cls(path=text) if "/" in text else cls(parts=tuple(text.split(".")))

    @property
    def sql(self) -> str:
        """The table's quoted name for a SQL statement."""
        if self.path is not None:
            return f"delta.{quoted(self.path)}"
        return ".".join(quoted(part) for part in self.parts)

    def __str__(self) -> str:
        return self.path if self.path is not None else ".".join(self.parts)


@dataclass(frozen=True)
class Zone:
    """A location for tables: a directory URI (it contains a `/`) or a catalog schema such as `main.synthward`."""

    location: str

    def __post_init__(self) -> None:
        if not self.location.strip("/ ") or (not self.is_path and not all(self.location.split("."))):
            raise UsageError(
                f"zone '{self.location}': not a location; use a directory URI such as 'file:/data/ledger' "
                "or a catalog schema such as 'main.synthward'"
            )

    @property
    def is_path(self) -> bool:
        """True if the zone is a directory, False if it is a catalog schema."""
        return "/" in self.location

    def table(self, name: str) -> TableRef:
        """Return the table `name` of this zone.

        Raises:
            UsageError: The name has characters other than letters, digits, `_` and `-`.
        """
        if not _TABLE_NAME.fullmatch(name):
            raise UsageError(
                f"table name '{name}': only letters, digits, '_' and '-' are allowed, at most 200 characters"
            )
        if self.is_path:
            return TableRef(path=f"{self.location.rstrip('/')}/{name}")
        return TableRef(parts=(*self.location.split("."), name))


def quoted(text: str) -> str:
    """Return a name, quoted for a SQL statement."""
    return "`" + text.replace("`", "``") + "`"


def local_path(location: str) -> Path | None:
    """Return the directory of a `file:` URI or of a plain absolute path; None for any other location.

    A plain path can also mean another file system (Spark's default one). So callers check whether it exists here.
    """
    plain = re.sub(r"^file:(//(?=/))?", "", location)
    return Path(plain) if plain.startswith("/") else None
