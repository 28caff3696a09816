"""Cells of marginals and how the codes of a row are packed into few 64-bit words.

The cost of counting in Python is the number of values that cross from the JVM, so all codes of a row travel in as few
LONGs as possible (DESIGN section 5). Bit 63 stays unused: words are never negative. A word is four lanes of 16 bits,
and a code crosses into the next lane only if it needs more than one: a worker then takes a lane with one move and works
on 16-bit numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from synthward.domain.codes import CodeBook

LANE_BITS = 16
LANES = 4
WORD_BITS = 63

MAX_TABLE_CELLS = 2**22
"""Public cap on the cells of one marginal: a task counts it in 32 MiB."""

MAX_VECTOR_CELLS = 2**24
"""Public cap on the cells of all marginals of a run: every task of a pass yields that many numbers, which Spark adds up
and the driver holds (128 MiB)."""


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
        """First-fit packing into lanes, widest column first, so that few words suffice; deterministic."""
        used: list[int] = []
        slots: dict[str, Slot] = {}
        for name, book in sorted(books.items(), key=lambda item: (-item[1].cells, item[0])):
            bits = max(1, (book.cells - 1).bit_length())
            lane = _first_lane(used, bits)
            word, within = divmod(lane, LANES)
            slots[name] = Slot(name, word, within * LANE_BITS + used[lane], bits, book.cells)
            for crossed in range(lane, lane + -(-bits // LANE_BITS)):
                taken = min(bits, LANE_BITS)
                used[crossed] += taken
                bits -= taken
        return cls(tuple(slots[name] for name in books), len(used) // LANES)

    def slot(self, name: str) -> Slot:
        """The slot of a column."""
        return next(slot for slot in self.slots if slot.name == name)

    def of_word(self, word: int) -> tuple[Slot, ...]:
        """The slots inside one word."""
        return tuple(slot for slot in self.slots if slot.word == word)


def _first_lane(used: list[int], bits: int) -> int:
    """First lane of a place for a code; adds a word where there is none. Wide codes start at the bottom of a lane."""
    lanes = -(-bits // LANE_BITS)
    while True:
        for lane, taken in enumerate(used):
            room = WORD_BITS - (lane % LANES) * LANE_BITS
            if lanes == 1 and taken + bits <= min(room, LANE_BITS):
                return lane
            if lanes > 1 and bits <= room and not any(used[lane : lane + lanes]):
                return lane
        used += [0] * LANES


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


def table_fault(laid: Sequence[Table]) -> str | None:
    """Why these marginals cannot be counted and held, or None; a function of public numbers only.

    Cells are all codes, those included that a release never has.
    """
    for table in laid:
        if table.cells > MAX_TABLE_CELLS:
            return (
                f"the marginal of ({', '.join(table.clique)}) has {table.cells} cells, at most {MAX_TABLE_CELLS} are "
                "possible; leave out a column, or give its attributes fewer values or bins"
            )
    whole = sum(table.cells for table in laid)
    if whole > MAX_VECTOR_CELLS:
        widest = max(laid, key=lambda table: table.cells)
        return (
            f"the {len(laid)} marginals to be counted have {whole} cells together, at most {MAX_VECTOR_CELLS} are "
            f"possible; the largest one, ({', '.join(widest.clique)}), has {widest.cells}. Use fewer columns, fewer "
            "values or bins, or smaller cliques"
        )
    return None
