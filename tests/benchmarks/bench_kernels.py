"""`make bench-kernels`: speed of measuring and of writing, as ratios to bare Spark in the same run.

One JSON line a figure on stdout. Options: `--rows`, `--repeats`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from synthward.config.loader import bind
from synthward.domain.cells import Packing, tables
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.fit.model import ColumnModel, Model
from synthward.kernels.encode import encode, word_column
from synthward.kernels.marginals import weighted_marginals
from synthward.kernels.sums import SumCells, clipped_sums
from synthward.measure.curator import public_tasks
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.release import table
from synthward.release.table import Lineage
from synthward.sample.blocks import sample_places, sample_plan
from synthward.spark.session import build_session, stop_session
from synthward.store.delta import TableRef

sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import compare, figure

FEATURES = 8
K = 4
NUMERIC = "version: 1\nattributes:\n" + "".join(
    f"  x{k}: {{type: numeric, bounds: [0, 200], resolution: 0.1}}\n" for k in range(FEATURES)
)
RELEASE = (
    "version: 1\nattributes:\n"
    + "".join(
        f"  s{k}: {{type: categorical, values: [{', '.join(f'v{k}_{v}' for v in range(10))}]}}\n" for k in range(6)
    )
    + "".join(f"  d{k}: {{type: numeric, bounds: [0, 200], resolution: 0.1}}\n" for k in range(4))
)


def main() -> None:
    """Runs all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    spark = build_session("synthward bench-kernels", master="local[2]")
    try:
        with tempfile.TemporaryDirectory(prefix="synthward-bench-") as folder:
            source = _source(spark, folder, options.rows)
            _sums(source, options.repeats)
            _patient_sums(source, options.repeats)
            _marginals(source, options)
            _write(spark, folder, options)
    finally:
        stop_session(spark)


def _source(spark: SparkSession, folder: str, rows: int) -> DataFrame:
    """Doubles and a patient key as Parquet: about four rows a patient, in random order."""
    path = f"{folder}/source"
    made = spark.range(0, rows, 1, 16).select(
        (F.xxhash64("id") % (rows // 4)).alias("patient"),
        *(((F.xxhash64("id", F.lit(k)) % 2200) / 10.0).alias(f"x{k}") for k in range(FEATURES)),
    )
    made.write.parquet(path)
    return spark.read.parquet(path)


def _encoded(source: DataFrame, *, patient: bool) -> DataFrame:
    books = codebooks(bind(NUMERIC, Domain))
    unit = [F.col("patient").alias("unit")] if patient else []
    rows = source.select(*unit, *(F.col(f"x{k}").alias(f"c{k}") for k in range(FEATURES)))
    return encode(rows, books, Packing.of(books))


def _cells(*, full: bool) -> SumCells:
    names = [f"x{k}" for k in range(FEATURES)]
    sums = {name: k for k, name in enumerate(names)}
    if not full:
        return SumCells(None, {}, sums, {})
    return SumCells(
        3 * FEATURES,
        {name: FEATURES + k for k, name in enumerate(names)},
        sums,
        {name: 2 * FEATURES + k for k, name in enumerate(names)},
    )


def _sums(source: DataFrame, repeats: int) -> None:
    books = codebooks(bind(NUMERIC, Domain))
    encoded = _encoded(source, patient=False)
    found = compare(
        {
            "plain": lambda: source.agg(*(F.sum(f"x{k}") for k in range(FEATURES))).collect(),
            "clipped": lambda: clipped_sums(encoded, books, _cells(full=False), 1, WEIGHT_UNIT).collect(),
            "full": lambda: clipped_sums(encoded, books, _cells(full=True), 1, WEIGHT_UNIT).collect(),
        },
        repeats,
    )
    figure("sums_vs_plain_sum", found["clipped"].seconds / found["plain"].seconds, "ratio")
    figure("sums_squares_presence_vs_plain_sum", found["full"].seconds / found["plain"].seconds, "ratio")
    figure("plain_sum_s", found["plain"].seconds, "s")


def _patient_sums(source: DataFrame, repeats: int) -> None:
    books = codebooks(bind(NUMERIC, Domain))
    encoded = _encoded(source, patient=True)
    found = compare(
        {
            "plain": lambda: source.groupBy("patient").count().agg(F.sum("count")).collect(),
            "clipped": lambda: clipped_sums(encoded, books, _cells(full=False), K, WEIGHT_UNIT).collect(),
            "full": lambda: clipped_sums(encoded, books, _cells(full=True), K, WEIGHT_UNIT).collect(),
        },
        repeats,
    )
    figure("patient_sums_vs_group_count", found["clipped"].seconds / found["plain"].seconds, "ratio")
    figure("patient_sums_squares_presence_vs_group_count", found["full"].seconds / found["plain"].seconds, "ratio")
    figure("group_count_s", found["plain"].seconds, "s")


def _marginals(source: DataFrame, options: argparse.Namespace) -> None:
    books = codebooks(bind(NUMERIC, Domain))
    packing = Packing.of(books)
    laid = tables(books, [(name,) for name in books])
    tasks = public_tasks(options.rows)
    rows, units = _encoded(source, patient=False), _encoded(source, patient=True)
    words = [word_column(word) for word in range(packing.words)]

    def total(frame: DataFrame) -> object:
        return frame.groupBy("cell").agg(F.sum("value")).collect()

    def ship(batches):  # type: ignore[no-untyped-def]
        yield from (batch.slice(0, 0) for batch in batches)

    schema = ", ".join(f"{word} long" for word in words)
    found = compare(
        {
            "ship": lambda: rows.select(*words).mapInArrow(ship, schema).agg(F.count(F.lit(1))).collect(),
            "rows": lambda: total(weighted_marginals(rows, packing, laid, 1, WEIGHT_UNIT, tasks)),
            "ship_units": lambda: (
                units.select("unit", *words)
                .repartition(tasks, F.col("unit"))
                .mapInArrow(ship, "unit long, " + schema)
                .agg(F.count(F.lit(1)))
                .collect()
            ),
            "units": lambda: total(weighted_marginals(units, packing, laid, K, WEIGHT_UNIT, tasks)),
        },
        options.repeats,
    )
    figure("one_way_vs_ship", found["rows"].seconds / found["ship"].seconds, "ratio")
    figure("patient_one_way_vs_ship", found["units"].seconds / found["ship_units"].seconds, "ratio")
    figure("ship_s", found["ship"].seconds, "s")
    figure("ship_units_s", found["ship_units"].seconds, "s")


def _write(spark: SparkSession, folder: str, options: argparse.Namespace) -> None:
    """Ten decoded columns sampled and written to Delta with constraints and lineage."""
    books = codebooks(bind(RELEASE, Domain))
    columns = []
    for name in books:
        if name.startswith("s"):
            columns.append(ColumnModel(name, np.append(np.full(10, 0.1), [0.0, 0.0])))
        else:
            starts = np.arange(0, 2001, 2, dtype=np.int64)
            columns.append(ColumnModel(name, np.append(np.full(len(starts), 1 / len(starts)), [0, 0]), starts, 2001))
    model = Model("bench", "", tuple(columns))
    types = table.release_types(books, dict.fromkeys(books))
    plan = sample_plan(model, books, options.rows, 1)
    lineage = Lineage("r0", model.digest, "2026-01-01T00:00:00.000000Z")

    def write() -> None:
        rows = table.release_rows(sample_places(spark, plan, 2**21), books, types, {}, lineage)
        table.stage(rows, TableRef(path=f"{folder}/release"), table.constraints(books, types), {"release_id": "r0"})

    def draw() -> None:
        sample_places(spark, plan, 2**21).agg(F.sum("c0")).collect()

    found = compare({"draw": draw, "write": write}, max(2, options.repeats // 2))
    figure("write_rows_per_cpu_s", options.rows / found["write"].cpu, "rows per CPU-second")
    figure("write_rows_per_s", options.rows / found["write"].seconds, "rows per second")
    figure("draw_rows_per_cpu_s", options.rows / found["draw"].cpu, "rows per CPU-second")


if __name__ == "__main__":
    main()
