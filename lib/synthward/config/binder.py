"""Turns nodes into frozen dataclasses, as their annotations say, and collects every problem."""

from __future__ import annotations

import datetime as dt
import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from synthward.config.fields import Key
from synthward.config.nodes import Mapping, Node, Scalar, Sequence
from synthward.config.shapes import (
    DictShape,
    ListShape,
    LiteralShape,
    Member,
    OptionalShape,
    RecordShape,
    RowShape,
    ScalarShape,
    Shape,
    VariantShape,
    members,
)
from synthward.config.text import quoted, shown, text_fault

MAX_EXPONENT = 100
"""Decimals must lie within 10^-100 .. 10^100. Exact arithmetic with larger exponents would never end."""

_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*(_[0-9]+)*)")
DECIMAL = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
"""The form of a decimal. The JSON Schema uses it too."""
_NOT_FINITE = re.compile(r"[-+]?\.?(inf|infinity|nan)", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,39}")
_LONGEST_NAME = 100
_CLOSE = 0.75
"""Smallest similarity (difflib's ratio) at which a message suggests an allowed key."""

_LINES_SHOWN = 10

_EXPECTED: dict[type, str] = {
    str: "a text",
    int: "a whole number, for instance 1000",
    float: "a number, for instance 0.5",
    bool: "true or false",
    Decimal: "a decimal number, for instance 0.5",
    dt.date: "a date, for instance 2027-06-30",
}


class _Refused:
    """Marks a value that could not be bound. Its problem is already recorded."""


REFUSED = _Refused()


@dataclass
class Binder:
    """Binds one document.

    Attributes:
        issues: (path, message) of every problem, in the order found.
        lines: The line of every path in the document.
        own_lines: The line of an issue, by its index, if it differs from its path's line. Unknown keys have no path.
    """

    issues: list[tuple[str, str]] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    own_lines: dict[int, int] = field(default_factory=dict)

    def bind(self, node: Node, shape: Shape, path: str, key: Key) -> Any:
        """Return the value of a node, or `REFUSED`."""
        if isinstance(shape, OptionalShape):
            if isinstance(node, Scalar) and node.is_null:
                return None
            return self.bind(node, shape.inner, path, key)
        if isinstance(shape, ScalarShape | LiteralShape):
            return self._scalar(node, shape, path, key)
        if isinstance(shape, ListShape | RowShape):
            return self._list(node, shape, path, key)
        if isinstance(shape, DictShape):
            return self._dict(node, shape, path, key)
        return self._object(node, shape, path)

    def line_of(self, path: str) -> int:
        """Return the line of a path. If the document does not have the path, return the line of its nearest parent."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.lines.get("", 1)

    def numbered_issues(self) -> list[tuple[str, str, int]]:
        """Return (path, message, line) of every problem, in the order found."""
        return [
            (path, message, self.own_lines.get(index) or self.line_of(path))
            for index, (path, message) in enumerate(self.issues)
        ]

    def _refuse(self, path: str, message: str) -> _Refused:
        self.issues.append((path, message))
        return REFUSED

    def _scalar(self, node: Node, shape: ScalarShape | LiteralShape, path: str, key: Key) -> Any:
        expected = _EXPECTED[shape.kind] if isinstance(shape, ScalarShape) else f"one of {_listed(shape.values)}"
        if not isinstance(node, Scalar) or node.is_null:
            quote = "; quote it if the text itself is meant" if isinstance(node, Scalar) and node.text else ""
            return self._refuse(path, f"found {describe(node)}, expected {expected}{quote}")
        try:
            value = _literal(node, shape) if isinstance(shape, LiteralShape) else _PARSERS[shape.kind](node)
        except ValueError as error:
            return self._refuse(path, str(error) or f"found {describe(node)}, expected {expected}")
        refusal = _beyond(value, key)
        return value if refusal is None else self._refuse(path, refusal)

    def _list(self, node: Node, shape: ListShape | RowShape, path: str, key: Key) -> Any:
        if not isinstance(node, Sequence):
            return self._refuse(path, f"found {describe(node)}, expected a list, for instance [a, b]")
        shapes = shape.items if isinstance(shape, RowShape) else (shape.item,) * len(node.items)
        if len(shapes) != len(node.items):
            return self._refuse(path, f"found a list of {len(node.items)}, expected exactly {len(shapes)} values")
        values = []
        for index, (item, inner) in enumerate(zip(node.items, shapes, strict=True)):
            item_path = f"{path}[{index}]"
            self.lines[item_path] = item.line
            values.append(self.bind(item, inner, item_path, key))
        return REFUSED if any(value is REFUSED for value in values) else tuple(values)

    def _dict(self, node: Node, shape: DictShape, path: str, key: Key) -> Any:
        if not isinstance(node, Mapping):
            return self._refuse(path, f"found {describe(node)}, expected a mapping (key: value)")
        values = {}
        for name, (written, item) in node.entries.items():
            key_path = _join(path, name)
            self.lines[key_path] = written.line
            values[name] = self.bind(item, shape.value, key_path, key)
        return REFUSED if any(value is REFUSED for value in values.values()) else values

    def _object(self, node: Node, shape: RecordShape | VariantShape, path: str) -> Any:
        if not isinstance(node, Mapping):
            return self._refuse(path, f"found {describe(node)}, expected a mapping (key: value)")
        if isinstance(shape, RecordShape):
            return self._record(node, shape.cls, path, tagged=False)
        tags = dict(shape.variants)
        if "type" not in node.entries:
            return self._refuse(path, f"the key 'type' is missing; it is one of {_listed(tags)}")
        written, value = node.entries["type"]
        key_path = _join(path, "type")
        self.lines[key_path] = written.line
        if not isinstance(value, Scalar) or value.text not in tags:
            guess = _guess(value.text, tags) if isinstance(value, Scalar) else ""
            return self._refuse(key_path, f"found {describe(value)}{guess}, expected one of {_listed(tags)}")
        return self._record(node, tags[value.text], path, tagged=True)

    def _record(self, node: Mapping, cls: type, path: str, *, tagged: bool) -> Any:
        before = len(self.issues)
        allowed = {member.name: member for member in members(cls)}
        unnamed: list[int] = []
        values: dict[str, Any] = {}
        for name, (written, value) in node.entries.items():
            key_path = _join(path, name)
            if name in allowed or (tagged and name == "type"):
                self.lines[key_path] = written.line
            if name in allowed:
                values[allowed[name].field] = self.bind(value, allowed[name].shape, key_path, allowed[name].key)
            elif not (tagged and name == "type"):
                guess = _near(name, [other for other in allowed if other not in node.entries])
                if guess:
                    self.lines[key_path] = written.line
                    self._refuse(key_path, f"unknown key{guess}")
                else:
                    unnamed.append(written.line)
        if unnamed:
            self.own_lines[len(self.issues)] = unnamed[0]
            self._refuse(path, f"{_counted(unnamed)}; allowed here: {_listed(allowed)}")
        for member in allowed.values():
            if member.required and member.name not in node.entries:
                self._refuse(_join(path, member.name), _missing(member))
        if len(self.issues) > before:
            return REFUSED
        bound = cls(**values)
        self._cross_check(bound, path)
        return bound if len(self.issues) == before else REFUSED

    def _cross_check(self, bound: Any, path: str) -> None:
        problems: Callable[[], Iterable[tuple[str, str]]] | None = getattr(bound, "problems", None)
        for relative, message in problems() if problems is not None else ():
            self._refuse(_join(path, relative), message)


def describe(node: Node) -> str:
    """Describe a node in words, for a message."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    if node.is_null:
        return "nothing (null)"
    return quoted(node.text) if node.plain else f"the quoted text {quoted(node.text)}"


def shown_path(path: str) -> str:
    """Return a path for messages. Free keys of a mapping are texts of the author, so hidden characters are escaped."""
    return shown(path, 2 * _LONGEST_NAME)


def _join(path: str, name: str) -> str:
    if not path or not name:
        return path or name
    return f"{path}{name}" if name.startswith("[") else f"{path}.{name}"


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(str(value) for value in values)


def _counted(lines: list[int]) -> str:
    """Describe unknown keys by their lines. Their text is not shown, because a foreign file may hold anything."""
    if len(lines) == 1:
        return "an unknown key"
    places = ", ".join(map(str, lines[:_LINES_SHOWN])) + (", ..." if len(lines) > _LINES_SHOWN else "")
    return f"{len(lines)} unknown keys on lines {places}"


def _near(name: str, allowed: Iterable[str]) -> str:
    """Suggest an allowed key for a name that is probably misspelt; return an empty text for any other name."""
    if not _IDENTIFIER.fullmatch(name):
        return ""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=_CLOSE)
    return f"; did you mean {close[0]!r}?" if close else ""


def _guess(name: str, allowed: Iterable[str]) -> str:
    if len(name) > _LONGEST_NAME:
        return ""
    close = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _missing(member: Member) -> str:
    return "the key is missing" + (f": {member.key.doc}" if member.key.doc else "")


def _text(node: Scalar) -> str:
    try:
        node.text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("the text has half of a character (a lone surrogate), which is not valid Unicode") from None
    return node.text


def _integer(node: Scalar) -> int:
    if not node.plain or not _INTEGER.fullmatch(node.text):
        raise ValueError
    if len(node.text) > MAX_EXPONENT:
        raise ValueError(f"found a number with more than {MAX_EXPONENT} digits")
    return int(node.text)


def _decimal(node: Scalar) -> Decimal:
    if _NOT_FINITE.fullmatch(node.text):
        raise ValueError(f"found {quoted(node.text)}, but a number must be finite")
    if not DECIMAL.fullmatch(node.text):
        raise ValueError
    value = Decimal(node.text)
    if len(value.as_tuple().digits) > MAX_EXPONENT or (value and abs(value.adjusted()) > MAX_EXPONENT):
        raise ValueError(f"found {describe(node)}, allowed are numbers within 10^-{MAX_EXPONENT} .. 10^{MAX_EXPONENT}")
    return value


def _float(node: Scalar) -> float:
    if not node.plain:
        raise ValueError
    value = float(_decimal(node))
    assert math.isfinite(value)
    return value


def _bool(node: Scalar) -> bool:
    if not node.plain or node.text not in ("true", "false"):
        raise ValueError
    return node.text == "true"


def _date(node: Scalar) -> dt.date:
    if not _DATE.fullmatch(node.text):
        raise ValueError
    try:
        return dt.date.fromisoformat(node.text)
    except ValueError:
        raise ValueError(f"found {node.text!r}, which is not a calendar date") from None


_PARSERS: dict[type, Callable[[Scalar], Any]] = {
    str: _text,
    int: _integer,
    float: _float,
    bool: _bool,
    Decimal: _decimal,
    dt.date: _date,
}


def _literal(node: Scalar, shape: LiteralShape) -> str | int:
    for value in shape.values:
        if node.text == str(value) and (node.plain or isinstance(value, str)):
            return value
    texts = [value for value in shape.values if isinstance(value, str)]
    raise ValueError(f"found {describe(node)}{_guess(node.text, texts)}, expected one of {_listed(shape.values)}")


def _excerpt(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else shown(str(value), _LONGEST_NAME)


def _beyond(value: Any, key: Key) -> str | None:
    """Return why its key's limits do not allow a value; None if they do."""
    if key.choices is not None and value not in key.choices:
        guess = _guess(value, map(str, key.choices)) if isinstance(value, str) else ""
        return f"found {_excerpt(value)}{guess}, expected one of {_listed(key.choices)}"
    if key.pattern is not None and isinstance(value, str) and not re.fullmatch(key.pattern, value):
        return f"found {quoted(value)}, expected a text that matches {key.pattern}"
    if key.max_length is not None and isinstance(value, str):
        fault = text_fault(value, key.max_length, lines=key.lines)
        if fault is not None:
            return f"the text {fault}"
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if key.minimum is not None and value < key.minimum:
            return f"found {value}, allowed is {key.minimum} or more"
        if key.exclusive_minimum is not None and value <= key.exclusive_minimum:
            return f"found {value}, allowed is more than {key.exclusive_minimum}"
        if key.maximum is not None and value > key.maximum:
            return f"found {value}, allowed is {key.maximum} or less"
    return None
