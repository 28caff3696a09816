"""The kernels once more, in plain Python: short enough to be right at a glance, slow, and without Spark or numpy.

Cells are understood by `CodeBook`; all arithmetic over rows and units is written here anew, so that an error in a
kernel and its twin here is unlikely to be the same one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Date, Numeric
from synthward.privacy.queries import Marginal, Population, Presence, Query, SquareSum, Sum

S = 2**16


@dataclass(frozen=True)
class Row:
    """One understood row: code of every column, and `q` of the graded ones, None where nothing is present."""

    unit: Hashable
    codes: Mapping[str, int]
    quanta: Mapping[str, int | None]


def understand(rows: Iterable[tuple[Hashable, Sequence[object]]], books: Mapping[str, CodeBook]) -> list[Row]:
    """Rows as (unit, cells in the order of `books`); those without a unit are dropped."""
    graded = [name for name, book in books.items() if isinstance(book.attribute, Numeric | Date)]
    understood = []
    for unit, cells in rows:
        if unit is None:
            continue
        cell = dict(zip(books, cells, strict=True))
        present = {name: books[name].is_present(cell[name]) for name in graded}
        understood.append(
            Row(
                unit,
                {name: book.code_of(cell[name]) for name, book in books.items()},
                {name: books[name].quantum_of(cell[name]) if present[name] else None for name in graded},
            )
        )
    return understood


def answer(query: Query, rows: Sequence[Row], books: Mapping[str, CodeBook], K: int) -> dict[int, int]:
    """The exact answer by cell; cells of zero are left out."""
    units: dict[Hashable, list[Row]] = {}
    for row in rows:
        units.setdefault(row.unit, []).append(row)
    cells: Counter[int] = Counter()
    for owned in units.values():
        cells.update(_contribution(query, owned, books, K))
    return {cell: value for cell, value in cells.items() if value}


def _contribution(query: Query, owned: list[Row], books: Mapping[str, CodeBook], K: int) -> Counter[int]:
    """What one unit with all its rows adds."""
    n = len(owned)
    match query:
        case Population():
            return Counter({0: S})
        case Presence(name):
            return Counter({0: _shrunk(sum(S for row in owned if row.quanta[name] is not None), n, K)})
        case Sum(name):
            return Counter({0: _shrunk(sum(row.quanta[name] or 0 for row in owned), n, K)})
        case SquareSum(name):
            # Nearest multiple of 2^16, halves upwards.
            return Counter({0: _shrunk(sum(((row.quanta[name] or 0) ** 2 + 2**15) // 2**16 for row in owned), n, K)})
        case Marginal(clique):
            weight = S if n <= K else K * S // n
            cells: Counter[int] = Counter()
            for row in owned:
                cell = 0
                for name in clique:
                    cell = cell * books[name].cells + row.codes[name]
                cells[cell] += weight
            return cells


def _shrunk(total: int, n: int, K: int) -> int:
    """`total * K / n` towards zero when the unit owns more than K rows."""
    if n <= K:
        return total
    return abs(total) * K // n * (1 if total > 0 else -1)


def distance(ours: Mapping[int, int], theirs: Mapping[int, int]) -> int:
    """L1 distance of two answers."""
    return sum(abs(ours.get(cell, 0) - theirs.get(cell, 0)) for cell in {*ours, *theirs})


def square_distance(ours: Mapping[int, int], theirs: Mapping[int, int]) -> int:
    """Squared L2 distance of two answers."""
    return sum((ours.get(cell, 0) - theirs.get(cell, 0)) ** 2 for cell in {*ours, *theirs})
