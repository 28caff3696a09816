"""The same integers whatever the engine does: partitions, AQE, ANSI mode, generated code, kind of session."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

import oracle
from extracts import BOOKS, QUERIES, Rows, extract, write
from synthward.domain.cells import Packing
from synthward.kernels.encode import UNIT, encode
from synthward.kernels.marginals import weighted_marginals
from synthward.kernels.patients import unit_key
from synthward.kernels.sums import clipped_sums
from synthward.measure.layout import Layout, collect_vector, exact_vector_frame
from synthward.privacy.queries import Base, Marginal, Population
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.unit import PrivacyUnit

pytestmark = pytest.mark.usefixtures("compiled")

LAYOUT = Layout.of(QUERIES, BOOKS)
JOINT: tuple[Base, ...] = (Population(), *(query for query in QUERIES if isinstance(query, Marginal)))
UNIT_3 = PrivacyUnit("patient", 3)
SETTINGS = [
    {},
    {"spark.sql.adaptive.enabled": "false", "spark.sql.ansi.enabled": "false"},
    {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"},
    {"spark.sql.execution.arrow.maxRecordsPerBatch": "7", "spark.sql.shuffle.partitions": "5"},
]


@pytest.fixture(scope="module")
def table() -> Rows:
    """One patient owns most rows, so that any way of splitting them shows."""
    return extract(random.Random(11), "text", patients=40, heavy=400)


@pytest.fixture(scope="module")
def expected(table: Rows) -> np.ndarray:
    """The reference's integers."""
    understood = oracle.understand(table, BOOKS)
    vector = np.zeros(LAYOUT.cells, dtype=np.int64)
    for query in QUERIES:
        for cell, value in oracle.answer(query, understood, BOOKS, UNIT_3.max_rows).items():
            vector[LAYOUT.part(query)][cell] = value
    return vector


@pytest.fixture(scope="module")
def path(table: Rows, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The table in three files, rows dealt in turn."""
    return write([table], "text", tmp_path_factory.mktemp("extract") / "x")


@pytest.fixture
def settings(spark: SparkSession, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Session settings, put back afterwards."""
    before = {name: spark.conf.get(name, None) for name in request.param}
    for name, value in request.param.items():
        spark.conf.set(name, value)
    yield request.param
    for name, value in before.items():
        if value is None:
            spark.conf.unset(name)
        else:
            spark.conf.set(name, value)


def opened(spark: SparkSession, path: str) -> DataFrame:
    rows = spark.read.parquet(path)
    key = unit_key(F.col("unit"), rows.schema["unit"].dataType).alias(UNIT)
    return rows.where(F.col("unit").isNotNull()).select(*(f"c{place}" for place in range(len(BOOKS))), key)


@pytest.mark.connect
@pytest.mark.parametrize("partitions", [1, 2, 7, 64])
def test_any_number_of_partitions(spark: SparkSession, path: str, expected: np.ndarray, partitions: int) -> None:
    """Of the rows as they come, and of the shuffle by unit."""
    rows = opened(spark, path).repartition(partitions)
    frame = exact_vector_frame(rows, BOOKS, LAYOUT, UNIT_3, partitions)
    np.testing.assert_array_equal(collect_vector(frame, LAYOUT.cells), expected)


@pytest.mark.connect
@pytest.mark.parametrize("settings", SETTINGS, indirect=True, ids=["default", "no AQE, no ANSI", "no codegen", "tiny"])
def test_any_settings(spark: SparkSession, path: str, expected: np.ndarray, settings: dict[str, str]) -> None:
    frame = exact_vector_frame(opened(spark, path), BOOKS, LAYOUT, UNIT_3, 2)
    np.testing.assert_array_equal(collect_vector(frame, LAYOUT.cells), expected)


def work(frame: DataFrame, capsys: pytest.CaptureFixture[str]) -> tuple[int, int]:
    """(scans of files, shuffles by unit) in the plan that runs."""
    capsys.readouterr()
    frame.explain()
    plan = capsys.readouterr().out
    return plan.count("FileScan parquet"), plan.count(f"Exchange hashpartitioning({UNIT}#")


def test_each_kernel_scans_and_shuffles_the_source_once(
    spark: SparkSession, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sums once and marginals once, whatever the number of queries; alone, each is one pass in all."""
    packing = Packing.of(BOOKS)
    encoded = encode(opened(spark, path), BOOKS, packing)
    assert work(clipped_sums(encoded, BOOKS, LAYOUT.sums, 3, WEIGHT_UNIT), capsys) == (1, 1)
    assert work(weighted_marginals(encoded, packing, LAYOUT.tables, 3, WEIGHT_UNIT, 2), capsys) == (1, 1)
    assert work(exact_vector_frame(opened(spark, path), BOOKS, LAYOUT, UNIT_3, 2), capsys) == (2, 2)
    assert LAYOUT.scans == 2


@pytest.mark.parametrize("queries", [JOINT, JOINT[1:], JOINT[:1]], ids=["both", "marginals", "population"])
def test_population_and_marginals_are_one_scan_and_one_shuffle(
    spark: SparkSession, path: str, capsys: pytest.CaptureFixture[str], queries: Sequence[Base]
) -> None:
    """What every synthesizer of joint structure asks in its first round; by row there is no shuffle at all."""
    layout = Layout.of(queries, BOOKS)
    rows = opened(spark, path)
    assert work(exact_vector_frame(rows, BOOKS, layout, UNIT_3, 2), capsys) == (1, 1)
    assert work(exact_vector_frame(rows.drop(UNIT), BOOKS, layout, PrivacyUnit("row", 1), 2), capsys) == (1, 0)
    assert layout.scans == 1


@pytest.mark.connect
@pytest.mark.parametrize("order", [1, -1], ids=["first", "last"])
@pytest.mark.parametrize("partitions", [1, 7])
def test_the_population_with_the_marginals_is_that_of_the_sums(
    spark: SparkSession, path: str, expected: np.ndarray, partitions: int, order: int
) -> None:
    """The same integers as in the pass with sums, wherever the population is asked; and of nobody, nothing."""
    queries = JOINT[::order]
    layout = Layout.of(queries, BOOKS)
    assert layout.only_population
    rows = opened(spark, path).repartition(partitions)
    found = collect_vector(exact_vector_frame(rows, BOOKS, layout, UNIT_3, partitions), layout.cells)
    for query in queries:
        np.testing.assert_array_equal(found[layout.part(query)], expected[LAYOUT.part(query)])
    nobody = exact_vector_frame(rows.where("false"), BOOKS, layout, UNIT_3, partitions)
    assert not collect_vector(nobody, layout.cells).any()
