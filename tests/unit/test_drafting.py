"""The format of a table to draft from, guessed by names."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthward.run.drafting import guessed_format


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("s3a://bucket/extract/visits.csv.gz", "csv"),
        ("/data/visits.CSV", "csv"),
        ("file:///data/visits.parquet/", "parquet"),
        ("hdfs://data/visits.tsv", "csv"),
        ("abfss://zone@account/visits", "delta"),
    ],
)
def test_an_ending_says_the_format(location: str, expected: str) -> None:
    assert guessed_format(location) == expected


def test_a_local_folder_is_what_its_files_are(tmp_path: Path) -> None:
    for name, files in {
        "a": ["_SUCCESS", ".part.crc", "part-0.csv"],
        "b": ["part-0.snappy.parquet"],
        "c.csv": ["_delta_log"],
        "d": [],
    }.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).mkdir()
    found = [guessed_format(str(tmp_path / name)) for name in ("a", "b", "c.csv", "d")]
    assert found == ["csv", "parquet", "delta", "delta"]
