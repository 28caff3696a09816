"""Which rows have a unit: ids by their type and declared shape, opt-outs, exact answers with both."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from synthward.errors import SourceError
from synthward.kernels.patients import is_id, unit_key
from synthward.spec.patient_id import IdShape
from trial import TestSite, exact_answers, plan_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect

S = 2**16
TEXTS = [
    None, "", " ", "\t\n", "\u00a0", "\u3000 ", "\u200b", "\x00", "\ufeff", "0", " 0", "7", "07", "7 ", "UNKNOWN",
    "unknown", "Zo\ufffd", "Zo\xeb", "\xe9", "\u00a07", "1234567890", "7\n", "7\n8", "~", "\x7f", "!",
    "日本", "-1", "1.0",
]  # fmt: skip
SHAPES = [
    None,
    IdShape(never=("0", "UNKNOWN", "-1", "07.0")),
    IdShape(pattern="[0-9]{1,9}"),
    IdShape(pattern="7|[A-Z]{3,9}", never=("UNKNOWN",)),
]
NUMBERS: dict[str, list[Any]] = {
    "INT": [None, 0, 7, -1, 2**31 - 1],
    "BIGINT": [None, 0, 7, -1, 2**63 - 1, -(2**63)],
    "DECIMAL(20,0)": [None, *map(Decimal, (0, 7, -1, 10**20 - 1))],
    "DECIMAL(6,2)": [None, *map(Decimal, ("0", "7", "-1", "7.01", "9999.99", "9999", "-9999.5"))],
    "DOUBLE": [None, 0.0, -0.0, 7.0, -1.0, 7.5, math.nan, math.inf, -math.inf, 2.0**53 - 1, 2.0**53, 1e300],
    "FLOAT": [None, 0.0, 7.0, -1.0, 0.5, math.nan, 2.0**24 - 1, 2.0**24],
}
LARGEST = {"DOUBLE": 2**53, "FLOAT": 2**24}


def text_id(text: str | None, shape: IdShape | None) -> bytes | None:
    """The reference: the id's bytes, None for a key that is none."""
    if text is None or not re.search(r"[^\s\u00a0\u3000\u200b\ufeff\x00-\x20\x7f]", text) or "\ufffd" in text:
        return None
    if shape is not None and (text in shape.never or (shape.pattern and not re.fullmatch(shape.pattern, text))):
        return None
    return text.encode()


def number_id(number: Any, kind: str, shape: IdShape | None) -> int | None:
    """The reference: the id's value, None for a key that is none."""
    if number is None or number != number or math.isinf(number) or number != int(number):
        return None
    value = int(number)
    if kind in LARGEST and abs(value) >= LARGEST[kind]:
        return None
    excluded = [int(text) for text in shape.never if re.fullmatch("-?[0-9]+", text)] if shape is not None else []
    if value in excluded or (shape is not None and shape.pattern and not re.fullmatch(shape.pattern, str(value))):
        return None
    return value


def found(spark: SparkSession, keys: list[Any], kind: str) -> list[list[Any]]:
    """For every shape the unit of every key, None where it has none."""
    frame = spark.createDataFrame([(place, key) for place, key in enumerate(keys)], f"place INT, key {kind}")
    data_type = frame.schema["key"].dataType
    unit = unit_key(F.col("key"), data_type)
    columns = [F.when(is_id(F.col("key"), data_type, shape), unit).alias(f"s{k}") for k, shape in enumerate(SHAPES)]
    rows = sorted(frame.select("place", *columns).collect())
    return [[bytes(row[k + 1]) if isinstance(row[k + 1], bytearray) else row[k + 1] for row in rows] for k in range(4)]


def test_texts_are_ids_as_the_reference_says(spark: SparkSession) -> None:
    assert found(spark, TEXTS, "STRING") == [[text_id(text, shape) for text in TEXTS] for shape in SHAPES]


def test_a_text_is_an_id_or_not_whatever_its_collation(spark: SparkSession) -> None:
    texts = ["ab1", "AB1", "", "0"]
    frame = spark.createDataFrame([(text,) for text in texts], "key STRING COLLATE UTF8_LCASE")
    data_type = frame.schema["key"].dataType
    kept = frame.where(is_id(F.col("key"), data_type, IdShape(pattern="[a-z0-9]{1,3}", never=("0",))))
    assert [bytes(row[0]) for row in kept.select(unit_key(F.col("key"), data_type)).collect()] == [b"ab1"]


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_are_ids_by_value(spark: SparkSession, kind: str) -> None:
    keys = NUMBERS[kind]
    as_text = kind not in ("INT", "BIGINT")
    expected = [[number_id(key, kind, shape) for key in keys] for shape in SHAPES]
    shown = [[None if k is None else str(k).encode() if as_text else k for k in part] for part in expected]
    assert found(spark, keys, kind) == shown


def test_bytes_are_ids_unless_empty(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(b"",), (b"\x00",), (b" ",), (None,)], "key BINARY")
    data_type = frame.schema["key"].dataType
    kept = frame.where(is_id(F.col("key"), data_type, None)).select(unit_key(F.col("key"), data_type)).collect()
    assert sorted(bytes(row[0]) for row in kept) == [b"\x00", b" "]


def answers(spark: SparkSession, site: TestSite, **changes: Any) -> dict[str, list[int]]:
    return exact_answers(spark, plan_of(site, site.request(**changes)))


def test_keys_that_are_no_ids_count_for_nobody(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    people = [("17", "F", 10), ("18", "F", 10)]
    nobody = [(key, "M", 90) for key in (None, "", "  ", "Zo\ufffd")]
    site.write(spark, [*people, *nobody, ("0", "M", 50), ("UNKNOWN", "M", 50)], "pid STRING, sex STRING, age INT")
    found = answers(spark, site)
    assert (found["population"], found["marginal(sex)"]) == ([4 * S], [2 * S, 2 * S, 0, 0])
    for shape in ({"not": ["0", "UNKNOWN"]}, {"pattern": "[1-9][0-9]{1,8}"}):
        found = answers(spark, site, patient={"id": shape})
        assert (found["population"], found["marginal(sex)"]) == ([2 * S], [2 * S, 0, 0, 0])


def test_one_patient_more_moves_the_answers_by_one_patient(spark: SparkSession, tmp_path: Path) -> None:
    """Rows that are no ids of hers cannot make her another unit, nor reach those of others."""
    site = TestSite(tmp_path)
    schema = "pid STRING, sex STRING, age INT"
    shape = {"patient": {"id": {"pattern": "[0-9]{2}", "not": ["00"]}}}
    rows = [("11", "F", 10), ("00", "M", 10), ("", "M", 10), ("12", "M", 10)]
    site.write(spark, rows, schema)
    without = answers(spark, site, **shape)
    hers = [("13", "F", 20), ("13", "F", 20), ("13\n", "F", 20), ("00", "F", 20), ("note of day 7", "F", 20)]
    site.write(spark, [*rows, *hers], schema, mode="overwrite")
    with_her = answers(spark, site, **shape)
    moved = {label: sum(abs(a - b) for a, b in zip(with_her[label], without[label], strict=True)) for label in without}
    assert (moved["population"], moved["marginal(sex)"]) == (S, 2 * S)


LISTS: dict[str, tuple[str, list[Any], str, list[Any]]] = {
    "BIGINT by BIGINT": ("BIGINT", [7, 8, 9], "BIGINT", [8, None, 10]),
    "BIGINT by text": ("BIGINT", [7, 8, 9], "STRING", ["008", " 9x", None, ""]),
    "DOUBLE by INT": ("DOUBLE", [7.0, 8.0, 9.0], "INT", [8]),
    "text by text": ("STRING", ["7", "8", "08"], "STRING", ["8", "8", "9"]),
    "bytes by bytes": ("BINARY", [b"7", b"8", b"9"], "BINARY", [b"8"]),
}


@pytest.mark.parametrize("name", LISTS)
def test_people_on_the_list_are_not_there(spark: SparkSession, tmp_path: Path, name: str) -> None:
    site = TestSite(tmp_path)
    kind, ids, list_kind, listed = LISTS[name]
    rows = [(pid, "F" if place == 1 else "M", 10) for place, pid in enumerate(ids) for _ in range(2)]
    site.write(spark, rows, f"pid {kind}, sex STRING, age INT", format="parquet")
    site.write(spark, [(pid,) for pid in listed], f"who {list_kind}", name="opt_outs")
    excluded = {"source": {"format": "delta", "path": "data/opt_outs"}, "key": "who"}
    found = answers(spark, site, source={"format": "parquet"}, population={"excluded": excluded})
    assert (found["population"], found["marginal(sex)"]) == ([2 * S], [0, 4 * S, 0, 0])


@pytest.mark.parametrize(
    ("kind", "list_kind", "reason"),
    [
        ("STRING", "BIGINT", "7 and '007' could be one person"),
        ("BINARY", "STRING", "write the list with ids of the key's type"),
        ("BIGINT", "DATE", "a patient key is a string, a whole number or binary"),
    ],
)
def test_a_list_that_cannot_be_compared_is_refused(
    spark: SparkSession, tmp_path: Path, kind: str, list_kind: str, reason: str
) -> None:
    site = TestSite(tmp_path)
    site.write(spark, [], f"pid {kind}, sex STRING, age INT", format="parquet")
    site.write(spark, [], f"pid {list_kind}", name="opt_outs", format="parquet")
    excluded = {"source": {"format": "parquet", "path": "data/opt_outs"}, "key": "pid"}
    with pytest.raises(SourceError, match=f"list of opt-outs .*{reason}"):
        answers(spark, site, source={"format": "parquet"}, population={"excluded": excluded})


def test_a_declared_shape_needs_texts_or_numbers(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark, [], "pid BINARY, sex STRING, age INT", format="parquet")
    with pytest.raises(SourceError, match=r"patient key 'pid': `patient.id` speaks of texts and whole numbers"):
        answers(spark, site, source={"format": "parquet"}, patient={"id": {"not": ["0"]}})
