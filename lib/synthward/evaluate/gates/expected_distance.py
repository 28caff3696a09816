"""Gate: the release is expected to be near the real rows, in the mean and in every column and pair.

The expected distances come from simulated releases (`evaluate.quality`), which read the model and sealed answers only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from statistics import fmean

from synthward.evaluate.gates.gate import Gate, Judgement, Thresholds
from synthward.evaluate.quality.distances import Expected
from synthward.evaluate.quality.verdicts import Judged
from synthward.spec.request import MaxExpected

NAMED = 5
"""Columns or pairs that a message names."""


def judge(expected: Sequence[Judged], thresholds: Thresholds) -> Judgement:
    """Compare expected distances with the request's limits."""
    limits = thresholds.max_expected
    assert limits is not None, "the request switches this gate on"
    if not expected:
        return False, "no release was simulated, so that nothing is known; use utility.replicates: 2"
    faults = list(_faults([each.expected for each in expected], limits))
    return not faults, "; ".join(faults) if faults else "expected distances are within the requested limits"


def _faults(expected: Sequence[Expected], limits: MaxExpected) -> Iterator[str]:
    for width, word, mean, every in (
        (1, "column", limits.mean_column, limits.column),
        (2, "pair", limits.mean_pair, limits.pair),
    ):
        part = [each for each in expected if len(each.columns) == width]
        known = [each.distance for each in part if each.distance is not None]
        if mean is not None:
            yield from _mean_fault(word, known, mean)
        if every is not None:
            yield from _single_faults(word, part, every)


def _mean_fault(word: str, known: Sequence[float], limit: Decimal) -> Iterator[str]:
    if not known:
        yield f"of no {word} anything is known; use a synthesizer that measures them"
    elif fmean(known) > float(limit):
        yield f"mean expected distance of a {word} {fmean(known):.4f}, at most {limit} requested"


def _single_faults(word: str, part: Sequence[Expected], limit: Decimal) -> Iterator[str]:
    beyond = sorted(
        (each for each in part if each.distance is None or each.distance > float(limit)),
        key=lambda each: -2.0 if each.distance is None else -each.distance,
    )
    if beyond:
        named = ", ".join(
            f"{' x '.join(each.columns)} ({'nothing known' if each.distance is None else f'{each.distance:.4f}'})"
            for each in beyond[:NAMED]
        )
        more = f" and {len(beyond) - NAMED} more" if len(beyond) > NAMED else ""
        yield f"expected distance of a {word} above {limit}: {named}{more}"


GATE = Gate(
    "expected distance",
    "utility_gate",
    judge,
    setting="max_expected",
    remedy="give the run a larger epsilon or fewer columns, or have another utility.max_expected approved",
)
