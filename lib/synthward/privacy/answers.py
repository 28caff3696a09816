"""Answers of queries from the vectors that they need: exact inside the curator, simulated in `evaluate.quality`.

Guarantee: `exact_answer` is a function of the vectors and of public constants. One privacy unit changes it by at most
`sensitivity.bound` (PROOFS.md, section 3.6), and no value of a vector makes it raise.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from synthward.privacy.queries import Base, Categories, Query, Scores, Selection, needs

Integers = npt.NDArray[np.int64]

MAX_SCORE = 2**62
"""Where scores to choose from are clipped, in exact integers and on both sides: a clipped score moves no more than an
unclipped one."""


def exact_answer(query: Query, vectors: Mapping[Base, Integers]) -> Integers:
    """The exact answer of a query, shape (cells,); for a selection the scores to choose from.

    Args:
        query: The query.
        vectors: At least the answers that `needs(query)` names.

    Raises:
        ValueError: The query asks about texts, whose answer is no vector.
    """
    if isinstance(query, Scores | Selection):
        errors = [
            int(np.abs(vectors[base] - prediction).sum())
            for base, prediction in zip(needs(query), query.predictions, strict=True)
        ]
        if isinstance(query, Selection):
            # In Python's integers, so that no weight and no offset can overflow.
            scored = zip(query.weights, errors, query.offsets, strict=True)
            errors = [max(-MAX_SCORE, min(weight * error + offset, MAX_SCORE)) for weight, error, offset in scored]
        return np.array(errors, dtype=np.int64)
    if isinstance(query, Categories):
        raise ValueError(f"the answer of {query.label} is no vector")
    return vectors[query]
