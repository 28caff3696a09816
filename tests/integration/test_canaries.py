"""One run with a thousand canary patients through Spark's own pass: the bound stays below the claim, with its power."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from canaries import Canaries, audit, by_worker
from synthward.domain.codes import CodeBook
from synthward.measure.layout import Layout, collect_vector, exact_vector_frame
from synthward.privacy.noise import SecureNoise
from synthward.privacy.queries import Marginal
from synthward.privacy.unit import PrivacyUnit

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("rows", [1, 4, 16])
def test_a_thousand_canaries_in_one_run(
    spark: SparkSession, rows: int, record_property: Callable[[str, object], None]
) -> None:
    def by_spark(patients: np.ndarray, cells: np.ndarray, book: CodeBook, max_rows: int) -> np.ndarray:
        books = {book.name: book}
        layout = Layout.of([Marginal((book.name,))], books)
        frame = spark.createDataFrame(pd.DataFrame({"unit": patients, "c0": cells}))
        exact = collect_vector(
            exact_vector_frame(frame, books, layout, PrivacyUnit("patient", max_rows), 3), layout.cells
        )
        assert np.array_equal(exact, by_worker(patients, cells, book, max_rows))
        return exact

    inside = np.random.default_rng().integers(0, 2, 1000).astype(bool)
    found = audit(Canaries(1000, rows, public=3000), inside, 4, SecureNoise(), 1e-9, by_spark)
    record_property("audit", f"Spark, 1,000 canaries of {rows} rows, K = 4: {found.words}")
    assert found.bound <= found.claimed, found.words
