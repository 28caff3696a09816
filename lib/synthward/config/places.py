"""Decides whether two locations are the same place, or one lies inside the other, however they are written.

Access is granted by place. So another spelling must not count as another place: a symbolic link, `s3://` for `s3a://`,
`file://localhost/x` for `/x`, a catalog name without its catalog. If only a session could tell two places apart, they
count as the same place, because callers always ask whether two things are kept apart.
"""

from __future__ import annotations

import fnmatch
import os
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Relation = Literal["same", "inside", "contains"]

CATALOG = "catalog"
"""Scheme of a place that is a catalog name."""

_URI = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_SCHEMES = {
    "s3": "s3a",
    "s3n": "s3a",
    "abfs": "azure",
    "abfss": "azure",
    "wasb": "azure",
    "wasbs": "azure",
    "swebhdfs": "hdfs",
    "webhdfs": "hdfs",
    "viewfs": "hdfs",
}
_DEFAULT = ""
"""Scheme of a plain path: Spark's default file system. It may be local, HDFS, or the platform's own."""
_LOCAL = frozenset({_DEFAULT, "file"})
_GLOB = re.compile(r"[*?\[{]")


@dataclass(frozen=True)
class Place:
    """A location in one spelling.

    Attributes:
        scheme: `file`, `s3a`, `azure`, `hdfs`, ..., `catalog`, or empty for Spark's default file system.
        host: Bucket, container or host; empty if there is none or the session decides it.
        parts: Folders from the root; or catalog, schema and table, as far as they are given.
    """

    scheme: str
    host: str
    parts: tuple[str, ...]


def place_of(location: str, real: Callable[[str], str] = os.path.realpath) -> Place:
    """Return the place of a location, in one spelling.

    Args:
        location: A path, a URI, or a catalog name (without a slash). A table name with a path in it, such as
            "delta.`/data/x`", means that path.
        real: Follows symbolic links of an absolute path of this machine.
    """
    named = re.fullmatch(r"\s*(?:delta|parquet|csv|json|orc|text)\.`([^`]*/[^`]*)`\s*", location, re.IGNORECASE)
    if named is not None:
        location = named[1]
    uri = _URI.fullmatch(location)
    if uri is None and "/" not in location:
        return Place(CATALOG, "", tuple(part.strip("` ").lower() for part in location.split(".")))
    scheme, rest = (_DEFAULT, location) if uri is None else (uri[1].lower(), uri[2])
    host = ""
    if uri is not None and rest.startswith("//"):
        host, _, rest = rest[2:].partition("/")
        rest = "/" + rest
    scheme, host = _SCHEMES.get(scheme, scheme), host.lower()
    if scheme == "azure":
        host = host.replace(".blob.", ".dfs.")
    if scheme == "hdfs":
        host = re.sub(r":\d+$", "", host)
    if scheme in _LOCAL:
        host = ""  # file://localhost/x and file:///x are the same place
        if rest.startswith("/"):
            rest = real(posixpath.normpath(re.sub("^/+", "/", rest)))
    if scheme in _LOCAL and rest.startswith("/dbfs/"):  # Databricks shows its own file system there
        scheme, rest = "dbfs", rest.removeprefix("/dbfs")
    normal = posixpath.normpath(re.sub("/+", "/", rest)) if rest else "/"
    # The folder of a relative path is not known here. So it never equals a path from the root.
    start = () if normal.startswith("/") else (".",)
    return Place(scheme, host, (*start, *(part for part in normal.split("/") if part not in ("", "."))))


def relation(location: str, other: str, real: Callable[[str], str] = os.path.realpath) -> Relation | None:
    """Return the relation of one location to another.

    Args:
        location: See `place_of`.
        other: See `place_of`.
        real: See `place_of`.

    Returns:
        "same"; "inside" if `location` is, or could be, a part of `other`; "contains" if `other` is a part of
        `location`; None if they are apart.
    """
    one, two = place_of(location, real), place_of(other, real)
    if (one.scheme == CATALOG) != (two.scheme == CATALOG):
        return None  # a name does not say where its files are; `run.apart` asks the session
    if one.scheme == CATALOG:
        return _by_name(one.parts, two.parts)
    if not _may_share_a_root(one, two):
        return None
    if not all(_alike(left, right) for left, right in zip(one.parts, two.parts, strict=False)):
        return None
    if len(one.parts) == len(two.parts):
        return "same"
    return "inside" if len(one.parts) > len(two.parts) else "contains"


def _may_share_a_root(one: Place, two: Place) -> bool:
    if one.scheme != two.scheme:
        # A plain path can be on any default file system of the session, except those that need a bucket.
        return _DEFAULT in (one.scheme, two.scheme) and {one.scheme, two.scheme} <= {_DEFAULT, "file", "hdfs", "dbfs"}
    # In hdfs:///x the session decides the host.
    return one.host == two.host or (one.scheme == "hdfs" and "" in (one.host, two.host))


def _alike(one: str, other: str) -> bool:
    """True if two folder names are equal, or one could be a pattern that matches the other."""
    if one == other:
        return True
    for pattern, name in ((one, other), (other, one)):
        if _GLOB.search(pattern) and ("{" in pattern or fnmatch.fnmatchcase(name, pattern)):
            return True
    return False


def _by_name(one: tuple[str, ...], two: tuple[str, ...]) -> Relation | None:
    if one == two:
        return "same"
    if one[: len(two)] == two:
        return "inside"
    return "contains" if two[: len(one)] == one else None


def meets(source: str, zone: str, real: Callable[[str], str] = os.path.realpath) -> bool:
    """True if a source is or could be a zone, lies in it, or contains it.

    Args:
        source: A path, a URI or the name of a table.
        zone: A path, a URI or `catalog.schema`.
        real: See `place_of`.
    """
    if relation(source, zone, real) is not None:
        return True
    table, schema = place_of(source, real), place_of(zone, real)
    # A name schema.table is in the session's current catalog, which is not known here.
    is_short = table.scheme == schema.scheme == CATALOG and len(table.parts) == len(schema.parts) == 2
    return is_short and table.parts[0] == schema.parts[1]
