"""How a dataclass field says what its YAML key allows: documentation, limits, the key's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass
from decimal import Decimal
from typing import Any

_METADATA = "synthward.key"

Findings = Iterator[tuple[str, str]]
"""What the checks of a document yield: key (dotted, relative to the document) and message."""

Limit = int | float | Decimal
"""What `minimum` and its relatives may be; compared exactly, as decimals."""


@dataclass(frozen=True)
class Key:
    """What is declared about one key.

    The limits apply to scalars: to the value itself or, for a tuple or a dict, to each scalar item in it.

    Attributes:
        doc: One or two sentences for the reader of the YAML file; also the description in the JSON Schema.
        choices: The only values allowed, None for any.
        minimum: Smallest number allowed.
        exclusive_minimum: Numbers must be above this one.
        maximum: Largest number allowed.
        pattern: Regular expression that must match the whole text.
        yaml: The key's name in YAML, None when it is the field's name.
        example: A value as it is written in YAML, for the reference pages; None where a file in `conf/` shows one.
        max_length: Most characters of a text, which then has visible characters only; None for any text.
        lines: Whether a text with a `max_length` may have several lines.
        later: The key was added after digests were in use: canonical text leaves it out while it has its default, so
            that older documents keep their digests.
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
    """A dataclass field that describes its YAML key; keyword-only, so that required keys may follow optional ones.

    Args:
        default: Value when the key is absent; without it the key is required. A dict or a list is copied per object.
        doc: See `Key`, as for all further arguments.
        choices: The only values allowed.
        minimum: Smallest number allowed.
        exclusive_minimum: Numbers must be above this one.
        maximum: Largest number allowed.
        pattern: Regular expression that must match the whole text.
        yaml: The key's name in YAML when it differs from the field's name.
        example: A value as it is written in YAML, for the reference pages.
        max_length: Most characters of a text, which then has visible characters only.
        lines: Whether such a text may have several lines.
        later: Leave the key out of canonical text while it has its default.

    Returns:
        What `dataclasses.field` returns.
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
    """The `Key` of a field; a field made without `key` has one that allows everything."""
    found = field.metadata.get(_METADATA, _PLAIN)
    assert isinstance(found, Key)
    return found


def yaml_name(field: dataclasses.Field[Any]) -> str:
    """The name under which a field stands in YAML."""
    return key_of(field).yaml or field.name


def is_required(field: dataclasses.Field[Any]) -> bool:
    """Whether a document must have this key."""
    return field.default is MISSING and field.default_factory is MISSING
