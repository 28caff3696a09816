"""JSON Schema (draft 2020-12) of a document, made from its dataclass. For editors and other tools.

The schema accepts what the loader accepts, as far as JSON Schema can express it. Only the loader checks rules between
keys.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from importlib import resources
from typing import Any

from synthward.config.binder import DECIMAL
from synthward.config.canonical import canonical_json
from synthward.config.fields import Key
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
    shape_of,
)

DRAFT = "https://json-schema.org/draft/2020-12/schema"

_SCALARS: dict[type, Callable[[], dict[str, Any]]] = {
    str: lambda: {"type": ["string", "number", "boolean"]},  # a text is taken as written: 00845 needs no quotes
    int: lambda: {"type": "integer"},
    float: lambda: {"type": "number"},
    bool: lambda: {"type": "boolean"},
    Decimal: lambda: {"type": ["number", "string"], "pattern": f"^{DECIMAL.pattern}$"},
    dt.date: lambda: {"type": "string", "format": "date"},
}


def json_schema(cls: type, title: str) -> dict[str, Any]:
    """Return the JSON Schema of a document's class.

    Args:
        cls: The dataclass of the whole document.
        title: Title of the schema.
    """
    definitions: dict[str, Any] = {}
    root = _schema(shape_of(cls), Key(), definitions)
    own = definitions.pop(root["$ref"].rpartition("/")[2])
    return {"$schema": DRAFT, "title": title, **own, "$defs": dict(sorted(definitions.items()))}


def schema_text(cls: type, title: str) -> str:
    """Return the JSON Schema as the text of a file in the package."""
    return json.dumps(json_schema(cls, title), indent=2, ensure_ascii=False) + "\n"


def shipped(name: str) -> str:
    """Return the text of a schema in this package: site, request, policy or domain."""
    return resources.files(__package__).joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")


def _schema(shape: Shape, key: Key, definitions: dict[str, Any]) -> dict[str, Any]:
    if isinstance(shape, OptionalShape):
        return {"anyOf": [_schema(shape.inner, key, definitions), {"type": "null"}]}
    if isinstance(shape, ScalarShape):
        return _limited(_SCALARS[shape.kind](), key)
    if isinstance(shape, LiteralShape):
        return {"enum": list(shape.values)}
    if isinstance(shape, ListShape):
        return {"type": "array", "items": _schema(shape.item, key, definitions)}
    if isinstance(shape, RowShape):
        items = [_schema(item, key, definitions) for item in shape.items]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}
    if isinstance(shape, DictShape):
        return {"type": "object", "additionalProperties": _schema(shape.value, key, definitions)}
    if isinstance(shape, VariantShape):
        return {"oneOf": [_reference(cls, tag, definitions) for tag, cls in shape.variants]}
    assert isinstance(shape, RecordShape)
    return _reference(shape.cls, None, definitions)


def _reference(cls: type, tag: str | None, definitions: dict[str, Any]) -> dict[str, Any]:
    name = cls.__name__
    if name not in definitions:
        definitions[name] = {}  # a placeholder, in case the class contains itself
        definitions[name] = _object(cls, tag, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _object(cls: type, tag: str | None, definitions: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {} if tag is None else {"type": {"const": tag}}
    required = [] if tag is None else ["type"]
    for member in members(cls):
        properties[member.name] = _property(cls, member, definitions)
        if member.required:
            required.append(member.name)
    schema: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if cls.__doc__:
        schema["description"] = cls.__doc__.strip().splitlines()[0]
    if required:
        schema["required"] = required
    return schema


def _property(cls: type, member: Member, definitions: dict[str, Any]) -> dict[str, Any]:
    schema = _schema(member.shape, member.key, definitions)
    if member.key.doc:
        schema["description"] = member.key.doc
    default = cls.__dataclass_fields__[member.field].default  # type: ignore[attr-defined]
    if not member.required and default is not None and isinstance(default, str | int | Decimal | dt.date | tuple):
        schema["default"] = json.loads(canonical_json(default))
    return schema


def _limited(schema: dict[str, Any], key: Key) -> dict[str, Any]:
    if key.choices is not None:
        return {"enum": list(key.choices)}
    if key.pattern is not None:
        schema["pattern"] = f"^(?:{key.pattern})$"
    if key.max_length is not None:
        schema["maxLength"] = key.max_length
    for name, limit in (
        ("minimum", key.minimum),
        ("exclusiveMinimum", key.exclusive_minimum),
        ("maximum", key.maximum),
    ):
        if limit is not None:
            schema[name] = int(limit) if limit == int(limit) else float(limit)
    return schema
