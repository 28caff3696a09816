"""The officer's site as files. It replaces what carries our own mark only, and removes what earlier builds left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from synthward.config.files import DOCUMENT_BYTES, FileRefused, read_limited
from synthward.store.outputs import require_folder, require_writable, write_output

INDEX = "site.json"
"""List of the pages of a build, by which a later one knows what is its own."""

MARK = "officers_site"
"""Value of the key `synthward` of that list."""

_PAGE = b'<meta name="generator" content="synthward '


def is_page(content: bytes) -> bool:
    """Whether a file is a page of ours: a site's, or a release's report."""
    return content.startswith(b"<!DOCTYPE html>") and _PAGE in content[:4096]


def is_index(content: bytes) -> bool:
    """Whether a file is the list of an earlier build."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and body.get("synthward") == MARK


def require_site(folder: Path, zones: Mapping[str, str]) -> None:
    """Refuse a folder that the site may not be written into; before any work is done.

    Raises:
        UsageError: It is inside or around a zone, or holds something else under the name of a page.
    """
    require_folder(folder, zones, "--out")
    for inner in ("requests", "populations", "releases"):
        require_folder(folder / inner, zones, "--out")
    require_writable(folder / INDEX, zones, "--out", is_index)
    require_writable(folder / "index.html", zones, "--out", is_page)


def write_site(pages: Mapping[str, str], folder: Path, zones: Mapping[str, str]) -> int:
    """Write all pages; the list comes last.

    Args:
        pages: Pages by relative path.
        folder: The folder; made if absent.
        zones: Zones of the site, which the folder has to be outside of.

    Returns:
        Number of pages of an earlier build that were removed.

    Raises:
        UsageError: A file is in the way that is no page of ours; nothing was written then.
    """
    require_site(folder, zones)
    before = _listed(folder)
    for name in pages:
        require_writable(folder / name, zones, "--out", is_page)
    listed = {}
    for name, text in sorted(pages.items()):
        content = text.encode("utf-8")
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_output(folder / name, content, is_page)
        listed[name] = hashlib.sha256(content).hexdigest()
    removed = sum(_remove(folder, name, digest) for name, digest in before.items() if name not in pages)
    index = json.dumps({"synthward": MARK, "pages": listed}, sort_keys=True, indent=1).encode() + b"\n"
    write_output(folder / INDEX, index, is_index)
    return removed


def _listed(folder: Path) -> dict[str, str]:
    """Pages of the earlier build with their digests; empty without one."""
    try:
        body = json.loads(read_limited(folder / INDEX, DOCUMENT_BYTES))
        pages = body["pages"] if isinstance(body, dict) else None
    except (FileRefused, ValueError, RecursionError, KeyError):
        return {}
    return {str(name): str(digest) for name, digest in pages.items()} if isinstance(pages, dict) else {}


def _remove(folder: Path, name: str, digest: str) -> bool:
    """Remove a page of the earlier build, if it is still what that build has written."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or len(path.parts) > 2:
        return False
    place = folder / name
    if place.is_symlink() or place.parent.is_symlink() or not place.is_file():
        return False
    try:
        content = read_limited(place, 16 * DOCUMENT_BYTES)
    except FileRefused:
        return False
    if not is_page(content) or hashlib.sha256(content).hexdigest() != digest:
        return False
    place.unlink()
    return True
