"""Exact answers computed from marginals: scores and selections move as little as the proofs say, and attain it."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.config.loader import bind
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.errors import ConfigError
from synthward.measure.answers import cells_of, refuse_too_many_cells
from synthward.privacy.answers import MAX_SCORE, exact_answer
from synthward.privacy.queries import Marginal, Population, Scores, Selection
from synthward.privacy.sensitivity import WEIGHT_UNIT, bound
from synthward.privacy.unit import PrivacyUnit

DOMAIN = bind(
    "version: 1\nattributes:\n  a: {type: categorical, values: [x, y]}\n  b: {type: categorical, values: [p, q, r]}\n",
    Domain,
    None,
)
BOOKS = codebooks(DOMAIN)
CLIQUES = (("a",), ("b",), ("a", "b"))
CELLS = [4, 5, 20]


def vectors(cells: list[list[int]]) -> dict[Marginal, np.ndarray]:
    return {Marginal(c): np.array(v, dtype=np.int64) for c, v in zip(CLIQUES, cells, strict=True)}


def table(size: int, largest: int) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(0, largest), min_size=size, max_size=size)


counts = st.tuples(*(table(size, 50 * WEIGHT_UNIT) for size in CELLS)).map(list)
predictions = st.tuples(*(table(size, 60 * WEIGHT_UNIT) for size in CELLS)).map(list)


@st.composite
def units(draw: st.DrawFn, K: int) -> list[list[int]]:
    """What one unit adds to each marginal: at most K S in all of its cells together."""
    added = []
    for size in CELLS:
        left, vector = K * WEIGHT_UNIT, [0] * size
        for _ in range(draw(st.integers(0, 4))):
            part = draw(st.integers(0, left))
            vector[draw(st.integers(0, size - 1))] += part
            left -= part
        added.append(vector)
    return added


@given(data=st.data(), K=st.sampled_from([1, 2, 4, 1023]))
def test_scores_and_selections_move_within_their_bounds(data: st.DataObject, K: int) -> None:
    before, guess = data.draw(counts), data.draw(predictions)
    offsets = data.draw(st.tuples(*[st.integers(-(2**63), 2**63) for _ in CLIQUES]))
    after = [[a + b for a, b in zip(x, y, strict=True)] for x, y in zip(before, data.draw(units(K)), strict=True)]
    unit = PrivacyUnit("patient", K)
    public = tuple(np.array(vector, dtype=np.int64) for vector in guess)
    scores, selection = Scores(CLIQUES, public), Selection(CLIQUES, public, (1, 7, 3), offsets)
    moved = exact_answer(scores, vectors(after)) - exact_answer(scores, vectors(before))
    assert int(np.abs(moved).sum()) <= bound(scores, unit, DOMAIN, "laplace")
    assert int((moved.astype(object) ** 2).sum()) <= bound(scores, unit, DOMAIN, "gaussian") ** 2
    moved = exact_answer(selection, vectors(after)) - exact_answer(selection, vectors(before))
    assert int(np.abs(moved).max()) <= bound(selection, unit, DOMAIN, "exponential")


@pytest.mark.parametrize("K", [1, 2, 1023])
def test_the_bounds_are_attained(K: int) -> None:
    """K rows in one cell, predicted as empty; and the other way round, so that scores are not monotonic."""
    unit, step = PrivacyUnit("patient", K), K * WEIGHT_UNIT
    none = [[0] * size for size in CELLS]
    one = [[step, *vector[1:]] for vector in none]
    for guess, sign in ((none, 1), (one, -1)):
        public = tuple(np.array(vector, dtype=np.int64) for vector in guess)
        scores, selection = Scores(CLIQUES, public), Selection(CLIQUES, public, (1, 7, 3), (5, -step, -(2**61)))
        moved = exact_answer(scores, vectors(one)) - exact_answer(scores, vectors(none))
        assert moved.tolist() == [sign * step] * 3
        assert int(np.abs(moved).sum()) == bound(scores, unit, DOMAIN, "laplace")
        assert 0 <= bound(scores, unit, DOMAIN, "gaussian") - 3**0.5 * step < 1
        moved = exact_answer(selection, vectors(one)) - exact_answer(selection, vectors(none))
        assert int(np.abs(moved).max()) == bound(selection, unit, DOMAIN, "exponential") == 7 * step


def test_a_weighted_score_is_clipped_before_it_leaves_64_bits() -> None:
    public = tuple(np.zeros(size, dtype=np.int64) for size in CELLS)
    heavy = Selection(CLIQUES, public, (2**40, 1, 1), (0, -(2**70), 0))
    full = vectors([[2**50] + [0] * (size - 1) for size in CELLS])
    assert exact_answer(heavy, full).tolist() == [MAX_SCORE, -MAX_SCORE, 2**50]


def test_a_score_is_the_weighted_error_and_the_offset() -> None:
    public = tuple(np.full(size, WEIGHT_UNIT, dtype=np.int64) for size in CELLS)
    asked = Selection(CLIQUES, public, (1, 2, 3), (7, -2 * WEIGHT_UNIT, 0))
    none = vectors([[0] * size for size in CELLS])
    assert exact_answer(asked, none).tolist() == [4 * WEIGHT_UNIT + 7, 8 * WEIGHT_UNIT, 60 * WEIGHT_UNIT]


def test_answers_have_the_announced_number_of_cells() -> None:
    public = tuple(np.zeros(size, dtype=np.int64) for size in CELLS)
    assert [cells_of(Marginal(clique), BOOKS) for clique in CLIQUES] == CELLS
    assert cells_of(Scores(CLIQUES, public), BOOKS) == 3
    assert cells_of(Selection(CLIQUES, public, (1, 1, 1), (0, 0, 0)), BOOKS) == cells_of(Population(), BOOKS) == 1


def test_too_many_cells_are_refused_with_the_largest_table(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_too_many_cells(CLIQUES, BOOKS)
    monkeypatch.setattr("synthward.domain.cells.MAX_VECTOR_CELLS", 28)
    with pytest.raises(ConfigError, match=r"have 29 cells together, at most 28.*\(a, b\), has 20"):
        refuse_too_many_cells(CLIQUES, BOOKS)


@pytest.mark.parametrize(
    ("cliques", "guess", "match"),
    [
        ((), (), "0 cliques"),
        ((("a",),), (np.zeros(4),), "vector of int64"),
        ((("a",),), (np.full(4, 2**60, dtype=np.int64),), "2\\^61 or more"),
    ],
)
def test_predictions_that_could_overflow_are_refused(cliques: tuple, guess: tuple, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Scores(cliques, guess)


def test_queries_are_equal_by_content() -> None:
    public = tuple(np.zeros(size, dtype=np.int64) for size in CELLS)
    other = (*public[:2], np.ones(CELLS[2], dtype=np.int64))
    assert Scores(CLIQUES, public) == Scores(CLIQUES, tuple(v.copy() for v in public)) != Scores(CLIQUES, other)
    chosen = Selection(CLIQUES, public, (1, 1, 1), (0, 0, 0))
    assert chosen != Selection(CLIQUES, public, (1, 1, 2), (0, 0, 0))
    assert chosen != Selection(CLIQUES, public, (1, 1, 1), (0, 0, 1))
    assert len({Scores(CLIQUES, public), Scores(CLIQUES, other), Decimal(1)}) == 3
