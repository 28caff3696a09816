"""Cells of marginals and how the codes of a row are packed into few 64-bit words.

The cost of counting in Python is the number of values that cross from the JVM, so all codes of a row travel in as few
LONGs as possible (DESIGN section 5). Bit 63 stays unused: words are never negative.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from synthward.domain.codes import CodeBook

WORD_BITS = 63


@dataclass(frozen=True)
class Slot:
    """Where a column's code sits.

    Attributes:
        name: Column.
        word: Index of the LONG.
        shift: Lowest bit.
        bits: Width.
        cells: Number of codes.
    """

    name: str
    word: int
    shift: int
    bits: int
    cells: int


@dataclass(frozen=True)
class Packing:
    """Places of all columns in `words` LONGs."""

    slots: tuple[Slot, ...]
    words: int

    @classmethod
    def of(cls, books: Mapping[str, CodeBook]) -> Packing:
        """First-fit packing, widest column first, so that few words suffice; deterministic."""
        used: list[int] = []
        slots: dict[str, Slot] = {}
        for name, book in sorted(books.items(), key=lambda item: (-item[1].cells, item[0])):
            bits = max(1, (book.cells - 1).bit_length())
            word = next((k for k, taken in enumerate(used) if taken + bits <= WORD_BITS), len(used))
            if word == len(used):
                used.append(0)
            slots[name] = Slot(name, word, used[word], bits, book.cells)
            used[word] += bits
        return cls(tuple(slots[name] for name in books), len(used))

    def slot(self, name: str) -> Slot:
        """The slot of a column."""
        return next(slot for slot in self.slots if slot.name == name)

    def of_word(self, word: int) -> tuple[Slot, ...]:
        """The slots inside one word."""
        return tuple(slot for slot in self.slots if slot.word == word)


@dataclass(frozen=True)
class Table:
    """One marginal inside a long vector of counts: row-major over its clique.

    Attributes:
        clique: Columns.
        shape: Codes of each column.
        offset: Cell of the vector at which the table starts.
    """

    clique: tuple[str, ...]
    shape: tuple[int, ...]
    offset: int

    @property
    def cells(self) -> int:
        """Number of cells."""
        return prod(self.shape)

    @property
    def strides(self) -> tuple[int, ...]:
        """Row-major stride of each column, in cells."""
        return tuple(prod(self.shape[place + 1 :]) for place in range(len(self.shape)))


def tables(books: Mapping[str, CodeBook], cliques: Sequence[tuple[str, ...]], start: int = 0) -> tuple[Table, ...]:
    """Lays marginals one after the other into a vector that starts at cell `start`."""
    laid = []
    for clique in cliques:
        table = Table(clique, tuple(books[name].cells for name in clique), start)
        laid.append(table)
        start += table.cells
    return tuple(laid)
