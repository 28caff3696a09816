"""Sensitivity on the plain reference: hypothesis looks for neighbours further apart than declared, and shrinks."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from extracts import BOOKS, CELL_POOLS, DOMAIN, EXTREME, QUERIES
from predictions import assert_scores_are_neighbours, assert_scores_attain_their_bounds, predictions
from synthward.domain.spec import Date, Numeric
from synthward.measure.answers import cells_of
from synthward.privacy.queries import Marginal, Population, Presence, Query, SquareSum, Sum
from synthward.privacy.sensitivity import bound, joint_l1, joint_l2
from synthward.privacy.unit import PrivacyUnit

LABEL = [query.label for query in QUERIES]

rows = st.tuples(*(st.sampled_from(pool) for pool in CELL_POOLS))
tables = st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), rows), max_size=12)
bounds = st.sampled_from([1, 2, 4, 1023])


@given(table=tables, repeat=st.sampled_from([1, 7, 1500]), K=bounds)
def test_neighbours_differ_by_at_most_the_declared_bound(table: list, repeat: int, K: int) -> None:
    """Removing patient `a`, whose rows come `repeat` times, moves no answer by more than its bound."""
    unit = PrivacyUnit("patient", K)
    understood = oracle.understand(table, BOOKS)
    whole = [row for row in understood for _ in range(repeat if row.unit == "a" else 1)]
    less = [row for row in understood if row.unit != "a"]
    squares = 0
    total = 0
    for query in QUERIES:
        ours, theirs = (oracle.answer(query, side, BOOKS, K) for side in (whole, less))
        declared = bound(query, unit, DOMAIN, "laplace")
        assert oracle.distance(ours, theirs) <= declared
        if isinstance(query, Marginal):
            total += oracle.distance(ours, theirs)
            squares += oracle.square_distance(ours, theirs)
    marginals = sum(isinstance(query, Marginal) for query in QUERIES)
    assert total <= joint_l1(marginals, unit)
    assert squares <= joint_l2(marginals, unit) ** 2


CLIQUES = (("sex",), ("flag", "sex"), ("lab", "flag"), ("age",))


def vectors(rows: list[oracle.Row], K: int) -> dict[Query, np.ndarray]:
    """The reference's marginals as vectors."""
    found = {}
    for clique in CLIQUES:
        vector = np.zeros(cells_of(Marginal(clique), BOOKS), dtype=np.int64)
        for cell, value in oracle.answer(Marginal(clique), rows, BOOKS, K).items():
            vector[cell] = value
        found[Marginal(clique)] = vector
    return found


@given(table=tables, repeat=st.sampled_from([1, 7, 1500]), K=bounds, chance=st.randoms(use_true_random=False))
def test_scores_of_neighbours_differ_by_at_most_their_bounds(
    table: list, repeat: int, K: int, chance: random.Random
) -> None:
    """Whatever is predicted: below, above, or the exact answers of either neighbour themselves."""
    understood = oracle.understand(table, BOOKS)
    whole = vectors([row for row in understood for _ in range(repeat if row.unit == "a" else 1)], K)
    less = vectors([row for row in understood if row.unit != "a"], K)
    for guessed in (predictions(chance, CLIQUES, BOOKS), tuple(whole.values()), tuple(less.values())):
        assert_scores_are_neighbours(whole, less, guessed, CLIQUES, K, DOMAIN)


@pytest.mark.parametrize("K", [1, 2, 4, 1023])
@pytest.mark.parametrize("fold", [1, 2], ids=["n = K", "n = 2K"])
def test_the_bounds_of_scores_are_attained(K: int, fold: int) -> None:
    """One patient against nobody: K equal rows reach every bound, spread over cells or not; no rows move nothing."""
    nobody = vectors([], K)
    equal = vectors(oracle.understand([("a", EXTREME)], BOOKS) * (K * fold), K)
    assert_scores_attain_their_bounds(equal, nobody, CLIQUES, K, DOMAIN)
    other = (*EXTREME[:2], "M", "no", *EXTREME[4:])
    spread = oracle.understand([("a", EXTREME), ("a", other)], BOOKS) * (K * fold)
    assert_scores_attain_their_bounds(vectors(spread, K), nobody, CLIQUES, K, DOMAIN)
    orphans = vectors(oracle.understand([(None, EXTREME)], BOOKS), K)
    assert all(not vector.any() for vector in orphans.values())


@given(table=tables, K=bounds)
def test_order_does_not_matter(table: list, K: int) -> None:
    forth, back = oracle.understand(table, BOOKS), oracle.understand(table[::-1], BOOKS)
    for query in QUERIES:
        assert oracle.answer(query, forth, BOOKS, K) == oracle.answer(query, back, BOOKS, K)


@pytest.mark.parametrize("query", QUERIES, ids=LABEL)
@pytest.mark.parametrize("K", [1, 2, 4, 1023])
@pytest.mark.parametrize("fold", [1, 2], ids=["n = K", "n = 2K"])
def test_the_bound_is_attained(query: Query, K: int, fold: int) -> None:
    """One patient with K, and with 2K, equal extreme rows against nobody: a vacuous bound would fail here."""
    understood = oracle.understand([("a", EXTREME)], BOOKS) * (K * fold)
    reached = oracle.distance(oracle.answer(query, understood, BOOKS, K), {})
    assert reached == bound(query, PrivacyUnit("patient", K), DOMAIN, "laplace")


@pytest.mark.parametrize("marginals", [1, 2, 3, 4, 10])
@pytest.mark.parametrize("K", [1, 4, 1023])
def test_the_joint_bounds_are_attained(marginals: int, K: int) -> None:
    """m marginals move together by m K S in L1 and sqrt(m) K S in L2; the integer above the root is the nearest one."""
    unit = PrivacyUnit("patient", K)
    asked = [Marginal((name,)) for name in [*BOOKS, "lab", "age", "sex"][:marginals]]
    understood = oracle.understand([("a", EXTREME)], BOOKS) * K
    answers = [oracle.answer(query, understood, BOOKS, K) for query in asked]
    assert sum(oracle.distance(found, {}) for found in answers) == joint_l1(marginals, unit)
    squared = sum(oracle.square_distance(found, {}) for found in answers)
    assert (joint_l2(marginals, unit) - 1) ** 2 < squared <= joint_l2(marginals, unit) ** 2


def test_every_kind_of_query_is_covered() -> None:
    assert {type(query) for query in QUERIES} == {Population, Presence, Sum, SquareSum, Marginal}
    graded = [name for name, book in BOOKS.items() if isinstance(book.attribute, Numeric | Date)]
    assert {q.attribute for q in QUERIES if isinstance(q, Sum)} == set(graded) == set(DOMAIN.graded)
