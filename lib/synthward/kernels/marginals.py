"""Marginals of any width as exact integers: packed words through Arrow, counted in numpy, summed by Spark.

The counting itself is in `_worker.py`. Each task yields one partial vector; Spark adds them with map-side combination.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synthward.domain.cells import Packing, Table
from synthward.kernels import _worker
from synthward.kernels.encode import UNIT, word_column

VECTOR = "cell long, value long"


def count_plan(packing: Packing, tables: Sequence[Table], max_rows: int, weight_unit: int) -> _worker.CountPlan:
    """The worker's instructions, in plain integers."""
    place = {slot.name: k for k, slot in enumerate(packing.slots)}
    used = sorted({place[name] for table in tables for name in table.clique})
    compact = {old: new for new, old in enumerate(used)}
    start = min(table.offset for table in tables)
    return _worker.CountPlan(
        slots=tuple((s.word, s.shift, (1 << s.bits) - 1) for s in (packing.slots[k] for k in used)),
        tables=tuple(
            (
                table.offset - start,
                tuple((compact[place[name]], stride) for name, stride in zip(table.clique, table.strides, strict=True)),
                table.cells,
            )
            for table in tables
        ),
        cells=sum(table.cells for table in tables),
        max_rows=max_rows,
        weight_unit=weight_unit,
    )


def weighted_marginals(
    encoded: DataFrame, packing: Packing, tables: Sequence[Table], max_rows: int, weight_unit: int, tasks: int
) -> DataFrame:
    """Weighted counts of the cells of `tables`, in units of 1 / weight_unit.

    Args:
        encoded: Output of `encode`; rows without a unit must be gone.
        packing: Places of the codes.
        tables: Marginals, laid one after the other.
        max_rows: Contribution bound K.
        weight_unit: S.
        tasks: Number of partitions by unit, a public number.

    Returns:
        Rows (cell LONG, value LONG); cells are those of the tables, and a cell may come in several rows.
    """
    plan = count_plan(packing, tables, max_rows, weight_unit)
    words = [F.col(word_column(word)) for word in range(packing.words)]
    start = min(table.offset for table in tables)
    if UNIT in encoded.columns:
        rows = encoded.select(F.col(UNIT), *words).repartition(tasks, F.col(UNIT))
        partial = rows.mapInArrow(_worker.count_units(plan), VECTOR)
    else:
        partial = encoded.select(*words).mapInArrow(_worker.count_rows(plan), VECTOR)
    return partial.select((F.col("cell") + F.lit(start)).alias("cell"), F.col("value"))
