"""Steps of a run as the log tells them: one line a step, with ids and duration, and a pulse while a step takes long.

Lines carry their facts also as fields (`record.facts`), from which the command line makes JSON. Facts are ids, names of
steps and durations; nothing comes from a row.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from synthward.run.plan import RunIdentity

logger = logging.getLogger(__name__)
T = TypeVar("T")

PULSE_SECONDS = 30.0
"""A step that takes longer says so this often."""


class Steps:
    """Runs the steps of one run and tells about them; a step may have steps of its own."""

    def __init__(self, identity: RunIdentity, on_step: Callable[[str], None], pulse: float = PULSE_SECONDS) -> None:
        """Nothing happens yet.

        Args:
            identity: Names of run and release.
            on_step: Called with the name of each step after it.
            pulse: Seconds between two signs of life of a long step.
        """
        self._ids = {"run_id": identity.run_id, "release_id": identity.release_id}
        self._on_step = on_step
        self._pulse = pulse
        self._running: list[str] = []

    def run(self, name: str, action: Callable[[], T]) -> T:
        """Runs a step; what it raises is passed on."""
        self._running.append(name)
        names = tuple(self._running)
        started = time.monotonic()
        over = threading.Event()
        beat = threading.Thread(target=self._beat, args=(names, started, over), name=f"pulse of {name}", daemon=True)
        beat.start()
        try:
            result = action()
        except BaseException as error:
            # The class only: the text of an error that is not ours may quote a cell.
            self._tell(logging.ERROR, names, "failed", started, f"failed ({type(error).__name__}) after")
            raise
        finally:
            over.set()
            beat.join()
            self._running.pop()
        self._tell(logging.INFO, names, "done", started, "done in")
        self._on_step(name)
        return result

    def _beat(self, names: tuple[str, ...], started: float, over: threading.Event) -> None:
        while not over.wait(self._pulse):
            # Of a step that waits for one of its own, that one tells.
            if names == tuple(self._running):
                self._tell(logging.INFO, names, "running", started, "still running after")

    def _tell(self, level: int, names: tuple[str, ...], state: str, started: float, words: str) -> None:
        seconds = time.monotonic() - started
        *outer, step = names
        facts: dict[str, Any] = {
            "event": "step",
            **self._ids,
            "step": step,
            **({"within": outer[-1]} if outer else {}),
            "state": state,
            "seconds": round(seconds, 3),
        }
        label = ": ".join(names)
        logger.log(level, "run %s: %s %s %.1f s", self._ids["run_id"], label, words, seconds, extra={"facts": facts})
