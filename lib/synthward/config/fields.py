"""Declares for a dataclass field what its YAML key allows: documentation, limits and the key's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass
from decimal import Decimal
from typing import Any

_METADATA = "synthward.key"

Findings = Iterator[tuple[str, str]]
"""Results of a document's checks: key (dotted, relative to the document) and message."""

Limit = int | float | Decimal
"""Types of `minimum` and the other limits. They are compared exactly, as decimals."""


@dataclass(frozen=True)
class Key:
    """The declaration of one key.

    The limits apply to scalars: to the value itself or, for a tuple or a dict, to each scalar item in it.

    Attributes:
        doc: One or two sentences for the reader of the YAML file. Also the description in the JSON Schema.
        choices: The only values allowed; None for any value.
        minimum: Smallest number allowed.
        exclusive_minimum: Numbers must be above this one.
        maximum: Largest number allowed.
        pattern: Regular expression that must match the whole text.
        yaml: The key's name in YAML; None if it is the field's name.
        example: A value as written in YAML, for the reference pages; None if a file in `conf/` shows one.
        max_length: Largest number of characters of a text. Such a text may have visible characters only. None for any
            text.
        lines: True if a text with a `max_length` may have several lines.
        later: True if the key was added after digests were in use. Canonical text leaves the key out while it has its
            default value, so that older documents keep their digests.
    """

    doc: str = ""
    choices: tuple[Any, ...] | None = None
    minimum: Limit | None = None
    exclusive_minimum: Limit | None = None
    maximum: Limit | None = None
    pattern: str | None = None
    yaml: str | None = None
    example: str | None = None
    max_length: int | None = None
    lines: bool = False
    later: bool = False


_PLAIN = Key()


def key(
    default: Any = MISSING,
    *,
    doc: str,
    choices: tuple[Any, ...] | None = None,
    minimum: Limit | None = None,
    exclusive_minimum: Limit | None = None,
    maximum: Limit | None = None,
    pattern: str | None = None,
    yaml: str | None = None,
    example: str | None = None,
    max_length: int | None = None,
    lines: bool = False,
    later: bool = False,
) -> Any:
    """Return a dataclass field that describes its YAML key. It is keyword-only: required keys may follow optional ones.

    Args:
        default: Value of an absent key. Without a default the key is required. Each object gets its own copy of a dict
            or a list.
        doc: See `Key`, also for all arguments below.
        choices: The only values allowed.
        minimum: Smallest number allowed.
        exclusive_minimum: Numbers must be above this one.
        maximum: Largest number allowed.
        pattern: Regular expression that must match the whole text.
        yaml: The key's name in YAML, if it differs from the field's name.
        example: A value as written in YAML, for the reference pages.
        max_length: Largest number of characters of a text. Such a text may have visible characters only.
        lines: True if such a text may have several lines.
        later: If True, canonical text leaves the key out while it has its default value.

    Returns:
        The result of `dataclasses.field`.
    """
    metadata = {
        _METADATA: Key(
            doc, choices, minimum, exclusive_minimum, maximum, pattern, yaml, example, max_length, lines, later
        )
    }
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=_copier(default), kw_only=True, metadata=metadata)
    return dataclasses.field(default=default, kw_only=True, metadata=metadata)


def _copier(value: dict[Any, Any] | list[Any]) -> Callable[[], Any]:
    return value.copy


def key_of(field: dataclasses.Field[Any]) -> Key:
    """Return the `Key` of a field. A field without a declaration has a `Key` that allows everything."""
    found = field.metadata.get(_METADATA, _PLAIN)
    assert isinstance(found, Key)
    return found


def yaml_name(field: dataclasses.Field[Any]) -> str:
    """Return the name of a field in YAML."""
    return key_of(field).yaml or field.name


def is_required(field: dataclasses.Field[Any]) -> bool:
    """True if a document must have this key."""
    return field.default is MISSING and field.default_factory is MISSING
