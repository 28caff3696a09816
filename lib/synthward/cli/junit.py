"""`--junit FILE`: JUnit XML of a run's gates and controls, on the driver's machine."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from synthward.config.locations import has_scheme
from synthward.errors import UsageError
from synthward.run.junit import is_junit, junit
from synthward.store.outputs import require_writable, write_output
from synthward.store.places import local_path

if TYPE_CHECKING:
    from synthward.release.manifest import Manifest
    from synthward.run.result import RunResult

logger = logging.getLogger(__name__)


class JunitFile:
    """The JUnit file. It is written once, also if the command fails."""

    def __init__(self, target: str | None, zones: Mapping[str, str] = {}) -> None:
        """Check the target before anything runs. Nothing is written yet.

        Args:
            target: A path of the driver's machine, also with `file:`; None for no file.
            zones: Location of each zone of the site, by name.

        Raises:
            UsageError: The target is elsewhere, is inside or around a zone, is a folder or a link, or is a file that
                is no JUnit file of ours.
        """
        self._started = dt.datetime.now(dt.UTC)
        self._path: Path | None = None
        if target is None:
            return
        self._path = local_path(target) if has_scheme(target) else Path(target).absolute()
        if self._path is None:
            raise UsageError(
                "--junit: found a location outside of this machine; JUnit files are for the build server that starts "
                "the run. Name a file of this machine, or use --result, which takes any URI"
            )
        require_writable(self._path, zones, "--junit", is_junit)

    def write(self, result: RunResult, judged: Manifest | None) -> None:
        """Write the file. If this fails, there is only a warning, because the end of the run does not change.

        Args:
            result: How the run ended.
            judged: The manifest with the results of the gates; None if the run ended before its gates.
        """
        if self._path is None:
            return
        path, self._path = self._path, None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_output(path, junit(result, None if judged is None else judged.record), is_junit)
        except Exception as error:  # noqa: BLE001 - only the run's own end matters
            logger.warning("--junit %s was not written (%s)", path, type(error).__name__)

    def write_failure(self, error: BaseException) -> None:
        """Write the file of a command that failed before its run began, unless it is already written."""
        from synthward.run.result import RunResult

        if self._path is not None:
            self.write(RunResult.failure(error, None, started=self._started, ended=dt.datetime.now(dt.UTC)), None)
