"""Exact answers, computed from the exact vectors of a pass. Driver only, inside the curator.

Guarantee: `exact_answer` is a function of the vectors and of public constants. One privacy unit changes it by at most
`sensitivity.bound` (PROOFS.md, section 3.6). It is total: no value in a vector makes it raise an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from synthward.domain.cells import table_fault, tables
from synthward.domain.codes import CodeBook
from synthward.errors import ConfigError, Problem
from synthward.privacy.queries import Base, Clique, Query, Scores, Selection, needs

Integers = npt.NDArray[np.int64]

MAX_SCORE = 2**62
"""Scores of a selection are clipped at this exact integer, on both sides. A clipped score moves no more than an
unclipped one."""


def cells_of(query: Query, books: Mapping[str, CodeBook]) -> int:
    """Return the number of integers in the answer."""
    return query.cells({name: books[name].cells for name in query.columns})


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


def exact_answer(query: Query, vectors: Mapping[Base, Integers]) -> Integers:
    """Return the exact answer of a query, shape (cells,). For a selection these are the scores of the candidates.

    Args:
        query: The query.
        vectors: Exact vectors; at least those that `needs(query)` names.
    """
    if isinstance(query, Scores | Selection):
        errors = [
            int(np.abs(vectors[base] - prediction).sum())
            for base, prediction in zip(needs(query), query.predictions, strict=True)
        ]
        if isinstance(query, Selection):
            # Python's integers are used, so that no weight and no offset can overflow.
            scored = zip(query.weights, errors, query.offsets, strict=True)
            errors = [max(-MAX_SCORE, min(weight * error + offset, MAX_SCORE)) for weight, error, offset in scored]
        return np.array(errors, dtype=np.int64)
    return vectors[query]
