"""Scores and selections over exact vectors, as the curator computes them, and their bounds in Python's integers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Domain
from synthward.measure.answers import cells_of
from synthward.privacy.answers import exact_answer
from synthward.privacy.queries import Base, Clique, Marginal, Scores, Selection
from synthward.privacy.sensitivity import WEIGHT_UNIT, bound
from synthward.privacy.unit import PrivacyUnit

Vectors = Mapping[Base, np.ndarray]


def predictions(rng: random.Random, cliques: Sequence[Clique], books: Mapping[str, CodeBook]) -> tuple[np.ndarray, ...]:
    """Predictions below, above and at random multiples of S, negative ones and fractions included."""
    made = []
    for clique in cliques:
        pool = rng.choice(([0], [-WEIGHT_UNIT, 0], [WEIGHT_UNIT, 2**40], [1, -1, 7, 3 * WEIGHT_UNIT // 2]))
        made.append(np.array([rng.choice(pool) for _ in range(cells_of(Marginal(clique), books))], dtype=np.int64))
    return tuple(made)


def assert_scores_are_neighbours(
    ours: Vectors, theirs: Vectors, predicted: Sequence[np.ndarray], cliques: Sequence[Clique], K: int, domain: Domain
) -> None:
    """Scores within their L1 and L2 bounds, a selection's scores each within its bound."""
    unit = PrivacyUnit("patient", K)
    scores = Scores(tuple(cliques), tuple(predicted))
    moved = _moved(scores, ours, theirs)
    assert sum(moved) <= bound(scores, unit, domain, "laplace")
    assert sum(move * move for move in moved) <= bound(scores, unit, domain, "gaussian") ** 2
    places = range(len(cliques))
    weights, offsets = tuple(1 + place % 5 for place in places), tuple((place - 1) * 2**40 for place in places)
    selection = Selection(tuple(cliques), tuple(predicted), weights, offsets)
    assert max(_moved(selection, ours, theirs)) <= bound(selection, unit, domain, "exponential")


def assert_scores_attain_their_bounds(
    full: Vectors, empty: Vectors, cliques: Sequence[Clique], K: int, domain: Domain
) -> None:
    """One unit at its bound in one cell of each clique, nothing predicted: every score moves by exactly K S."""
    unit = PrivacyUnit("patient", K)
    nothing = tuple(np.zeros(len(full[Marginal(clique)]), dtype=np.int64) for clique in cliques)
    scores = Scores(tuple(cliques), nothing)
    moved = _moved(scores, full, empty)
    assert sum(moved) == bound(scores, unit, domain, "laplace")
    l2 = bound(scores, unit, domain, "gaussian")
    assert (l2 - 1) ** 2 < sum(move * move for move in moved) <= l2**2
    weights = tuple(range(1, len(cliques) + 1))
    selection = Selection(tuple(cliques), nothing, weights, tuple(-weight * WEIGHT_UNIT for weight in weights))
    assert max(_moved(selection, full, empty)) == bound(selection, unit, domain, "exponential")


def _moved(query: Scores | Selection, ours: Vectors, theirs: Vectors) -> list[int]:
    pairs = zip(exact_answer(query, ours).tolist(), exact_answer(query, theirs).tolist(), strict=True)
    return [abs(one - other) for one, other in pairs]
