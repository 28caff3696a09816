"""What makes a release is post-processing: code that fits, samples, judges and publishes has no way to exact numbers.

`lint-imports` holds the layers when the project is checked; this test is about the package as it is imported, imports
inside of functions included, and over any number of steps.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import synthward

PACKAGE = Path(synthward.__file__).parent
AFTER_THE_SEAL = ("fit", "sample", "evaluate/gates")
"""Rooms that see sealed answers, models and synthetic rows only."""

EXACT = ("synthward.measure", "synthward.sources", "synthward.run", "synthward.api")
"""Rooms in which rows or exact numbers are held, or which can open them."""


def modules() -> dict[str, Path]:
    """Source files by dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    """Every name that a module imports, wherever the import stands, but for annotations only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped = {
        id(node)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for body in branch.body
        for node in ast.walk(body)
    }
    names: set[str] = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("room", AFTER_THE_SEAL)
def test_what_makes_a_release_has_no_way_to_exact_numbers(room: str) -> None:
    """Follows the imports of every module of the room to their ends."""
    known = modules()
    prefix = "synthward." + room.replace("/", ".")
    start = {name for name in known if name == prefix or name.startswith(prefix + ".")}
    assert start
    waiting, reached = list(start), dict.fromkeys(start, "")
    while waiting:
        name = waiting.pop()
        for wanted in sorted(imports(known[name]) & known.keys()):
            if wanted not in reached:
                reached[wanted] = name
                waiting.append(wanted)
    ways = {name: reached[name] for name in reached if name.startswith(EXACT)}
    assert not ways, f"{room} reaches {ways}"
