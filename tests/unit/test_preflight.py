"""Preflight's advice, without Spark."""

from __future__ import annotations

import logging
from typing import Any, cast

import pytest
from pyspark.errors import PySparkException

from synthward.errors import EnvironmentProblem
from synthward.kernels.compiled import METHOD_LIMIT_KEY
from synthward.run import preflight
from synthward.run.preflight import INTERPRETED_COLUMNS, check_zones, warn_of_interpretation
from synthward.store.places import Zone
from synthward.store.probe import TRIES, write_probe


class Session:
    """A session of somebody else's: its settings can be read at best."""

    def __init__(self, limit: str | None) -> None:
        self.conf = self
        self._limit = limit

    def get(self, key: str) -> str:
        """See `RuntimeConfig.get`."""
        assert key == METHOD_LIMIT_KEY
        if self._limit is None:
            raise PySparkException("not available here")
        return self._limit


@pytest.mark.parametrize(
    ("limit", "columns", "warned"),
    [
        ("65535", INTERPRETED_COLUMNS, True),
        ("65535", INTERPRETED_COLUMNS - 1, False),
        ("8000", 300, False),
        (None, 300, False),
    ],
)
def test_a_session_that_would_interpret_the_kernels_is_told_of(
    limit: str | None, columns: int, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        warn_of_interpretation(cast("Any", Session(limit)), columns)
    assert ("set it to 8000" in caplog.text) == warned
    assert (METHOD_LIMIT_KEY in caplog.text) == warned


def test_a_zone_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def full(_: Any, zone: Zone, mark: str) -> None:
        tried.append(f"{zone.location} {mark}")
        if zone.location == "main.releases":
            raise OSError("the text of somebody else")

    monkeypatch.setattr(preflight, "write_probe", full)
    zones = {"protected": Zone("file:/p"), "release": Zone("main.releases")}
    with pytest.raises(EnvironmentProblem, match=r"the release zone main\.releases cannot be written") as refused:
        check_zones(cast("Any", None), zones, "r1")
    assert "Nothing was spent" in str(refused.value)
    assert "somebody else" not in str(refused.value)
    assert tried == ["file:/p r1", "main.releases r1"]


class Catalog:
    """A session whose catalog fails some times."""

    def __init__(self, failures: int) -> None:
        self.failures, self.statements = failures, []  # type: int, list[str]

    def sql(self, statement: str) -> Catalog:
        """See `SparkSession.sql`."""
        self.statements.append(statement)
        return self

    def collect(self) -> None:
        """See `DataFrame.collect`."""
        if self.failures:
            self.failures -= 1
            raise OSError("another driver was here")


def test_a_probe_in_a_catalog_is_an_empty_table_that_is_dropped() -> None:
    spark, waited = Catalog(TRIES - 1), []  # type: Catalog, list[float]
    write_probe(cast("Any", spark), Zone("main.releases"), "r1", waited.append)
    table = "`main`.`releases`.`_synthward_probe_r1`"
    made = f"CREATE TABLE IF NOT EXISTS {table} (written BOOLEAN) USING delta"
    assert spark.statements == [*[made] * TRIES, f"DROP TABLE IF EXISTS {table}"]
    assert len(waited) == TRIES - 1
    with pytest.raises(OSError, match="another driver"):
        write_probe(cast("Any", Catalog(TRIES)), Zone("main.releases"), "r1", waited.append)
