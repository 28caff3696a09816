"""Verdicts on columns and pairs: *rely on*, *with care*, *do not use*. Their limits stand in the policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from synthward.evaluate.quality.distances import Expected
from synthward.governance.policy import QualityLimits
from synthward.records.manifest import ExpectedEntry, VerdictSummary

Verdict = Literal["rely on", "with care", "do not use"]
VERDICTS: tuple[Verdict, ...] = ("rely on", "with care", "do not use")


@dataclass(frozen=True)
class Judged:
    """A column or pair with its verdict.

    Attributes:
        expected: Expected distance to the real rows.
        verdict: What to do with it.
        unclear: True if the range reaches from *rely on* to *do not use*, or nothing is known: too noisy to tell.
    """

    expected: Expected
    verdict: Verdict
    unclear: bool

    def entry(self) -> ExpectedEntry:
        """For the manifest; numbers rounded to six digits."""
        expected = self.expected
        distance, low, high = (
            None if number is None else round(number, 6) for number in (expected.distance, expected.low, expected.high)
        )
        return ExpectedEntry(expected.columns, expected.basis, distance, low, high, self.verdict, self.unclear)


def judged_by(expected: Iterable[Expected], limits: QualityLimits) -> tuple[Judged, ...]:
    """Verdicts under the policy's limits."""
    return tuple(_judged(each, limits) for each in expected)


def _judged(expected: Expected, limits: QualityLimits) -> Judged:
    one = len(expected.columns) == 1
    rely = float(limits.rely_on_column if one else limits.rely_on_pair)
    care = float(limits.with_care_column if one else limits.with_care_pair)
    if expected.distance is None or expected.low is None or expected.high is None:
        return Judged(expected, "do not use", unclear=True)
    unclear = expected.low <= rely and expected.high > care
    if expected.distance > care:
        return Judged(expected, "do not use", unclear)
    return Judged(expected, "rely on" if expected.high <= rely else "with care", unclear)


def quality_summary(judged: Iterable[Judged]) -> VerdictSummary:
    """Headline numbers: mean and worst expected distance, and how many columns and pairs have each verdict."""
    listed = tuple(judged)
    numbers: dict[str, Any] = {}
    for word, width in (("column", 1), ("pair", 2)):
        part = [each for each in listed if len(each.expected.columns) == width]
        known = [each.expected for each in part if each.expected.distance is not None]
        distances = [each.distance for each in known if each.distance is not None]
        numbers[f"expected_{word}_mean"] = round(fmean(distances), 6) if distances else None
        numbers[f"expected_{word}_max"] = round(max(distances), 6) if distances else None
        for verdict in VERDICTS:
            name = f"{word}s_{verdict.replace(' ', '_')}"
            numbers[name] = sum(each.verdict == verdict for each in part)
        numbers[f"{word}s_unknown"] = len(part) - len(known)
    return VerdictSummary(**numbers)
