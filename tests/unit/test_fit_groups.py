"""Groups of cells: rare cells share one, common ones have their own, and no cell is lost."""

from __future__ import annotations

import numpy as np
import pytest

from synthward.config.loader import bind
from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.spec import Domain
from synthward.fit.groups import EXCLUDED, Grouping, excluded_cells, grouping

DOMAIN = bind(
    """\
version: 1
attributes:
  ward: {type: categorical, values: [A, B, C, D, E]}
  sure: {type: categorical, required: true, values: [A, B, C]}
  label: {type: categorical, required: true, other: X, values: [A, B, C]}
  age: {type: numeric, integer: true, bounds: [0, 7], bins: 8, outside: missing}
  flag: {type: boolean}
""",
    Domain,
)
BOOKS = codebooks(DOMAIN)


def groups(
    name: str, counts: list[float], *, deviation: float = 10, total: float = 1000, apart: tuple[int, ...] = ()
) -> Grouping:
    return grouping(BOOKS[name], np.array(counts, dtype=float), deviation, total, apart)


def assert_sound(found: Grouping, book: CodeBook) -> None:
    excluded = set(excluded_cells(book))
    assert {cell for cell in range(book.cells) if found.groups[cell] == EXCLUDED} == excluded
    assert set(found.groups[found.groups != EXCLUDED].tolist()) == set(range(found.count))
    for number in range(found.count):
        assert found.within[found.groups == number].sum() == pytest.approx(1)
    assert found.members.sum() == book.cells - len(excluded)
    assert found.observed.sum() == pytest.approx(1)
    assert (found.observed >= 0).all()


def test_rare_codes_share_a_group() -> None:
    found = groups("ward", [500, 300, 20, 25, 22, 28, 400])
    assert_sound(found, BOOKS["ward"])
    assert found.count == 4
    assert len({found.groups[cell] for cell in (2, 3, 4, 5)}) == 1
    np.testing.assert_allclose(found.within[[2, 3, 4, 5]], np.array([20, 25, 22, 28]) / 95)


def test_a_rare_group_that_is_noise_joins_the_smallest_code() -> None:
    found = groups("ward", [500, 300, 4, -5, 2, -8, 400])
    assert found.count == 3
    assert found.groups[2] == found.groups[1]
    assert_sound(found, BOOKS["ward"])


def test_neighbouring_bins_are_put_together() -> None:
    found = groups("age", [100, 20, 25, 10, 200, 5, 4, 3, -2, 1])
    assert_sound(found, BOOKS["age"])
    own = found.groups.tolist()
    assert own[1] == own[2]
    assert own[3] == own[4]
    assert own[5] == own[6] == own[7]
    assert own[:8] == sorted(own[:8])


def test_all_noise_is_one_group() -> None:
    found = groups("age", [0, -3, 2, 1, 0, 0, 4, -9, 0, 0])
    assert found.count == 1
    assert_sound(found, BOOKS["age"])


def test_cells_of_structural_zeros_stay_apart() -> None:
    found = groups("ward", [500, 300, 4, -5, 2, -8, 400], apart=(2, 4))
    assert_sound(found, BOOKS["ward"])
    assert found.members[found.groups[2]] == 1
    assert found.members[found.groups[4]] == 1
    graded = groups("age", [100, 20, 25, 10, 200, 5, 4, 3, -2, 1], apart=(2,))
    assert_sound(graded, BOOKS["age"])
    assert graded.members[graded.groups[2]] == 1


def test_required_columns_have_no_missing() -> None:
    assert excluded_cells(BOOKS["sure"]) == (3, 4)
    assert excluded_cells(BOOKS["label"]) == (4,)
    assert excluded_cells(BOOKS["ward"]) == ()
    found = groups("sure", [400, 300, 200, 50, 50])
    assert found.groups.tolist() == [0, 1, 2, EXCLUDED, EXCLUDED]
    assert_sound(found, BOOKS["sure"])


def test_sums_are_exact_and_leave_excluded_cells_out() -> None:
    found = groups("sure", [400, 300, 1, 50, 50])
    table = np.arange(10, dtype=np.int64).reshape(2, 5) + 2**60
    summed = found.summed(table, 1)
    assert summed.dtype == np.int64
    assert summed.shape == (2, found.count)
    assert summed.sum() == table[:, :3].sum()
    np.testing.assert_array_equal(found.summed(table.T.copy(), 0), summed.T)
