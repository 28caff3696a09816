"""The canonical form of records: JSON by RFC 8785 (JCS), and its digest.

One value has one text, so that any tool that knows the RFC gets the digest that was signed or recorded. The form of
`config.canonical` came before; it stays for what was written in it and for the digests of configuration.

The texts differ in three ways: the RFC writes characters as they are instead of ASCII escapes, sorts the names of an
object by UTF-16 code units, and writes numbers as ECMAScript does (`1.0` is `1`). A JSON number is a binary double, so
an integer that no double holds is refused: a record writes it as text.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any, cast

from synthward.config.canonical import plain

MAX_INTEGER = 2**53 - 1
"""Largest integer that a JSON number may hold (RFC 7493)."""

_FIXED_ABOVE, _FIXED_UP_TO = -6, 21
"""ECMAScript writes `0.digits x 10^point` without exponent where `point` is above the one and up to the other."""


def canonical_bytes(obj: Any) -> bytes:
    """UTF-8 text of a value by RFC 8785.

    A dataclass becomes an object under its YAML names, decimals and dates become strings, as in `config.canonical`.

    Raises:
        TypeError: A value has no canonical form, for instance a set or a Path.
        ValueError: A number is NaN, infinite or an integer beyond `MAX_INTEGER`, or a text is no valid Unicode.

    >>> canonical_bytes({"b": 1.0, "a": [True, None, "é"]}).decode()
    '{"a":[true,null,"é"],"b":1}'
    """
    try:
        return _text(plain(obj)).encode("utf-8")
    except UnicodeEncodeError:
        # The error of the codec quotes the text.
        raise ValueError("a text in a record must be valid Unicode; found half of a surrogate pair") from None


def canonical_digest(obj: Any) -> str:
    """SHA-256 of `canonical_bytes`, as 64 lower-case hexadecimal digits."""
    return hashlib.sha256(canonical_bytes(obj)).hexdigest()


def parse_canonical(data: bytes) -> Any:
    """The JSON value of a canonical text; the only reader for what is signed.

    Two readers can disagree on a text that is not canonical (a name that is given twice, for instance), so no other
    text is accepted.

    Raises:
        ValueError: The bytes are not the canonical text of any value.

    >>> parse_canonical(b'{"a":1}')
    {'a': 1}
    >>> parse_canonical(b'{"a": 1}')
    Traceback (most recent call last):
    ...
    ValueError: the text is not in canonical form (RFC 8785)
    """
    fault = "the text is not in canonical form (RFC 8785)"
    try:
        value = json.loads(data.decode("utf-8"), parse_int=_integer)
        same = canonical_bytes(value) == data
    except (ValueError, RecursionError):
        raise ValueError(fault) from None
    if not same:
        raise ValueError(fault)
    return value


def _integer(digits: str) -> int | float:
    """A number without point is a large double where it is beyond the integers; `_number` writes it so."""
    return int(digits) if abs(float(digits)) <= MAX_INTEGER else float(digits)


def _text(value: Any) -> str:
    if value is None or isinstance(value, bool | str):
        # Python escapes what the RFC wants escaped, and in the same way.
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise ValueError(f"an integer in a record must be within {MAX_INTEGER}; write a larger one as text")
        return str(int(value))
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list):
        return "[" + ",".join(_text(item) for item in value) + "]"
    entries = sorted(cast("Mapping[str, Any]", value).items(), key=lambda entry: entry[0].encode("utf-16-be"))
    return "{" + ",".join(f"{_text(name)}:{_text(item)}" for name, item in entries) + "}"


def _number(value: float) -> str:
    """A double as ECMAScript's Number::toString writes it: the shortest digits that give it back.

    >>> [_number(value) for value in (1e21, 1e20, 1e-6, 1e-7, -0.0, 1.5)]
    ['1e+21', '100000000000000000000', '0.000001', '1e-7', '0', '1.5']
    """
    if not math.isfinite(value):
        raise ValueError("a number in a record must be finite")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    # repr gives the shortest digits; only where the point and the exponent stand is different.
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = int(exponent or 0) + (len(whole) if whole != "0" else len(digits) - len(fraction))
    digits = digits.rstrip("0")
    if not _FIXED_ABOVE < point <= _FIXED_UP_TO:
        tail = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{tail}e{point - 1:+d}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    if point >= len(digits):
        return f"{sign}{digits}{'0' * (point - len(digits))}"
    return f"{sign}{digits[:point]}.{digits[point:]}"
