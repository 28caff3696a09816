"""The position of each exact answer in the integer vector that a pass over the source returns. Public."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synthward.domain.cells import Packing, Table, tables
from synthward.domain.codes import CodeBook
from synthward.kernels.encode import encode
from synthward.kernels.marginals import weighted_marginals
from synthward.kernels.sums import SumCells, clipped_sums
from synthward.privacy.queries import Base, Marginal, Population, Presence, SquareSum, Sum
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.unit import PrivacyUnit


@dataclass(frozen=True)
class Layout:
    """The cells of a set of queries.

    Attributes:
        sums: Cells of the scalar answers. They come first.
        tables: Marginals. They come after the scalar answers.
        cells: Length of the vector.
    """

    sums: SumCells
    tables: tuple[Table, ...]
    cells: int

    @classmethod
    def of(cls, queries: Sequence[Base], books: Mapping[str, CodeBook]) -> Layout:
        """Give cells to distinct queries, in a fixed order."""
        if len(set(queries)) != len(queries):
            raise ValueError("a pass measures each query once")
        scalars = [query for query in queries if not isinstance(query, Marginal)]
        cell = {query: index for index, query in enumerate(scalars)}
        sums = SumCells(
            population=cell.get(Population()),
            presence={query.attribute: cell[query] for query in scalars if isinstance(query, Presence)},
            sums={query.attribute: cell[query] for query in scalars if isinstance(query, Sum)},
            squares={query.attribute: cell[query] for query in scalars if isinstance(query, SquareSum)},
        )
        laid = tables(books, [query.clique for query in queries if isinstance(query, Marginal)], len(scalars))
        return cls(sums, laid, len(scalars) + sum(table.cells for table in laid))

    @property
    def only_population(self) -> bool:
        """True if the population is the only sum beside marginals. Then the marginals' kernel counts the units."""
        return bool(self.tables) and self.sums.cells == [self.sums.population]

    @property
    def scans(self) -> int:
        """Number of scans of the source. It is also the number of shuffles by unit: one for each kernel in use."""
        return bool(self.tables) + (bool(self.sums.cells) and not self.only_population)

    @cached_property
    def _parts(self) -> dict[Base, slice]:
        first: dict[Base, int] = {} if self.sums.population is None else {Population(): self.sums.population}
        first |= {Presence(name): cell for name, cell in self.sums.presence.items()}
        first |= {Sum(name): cell for name, cell in self.sums.sums.items()}
        first |= {SquareSum(name): cell for name, cell in self.sums.squares.items()}
        parts: dict[Base, slice] = {query: slice(cell, cell + 1) for query, cell in first.items()}
        return parts | {Marginal(t.clique): slice(t.offset, t.offset + t.cells) for t in self.tables}

    def part(self, query: Base) -> slice:
        """Return the cells of one query."""
        return self._parts[query]


def exact_vector_frame(
    rows: DataFrame, books: Mapping[str, CodeBook], layout: Layout, unit: PrivacyUnit, tasks: int
) -> DataFrame:
    """Return the exact vector as rows (cell LONG, value LONG), lazily. Collecting it is one action.

    An Arrow kernel computes the marginals and also counts the units. So population and marginals take one scan and one
    shuffle by unit. Sums, squares and presence counts are a native aggregate, which takes another scan and shuffle.
    To share one scan, every fixed-point integer would have to be sent to Python. To partition by unit once for both
    gains nothing: each needs other columns, so the engine splits the two plans and shuffles twice.

    Args:
        rows: Columns `c0`, ... in the order of `books`, and `unit` if units own several rows.
        books: Code books of the requested columns.
        layout: What to compute.
        unit: Contribution bound.
        tasks: Number of partitions by unit, public.
    """
    packing = Packing.of(books)
    encoded = encode(rows, books, packing)
    parts = []
    if layout.sums.cells and not layout.only_population:
        parts.append(clipped_sums(encoded, books, layout.sums, unit.max_rows, WEIGHT_UNIT))
    if layout.tables:
        population = layout.sums.population if layout.only_population else None
        parts.append(weighted_marginals(encoded, packing, layout.tables, unit.max_rows, WEIGHT_UNIT, tasks, population))
    total = parts[0]
    for part in parts[1:]:
        total = total.unionAll(part)
    return total.groupBy("cell").agg(F.sum("value").alias("value"))


def collect_vector(frame: DataFrame, cells: int) -> npt.NDArray[np.int64]:
    """Run the pass and return the vector. Cells without a row are zero."""
    table = frame.toArrow()
    vector = np.zeros(cells, dtype=np.int64)
    vector[table.column("cell").to_numpy()] = table.column("value").to_numpy()
    return vector
