"""Files of a source: literal paths, one listing, its fingerprint, public names, and columns that are folders.

Spark takes a path for a pattern and infers types from the names of folders. Here a path is literal, folders are not
interpreted by Spark at all, and the value of a folder such as `ward=7A` is a text: a function of the file's own path.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyspark.sql import functions as F

from synthward.conditions import kind_of
from synthward.errors import SourceError
from synthward.sources.protocol import Pinned
from synthward.spec.request import Source

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrameReader, SparkSession

_PATTERN_CHARACTERS = re.compile(r"([{}\[\]*?\\])")
_NO_FOLDER_VALUE = "__HIVE_DEFAULT_PARTITION__"
FILE_PATH = "_metadata.file_path"
"""Spark's hidden column with the address of a row's file, percent-encoded."""
HIDDEN = "Spark hides files whose names begin with _ or ."


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes:
        path: Address as Spark takes it, not percent-encoded.
        uri: The same as `_metadata.file_path` gives it.
        relative: Percent-encoded path below the source's folder, beginning with `/`.
        state: Modification time and length, for the fingerprint.
    """

    path: str
    uri: str
    relative: str
    state: str

    @property
    def folders(self) -> dict[str, str]:
        """Columns that are folders of this file: the text as it stands in the address, by decoded name."""
        parts = [part.partition("=") for part in self.relative.split("/")[:-1]]
        return {_decoded(name): name for name, equals, _ in parts if equals}

    def public_name(self, root: str) -> str:
        """The file in a message: below the last name of the source, without the values of folders."""
        parts = [re.sub(r"=.*", "=...", part) for part in urllib.parse.unquote(self.relative).split("/")]
        name = posixpath.basename(root.rstrip("/"))
        return name if parts[-1] == name else "/".join([name, *filter(None, parts)])


def literal(path: str) -> str:
    """A path that Spark takes literally: characters of patterns are escaped."""
    return _PATTERN_CHARACTERS.sub(r"\\\1", path)


def plain_reader(spark: SparkSession) -> DataFrameReader:
    """A reader that looks into every folder and interprets none of their names."""
    return spark.read.option("recursiveFileLookup", "true").option("pathGlobFilter", "[!._]*")


def list_files(spark: SparkSession, source: Source) -> list[SourceFile]:
    """Every file of a source that is not empty, sorted by path; the driver holds one line a file.

    Raises:
        SourceError: The path cannot be listed.
    """
    try:
        listing = plain_reader(spark).format("binaryFile").load(literal(str(source.path)))
        rows = listing.select("path", "modificationTime", "length", FILE_PATH).collect()
    except Exception as error:  # noqa: BLE001  a classic session passes some errors on as py4j's own
        raise SourceError(
            f"source '{source.location}' cannot be listed ({kind_of(error)}); check the path, which is taken literally"
        ) from None
    start = {row[3]: _root_length(row[3], str(source.path)) for row in rows}
    return sorted(
        (SourceFile(row[0], row[3], row[3][start[row[3]] :], f"{row[1].isoformat()}\t{row[2]}") for row in rows),
        key=lambda file: file.path,
    )


def _root_length(uri: str, root: str) -> int:
    """Characters of a file's address up to the source's folder, or to the file's own folder for a single file."""
    below = re.sub(r"^[a-zA-Z][a-zA-Z0-9+.-]*:(//[^/]*)?", "", root)
    depth = len([part for part in posixpath.normpath(below).split("/") if part not in ("", ".")])
    scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:(//[^/]*)?", uri)
    start = scheme.end() if scheme else 0
    parts = uri[start:].split("/")
    return start + len("/".join(parts[: min(depth + 1, len(parts) - 1)]))


def fingerprint(files: Sequence[SourceFile]) -> str:
    """sha256 over the sorted list of files with their lengths and modification times."""
    return hashlib.sha256("\n".join(f"{file.path}\t{file.state}" for file in files).encode()).hexdigest()


def pin_files(spark: SparkSession, source: Source, *, may_be_empty: bool = False) -> Pinned:
    """Pins files by the fingerprint of their list.

    Args:
        spark: The session.
        source: The source, resolved.
        may_be_empty: Whether no file at all is a table without rows, and no error.

    Raises:
        SourceError: The source is a catalog table, cannot be listed, or has no files.
    """
    if source.path is None:
        raise SourceError(
            f"source '{source.location}' is a catalog table that is not Delta and has no versions; "
            "set `snapshot: materialize`, or give its files by `path`"
        )
    files = list_files(spark, source)
    # Spark lists no file that is empty.
    if not files and not may_be_empty:
        raise SourceError(f"source '{source.location}' has no files; check the path. {HIDDEN}")
    return Pinned(source, fingerprint=fingerprint(files))


def check_files(spark: SparkSession, pinned: Pinned) -> None:
    """Compares the list of files with the pinned one.

    Raises:
        SourceError: Files were added, removed or rewritten since the source was pinned.
    """
    if pinned.fingerprint is not None and fingerprint(list_files(spark, pinned.source)) != pinned.fingerprint:
        raise SourceError(
            f"source '{pinned.source.location}' changed after it was pinned; nothing of this pass is used. Restore "
            "the files and run again, or start a run with a new key, which is charged anew"
        )


def folder_columns(files: Sequence[SourceFile], names: Sequence[str]) -> dict[str, Column]:
    """Requested columns that are folders of at least one file, as texts; NULL for a file without such a folder.

    Each is a function of the file's own address and of the names of folders, never of other folders' values.
    """
    found: dict[str, set[str]] = {}
    for file in files:
        for name, text in file.folders.items():
            if name in names:
                found.setdefault(name, set()).add(text)
    if not found:
        return {}
    below = F.substring(F.col(FILE_PATH), len(files[0].uri) - len(files[0].relative) + 1, 2**30)
    return {name: F.coalesce(*(_folder_value(below, text) for text in sorted(found[name]))) for name in found}


def _folder_value(below: Column, name: str) -> Column:
    mark = f"/{name}="
    text = F.substring_index(F.substring_index(below, mark, -1), "/", 1)
    text = F.when(F.contains(text, F.lit("%")), _unescaped(_unescaped(text))).otherwise(text)
    return F.when(F.contains(below, F.lit(mark)) & (text != F.lit(_NO_FOLDER_VALUE)), text)


def _unescaped(text: Column) -> Column:
    """Percent-decoded once, as an address and then as Hive's names of folders; what is no code stays as it is."""
    return F.coalesce(F.try_url_decode(F.replace(text, F.lit("+"), F.lit("%2B"))), text)


def _decoded(text: str) -> str:
    return urllib.parse.unquote(urllib.parse.unquote(text))
