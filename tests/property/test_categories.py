"""Distinct patients who keep a text: the Spark kernel against the reference, over a thousand neighbouring pairs.

Many data sets share one job, told apart by `by`; nothing of the kernel's arithmetic is repeated here.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from synthward.kernels.categories import TextColumn, kept_counts, keyed_hash
from synthward.kernels.patients import unit_key
from synthward.privacy.thresholds import count_bound, patient_counts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.usefixtures("compiled")

SECRET = bytes(range(32))
PATTERN = r"[A-Za-zä]{1,6}(\.[0-9])?"
COLUMNS = (TextColumn(PATTERN, ("Known", "Seen"), 1), TextColumn("[a-c]{1,2}|[0-9]{2}", (), 3))
TEXTS: tuple[tuple[str | None, ...], ...] = (
    ("A", "B", "a", "ä", "E.1", "Known", "Seen", "Known\n", "A\n", "toolong7", "", " A", "\x00", None),
    ("a", "b", "ab", "bc", "12", "34", "99", "d", "", "123", None),
)
Row = tuple[Any, str | None, str | None]
SCHEMA = "dataset int, unit {kind}, c0 string, c1 string"


def draw(rng: random.Random, patient: Any, rows: int) -> list[Row]:
    return [(patient, rng.choice(TEXTS[0]), rng.choice(TEXTS[1])) for _ in range(rows)]


def candidates(column: TextColumn, texts: Iterable[str | None]) -> list[str]:
    return [t for t in texts if t is not None and re.fullmatch(column.pattern, t) and t not in column.listed]


def reference(rows: Iterable[Row], columns: tuple[TextColumn, ...] = COLUMNS) -> dict[tuple[int, str], int]:
    """In plain Python, from `patient_counts`."""
    owned: dict[bytes, list[Row]] = {}
    for row in rows:
        if row[0] is not None:
            key = row[0] if isinstance(row[0], bytes) else str(row[0]).encode()
            owned.setdefault(key, []).append(row)
    found: dict[tuple[int, str], int] = {}
    for place, column in enumerate(columns):
        texts = {key: candidates(column, (row[1 + place] for row in rows)) for key, rows in owned.items()}
        counts = patient_counts(texts, column.most, SECRET)
        found |= {(place, text): count for text, count in counts.items()}
    return found


def counted(frame: DataFrame) -> dict[int, dict[tuple[int, str], int]]:
    """By data set."""
    found: dict[int, dict[tuple[int, str], int]] = {}
    for row in frame.collect():
        found.setdefault(row["dataset"], {})[row["place"], row["text"]] = row["patients"]
    return found


def ask(spark: SparkSession, sets: list[list[Row]], kind: str, parts: int = 3) -> list[dict[tuple[int, str], int]]:
    """The kernel over many data sets, in one job."""
    rows = [(number, *row) for number, own in enumerate(sets) for row in own]
    frame = spark.createDataFrame(rows, SCHEMA.format(kind=kind)).where("unit IS NOT NULL").repartition(parts)
    key = unit_key(F.col("unit"), frame.schema["unit"].dataType)
    found = counted(kept_counts(frame.withColumn("unit", key), COLUMNS, SECRET, by=("dataset",)))
    return [found.get(number, {}) for number in range(len(sets))]


def assert_neighbours(ours: Mapping[tuple[int, str], int], theirs: Mapping[tuple[int, str], int]) -> tuple[int, ...]:
    """Counts of one data set with and without a patient; returns how many texts moved in each column."""
    moved = []
    for place, column in enumerate(COLUMNS):
        keys = {key for key in {*ours, *theirs} if key[0] == place}
        steps = [abs(ours.get(key, 0) - theirs.get(key, 0)) for key in keys]
        assert max(steps, default=0) <= 1
        assert sum(steps) <= count_bound("laplace", column.most, 1)
        assert sum(step * step for step in steps) <= count_bound("gaussian", column.most, 1) ** 2
        moved.append(sum(steps))
    return tuple(moved)


@pytest.mark.parametrize("kind", ["bigint", "string"])
def test_neighbours_and_the_reference(spark: SparkSession, kind: str) -> None:
    """Five hundred pairs of each kind of id; what an owner of no id has counts for nothing."""
    rng = random.Random(7)

    def patient(number: int) -> Any:
        return -(2**63) + number if kind == "bigint" else f"p{number}\x00"

    sets: list[list[Row]] = []
    for _ in range(500):
        crowd = [row for number in range(rng.randrange(4)) for row in draw(rng, patient(number), rng.randrange(1, 6))]
        nobody = draw(rng, None, rng.randrange(3))
        own = draw(rng, patient(9), rng.choice([1, 2, 5, 12]))
        sets += [rng.sample(crowd + nobody + own, len(crowd + nobody + own)), crowd]
    found = ask(spark, sets, kind)
    assert found == [reference(rows) for rows in sets]
    moved = [assert_neighbours(*found[place : place + 2]) for place in range(0, len(found), 2)]
    # The bounds are attained: one text in the first column, three in the second.
    assert {1, 3} == {max(steps[0] for steps in moved), max(steps[1] for steps in moved)}
    assert {0} <= {steps[0] for steps in moved}


def test_more_texts_than_k0_spread_over_rows_and_partitions(spark: SparkSession) -> None:
    """A heavy patient moves as many counts as one with K0 texts, however the rows lie."""
    heavy = [(1, None, text) for text in ("a", "b", "ab", "bc", "12", "34", "99") * 40]
    light = [(1, None, text) for text in ("a", "b", "ab")]
    empty: list[Row] = [(1, None, None)]
    expected = None
    for parts in (1, 2, 7):
        found = ask(spark, [heavy, light, empty], "bigint", parts)
        assert [len(each) for each in found] == [3, 3, 0]
        assert all(set(each.values()) <= {1} for each in found)
        assert expected in (None, found)
        expected = found


def test_rows_without_units_are_units(spark: SparkSession) -> None:
    rows = [(0, "A", "a"), (0, "A", "d"), (0, "Known", "12"), (0, None, "a")]
    frame = spark.createDataFrame(rows, "dataset int, c0 string, c1 string")
    found = counted(kept_counts(frame, COLUMNS, SECRET, by=("dataset",)))
    assert found == {0: {(0, "A"): 2, (1, "a"): 2, (1, "12"): 1}}


def test_an_empty_source_has_no_texts(spark: SparkSession) -> None:
    frame = spark.createDataFrame([], "unit binary, c0 string, c1 string")
    assert kept_counts(frame, COLUMNS, SECRET).collect() == []


def test_bytes_that_are_no_text_match_nothing(spark: SparkSession) -> None:
    """An engine shows them as U+FFFD, which no pattern can name; numbers are read as their text."""
    raw = spark.createDataFrame(
        [(b"1", bytearray(b"a\xff"), 12), (b"1", bytearray(b"b"), 13)], "unit binary, b binary, n int"
    )
    frame = raw.select("unit", F.col("b").cast("string").alias("c0"), F.col("n").alias("c1"))
    found = {(row["place"], row["text"]): row["patients"] for row in kept_counts(frame, COLUMNS, SECRET).collect()}
    assert found == {(0, "b"): 1, (1, "12"): 1, (1, "13"): 1}


def test_the_hash_is_hmac(spark: SparkSession) -> None:
    ids = [b"", b"p", b"\x00" * 70, "ä".encode() * 200]
    frame = spark.createDataFrame([(bytearray(i), t) for i in ids for t in ("", "x", "ä" * 99)], "id binary, t string")
    for secret in (b"k", bytes(32), bytes(range(64))):
        found = frame.select("id", "t", keyed_hash(F.col("id"), F.col("t"), secret).alias("h")).collect()
        for row in found:
            message = len(row["id"]).to_bytes(8, "big") + bytes(row["id"]) + row["t"].encode()
            assert row["h"] == hmac.new(secret, message, hashlib.sha256).hexdigest()
    with pytest.raises(ValueError, match="at most 64 bytes"):
        keyed_hash(F.lit(b"p"), F.lit("x"), bytes(65))


def test_a_collation_merges_no_texts(spark: SparkSession) -> None:
    cells = [(bytearray(b"1"), "A", "a"), (bytearray(b"2"), "a", "a")]
    frame = spark.createDataFrame(cells, "unit binary, c0 string, c1 string")
    collated = frame.withColumn("c0", F.collate("c0", "UTF8_LCASE"))
    found = {(row["place"], row["text"]): row["patients"] for row in kept_counts(collated, COLUMNS, SECRET).collect()}
    assert found == {(0, "A"): 1, (0, "a"): 1, (1, "a"): 2}
