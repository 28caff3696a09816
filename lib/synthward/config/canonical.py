"""One text for one configuration, and its digest.

Approvals, charges and run identities are bound to digests. So equal content must give equal text: keys are sorted,
numbers are written in one way, and keys with their default value are written too. Comments, layout and the order of
keys in a YAML file do not change a digest. The order of a list does. A key that was added in a later version
(`Key.later`) is left out while it has its default value. So a document that was approved before stays approved.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from synthward.config.fields import key_of, yaml_name

_POSITIONAL = 60
"""Decimals with more digits than this are written with an exponent. This only affects readability."""


def canonical_json(obj: Any) -> str:
    """Return ASCII JSON with sorted keys and without spaces.

    A dataclass becomes an object with its YAML names as keys. Fields that are None are included. A dataclass with a
    `TAG` also gets a `type` key. Decimals and dates become strings, because JSON readers turn numbers into binary
    floats. `1`, `1.0` and `1.00` are the same decimal and give the same text.

    Raises:
        TypeError: A value has no canonical form, for instance a set or a Path.
        ValueError: A number is NaN or infinite.

    >>> from decimal import Decimal
    >>> canonical_json({"b": Decimal("1.0"), "a": (1, 2)})
    '{"a":[1,2],"b":"1"}'
    """
    return json.dumps(plain(obj), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest(obj: Any) -> str:
    """Return the SHA-256 of the canonical JSON, as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(canonical_json(obj).encode("ascii")).hexdigest()


def decimal_text(value: Decimal) -> str:
    """Return the only text of a decimal: no trailing zeros, no sign on zero, never rounded.

    Raises:
        ValueError: The value is NaN or infinite.
    """
    if not value.is_finite():
        raise ValueError(f"a number must be finite, found {value}")
    if not value:
        return "0"
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    kept = len(digits)
    while digits[kept - 1] == 0:
        kept -= 1
    # Decimal.normalize would round to the precision of the context.
    shortest = Decimal((sign, digits[:kept], exponent + len(digits) - kept))
    return format(shortest, "f") if abs(shortest.adjusted()) <= _POSITIONAL else str(shortest)


def plain(obj: Any) -> Any:
    """The JSON values of a configuration or record: what `canonical_json` writes.

    Raises:
        TypeError: A value has no canonical form.
        ValueError: A number is NaN or infinite.
    """
    if obj is None or isinstance(obj, str | bool | int):
        return obj
    if isinstance(obj, Decimal):
        return decimal_text(obj)
    if isinstance(obj, float):
        if not math.isfinite(obj):
            raise ValueError(f"a number must be finite, found {obj}")
        return obj
    if isinstance(obj, dt.date) and not isinstance(obj, dt.datetime):
        return obj.isoformat()
    if dataclasses.is_dataclass(obj) and not isinstance(obj, type):
        return _record(obj)
    if isinstance(obj, Mapping):
        if not all(isinstance(name, str) for name in obj):
            raise TypeError("a mapping in canonical JSON has text keys only")
        return {name: plain(value) for name, value in obj.items()}
    if isinstance(obj, list | tuple):
        return [plain(item) for item in obj]
    hint = "; write a path as text" if isinstance(obj, Path) else ""
    raise TypeError(f"{type(obj).__name__} has no canonical JSON{hint}")


def _record(obj: Any) -> dict[str, Any]:
    entries = {
        yaml_name(field): plain(getattr(obj, field.name))
        for field in dataclasses.fields(obj)
        if field.init and not (key_of(field).later and getattr(obj, field.name) == field.default)
    }
    tag = getattr(type(obj), "TAG", None)
    return entries if tag is None else {"type": tag, **entries}
