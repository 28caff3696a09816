"""Trouble on executors: their Python loads this file at its start, because a test puts its folder on their path.

In the folder named by SYNTHWARD_TEST_TROUBLE, a file stands for each thing that has happened; each happens once.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def once(name: str) -> bool:
    """Whether this process is the first one to ask."""
    try:
        os.close(os.open(Path(os.environ["SYNTHWARD_TEST_TROUBLE"]) / name, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def kill_executor() -> None:
    """Kills the JVM that this Python worker belongs to: the parent of the daemon that forked it."""
    daemon = Path(f"/proc/{os.getppid()}/stat").read_text()
    os.kill(int(daemon.rpartition(")")[2].split()[1]), signal.SIGKILL)
    signal.pause()


class Trouble:
    """Finds no module, but looks at what is imported: kernels when rows are aggregated, drawing when they are drawn."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """See `importlib.abc.MetaPathFinder`."""
        if name == "synthward.kernels._worker":
            if once("a task failed"):
                raise RuntimeError("planned by a test")
            if once("an executor was killed during aggregate"):
                kill_executor()
        if name == "synthward.sample._worker" and once("an executor was killed during sample"):
            kill_executor()


if "SYNTHWARD_TEST_TROUBLE" in os.environ:
    sys.meta_path.insert(0, Trouble())
