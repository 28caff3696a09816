"""`--result URI`: how a run ended, as a JSON file, for runners that pass on neither exit code nor stdout."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from synthward.config.locations import has_scheme
from synthward.errors import UsageError, condition_of, kind_of
from synthward.run.result import is_result
from synthward.store.outputs import require_outside, require_writable, write_output

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.run.result import RunResult

logger = logging.getLogger(__name__)

MOST_RESULTS = 1000
"""Results in one folder, beyond which another one has to be named."""


class ResultFile:
    """The file; written once, whatever happens."""

    def __init__(
        self,
        target: str | None,
        session: Callable[[], AbstractContextManager[SparkSession]],
        zones: Mapping[str, str] = {},
    ) -> None:
        """Writes nothing yet, and refuses what must not be written before anything runs.

        Args:
            target: A path of the driver's machine, `file:` included, or any URI that the session can write; None for no
                file.
            session: Opens a session, for a command that failed before it had one and whose result only Spark can write.
            zones: Location of each zone of the site, by name.

        Raises:
            UsageError: The target lies in a zone or around one, is a folder or a link, or is a file that no result of
                ours is in.
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
        """Looks, with the session of a run that has not begun, whether the URI is free for a result.

        Raises:
            UsageError: Something else than results of ours is there; nothing will be written.
        """
        if self._done or self._target is None or _local(self._target) is not None:
            return
        try:
            _require_free(spark, self._target)
        except UsageError:
            self._done = True
            raise

    def write(self, result: RunResult, spark: SparkSession | None) -> None:
        """Writes a result; a failure to do so is a warning, because the run has ended as it has.

        Args:
            result: The result.
            spark: The session of the run; None where there is none, and no time to open one.

        On the driver's machine this is a file, put there in one move; it takes the place of an earlier result and of
        nothing else. Elsewhere Spark writes it, as Spark writes: a folder with one text file in it, to which each
        further execution adds one. Nothing that is there is ever deleted.
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
                logger.warning("--result %s was not written: there is no session that could", self._target)
        except Exception as error:  # noqa: BLE001 - the run's own end is what counts
            logger.warning("--result %s was not written (%s)", self._target, type(error).__name__)

    def write_failure(self, error: BaseException) -> None:
        """Writes the result of a command that failed before it had a run, unless one is written.

        A scheduler that asks for a URI has no other way to learn of a request that is wrong, so that a session is
        opened for it; a signal leaves no time for one.
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
        except Exception as trouble:  # noqa: BLE001 - the command's own end is what counts
            logger.warning("--result %s was not written: no session (%s)", self._target, type(trouble).__name__)


def _write_by(spark: SparkSession, text: str, target: str) -> None:
    mode = _require_free(spark, target)
    spark.createDataFrame([(text,)], "value STRING").coalesce(1).write.mode(mode).text(target)


def _require_free(spark: SparkSession, target: str) -> str:
    """How Spark may write to a URI: `error` where nothing is, `append` (one more file) where only results of ours are.

    Raises:
        UsageError: Something else is there.
    """
    try:
        lines = [row[0] for row in spark.read.text(target).limit(MOST_RESULTS + 1).collect()]
    except Exception as error:  # noqa: BLE001 - its condition decides; classes differ between engines
        if condition_of(error).startswith("PATH_NOT_FOUND"):
            return "error"
        raise UsageError(f"--result: {target} cannot be looked at ({kind_of(error)}); name a new place") from None
    if not lines or len(lines) > MOST_RESULTS or not all(is_result(line) for line in lines):
        raise UsageError(
            f"--result: {target} exists and holds other things than results of runs, or more than {MOST_RESULTS}; an "
            "output never replaces anything. Name a new place"
        )
    return "append"


def _local(target: str) -> Path | None:
    """The file that a target names on this machine."""
    from synthward.store.places import local_path

    return local_path(target) if has_scheme(target) else Path(target).absolute()
