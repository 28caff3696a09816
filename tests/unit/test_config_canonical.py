"""Canonical JSON: one text for one content, and back."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.config.canonical import canonical_json, decimal_text, digest
from synthward.config.fields import key
from synthward.config.loader import bind, restore


@dataclass(frozen=True)
class One:
    TAG: ClassVar[str] = "one"
    text: str = key("", doc="A text.")


@dataclass(frozen=True)
class Two:
    TAG: ClassVar[str] = "two"
    text: str = key("", doc="A text.")


@dataclass(frozen=True)
class Everything:
    number: Decimal = key(doc="A decimal.")
    whole: int = key(doc="An integer.")
    share: float = key(doc="A float.")
    flag: bool = key(doc="A flag.")
    day: dt.date | None = key(doc="A day.")
    names: tuple[str, ...] = key(doc="Texts.")
    options: dict[str, str] = key(doc="Options.")
    choice: One | Two = key(doc="A variant.")
    renamed: str | None = key(None, doc="Another name.", yaml="other_name")


EXAMPLE = """\
number: 1.50
whole: 7
share: 0.25
flag: true
day: 2027-06-30
names: [b, a]
options: {x: 1, w: 2}
choice: {type: one, text: hello}
"""

REARRANGED = """\
# A comment.
choice:
  text: "hello"
  type: one

options:
  w: '2'
  x: "1"
names:
  - b
  - a
day: "2027-06-30"
flag: true
share: 2.5e-1
whole: +7
number: 15.00e-1
other_name: null
"""


def test_the_text() -> None:
    assert canonical_json(bind(EXAMPLE, Everything)) == (
        '{"choice":{"text":"hello","type":"one"},"day":"2027-06-30","flag":true,"names":["b","a"],"number":"1.5",'
        '"options":{"w":"2","x":"1"},"other_name":null,"share":0.25,"whole":7}'
    )


def test_comments_layout_and_order_of_keys_do_not_change_the_digest() -> None:
    assert digest(bind(EXAMPLE, Everything)) == digest(bind(REARRANGED, Everything))


@pytest.mark.parametrize(
    ("old", "new"),
    [("[b, a]", "[a, b]"), ("type: one", "type: two"), ("1.50", "1.51"), ("x: 1", "x: 1.0"), ("true", "false")],
)
def test_content_changes_the_digest(old: str, new: str) -> None:
    assert digest(bind(EXAMPLE, Everything)) != digest(bind(EXAMPLE.replace(old, new), Everything))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"), ("-0.00", "0"), ("0e50", "0"), ("1", "1"), ("1.0", "1"), ("100", "100"), ("1E2", "100"),
        ("1e-9", "0.000000001"), ("-2.50", "-2.5"), ("1e70", "1E+70"), ("1e-70", "1E-70"),
        ("123456789012345678901234567890.123456789012345678900", "123456789012345678901234567890.1234567890123456789"),
    ],
)  # fmt: skip
def test_decimals_are_written_in_one_way_and_never_rounded(value: str, text: str) -> None:
    assert decimal_text(Decimal(value)) == text
    assert Decimal(text) == Decimal(value)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity")])
def test_numbers_must_be_finite(bad: object) -> None:
    with pytest.raises(ValueError, match="finite"):
        canonical_json({"x": bad})


@pytest.mark.parametrize("bad", [{1, 2}, Path("x"), b"x", {1: 2}, dt.datetime(2027, 1, 1, tzinfo=dt.UTC), One])
def test_values_without_a_canonical_form(bad: object) -> None:
    with pytest.raises(TypeError):
        canonical_json(bad)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
finite = st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**20), max_value=10**20)


@given(
    st.builds(
        Everything,
        number=finite,
        whole=st.integers(-(2**70), 2**70),
        share=st.floats(min_value=-1e99, max_value=1e99, allow_subnormal=False).filter(
            lambda x: not 0 < abs(x) < 1e-90
        ),
        flag=st.booleans(),
        day=st.none() | st.dates(),
        names=st.lists(texts, max_size=3).map(tuple),
        options=st.dictionaries(texts, texts, max_size=3),
        choice=st.builds(One, text=texts) | st.builds(Two, text=texts),
        renamed=st.none() | texts,
    )
)
def test_restore_is_the_inverse(value: Everything) -> None:
    text = canonical_json(value)
    assert text.isascii()
    assert json.loads(text)["other_name"] == value.renamed
    restored = restore(text, Everything)
    assert restored == value
    assert canonical_json(restored) == text
