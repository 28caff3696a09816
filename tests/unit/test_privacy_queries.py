"""Queries with predictions are values: equal content is one query, other content another, and nothing in it changes."""

from __future__ import annotations

import numpy as np
import pytest

from synthward.config.canonical import canonical_json
from synthward.privacy.measurement import Asked, Round
from synthward.privacy.noise import NoiseCall
from synthward.privacy.queries import Marginal, Population, Presence, Scores, Selection, SquareSum, Sum, needs

CLIQUES = (("a",), ("a", "b"))


def vectors(*first: int) -> tuple[np.ndarray, ...]:
    return np.array(first, dtype=np.int64), np.arange(6, dtype=np.int64)


def test_equal_content_is_one_query() -> None:
    assert Scores(CLIQUES, vectors(1, 2)) == Scores(CLIQUES, vectors(1, 2))
    assert len({Scores(CLIQUES, vectors(1, 2)), Scores(CLIQUES, vectors(1, 2))}) == 1
    assert Selection(CLIQUES, vectors(1, 2), (1, 2), (0, -9)) == Selection(CLIQUES, vectors(1, 2), (1, 2), (0, -9))


def test_any_other_content_is_another_query() -> None:
    cells = np.concatenate(vectors(1, 2))
    others = [
        Scores(CLIQUES, vectors(1, 2)),
        Scores(CLIQUES, vectors(1, 3)),
        Scores((("b",), ("a", "b")), vectors(1, 2)),
        Scores(CLIQUES, (cells[:3], cells[3:])),  # the same integers, cut elsewhere
        Selection(CLIQUES, vectors(1, 2), (1, 1), (0, 0)),
        Selection(CLIQUES, vectors(1, 2), (1, 2), (0, 0)),
        Selection(CLIQUES, vectors(1, 2), (1, 2), (0, -1)),
        Selection(CLIQUES, vectors(1, 2), (1, 2), (0, 2**60)),
    ]
    assert len(set(others)) == len({query.label for query in others}) == len(others)
    call = NoiseCall("gaussian", 5.0, 1)
    assert len({Round("x", (Asked(query, call),)).digest for query in others}) == len(others)


def test_a_description_is_plain_and_names_the_cliques() -> None:
    body = Asked(Selection(CLIQUES, vectors(1, 2), (1, 2), (0, 0)), NoiseCall("exponential", 5.0, 1)).to_json()
    assert "predictions" not in canonical_json(body)
    assert body["subject"]["cliques"] == [["a"], ["a", "b"]]


def test_predictions_cannot_be_changed_from_outside() -> None:
    given = vectors(1, 2)
    query = Scores(CLIQUES, given)
    before = query.digest
    given[0][0] = 99
    assert Scores(CLIQUES, query.predictions).digest == before
    with pytest.raises(ValueError, match="read-only"):
        query.predictions[0][0] = 99


@pytest.mark.parametrize(
    ("cliques", "predictions", "says"),
    [
        ((), (), "0 cliques"),
        (CLIQUES, vectors(1)[:1], "2 cliques with 1 predictions"),
        (CLIQUES, (np.zeros(2), np.zeros(6)), "vector of int64, found float64"),
        (CLIQUES, (np.zeros((1, 2), dtype=np.int64), np.zeros(6, dtype=np.int64)), "vector of int64"),
        (CLIQUES, vectors(2**61), "2\\^61 or more"),
        (CLIQUES, vectors(2**60, -(2**60)), "2\\^61 or more"),
        (CLIQUES, vectors(*[2**62] * 4), "2\\^61 or more"),  # wraps around to 0 in int64
        (CLIQUES, vectors(-(2**63)), "2\\^61 or more"),  # its own absolute value in int64 is negative
    ],
)
def test_predictions_that_could_overflow_or_do_not_fit_are_refused(
    cliques: tuple, predictions: tuple, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Scores(cliques, predictions)


@pytest.mark.parametrize("weights", [(), (1,), (1, 0), (1, -1), (1, 1.0), (True, 1)])
def test_weights_are_positive_integers(weights: tuple) -> None:
    with pytest.raises(ValueError, match="integer weight"):
        Selection(CLIQUES, vectors(1, 2), weights, (0, 0))


@pytest.mark.parametrize("offsets", [(), (1,), (0, 1.0), (0, np.int64(1)), (True, 0)])
def test_offsets_are_integers(offsets: tuple) -> None:
    with pytest.raises(ValueError, match="integer offset"):
        Selection(CLIQUES, vectors(1, 2), (1, 1), offsets)


def test_what_a_query_is_computed_from() -> None:
    assert needs(Population()) == (Population(),)
    assert needs(Scores(CLIQUES, vectors(1, 2))) == needs(Selection(CLIQUES, vectors(1, 2), (1, 1), (0, 0)))
    assert needs(Scores(CLIQUES, vectors(1, 2))) == (Marginal(("a",)), Marginal(("a", "b")))


def test_every_kind_of_query_carries_its_facts() -> None:
    """Columns, numbers in the answer, and whether they are in 1/S; the exact curve and the records go by them."""
    sizes = {"sex": 4, "age": 6}
    cliques, guess = (("sex",), ("age",)), (np.zeros(4, dtype=np.int64), np.zeros(6, dtype=np.int64))
    found = {
        query.KIND: (query.columns, query.cells({name: sizes[name] for name in query.columns}), query.IN_WEIGHTS)
        for query in (
            *(Population(), Marginal(("sex", "age")), Presence("age"), Sum("age"), SquareSum("age")),
            *(Scores(cliques, guess), Selection(cliques, guess, (1, 1), (0, 0))),
        )
    }
    assert found == {
        "population": ((), 1, True),
        "marginal": (("sex", "age"), 24, True),
        "presence": (("age",), 1, True),
        "sum": (("age",), 1, False),
        "square_sum": (("age",), 1, False),
        "scores": ((), 2, True),
        "selection": ((), 1, False),
    }
