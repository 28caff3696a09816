"""The simulated extract: the same rows on any cluster, several encounters a patient, and dirt where it is expected."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.demo import _worker
from synthward.demo.simulator import SCHEMA, simulate, write_demo
from synthward.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PATIENTS, SEED = 2000, 7
Rows = list[dict[str, Any]]


def rows_of(spark: SparkSession, patients: int, tasks: int, seed: int = SEED) -> Rows:
    found = simulate(spark, patients, seed, tasks=tasks).collect()
    return sorted((row.asDict() for row in found), key=lambda row: int(row["encounter_id"]))


@pytest.fixture(scope="module")
def rows(spark: SparkSession) -> Rows:
    return rows_of(spark, PATIENTS, tasks=1)


def visits(rows: Rows) -> Counter[str]:
    return Counter(row["patient_id"] for row in rows if row["patient_id"] is not None)


def share(rows: Rows, column: str, value: object) -> float:
    known = [row[column] for row in rows if row[column] is not None]
    return sum(found == value for found in known) / len(known)


def mean(values: list[float]) -> float:
    assert values
    return sum(values) / len(values)


def within(rows: Rows, column: str, low: float, high: float) -> list[float]:
    return [row[column] for row in rows if row[column] is not None and low <= row[column] <= high]


def test_partitioning_does_not_change_a_row(spark: SparkSession, rows: Rows) -> None:
    # NaN is unequal to itself, its text is not.
    assert list(map(repr, rows_of(spark, PATIENTS, tasks=4))) == list(map(repr, rows))


def test_fewer_patients_are_the_first_ones(spark: SparkSession, rows: Rows) -> None:
    few = rows_of(spark, 130, tasks=1)
    assert set(visits(few)) <= {f"P{number:07d}" for number in range(1, 131)}
    assert list(map(repr, few)) == list(map(repr, rows[: len(few)]))


def test_another_seed_gives_other_rows(spark: SparkSession, rows: Rows) -> None:
    assert repr(rows_of(spark, 130, tasks=1, seed=8)) != repr(rows[: len(rows_of(spark, 130, tasks=1))])


def test_schema(spark: SparkSession) -> None:
    found = simulate(spark, 1, SEED).schema
    assert ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in found.fields) == SCHEMA


def test_encounter_ids_are_unique(rows: Rows) -> None:
    assert len({row["encounter_id"] for row in rows}) == len(rows)


def test_patients_are_skewed(rows: Rows) -> None:
    counts = visits(rows)
    few = sum(count <= 6 for count in counts.values())
    assert few > 0.85 * len(counts)
    assert sum(count >= 40 for count in counts.values()) >= 3
    assert counts.most_common(1)[0] == (f"P{_worker.HEAVIEST_PATIENT:07d}", max(counts.values()))
    assert max(counts.values()) >= 300


def test_dirt(rows: Rows) -> None:
    for column in rows[0]:
        assert (None in {row[column] for row in rows}) == (column != "encounter_id"), column
    for column in ("length_of_stay", "systolic_bp", "hba1c", "creatinine"):
        assert _worker.SENTINEL in {row[column] for row in rows}, column
    assert any(math.isnan(row["systolic_bp"]) for row in rows if row["systolic_bp"] is not None)
    assert any(row["systolic_bp"] > 300 for row in rows if row["systolic_bp"] is not None)
    assert {row["department"] for row in rows} & set(_worker.MISSPELT)
    assert {row["diagnosis"] for row in rows} & set(_worker.MISCODED)
    assert {"1900-01-01", "2099-12-31"} <= {str(row["admit_date"]) for row in rows}
    assert all("?" in {row[column] for row in rows} for column in ("sex", "insurance", "discharge"))


def test_correlations_that_a_reader_recognises(rows: Rows) -> None:
    young = [row for row in rows if row["birth_year"] is not None and row["birth_year"] > 1985]
    old = [row for row in rows if row["birth_year"] is not None and 1900 < row["birth_year"] < 1955]
    assert mean(within(old, "systolic_bp", 60, 260)) > mean(within(young, "systolic_bp", 60, 260)) + 10
    diabetes = [row for row in rows if row["diagnosis"] in ("E10", "E11")]
    appendix = [row for row in rows if row["diagnosis"] in ("K35", "K40", "K80")]
    assert mean(within(diabetes, "hba1c", 3, 20)) > mean(within(appendix, "hba1c", 3, 20)) + 0.5
    assert share(diabetes, "department", "Endocrinology") > 0.7
    assert share(appendix, "department", "General Surgery") > 0.7
    long = [row for row in rows if row["length_of_stay"] is not None and 10 < row["length_of_stay"] < 200]
    short = [row for row in rows if row["length_of_stay"] is not None and 0 <= row["length_of_stay"] <= 2]
    assert share(long, "readmitted_30d", True) > share(short, "readmitted_30d", True) + 0.05


def test_nobody_returns_after_death(rows: Rows) -> None:
    last = {row["patient_id"]: row["encounter_id"] for row in rows}
    for row in rows:
        if row["discharge"] == "Died" and row["patient_id"] is not None:
            assert last[row["patient_id"]] == row["encounter_id"]


def test_writing_is_idempotent(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "demo" / "encounters")
    assert write_demo(spark, path, 600, SEED)
    assert not write_demo(spark, path, 600, SEED)
    assert len(list((tmp_path / "demo" / "encounters" / "_delta_log").glob("*.json"))) == 1
    assert write_demo(spark, path, 500, SEED)
    ids = spark.read.format("delta").load(path).select("encounter_id").collect()
    assert {row[0] for row in ids} == {row[0] for row in simulate(spark, 500, SEED).select("encounter_id").collect()}


def test_a_table_of_somebody_else_is_left_alone(spark: SparkSession, tmp_path: Path) -> None:
    path = str(tmp_path / "theirs")
    spark.range(1).write.format("delta").save(path)
    with pytest.raises(UsageError, match="did not write"):
        write_demo(spark, path, 10)
    assert spark.read.format("delta").load(path).columns == ["id"]


@pytest.mark.parametrize(("patients", "seed"), [(0, 1), (10_000_000, 1), (1, -1)])
def test_numbers_out_of_range_are_refused(spark: SparkSession, patients: int, seed: int) -> None:
    with pytest.raises(UsageError, match=r"allowed (are|is)"):
        simulate(spark, patients, seed)
