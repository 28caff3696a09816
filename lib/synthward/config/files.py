"""Reading files that people name: only regular files, of a limited size, inside the folders of their set.

An author writes a request, and a job reads it. The job may read many more files than the author. Two rules prevent that
the author uses the rights of the job (decision 009):

* **Size and kind.** Only regular files are read. Reading a FIFO would block for ever, and a device has no end. Each
  kind of file has a size limit. No more bytes than the limit are ever read.
* **The set.** A request, its domain and its code books lie in one small set of folders that an approver can name. The
  set is the request's folder with everything below it. If that folder is called `requests`, or is below a folder with
  that name, the set also has the folder `domains` beside `requests`. A code book lies in the folder of its domain file
  or below. A link may point to another file of the set, never out of the set. Absolute paths are refused, even into the
  set, because the set must mean the same wherever it is put.

YARN puts each file of `--files` into a numbered folder of its cache, and a link to the file into the working folder.
There a set has no folders. So a link is also followed to a file of the same name in the same cache.

A path is first resolved and compared with the set. Then it is opened folder by folder without following any link. If
somebody puts a link there in between, the link is refused.

A set can be kept as one object, a *shelf*: the files that were read, by their paths in the set. Later the same
documents are read from the shelf, and the disk is not touched (`spec.bundle`).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

MIB = 2**20

DOCUMENT_BYTES = MIB
"""Largest size in bytes of a request, site or policy."""

DOMAIN_BYTES = 16 * MIB
"""Largest size in bytes of a domain file, with its listed values."""

CODEBOOK_BYTES = 64 * MIB
"""Largest size in bytes of a code book."""

MODEL_BYTES = 384 * MIB
"""Largest size in bytes of a model file.

It holds the probabilities of `fit.model.MAX_CELLS` in base64, as much again for runs and groups, and the domain."""

REQUESTS, DOMAINS = "requests", "domains"
"""Names of the two folders of a set that is kept in two folders."""

_YARN = re.compile(r"(?P<cache>/.*/filecache)/(?:[0-9a-z]/)*[0-9]+/(?P<name>[^/]+)")
# O_PATH, if the platform has it: a folder may allow users to pass through it without allowing them to list it.
_FOLDER = (
    getattr(os, "O_PATH", os.O_RDONLY)
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


_BUNDLE = Path("/bundle")
"""Root of a given set. It stands in messages; there is no such folder."""

_REQUEST_RULE = (
    f"a domain must be in the folder of its request or below; of a request in a folder '{REQUESTS}', it may also be in "
    f"the folder '{DOMAINS}' beside that folder. Copy it there"
)
_CODEBOOK_RULE = "a code book must be in the folder of its domain file or below. Copy it there"


class FileRefused(ValueError):
    """A file is not read. The message says why, and never shows the file's content."""


class Shelf:
    """The files of one set, by their paths in the set, for instance `requests/heart.yaml`.

    A shelf is either filled while files are read from disk, or it is given with all files; then no disk is read.
    """

    def __init__(self, root: Path, files: Mapping[str, bytes] | None = None) -> None:
        """Remember the root of the set.

        Args:
            root: Real path of the folder to which the paths are relative. A given shelf needs no such folder.
            files: All files, of a given shelf; None for a shelf that is filled from disk.
        """
        self.root = root
        self.is_given = files is not None
        self.files: dict[str, bytes] = dict(files or {})
        self.read: set[str] = set()
        """Paths of the files that were read."""

    def fetch(self, lexical: Path, real: Path, limit: int) -> bytes:
        """Return the content of a file of the set, and keep it.

        Args:
            lexical: The file's path as named, normalised.
            real: The same path with all links resolved; of a given shelf the same as `lexical`.
            limit: Largest size of the file in bytes.

        Raises:
            FileRefused: The file is a link or reached through one, or it cannot be read.
        """
        if lexical != real or not real.is_relative_to(self.root):
            raise FileRefused("is a link, or lies behind one; a bundle holds no links. Copy the file there")
        name = real.relative_to(self.root).as_posix()
        if name not in self.files:
            if self.is_given:
                raise FileRefused("is not in the bundle")
            self.files[name] = _from_disk(real, limit)
        self.read.add(name)
        if len(self.files[name]) > limit:
            raise FileRefused(_too_large(limit))
        return self.files[name]


@dataclass(frozen=True)
class Fence:
    """The folders in which the files that a document names may lie.

    Attributes:
        base: The folder to which relative paths are relative.
        folders: Real paths of folders. A file may lie in one of them or below.
        owner: Real path of the document itself. It shows whether the set is in YARN's cache.
        rule: The rule in words, for messages.
        shelf: Keeps what is read, or holds all files; None to read from disk alone.
    """

    base: Path
    folders: tuple[Path, ...]
    owner: Path
    rule: str
    shelf: Shelf | None = field(default=None, compare=False)

    @classmethod
    def of_request(cls, request: Path) -> Fence:
        """Return the fence for the domain of a request."""
        base = request.absolute().parent
        real = Path(os.path.realpath(base))
        above = _requests_folder(real)
        beside = () if above is None else (Path(os.path.realpath(above.with_name(DOMAINS))),)
        # If `domains` is a link, it could open another folder. It counts only if it stays beside `requests`.
        kept = tuple(folder for folder in beside if above is not None and folder.parent == above.parent)
        return cls(base, (real, *kept), Path(os.path.realpath(request)), _REQUEST_RULE)

    @classmethod
    def recording(cls, request: Path) -> Fence:
        """Return the fence for a request and all that it names; its shelf keeps what is read.

        The request itself is read through it as well, by its name.
        """
        real = Path(os.path.realpath(request.absolute().parent))
        above = _requests_folder(real)
        shelf = Shelf(real if above is None else above.parent)
        return replace(cls.of_request(real / request.name), shelf=shelf)

    @classmethod
    def of_shelf(cls, request: str, files: Mapping[str, bytes]) -> Fence:
        """Return the fence for a request whose set is given. The disk is not touched.

        Args:
            request: Path of the request in the set.
            files: All files of the set.
        """
        shelf = Shelf(_BUNDLE, files)
        base = (_BUNDLE / request).parent
        beside = (_BUNDLE / DOMAINS,) if request.startswith(f"{REQUESTS}/") else ()
        return cls(base, (base, *beside), _BUNDLE / request, _REQUEST_RULE, shelf)

    @classmethod
    def of_domain(cls, domain: Path) -> Fence:
        """Return the fence for the code books of a domain."""
        base = domain.absolute().parent
        return cls(base, (Path(os.path.realpath(base)),), Path(os.path.realpath(domain)), _CODEBOOK_RULE)

    def of_named(self, written: str) -> Fence:
        """Return the fence for the code books of a domain that this document names.

        Raises:
            FileRefused: See `locate`.
        """
        if self.shelf is not None and self.shelf.is_given:
            folder = self.locate(written).parent
            return Fence(folder, (folder,), self.owner, _CODEBOOK_RULE, self.shelf)
        return replace(Fence.of_domain(self.home(written)), shelf=self.shelf)

    def locate(self, written: str) -> Path:
        """Return the real path of a file that the document names.

        Args:
            written: The path as written in the document.

        Raises:
            FileRefused: The path is absolute, is a URI, or leads out of the folders.
        """
        if written.startswith(("/", "~")) or re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", written):
            raise FileRefused(f"is not a relative path; {self.rule}, and name it by a relative path")
        if "\0" in written:
            raise FileRefused("has a NUL character; remove it")
        lexical = Path(os.path.normpath(self.base / written))
        given = self.shelf is not None and self.shelf.is_given
        real = lexical if given else Path(os.path.realpath(self.base / written))
        if any(real.is_relative_to(folder) for folder in self.folders) or self._localised(lexical, real):
            return real
        raise FileRefused(f"leads out of the folders that this document may read; {self.rule}")

    def home(self, written: str) -> Path:
        """Return the path of a document that this document names. Paths inside that document are relative to it.

        This is the real path, so that the files of that document lie in this set too. For a file from YARN it is the
        path of the link, because its neighbours are links beside that link, not files beside the real file.

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
    """Return the content of a file that a document names.

    Args:
        fence: The folders in which the file may lie.
        written: The path as written in the document.
        limit: Largest size of the file in bytes.

    Raises:
        FileRefused: The path leads out of the fence, or the file is missing, not regular, too large or not readable.
    """
    real = fence.locate(written)
    if fence.shelf is not None:
        return fence.shelf.fetch(Path(os.path.normpath(fence.base / written)), real, limit)
    return _from_disk(real, limit)


def _from_disk(real: Path, limit: int) -> bytes:
    try:
        return _content(_open_without_links(real), limit)
    except OSError as error:
        raise FileRefused(_reason(error)) from None


def read_limited(path: Path, limit: int) -> bytes:
    """Return the content of a file that a person named on the command line or in a call. Links are followed.

    Raises:
        FileRefused: The file is missing, not regular, too large or not readable.
    """
    try:
        # Opening a device can already have an effect. So the kind is checked before opening, and again after it.
        _require_regular(path.stat().st_mode)
        return _content(os.open(path, _FILE), limit)
    except OSError as error:
        raise FileRefused(_reason(error)) from None
    except ValueError as error:
        raise error if isinstance(error, FileRefused) else FileRefused("is not a path; remove the NUL") from None


def _open_without_links(real: Path) -> int:
    """Open a real path and return its descriptor. Each step is opened in the folder before it; no link is followed."""
    if os.open not in os.supports_dir_fd:  # the platform has no openat; the kind is still checked
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
        raise FileRefused(_too_large(limit))
    return content


def _too_large(limit: int) -> str:
    return f"is larger than {limit // MIB} MiB, the limit of such a file; make it smaller"


def _requests_folder(folder: Path) -> Path | None:
    """Return the nearest folder with the name `REQUESTS`: the folder itself or one above it; None if there is none."""
    return next((one for one in (folder, *folder.parents) if one.name == REQUESTS), None)


def _require_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise FileRefused("is a folder and cannot be read; name a file in it")
    if not stat.S_ISREG(mode):
        raise FileRefused("is not a regular file (a pipe, a device or a socket) and is not read; name a regular file")


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file; check the path and the folder the command runs in"
    return f"cannot be read: {error.strerror}"
