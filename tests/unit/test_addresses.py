"""Two spellings of one folder or table are one address; a part lies inside of its whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthward.store.addresses import overlap, path_address, real_path, table_address


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/data/ehr", "file:/data/ehr"),
        ("/data/ehr", "file:///data/ehr"),
        ("/data/ehr", "file://localhost/data/ehr"),
        ("/data/ehr", "FILE:/data//x/../ehr/"),
        ("s3://bucket/ehr", "s3a://bucket//ehr/"),
        ("s3n://bucket/ehr", "s3a://bucket/ehr"),
        ("abfs://c@account.dfs.core.windows.net/ehr", "abfss://c@ACCOUNT.dfs.core.windows.net/ehr"),
        ("hdfs://nn:8020/ehr", "hdfs://nn/ehr"),
        ("/dbfs/mnt/ehr", "dbfs:/mnt/ehr"),
    ],
)
def test_spellings_of_one_place(one: str, other: str) -> None:
    assert path_address(one) == path_address(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/data/ehr", "/data/ehr2"),
        ("/data/ehr", "hdfs://nn/data/ehr"),
        ("s3a://bucket/ehr", "s3a://other/ehr"),
        ("s3a://bucket/EHR", "s3a://bucket/ehr"),
        ("hdfs://nn:9000/ehr", "hdfs://nn/ehr"),
        ("abfss://c@a/ehr", "abfss://d@a/ehr"),
    ],
)
def test_other_places_stay_apart(one: str, other: str) -> None:
    assert not overlap(path_address(one), path_address(other))


def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "ehr" / "visits").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "ehr")
    plain, linked = str(tmp_path / "ehr" / "visits"), str(tmp_path / "link" / "visits")
    assert path_address(linked) == path_address(plain)
    assert path_address(f"file:{linked}") == path_address(plain)
    assert real_path(linked) == str(Path(plain).resolve())
    assert real_path(f"file://{linked}") == f"file:{Path(plain).resolve()}"
    assert real_path("s3a://bucket/link") == "s3a://bucket/link"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/data/ehr", "/data/ehr/ward=7", True),
        ("/data/ehr/part-0.parquet", "/data/ehr", True),
        ("/", "/data/ehr", True),
        ("/data/ehr", "/data/ehr-old/x", False),
    ],
)
def test_a_part_is_inside_its_whole(one: str, other: str, same: bool) -> None:
    assert overlap(path_address(one), path_address(other)) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("main.ehr.visits", "MAIN.EHR.`Visits`", True),
        ("ehr.visits", "main.ehr.visits", True),
        ("visits", "main.ehr.visits", True),
        ("hr.visits", "main.ehr.visits", False),
        ("test.ehr.visits", "main.ehr.visits", False),
    ],
)
def test_names_of_a_catalog(one: str, other: str, same: bool) -> None:
    assert overlap(table_address(one), table_address(other)) is same
    assert overlap(table_address(other), table_address(one)) is same


def test_a_name_is_no_path() -> None:
    assert not overlap(table_address("main.ehr"), path_address("/main.ehr"))
