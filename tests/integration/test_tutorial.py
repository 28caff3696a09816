"""The tutorial works as it is written: its files are written and its commands run, in order, in one folder."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from synthward.cli.main import main
from trial import heard

pytestmark = pytest.mark.connect

BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPOKEN = re.compile(r"^synthward ", re.MULTILINE)


@dataclass
class Walk:
    """What happened when somebody followed the tutorial.

    Attributes:
        folder: The folder in which the tutorial was followed.
        lines: Every command with what it printed on stdout, in order.
        failed: The command that did not end with 0, with what it printed on stderr; empty if all of them worked.
    """

    folder: Path
    lines: list[tuple[str, str]]
    failed: str = ""


def follow(page: str, folder: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> Walk:
    """Writes the page's files and runs its commands.

    Two things are put in as a reader would: the release's id, and a day of expiry that lies ahead.
    """
    walk = Walk(folder, [])
    patch.chdir(folder)
    release = ""
    for language, name, text in BLOCK.findall(page):
        if name:
            ahead = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=200)
            (folder / name).write_text(re.sub(r"^expires: .*$", f"expires: {ahead}", text, flags=re.MULTILINE), "utf-8")
            continue
        assert language == "sh", f"a block of {language} has no file's name"
        for line in text.splitlines():
            words = [release if word == "RELEASE" else word for word in shlex.split(line)]
            capsys.readouterr()
            if words[0] == "export":
                patch.setenv(*words[1].split("=", 1))
                code = 0
            elif words[0] == "python":
                code = subprocess.run([sys.executable, *words[1:]], check=False).returncode
            else:
                assert words[0] == "synthward", line
                code = main(words[1:])
            out, err = capsys.readouterr()
            walk.lines.append((line, out))
            if code:
                walk.failed = f"{line}: exit code {code}\n{err}"
                return walk
            if line.startswith("synthward run"):
                release = json.loads(out)["release_id"]
    return walk


@pytest.fixture
def _own_logging() -> Iterator[object]:
    """The command line sets up the package's logger for good; here it is put back."""
    with heard() as messages:
        yield messages


@pytest.mark.usefixtures("_own_logging", "spark")
def test_every_command_of_the_tutorial_works(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (root / "docs" / "tutorial.md").read_text("utf-8")
    walk = follow(page, tmp_path, capsys, monkeypatch)
    assert walk.failed == ""

    # No command of the page stands outside of the blocks that were run.
    assert sum(line.startswith("synthward ") for line, _ in walk.lines) == len(SPOKEN.findall(page)) > 8

    assert "TODO" in (tmp_path / "draft.yaml").read_text("utf-8")
    assert "Guarantee" in (tmp_path / "report.html").read_text("utf-8")
    assert list((tmp_path / "reports").glob("*.html"))
    with (tmp_path / "women.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1000
    assert {row["sex"] for row in rows} == {"F"}
    assert not {"visit_id", "patient_id"} & set(rows[0])
