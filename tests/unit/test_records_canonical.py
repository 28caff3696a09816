"""The canonical form of records: RFC 8785, by its own examples."""

import hashlib
import json
import math
import struct
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.config.canonical import canonical_json
from synthward.records.canonical import MAX_INTEGER, canonical_bytes, canonical_digest, parse_canonical

# RFC 8785, appendix B: bits of a double, and its text.
NUMBERS = {
    "0000000000000000": "0",
    "8000000000000000": "0",
    "0000000000000001": "5e-324",
    "8000000000000001": "-5e-324",
    "7fefffffffffffff": "1.7976931348623157e+308",
    "ffefffffffffffff": "-1.7976931348623157e+308",
    "4340000000000000": "9007199254740992",
    "c340000000000000": "-9007199254740992",
    "4430000000000000": "295147905179352830000",
    "44b52d02c7e14af5": "9.999999999999997e+22",
    "44b52d02c7e14af6": "1e+23",
    "44b52d02c7e14af7": "1.0000000000000001e+23",
    "444b1ae4d6e2ef4e": "999999999999999700000",
    "444b1ae4d6e2ef4f": "999999999999999900000",
    "444b1ae4d6e2ef50": "1e+21",
    "3eb0c6f7a0b5ed8c": "9.999999999999997e-7",
    "3eb0c6f7a0b5ed8d": "0.000001",
    "41b3de4355555553": "333333333.3333332",
    "41b3de4355555554": "333333333.33333325",
    "41b3de4355555555": "333333333.3333333",
    "41b3de4355555556": "333333333.3333334",
    "41b3de4355555557": "333333333.33333343",
    "becbf647612f3696": "-0.0000033333333333333333",
    "43143ff3c1cb0959": "1424953923781206.2",
}


@pytest.mark.parametrize(("bits", "text"), NUMBERS.items())
def test_numbers_of_the_rfc(bits, text):
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical_bytes(value).decode() == text


def test_the_example_of_the_rfc():
    # Section 3.2.2 and 3.2.4: escapes, numbers and literals.
    given_ = json.loads(
        r"""{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"""
    )
    assert canonical_bytes(given_).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


def test_names_are_sorted_by_utf_16():
    # Section 3.2.3.
    names = ["€", "\r", "\ufb33", "1", "\U0001f600", "\x80", "ö"]
    text = canonical_bytes(dict.fromkeys(names, 0)).decode()
    assert list(json.loads(text)) == ["\r", "1", "\x80", "ö", "€", "\U0001f600", "\ufb33"]


def test_integers_that_no_double_holds_are_refused():
    assert canonical_bytes([MAX_INTEGER, -MAX_INTEGER]) == b"[9007199254740991,-9007199254740991]"
    for number in (MAX_INTEGER + 1, -MAX_INTEGER - 1):
        with pytest.raises(ValueError, match="as text"):
            canonical_bytes({"n": number})


@pytest.mark.parametrize("value", [math.nan, math.inf, "\ud800", {"\udfff": 1}])
def test_what_has_no_text_is_refused_without_quoting_it(value):
    with pytest.raises(ValueError, match="must be") as caught:
        canonical_bytes(value)
    assert "ud800" not in str(caught.value)


@pytest.mark.parametrize("value", [{1, 2}, {1: "a"}, b"bytes"])
def test_what_is_no_json_is_refused(value):
    with pytest.raises(TypeError):
        canonical_bytes(value)


def test_a_number_of_numpy_is_written_as_any_other():
    assert canonical_bytes([np.float64(0.1), np.float64(-2.0), np.float64(1e21)]) == b"[0.1,-2,1e+21]"


def test_the_digest_is_that_of_the_text():
    assert canonical_digest({"a": Decimal("1.00")}) == hashlib.sha256(b'{"a":"1"}').hexdigest()


@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1}',
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b"1.0",
        b"NaN",
        b'"\\u00e9"',
        b'\xef\xbb\xbf"a"',
        b'"\xff"',
        b"",
        b"1 2",
        b"[" * 100_000,
    ],
)
def test_no_other_text_is_read(text):
    with pytest.raises(ValueError, match="canonical form"):
        parse_canonical(text)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=20,
)


@given(VALUES)
def test_a_canonical_text_gives_its_value_back(value):
    text = canonical_bytes(value)
    assert parse_canonical(text) == value
    assert canonical_bytes(parse_canonical(text)) == text


@given(
    st.dictionaries(
        st.text(st.characters(max_codepoint=126)), st.text(st.characters(max_codepoint=126)) | st.booleans()
    )
)
def test_for_ascii_texts_it_is_the_form_that_came_before(value):
    assert canonical_bytes(value) == canonical_json(value).encode()
