"""One look at a staged release: counts of columns and cliques, held to the code books."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from synthward.domain.codes import codebooks
from synthward.domain.spec import Boolean, Categorical, Domain, Numeric
from synthward.evaluate.inspect import inspect
from synthward.release.table import Lineage

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LINEAGE = Lineage("r1", "m1", "2026-01-01T00:00:00Z")
BOOKS = codebooks(
    Domain(
        version=1,
        attributes={
            "ward": Categorical(values=("A", "B"), missing=("?",), other="Other"),
            "age": Numeric(bounds=(Decimal(0), Decimal(9)), integer=True, bins=2, sentinels=(Decimal(3),)),
            "smoker": Boolean(),
        },
    )
)
ROWS = [("A", 1, True), ("A", 3, None), ("B", 9, False), ("Other", None, True), (None, 5, True), ("A", 2, True)]


@pytest.mark.connect
def test_cliques_are_counted_in_the_cells_of_the_source(spark: SparkSession) -> None:
    constants = (True, LINEAGE.release_id, LINEAGE.model_digest, LINEAGE.generated_at)
    names = "_synthetic BOOLEAN, _release_id STRING, _model_digest STRING, _generated_at STRING, _row BIGINT"
    staged = spark.createDataFrame(
        [(*row, *constants, place) for place, row in enumerate(ROWS)],
        f"ward STRING, age INT, smoker BOOLEAN, {names}",
    )
    found = inspect(staged, BOOKS, LINEAGE, [("age", "ward"), ("smoker", "ward", "age"), ("ward", "age")])
    assert set(found.joint) == {("smoker", "ward", "age")}
    # Cells: A, B, other, missing by two bins, below, above, other, missing. What means "missing" in the source is
    # no value of the release, except inside of the bounds: 3 is an ordinary number there.
    expected = np.zeros((4, 6), dtype=np.int64)
    for ward, age in ((0, 0), (0, 0), (1, 1), (2, 5), (3, 1), (0, 0)):
        expected[ward, age] += 1
    assert np.array_equal(found.table(("ward", "age")), expected)
    assert np.array_equal(found.counts["ward"], expected.sum(axis=1))
    assert found.table(("smoker", "age")).tolist() == [
        [0, 1, 0, 0, 0, 0],
        [2, 1, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
    ]
    assert found.lineage_ok
    assert not any(found.undeclared.values())
