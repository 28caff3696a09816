"""Structural zeros: read from the request, checked before any spending."""

from __future__ import annotations

import numpy as np
import pytest

from synthward.config.loader import bind
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.fit.groups import grouping
from synthward.fit.zeros import apart, contradiction, impossible_wishes, potentials, read_zeros

DOMAIN = bind(
    """\
version: 1
attributes:
  sex: {type: categorical, values: [F, M]}
  pregnant: {type: boolean, required: true}
  age: {type: numeric, integer: true, bounds: [0, 99], bins: 10}
""",
    Domain,
)
BOOKS = codebooks(DOMAIN)


def test_values_become_codes() -> None:
    zeros, problems = read_zeros([{"sex": ("M",), "pregnant": ("yes",)}, {"pregnant": ("true",), "age": ("5",)}], BOOKS)
    assert problems == []
    assert [(zero.clique, zero.codes) for zero in zeros] == [
        (("sex", "pregnant"), ((1,), (1,))),
        (("pregnant", "age"), ((1,), (0, BOOKS["age"].below))),
    ]
    assert apart(zeros, "pregnant") == (1,)
    assert apart(zeros, "age") == (0, BOOKS["age"].below)


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"sexe": ("M",)}, "zeros[0] names column 'sexe', which is not requested"),
        ({"sex": ("X",)}, "zeros[0] names 'X', which is not a declared value of 'sex'"),
        ({"age": ("young",)}, "zeros[0] names 'young', which is not a declared value of 'age'"),
    ],
)
def test_what_is_not_declared_is_named(entry: dict[str, tuple[str, ...]], text: str) -> None:
    zeros, problems = read_zeros([entry], BOOKS)
    assert (zeros, problems) == ([], [text])


def test_zeros_are_minus_infinity_in_their_cells_only() -> None:
    zeros, _ = read_zeros([{"sex": ("M",), "pregnant": ("true",)}, {"pregnant": ("false",), "sex": ("F",)}], BOOKS)
    groupings = {
        name: grouping(book, np.full(book.cells, 100.0), 1.0, 100.0 * book.cells, apart(zeros, name))
        for name, book in BOOKS.items()
    }
    [(clique, table)] = potentials(zeros, groupings).items()
    assert clique == ("sex", "pregnant")
    impossible = {(int(a), int(b)) for a, b in zip(*np.nonzero(np.isneginf(table)), strict=True)}
    assert impossible == {
        (groupings["sex"].groups[1], groupings["pregnant"].groups[1]),
        (groupings["sex"].groups[0], groupings["pregnant"].groups[0]),
    }


def test_contradictions_are_found_before_spending() -> None:
    both = [{"pregnant": ("true",)}, {"pregnant": ("false",)}]
    assert "leave no row possible" in str(contradiction(read_zeros(both, BOOKS)[0], BOOKS, 1000))
    sexes = [{"sex": ("F", "M")}]
    assert contradiction(read_zeros(sexes, BOOKS)[0], BOOKS, 1000) is None, "sex may still be missing"
    chain = [
        {"pregnant": ("true",), "sex": ("F", "M")},
        {"pregnant": ("false",), "age": ("5",)},
    ]
    assert contradiction(read_zeros(chain, BOOKS)[0], BOOKS, 1000) is None
    assert "max_cells is 3" in str(contradiction(read_zeros(chain, BOOKS)[0], BOOKS, 3))
    assert contradiction([], BOOKS, 1) is None


@pytest.mark.parametrize(
    ("wanted", "impossible"),
    [
        ({"sex": {1: 1}}, ()),
        ({"sex": {1: 1}, "pregnant": {0: 1}}, ()),
        ({"sex": {1: 1}, "pregnant": {1: 1}}, ("sex", "pregnant")),
        ({"sex": {0: 0.5, 1: 0.5}, "pregnant": {1: 1}}, ("sex", "pregnant")),
        ({"sex": {0: 0.5, 1: 0.5}, "pregnant": {0: 0.7, 1: 0.3}}, ()),
        ({"sex": {0: 0.2, 1: 0.8}, "pregnant": {0: 0.7, 1: 0.3}}, ("sex", "pregnant")),
        ({"sex": {0: 1, 1: 0}, "pregnant": {1: 1}}, ()),
        ({"age": {0: 1}, "pregnant": {1: 1}}, ("age", "pregnant")),
        ({"age": {3: 0.5, 4: 0.5}, "pregnant": {1: 1}, "sex": {0: 1}}, ()),
    ],
)
def test_wishes_that_no_possible_rows_have_are_named(
    wanted: dict[str, dict[int, float]], impossible: tuple[str, ...]
) -> None:
    declared = [{"sex": ("M",), "pregnant": ("true",)}, {"pregnant": ("true",), "age": ("5",)}]
    zeros, _ = read_zeros(declared, BOOKS)
    assert sorted(impossible_wishes(zeros, BOOKS, wanted)) == sorted(impossible)
    assert impossible_wishes([], BOOKS, wanted) == ()
