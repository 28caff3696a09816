"""Addresses of files: what is below the source's folder, which folders are columns, and what a message may name."""

from __future__ import annotations

import pytest

from synthward.sources.locations import SourceFile, _root_length, fingerprint, literal


@pytest.mark.parametrize(
    ("uri", "root", "below"),
    [
        ("file:///data/visits/a.csv", "/data/visits", "/a.csv"),
        ("file:///data/visits/ward=7A/a.csv", "file:/data/visits/", "/ward=7A/a.csv"),
        ("file:/data/visits/a.csv", "/data//visits", "/a.csv"),
        ("file:///data/visits/a.csv", "/data/visits/a.csv", "/a.csv"),
        ("s3a://bucket/in/ward=1/a.parquet", "s3a://bucket/in", "/ward=1/a.parquet"),
        ("hdfs://nn:8020/in/ward=1/a.parquet", "/in", "/ward=1/a.parquet"),
        ("file:///data/ward=1/a.csv", "/data/ward=1", "/a.csv"),
        ("file:///sp%20ace/a%5B1%5D/x.csv", "/sp ace/a[1]", "/x.csv"),
    ],
)
def test_what_is_below_a_source(uri: str, root: str, below: str) -> None:
    assert uri[_root_length(uri, root) :] == below


def file(relative: str, state: str = "t\t1") -> SourceFile:
    return SourceFile(path=f"file:/data/y{relative}", uri=f"file:///data/y{relative}", relative=relative, state=state)


def test_folders_are_columns_by_their_decoded_names() -> None:
    assert file("/ward=7A/year%2520x=1/plain/a=b.csv").folders == {"ward": "ward", "year x": "year%2520x"}


def test_a_message_names_a_file_without_the_values_of_its_folders() -> None:
    assert file("/pid=4711/plain/0.parquet").public_name("/data/y") == "y/pid=.../plain/0.parquet"
    assert file("/0.parquet").public_name("/data/y/") == "y/0.parquet"
    assert file("/t.csv").public_name("/data/t.csv") == "t.csv"


def test_a_literal_path_has_no_pattern_left() -> None:
    assert literal("/a/extract [2024]/{x}*?") == r"/a/extract \[2024\]/\{x\}\*\?"
    assert literal("s3a://b/plain-path_1.csv") == "s3a://b/plain-path_1.csv"


def test_a_fingerprint_is_of_places_times_and_lengths() -> None:
    one, other = file("/a"), file("/b")
    assert fingerprint([one, other]) != fingerprint([one])
    assert fingerprint([one]) != fingerprint([file("/a", "t\t2")])
    assert fingerprint([one]) == fingerprint([file("/a")])
