"""Questions for categories beyond a public list, and their sealed answers.

The exact answer is the number of patients who keep each text (`kernels.categories`), in units of 1/S. It is noised and
thresholded (`privacy.thresholds`), and at most `at_most` texts come out: those with the largest noisy counts. Nothing
else of it exists outside of the curator's half, not even how many texts there were.

Guarantee of a round: that of its thresholds, whose charges add up (PROOFS.md, sections 4.5 and 8).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from synthward.config.canonical import canonical_json, digest
from synthward.domain.patterns import longest_match
from synthward.privacy.accounting import Charge, total
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.thresholds import Threshold

_PAIR = 28
"""Bytes of a pair beside its text: `["", ], ` and a count of at most 20 digits and sign."""

_FRAME = 4
"""Bytes of the brackets around a list and of what separates it from the next."""


@dataclass(frozen=True)
class Categories:
    """Which texts of a column many patients have.

    Attributes:
        column: The column.
        pattern: What such a text looks like as a whole, in the language of `domain.patterns`.
        listed: Texts that are known already.
        at_most: How many texts come out at most.
    """

    column: str
    pattern: str
    listed: tuple[str, ...]
    at_most: int
    KIND: ClassVar[str] = "categories"

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"categories({self.column})"


@dataclass(frozen=True)
class AskedCategories:
    """A question with the noise and the threshold of its answer; public."""

    query: Categories
    threshold: Threshold

    def to_json(self) -> dict[str, Any]:
        """Canonical public description, from which digests are taken."""
        call = self.threshold.call
        return {
            "kind": self.query.KIND,
            "subject": self.query.column,
            "pattern": self.query.pattern,
            "listed": hashlib.sha256(canonical_json(list(self.query.listed)).encode()).hexdigest(),
            "at_most": self.query.at_most,
            "per_patient": self.threshold.categories,
            "above": self.threshold.above,
            "one": self.threshold.one,
            "mechanism": call.mechanism,
            "scale": call.scale.hex(),
            "sensitivity": call.sensitivity,
        }

    @property
    def patients(self) -> float:
        """The threshold as a number of patients."""
        return self.threshold.above / WEIGHT_UNIT

    def released(self, noisy: Mapping[str, int]) -> dict[str, int]:
        """What comes out of noisy counts: a function of them, and the same if it is applied to its own result and more.

        Args:
            noisy: Noisy count of each text, in units of 1/S.

        Returns:
            Texts above the threshold, the largest counts if there are too many, sorted by the text.
        """
        found = self.threshold.released(noisy, self.query.pattern)
        largest = sorted(found, key=lambda text: (-noisy[text], text))[: self.query.at_most]
        return {text: noisy[text] for text in sorted(largest)}


@dataclass(frozen=True)
class CategoryRound:
    """Questions answered together, by one pass.

    Attributes:
        step: Name of the step inside the run, unique; part of the seal's identity.
        asked: Questions, one a column.
    """

    step: str
    asked: tuple[AskedCategories, ...]

    @property
    def charge(self) -> Charge:
        """What the round costs, additive deltas included."""
        return total(item.threshold.charge for item in self.asked)

    @property
    def digest(self) -> str:
        """sha256 of the public description; part of the seal's identity."""
        return digest({"step": self.step, "asked": [item.to_json() for item in self.asked]})


@dataclass(frozen=True)
class Found:
    """A sealed answer.

    Attributes:
        asked: The question.
        counts: Noisy number of patients of each released text, in units of 1/S, sorted by the text.
    """

    asked: AskedCategories
    counts: Mapping[str, int]


def payload_size(asked: Sequence[AskedCategories]) -> int:
    """Bytes of a round's payload, a function of the questions alone: what the longest answers would need.

    Each question may release `at_most` pairs of a text and a count. A character of an ASCII pattern takes one byte in
    JSON, or two with a backslash before it; any other character takes at most twelve.
    """
    sizes = []
    for item in asked:
        wide = 2 if item.query.pattern.isascii() else 12
        sizes.append(_FRAME + item.query.at_most * (_PAIR + wide * longest_match(item.query.pattern)))
    return _FRAME + sum(sizes)


def pack(asked: Sequence[AskedCategories], released: Sequence[Mapping[str, int]]) -> bytes:
    """Released texts of a round with their noisy counts, padded with spaces to `payload_size`.

    How many texts pass, and how long they are, depends on the draw. What is handed to the seal has a public size, so
    that neither its memory nor its transport does (PROOFS.md, section 5.7).

    Args:
        asked: The questions.
        released: Noisy count of each released text, one mapping a question.
    """
    content = json.dumps([list(each.items()) for each in released], ensure_ascii=True).encode()
    return content.ljust(payload_size(asked))


def unpack(asked: Sequence[AskedCategories], payload: bytes) -> tuple[Found, ...]:
    """Inverse of `pack`; payloads that earlier versions sealed without padding are read as well.

    Raises:
        ValueError: The payload does not answer these questions.
    """
    answers = json.loads(payload)
    return tuple(Found(item, dict(pairs)) for item, pairs in zip(asked, answers, strict=True))
