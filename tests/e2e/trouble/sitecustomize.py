"""Trouble on executors: their Python loads this file at its start, because a test puts its folder on their path.

In the folder named by SYNTHWARD_TEST_TROUBLE, a file stands for each thing that has happened; each happens once. All
of it strikes in the middle of a task, when some batches are read or written already.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

PATIENCE = 180.0
"""Seconds a slow task waits for its copy to win; many times what the copy needs."""


def once(name: str, content: str = "") -> bool:
    """Whether this process is the first one to ask."""
    try:
        written = os.open(Path(os.environ["SYNTHWARD_TEST_TROUBLE"]) / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return False
    os.write(written, content.encode())
    os.close(written)
    return True


def kill_executor() -> None:
    """Kills the JVM that this Python worker belongs to: the parent of the daemon that forked it."""
    daemon = Path(f"/proc/{os.getppid()}/stat").read_text()
    os.kill(int(daemon.rpartition(")")[2].split()[1]), signal.SIGKILL)
    signal.pause()


def one_is_slow() -> None:
    """The first task to come here stands still until Spark kills it, because a copy of it has won."""
    from pyspark import TaskContext

    context = TaskContext.get()
    assert context is not None
    task, attempt = f"{context.stageId()}.{context.partitionId()}", context.taskAttemptId()
    if once("a task was slow", f"{task} {attempt}"):
        time.sleep(PATIENCE)
        once("the slow task was never overtaken")
        return
    slow, first = (Path(os.environ["SYNTHWARD_TEST_TROUBLE"]) / "a task was slow").read_text().split()
    if (slow, int(first)) != (task, attempt) and slow == task:
        once("a copy of the slow task began")


def while_aggregating(batch: int) -> None:
    """Before a batch of packed rows is taken, numbered from 1 in its task."""
    if batch == 2:
        one_is_slow()
    if batch == 3 and once("a task failed during aggregate"):
        raise RuntimeError("planned by a test")
    if batch == 4 and once("an executor was killed during aggregate"):
        kill_executor()


def trouble_counting(module: Any) -> None:
    """Strikes between the batches that a counting task reads."""
    count = module.Waiting.rows

    def rows(self: Any, batches: Iterable[Any]) -> Iterator[Any]:
        return count(self, troubled(batches))

    module.Waiting.rows = rows


def troubled(batches: Iterable[Any]) -> Iterator[Any]:
    """The same batches, before each of which something may happen."""
    for number, batch in enumerate(batches, 1):
        while_aggregating(number)
        yield batch


def trouble_drawing(module: Any) -> None:
    """Strikes when two batches of a block were handed over."""
    draw = module.Sampler.batches

    def batches(self: Any, block: int) -> Iterator[Any]:
        for number, places in enumerate(draw(self, block)):
            if number == 2 and once("an executor was killed during sample"):
                kill_executor()
            yield places

    module.Sampler.batches = batches


HOOKS: dict[str, Callable[[Any], None]] = {
    "synthward.kernels._worker": trouble_counting,
    "synthward.sample._worker": trouble_drawing,
}


class Spoiler:
    """Loads a module as its own loader does, then lays the trouble into it."""

    def __init__(self, loader: Any, hook: Callable[[Any], None]) -> None:
        self.loader, self.hook = loader, hook

    def create_module(self, spec: ModuleSpec) -> Any:
        """See `importlib.abc.Loader`."""
        return self.loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        """See `importlib.abc.Loader`."""
        self.loader.exec_module(module)
        self.hook(module)


class Trouble:
    """Finds the two modules whose work is to be troubled."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if name not in HOOKS:
            return None
        sys.meta_path.remove(self)  # type: ignore[arg-type]
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)  # type: ignore[arg-type]
        assert spec is not None
        spec.loader = Spoiler(spec.loader, HOOKS[name])  # type: ignore[assignment]
        return spec


if "SYNTHWARD_TEST_TROUBLE" in os.environ:
    sys.meta_path.insert(0, Trouble())  # type: ignore[arg-type]
