"""Columns that are missing together, on a real session: Spark decodes as local rows do, the gate finds other rows."""

from __future__ import annotations

from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.domain.codes import MISSING, OTHER, codebooks
from synthward.domain.spec import Categorical, Domain, Numeric
from synthward.evaluate.gates import presence
from synthward.evaluate.inspect import inspect
from synthward.release.table import Lineage, release_rows
from synthward.sample.local import decode_batch

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PRESSURE = Numeric(bounds=(Decimal(0), Decimal(9)), integer=True)
BOOKS = codebooks(
    Domain(
        version=1,
        attributes={
            "low": PRESSURE,
            "sex": Categorical(values=("F", "M")),
            "high": PRESSURE,
            "arm": Categorical(values=("L",), other="?"),
        },
        missing_together=(("low", "high", "arm"),),
    )
)
LINEAGE = Lineage("r1", "0" * 64, "2026-01-01T00:00:00Z")
TYPES = {"low": T.LongType(), "sex": T.StringType(), "high": T.LongType(), "arm": T.StringType()}


def test_spark_and_local_rows_have_all_values_or_none(spark: SparkSession, tmp_path: Path) -> None:
    listed = [*product((0, 9, OTHER, MISSING), (0, MISSING), (3, OTHER, MISSING), (0, OTHER, MISSING))]
    places = [np.array(column, dtype=np.int32) for column in zip(*listed, strict=True)]
    arrays = [pa.array(range(len(listed)), pa.int64()), *(pa.array(column) for column in places)]
    pq.write_table(pa.table(arrays, ["_row", *(f"c{place}" for place in range(len(BOOKS)))]), tmp_path / "p.parquet")
    rows = release_rows(spark.read.parquet(str(tmp_path / "p.parquet")), BOOKS, TYPES, {}, LINEAGE)
    found = rows.orderBy("_row").select(*BOOKS).toArrow().to_pylist()
    local = {"low": pa.int64(), "sex": pa.string(), "high": pa.int64(), "arm": pa.string()}
    assert found == decode_batch(BOOKS, places, pa.schema(list(local.items()))).to_pylist()

    staged = inspect(rows, BOOKS, LINEAGE)
    assert staged.apart == {("low", "high", "arm"): 0}
    assert presence.judge(staged) == (True, "every row has all or none of: low and high and arm")

    torn = rows.withColumn("high", F.when(F.col("_row") > 0, F.col("high")))  # the first row has all three values
    staged = inspect(torn, BOOKS, LINEAGE)
    assert staged.apart == {("low", "high", "arm"): 1}
    assert presence.judge(staged)[0] is False
