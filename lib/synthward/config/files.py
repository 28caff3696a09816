"""Reading files that people name: regular files of a limited size, and inside of the folders of their set.

A request is written by its author and read by a job that may read far more. Two rules keep the one from using the
rights of the other (decision 009):

* **Size and kind.** Only regular files are read. A FIFO would block for ever, a device has no end. Each kind of file
  has a limit, and no more bytes than that are ever read.
* **The set.** A request, its domain and its code books lie in one small set of folders that an approver can name: the
  request's own folder with what is below, and where that folder is (or is below) one called `requests`, also the folder
  `domains` beside it. A code book lies in the folder of its domain file, or below. A link may point to another place
  of the set, never out of it. Absolute paths are refused, also those that point into the set: the set must mean the
  same wherever it is put.

YARN puts each file of `--files` into a numbered folder of its cache and a link to it into the working folder. There a
set is flat, so that a link is also followed to a file of the same name in the same cache.

A path is resolved first, compared with the set, and then opened folder by folder without following any link, so that a
link that somebody puts there in between is refused and not followed.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20

DOCUMENT_BYTES = MIB
"""A request, site or policy."""

DOMAIN_BYTES = 16 * MIB
"""A domain, its listed values included."""

CODEBOOK_BYTES = 64 * MIB
"""A code book."""

MODEL_BYTES = 384 * MIB
"""A model file: the probabilities of `fit.model.MAX_CELLS` in base64, as much again for runs and groups, the domain."""

REQUESTS, DOMAINS = "requests", "domains"
"""Names of the two folders of a set that is not kept in one."""

_YARN = re.compile(r"(?P<cache>/.*/filecache)/(?:[0-9a-z]/)*[0-9]+/(?P<name>[^/]+)")
# O_PATH, where there is one: a folder may allow to pass through it and not to list it.
_FOLDER = (
    getattr(os, "O_PATH", os.O_RDONLY)
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class FileRefused(ValueError):
    """A file is not read; the message says why, never what the file holds."""


@dataclass(frozen=True)
class Fence:
    """Where the files that a document names may lie.

    Attributes:
        base: The folder from which relative paths count.
        folders: Folders, real paths, in which or below which a file may lie.
        owner: The document itself, a real path; tells whether YARN's cache holds the set.
        words: The rule in words, for messages.
    """

    base: Path
    folders: tuple[Path, ...]
    owner: Path
    words: str

    @classmethod
    def of_request(cls, request: Path) -> Fence:
        """Where the domain of a request may lie."""
        base = request.absolute().parent
        real = Path(os.path.realpath(base))
        above = next((folder for folder in (real, *real.parents) if folder.name == REQUESTS), None)
        beside = () if above is None else (Path(os.path.realpath(above.with_name(DOMAINS))),)
        # A link in place of `domains` would open another folder: it counts only where it stays beside `requests`.
        kept = tuple(folder for folder in beside if above is not None and folder.parent == above.parent)
        words = (
            f"a domain lies in the folder of its request or below; of a request in a folder '{REQUESTS}' also in the "
            f"folder '{DOMAINS}' beside that. Copy it there"
        )
        return cls(base, (real, *kept), Path(os.path.realpath(request)), words)

    @classmethod
    def of_domain(cls, domain: Path) -> Fence:
        """Where the code books of a domain may lie."""
        base = domain.absolute().parent
        words = "a code book lies in the folder of its domain file or below. Copy it there"
        return cls(base, (Path(os.path.realpath(base)),), Path(os.path.realpath(domain)), words)

    def locate(self, written: str) -> Path:
        """The real path of a file that the document names.

        Args:
            written: The path as written in the document.

        Raises:
            FileRefused: It is absolute, a URI, or leads out of the folders.
        """
        if written.startswith(("/", "~")) or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", written):
            raise FileRefused(f"is not a relative path; {self.words}, and name it by a relative path")
        if "\0" in written:
            raise FileRefused("holds a NUL character; remove it")
        lexical = Path(os.path.normpath(self.base / written))
        real = Path(os.path.realpath(self.base / written))
        if any(real.is_relative_to(folder) for folder in self.folders) or self._localised(lexical, real):
            return real
        raise FileRefused(f"leads out of the folders that this document may read; {self.words}")

    def home(self, written: str) -> Path:
        """The path of a document that this one names, from which the paths in it count.

        It is the real path, so that its own files lie in this set as well; of a file that YARN put there, whose
        neighbours are links beside it and not beside the real file, the path of the link.

        Raises:
            FileRefused: See `locate`.
        """
        real = self.locate(written)
        inside = any(real.is_relative_to(folder) for folder in self.folders)
        return real if inside else Path(os.path.normpath(self.base / written))

    def _localised(self, lexical: Path, real: Path) -> bool:
        own, other = _YARN.fullmatch(self.owner.as_posix()), _YARN.fullmatch(real.as_posix())
        return (
            own is not None
            and other is not None
            and own["cache"] == other["cache"]
            and other["name"] == lexical.name
            and lexical.parent == self.base
        )


def read_inside(fence: Fence, written: str, limit: int) -> bytes:
    """The content of a file that a document names.

    Args:
        fence: Where it may lie.
        written: The path as written in the document.
        limit: Bytes it may have.

    Raises:
        FileRefused: It leads out of the fence, is not there, no regular file, too large or not readable.
    """
    real = fence.locate(written)
    try:
        return _content(_open_without_links(real), limit)
    except OSError as error:
        raise FileRefused(_reason(error)) from None


def read_limited(path: Path, limit: int) -> bytes:
    """The content of a file that a person named on the command line or in a call; links are followed.

    Raises:
        FileRefused: It is not there, no regular file, too large or not readable.
    """
    try:
        # Opening alone can act on a device, so its kind is looked at before, and again at what was opened.
        _require_regular(path.stat().st_mode)
        return _content(os.open(path, _FILE), limit)
    except OSError as error:
        raise FileRefused(_reason(error)) from None
    except ValueError as error:
        raise error if isinstance(error, FileRefused) else FileRefused("is not a path; remove the NUL") from None


def _open_without_links(real: Path) -> int:
    """A descriptor of a real path; every step is opened in the folder before it, and no link is followed."""
    if os.open not in os.supports_dir_fd:  # a platform without openat: the kind is still checked
        return os.open(real, _FILE)
    folder = os.open(real.anchor, _FOLDER)
    try:
        for part in real.parts[1:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        found = os.stat(real.name, dir_fd=folder, follow_symlinks=False)
        _require_regular(found.st_mode)
        return os.open(real.name, _FILE | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


def _content(descriptor: int, limit: int) -> bytes:
    with os.fdopen(descriptor, "rb") as stream:
        _require_regular(os.fstat(stream.fileno()).st_mode)
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise FileRefused(f"is larger than {limit // MIB} MiB, the limit of such a file; make it smaller")
    return content


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise FileRefused("is a folder and cannot be read; name a file in it")
    if not stat.S_ISREG(mode):
        raise FileRefused("is no regular file (a pipe, a device or a socket) and is not read; name a regular file")


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file; check the path and the folder the command runs in"
    return f"cannot be read: {error.strerror}"
