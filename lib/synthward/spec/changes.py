"""What differs between two versions of a request, value by value, for the people who decide about it.

Values of code books are part of the domain, so each value that was added or removed is a line of its own. Every line
holds visible characters only: no value can move the cursor of a terminal, or look like another line.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from synthward.config.canonical import plain
from synthward.config.text import shown
from synthward.spec.bundle import Bundle
from synthward.spec.request_file import RequestFile

Facts = dict[str, Any]
"""Values by dotted path: a scalar, or a list of scalars."""


def facts_of(file: RequestFile, bundle: Bundle | None = None) -> Facts:
    """All that a version says, defaults included: request, domain with the values of its code books, risk, people.

    Args:
        file: The request.
        bundle: Its bundle, for the people whose budget it is.
    """
    found: Facts = dict(_flat("", plain(file.request)))
    found |= dict(_flat("domain.", plain(file.domain)))
    if file.risk is not None:
        found |= dict(_flat("risk.", plain(file.risk)))
    if bundle is not None and bundle.population is not None:
        found |= dict(_flat("people.", bundle.population))
    return found


def changes(before: Facts, after: Facts) -> list[str]:
    r"""Lines about what differs, sorted by path; none for equal versions.

    >>> changes({"privacy.epsilon": "1"}, {"privacy.epsilon": "2"})
    ['~ privacy.epsilon: "1" -> "2"']
    >>> changes({"values": ["a", "b"]}, {"values": ["b", "c\n+ fine"]})
    ['- values: "a"', '+ values: "c\\n+ fine"']
    """
    lines: list[str] = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old == new and (path in before) == (path in after):
            continue
        if isinstance(old, list) or isinstance(new, list):
            lines += _listed(path, _as_list(old), _as_list(new))
        elif path not in before:
            lines.append(f"+ {shown(path)}: {_text(new)}")
        elif path not in after:
            lines.append(f"- {shown(path)}: {_text(old)}")
        else:
            lines.append(f"~ {shown(path)}: {_text(old)} -> {_text(new)}")
    return lines


def _listed(path: str, old: list[Any], new: list[Any]) -> Iterator[str]:
    removed, added = Counter(map(_text, old)), Counter(map(_text, new))
    gone, come = removed - added, added - removed
    yield from (f"- {shown(path)}: {text}" for text in gone.elements())
    yield from (f"+ {shown(path)}: {text}" for text in come.elements())
    if not gone and not come:
        yield f"~ {shown(path)}: the entries have another order"


def _as_list(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _text(value: Any) -> str:
    return shown(json.dumps(value, ensure_ascii=False))


def _flat(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The scalars of a JSON value by their dotted paths; a list of scalars is one value."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _flat(f"{prefix}{name}.", item)
    elif isinstance(value, list) and any(isinstance(item, Mapping | list) for item in value):
        for index, item in enumerate(value):
            yield from _flat(f"{prefix.removesuffix('.')}[{index}].", item)
    else:
        yield prefix.removesuffix("."), value
