"""Loads strict YAML into frozen dataclasses and reports all problems at once, each with its line.

A document's class declares what is allowed (`synthward.config.fields.key`). For rules between fields a class may define
`problems()`, which yields `(relative.path, message)` pairs. Every document has a `version`. If the class does not know
the version, nothing else is reported, because nothing else can be checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from synthward.config.binder import REFUSED, Binder, shown_path
from synthward.config.fields import Key
from synthward.config.files import DOCUMENT_BYTES, Fence, FileRefused, read_inside, read_limited
from synthward.config.nodes import Fault, Mapping, Node, Scalar, Sequence, from_json, parse
from synthward.config.shapes import members, shape_of, vocabulary
from synthward.errors import ConfigError, Problem

T = TypeVar("T")


@dataclass(frozen=True)
class Document(Generic[T]):
    """A bound document with its lines, for checks that need more than the document.

    Attributes:
        value: The bound object.
        file: The file it was read from; None for a text.
        binder: Holds the lines.
    """

    value: T
    file: Path | None
    binder: Binder

    def problem(self, path: str, message: str) -> Problem:
        """Return a problem at a key of this document, for instance `columns[2]`."""
        return Problem(shown_path(path), message, self.file, self.binder.line_of(path))


def load(path: Path, cls: type[T], limit: int = DOCUMENT_BYTES) -> T:
    """Read a YAML file (UTF-8) into a dataclass.

    Args:
        path: The file.
        cls: The dataclass of the whole document.
        limit: Largest size of the file in bytes.

    Raises:
        ConfigError: The file cannot be read or has problems; all of them are listed.
    """
    return load_document(path, cls, limit).value


def load_document(path: Path, cls: type[T], limit: int = DOCUMENT_BYTES) -> Document[T]:
    """Do the same as `load`, and keep the lines.

    Raises:
        ConfigError: The file cannot be read or has problems; all of them are listed.
    """
    return bind_document(read_text(path, limit), cls, path)


def load_named(fence: Fence, written: str, file: Path, cls: type[T], limit: int = DOCUMENT_BYTES) -> Document[T]:
    """Do the same as `load_document`, for a file that another document names.

    Args:
        fence: The folders in which the file may lie.
        written: The file's path as written in the other document.
        file: The file's path for messages.
        cls: The dataclass of the whole document.
        limit: Largest size of the file in bytes.

    Raises:
        FileRefused: The file may not be read, or cannot be read.
        ConfigError: The file is not UTF-8 or has problems; all of them are listed.
    """
    return bind_document(_decoded(read_inside(fence, written, limit), file), cls, file)


def read_text(path: Path, limit: int = DOCUMENT_BYTES) -> str:
    """Return the text of a configuration file, without a byte order mark.

    Raises:
        ConfigError: The file does not exist, is not a regular file, is too large, cannot be read, or is not UTF-8.
    """
    try:
        content = read_limited(path, limit)
    except FileRefused as refused:
        raise ConfigError([Problem("", str(refused), path, 1)]) from None
    return _decoded(content, path)


def _decoded(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8 (byte {error.start}); save the file as UTF-8"
    raise ConfigError([Problem("", message, path, 1)])


def bind(text: str, cls: type[T], file: Path | None = None) -> T:
    """Turn a YAML text into an object of a dataclass.

    Raises:
        ConfigError: The text has problems; all of them are listed, in the order of the lines.
    """
    return bind_document(text, cls, file).value


def bind_document(text: str, cls: type[T], file: Path | None = None) -> Document[T]:
    """Do the same as `bind`, and keep the lines.

    Args:
        text: The YAML text.
        cls: The dataclass of the whole document.
        file: The file of the text, for messages.

    Raises:
        ConfigError: The text has problems; all of them are listed, in the order of the lines.
    """
    try:
        node, faults = parse(text)
    except RecursionError:
        raise ConfigError([Problem("", "nested too deeply for a document", file, 1)]) from None
    problems = [Problem(_key_of(fault, cls), fault.message, file, fault.line) for fault in faults]
    if node is None:
        raise ConfigError(problems or [Problem("", f"the file is empty; it needs {_first_keys(cls)}", file, 1)])
    return _bound(node, cls, file, problems)


def restore(text: str, cls: type[T]) -> T:
    """Return an object from its stored JSON text. This is the inverse of `canonical_json`.

    Raises:
        ConfigError: The text is not JSON or does not fit the class.
    """
    try:
        node = from_json(text)
    except ValueError:
        raise ConfigError([Problem("", f"a stored {cls.__name__} is not valid JSON")]) from None
    return _bound(node, cls, None, []).value


def _bound(node: Node, cls: type[T], file: Path | None, problems: list[Problem]) -> Document[T]:
    binder = Binder()
    value: Any = REFUSED
    if isinstance(node, Scalar) and node.is_null:
        problems.append(Problem("", f"the file is empty; it needs {_first_keys(cls)}", file, 1))
    elif not _is_one(node, cls):
        problems.append(Problem("", _no_document(node, cls), file, 1))
    elif not _known_version(node, cls, binder):
        value = REFUSED
    else:
        value = binder.bind(node, shape_of(cls), "", Key())
    problems += [Problem(shown_path(path), message, file, line) for path, message, line in binder.numbered_issues()]
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line))
    assert isinstance(value, cls)
    return Document(value, file, binder)


def _key_of(fault: Fault, cls: type) -> str:
    """Return the key of a fault if it is a public key of the document; no other text is shown."""
    return fault.key if fault.key is not None and fault.key in vocabulary(cls) else ""


def _is_one(node: Node, cls: type) -> bool:
    """True if a text can be meant as a document of the class: it has one of the class's keys, or its `type`.

    Any other file may be a foreign file. It gets one message that shows none of its content.
    """
    if not isinstance(node, Mapping):
        return False
    known = {member.name for member in members(cls)} | {"type"}
    return not node.entries or not known.isdisjoint(node.entries)


def _no_document(node: Node, cls: type) -> str:
    found = {Mapping: "a mapping with none of its keys", Sequence: "a list", Scalar: "a plain text"}[type(node)]
    kind = cls.__name__.removesuffix("Document").lower()
    return f"this is not a {kind}: found {found}, expected a mapping with {_first_keys(cls)}"


def _known_version(node: Node, cls: type, binder: Binder) -> bool:
    """True if the class knows the document's `version`, or if there is none. Otherwise the problem is recorded."""
    if not isinstance(node, Mapping) or "version" not in node.entries:
        return True
    for member in members(cls):
        if member.name == "version":
            written, value = node.entries["version"]
            binder.lines["version"] = written.line
            return binder.bind(value, member.shape, "version", member.key) is not REFUSED
    return True


def _first_keys(cls: type) -> str:
    names = [member.name for member in members(cls) if member.required]
    return "the keys " + ", ".join(names) if names else "at least one key"
