"""Sensitivity where a date is declared to be after another one: what is counted is still a function of one row."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracle
from ordered import BOOKS, CELLS, DOMAIN, understood
from synthward.privacy.queries import Marginal, Population, Presence, Query, SquareSum, Sum
from synthward.privacy.sensitivity import bound, joint_l2
from synthward.privacy.unit import PrivacyUnit

QUERIES: tuple[Query, ...] = (
    Population(),
    *(kind(name) for name in DOMAIN.graded for kind in (Presence, Sum, SquareSum)),
    *(Marginal((name,)) for name in BOOKS),
    Marginal(("discharged", "admitted")),
    Marginal(("seen", "discharged")),
)
EXTREME = (date(2021, 12, 31), date(2021, 12, 31), date(2022, 6, 1))
"""Difference 0, the last admission, and 152 days more: the first two move their sums as far as any row."""

cell = st.sampled_from(CELLS)
tables = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.tuples(cell, cell, cell)), max_size=12)
bounds = st.sampled_from([1, 2, 4, 1023])


@given(table=tables, repeat=st.sampled_from([1, 7, 1500]), K=bounds)
def test_neighbours_differ_by_at_most_the_declared_bound(table: list, repeat: int, K: int) -> None:
    """Removing patient `a`, whose rows come `repeat` times, moves no answer by more than its bound."""
    rows = oracle.understand([(unit, understood(row)) for unit, row in table], BOOKS)
    whole = [row for row in rows for _ in range(repeat if row.unit == "a" else 1)]
    less = [row for row in rows if row.unit != "a"]
    unit, squares = PrivacyUnit("patient", K), 0
    for query in QUERIES:
        ours, theirs = (oracle.answer(query, side, BOOKS, K) for side in (whole, less))
        assert oracle.distance(ours, theirs) <= bound(query, unit, DOMAIN, "laplace"), query.label
        squares += oracle.square_distance(ours, theirs) if isinstance(query, Marginal) else 0
    assert squares <= joint_l2(sum(isinstance(query, Marginal) for query in QUERIES), unit) ** 2


@pytest.mark.parametrize("K", [1, 4, 1023])
@pytest.mark.parametrize("query", [Sum("discharged"), SquareSum("discharged"), Marginal(("discharged", "admitted"))])
def test_the_bound_is_attained(query: Query, K: int) -> None:
    """A scale from the date's own bounds instead of the difference's would not give exactly this."""
    rows = oracle.understand([("a", understood(EXTREME))], BOOKS) * (2 * K)
    reached = oracle.distance(oracle.answer(query, rows, BOOKS, K), {})
    assert reached == bound(query, PrivacyUnit("patient", K), DOMAIN, "laplace")
