"""Clipped sums, sums of squares, presence counts and the population: one native aggregate of LONGs.

Input is what `encode` returns; the unit's id, if any, is the column `unit`. The result is a vector in the long form
(cell, value), like that of `marginals`, so that both can be collected in one action.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Date, Numeric
from synthward.kernels.encode import UNIT, present_column, quantum_column
from synthward.kernels.patients import reweighted


@dataclass(frozen=True)
class SumCells:
    """Which sums to take and at which cell of the vector each one stands.

    Attributes:
        population: Cell of the number of units, counted in units of 1/S, or None.
        presence: Cell by attribute, likewise `sums` and `squares`.
    """

    population: int | None
    presence: Mapping[str, int]
    sums: Mapping[str, int]
    squares: Mapping[str, int]

    @property
    def cells(self) -> list[int]:
        """All cells, in the order of the aggregate's columns."""
        first = [] if self.population is None else [self.population]
        return [*first, *self.presence.values(), *self.sums.values(), *self.squares.values()]


def clipped_sums(
    encoded: DataFrame,
    books: Mapping[str, CodeBook],
    wanted: SumCells,
    max_rows: int,
    weight_unit: int,
    by: Sequence[str] = (),
) -> DataFrame:
    """Exact integer sums over bounded units.

    Args:
        encoded: Output of `encode`; rows without a unit must be gone.
        books: Code books by column name, in the domain's order.
        wanted: What to sum.
        max_rows: Contribution bound K.
        weight_unit: S, the unit of presence counts and of the population.
        by: Columns that tell apart data sets which are answered together, one vector for each.

    Returns:
        Rows (*by, cell LONG, value LONG), one a sum; zero where there are no rows at all.
    """
    by_row = _row_terms(books, wanted)
    if UNIT in encoded.columns:
        n = F.count(F.lit(1)).alias("n")
        per_unit = encoded.groupBy(*by, UNIT).agg(n, *(F.sum(term).alias(f"t{k}") for k, term in enumerate(by_row)))
        terms = [_bounded(k, len(wanted.presence), max_rows, weight_unit) for k in range(len(by_row))]
        rows = per_unit
    else:
        # A row is a unit with n = 1 <= K.
        terms = [term * F.lit(weight_unit) if k < len(wanted.presence) else term for k, term in enumerate(by_row)]
        rows = encoded
    aggregated = [F.coalesce(F.sum(term), F.lit(0)).cast("long") for term in terms]
    if wanted.population is not None:
        aggregated.insert(0, F.count(F.lit(1)) * F.lit(weight_unit).cast("long"))
    named = rows.groupBy(*by).agg(*(column.alias(f"a{k}") for k, column in enumerate(aggregated)))
    return _long_form(named, wanted.cells, by)


def _row_terms(books: Mapping[str, CodeBook], wanted: SumCells) -> list[Column]:
    places = {name: place for place, name in enumerate(books)}
    present = [F.col(present_column(places[name])) for name in wanted.presence]
    quanta = [F.col(quantum_column(places[name])) for name in wanted.sums]
    squares = []
    for name in wanted.squares:
        attribute = books[name].attribute
        assert isinstance(attribute, Numeric | Date)
        shift, q = attribute.fixed_point.shift, F.col(quantum_column(places[name]))
        squares.append(F.shiftright(q * q + F.lit(1 << (shift - 1)).cast("long"), shift))
    return [*present, *quanta, *squares]


def _bounded(place: int, presences: int, max_rows: int, weight_unit: int) -> Column:
    total, n = F.col(f"t{place}"), F.col("n")
    if place < presences:
        total = total * F.lit(weight_unit).cast("long")
    return reweighted(total, n, max_rows)


def _long_form(row: DataFrame, cells: Sequence[int], by: Sequence[str]) -> DataFrame:
    pairs = F.array(
        *(
            F.struct(F.lit(cell).cast("long").alias("cell"), F.col(f"a{place}").alias("value"))
            for place, cell in enumerate(cells)
        )
    )
    return row.select(*by, F.inline(pairs))
