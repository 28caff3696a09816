"""`--result URI`: how a run ended, as a JSON file, for runners that pass on neither exit code nor stdout."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from synthward.config.locations import has_scheme

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.run.result import RunResult

logger = logging.getLogger(__name__)


class ResultFile:
    """The file; written once, whatever happens."""

    def __init__(self, target: str | None, session: Callable[[], AbstractContextManager[SparkSession]]) -> None:
        """Writes nothing yet.

        Args:
            target: A path of the driver's machine, `file:` included, or any URI that the session can write; None for no
                file.
            session: Opens a session, for a command that failed before it had one and whose result only Spark can write.
        """
        self._target = target
        self._session = session
        self._started = dt.datetime.now(dt.UTC)
        self._done = target is None

    def write(self, result: RunResult, spark: SparkSession | None) -> None:
        """Writes a result; a failure to do so is a warning, because the run has ended as it has.

        Args:
            result: The result.
            spark: The session of the run; None where there is none, and no time to open one.

        On the driver's machine this is a file, put there in one move. Elsewhere Spark writes it, as Spark writes: a
        folder with one text file in it.
        """
        if self._done or self._target is None:
            return
        self._done = True
        try:
            local = _local(self._target)
            if local is not None:
                local.parent.mkdir(parents=True, exist_ok=True)
                partial = local.with_name(f"{local.name}.partial")
                partial.write_text(f"{result.text}\n", encoding="utf-8")
                partial.replace(local)
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
    spark.createDataFrame([(text,)], "value STRING").coalesce(1).write.mode("overwrite").text(target)


def _local(target: str) -> Path | None:
    """The file that a target names on this machine."""
    from synthward.store.places import local_path

    return local_path(target) if has_scheme(target) else Path(target).absolute()
