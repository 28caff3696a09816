"""How texts are read: a strict grammar of numbers and dates, and the declared liberties of codes.

Every pattern here is written in what Python's and Java's regular expressions share (ASCII classes, groups, repetition,
one look-ahead), so that `domain/codes.py` and `kernels/encode.py` read each text alike.
Text that is no number or date by this grammar is out of the domain: an engine's own parser also takes `12D` for 12 and
`43831` for a year, so that a file of the wrong kind would look like a right one.

- A number is `[sign] digits [point digits] [exponent]`, also `5.` and `.5`; spaces around it do not count. Words such
  as NaN or Infinity, hexadecimal numbers, type letters and thousands separators are no numbers.
- A date is `yyyy-MM-dd` with four, two and two digits, year 0001 to 9999; spaces around it do not count. A time of day
  (`T` or a space, then `HH:mm`, seconds, a fraction, `Z` or an offset) may follow: it must be well-formed and is then
  left out, so that the date is the one that is written. `yyyy-MM` is a date where the granularity is month or year, and
  `yyyy` where it is year: elsewhere a day would be made up.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal

EXCEL = "excel"
"""The `format` of dates that are Excel's serial numbers."""

EXCEL_EPOCH = -25_569
"""Day number (since 1970-01-01) of serial 0, for serials from 61 on."""

EXCEL_FALSE_DAY = 60
"""Excel's 1900-02-29, which never was; serials below it are one day later than `EXCEL_EPOCH` says."""

EXCEL_LAST = 2_958_465
"""9999-12-31."""

# No two neighbouring repetitions can match the same characters: a text of a million digits is refused in linear time.
_DIGITS = r"[+-]?(?:[0-9]+(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?"
_YEAR = r"(?!0000)[0-9]{4}"
_TIME = (
    r"(?:[ T](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?)?"
)
_DATES = {
    "day": f"{_YEAR}-[0-9]{{2}}-[0-9]{{2}}{_TIME}",
    "month": f"{_YEAR}-[0-9]{{2}}(?:-[0-9]{{2}}{_TIME})?",
    "year": f"{_YEAR}(?:-[0-9]{{2}}(?:-[0-9]{{2}}{_TIME})?)?",
}
_CASED = ((0x41, 0x17F), (0x386, 0x3CE), (0x400, 0x45F))
"""Latin, Greek and Cyrillic letters: the ranges in which case is folded."""

_PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?\Z")


def number_regex(point: Literal[".", ","]) -> str:
    """Regular expression of a whole number text, spaces around it included."""
    return f" *{_DIGITS.format(point=re.escape(point))} *"


def date_regex(granularity: Literal["day", "month", "year"]) -> str:
    """Regular expression of a whole ISO date, spaces around it included."""
    return f" *{_DATES[granularity]} *"


def is_plain_number(text: str) -> bool:
    """Whether a declared text is a number as numbers are written: no leading zero, no plus sign, no spaces.

    A code such as `01` is none: its zero tells it from `1`, and a column of numbers has no zeros to tell.
    """
    return _PLAIN.match(text) is not None


@cache
def folded_letters() -> tuple[str, str]:
    """Upper-case letters and, at the same places, their lower-case ones: pairs of single letters only.

    A list of our own, because engines disagree about letters whose other case has several letters or depends on the
    neighbours (the German sharp s, the Turkish dotless i, the Greek final sigma): those stay as they are.
    """
    pairs = [
        (upper, lower)
        for first, last in _CASED
        for upper in map(chr, range(first, last + 1))
        if len(lower := upper.lower()) == 1 and lower != upper and lower.upper() == upper
    ]
    return "".join(upper for upper, _ in pairs), "".join(lower for _, lower in pairs)


@cache
def _folding() -> dict[int, int]:
    return str.maketrans(*folded_letters())


def tidied(text: str, *, trim: bool, fold: bool) -> str:
    """A code as it is compared: without spaces around it, with folded case, as declared."""
    text = text.strip(" ") if trim else text
    return text.translate(_folding()) if fold else text


def forms(text: str, *, normalise: bool) -> tuple[str, ...]:
    """The ways in which a declared text may be written: itself, and where declared its NFC and NFD forms."""
    if not normalise:
        return (text,)
    return tuple(dict.fromkeys((text, unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text))))
