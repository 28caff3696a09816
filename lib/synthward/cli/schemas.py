"""Writes the JSON Schemas that the package ships: `python -m synthward.cli.schemas [--check]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import synthward.config
from synthward.config.schema import schema_text
from synthward.run.documents import KINDS


def schemas() -> dict[str, str]:
    """Return the text of every schema, by document name."""
    return {name: schema_text(kind.document, kind.title) for name, kind in KINDS.items()}


def stale(folder: Path) -> list[str]:
    """Return the names of the schemas in a folder that are missing or differ from the classes."""
    files = {name: folder / f"{name}.json" for name in KINDS}
    return [
        name
        for name, text in schemas().items()
        if not files[name].is_file() or files[name].read_text(encoding="utf-8") != text
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the schemas into the package's source, or check them.

    Returns:
        The exit code: 1 if `--check` finds a schema that is not up to date.
    """
    parser = argparse.ArgumentParser(prog="python -m synthward.cli.schemas", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a schema is not up to date")
    options = parser.parse_args(arguments)
    folder = Path(synthward.config.__path__[0]) / "schemas"
    outdated = stale(folder)
    if options.check:
        for name in outdated:
            print(f"{name}.json is not up to date; run: python -m synthward.cli.schemas", file=sys.stderr)
        return 1 if outdated else 0
    folder.mkdir(exist_ok=True)
    texts = schemas()
    for name in outdated:
        (folder / f"{name}.json").write_text(texts[name], encoding="utf-8")
        print(f"wrote {name}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
