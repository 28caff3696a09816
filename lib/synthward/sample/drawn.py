"""Rows of a model in memory, as places and codes: for counts and simulations on the driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import MISSING, OTHER, CodeBook
from synthward.domain.spec import Date, Numeric
from synthward.fit.model import Model
from synthward.sample._worker import Sampler
from synthward.sample.blocks import sample_plan

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DrawnRows:
    """Rows of a model, without Spark.

    Attributes:
        books: Code books in the order of the domain.
        places: Grid index, code, `OTHER` or `MISSING` of every row, by column.
        rows: Number of rows, at least 1.
    """

    books: Mapping[str, CodeBook]
    places: Mapping[str, npt.NDArray[np.int32]]
    rows: int

    @classmethod
    def of(cls, model: Model, books: Mapping[str, CodeBook], rows: int, seed: int) -> DrawnRows:
        """Draw rows in this process: the same ones as on a cluster for the same seed.

        Args:
            model: The model.
            books: Code books of its domain.
            rows: Number of rows, at least 1.
            seed: Public seed.
        """
        plan = sample_plan(model, books, rows, seed)
        sampler = Sampler(plan)
        parts = [
            [column.copy() for column in batch]
            for block in range(-(-rows // plan.block_rows))
            for batch in sampler.batches(block)
        ]
        places = {name: np.concatenate([part[place] for part in parts]) for place, name in enumerate(books)}
        return cls(books, places, rows)

    @cached_property
    def codes(self) -> dict[str, Integers]:
        """Code of every row, by column."""
        return {name: _codes(book, self.places[name]) for name, book in self.books.items()}

    def table(self, columns: tuple[str, ...], codes: Mapping[str, Integers] | None = None) -> Integers:
        """Count the cells of some columns, shape (cells of the first column, ...).

        Args:
            columns: The columns.
            codes: Codes to count instead of the rows' own, by column.
        """
        found, index, cells = self.codes if codes is None else codes, np.zeros(self.rows, dtype=np.int64), 1
        for name in columns:
            index = index * self.books[name].cells + found[name]
            cells *= self.books[name].cells
        counts = np.bincount(index, minlength=cells)
        return counts.reshape([self.books[name].cells for name in columns]).astype(np.int64)


def _codes(book: CodeBook, places: npt.NDArray[np.int32]) -> Integers:
    """Code of every place: the bin of a grid index."""
    codes = places.astype(np.int64)
    if isinstance(book.attribute, Numeric | Date):
        codes = np.searchsorted(np.asarray(book.attribute.grid.starts), places, side="right").astype(np.int64) - 1
    codes[places == OTHER] = book.other
    codes[places == MISSING] = book.missing
    return codes
