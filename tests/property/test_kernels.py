"""The real Spark kernels against the reference, over more than a thousand neighbouring pairs.

Many data sets share one job: the id of a unit is a struct of data set and id, the native sums group by the data set
(`clipped_sums(..., by=)`), and the Arrow kernel's own worker function runs once for each data set inside a task, on the
batches as they come. Nothing of the kernels' arithmetic is repeated here. Other pairs go through the unmodified path of
the curator, one job each.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

import oracle
from extracts import BOOKS, DOMAIN, EXTREME, QUERIES, IdKind, Rows, cells, extract, patient_ids, without, write
from predictions import assert_scores_are_neighbours, assert_scores_attain_their_bounds, predictions
from synthward.domain.cells import Packing
from synthward.kernels import _worker
from synthward.kernels.encode import UNIT, encode, word_column
from synthward.kernels.marginals import count_plan, first_cell
from synthward.kernels.patients import unit_key
from synthward.kernels.sums import clipped_sums
from synthward.measure.layout import Layout, collect_vector, exact_vector_frame
from synthward.privacy.queries import Marginal, Population, Query
from synthward.privacy.sensitivity import WEIGHT_UNIT, bound
from synthward.privacy.unit import PrivacyUnit

pytestmark = pytest.mark.usefixtures("compiled")

LAYOUT = Layout.of(QUERIES, BOOKS)
JOINT: tuple[Query, ...] = (
    Population(),
    *(Marginal(pair) for pair in combinations(BOOKS, 2)),
    *(Marginal(triple) for triple in combinations(("flag", "sex", "lab", "dose", "seen"), 3)),
    Marginal(("seen", "flag", "icd")),
)
"""The population, all pairs, and triples in several orders of their columns: 32 marginals out of a few blocks."""

JOINT_LAYOUT = Layout.of(JOINT, BOOKS)
CLIQUES = tuple(query.clique for query in QUERIES if isinstance(query, Marginal))
PACKING = Packing.of(BOOKS)
NAMES = [f"c{place}" for place in range(len(BOOKS))]
TASKS = 3

Worker = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]


def per_data_set(plan: _worker.CountPlan, group_rows: int, chunk_rows: int) -> Worker:
    """The production worker once for each data set of a task; input columns: data set, unit id, words."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.compute as pc

        from synthward.kernels import _worker

        held: dict[int, list[pa.RecordBatch]] = {}
        for batch in batches:
            for number in pc.unique(batch.column(0)).to_pylist():
                part = batch.filter(pc.equal(batch.column(0), number))
                held.setdefault(number, []).append(part.select(batch.schema.names[1:]))
        before = _worker.GROUP_ROWS, _worker.CHUNK_ROWS
        _worker.GROUP_ROWS, _worker.CHUNK_ROWS = group_rows, chunk_rows
        try:
            for number, parts in held.items():
                for counted in _worker.count_units(plan)(iter(parts)):
                    told = counted.filter(pc.not_equal(counted.column(1), 0))
                    owner = pa.array([number] * told.num_rows, type=pa.int64())
                    yield pa.RecordBatch.from_arrays([owner, *told.columns], names=["dataset", *told.schema.names])
        finally:
            _worker.GROUP_ROWS, _worker.CHUNK_ROWS = before

    return run


def vectors(
    spark: SparkSession,
    path: str,
    K: int,
    tables: int,
    *,
    layout: Layout = LAYOUT,
    group_rows: int = 1 << 21,
    chunk_rows: int = 1 << 14,
) -> np.ndarray:
    """Exact vectors of all data sets in one job, shape (tables, cells)."""
    rows = spark.read.parquet(path)
    key = unit_key(F.col("unit"), rows.schema["unit"].dataType)
    owned = F.struct("dataset", key.alias("id")).alias(UNIT)
    encoded = encode(rows.where(F.col("unit").isNotNull()).select(*NAMES, owned), BOOKS, PACKING)
    others = [name for name in encoded.columns if name != UNIT]
    flat = encoded.select(F.col(f"{UNIT}.dataset"), F.col(f"{UNIT}.id").alias(UNIT), *others)
    words = flat.select("dataset", UNIT, *(word_column(word) for word in range(PACKING.words)))
    population = layout.sums.population if layout.only_population else None
    plan = count_plan(PACKING, layout.tables, K, WEIGHT_UNIT, population)
    counted = words.repartition(TASKS, "dataset", UNIT).mapInArrow(
        per_data_set(plan, group_rows, chunk_rows), "dataset long, cell long, value long"
    )
    first = F.lit(first_cell(layout.tables, population))
    whole = counted.select("dataset", (F.col("cell") + first).alias("cell"), "value")
    if layout.sums.cells and not layout.only_population:
        whole = whole.unionAll(clipped_sums(flat, BOOKS, layout.sums, K, WEIGHT_UNIT, by=("dataset",)))
    found = whole.groupBy("dataset", "cell").agg(F.sum("value").alias("value")).toArrow()
    result = np.zeros((tables, layout.cells), dtype=np.int64)
    result[found["dataset"].to_numpy(), found["cell"].to_numpy()] = found["value"].to_numpy()
    return result


def expected(
    rows: Rows,
    K: int,
    understood: Sequence[oracle.Row] | None = None,
    queries: Sequence[Query] = QUERIES,
    layout: Layout = LAYOUT,
) -> np.ndarray:
    """The reference's vector."""
    seen = oracle.understand(rows, BOOKS) if understood is None else understood
    vector = np.zeros(layout.cells, dtype=np.int64)
    for query in queries:
        part = vector[layout.part(query)]
        for cell, value in oracle.answer(query, seen, BOOKS, K).items():
            part[cell] = value
    return vector


def answers(vector: np.ndarray) -> dict[Query, np.ndarray]:
    """The vector by query, as the curator keeps it."""
    return {query: vector[LAYOUT.part(query)] for query in QUERIES}


def assert_neighbours(ours: np.ndarray, theirs: np.ndarray, K: int) -> None:
    """Both norms of every query's difference are within its integer bound; computed in Python's integers."""
    for query in QUERIES:
        moved = [abs(int(value)) for value in (ours - theirs)[LAYOUT.part(query)]]
        declared = bound(query, PrivacyUnit("patient", K), DOMAIN, "laplace")
        assert sum(moved) <= declared, query.label
        assert sum(value * value for value in moved) <= declared**2, query.label


def neighbours(rng: random.Random, kind: IdKind, bases: int, heavy: Sequence[int]) -> tuple[list[Rows], list[tuple]]:
    """Base tables, each followed by neighbours: without one patient, for up to three of its patients."""
    tables: list[Rows] = []
    pairs = []
    for base in range(bases):
        rows = extract(rng, kind, heavy=heavy[base] if base < len(heavy) else 0)
        units = sorted({unit for unit, _ in rows if unit is not None}, key=repr)
        removed = rng.sample(units, min(3, len(units)))
        if base < len(heavy):
            removed = [patient_ids(kind, 60)[-1], *removed[:2]]
        pairs += [(len(tables), len(tables) + 1 + k, unit) for k, unit in enumerate(removed)]
        tables += [rows, *(without(rows, unit) for unit in removed)]
    return tables, pairs


BASES = 105
"""For each K: about 300 pairs."""


@pytest.mark.parametrize(("K", "kind", "seed"), [(1, "text", 1), (2, "long", 2), (4, "text", 3), (1023, "long", 4)])
def test_kernels_equal_the_reference_on_neighbours(
    spark: SparkSession, tmp_path: Path, K: int, kind: IdKind, seed: int
) -> None:
    """Exact equality on every data set, hence the bound on every pair; one patient owns thousands of rows."""
    tables, pairs = neighbours(random.Random(seed), kind, BASES, heavy=[3000, K, K + 1])
    assert len(pairs) >= 280
    found = vectors(spark, write(tables, kind, tmp_path / "x"), K, len(tables))
    understood: dict[int, list[oracle.Row]] = {}
    chance = random.Random(seed)
    for ours, theirs, unit in pairs:
        if ours not in understood:
            understood[ours] = oracle.understand(tables[ours], BOOKS)
            np.testing.assert_array_equal(found[ours], expected(tables[ours], K, understood[ours]))
        less = [row for row in understood[ours] if row.unit != unit]
        np.testing.assert_array_equal(found[theirs], expected(tables[theirs], K, less))
        assert_neighbours(found[ours], found[theirs], K)
        guessed = predictions(chance, CLIQUES, BOOKS)
        assert_scores_are_neighbours(answers(found[ours]), answers(found[theirs]), guessed, CLIQUES, K, DOMAIN)


def test_joint_counts_equal_the_reference_on_neighbours(spark: SparkSession, tmp_path: Path) -> None:
    """Population, pairs and triples out of one pass: equality, each one's bound, those of all marginals together, which
    are attained."""
    K = 2
    tables, pairs = neighbours(random.Random(7), "text", 40, heavy=[500, K, K + 1])
    tables += [[("a", EXTREME)] * K, [("a", EXTREME)] * (2 * K)]
    found = vectors(spark, write(tables, "text", tmp_path / "x"), K, len(tables), layout=JOINT_LAYOUT)
    for number, rows in enumerate(tables):
        np.testing.assert_array_equal(found[number], expected(rows, K, None, JOINT, JOINT_LAYOUT))
    assert len(pairs) >= 100
    moves = [(found[ours] - found[theirs]).tolist() for ours, theirs, _ in pairs]
    for moved in [*moves, *(found[number].tolist() for number in (-2, -1))]:
        [units], *parts = [[abs(cell) for cell in moved[JOINT_LAYOUT.part(query)]] for query in JOINT]
        assert units == WEIGHT_UNIT
        assert max(map(sum, parts)) <= K * WEIGHT_UNIT
        assert sum(map(sum, parts)) <= len(parts) * K * WEIGHT_UNIT
        assert sum(cell * cell for part in parts for cell in part) <= len(parts) * (K * WEIGHT_UNIT) ** 2
    for number in (-2, -1):  # K and 2 K equal rows of one patient reach both
        units, *attained = [cell for cell in found[number].tolist() if cell]
        assert units == WEIGHT_UNIT
        assert attained == [K * WEIGHT_UNIT] * (len(JOINT) - 1)


@pytest.mark.parametrize("K", [1, 2, 4, 1023])
def test_bounds_are_attained_by_the_kernels(spark: SparkSession, tmp_path: Path, K: int) -> None:
    """One patient with K, and with 2K, extreme rows moves every answer by exactly its bound."""
    tables: list[Rows] = [[("a", EXTREME)] * K, [("a", EXTREME)] * (2 * K)]
    found = vectors(spark, write(tables, "text", tmp_path / "x"), K, len(tables))
    for vector in found:
        for query in QUERIES:
            reached = sum(abs(int(value)) for value in vector[LAYOUT.part(query)])
            assert reached == bound(query, PrivacyUnit("patient", K), DOMAIN, "laplace"), query.label
        assert_scores_attain_their_bounds(answers(vector), answers(np.zeros_like(vector)), CLIQUES, K, DOMAIN)


@pytest.fixture
def arrow_rows(spark: SparkSession, request: pytest.FixtureRequest) -> Iterator[int]:
    """Rows of an Arrow batch, put back afterwards."""
    name = "spark.sql.execution.arrow.maxRecordsPerBatch"
    before = spark.conf.get(name)
    spark.conf.set(name, str(request.param))
    yield request.param
    spark.conf.set(name, str(before))


@pytest.mark.parametrize(
    ("arrow_rows", "group_rows", "chunk_rows"),
    [(1, 2, 1), (3, 1 << 21, 4), (7, 16, 3), (10_000, 64, 1 << 14)],
    indirect=["arrow_rows"],
)
def test_tiny_batches_groups_and_chunks(
    spark: SparkSession, tmp_path: Path, arrow_rows: int, group_rows: int, chunk_rows: int
) -> None:
    """A patient longer than many batches and groups, rows interleaved over files: n is the patient's all the same, and
    who waits in files is counted once."""
    rng = random.Random(arrow_rows)
    tables = [extract(rng, "text", patients=12, heavy=heavy) for heavy in (0, 40, 100, 5, 6)]
    path = write(tables, "text", tmp_path / "x", files=4)
    for queries, layout in ((QUERIES, LAYOUT), (JOINT, JOINT_LAYOUT)):
        found = vectors(spark, path, 5, len(tables), layout=layout, group_rows=group_rows, chunk_rows=chunk_rows)
        for number, rows in enumerate(tables):
            np.testing.assert_array_equal(found[number], expected(rows, 5, None, queries, layout))


def unmodified(frame: DataFrame, unit: PrivacyUnit, queries: Sequence[Query] = QUERIES) -> np.ndarray:
    """The curator's own path."""
    layout = Layout.of(queries, BOOKS)
    return collect_vector(exact_vector_frame(frame, BOOKS, layout, unit, TASKS), layout.cells)


def opened(spark: SparkSession, path: str) -> DataFrame:
    rows = spark.read.parquet(path)
    key = unit_key(F.col("unit"), rows.schema["unit"].dataType)
    return rows.where(F.col("unit").isNotNull()).select("dataset", *NAMES, key.alias(UNIT))


@pytest.mark.parametrize(
    ("K", "kind"),
    [(3, "text"), pytest.param(1, "long", marks=pytest.mark.slow), pytest.param(1023, "text", marks=pytest.mark.slow)],
)
def test_pairs_through_the_unmodified_path(spark: SparkSession, tmp_path: Path, K: int, kind: IdKind) -> None:
    """Ten patients removed one at a time, and the last one of all: 1 -> 0 patients; eleven pairs for each K."""
    rng = random.Random(K)
    units = [*patient_ids(kind, 9), patient_ids(kind, 60)[-1]]
    base: Rows = [(unit, cells(rng)) for unit in [*units[:-1] * 2, *[units[-1]] * 1500, *units[:3] * 4, None]]
    rng.shuffle(base)
    alone = [row for row in base if row[0] == units[0]]
    tables = [base, *(without(base, unit) for unit in units), alone, []]
    unit = PrivacyUnit("patient", K)
    # A folder for each, not a filter: the engine then generates the same code every time and compiles it once.
    paths = [write([rows], kind, tmp_path / str(number)) for number, rows in enumerate(tables)]
    found = [unmodified(opened(spark, path).drop("dataset"), unit) for path in paths]
    for number, rows in enumerate(tables):
        np.testing.assert_array_equal(found[number], expected(rows, K))
    for number in range(1, len(units) + 1):
        assert_neighbours(found[0], found[number], K)
    assert_neighbours(found[len(units) + 1], found[len(units) + 2], K)
    assert not found[len(units) + 2].any()


def test_two_patients_never_share_a_key(spark: SparkSession) -> None:
    """300,000 ids: a 32-bit hash would merge ten pairs of them. Nor does a collation merge ids that differ in case."""
    ids = spark.range(300_000).select(F.concat(F.lit("patient-"), F.col("id").cast("string")).alias("id"))
    assert ids.select(unit_key(F.col("id"), T.StringType())).distinct().count() == 300_000
    cased = spark.createDataFrame([("ab1",), ("AB1",), ("ab1 ",)], "id string")
    collated = cased.select(F.collate(F.col("id"), "UTF8_LCASE").alias("id"))
    assert collated.select(unit_key(F.col("id"), collated.schema["id"].dataType)).distinct().count() == 3
    longs = spark.createDataFrame([(5,), (5 + 2**32,), (2**53,), (2**53 + 1,), (-(2**63),), (2**63 - 1,)], "id long")
    assert longs.select(unit_key(F.col("id"), T.LongType())).distinct().count() == 6


def test_rows_as_units(spark: SparkSession, tmp_path: Path) -> None:
    """Without a unit every row is one of its own, with K = 1."""
    rows = extract(random.Random(5), "text", patients=20)
    numbered: Rows = [(str(number), row) for number, (_, row) in enumerate(rows)]
    frame = spark.read.parquet(write([numbered, numbered[1:]], "text", tmp_path / "x"))
    unit = PrivacyUnit("row", 1)
    whole, less = (unmodified(frame.where(F.col("dataset") == number).select(*NAMES), unit) for number in (0, 1))
    np.testing.assert_array_equal(whole, expected(numbered, 1))
    np.testing.assert_array_equal(less, expected(numbered[1:], 1))
    assert_neighbours(whole, less, 1)
    joint = unmodified(frame.where(F.col("dataset") == 0).select(*NAMES), unit, JOINT)
    np.testing.assert_array_equal(joint, expected(numbered, 1, None, JOINT, JOINT_LAYOUT))


def test_subsets_of_queries_agree_with_the_whole(spark: SparkSession, tmp_path: Path) -> None:
    """Each query alone gives the numbers that it gives among others: no cell is read at another's place."""
    rows = extract(random.Random(6), "long", patients=15)
    frame = opened(spark, write([rows], "long", tmp_path / "x")).drop("dataset")
    unit = PrivacyUnit("patient", 2)
    whole = expected(rows, 2)
    population, last = QUERIES[0], QUERIES[-1]
    several = ([population, last], [last, population], QUERIES[2:4], [last, QUERIES[3], QUERIES[-3]])
    for chosen in ([population], [Marginal(("icd", "flag"))], *several):
        found = unmodified(frame, unit, chosen)
        layout = Layout.of(chosen, BOOKS)
        for query in chosen:
            np.testing.assert_array_equal(found[layout.part(query)], whole[LAYOUT.part(query)])
