"""Rows on Spark: the same for any partitioning, the same as without Spark, decoded alike."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pyspark.sql import SparkSession

from small_model import model_file
from synthward.release.table import release_types
from synthward.sample.blocks import sample_places, sample_plan
from synthward.sample.decode import decode_all
from synthward.sample.local import sample_table


@pytest.mark.connect
def test_rows_do_not_depend_on_tasks_and_equal_those_without_spark(spark: SparkSession) -> None:
    file = model_file(groups=True)
    plan = sample_plan(file.model, file.books, 5_000, 11)
    small = replace(plan, block_rows=700)  # eight blocks
    drawn = [sample_places(spark, small, rows).orderBy("_row").toArrow() for rows in (700, 2_000, 10_000)]
    assert drawn[0]["_row"].to_pylist() == list(range(5_000))
    assert drawn[0].equals(drawn[1])
    assert drawn[0].equals(drawn[2])
    types = release_types(file.books, dict.fromkeys(file.books))
    values = decode_all(file.books, types)
    decoded = sample_places(spark, plan, 10_000).select("_row", *values).orderBy("_row").toPandas()
    local = sample_table(file, 5_000, 11).to_pandas()
    for name in file.books:
        ours, theirs = decoded[name], local[name]
        np.testing.assert_array_equal(ours.isna(), theirs.isna())
        assert ours[ours.notna()].tolist() == theirs[theirs.notna()].tolist()
