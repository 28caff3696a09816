"""The tutorial works as it is written: its files are saved and its commands run, in order, in one folder."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthward.cli.main import main
from trial import heard
from tutorial import steps

pytestmark = [pytest.mark.connect, pytest.mark.slow_on_connect]


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[object]:
    """The command line sets up the package's logger for good; here it is put back."""
    with heard() as messages:
        yield messages


def run(line: str, release: str, patch: pytest.MonkeyPatch) -> int:
    """Run one command of the page, with the release's id in the place of `RELEASE`. Return its exit code."""
    words = [release if word == "RELEASE" else word for word in shlex.split(line)]
    if words[0] == "export":
        patch.setenv(*words[1].split("=", 1))
        return 0
    if words[0] == "python":
        return subprocess.run([sys.executable, *words[1:]], check=False).returncode
    assert words[0] == "synthward", line
    return main(words[1:])


@pytest.mark.usefixtures("spark")
def test_every_command_of_the_tutorial_works(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    release, ran = "", []
    for step in steps(root):
        if step.name:
            step.save(tmp_path)
            continue
        for line in step.text.splitlines():
            capsys.readouterr()
            code = run(line, release, monkeypatch)
            out, err = capsys.readouterr()
            assert code == 0, f"{line}: exit code {code}\n{err}"
            ran.append(line)
            if line.startswith("synthward run"):
                release = json.loads(out)["release_id"]

    shown = re.findall(r"^synthward .*$", (root / "docs" / "tutorial.md").read_text("utf-8"), re.MULTILINE)
    assert [line for line in ran if line.startswith("synthward ")] == shown

    assert "TODO" in (tmp_path / "draft.yaml").read_text("utf-8")
    assert "Synthetic visits for the prototype" in (tmp_path / "report.html").read_text("utf-8")
    assert list((tmp_path / "reports").glob("*.html"))
    with (tmp_path / "women.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 1000
    assert {row["sex"] for row in rows} == {"F"}
    assert not {"visit_id", "patient_id"} & set(rows[0])
