"""Records are read through their attributes: no text key into a record outside of the codec."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "lib" / "synthward"
ROOMS = ("ledger", "run", "release", "report", "tracking", "governance", "cli", "api.py")

NO_RECORDS = {
    # Nodes of a YAML document, the process's environment, groups of a regular expression, fields of a log line.
    "run/check.py": {"domain"},
    "run/private_files.py": {"SPARK_LOCAL_DIRS"},
    "run/steps.py": {"run_id"},
    "tracking/loading.py": {"run", "name", "alias", "version"},
    # Columns of a Delta table or of a worker's answer, properties of a table.
    "cli/inspect.py": {"error", "message", "code", "retryable", "started_at", "status"},
    "release/publication.py": {"rows", "content", "manifest_sha256"},
    "release/registry.py": {"ledger_seq", "content", "sha256"},
    "release/table.py": {"rows", "content"},
    "release/withdrawal.py": {"release_id"},
    "run/main_job.py": {"manifest_digest"},
    "run/preflight.py": {"numpy", "synthward", "release_id"},
    "run/runs.py": {"started_at", "execution"},
    # The mark of a result file, and the format that decides how a manifest is read.
    "run/result.py": {"synthward"},
    "run/notices.py": {"synthward"},
    "run/monitoring.py": {"release_id"},
    "release/manifest.py": {"format"},
    "report/site_files.py": {"synthward", "pages"},
}
"""Text keys that are no look-up into a record, by file."""


def text_keys(source: str) -> Iterator[tuple[int, str]]:
    """Line and key of every `x["key"]` that is read, and of every `x.get("key")`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            key: ast.expr | None = node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
            key = node.args[0] if node.args else None
        else:
            continue
        if isinstance(key, ast.Constant) and isinstance(key.value, str):
            yield node.lineno, key.value


def test_no_record_is_read_by_a_text_key() -> None:
    found: dict[str, set[str]] = {}
    for room in ROOMS:
        for path in sorted((PACKAGE / room).rglob("*.py")) if (PACKAGE / room).is_dir() else [PACKAGE / room]:
            keys = {key for _, key in text_keys(path.read_text(encoding="utf-8"))}
            if keys:
                found[path.relative_to(PACKAGE).as_posix()] = keys
    assert found == NO_RECORDS


def test_the_search_sees_look_ups() -> None:
    assert list(text_keys('a = body["one"]\nb = facts.get("two")\nc[3]\nd[e]\nf.get(g)\nh["x"] = 1')) == [
        (1, "one"),
        (2, "two"),
    ]
