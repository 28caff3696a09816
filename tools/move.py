"""Move a module or rename an identifier everywhere at once: code, tests, mutants, docs, decisions, configuration.

    python tools/move.py module pipeline.plan run.plan     # a module or a package below lib/synthward
    python tools/move.py name Told SafeError               # a whole word, in every text file
    python tools/move.py name inside within_bin --only lib/synthward/fit tests/unit

A mutant names its file by path and quotes the code literally, so a rename by hand breaks it; this tool rewrites both.
It changes the working tree only. Run `make fmt check test-unit` afterwards and read the difference before you commit.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lib" / "synthward"
SUFFIXES = {".py", ".pyi", ".md", ".toml", ".yaml", ".yml", ".json", ".j2", ".css", ".txt", ".cfg", ""}
UNTOUCHED = ("CHANGELOG.md", "docs/decisions/", "tools/move.py")
"""What tells of the past keeps the names of its time, unless a path is named with `--only`."""


def tracked(only: Iterable[str] = ()) -> list[Path]:
    """Text files under version control, below the given paths where some are given."""
    listed = subprocess.run(["git", "ls-files", *only], cwd=ROOT, check=True, capture_output=True, text=True)
    names = [name for name in listed.stdout.splitlines() if only or not name.startswith(UNTOUCHED)]
    paths = [ROOT / name for name in names if Path(name).suffix in SUFFIXES]
    return [path for path in paths if path.is_file()]


def rewrite(paths: Iterable[Path], change: Callable[[str], str]) -> int:
    """Apply a change of text to files; return how many changed."""
    changed = 0
    for path in paths:
        before = path.read_text(encoding="utf-8")
        after = change(before)
        if after != before:
            path.write_text(after, encoding="utf-8")
            changed += 1
    return changed


def module_change(old: str, new: str) -> Callable[[str], str]:
    r"""The change of text that follows a moved module: dotted names, paths, `from package import module`.

    >>> module_change("a.b", "c.d")("from synthward.a import b, x")
    'from synthward.a import x\nfrom synthward.c import d as b'
    >>> module_change("a.b", "c.b")("import synthward.a.b  # a/b.py")
    'import synthward.c.b  # c/b.py'
    """
    old_parent, _, old_leaf = old.rpartition(".")
    new_parent, _, new_leaf = new.rpartition(".")
    dotted = re.compile(rf"\bsynthward\.{re.escape(old)}(?![\w])")
    path = re.compile(rf"(?<![\w/]){re.escape(old.replace('.', '/'))}(?=\.py\b|/)")
    long_path = re.compile(rf"\bsynthward/{re.escape(old.replace('.', '/'))}(?=\.py\b|/)")
    package = ".".join(filter(None, ["synthward", old_parent]))
    imported = re.compile(rf"^(?P<indent>[ \t]*)from {re.escape(package)} import (?P<names>[^\n(]+)$", re.MULTILINE)

    def imports(found: re.Match[str]) -> str:
        names = [name.strip() for name in found["names"].split(",")]
        moved = [name for name in names if name.split(" as ")[0] == old_leaf]
        if not moved:
            return found[0]
        kept = [name for name in names if name not in moved]
        target = ".".join(filter(None, ["synthward", new_parent]))
        alias = moved[0].partition(" as ")[2] or old_leaf
        line = f"from {target} import {new_leaf}" + (f" as {alias}" if alias != new_leaf else "")
        lines = [f"from {package} import {', '.join(kept)}"] if kept else []
        return "\n".join(found["indent"] + text for text in [*lines, line])

    def change(text: str) -> str:
        text = imported.sub(imports, text)
        text = dotted.sub(f"synthward.{new}", text)
        text = long_path.sub("synthward/" + new.replace(".", "/"), text)
        return path.sub(new.replace(".", "/"), text)

    return change


def name_change(old: str, new: str) -> Callable[[str], str]:
    """The change of text of a renamed identifier: the whole word only.

    >>> name_change("place", "index")("place, places, _place, x.place")
    'index, places, _place, x.index'
    """
    word = re.compile(rf"(?<!\w){re.escape(old)}(?!\w)")
    return lambda text: word.sub(new, text)


def move_module(old: str, new: str) -> None:
    """Move the file or folder, then rewrite what names it."""
    source, target = (PACKAGE.joinpath(*name.split(".")) for name in (old, new))
    if not source.is_dir():
        source, target = source.with_suffix(".py"), target.with_suffix(".py")
    if not source.exists():
        sys.exit(f"{source.relative_to(ROOT)} does not exist")
    if target.exists():
        sys.exit(f"{target.relative_to(ROOT)} exists already")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not (target.parent / "__init__.py").exists():
        (target.parent / "__init__.py").touch()
        subprocess.run(["git", "add", str(target.parent / "__init__.py")], cwd=ROOT, check=True)
    subprocess.run(["git", "mv", str(source), str(target)], cwd=ROOT, check=True)
    print(f"{rewrite(tracked(), module_change(old, new))} files rewritten")


def main() -> None:
    """Read the arguments and do one move."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    module = commands.add_parser("module", help="move a module or a package")
    name = commands.add_parser("name", help="rename an identifier")
    for command in (module, name):
        command.add_argument("old")
        command.add_argument("new")
    name.add_argument("--only", nargs="+", default=[], help="files or folders; default: everything but history")
    chosen = parser.parse_args()
    if chosen.command == "module":
        move_module(chosen.old, chosen.new)
    else:
        print(f"{rewrite(tracked(chosen.only), name_change(chosen.old, chosen.new))} files rewritten")


if __name__ == "__main__":
    main()
