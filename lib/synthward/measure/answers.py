"""How large answers are, and whether a pass can count what they are computed from; public numbers only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from synthward.domain.cells import table_fault, tables
from synthward.domain.codes import CodeBook
from synthward.errors import ConfigError, Problem
from synthward.privacy.queries import Clique, Query


def cells_of(query: Query, books: Mapping[str, CodeBook]) -> int:
    """Return the number of integers in the answer."""
    return query.cells({name: books[name].cells for name in query.columns})


def movable_of(query: Query, books: Mapping[str, CodeBook]) -> int:
    """Return the number of integers in the answer that one privacy unit can change."""
    return query.movable({name: books[name].cells for name in query.columns})


def refuse_too_many_cells(cliques: Iterable[Clique], books: Mapping[str, CodeBook]) -> None:
    """Check that a pass can count the marginals and that the driver can hold them. Public, before any data is read.

    Args:
        cliques: All cliques that are counted, also those of single columns; no clique twice.
        books: Code books of their columns.

    Raises:
        ConfigError: One marginal is too large, or all of them together are.
    """
    fault = table_fault(tables(books, tuple(cliques)))
    if fault is not None:
        raise ConfigError([Problem("columns", fault)])
