"""Texts that match a declared pattern: ids for people who are made up."""

from __future__ import annotations

from collections.abc import Callable

Text = Callable[[], str]


def matching(pattern: str, number: int) -> str:
    """One of the longest texts of a pattern of `domain.patterns`, another one for another number as far as it has them.

    Args:
        pattern: A pattern without fault.
        number: Not negative; its digits choose the characters.

    >>> matching("P[0-9]{3}(-[ab])?", 417)
    'P714-b'
    """
    return _Writer(pattern, number).whole()


class _Writer:
    """Reads a pattern as `domain.patterns` does and writes a text on the way."""

    def __init__(self, pattern: str, number: int) -> None:
        self._text, self._at, self._number = pattern, 0, number

    def whole(self) -> str:
        return self._alternatives()()

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _draw(self, choices: str) -> str:
        self._number, place = divmod(self._number, len(choices))
        return choices[place]

    def _alternatives(self) -> Text:
        first = self._sequence()
        while self._peek() == "|":
            self._at += 1
            self._sequence()
        return first

    def _sequence(self) -> Text:
        parts: list[Text] = []
        while self._peek() not in ("", "|", ")"):
            part, times = self._atom(), self._times()
            parts += [part] * times
        return lambda: "".join(part() for part in parts)

    def _atom(self) -> Text:
        taken = self._take()
        if taken == "(":
            inner = self._alternatives()
            self._at += 1
            return inner
        if taken == "[":
            choices = self._class()
            return lambda: self._draw(choices)
        plain = self._take() if taken == "\\" else taken
        return lambda: plain

    def _class(self) -> str:
        found: list[str] = []
        while self._peek() != "]" or not found:
            taken = self._take()
            if taken == "\\":
                found.append(self._take())
            elif taken == "-" and found and self._peek() != "]":
                last = self._take()
                last = self._take() if last == "\\" else last
                found += map(chr, range(ord(found[-1]) + 1, ord(last) + 1))
            else:
                found.append(taken)
        self._at += 1
        return "".join(dict.fromkeys(found))

    def _times(self) -> int:
        if self._peek() == "?":
            self._at += 1
            return 1
        if self._peek() != "{":
            return 1
        end = self._text.index("}", self._at)
        bounds = self._text[self._at + 1 : end].split(",")
        self._at = end + 1
        return int(bounds[-1])
