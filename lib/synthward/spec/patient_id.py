"""What an id of a patient looks like, and which texts stand for nobody.

A row whose key does not fit has no patient: it is dropped before anything is counted, because one shared "unknown"
patient would own the rows of many people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from synthward.config.fields import key
from synthward.domain.patterns import pattern_fault


@dataclass(frozen=True)
class IdShape:
    """Declared shape of an id. Empty texts, texts of blanks and undecodable texts are never ids, declared or not."""

    pattern: str | None = key(
        None,
        doc="What an id looks like as a whole, in the language of patterns (see learn.categories), for instance "
        "[0-9]{1,9}; a whole number is matched as its plain digits. What does not match has no patient.",
    )
    never: tuple[str, ...] = key(
        (),
        yaml="not",
        doc="Keys that stand for nobody: texts exactly as written, numbers by value.",
        example='["0", UNKNOWN]',
    )

    def problems(self) -> Iterator[tuple[str, str]]:
        """Cross-field checks for the loader."""
        if self.pattern is None and not self.never:
            yield "pattern", "say what an id looks like, or under `not` what is none; or remove `id`"
        fault = None if self.pattern is None else pattern_fault(self.pattern)
        if fault is not None:
            yield "pattern", fault
        if len(set(self.never)) < len(self.never):
            yield "not", "lists one text twice; keep one"

    @property
    def normal(self) -> tuple[str | None, tuple[str, ...]]:
        """Pattern and non-ids in an order that does not depend on how they were written."""
        return self.pattern, tuple(sorted(self.never))

    @property
    def words(self) -> str:
        """The shape in a few words, for a message."""
        listed = ", ".join(repr(text) for text in sorted(self.never))
        parts = [*([f"pattern {self.pattern}"] if self.pattern else []), *([f"not {listed}"] if listed else [])]
        return ", ".join(parts)


def shape_words(shape: IdShape | None) -> str:
    """The shape in a few words; without one any id."""
    return "any id" if shape is None else shape.words


def same_shape(one: IdShape | None, other: IdShape | None) -> bool:
    """Whether two declarations say the same."""
    return (None if one is None else one.normal) == (None if other is None else other.normal)
