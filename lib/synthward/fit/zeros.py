"""Structural zeros: public statements about impossible combinations. The model never produces them.

A zero names values of one or more columns. A row is impossible if it has one of the named values in every named column.
In the model these cells have the potential -inf, which no noise and no fit can change.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Difference
from synthward.domain.wanted import MAX_SWEEPS, TOLERANCE
from synthward.fit.groups import Grouping, excluded_cells
from synthward.fit.inference import Inference
from synthward.fit.junction import Graph
from synthward.privacy.queries import Clique

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Zero:
    """One impossible combination.

    Attributes:
        clique: Its columns.
        codes: Codes of each column.
    """

    clique: Clique
    codes: tuple[tuple[int, ...], ...]


def read_zeros(
    declared: Iterable[Mapping[str, tuple[str, ...]]], books: Mapping[str, CodeBook]
) -> tuple[list[Zero], list[str]]:
    """Translate declared zeros into codes, and list what is wrong with them.

    A value of a graded column means the bin that it falls into.

    >>> from synthward.domain.spec import Categorical
    >>> books = {name: CodeBook(name, Categorical(values=("no", "yes"))) for name in ("male", "pregnant")}
    >>> read_zeros([{"male": ("yes",), "pregnant": ("yes",)}], books)
    ([Zero(clique=('male', 'pregnant'), codes=((1,), (1,)))], [])
    """
    zeros, problems = [], []
    for number, entry in enumerate(declared):
        unknown = [name for name in entry if name not in books]
        problems += [f"zeros[{number}] names column '{name}', which is not requested" for name in unknown]
        derived = {
            name: attribute.base
            for name in entry
            if name in books and isinstance(attribute := books[name].attribute, Difference)
        }
        problems += [
            f"zeros[{number}] names column '{name}', a date derived from '{base}', of which only the days between them "
            "are known; leave it out"
            for name, base in derived.items()
        ]
        wrong = [
            f"zeros[{number}] names '{value}', which is not a declared value of '{name}'"
            for name, values in entry.items()
            if name in books and name not in derived
            for value in values
            if books[name].code_of(value) >= books[name].attribute.size
        ]
        problems += wrong
        if not unknown and not wrong and not derived:
            codes = tuple(_codes(books[name], entry[name]) for name in entry)
            zeros.append(Zero(tuple(entry), codes))
    return zeros, problems


def _codes(book: CodeBook, values: Iterable[str]) -> tuple[int, ...]:
    """Codes of the named values; what is clipped to a bound is released as that bound, so it shares the bound's bin."""
    codes = {book.code_of(value) for value in values}
    if book.clips and 0 in codes:
        codes.add(book.below)
    if book.clips and book.attribute.size - 1 in codes:
        codes.add(book.above)
    return tuple(sorted(codes))


def apart(zeros: Sequence[Zero], name: str) -> tuple[int, ...]:
    """Return the codes of a column that some zero names. They are never merged with others."""
    found = {
        code
        for zero in zeros
        for column, codes in zip(zero.clique, zero.codes, strict=True)
        if column == name
        for code in codes
    }
    return tuple(sorted(found))


def potentials(zeros: Sequence[Zero], groupings: Mapping[str, Grouping]) -> dict[Clique, Floats]:
    """Return one table of 0 and -inf for each set of columns, on the groups of the columns."""
    found: dict[Clique, Floats] = {}
    for zero in zeros:
        clique = next((known for known in found if set(known) == set(zero.clique)), zero.clique)
        order = [zero.clique.index(name) for name in clique]
        table = found.setdefault(clique, np.zeros([groupings[name].count for name in clique]))
        table[np.ix_(*[groupings[zero.clique[place]].groups[list(zero.codes[place])] for place in order])] = -np.inf
    return found


def contradiction(zeros: Sequence[Zero], books: Mapping[str, CodeBook], max_cells: int) -> str | None:
    """Return why the zeros cannot be kept: no row is left possible, or the tables are too large. None if they can."""
    if not zeros:
        return None
    coarse, graph = _world(zeros, books, {})
    if graph.cells > max_cells:
        return f"the structural zeros need joint tables of {graph.cells} cells, max_cells is {max_cells}"
    tables = potentials(zeros, coarse)
    inference = Inference(graph.tree(), {name: one.count for name, one in coarse.items()}, list(tables))
    if inference.beliefs(list(tables.values()))[0] == -np.inf:
        return "the structural zeros contradict each other: together they leave no row possible"
    return None


def impossible_wishes(
    zeros: Sequence[Zero], books: Mapping[str, CodeBook], wanted: Mapping[str, Mapping[int, float]]
) -> tuple[str, ...]:
    """Return the columns whose wanted shares cannot be reached together; empty if they can.

    Iterative proportional fitting (Csiszar 1975, doi:10.1214/aop/1176996454) starts from rows that are as even as the
    zeros allow. It converges if any distribution has the wanted shares. `sample.condition` does the same with the
    model.

    Args:
        zeros: Structural zeros that leave rows possible.
        books: Code books.
        wanted: Shares by code, by column.
    """
    named = {name for zero in zeros for name in zero.clique}
    wishes = {name: codes for name, codes in wanted.items() if name in named}
    if not wishes:
        return ()
    coarse, graph = _world(zeros, books, wishes)
    shares = {name: _by_group(codes, coarse[name]) for name, codes in wishes.items()}
    tables = potentials(zeros, coarse)
    sizes = {name: one.count for name, one in coarse.items()}
    inference = Inference(graph.tree(), sizes, [*tables, *((name,) for name in shares)])
    weights = {name: np.where(one > 0, 0.0, -np.inf) for name, one in shares.items()}
    for _ in range(MAX_SWEEPS):
        furthest = 0.0
        for place, (name, one) in enumerate(shares.items(), len(tables)):
            log_z, found = inference.marginals([*tables.values(), *weights.values()])
            if log_z == -np.inf or np.any(found[place][one > 0] == 0):
                return tuple(wishes)
            furthest = max(furthest, float(np.abs(found[place] - one).max()))
            weights[name][one > 0] += np.log(one[one > 0] / found[place][one > 0])
        if furthest <= TOLERANCE:
            return ()
    return tuple(wishes)


def _by_group(codes: Mapping[int, float], grouped: Grouping) -> Floats:
    shares = np.zeros(grouped.count)
    for code, share in codes.items():
        shares[grouped.groups[code]] += share
    return shares


def _world(
    zeros: Sequence[Zero], books: Mapping[str, CodeBook], others: Mapping[str, Iterable[int]]
) -> tuple[dict[str, Grouping], Graph]:
    """Return the columns of zeros, coarsened to the named codes, and a graph that holds every zero."""
    names = [name for name in books if any(name in zero.clique for zero in zeros)]
    told = {name: sorted({*apart(zeros, name), *others.get(name, ())}) for name in names}
    coarse = {name: _coarse(books[name], told[name]) for name in names}
    graph = Graph({name: coarse[name].count for name in names})
    for zero in zeros:
        graph = graph.with_clique(zero.clique)
    return coarse, graph


def _coarse(book: CodeBook, named: Sequence[int]) -> Grouping:
    """Group the codes of a column: each named code by itself, all other codes that a release can have together."""
    excluded = excluded_cells(book)
    groups = np.full(book.cells, len(named), dtype=np.int64)
    groups[list(named)] = np.arange(len(named))
    groups[list(excluded)] = -1
    return Grouping(book.name, groups, np.ones(book.cells), np.ones(book.cells))


def cells_of(clique: Iterable[str], books: Mapping[str, CodeBook]) -> int:
    """Return the number of cells of a table that a release can have."""
    return prod(possible_cells(books[name]) for name in clique)


def possible_cells(book: CodeBook) -> int:
    """Return the number of cells of a column that a release can have."""
    return book.cells - len(excluded_cells(book))
