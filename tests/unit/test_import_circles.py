"""No module of the package imports itself by way of others: circles inside a package, which the layers do not see."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import synthward

PACKAGE = Path(synthward.__file__).parent


def module_name(path: Path, root: Path) -> str:
    """Dotted name of a source file below the folder `root.parent`."""
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that run when the module is loaded: none inside functions, none for annotations only."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If):
            if "TYPE_CHECKING" not in ast.unparse(node.test):
                waiting += node.body
            waiting += node.orelse
        elif isinstance(node, ast.Try):
            waiting += [*node.body, *node.orelse, *node.finalbody, *(s for h in node.handlers for s in h.body)]
        elif isinstance(node, ast.ClassDef):
            waiting += node.body


def import_graph(root: Path) -> dict[str, set[str]]:
    """Modules of a package, each with those of the package that it imports when it is loaded."""
    sources = {module_name(path, root): path for path in sorted(root.rglob("*.py"))}
    graph: dict[str, set[str]] = {}
    for name, path in sources.items():
        wanted: set[str] = set()
        for node in imported(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            else:
                assert node.level == 0, f"{name} has a relative import"
                # `from package import module` imports the module; `from module import name` the module alone.
                modules = {f"{node.module}.{alias.name}" for alias in node.names} & sources.keys()
                wanted |= modules or {str(node.module)}
        graph[name] = (wanted & sources.keys()) - {name}
    return graph


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """One circle, its first module again at the end; empty when there is none."""
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        path.append(name)
        for other in sorted(graph[name]):
            found = visit(other)
            if found:
                return found
        path.pop()
        done.add(name)
        return []

    for name in sorted(graph):
        found = visit(name)
        if found:
            return found
    return []


def test_the_package_has_no_import_circles() -> None:
    graph = import_graph(PACKAGE)
    assert len(graph) > 150
    assert graph["synthward.run.main_job"] >= {"synthward.run.plan", "synthward.run.stages"}
    assert "synthward.tracking.record" in graph["synthward.run.suppliers"]
    found = circle(graph)
    assert found == [], "import circle: " + " -> ".join(found)


@pytest.mark.parametrize(
    ("b", "expected"),
    [
        ("from pack.a import x", ["pack.a", "pack.b", "pack.a"]),
        ("from pack import a", ["pack.a", "pack.b", "pack.a"]),
        ("try:\n    import pack.a\nexcept ImportError:\n    pass", ["pack.a", "pack.b", "pack.a"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pack.a import x", []),
        ("def later():\n    from pack.a import x", []),
    ],
)
def test_a_circle_is_named(tmp_path: Path, b: str, expected: list[str]) -> None:
    root = tmp_path / "pack"
    root.mkdir()
    (root / "__init__.py").touch()
    (root / "a.py").write_text("from pack import b\nx = 1\n", encoding="utf-8")
    (root / "b.py").write_text(b + "\n", encoding="utf-8")
    assert circle(import_graph(root)) == expected
