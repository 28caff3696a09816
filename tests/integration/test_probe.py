"""Whether a zone can be written, by what Spark can do there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synthward.store import probe
from synthward.store.places import Zone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect


def test_a_probe_makes_a_folder_and_leaves_it_empty(spark: SparkSession, tmp_path: Path) -> None:
    zone = tmp_path / "a" / "zone"
    probe.write_probe(spark, Zone(zone.as_uri()), "r1")
    assert list(zone.iterdir()) == []


def test_what_cannot_be_removed_is_a_constant_that_is_overwritten(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on an object store, whose files this machine does not see."""
    monkeypatch.setattr(probe, "local_path", lambda _: None)
    for _ in range(2):
        probe.write_probe(spark, Zone(str(tmp_path)), "r1")
        [folder] = tmp_path.iterdir()
        [file] = folder.glob("part-*")
        assert file.read_text(encoding="utf-8") == f"{probe.TEXT}\n"


def test_a_place_that_is_no_folder_fails(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    waited: list[float] = []
    with pytest.raises(Exception):  # noqa: B017, PT011 - Spark's own, one for each lane
        probe.write_probe(spark, Zone(str(tmp_path / "file")), "r1", waited.append)
    assert len(waited) == probe.TRIES - 1
