"""Files that a command writes for people. They never replace other data and never lie inside or around a zone.

The job may have more rights than the person who names the file. So nobody must be able to delete a ledger by naming it
as a result, a report or an export. An output is a new file, or it replaces a file that carries our own mark. It is
never a folder, never written through a link, and never inside a zone of the site or above one.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from synthward.config.files import FileRefused, read_limited
from synthward.config.locations import has_scheme, is_schema
from synthward.errors import UsageError
from synthward.store.places import local_path

Mark = Callable[[bytes], bool]
"""Takes the content of a file. True if it is an earlier output of ours, which may be replaced."""

MARKED_BYTES = 2**24
"""A larger file is never taken for an output of ours."""

_FAMILIES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "abfs": "abfs", "abfss": "abfs", "wasb": "wasb", "wasbs": "wasb"}
"""Different schemes for one store."""


def never(_: bytes) -> bool:
    """Return False for any content, so that no existing file is replaced."""
    return False


@dataclass(frozen=True)
class _Spot:
    """A location in a form that can be compared.

    Attributes:
        scheme: Family of schemes; `file` on this machine; empty if Spark decides (a plain path).
        host: Bucket, container or name node, without a port; empty for the default one.
        path: Absolute and normalised. On this machine, links are resolved.
    """

    scheme: str
    host: str
    path: str

    @classmethod
    def of(cls, location: str) -> _Spot:
        local = local_path(re.sub(r"^file://localhost(?=/)", "file:", location, flags=re.IGNORECASE))
        if local is not None:
            return cls("file" if has_scheme(location) else "", "", os.path.realpath(local))
        scheme, _, rest = location.partition(":")
        host, _, path = rest.lstrip("/").partition("/") if rest.startswith("//") else ("", "", rest.lstrip("/"))
        if rest.startswith("///"):
            host, path = "", rest.lstrip("/")
        family = _FAMILIES.get(scheme.lower(), scheme.lower())
        return cls(family, host.lower().partition(":")[0], posixpath.normpath(f"/{path}"))

    def touches(self, other: _Spot) -> bool:
        """True if the two are equal, or one contains the other."""
        if self.scheme and other.scheme and self.scheme != other.scheme:
            return False
        if self.host and other.host and self.host != other.host:
            return False
        one, two = (path.rstrip("/") + "/" for path in (self.path, other.path))
        return one.startswith(two) or two.startswith(one)


def require_outside(target: str, zones: Mapping[str, str], what: str) -> None:
    """Check that a location is not inside a zone, and that no zone is inside it.

    Args:
        target: An absolute path of this machine, or a URI.
        zones: Location of each zone by name. Catalog schemas are skipped, because they cannot hold a file.
        what: The option, for the message.

    Raises:
        UsageError: The location is inside or around a zone.
    """
    spot = _Spot.of(target)
    for name, zone in zones.items():
        if not is_schema(zone) and spot.touches(_Spot.of(zone)):
            raise UsageError(
                f"{what}: found a location inside, or around, the site's zone '{name}'; outputs for people must be "
                "outside of all zones. Name another folder"
            )


def require_writable(path: Path, zones: Mapping[str, str], what: str, mark: Mark = never) -> None:
    """Check that an output may be written. Call this before the work for it starts.

    Args:
        path: The file.
        zones: See `require_outside`.
        what: The option, for the message.
        mark: Decides whether an existing file may be replaced.

    Raises:
        UsageError: The output may not be written.
    """
    require_outside(str(path.absolute()), zones, what)
    try:
        found = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError):
        raise UsageError(f"{what}: {path} is not a path that can be written; name another file") from None
    if stat.S_ISLNK(found.st_mode):
        raise UsageError(f"{what}: {path} is a link, and outputs are not written through links; name the file itself")
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{what}: {path} exists and is not a file; name a new file")
    if not _is_marked(path, mark):
        raise UsageError(f"{what}: {path} exists, and an output never replaces another file; name a new file")


def require_folder(folder: Path, zones: Mapping[str, str], what: str) -> None:
    """Check that outputs may be written into a folder. The folder need not exist.

    Raises:
        UsageError: The folder is inside or around a zone, is a link, or is not a folder.
    """
    require_outside(str(folder.absolute()), zones, what)
    if folder.is_symlink():
        raise UsageError(f"{what}: {folder} is a link, and outputs are not written through links; name the folder")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{what}: {folder} exists and is not a folder; name a folder")


def write_output(path: Path, content: bytes, mark: Mark = never) -> None:
    """Write a file in one step. It is new, or equals the existing file, or replaces a file that carries our mark.

    Raises:
        UsageError: Another file is there.
        OSError: The folder cannot be written.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as stream:
            stream.write(content)
        place(partial, path, lambda there: there == content or mark(there))
    finally:
        partial.unlink(missing_ok=True)


def place(partial: Path, path: Path, mark: Mark = never) -> None:
    """Give a finished file its final name.

    Args:
        partial: The finished file, in the same folder.
        path: Its final name.
        mark: Decides whether an existing file may be replaced.

    Raises:
        UsageError: Another file is there.
    """
    if path.is_symlink() or (path.exists() and not _is_marked(path, mark)):
        raise UsageError(f"{path} exists; an output never replaces another file")
    if path.exists():
        partial.replace(path)
        return
    try:
        # Unlike a rename, a hard link fails if another process has created the file in between.
        os.link(partial, path)
    except FileExistsError:
        raise UsageError(f"{path} exists; an output never replaces another file") from None
    except OSError:  # a file system without hard links: create an empty file first, which fails if the name is taken
        with path.open("xb"):
            pass
        partial.replace(path)
        return
    with contextlib.suppress(FileNotFoundError):
        partial.unlink()


def _is_marked(path: Path, mark: Mark) -> bool:
    if mark is never:
        return False
    try:
        return mark(read_limited(path, MARKED_BYTES))
    except FileRefused:
        return False
