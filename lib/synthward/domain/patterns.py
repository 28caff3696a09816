r"""What a text may look like: a small language of regular expressions that every engine reads in the same way.

    alternatives   Cardiology|Surgery-[A-Z][a-z]{2,20}
    characters     letters, digits and other plain characters; a backslash before a special one
    classes        [A-Za-z/-], never [^...]
    repetition     {3}, {1,40} or ?; everything is bounded
    groups         (\.[0-9]{1,2})?

A pattern is public and matched against cells, so that matching must neither fail nor take long, whatever a cell holds:
lengths and the number of ways in which a text could be matched are bounded. Only texts of characters that the pattern
spells out match; the replacement character, into which engines turn bytes that are no text, cannot be one of them.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST = 200
"""Characters of a matching text at most."""

MAX_WAYS = 10_000
"""Ways through the pattern at most: what an engine that backtracks may have to try on one text."""

_SPECIAL = frozenset("\\^$.|?*+()[]{}")
_SPECIAL_IN_CLASS = frozenset("\\^[]&~|-")
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True)
class Measure:
    """Size of a part of a pattern.

    Attributes:
        shortest: Characters of its shortest text.
        longest: Of its longest one.
        ways: Bound of the ways in which it can be gone through.
    """

    shortest: int
    longest: int
    ways: int


def pattern_fault(pattern: str) -> str | None:
    """What is wrong with a pattern, None when nothing is.

    >>> pattern_fault("[A-Z][0-9]{2}") is None
    True
    >>> "no meaning" in pattern_fault("[A-Z].*")
    True
    """
    try:
        found = _Reader(pattern).whole()
    except ValueError as error:
        return str(error)
    if found.shortest == 0:
        return "it matches the empty text; let it ask for at least one character"
    return None


def longest_match(pattern: str) -> int:
    """Characters of the longest text that a pattern matches, at most `LONGEST`.

    >>> longest_match("[A-Z]{2,5}|-")
    5

    Raises:
        ValueError: It is no pattern of this language; see `pattern_fault`.
    """
    return _Reader(pattern).whole().longest


class _Reader:
    """Reads one pattern from the left."""

    def __init__(self, pattern: str) -> None:
        self._text, self._at = pattern, 0

    def whole(self) -> Measure:
        found = self._alternatives()
        if self._at < len(self._text):
            raise ValueError("')' closes nothing; write \\) for the character")
        return found

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self) -> str:
        taken = self._peek()
        if not taken:
            raise ValueError("it ends in the middle of a class, a group, a repetition or after a backslash")
        self._at += 1
        return taken

    def _alternatives(self) -> Measure:
        found = self._sequence()
        while self._peek() == "|":
            self._at += 1
            other = self._sequence()
            shortest, longest = min(found.shortest, other.shortest), max(found.longest, other.longest)
            found = _bounded(shortest, longest, found.ways + other.ways)
        return found

    def _sequence(self) -> Measure:
        found = Measure(0, 0, 1)
        while self._peek() not in ("", "|", ")"):
            part = self._repeated(self._atom())
            shortest, longest = found.shortest + part.shortest, found.longest + part.longest
            found = _bounded(shortest, longest, found.ways * part.ways)
        return found

    def _atom(self) -> Measure:
        taken = self._take()
        if taken == "(":
            found = self._alternatives()
            if self._take() != ")":
                raise ValueError("a group is not closed")
            return found
        if taken == "[":
            self._class()
        elif taken == "\\":
            self._escaped()
        elif taken in "*+":
            raise ValueError(f"'{taken}' repeats without end; write a bound, for instance {{1,40}}")
        elif taken in _SPECIAL:
            raise ValueError(
                f"'{taken}' has no meaning here; write \\{taken} for the character, or list characters: [a-z]"
            )
        else:
            _plain(taken)
        return Measure(1, 1, 1)

    def _class(self) -> None:
        first = True
        while (taken := self._take()) != "]" or first:
            if taken == "\\":
                self._escaped()
            elif taken in _SPECIAL_IN_CLASS and (taken != "-" or first or self._peek() != "]"):
                raise ValueError(f"'{taken}' inside of [...] must be written \\{taken}")
            else:
                _plain(taken)
                if self._peek() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                    self._at += 1
                    _range(taken, self._take())
            first = False

    def _escaped(self) -> None:
        taken = self._take()
        if taken.isalnum() or not (taken.isascii() and taken.isprintable()):
            raise ValueError(f"'\\{taken}' is not understood; a backslash stands before punctuation only")

    def _repeated(self, part: Measure) -> Measure:
        if self._peek() == "?":
            self._at += 1
            return _bounded(0, part.longest, part.ways + 1)
        if self._peek() != "{":
            return part
        start = self._at
        while self._take() != "}":
            pass
        written = self._text[start + 1 : self._at - 1]
        least, comma, most = written.partition(",")
        most = most if comma else least
        if not (least.isascii() and least.isdigit() and most.isascii() and most.isdigit() and len(written) < 9):
            raise ValueError(f"'{{{written}}}' is no bounded repetition; write {{3}} or {{1,40}}")
        low, high = int(least), int(most)
        if not low <= high <= LONGEST or high == 0:
            raise ValueError(f"'{{{written}}}' must ascend, and repeat at least once and at most {LONGEST} times")
        ways = sum(min(part.ways**times, MAX_WAYS + 1) for times in range(low, high + 1))
        return _bounded(low * part.shortest, high * part.longest, ways)


def _plain(character: str) -> None:
    if not character.isprintable() or character == _REPLACEMENT:
        raise ValueError(f"the character U+{ord(character):04X} cannot be part of a pattern")


def _range(first: str, last: str) -> None:
    kinds = (("0", "9"), ("A", "Z"), ("a", "z"))
    if not any(low <= first <= last <= high for low, high in kinds):
        raise ValueError(f"the range '{first}-{last}' must lie within 0-9, A-Z or a-z")


def _bounded(shortest: int, longest: int, ways: int) -> Measure:
    if longest > LONGEST:
        raise ValueError(f"it matches texts of more than {LONGEST} characters; use smaller repetitions")
    if ways > MAX_WAYS:
        raise ValueError(f"there are more than {MAX_WAYS} ways to match it; use fewer variable repetitions")
    return Measure(shortest, longest, ways)
