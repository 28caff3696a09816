"""Texts that people write for other people: which characters they may have, and how they are shown.

A terminal obeys control characters. Bidirectional or invisible characters make a text look different from what it is.
So one-line texts of a document may not have them, and every printed text passes `shown`.
"""

from __future__ import annotations

import unicodedata

MAX_SHOWN = 60
"""Largest number of characters of a value that a message quotes."""

LINE = 200
"""Largest number of characters of a title, a name or a ticket."""

PARAGRAPH = 2000
"""Largest number of characters of a purpose or a note."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that are escaped when shown: controls, formats (bidirectional, zero-width), half characters,
private and unassigned code points, separators of lines and paragraphs."""


def is_visible(character: str) -> bool:
    """True if a terminal shows the character as itself. A line break is not visible."""
    return unicodedata.category(character) not in _HIDDEN


def shown(text: str, limit: int | None = None) -> str:
    r"""Return a text for one line of a terminal. Hidden characters become escapes such as `\n` or `\u202e`.

    Args:
        text: Any text.
        limit: Number of characters to keep; None for all. A longer text is cut and ends with `...`.

    >>> shown("Trial\ntier T0")
    'Trial\\ntier T0'
    """
    kept = text if limit is None or len(text) <= limit else text[: max(limit - 3, 0)] + "..."
    return "".join(one if is_visible(one) else one.encode("unicode_escape").decode("ascii") for one in kept)


def quoted(text: str) -> str:
    """Return a value in quotes for a message: visible characters only, at most `MAX_SHOWN` of them."""
    return f"'{shown(text, MAX_SHOWN)}'"


def text_fault(text: str, max_length: int, *, lines: bool) -> str | None:
    """Return why a document or a record may not have a text; None if it may.

    Args:
        text: The text.
        max_length: Largest number of characters.
        lines: True if the text may have several lines.
    """
    if len(text) > max_length:
        return f"is longer than {max_length} characters; shorten it"
    for position, character in enumerate(text, 1):
        if not is_visible(character) and not (lines and character == "\n"):
            what = "a line break" if character in "\r\n\u2028\u2029" else "a hidden character"
            kind = "a text of visible characters" if lines else "one line of visible characters"
            return f"has {what} at position {position} ({shown(character)}); allowed is {kind}"
    return None
