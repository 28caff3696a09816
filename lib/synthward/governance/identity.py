"""Names of people that cannot be taken for one another.

Two rules, both strict and simple. An *id* is ASCII, so that no foreign letter and no invisible character can imitate
it, and a roster holds no two ids that look alike. A *name* is NFC text of one script without format characters. The
second rule also holds for names that were only entered, where no roster says who there is.
"""

from __future__ import annotations

import re
import unicodedata

from synthward.config.text import LINE, shown, text_fault

ID = r"[a-z0-9][a-z0-9._-]{0,63}"
"""Ids of people."""

_SHARED = frozenset({"DIGIT", "COMBINING", "MODIFIER", "FULLWIDTH", "SUPERSCRIPT", "SUBSCRIPT"})
"""First words of names of characters that belong to no script of their own."""

_TWINS = str.maketrans({"1": "l", "i": "l", "0": "o", "5": "s", "2": "z", "8": "b", ".": "", "-": "", "_": ""})


def is_id(text: str) -> bool:
    """Whether a text is an id of a person."""
    return re.fullmatch(ID, text) is not None


def looks(identifier: str) -> str:
    """What an id looks like at a glance: ids that give the same text are not to be told apart.

    >>> looks("bi11.lee") == looks("bill-lee")
    True
    """
    return identifier.translate(_TWINS).replace("rn", "m").replace("vv", "w").replace("cl", "d")


def name_fault(text: str) -> str | None:
    """Why a name of a person may not be used, None when it may.

    Args:
        text: The name as entered.

    >>> name_fault("Ada Lovelace") is None
    True
    """
    fault = text_fault(text, LINE, lines=False)
    if fault is not None:
        return fault
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode's normal form NFC, so that it can look like another name; type it again"
    scripts = sorted({script for one in text if (script := _script(one)) is not None})
    if len(scripts) > 1:
        return f"mixes letters of several scripts ({', '.join(scripts).lower()}), so that it can look like another name"
    return None


def _script(character: str) -> str | None:
    """Script of a letter by the first word of its Unicode name; None for whatever is no letter."""
    if not character.isalpha():
        return None
    word = unicodedata.name(character, shown(character)).split()[0]
    return None if word in _SHARED else word
