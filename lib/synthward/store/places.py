"""Where tables are: names and paths, the zones that hold them, and how they stand in a SQL statement."""

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
        path: Directory or URI, as Hadoop understands it: no percent-decoding.
        parts: Catalog, schema and table, as far as given.
    """

    path: str | None = None
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.path is None) == (not self.parts) or self.path == "" or not all(self.parts):
            raise UsageError(f"a table is a path or a catalog name, found path {self.path!r} and name {self.parts}")

    @classmethod
    def parse(cls, text: str) -> TableRef:
        """A text with a `/` is a path, any other a catalog name such as `main.synthward.releases`."""
        return cls(path=text) if "/" in text else cls(parts=tuple(text.split(".")))

    @property
    def sql(self) -> str:
        """The table as it stands in a SQL statement, quoted."""
        if self.path is not None:
            return f"delta.{quoted(self.path)}"
        return ".".join(quoted(part) for part in self.parts)

    def __str__(self) -> str:
        return self.path if self.path is not None else ".".join(self.parts)


@dataclass(frozen=True)
class Zone:
    """A place for tables: a directory URI (it contains a `/`) or a catalog schema such as `main.synthward`."""

    location: str

    def __post_init__(self) -> None:
        if not self.location.strip("/ ") or (not self.is_path and not all(self.location.split("."))):
            raise UsageError(
                f"zone '{self.location}': not a place; use a directory URI such as 'file:/data/ledger' "
                "or a catalog schema such as 'main.synthward'"
            )

    @property
    def is_path(self) -> bool:
        """Whether the zone is a directory."""
        return "/" in self.location

    def table(self, name: str) -> TableRef:
        """The table `name` of this zone.

        Raises:
            UsageError: The name has other characters than letters, digits, `_` and `-`.
        """
        if not _TABLE_NAME.fullmatch(name):
            raise UsageError(f"table name '{name}': only letters, digits, '_' and '-' are allowed, 200 at most")
        if self.is_path:
            return TableRef(path=f"{self.location.rstrip('/')}/{name}")
        return TableRef(parts=(*self.location.split("."), name))


def quoted(text: str) -> str:
    """A name as it stands in a SQL statement."""
    return "`" + text.replace("`", "``") + "`"


def local_path(location: str) -> Path | None:
    """The directory of a `file:` URI or a plain absolute path; None for any other place.

    A plain path may still mean another file system (Spark's default one): callers look whether it is there.
    """
    plain = re.sub(r"^file:(//(?=/))?", "", location)
    return Path(plain) if plain.startswith("/") else None
