"""Columns that are declared to be missing together: the declaration, local rows, wishes and the digest."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from synthward.config.canonical import canonical_json
from synthward.domain.codes import MISSING, OTHER, codebooks
from synthward.domain.spec import Categorical, Domain, Numeric, load_domain
from synthward.domain.wanted import wanted_shares
from synthward.errors import ConfigError
from synthward.sample.local import decode_batch

PRESSURE = Numeric(bounds=(Decimal(0), Decimal(9)), integer=True)
DOMAIN = Domain(
    version=1,
    attributes={
        "low": PRESSURE,
        "sex": Categorical(values=("F", "M")),
        "high": PRESSURE,
        "arm": Categorical(values=("L",), other="?"),
    },
    missing_together=(("low", "high", "arm"),),
)

TEXT = """version: 1
attributes:
  low: {type: numeric, integer: true, bounds: [0, 9]}
  high: {type: numeric, integer: true, bounds: [0, 9], required: true}
  admitted: {type: date, bounds: [2020-01-01, 2020-12-31]}
  discharged: {type: date, bounds: [2020-01-01, 2021-12-31], after: admitted, within: [0, 9]}
missing_together: [LISTS]
"""


def test_a_row_has_all_values_or_none() -> None:
    books = codebooks(DOMAIN)
    listed = [*product((0, 9, OTHER, MISSING), (0, MISSING), (3, OTHER, MISSING), (0, OTHER, MISSING))]
    places = [np.array(column, dtype=np.int32) for column in zip(*listed, strict=True)]
    types = {"low": pa.int64(), "sex": pa.string(), "high": pa.int64(), "arm": pa.string()}
    rows = decode_batch(books, places, pa.schema(list(types.items()))).to_pylist()
    for row, (low, sex, high, arm) in zip(rows, listed, strict=True):
        # `other` is NULL in a number, and a label in the column that declares one.
        whole = low >= 0 and high >= 0 and arm != MISSING
        wanted = (low, high, "L" if arm == 0 else "?") if whole else (None, None, None)
        assert (row["low"], row["high"], row["arm"]) == wanted
        assert row["sex"] == (None if sex == MISSING else "F")


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ("[low]", "name two or more columns, found 1"),
        ("[low, sodium]", "'sodium' is not declared"),
        ("[low, low]", "'low' is already in list 0"),
        ("[low, high]", "'high' is `required` and never missing"),
        ("[low, admitted]", "'discharged' lies after 'admitted' and is missing with it"),
    ],
)
def test_a_list_that_cannot_hold_is_refused_at_its_line(tmp_path: Path, lists: str, words: str) -> None:
    path = tmp_path / "domain.yaml"
    path.write_text(TEXT.replace("LISTS", lists))
    with pytest.raises(ConfigError) as refused:
        load_domain(path)
    [problem] = refused.value.problems
    assert words in problem.message
    assert problem.line == 7


def test_a_list_is_read_and_cut_to_the_requested_columns(tmp_path: Path) -> None:
    path = tmp_path / "domain.yaml"
    path.write_text(TEXT.replace("LISTS", "[low, admitted, discharged]"))
    domain = load_domain(path)
    assert domain.restricted_to(("low", "admitted", "discharged")).missing_together == domain.missing_together
    assert domain.restricted_to(("admitted", "low", "discharged")).missing_with("low") == ("admitted", "discharged")
    assert domain.restricted_to(("low", "high")).missing_together == ()


def test_a_domain_without_lists_keeps_its_digest() -> None:
    assert "missing_together" not in canonical_json(replace(DOMAIN, missing_together=()))
    assert DOMAIN.digest != replace(DOMAIN, missing_together=()).digest


def test_no_share_is_promised_of_columns_that_are_missing_together() -> None:
    books = codebooks(DOMAIN)
    with pytest.raises(ValueError, match="missing together with high, arm"):
        wanted_shares(books["low"], 3)
    assert wanted_shares(books["sex"], "F") == {0: 1.0}
