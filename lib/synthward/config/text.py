"""Texts that people wrote, on their way to other people: what a text may hold, and how it is shown.

A terminal obeys control characters, and bidirectional or invisible characters show something else than is there. So a
document's one-line texts may not hold them, and whatever is printed passes `shown`.
"""

from __future__ import annotations

import unicodedata

MAX_SHOWN = 60
"""Characters of a value that a message quotes at most."""

LINE = 200
"""Characters of a title, a name or a ticket at most."""

PARAGRAPH = 2000
"""Characters of a purpose or a note at most."""

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Unicode categories that are not shown as they are: controls, formats (bidirectional, zero-width), half characters,
private and unassigned code points, separators of lines and paragraphs."""


def is_visible(character: str) -> bool:
    """Whether a terminal shows the character as itself; a line break is not."""
    return unicodedata.category(character) not in _HIDDEN


def shown(text: str, limit: int | None = None) -> str:
    r"""A text for one line of a terminal: what is not visible is written as an escape such as `\n` or `\u202e`.

    Args:
        text: Any text.
        limit: Characters to keep; a longer text ends with `...`. None for all.

    >>> shown("Trial\ntier T0")
    'Trial\\ntier T0'
    """
    kept = text if limit is None or len(text) <= limit else text[: max(limit - 3, 0)] + "..."
    return "".join(one if is_visible(one) else one.encode("unicode_escape").decode("ascii") for one in kept)


def quoted(text: str) -> str:
    """A value in quotes for a message: visible characters, `MAX_SHOWN` of them at most."""
    return f"'{shown(text, MAX_SHOWN)}'"


def text_fault(text: str, max_length: int, *, lines: bool) -> str | None:
    """Why a text may not stand in a document or a record, None when it may.

    Args:
        text: The text.
        max_length: Characters allowed.
        lines: Whether it may have several lines.
    """
    if len(text) > max_length:
        return f"is longer than {max_length} characters; shorten it"
    for place, character in enumerate(text, 1):
        if not is_visible(character) and not (lines and character == "\n"):
            what = "a line break" if character in "\r\n\u2028\u2029" else "a character that is not printed"
            kind = "a text of visible characters" if lines else "one line of visible characters"
            return f"holds {what} at place {place} ({shown(character)}); allowed is {kind}"
    return None
