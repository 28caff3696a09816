"""A date that is declared to be after another one, on a real session: equal codes, equal dates, no row in disorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F
from pyspark.sql import types as T

from ordered import BOOKS, CELLS, DOMAIN, TEXTS, Cells, rows, understood
from synthward.domain.cells import Packing
from synthward.domain.codes import MISSING, OTHER
from synthward.domain.spec import Domain
from synthward.evaluate.gates import order
from synthward.evaluate.inspect import inspect
from synthward.kernels.encode import encode, present_column, quantum_column, word_column
from synthward.release.table import Lineage
from synthward.run.rehearsal import Script, rehearse
from synthward.sample.decode import decode_all, release_type
from synthward.sample.local import decode_batch
from synthward.store.places import TableRef
from trial import TestSite, approve, open_budget

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def parquet(spark: SparkSession, file: Path, kind: pa.DataType, listed: Sequence[Sequence[object]]) -> DataFrame:
    columns = [pa.array(column, kind) for column in zip(*listed, strict=True)]
    pq.write_table(pa.table(columns, [f"c{place}" for place in range(len(columns))]), file)
    return spark.read.parquet(str(file))


def instants(row: Cells) -> tuple[object, ...]:
    """A quarter to midnight of each day, UTC; the calendar's first and last day have no earlier or later hour."""
    return tuple(cell and datetime.combine(cell, time(23, 45), UTC) for cell in row)  # type: ignore[arg-type]


@pytest.mark.connect
@pytest.mark.parametrize("kind", ["dates", "texts", "instants"])
def test_spark_counts_the_days_between_as_the_code_book_does(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    listed: list[Any] = rows(TEXTS if kind == "texts" else CELLS)
    stored = [instants(row) for row in listed] if kind == "instants" else listed
    types = {"dates": pa.date32(), "texts": pa.string(), "instants": pa.timestamp("us", "UTC")}
    found = encode(parquet(spark, tmp_path / "t.parquet", types[kind], stored), BOOKS, Packing.of(BOOKS)).toArrow()
    packing = Packing.of(BOOKS)
    values = [understood(row) for row in stored]  # type: ignore[arg-type]
    for place, (name, book) in enumerate(BOOKS.items()):
        slot = packing.slot(name)
        codes = (found.column(word_column(slot.word)).to_numpy() >> slot.shift) & ((1 << slot.bits) - 1)
        assert codes.tolist() == [book.code_of(row[place]) for row in values], name
        assert found.column(quantum_column(place)).to_pylist() == [book.quantum_of(row[place]) for row in values]
        assert found.column(present_column(place)).to_pylist() == [int(book.is_present(row[place])) for row in values]


@pytest.mark.parametrize("target", [T.DateType(), T.StringType(), T.TimestampType()], ids=["date", "string", "instant"])
def test_spark_derives_the_dates_that_local_rows_have(spark: SparkSession, tmp_path: Path, target: T.DataType) -> None:
    listed = [
        *product((0, 5, 30, OTHER, MISSING), (0, 7, 1090, 1095, OTHER, MISSING), (0, 9, 398, OTHER, MISSING)),
    ]
    places = parquet(spark, tmp_path / "p.parquet", pa.int32(), listed)
    types = dict.fromkeys(BOOKS, target)
    found = places.select(*decode_all(BOOKS, types))
    assert {field.dataType for field in found.schema.fields} == {target}
    found = found.select(*(F.col(name).cast("date").alias(name) for name in BOOKS)).toArrow()
    arrays = [np.array(column, dtype=np.int32) for column in zip(*listed, strict=True)]
    local = decode_batch(BOOKS, arrays, pa.schema([(name, pa.date32()) for name in BOOKS]))
    assert [found.column(name).to_pylist() for name in BOOKS] == [column.to_pylist() for column in local.columns]
    assert release_type(BOOKS["discharged"], T.DateType()) == release_type(BOOKS["admitted"], None) == T.DateType()


@pytest.mark.parametrize("written", ["date", "yyyyMMdd", "excel"])
def test_a_release_of_ordered_dates_is_rehearsed(spark: SparkSession, tmp_path: Path, written: str) -> None:
    attributes: Mapping[str, Any] = DOMAIN.attributes
    data_type: T.DataType = T.DateType()
    if written != "date":
        attributes = {name: replace(one, format=written) for name, one in attributes.items()}
        data_type = T.IntegerType() if written == "yyyyMMdd" else T.DoubleType()
    types = dict.fromkeys(attributes, data_type)
    script = Script.of(Domain(version=1, attributes=dict(attributes)), types, {}, 1000)
    rehearse(spark, script, TableRef(path=str(tmp_path / "zone" / "table")), types)


LINEAGE = Lineage("r1", "m1", "2026-01-01T00:00:00Z")


@pytest.mark.connect
def test_the_gate_finds_each_kind_of_disorder(spark: SparkSession) -> None:
    early, day, late = date(2020, 4, 1), date(2020, 5, 1), date(2020, 5, 3)
    kept = [(late, day, None), (None, day, None), (None, None, None), (day, day, date(2020, 5, 3))]
    constants = (True, LINEAGE.release_id, LINEAGE.model_digest, LINEAGE.generated_at)
    names = "_synthetic BOOLEAN, _release_id STRING, _model_digest STRING, _generated_at STRING, _row BIGINT"

    def judged(*more: tuple[date | None, ...]) -> tuple[bool, str]:
        listed = [(*row, *constants, place) for place, row in enumerate([*kept, *more])]
        schema = f"discharged DATE, admitted DATE, seen DATE, {names}"
        return order.judge(inspect(spark.createDataFrame(listed, schema), BOOKS, LINEAGE))

    assert judged() == (True, "every row keeps the declared order of dates in: discharged, seen")
    assert judged((early, day, None)) == (False, "rows break the declared order of dates in: discharged")
    assert judged((date(2020, 6, 30), day, None))[0] is False  # later than `within` allows
    assert judged((late, None, None))[0] is False
    assert judged((day, day, day)) == (False, "rows break the declared order of dates in: seen")


def stays(patients: int) -> list[tuple[int, date | None, date | None]]:
    """Stays of 0 to 8 days, mostly short, over three years; some have no end yet."""
    random = np.random.default_rng(4)
    first = date(2019, 1, 1)
    found: list[tuple[int, date | None, date | None]] = []
    for pid in range(patients):
        admitted = first + timedelta(int(random.integers(0, 1087)))
        found.append((pid, admitted, admitted + timedelta(min(int(random.exponential(3)), 8))))
    return [(pid, one, None if pid % 20 == 0 else two) for pid, one, two in found]


@pytest.mark.parametrize("synthesizer", ["tree", "few_round", "moments"])
def test_no_discharge_before_its_admission(spark: SparkSession, tmp_path: Path, synthesizer: str) -> None:
    """Two dates whose source has no row in disorder; with a coarse date of 36 bins each, four rows of ten had."""
    site = TestSite(tmp_path)
    dates = {"type": "date", "bounds": ["2019-01-01", "2021-12-31"], "bins": 36}
    site.domain(
        {
            "admitted": dates,
            "discharged": {**dates, "after": "admitted", "within": [0, 365], "bins": 366, "unit": "day"},
        }
    )
    site.write(spark, stays(1000), "pid BIGINT, admitted DATE, discharged DATE")
    request = site.request(
        patient={"max_rows_per_patient": 1},
        population={"declared_patients": 1000, "declared_rows": 1000},
        columns=["admitted", "discharged"],
        privacy={"mechanism": "gaussian", "epsilon": 60, "delta": 1e-7},
        synthesizer={"name": synthesizer},
        output={"rows": 1000},
    )
    ward = site.open(spark)
    open_budget(ward, declared_patients=1000)
    approve(ward, ward.request(request))
    release = ward.run(ward.request(request))
    body = ward.manifest(release.release_id).body
    assert {gate["gate"]: gate["passed"] for gate in body["gates"]}["order"] is True
    [entry] = [entry for entry in body["domain"]["attributes"] if entry["column"] == "discharged"]
    assert (entry["type"], entry["bounds"], entry["after"]) == ("difference", ["0 days", "365 days"], "admitted")
    found = ward.rows(release.release_id).select("admitted", "discharged").toPandas()
    both = found.dropna()
    between = [(two - one).days for one, two in zip(both["admitted"], both["discharged"], strict=True)]
    assert len(both) > 850
    assert found["admitted"].notna()[found["discharged"].notna()].all()
    assert min(between) >= 0
    assert sum(days <= 8 for days in between) > 0.8 * len(both)
    assert max(both["discharged"]) <= date(2021, 12, 31)
