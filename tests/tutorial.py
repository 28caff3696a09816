"""The tutorial as a reader follows it: the files that it tells to save, and the commands that it tells to run."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Step:
    """One block of the page: a file to save or commands to run.

    Attributes:
        name: Name of the file; empty for commands.
        text: Content of the file, or one command in each line.
    """

    name: str
    text: str

    def save(self, folder: Path) -> None:
        """Save the file. The day of expiry is put ahead of today, as the page tells the reader to do."""
        ahead = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=200)
        text = re.sub(r"^expires: .*$", f"expires: {ahead}", self.text, flags=re.MULTILINE)
        (folder / self.name).write_text(text, "utf-8")


def steps(root: Path) -> list[Step]:
    """The blocks of the page, in order. A block without a file's name must be a block of commands."""
    found = BLOCK.findall((root / "docs" / "tutorial.md").read_text("utf-8"))
    assert all(name or language == "sh" for language, name, _ in found)
    return [Step(name, text) for _, name, text in found]
