"""`make bench-kernels`: speed of measuring and of writing, as ratios to bare Spark in the same run.

One JSON line a figure on stdout. Options: `--rows`, `--repeats`, `--only` some of sums, texts, pairs, growth,
sampling.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from synthward.config.loader import bind
from synthward.domain.cells import Packing
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.kernels.encode import encode
from synthward.kernels.sums import SumCells, clipped_sums
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.spark.session import build_session, stop_session

sys.path.insert(0, str(Path(__file__).resolve().parent))
import marginals
import sampling
import texts
from measure import compare, figure

PARTS = ("sums", "texts", "pairs", "growth", "sampling")
FEATURES = 8
K = 4
NUMERIC = "version: 1\nattributes:\n" + "".join(
    f"  x{k}: {{type: numeric, bounds: [0, 200], resolution: 0.1}}\n" for k in range(FEATURES)
)


def main() -> None:
    """Runs all figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    spark = build_session("synthward bench-kernels", master="local[2]")
    try:
        with tempfile.TemporaryDirectory(prefix="synthward-bench-") as folder:
            if "sums" in options.only:
                source = _source(spark, folder, options.rows)
                _sums(source, options.repeats)
                _patient_sums(source, options.repeats)
            if "texts" in options.only:
                texts.columns(spark, folder, options.rows, options.repeats)
                texts.passes(spark, folder, options.rows, options.repeats)
            if "pairs" in options.only:
                marginals.pairs(spark, folder, options.rows, options.repeats)
                marginals.diabetes(spark, folder, options.rows, options.repeats)
            if "growth" in options.only:
                marginals.growth(spark, folder, options.rows, options.repeats)
            if "sampling" in options.only:
                sampling.draw(spark, options.rows, options.repeats)
                sampling.write(spark, folder, options.rows, options.repeats)
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


if __name__ == "__main__":
    main()
