"""Parses YAML text into a tree of nodes with line numbers.

Only a strict subset of YAML is allowed: one document with plain data. Anchors, aliases, merge keys and tags are
refused, because a reviewer must see each value where it is used. Scalars keep their source text. So a code list such as
`[1, 00845, 3E03317, No]` is not changed, and no decimal becomes a binary float.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 40
"""Deepest nesting accepted. Configuration needs about ten levels. A hostile file could exhaust the stack."""

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_SYNTAX = frozenset(
    {
        "block sequence entries are not allowed in this context",
        "could not find expected ':'",
        "did not find expected ',' or ']'",
        "did not find expected ',' or '}'",
        "did not find expected '-' indicator",
        "did not find expected <document start>",
        "did not find expected key",
        "did not find expected node content",
        "found a tab character that violates indentation",
        "found character that cannot start any token",
        "found unexpected document indicator",
        "found unexpected end of stream",
        "found unknown escape character",
        "mapping keys are not allowed in this context",
        "mapping values are not allowed in this context",
    }
)
"""Texts of libyaml that our messages may show. Other texts could quote the file, which may be a foreign file."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser is ten times faster on long code lists


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value as written. `plain` is True if it has no quotes."""

    text: str
    plain: bool
    line: int

    @property
    def is_null(self) -> bool:
        """True for YAML's null, False for the quoted text "null"."""
        return self.plain and self.text in _NULLS


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    line: int
    items: list[Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order written. A second use of a key is dropped and recorded as a fault."""

    line: int
    entries: dict[str, tuple[Scalar, Node]] = field(default_factory=dict)


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True)
class Fault:
    """A problem of the text itself.

    Attributes:
        line: Its line, counted from 1.
        message: What is wrong. It quotes nothing of the text.
        key: The key that is wrong. The caller decides whether the key may be shown.
    """

    line: int
    message: str
    key: str | None = None


class _Broken(Exception):
    """Parsing cannot continue after this fault."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(fault.message)


def parse(text: str) -> tuple[Node | None, list[Fault]]:
    """Return the tree of a YAML text and its faults. The tree is None if the text is empty or broken."""
    faults: list[Fault] = []
    try:
        return _Composer(text, faults).document(), faults
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        faults.append(Fault(mark.line + 1 if mark else 1, _syntax(error, text, mark)))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        faults.append(Fault(line, "the file has a control character, which YAML does not allow; remove it"))
    except _Broken as broken:
        faults.append(broken.fault)
    return None, faults


def from_json(text: str) -> Node:
    """Return the tree of a JSON text. Every node has line 1.

    Raises:
        ValueError: The text is not JSON, or nested too deeply.
    """
    try:
        value = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return _of_value(value, 1)


class _Number(str):
    """The source text of a JSON number."""

    __slots__ = ()


def _of_value(value: Any, depth: int) -> Node:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        entries = {name: (Scalar(name, False, 1), _of_value(item, depth + 1)) for name, item in value.items()}
        return Mapping(1, entries)
    if isinstance(value, list):
        return Sequence(1, [_of_value(item, depth + 1) for item in value])
    if value is None or isinstance(value, bool):
        return Scalar(json.dumps(value), True, 1)
    return Scalar(str(value), isinstance(value, _Number), 1)


def _syntax(error: yaml.MarkedYAMLError, text: str, mark: yaml.Mark | None) -> str:
    lines = text.splitlines()
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab indents this line; YAML is indented with spaces"
    return f"not valid YAML: {error.problem}" if error.problem in _SYNTAX else "not valid YAML"


class _Composer:
    """Builds nodes from PyYAML's events. Unlike PyYAML's nodes, events show quotes, tags and aliases."""

    def __init__(self, text: str, faults: list[Fault]) -> None:
        self._events: Iterator[Any] = iter(yaml.parse(text, Loader=_LOADER))
        self._faults = faults

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._fault(event, "a second document starts here; one file holds one document")
                    break
                root = self._node(next(self._events), 1)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        line = event.start_mark.line + 1
        if depth > MAX_DEPTH:
            raise _Broken(Fault(line, f"nested deeper than {MAX_DEPTH} levels"))
        if isinstance(event, yaml.AliasEvent):
            raise _Broken(Fault(line, "aliases are not supported; write the value out here"))
        if event.anchor is not None:
            self._fault(event, "anchors are not supported; write the value out where it is used")
        if event.tag is not None:
            self._fault(event, "tags are not supported; remove it")
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(line, depth)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(line, depth)
        return Scalar(event.value, bool(event.implicit[0]), line)

    def _sequence(self, line: int, depth: int) -> Sequence:
        sequence = Sequence(line)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            sequence.items.append(self._node(event, depth + 1))
        return sequence

    def _mapping(self, line: int, depth: int) -> Mapping:
        mapping = Mapping(line)
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            name, value = self._node(event, depth + 1), self._node(next(self._events), depth + 1)
            if not isinstance(name, Scalar):
                self._fault(event, "a key must be a plain text, found a list or a mapping")
            elif name.plain and name.text == "<<":
                self._fault(event, "merge keys (<<) are not supported; write the keys out")
            elif name.text in mapping.entries:
                first = mapping.entries[name.text][0].line
                self._fault(event, f"this key is already on line {first}; keep one", name.text)
            else:
                mapping.entries[name.text] = (name, value)
        return mapping

    def _fault(self, event: Any, message: str, key: str | None = None) -> None:
        self._faults.append(Fault(event.start_mark.line + 1, message, key))
