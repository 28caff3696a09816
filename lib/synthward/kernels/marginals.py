"""Marginals of any width as exact integers: packed words through Arrow, counted in numpy, summed by Spark.

The counting itself is in `_worker.py`. It knows every unit of its partition, so that the population comes with the
marginals, from the same scan and the same shuffle. Each task yields one partial vector; Spark adds them with map-side
combination.
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synthward.domain.cells import Packing, Table, table_fault
from synthward.errors import UsageError
from synthward.kernels import _worker
from synthward.kernels.cover import cover
from synthward.kernels.encode import UNIT, word_column

VECTOR = "cell long, value long"


def count_plan(
    packing: Packing, tables: Sequence[Table], max_rows: int, weight_unit: int, population: int | None = None
) -> _worker.CountPlan:
    """The worker's instructions, in plain integers; its cells are those of the vector, less `first_cell`.

    Raises:
        UsageError: A table, or all of them together, would have more cells than a task can count.
    """
    fault = table_fault(tables)
    if fault is not None:
        raise UsageError(fault)
    wanted = {name for table in tables for name in table.clique}
    slots = [slot for slot in packing.slots if slot.name in wanted]
    place = {slot.name: number for number, slot in enumerate(slots)}
    found = cover({slot.name: slot.cells for slot in slots}, [table.clique for table in tables])
    start = first_cell(tables, population)
    ends = [table.offset + table.cells for table in tables]
    return _worker.CountPlan(
        slots=tuple((slot.word, slot.shift, slot.bits) for slot in slots),
        blocks=tuple(tuple((place[name], slots[place[name]].cells) for name in block) for block in found.blocks),
        tables=tuple(
            (table.offset - start, block, tuple(found.blocks[block].index(name) for name in table.clique))
            for table, block in zip(tables, found.block_of, strict=True)
        ),
        cells=max(ends if population is None else [*ends, population + 1]) - start,
        max_rows=max_rows,
        weight_unit=weight_unit,
        population=None if population is None else population - start,
    )


def first_cell(tables: Sequence[Table], population: int | None) -> int:
    """The vector's cell that is the worker's first."""
    offsets = [table.offset for table in tables]
    return min(offsets if population is None else [*offsets, population])


def weighted_marginals(
    encoded: DataFrame,
    packing: Packing,
    tables: Sequence[Table],
    max_rows: int,
    weight_unit: int,
    tasks: int,
    population: int | None = None,
) -> DataFrame:
    """Weighted counts of the cells of `tables`, in units of 1 / weight_unit, and the population where it is asked for.

    Args:
        encoded: Output of `encode`; rows without a unit must be gone.
        packing: Places of the codes.
        tables: Marginals, laid one after the other.
        max_rows: Contribution bound K.
        weight_unit: S.
        tasks: Number of partitions by unit, a public number.
        population: Cell of the number of units, next to the tables' cells; each unit counts as weight_unit.

    Returns:
        Rows (cell LONG, value LONG); cells are those of the tables and of the population, and a cell may come in
        several rows.

    Raises:
        UsageError: A table, or all of them together, would have more cells than a task can count.
    """
    plan = count_plan(packing, tables, max_rows, weight_unit, population)
    words = [F.col(word_column(word)) for word in range(packing.words)]
    if UNIT in encoded.columns:
        rows = encoded.select(F.col(UNIT), *words).repartition(tasks, F.col(UNIT))
        partial = rows.mapInArrow(_worker.count_units(plan), VECTOR)
    else:
        partial = encoded.select(*words).mapInArrow(_worker.count_rows(plan), VECTOR)
    return partial.select((F.col("cell") + F.lit(first_cell(tables, population))).alias("cell"), F.col("value"))
