"""The `runs` table of the protected zone: one row for every execution, whatever it came to.

The journal says how far a run has come; this table says how each try of it ended. Nothing is decided by it, so a plain
append in one commit does, and a row that cannot be written is a warning and not a failure.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from synthward.conditions import kind_of
from synthward.run.result import RunResult
from synthward.store.delta import commit_again, exists, read
from synthward.store.places import TableRef, Zone

logger = logging.getLogger(__name__)

SCHEMA = (
    "execution STRING, status STRING, code INT, retryable BOOLEAN, started_at STRING, ended_at STRING, run_id STRING, "
    "release_id STRING, run_key STRING, request_digest STRING, scope STRING, `table` STRING, error STRING, "
    "message STRING"
)
RETRIES = 3


@dataclass(frozen=True)
class Tried:
    """How one execution of a run ended, as the table says.

    Attributes:
        run_id: The run; None if it never came to have one.
        status: See `run.result.RunResult`.
        retryable: Whether the same command again may end better.
        ended_at: UTC, ISO 8601.
    """

    run_id: str | None
    status: str
    retryable: bool
    ended_at: str


class Runs:
    """Reads and writes the table."""

    def __init__(self, spark: SparkSession, protected: Zone) -> None:
        self._spark = spark
        self.ref: TableRef = protected.table("runs")

    def add(self, result: RunResult) -> bool:
        """Appends a result; False, after a warning, when that was not possible."""
        try:
            row = self._spark.createDataFrame([tuple(asdict(result).values())], SCHEMA)
            commit_again(lambda: self._append(row), RETRIES)
        except Exception as error:  # noqa: BLE001 - the end of a run must not be hidden by the failure to note it
            logger.warning("execution %s is not noted in %s (%s)", result.execution, self.ref, kind_of(error))
            return False
        return True

    def _append(self, row: DataFrame) -> None:
        """One commit, which makes the table where it is absent."""
        writer = row.coalesce(1).write.format("delta").mode("append")
        if self.ref.path is not None:
            writer.save(self.ref.path)
        else:
            writer.saveAsTable(self.ref.sql)

    def of(self, run_id: str) -> list[dict[str, Any]]:
        """Every execution of a run, oldest first."""
        if not exists(self._spark, self.ref):
            return []
        found = read(self._spark, self.ref).where(F.col("run_id") == run_id).collect()
        return sorted((row.asDict() for row in found), key=lambda row: (row["started_at"], row["execution"]))

    def tries(self) -> tuple[Tried, ...]:
        """How every execution of every run ended, oldest first."""
        if not exists(self._spark, self.ref):
            return ()
        found = read(self._spark, self.ref).select("run_id", "status", "retryable", "ended_at").collect()
        return tuple(sorted((Tried(*row) for row in found), key=lambda one: one.ended_at))
