"""Covering blocks: every clique in one, no block too large, few of them; and what is too large is refused."""

from __future__ import annotations

from itertools import combinations
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.domain.cells import MAX_TABLE_CELLS, MAX_VECTOR_CELLS, Packing, Table, table_fault, tables
from synthward.domain.codes import CodeBook
from synthward.domain.spec import Categorical
from synthward.errors import UsageError
from synthward.kernels.cover import BLOCK_CELLS, cover
from synthward.kernels.marginals import count_plan

NAMES = [f"x{k}" for k in range(9)]


@given(
    st.lists(st.sampled_from([3, 4, 12, 40, 700]), min_size=9, max_size=9),
    st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True).map(tuple), min_size=1, max_size=60),
    st.sampled_from([1, 50, 2000, BLOCK_CELLS]),
)
def test_every_clique_is_inside_its_block(sizes: list[int], cliques: list[tuple[str, ...]], cap: int) -> None:
    cells = dict(zip(NAMES, sizes, strict=True))
    found = cover(cells, cliques, cap)
    assert len(found.block_of) == len(cliques)
    for clique, place in zip(cliques, found.block_of, strict=True):
        assert set(clique) <= set(found.blocks[place])
    wanted = [set(clique) for clique in cliques]
    for block in found.blocks:
        assert len(set(block)) == len(block)
        # A block beyond the cap is one clique, which cannot be cut.
        assert prod(cells[name] for name in block) <= cap or set(block) in wanted
    assert set(found.block_of) == set(range(len(found.blocks)))
    assert len(found.blocks) <= len(set(map(frozenset, cliques)))
    assert cover(cells, cliques, cap) == found


@pytest.mark.parametrize(
    ("columns", "cells", "width", "most"), [(12, 12, 2, 13), (17, 12, 2, 30), (12, 12, 3, 70), (5, 2, 1, 1)]
)
def test_blocks_are_few(columns: int, cells: int, width: int, most: int) -> None:
    """All pairs of twelve columns need 12 blocks of four columns at least (La Jolla covering repository)."""
    names = {f"x{k}": cells for k in range(columns)}
    assert len(cover(names, list(combinations(names, width))).blocks) <= most


def test_a_marginal_or_a_pass_that_is_too_large_is_refused_with_its_numbers() -> None:
    at_most = Table(("a", "b"), (2**11, 2**11), 0)
    assert table_fault([at_most]) is None
    over = table_fault([Table(("a", "b"), (2**11, 2**11 + 1), 0)])
    assert over is not None
    assert "(a, b)" in over
    assert f"at most {MAX_TABLE_CELLS}" in over
    assert table_fault([at_most] * 4) is None
    whole = table_fault([at_most] * 5)
    assert whole is not None
    assert f"{5 * 2**22} cells together, at most {MAX_VECTOR_CELLS}" in whole
    books = {name: CodeBook(name, Categorical(values=tuple(map(str, range(2**11))))) for name in "ab"}
    with pytest.raises(UsageError, match="cells"):
        count_plan(Packing.of(books), tables(books, [("a", "b")]), 1, 1)
