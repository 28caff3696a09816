"""Locations of files, folders and catalog schemas: the allowed forms, and how relative ones are resolved."""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from synthward.config.places import relation

ZONE_FORMS = (
    "allowed are a folder (./zones/ledger, /data/ledger), a URI (s3a://bucket/ledger, abfss://..., hdfs://...) "
    "and a catalog schema (main.synthward)"
)

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_SCHEMA = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_FORBIDDEN = re.compile(r"[`'\";\x00-\x1f\x7f]")
_SQLITE = "sqlite:///"


def has_scheme(location: str) -> bool:
    """True if a location is a URI such as `s3a://bucket/x` or `file:/x`."""
    return _SCHEME.match(location) is not None


def is_schema(location: str) -> bool:
    """True if a location is a catalog schema such as `main.synthward`."""
    return _SCHEMA.fullmatch(location) is not None


def resolve(base: Path, location: str) -> str:
    """Make a relative path absolute. Absolute paths and URIs stay as they are.

    Spark interprets an absolute path. Its default file system need not be the local one.

    Args:
        base: The folder of the file in which the location is written.
        location: A path or a URI; never a catalog schema.
    """
    if has_scheme(location) or location.startswith("/"):
        return location
    return posixpath.normpath(posixpath.join(base.absolute().as_posix(), location))


def resolve_zone(base: Path, location: str) -> str:
    """Do the same as `resolve`. A catalog schema stays as it is, and a trailing slash is removed."""
    if is_schema(location):
        return location
    resolved = resolve(base, location)
    return resolved.rstrip("/") or "/"


def resolve_tracking(base: Path, uri: str) -> str:
    """Resolve an MLflow tracking URI: a path, a relative `sqlite:///` file, a server, or `databricks`."""
    if uri.startswith(_SQLITE) and not uri.startswith(_SQLITE + "/"):
        return _SQLITE + resolve(base, uri[len(_SQLITE) :])
    if uri == "databricks" or has_scheme(uri):
        return uri
    return resolve(base, uri)


def zone_fault(location: str) -> str | None:
    """Return why a text is not a zone; None if it is one."""
    if _FORBIDDEN.search(location) or location != location.strip():
        return f"found {location!r} with quotes, control characters or spaces around it; {ZONE_FORMS}"
    if location.startswith("~"):
        return f"found {location!r}, but ~ is not expanded here; {ZONE_FORMS}"
    if is_schema(location) or "/" in location:
        return None
    return f"found {location!r}; {ZONE_FORMS}; write a folder beside this file as ./{location}"


def overlapping(zones: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield (key, message) for each pair of zones that are equal or nested. The key is that of the later zone."""
    for (one, first), (other, second) in itertools.combinations(zones.items(), 2):
        match relation(second, first):
            case "same":
                yield other, f"is the same place as {one}; the zones must differ, because access is granted by zone"
            case "inside" | "contains":
                yield other, f"lies inside {one}, or {one} inside it; access is granted by zone, so keep them apart"
