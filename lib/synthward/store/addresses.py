"""Addresses of data: one address for each folder or table, however its location is spelled.

A population owns its tables. So another spelling (a symbolic link, `s3://` for `s3a://`, a name in capitals) must not
count as another table. If only a session could tell two names apart, they count as the same table. Example:
`ehr.visits` and `main.ehr.visits`.
"""

from __future__ import annotations

import os
import posixpath
import re

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(.*)", re.DOTALL)
_ALIASES = {"s3": "s3a", "s3n": "s3a", "abfs": "abfss", "wasb": "wasbs"}
CATALOG = "catalog"
"""Scheme of addresses of catalog tables."""


def path_address(path: str) -> str:
    """Return the address of a folder or a file.

    Args:
        path: Absolute path or URI. Symbolic links on this machine are followed.

    Returns:
        `scheme://host/path` in one spelling; a plain path has the scheme `file`.
    """
    match = _SCHEME.fullmatch(path)
    scheme, rest = ("file", path) if match is None else (match[1].lower(), match[2])
    scheme = _ALIASES.get(scheme, scheme)
    host = ""
    if rest.startswith("//") and match is not None:
        host, _, rest = rest[2:].partition("/")
        host, rest = host.lower(), "/" + rest
    if scheme == "file":
        host = ""
        rest = os.path.realpath(posixpath.normpath(re.sub("^/+", "/", rest)))
        if rest.startswith("/dbfs/"):  # Databricks shows its file system there
            scheme, rest = "dbfs", rest.removeprefix("/dbfs")
    rest = posixpath.normpath(re.sub("/+", "/", rest)) if rest else "/"
    return f"{scheme}://{host.removesuffix(':8020') if scheme == 'hdfs' else host}{rest}"


def real_path(path: str) -> str:
    """Follow the symbolic links of a path of this machine. Return every other path and URI unchanged."""
    prefix, plain = ("file:", path.removeprefix("file:")) if path.startswith("file:") else ("", path)
    plain = re.sub("^//[^/]*(?=/)", "", plain) if prefix else plain
    return prefix + os.path.realpath(plain) if plain.startswith("/") else path


def table_address(name: str) -> str:
    """Return the address of a catalog table. It is in lower case, because Spark ignores case in such names."""
    return f"{CATALOG}:{name.replace('`', '').lower()}"


def overlap(one: str, other: str) -> bool:
    """True if two addresses are, or could be, the same data: they are equal, or one lies inside the other."""
    names = [address.removeprefix(f"{CATALOG}:") for address in (one, other)]
    if one.startswith(f"{CATALOG}:") and other.startswith(f"{CATALOG}:"):
        short, long = sorted(names, key=len)
        return long == short or long.endswith(f".{short}")
    return one == other or inside(one, other) or inside(other, one)


def inside(path: str, folder: str) -> bool:
    """True if a path lies in a folder. Both are addresses."""
    return path.startswith(folder.rstrip("/") + "/")
