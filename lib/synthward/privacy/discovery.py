"""Queries about texts beyond a public list as they are asked, thresholded and sealed.

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
from typing import Any

import numpy as np

from synthward.config.canonical import canonical_json
from synthward.domain.patterns import longest_match
from synthward.privacy.accounting import Charge
from synthward.privacy.measurement import Asked, Measurement
from synthward.privacy.queries import Categories
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.thresholds import Threshold

_PAIR = 28
"""Bytes of a pair beside its text: `["", ], ` and a count of at most 20 digits and sign."""

_FRAME = 4
"""Bytes of the brackets around a list and of what separates it from the next."""


@dataclass(frozen=True)
class AskedCategories(Asked):
    """A query about texts, with its noise and the threshold of its answer; public.

    Attributes:
        query: The query.
        call: Noise of each count.
        above: The threshold, in units of 1/S. Released texts have a noisy count strictly above it.
    """

    query: Categories
    above: int

    @property
    def threshold(self) -> Threshold:
        """The mechanism with all its numbers.

        Raises:
            ValueError: The noise does not have the sensitivity of the query, or the threshold is below one unit.
        """
        return Threshold(self.call, self.query.per_patient, self.above, WEIGHT_UNIT)

    @property
    def charge(self) -> Charge:
        """What the answer costs, delta of the threshold included."""
        return self.threshold.charge

    def to_json(self) -> dict[str, Any]:
        """Canonical public description, from which digests are taken."""
        return super().to_json() | {
            "pattern": self.query.pattern,
            "listed": hashlib.sha256(canonical_json(list(self.query.listed)).encode()).hexdigest(),
            "at_most": self.query.at_most,
            "per_patient": self.query.per_patient,
            "above": self.above,
            "one": WEIGHT_UNIT,
        }

    @property
    def patients(self) -> float:
        """The threshold as a number of patients."""
        return self.above / WEIGHT_UNIT

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


@dataclass(frozen=True, eq=False)
class Found(Measurement):
    """A sealed answer about texts.

    Attributes:
        asked: The query, its noise and its threshold.
        values: Noisy number of units that keep each text of `texts`, in units of 1/S.
        texts: Released texts, sorted.
    """

    asked: AskedCategories
    texts: tuple[str, ...]

    @classmethod
    def of(cls, asked: AskedCategories, released: Mapping[str, int]) -> Found:
        """The answer with these noisy counts, in units of 1/S, sorted by the text."""
        return cls(asked, np.array(list(released.values()), dtype=np.int64), tuple(released))

    @property
    def released(self) -> dict[str, int]:
        """Noisy count of each released text, in units of 1/S."""
        return dict(zip(self.texts, self.values.tolist(), strict=True))


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
    return tuple(Found.of(item, dict(pairs)) for item, pairs in zip(asked, answers, strict=True))
