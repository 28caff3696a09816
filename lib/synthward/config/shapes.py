"""Shapes: the meaning of a type annotation for the binder and for the JSON Schema."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import types
import typing
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal, Union

from synthward.config.fields import Key, is_required, key_of, yaml_name

SCALARS: tuple[type, ...] = (str, int, float, bool, Decimal, dt.date)


@dataclass(frozen=True)
class ScalarShape:
    """One value, for instance a whole number."""

    kind: type


@dataclass(frozen=True)
class LiteralShape:
    """One of the given values. They are texts and whole numbers only."""

    values: tuple[str | int, ...]


@dataclass(frozen=True)
class OptionalShape:
    """The inner shape, or null."""

    inner: Shape


@dataclass(frozen=True)
class ListShape:
    """A list of any length."""

    item: Shape


@dataclass(frozen=True)
class RowShape:
    """A list of a fixed length, with a shape for each item."""

    items: tuple[Shape, ...]


@dataclass(frozen=True)
class DictShape:
    """A mapping with free keys."""

    value: Shape


@dataclass(frozen=True)
class RecordShape:
    """A mapping with the keys of a dataclass."""

    cls: type


@dataclass(frozen=True)
class VariantShape:
    """A mapping whose `type` key says which dataclass it is. The variants are sorted by that tag."""

    variants: tuple[tuple[str, type], ...]


Shape = ScalarShape | LiteralShape | OptionalShape | ListShape | RowShape | DictShape | RecordShape | VariantShape


@dataclass(frozen=True)
class Member:
    """One field of a dataclass, as written in YAML."""

    field: str
    name: str
    shape: Shape
    required: bool
    key: Key


@functools.cache
def members(cls: type) -> tuple[Member, ...]:
    """Return the fields that a document may set, in the order of their declaration.

    Raises:
        TypeError: A field's annotation is not supported.
    """
    hints = typing.get_type_hints(cls)
    found = []
    for field in dataclasses.fields(cls):
        if not field.init:
            continue
        try:
            shape = shape_of(hints[field.name])
        except TypeError as error:
            raise TypeError(f"{cls.__qualname__}.{field.name}: {error}") from None
        found.append(Member(field.name, yaml_name(field), shape, is_required(field), key_of(field)))
    return tuple(found)


@functools.cache
def vocabulary(cls: type) -> frozenset[str]:
    """Return the names of all keys of a document and of its inner mappings. They are public, not from any file."""
    names: set[str] = set()
    waiting: list[Shape] = [RecordShape(cls)]
    seen: set[type] = set()
    while waiting:
        shape = waiting.pop()
        if isinstance(shape, OptionalShape):
            waiting.append(shape.inner)
        elif isinstance(shape, ListShape):
            waiting.append(shape.item)
        elif isinstance(shape, DictShape):
            waiting.append(shape.value)
        elif isinstance(shape, RowShape):
            waiting += shape.items
        elif isinstance(shape, VariantShape):
            waiting += [RecordShape(variant) for _, variant in shape.variants]
        elif isinstance(shape, RecordShape) and shape.cls not in seen:
            seen.add(shape.cls)
            for member in members(shape.cls):
                names.add(member.name)
                waiting.append(member.shape)
    return frozenset(names)


def shape_of(annotation: Any) -> Shape:
    """Return the shape of a resolved annotation.

    Raises:
        TypeError: The annotation is not supported.
    """
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in SCALARS:
        return ScalarShape(annotation)
    if origin is Literal:
        if not all(type(value) in (str, int) for value in arguments):
            raise TypeError(f"a Literal holds texts and whole numbers only, found {annotation}")
        return LiteralShape(arguments)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return ListShape(shape_of(arguments[0]))
    if origin is tuple:
        return RowShape(tuple(shape_of(argument) for argument in arguments))
    if origin is dict and arguments[0] is str:
        return DictShape(shape_of(arguments[1]))
    if isinstance(annotation, type) and dataclasses.is_dataclass(annotation):
        return _variant((annotation,)) if _tag(annotation) is not None else RecordShape(annotation)
    raise TypeError(f"{annotation} is not an annotation that configuration supports")


def _union(arguments: tuple[Any, ...]) -> Shape:
    some = tuple(argument for argument in arguments if argument is not type(None))
    inner = shape_of(some[0]) if len(some) == 1 else _variant(some)
    return inner if len(some) == len(arguments) else OptionalShape(inner)


def _variant(classes: tuple[Any, ...]) -> VariantShape:
    tags = [_tag(cls) for cls in classes]
    if None in tags or len(set(tags)) < len(tags):
        raise TypeError(f"a union needs dataclasses with different TAG texts, found {classes} with {tags}")
    return VariantShape(tuple(sorted(zip(typing.cast("list[str]", tags), classes, strict=True))))


def _tag(cls: Any) -> str | None:
    tag = getattr(cls, "TAG", None) if dataclasses.is_dataclass(cls) else None
    return tag if isinstance(tag, str) else None
