"""What documents name is there: files, commands and their options, targets of make; reference pages are current."""

from __future__ import annotations

import argparse
import re
import runpy
import shlex
from pathlib import Path

import pytest

from synthward.cli.main import build_parser
from synthward.run.check import check_files
from tutorial import steps

FOLDERS = ("conf", "docs", "jobs", "lib", "notebooks", "tests", "tools")
PLACEHOLDER = re.compile(r"[A-Z]{2,}|[*<>{}$]|\.\.\.")
"""Names in capitals, and patterns, stand for what a reader puts in."""


def documents(root: Path) -> list[Path]:
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md")), *sorted(root.glob("lib/**/*.md"))]


def commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Every command by its words, for instance `budget open`."""
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                deeper = commands(inner)
                found |= {f"{name} {more}": sub for more, sub in deeper.items()} or {name: inner}
    return found


def spoken(text: str) -> list[list[str]]:
    """The words behind `synthward` wherever a document shows a command, in a line of its own or in code."""
    code = re.findall(r"`(?:\.venv/bin/)?synthward ([a-z][^`]*)`", text)
    lines = re.findall(r"^(?: {4,}|\$ |)(?:\.venv/bin/)?synthward ([a-z].*(?:\\\n.*)*)$", text, re.MULTILINE)
    return [shlex.split(command.replace("\\\n", " ").split(" # ")[0]) for command in (*code, *lines)]


def test_links_between_documents_lead_somewhere(root: Path) -> None:
    broken = [
        f"{page.relative_to(root)}: {target}"
        for page in documents(root)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken


def test_files_that_documents_name_are_there(root: Path) -> None:
    named = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[^`\s:]+)`")
    missing = [
        f"{page.relative_to(root)}: {name}"
        for page in documents(root)
        if "decisions" not in page.parts and page.name != "CHANGELOG.md"
        for name in named.findall(page.read_text("utf-8"))
        if not PLACEHOLDER.search(name) and not (root / name).exists()
    ]
    assert not missing


def test_commands_that_documents_show_are_there_with_their_options(root: Path) -> None:
    known = commands(build_parser())
    wrong = []
    for page in documents(root):
        if page.name == "CHANGELOG.md":
            continue
        for words in spoken(page.read_text("utf-8")):
            name = next((" ".join(words[:n]) for n in (2, 1) if " ".join(words[:n]) in known), None)
            if name is None:
                wrong.append(f"{page.relative_to(root)}: synthward {' '.join(words)}")
                continue
            options = {option for action in known[name]._actions for option in action.option_strings}
            used = {word.split("=")[0] for word in words if word.startswith("--")}
            wrong += [f"{page.relative_to(root)}: synthward {name} {option}" for option in sorted(used - options)]
    assert not wrong


def test_targets_of_make_that_documents_name_are_there(root: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (root / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {
        (page.name, target)
        for page in documents(root)
        if page.name != "CHANGELOG.md"
        for target in re.findall(r"(?:`|^ {4,})make ([a-z][a-z0-9-]+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert not {(page, target) for page, target in named if target not in targets}


def test_files_of_the_tutorial_pass_the_check_that_it_shows(root: Path, tmp_path: Path) -> None:
    for step in steps(root):
        if step.name:
            step.save(tmp_path)
    files = sorted(tmp_path.glob("*.yaml"))
    assert len(files) == 5
    checked = check_files(files, tmp_path / "site.yaml")
    assert [one.path for one in checked if not one.ok] == []
    notes = [note for one in checked for note in one.notes]
    assert "to be approved by privacy_officer" in notes


@pytest.fixture(scope="module")
def reference(root: Path) -> dict[str, object]:
    return runpy.run_path(str(root / "tools" / "reference.py"))


def test_reference_pages_are_what_the_code_says(reference: dict[str, object]) -> None:
    assert reference["stale"]() == [], "run: python tools/reference.py"  # type: ignore[operator]


def test_every_key_of_a_reference_page_has_its_meaning_and_an_example(reference: dict[str, object]) -> None:
    rows = [line for text in reference["pages"]().values() for line in text.splitlines()]  # type: ignore[operator]
    keys = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows if row.startswith("| `")]
    assert len(keys) > 60
    assert not [cells for cells in keys if not all(cell.strip() for cell in cells)]
