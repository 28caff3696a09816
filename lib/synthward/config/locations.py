"""Where files, folders and catalog schemas are: the forms allowed, and how relative ones resolve."""

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
    """Whether a location is a URI such as `s3a://bucket/x` or `file:/x`."""
    return _SCHEME.match(location) is not None


def is_schema(location: str) -> bool:
    """Whether a location is a catalog schema such as `main.synthward`."""
    return _SCHEMA.fullmatch(location) is not None


def resolve(base: Path, location: str) -> str:
    """A relative path made absolute against a folder; absolute paths and URIs stay as they are.

    An absolute path is left to Spark, whose default file system need not be the local one.

    Args:
        base: The folder of the file in which the location is written.
        location: A path or a URI; never a catalog schema.
    """
    if has_scheme(location) or location.startswith("/"):
        return location
    return posixpath.normpath(posixpath.join(base.absolute().as_posix(), location))


def resolve_zone(base: Path, location: str) -> str:
    """Like `resolve`; a catalog schema stays as it is, a trailing slash is dropped."""
    if is_schema(location):
        return location
    resolved = resolve(base, location)
    return resolved.rstrip("/") or "/"


def resolve_tracking(base: Path, uri: str) -> str:
    """Like `resolve`, for an MLflow tracking URI: a path, a relative `sqlite:///` file, a server, or `databricks`."""
    if uri.startswith(_SQLITE) and not uri.startswith(_SQLITE + "/"):
        return _SQLITE + resolve(base, uri[len(_SQLITE) :])
    if uri == "databricks" or has_scheme(uri):
        return uri
    return resolve(base, uri)


def zone_fault(location: str) -> str | None:
    """Why a text is not a zone, None when it is one."""
    if _FORBIDDEN.search(location) or location != location.strip():
        return f"found {location!r} with quotes, control characters or spaces around it; {ZONE_FORMS}"
    if location.startswith("~"):
        return f"found {location!r}, but ~ is not expanded here; {ZONE_FORMS}"
    if is_schema(location) or "/" in location:
        return None
    return f"found {location!r}; {ZONE_FORMS}; a folder beside this file is written ./{location}"


def overlapping(zones: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Pairs of zones of which one is, or lies inside, the other; as (key, message) of the later one."""
    for (one, first), (other, second) in itertools.combinations(zones.items(), 2):
        match relation(second, first):
            case "same":
                yield other, f"is the same place as {one}; the zones must differ, because access is granted by zone"
            case "inside" | "contains":
                yield other, f"lies inside {one} or the other way round; access is granted by zone, so keep them apart"
