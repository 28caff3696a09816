"""Strict YAML to frozen dataclasses: all problems at once, each with its line.

A document's class declares what is allowed (`synthward.config.fields.key`); a class may define `problems()`, which
yields `(relative.path, message)` pairs for rules between fields. Every document has a `version`; when it is not one the
class knows, nothing else is reported, because nothing else can be judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from synthward.config.binder import REFUSED, Binder
from synthward.config.fields import Key
from synthward.config.nodes import Mapping, Node, Scalar, from_json, parse
from synthward.config.shapes import members, shape_of
from synthward.errors import ConfigError, Problem

T = TypeVar("T")


@dataclass(frozen=True)
class Document(Generic[T]):
    """A bound document that still knows its lines, for checks that need more than the document.

    Attributes:
        value: The bound object.
        file: Where it was read, None for a text.
        binder: Holds the lines.
    """

    value: T
    file: Path | None
    binder: Binder

    def problem(self, path: str, message: str) -> Problem:
        """A problem at a key of this document, for instance `columns[2]`."""
        return Problem(path, message, self.file, self.binder.line_of(path))


def load(path: Path, cls: type[T]) -> T:
    """Read a YAML file (UTF-8) into a dataclass.

    Raises:
        ConfigError: The file cannot be read or has problems; all of them are listed.
    """
    return load_document(path, cls).value


def load_document(path: Path, cls: type[T]) -> Document[T]:
    """Like `load`, and keeps the lines.

    Raises:
        ConfigError: The file cannot be read or has problems; all of them are listed.
    """
    return bind_document(read_text(path), cls, path)


def read_text(path: Path) -> str:
    """The text of a configuration file, without a byte order mark.

    Raises:
        ConfigError: The file does not exist, cannot be read or is not UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        message = "no such file; check the path and the folder the command runs in"
    except UnicodeDecodeError as error:
        message = f"not UTF-8 (byte {error.start}); save the file as UTF-8"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    raise ConfigError([Problem("", message, path, 1)])


def bind(text: str, cls: type[T], file: Path | None = None) -> T:
    """Bind a YAML text to a dataclass.

    Raises:
        ConfigError: The text has problems; all of them are listed, in the order of the lines.
    """
    return bind_document(text, cls, file).value


def bind_document(text: str, cls: type[T], file: Path | None = None) -> Document[T]:
    """Like `bind`, and keeps the lines.

    Args:
        text: The YAML text.
        cls: The dataclass of the whole document.
        file: Where the text comes from, for the messages.

    Raises:
        ConfigError: The text has problems; all of them are listed, in the order of the lines.
    """
    node, faults = parse(text)
    problems = [Problem("", fault.message, file, fault.line) for fault in faults]
    if node is None:
        raise ConfigError(problems or [Problem("", f"the file is empty; it needs {_first_keys(cls)}", file, 1)])
    return _bound(node, cls, file, problems)


def restore(text: str, cls: type[T]) -> T:
    """The inverse of `canonical_json`: an object from its stored JSON text.

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
    elif not _known_version(node, cls, binder):
        value = REFUSED
    else:
        value = binder.bind(node, shape_of(cls), "", Key())
    problems += [Problem(path, message, file, binder.line_of(path)) for path, message in binder.issues]
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line))
    assert isinstance(value, cls)
    return Document(value, file, binder)


def _known_version(node: Node, cls: type, binder: Binder) -> bool:
    """Whether the document's `version`, if it states one, is one that its class knows; records why not."""
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
