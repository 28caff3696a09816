"""The codec of records: strict, tolerant of what came before, and the same for every record."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.config.fields import key
from synthward.records import journal, ledger, manifest
from synthward.records.canonical import MAX_INTEGER, canonical_bytes
from synthward.records.codec import RecordFault, decode, decode_if, encode, recordable

RECORDS = [
    cls
    for module in (journal, ledger, manifest)
    for cls in vars(module).values()
    if dataclasses.is_dataclass(cls) and cls.__module__ == module.__name__
]


@dataclass(frozen=True)
class Inner:
    name: str
    share: float | None = None


@dataclass(frozen=True)
class Outer:
    number: int
    cost: Decimal
    passed: bool
    stage: Literal["open", "shut"]
    inner: Inner
    listed: tuple[Inner, ...]
    bounds: tuple[str, str]
    named: Mapping[str, int]
    free: Any
    absent: str | None = key(None, later=True, doc="Left out where it is None.")


WHOLE = Outer(
    number=2**60,
    cost=Decimal("0.10"),
    passed=True,
    stage="open",
    inner=Inner("a", 1.0),
    listed=(Inner("b"),),
    bounds=("0", "1"),
    named={"x": 1},
    free={"any": ["thing"]},
)


def test_a_record_comes_back_from_its_text() -> None:
    text = canonical_bytes(encode(WHOLE))
    assert decode(Outer, json.loads(text)) == WHOLE
    assert b'"number":"1152921504606846976"' in text
    assert b'"absent"' not in text
    assert b'"share":1}' in text


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"number": True}, "Outer.number: found true or false, expected a whole number"),
        ({"number": 1.0}, "Outer.number: found a number, expected a whole number"),
        ({"number": "7"}, "Outer.number: found a text, expected a whole number"),
        ({"number": str(MAX_INTEGER)}, "Outer.number: found a text, expected a whole number"),
        ({"cost": 0.1}, "Outer.cost: found a number, expected a decimal number as text"),
        ({"cost": "much"}, "Outer.cost: found a text, expected a decimal number as text"),
        ({"passed": 1}, "Outer.passed: found a number, expected true or false"),
        ({"stage": "ajar"}, "Outer.stage: found a text, expected one of open, shut"),
        ({"inner": None}, "Outer.inner: found nothing (null), expected an object"),
        ({"inner": {}}, "Outer.inner: the keys name are missing"),
        ({"listed": [{"name": 1}]}, "Outer.listed[].name: found a number, expected a text"),
        ({"listed": {}}, "Outer.listed: found an object, expected a list"),
        ({"bounds": ["0"]}, "Outer.bounds: found a list, expected a list of 2"),
        ({"named": {"secret": "y"}}, "Outer.named.*: found a text, expected a whole number"),
        ({"secret": 1}, "Outer: 1 unknown keys; a later version may have written it"),
    ],
)
def test_what_is_no_such_record_is_refused_without_quoting_it(change: dict[str, Any], told: str) -> None:
    with pytest.raises(RecordFault) as caught:
        decode(Outer, encode(WHOLE) | change)
    assert str(caught.value) == told
    assert decode_if(Outer, encode(WHOLE) | change) is None


def test_what_came_later_may_be_missing_and_nothing_else() -> None:
    written = encode(WHOLE)
    for name in written:
        rest = {other: value for other, value in written.items() if other != name}
        with pytest.raises(RecordFault, match=f"the keys {name} are missing"):
            decode(Outer, rest)
    assert decode(Inner, {"name": "a"}) == Inner("a")


@pytest.mark.parametrize("cls", RECORDS, ids=lambda cls: cls.__name__)
def test_every_record_can_be_read_and_written(cls: type) -> None:
    """Its annotations are known to the codec, and a made-up record comes back equal."""
    made = example_of(cls)
    assert decode(cls, json.loads(canonical_bytes(encode(made)))) == made


def example_of(kind: Any) -> Any:
    """A value of an annotation."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    plain = {str: "é", int: 2**61, float: 0.1, bool: True, Decimal: Decimal("1E-9"), Any: {"a": [1, None]}}
    if kind in plain:
        return plain[kind]
    if origin is Literal:
        return arguments[0]
    if origin is tuple:
        return (example_of(arguments[0]),) * 2
    if origin is Mapping:
        return {"name": example_of(arguments[1])}
    if type(None) in arguments:
        return example_of(next(inner for inner in arguments if inner is not type(None)))
    hints = typing.get_type_hints(kind)
    return kind(**{field.name: example_of(hints[field.name]) for field in dataclasses.fields(kind)})


def test_numbers_and_texts_of_numpy_are_kept_as_pythons() -> None:
    found = decode(Inner, encode(Inner(np.str_("a"), np.float64(0.5))))
    assert found == Inner("a", 0.5)
    assert (type(found.name), type(found.share)) == (str, float)


@given(st.integers())
def test_an_integer_has_one_form(number: int) -> None:
    written = recordable(number)
    assert isinstance(written, str) == (abs(number) > MAX_INTEGER)
    assert decode(Inner, {"name": "a", "share": None}).share is None
    if abs(number) < 10**90:
        assert decode(OneNumber, {"n": written}).n == number


@dataclass(frozen=True)
class OneNumber:
    n: int
