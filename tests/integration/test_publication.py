"""Drivers of one run that stage and publish its release at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest
from pyspark.sql import functions as F

from synthward.errors import IntegrityError
from synthward.release import publication
from synthward.release.names import ROW
from synthward.release.publication import publish, published_state
from synthward.release.table import fingerprint, stage
from synthward.store.delta import read
from synthward.store.places import TableRef, Zone

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.connect

DRIVERS = 2
Result = TypeVar("Result")


@pytest.fixture
def zone(tmp_path: Path) -> Zone:
    return Zone(str(tmp_path))


def rows(spark: SparkSession) -> DataFrame:
    return spark.range(0, 20, 1, 1).select((F.col("id") % 3).alias("sex"), F.col("id").alias(ROW))


def at_once(act: Callable[[], Result]) -> list[Result]:
    with ThreadPoolExecutor(DRIVERS) as pool:
        return [pending.result() for pending in [pool.submit(act) for _ in range(DRIVERS)]]


@dataclass(frozen=True)
class Staged:
    """A staged table, and what its release is to have."""

    spark: SparkSession
    table: TableRef
    version: int
    target: TableRef
    wanted: dict[str, str]

    def publish(self, how: str) -> bool:
        return publish(self.spark, self.table, self.version, self.target, self.wanted, how)

    def published(self) -> dict[str, str]:
        return dict(published_state(self.spark, self.target) or {})


@pytest.fixture
def staged(spark: SparkSession, zone: Zone) -> Staged:
    table = zone.table("staged")
    version = stage(rows(spark), table, {"row_number": f"`{ROW}` >= 0"}, {"status": "staged"})
    whole = fingerprint(read(spark, table))
    wanted = {"release_id": "r1", "rows": str(whole.rows), "content": whole.content, "manifest_sha256": "5eed"}
    return Staged(spark, table, version, zone.table("release"), wanted)


def test_all_of_them_stage_equal_rows(spark: SparkSession, zone: Zone) -> None:
    staged = zone.table("staged")
    versions = at_once(lambda: stage(rows(spark), staged, {"row_number": f"`{ROW}` >= 0"}, {"status": "staged"}))
    assert len({fingerprint(read(spark, staged, version)) for version in versions}) == 1
    assert read(spark, staged).count() == 20


@pytest.mark.parametrize("how", ["clone", "copy"])
def test_all_of_them_see_one_release(staged: Staged, how: str) -> None:
    made = at_once(lambda: staged.publish(how))
    assert any(made)
    assert staged.wanted.items() <= staged.published().items()
    assert read(staged.spark, staged.target).count() == 20
    assert staged.publish(how) is False


def test_the_one_that_comes_second_finds_the_release(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = publication._copy

    def beaten(*words: object) -> None:
        copy(*words)  # type: ignore[arg-type]
        raise RuntimeError("lost against the other driver's commit")

    monkeypatch.setattr(publication, "_copy", beaten)
    assert staged.publish("copy") is False
    assert staged.published()["manifest_noted"] == "5eed"


def test_the_one_that_comes_second_to_another_release_is_told(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = publication._copy

    def taken(session: SparkSession, source: TableRef, at: int, there: TableRef, properties: dict[str, str]) -> None:
        copy(session, source, at, there, {**properties, "release_id": "r2"})
        raise RuntimeError("lost against another run's commit")

    monkeypatch.setattr(publication, "_copy", taken)
    with pytest.raises(IntegrityError, match="release_id"):
        staged.publish("copy")


def test_a_failure_that_leaves_nothing_is_passed_on(staged: Staged, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(publication, "_copy", full)
    with pytest.raises(OSError, match="no space left"):
        staged.publish("copy")
    assert published_state(staged.spark, staged.target) is None
