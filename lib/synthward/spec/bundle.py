"""Bundles: a request with every file that it names, as one object that is known by its digest.

Files on disk are no evidence: their author can change them after others have approved them. A bundle holds exactly the
bytes that were read and checked. Approvers see it, and a run reads it, whatever the disk holds by then.

A bundle has paths relative to one folder. Absolute paths, `..`, links, devices and pipes cannot be in it. Its size and
its number of files are limited. Equal files give equal bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from synthward.config.canonical import plain
from synthward.config.files import MIB, Fence
from synthward.config.text import text_fault
from synthward.errors import ConfigError, IntegrityError, Problem
from synthward.records.canonical import canonical_bytes, parse_canonical
from synthward.records.codec import RecordFault, decode, encode, recordable
from synthward.records.requests import BundleFile, BundleLayout
from synthward.spec.request_file import RequestFile, load_request

BUNDLE_BYTES = 32 * MIB
"""Largest size in bytes of all files of a bundle together."""

MAX_FILES = 200
MAX_PATH = 400

_PATH = re.compile(r"[^/\\\x00]+(/[^/\\\x00]+)*")


@dataclass(frozen=True)
class Bundle:
    """A request with every file that it names.

    Attributes:
        request: Path of the request in the set.
        files: All files by their paths in the set.
        population: Whose budget it is, in the form of the ledger; None if the scope has no people.
    """

    request: str
    files: Mapping[str, bytes]
    population: Any = None

    @property
    def payload(self) -> bytes:
        """The bundle as bytes: equal bundles give equal bytes."""
        files = tuple(BundleFile(path, base64.b64encode(self.files[path]).decode()) for path in sorted(self.files))
        return canonical_bytes(encode(BundleLayout("synthward bundle 1", self.request, files, self.population)))

    @property
    def digest(self) -> str:
        """SHA-256 of the payload."""
        return hashlib.sha256(self.payload).hexdigest()

    @classmethod
    def pack(cls, path: Path, *, source_override: str | None = None) -> tuple[Bundle, RequestFile]:
        """Read a request with all files that it names, and pack exactly what was read.

        Args:
            path: The request file.
            source_override: See `load_request`.

        Raises:
            ConfigError: The request or a file of it has problems, is a link, or all files together are too large.
        """
        fence = Fence.recording(path)
        assert fence.shelf is not None
        # Paths of sources are relative to the folder as the author wrote it, as in a run from the file.
        file = load_request(path, source_override=source_override, fence=fence)
        name = fence.owner.relative_to(fence.shelf.root).as_posix()
        packed = cls(name, dict(fence.shelf.files))
        fault = packed._fault()
        if fault is not None:
            raise ConfigError([Problem("", f"cannot be packed into a bundle: {fault}", path, 1)])
        return packed, file

    def of_people(self, people: Any) -> Bundle:
        """Return the same bundle with the people whose budget it is.

        Args:
            people: The population in the ledger, a document.
        """
        return replace(self, population=recordable(plain(people)))

    @classmethod
    def parse(cls, payload: bytes) -> Bundle:
        """The inverse of `payload`.

        Raises:
            IntegrityError: The bytes are no bundle, or not in the one form that a bundle has.
        """
        try:
            found = decode(BundleLayout, parse_canonical(payload))
            files = {one.path: base64.b64decode(one.content, validate=True) for one in found.files}
            made = cls(found.request, files, found.population)
            fault = made._fault() or (None if made.payload == payload else "is written in another form")
        except (RecordFault, ValueError, RecursionError):
            fault = "is no bundle"
        if fault is not None:
            raise IntegrityError(f"a bundle in the records {fault}; find out who writes to the protected zone")
        return made

    def load(self, folder: str, *, source_override: str | None = None) -> RequestFile:
        """Read the request from the bundle; the disk is not touched.

        Args:
            folder: Folder to which paths of sources are relative.
            source_override: See `load_request`.

        Raises:
            ConfigError: This version finds problems in the request.
            IntegrityError: The bundle has files that the request does not name.
        """
        fence = Fence.of_shelf(self.request, self.files)
        path = Path(folder) / PurePosixPath(self.request).name
        file = load_request(path, source_override=source_override, fence=fence)
        assert fence.shelf is not None
        more = len(self.files.keys() - fence.shelf.read)
        if more:
            raise IntegrityError(f"the bundle of {path.name} holds {more} files that its request does not name")
        return file

    def _fault(self) -> str | None:
        """Why this is no bundle; None if it is one."""
        if self.request not in self.files:
            return "does not hold its request"
        if len(self.files) > MAX_FILES:
            return f"holds {len(self.files)} files, allowed are {MAX_FILES}"
        size = sum(map(len, self.files.values()))
        if size > BUNDLE_BYTES:
            return f"holds {size // MIB + 1} MiB, allowed are {BUNDLE_BYTES // MIB}"
        if not all(map(_is_inside, self.files)):
            return "holds a path that is not relative, has '..' or hidden characters, or is too long"
        return None


def _is_inside(path: str) -> bool:
    """Whether a path is a plain relative one: no empty part, no `.` or `..`, visible characters only."""
    return (
        _PATH.fullmatch(path) is not None
        and not {".", ".."} & set(path.split("/"))
        and text_fault(path, MAX_PATH, lines=False) is None
    )
