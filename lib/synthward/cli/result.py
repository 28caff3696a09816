"""`--result URI`: a JSON file that says how a run ended. For runners that pass on neither exit code nor stdout."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from synthward.conditions import condition_of, kind_of
from synthward.config.locations import has_scheme
from synthward.errors import UsageError
from synthward.run.result import is_result
from synthward.store.outputs import require_outside, require_writable, write_output

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.run.result import RunResult

logger = logging.getLogger(__name__)

MOST_RESULTS = 1000
"""Largest number of results in one folder. After that, the user must name another folder."""


class ResultFile:
    """The result file. It is written once, also if the command fails."""

    def __init__(
        self,
        target: str | None,
        session: Callable[[], AbstractContextManager[SparkSession]],
        zones: Mapping[str, str] = {},
    ) -> None:
        """Check the target before anything runs. Nothing is written yet.

        Args:
            target: A path of the driver's machine, also with `file:`, or any URI that the session can write; None for
                no file.
            session: Opens a session. Needed if the command fails before it has a session and only Spark can write the
                result.
            zones: Location of each zone of the site, by name.

        Raises:
            UsageError: The target is inside or around a zone, is a folder or a link, or is a file without a result of
                ours.
        """
        self._target = target
        self._session = session
        self._started = dt.datetime.now(dt.UTC)
        self._done = target is None
        if target is None:
            return
        local = _local(target)
        if local is not None:
            require_writable(local, zones, "--result", is_result)
        else:
            require_outside(target, zones, "--result")

    def require_new(self, spark: SparkSession) -> None:
        """Check that the URI is free for a result. This uses the run's session, before the run begins.

        Raises:
            UsageError: The URI holds other things than results of ours. Nothing will be written.
        """
        if self._done or self._target is None or _local(self._target) is not None:
            return
        try:
            _require_free(spark, self._target)
        except UsageError:
            self._done = True
            raise

    def write(self, result: RunResult, spark: SparkSession | None) -> None:
        """Write a result. If this fails, there is only a warning, because the end of the run does not change.

        Args:
            result: The result.
            spark: The session of the run; None if there is none and no time to open one.

        On the driver's machine the result is a file, written in one step. It replaces an earlier result and nothing
        else. Elsewhere Spark writes a folder with one text file. Each further execution adds a file. Existing files are
        never deleted.
        """
        if self._done or self._target is None:
            return
        self._done = True
        try:
            local = _local(self._target)
            if local is not None:
                local.parent.mkdir(parents=True, exist_ok=True)
                write_output(local, f"{result.text}\n".encode(), is_result)
            elif spark is not None:
                _write_by(spark, result.text, self._target)
            else:
                logger.warning("--result %s was not written: there is no Spark session", self._target)
        except Exception as error:  # noqa: BLE001 - only the run's own end matters
            logger.warning("--result %s was not written (%s)", self._target, type(error).__name__)

    def write_failure(self, error: BaseException) -> None:
        """Write the result of a command that failed before its run began, unless a result is already written.

        If the target is a URI, a session is opened, because the scheduler has no other way to learn that a request is
        wrong. After a signal there is no time to open one.
        """
        from synthward.run.result import RunResult

        if self._done or self._target is None:
            return
        result = RunResult.failure(error, None, started=self._started, ended=dt.datetime.now(dt.UTC))
        if _local(self._target) is not None or not isinstance(error, Exception):
            self.write(result, None)
            return
        try:
            with self._session() as spark:
                self.write(result, spark)
        except Exception as trouble:  # noqa: BLE001 - only the command's own end matters
            logger.warning("--result %s was not written: no session (%s)", self._target, type(trouble).__name__)


def _write_by(spark: SparkSession, text: str, target: str) -> None:
    mode = _require_free(spark, target)
    spark.createDataFrame([(text,)], "value STRING").coalesce(1).write.mode(mode).text(target)


def _require_free(spark: SparkSession, target: str) -> str:
    """Return Spark's write mode for a URI: `error` if nothing is there, `append` (one more file) after results of ours.

    Raises:
        UsageError: Other files are there.
    """
    try:
        lines = [row[0] for row in spark.read.text(target).limit(MOST_RESULTS + 1).collect()]
    except Exception as error:  # noqa: BLE001 - the condition decides; classes differ between engines
        if condition_of(error).startswith("PATH_NOT_FOUND"):
            return "error"
        raise UsageError(f"--result: {target} cannot be read ({kind_of(error)}); name a new location") from None
    if not lines or len(lines) > MOST_RESULTS or not all(is_result(line) for line in lines):
        raise UsageError(
            f"--result: {target} exists and holds other files than results of runs, or more than {MOST_RESULTS} "
            "results; an output never replaces anything. Name a new location"
        )
    return "append"


def _local(target: str) -> Path | None:
    """Return the file that a target names on this machine; None if it names none."""
    from synthward.store.places import local_path

    return local_path(target) if has_scheme(target) else Path(target).absolute()
