"""One codec for records: a dataclass to a JSON object and back, strictly.

A record is a frozen dataclass; its annotations are the format. A field without a default must be there. A field with a
default may be missing: that is how records of earlier versions are read, and the field's documentation says since when
it is written. A key that the class does not know is refused, since a record that is half understood must not decide.

The annotations: str, int, float, bool, Decimal (a text), None as an alternative, Literal, `tuple[X, ...]`, a
fixed tuple, `Mapping[str, X]`, a dataclass, and Any for JSON that another room owns (types of columns, questions).

An integer beyond `canonical.MAX_INTEGER` is written as text, because no JSON number holds it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeVar, cast

from synthward.config.canonical import plain
from synthward.records.canonical import MAX_INTEGER

T = TypeVar("T")
_Reader = Callable[[Any, str], Any]

_LARGE = re.compile(r"-?[1-9][0-9]{15,99}")
_UNION = (typing.Union, types.UnionType)


class RecordFault(ValueError):
    """A JSON value is no such record. The message names the key, what was found by its kind, and what is expected.

    It quotes no value, so that it can be shown for any record.
    """


def decode(cls: type[T], value: Any) -> T:
    """A record from its JSON object.

    Raises:
        RecordFault: The value is no such record.

    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True)
    ... class Receipt:
    ...     seq: int
    ...     head: str = ""
    >>> decode(Receipt, {"seq": 3})
    Receipt(seq=3, head='')
    >>> decode(Receipt, {"seq": "three"})
    Traceback (most recent call last):
    ...
    synthward.records.codec.RecordFault: Receipt.seq: found a text, expected a whole number
    """
    found: T = _reader(cast("Any", cls))(value, cls.__name__)
    return found


def decode_if(cls: type[T], value: Any) -> T | None:
    """A record from its JSON object; None where the value is no such record."""
    try:
        return decode(cls, value)
    except RecordFault:
        return None


def encode(record: Any) -> dict[str, Any]:
    """The JSON object of a record; the inverse of `decode`.

    Raises:
        TypeError: The record holds what has no JSON form.
        ValueError: A number is not finite.
    """
    encoded: dict[str, Any] = recordable(record)
    return encoded


def recordable(value: Any) -> Any:
    """A JSON value as a record keeps it: integers beyond `MAX_INTEGER` as text.

    >>> recordable({"n": (1, 2**60)})
    {'n': [1, '1152921504606846976']}
    """
    return _bounded(plain(value))


def _bounded(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_INTEGER else str(value)
    if isinstance(value, float | str):
        # NumPy's own kinds of them become Python's.
        return float(value) if isinstance(value, float) else str(value)
    if isinstance(value, list):
        return [_bounded(item) for item in value]
    if isinstance(value, dict):
        return {name: _bounded(item) for name, item in value.items()}
    return value


@functools.cache
def _reader(annotation: Any) -> _Reader:
    """Reads one kind of value: (value, path for messages) to what the annotation says."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is Any:
        return lambda value, _: value
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if origin is Literal:
        return _literal(arguments)
    if origin in _UNION and len(arguments) == 2 and type(None) in arguments:
        inner = _reader(next(kind for kind in arguments if kind is not type(None)))
        return lambda value, path: None if value is None else inner(value, path)
    if origin is tuple and arguments[-1] is Ellipsis:
        return _items(_reader(arguments[0]))
    if origin is tuple:
        return _row([_reader(argument) for argument in arguments])
    if origin is Mapping and arguments[0] is str:
        return _entries(_reader(arguments[1]))
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return _record(annotation)
    raise TypeError(f"{annotation} is not an annotation that a record supports")


def _kind(value: Any) -> str:
    if value is None:
        return "nothing (null)"
    kinds = {bool: "true or false", str: "a text", list: "a list", dict: "an object"}
    return kinds.get(type(value), "a number")


def _fault(path: str, value: Any, expected: str) -> RecordFault:
    return RecordFault(f"{path}: found {_kind(value)}, expected {expected}")


def _text(value: Any, path: str) -> str:
    if type(value) is not str:
        raise _fault(path, value, "a text")
    return value


def _flag(value: Any, path: str) -> bool:
    if type(value) is not bool:
        raise _fault(path, value, "true or false")
    return value


def _integer(value: Any, path: str) -> int:
    if type(value) is str and _LARGE.fullmatch(value) and abs(int(value)) > MAX_INTEGER:
        return int(value)
    if type(value) is not int:
        raise _fault(path, value, "a whole number")
    return value


def _float(value: Any, path: str) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _fault(path, value, "a number")
    return float(value)


def _decimal(value: Any, path: str) -> Decimal:
    try:
        if type(value) is str:
            return Decimal(value)
    except InvalidOperation:
        pass
    raise _fault(path, value, "a decimal number as text")


_SCALARS: dict[Any, _Reader] = {str: _text, bool: _flag, int: _integer, float: _float, Decimal: _decimal}


def _literal(allowed: tuple[Any, ...]) -> _Reader:
    def read(value: Any, path: str) -> Any:
        for word in allowed:
            if type(word) is type(value) and word == value:
                return word
        raise _fault(path, value, f"one of {', '.join(map(str, allowed))}")

    return read


def _items(item: _Reader) -> _Reader:
    def read(value: Any, path: str) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _fault(path, value, "a list")
        return tuple(item(entry, f"{path}[]") for entry in value)

    return read


def _row(readers: list[_Reader]) -> _Reader:
    def read(value: Any, path: str) -> tuple[Any, ...]:
        if type(value) is not list or len(value) != len(readers):
            raise _fault(path, value, f"a list of {len(readers)}")
        return tuple(reader(entry, f"{path}[]") for reader, entry in zip(readers, value, strict=True))

    return read


def _entries(item: _Reader) -> _Reader:
    def read(value: Any, path: str) -> dict[str, Any]:
        if type(value) is not dict:
            raise _fault(path, value, "an object")
        return {name: item(entry, f"{path}.*") for name, entry in value.items()}

    return read


def _record(cls: type) -> _Reader:
    # Readers of the fields are made at the first use, so that a record may hold records of its own kind.
    @functools.cache
    def fields() -> dict[str, tuple[_Reader, bool]]:
        hints = typing.get_type_hints(cls)
        return {
            field.name: (
                _reader(hints[field.name]),
                field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING,
            )
            for field in dataclasses.fields(cls)
        }

    def read(value: Any, path: str) -> Any:
        if type(value) is not dict:
            raise _fault(path, value, "an object")
        known = fields()
        missing = [name for name, (_, required) in known.items() if required and name not in value]
        if missing:
            raise RecordFault(f"{path}: the keys {', '.join(missing)} are missing")
        unknown = len(value.keys() - known.keys())
        if unknown:
            raise RecordFault(f"{path}: {unknown} unknown keys; a later version may have written it")
        return cls(**{name: known[name][0](entry, f"{path}.{name}") for name, entry in value.items()})

    return read
