"""Wanted values of one column, as `where` writes them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from synthward.config.loader import bind
from synthward.domain.codes import MISSING, OTHER, codebooks
from synthward.domain.spec import Domain
from synthward.domain.wanted import wanted_shares

BOOKS = codebooks(
    bind(
        """\
version: 1
attributes:
  sex: {type: categorical, values: [F, M], other: U, missing: ["?"]}
  ill: {type: boolean, required: true}
  age: {type: numeric, integer: true, bounds: [0, 99], bins: 10}
  seen: {type: date, bounds: [2020-01-01, 2020-12-31]}
""",
        Domain,
    )
)


@pytest.mark.parametrize(
    ("column", "value", "shares"),
    [
        ("sex", "F", {0: 1.0}),
        ("sex", {"F": Decimal("0.7"), "M": Decimal("0.3")}, {0: 0.7, 1: 0.3}),
        ("sex", {"U": 0.5, "?": 0.25, None: 0.25}, {OTHER: 0.5, MISSING: 0.5}),
        ("sex", {"F": 1, "M": 0}, {0: 1.0, 1: 0.0}),
        ("ill", {"yes": 1}, {1: 1.0}),
        ("age", {"42": 1}, {42: 1.0}),
        ("seen", {"2020-03-01": 1}, {60: 1.0}),
    ],
)
def test_values_become_places(column: str, value: object, shares: dict[int, float]) -> None:
    assert wanted_shares(BOOKS[column], value) == pytest.approx(shares)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("sex", "X", "'X' is not a declared value of column 'sex'"),
        ("age", {"100": 1}, "'100' is not a declared value"),
        ("seen", "2021-01-01", "not a declared value"),
        ("ill", None, "None is not a declared value"),
        ("sex", {"F": 0.6, "M": 0.3}, "sum to 0.9, not to 1"),
        ("sex", {}, "sum to 0, not to 1"),
        ("sex", {"F": -1, "M": 2}, "not a number of at least 0"),
        ("sex", {"F": float("nan")}, "not a number of at least 0"),
        ("sex", {"F": True}, "not a number of at least 0"),
        ("sex", {"F": "1"}, "not a number of at least 0"),
    ],
)
def test_wishes_that_make_no_sense_are_named(column: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wanted_shares(BOOKS[column], value)
