"""A first draft of a domain file from a schema alone: types and names, no data, bounds left to be declared.

What is left open says `TODO`, which the loader refuses by line, so that nobody runs a draft by accident.
"""

from __future__ import annotations

from collections.abc import Iterable

_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_REALS = ("float", "double", "decimal")


def draft(title: str, columns: Iterable[tuple[str, str]]) -> str:
    """Writes the draft.

    Args:
        title: What the table is.
        columns: (name, Spark type as in DDL) in order; nested columns as dotted paths.

    Returns:
        YAML text that loads once every TODO is replaced.
    """
    lines = [
        "# Draft from the schema alone. Replace every TODO from public knowledge: code books, clinical ranges, the",
        "# data dictionary. Never from the data itself: a bound that is read off the data leaks it.",
        "version: 1",
        f"title: {_quoted(title)}",
        "attributes:",
    ]
    for name, data_type in columns:
        lines += [f"  {_quoted(name)}: {{{', '.join(_attribute(data_type))}}}"]
    return "\n".join(lines) + "\n"


def _attribute(data_type: str) -> list[str]:
    base = data_type.lower()
    if base == "boolean":
        return ["type: boolean"]
    if base.startswith(_INTEGERS):
        return ["type: numeric", "integer: true", "bounds: [TODO, TODO]"]
    if base.startswith(_REALS):
        return ["type: numeric", "resolution: TODO", "bounds: [TODO, TODO]"]
    if base.startswith(("date", "timestamp")):
        return ["type: date", "granularity: month", "bounds: [TODO, TODO]"]
    return ["type: categorical", "codebook: TODO"]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
