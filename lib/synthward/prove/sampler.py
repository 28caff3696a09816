"""The audit of the noise as it is deployed: the production source, at the scales that a request uses.

Every coordinate is compared with its distribution by itself (one of many without noise is lost in a mean of all), and
all together more finely; coordinates, calls, processes and forks must be independent; the tail beyond a threshold must
not be heavier than the delta that is charged for it. Beside each claim stands a lower bound of the loss, exact at
99.9 %, and what the audit could have detected. An audit can only falsify.

All tests together fail sound noise with a chance below 10^-5.
"""

from __future__ import annotations

import itertools
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from synthward.privacy.noise import NoiseCall, NoiseSource, SecureNoise
from synthward.privacy.thresholds import Threshold, tail
from synthward.prove.bounds import distance, lower, mean_strays, strays, upper
from synthward.prove.findings import Check

Integers = npt.NDArray[np.int64]

CHANCE = 1e-9
"""Chance that one test fails sound noise."""

CONFIDENCE = 1e-3
"""Chance that a lower bound of a loss is above the true loss."""

SMALL_SCALE = 64
"""Up to here the distribution of Gaussian noise is summed up exactly; beyond, rounded noise is within 10^-10 of it."""


@dataclass(frozen=True)
class Effort:
    """How much is drawn.

    Attributes:
        vectors: Vectors of one call.
        width: Integers of one vector; borders of chunks lie at powers of two.
        calls: Different calls that are audited at most: those of the least and of the largest scale first.
    """

    vectors: int
    width: int
    calls: int


QUICK = Effort(vectors=400, width=257, calls=2)
WHOLE = Effort(vectors=1000, width=1025, calls=4)


def audit(
    calls: Sequence[NoiseCall],
    thresholds: Sequence[Threshold],
    noise: NoiseSource,
    effort: Effort,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Check]:
    """Audits a noise source at the given calls.

    Args:
        calls: The request's additive calls; selections are not drawn from here.
        thresholds: Its thresholds.
        noise: The source, as the run would use it.
        effort: How much to draw.
        progress: Told what is being tried.
    """
    found: list[Check] = []
    for call in chosen(calls, effort.calls):
        progress(f"{call.mechanism} noise of scale {call.scale:.6g}")
        exact = np.arange(effort.width, dtype=np.int64) * 997 % 10_007 - 17
        exact[effort.width // 3 : effort.width // 2] = 0  # cells that nobody is in get noise like all others
        drawn = np.array([noise.draw("audit", exact, call) for _ in range(effort.vectors)])
        found += _of_one_call(call, drawn - exact)
        found += _short_vectors(call, noise, effort.vectors)
    for threshold in thresholds:
        found.append(_threshold(threshold, noise, effort))
    return found


def chosen(calls: Sequence[NoiseCall], most: int) -> list[NoiseCall]:
    """Different additive calls: of each mechanism the least scale, then the largest ones."""
    additive = sorted({call for call in calls if call.mechanism != "exponential"}, key=lambda call: call.scale)
    first = {call.mechanism: call for call in reversed(additive)}
    rest = [call for call in reversed(additive) if call not in first.values()]
    return [*first.values(), *rest][:most]


def cumulative(call: NoiseCall) -> Callable[[Integers], npt.NDArray[np.float64]]:
    """P(Z <= k) of an additive call's noise Z."""
    s = call.scale
    if call.mechanism == "laplace":
        r = math.exp(-1 / s)

        def laplace(k: Integers) -> npt.NDArray[np.float64]:
            above = np.exp(-(np.abs(k + 0.5) + 0.5) / s) / (1 + r)
            return np.asarray(np.where(k >= 0, 1 - above, above))

        return laplace
    if s < SMALL_SCALE:
        reach = math.ceil(40 * s)
        chances = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * s * s))
        sums = np.cumsum(chances) / chances.sum()
        return lambda k: np.where(k < -reach, 0.0, sums[np.clip(k + reach, 0, 2 * reach)])
    erf = np.frompyfunc(math.erf, 1, 1)
    return lambda k: 0.5 * (1 + erf((k + 0.5) / (s * math.sqrt(2))).astype(np.float64))


def _of_one_call(call: NoiseCall, noise: Integers) -> list[Check]:
    vectors, width = noise.shape
    below = cumulative(call)
    name = f"{call.mechanism} noise, scale {call.scale:.6g}"
    allowed = strays(vectors, CHANCE / width)
    off = [distance(noise[:, place], below) for place in range(width)]
    worst = int(np.argmax(off))
    whole, all_allowed = distance(noise.ravel(), below), strays(noise.size, CHANCE)
    seen = _scale_seen(call, noise.size)
    dearer = call.sensitivity / call.scale / max(1 - seen, 1e-9)
    signs = np.sign(noise)
    pairs = mean_strays(vectors * (width // 2), CHANCE)
    side_by_side = abs(float((signs[:, 0 : width - 1 : 2] * signs[:, 1::2]).mean()))
    calls = abs(float((signs[0 : vectors - 1 : 2] * signs[1::2]).mean()))
    same = int(np.count_nonzero(noise[:-1] == noise[1:]))
    expected = noise[1:].size / (2 * call.scale) + 6 * math.sqrt(noise.size / call.scale) + 30
    return [
        Check(
            "sampler",
            f"{name}: each of {width} coordinates has the distribution",
            off[worst] <= allowed,
            f"farthest coordinate {worst}: {off[worst]:.4f}, allowed {allowed:.4f}, {vectors} vectors",
            {"coordinate": worst, "distance": off[worst], "allowed": allowed, "vectors": vectors},
        ),
        Check(
            "sampler",
            f"{name}: all coordinates together have the scale",
            whole <= all_allowed,
            f"distance {whole:.5f}, allowed {all_allowed:.5f}; a scale {seen:.1%} too small would be "
            f"seen, that is a loss of {dearer:.4f} of one call where {call.sensitivity / call.scale:.4f} is claimed",
            {"distance": whole, "allowed": all_allowed, "draws": noise.size, "detects_scale": seen, "detects": dearer},
        ),
        Check(
            "sampler",
            f"{name}: coordinates and calls are independent",
            side_by_side <= pairs and calls <= pairs and same <= expected,
            f"correlation of signs {side_by_side:.5f} side by side, {calls:.5f} between calls, allowed {pairs:.5f}; "
            f"{same} equal draws in successive calls, allowed {expected:.0f}",
            {"side_by_side": side_by_side, "calls": calls, "allowed": pairs, "equal": same},
        ),
        _loss(call, noise.ravel(), name),
    ]


def _scale_seen(call: NoiseCall, draws: int) -> float:
    """By how much a scale may be too small and still be seen with a chance of .999."""
    reach = strays(draws, CHANCE) + strays(draws, CONFIDENCE)
    slope = 1 / (2 * math.e) if call.mechanism == "laplace" else math.exp(-0.5) / math.sqrt(2 * math.pi)
    return min(reach / slope, 1.0)


def _loss(call: NoiseCall, noise: Integers, name: str) -> Check:
    """A lower bound of the loss between the two worst neighbours, beside the claim, with its power."""
    n, d = len(noise) // 2, call.sensitivity
    mine, theirs = noise[:n] + d, noise[n : 2 * n]
    levels = (CONFIDENCE / 2, CHANCE / 2)  # what is printed, and what is certain enough to contradict a claim
    if call.mechanism == "laplace":
        claimed = float(Fraction(d) / Fraction(call.scale))
        cut = np.int64(max(d, 1))
        bound, certain = (_pure(int((mine >= cut).sum()), int((theirs >= cut).sum()), n, a) for a in levels)
        power = _power(claimed, lambda loss: _pure(n // 2, round(n * 0.5 * math.exp(-loss)), n, levels[1]))
        words = "epsilon"
    else:
        claimed = d / call.scale
        cut = np.int64(-(-d // 2))
        bound, certain = (_gaussian(int((mine >= cut).sum()), int((theirs >= cut).sum()), n, a) for a in levels)
        phi = NormalDist().cdf
        power = _power(claimed, lambda mu: _gaussian(round(n * phi(mu / 2)), round(n * phi(-mu / 2)), n, levels[1]))
        words = "mu"
    return Check(
        "sampler",
        f"{name}: the loss is not above the claim",
        certain <= claimed,
        f"{words} >= {bound:.4f} at 99.9 %, claimed {claimed:.4f}; a loss of {power:.4f} would have been detected",
        {"measure": words, "lower_bound": bound, "claimed": claimed, "detects": power, "draws": 2 * n},
    )


def _pure(hits: int, false_hits: int, n: int, alpha: float) -> float:
    """Lower bound of epsilon from how often an event came true on D and on D'."""
    above, below = lower(hits, n, alpha), upper(false_hits, n, alpha)
    return max(math.log(above / below), 0.0) if above else 0.0


def _gaussian(hits: int, false_hits: int, n: int, alpha: float) -> float:
    """Lower bound of mu, in the same way."""
    above, below = lower(hits, n, alpha), upper(false_hits, n, alpha)
    if not 0 < above < 1 or not 0 < below < 1:
        return 0.0
    return max(NormalDist().inv_cdf(above) - NormalDist().inv_cdf(below), 0.0)


def _power(claimed: float, bound: Callable[[float], float]) -> float:
    """The least loss whose expected lower bound is above the claim."""
    low, high = claimed, claimed
    while bound(high) <= claimed:
        low, high = high, high * 1.25
        if high > 1000 * max(claimed, 1):
            return math.inf
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if bound(middle) <= claimed else (low, middle)
    return high


def _short_vectors(call: NoiseCall, noise: NoiseSource, vectors: int) -> list[Check]:
    """Answers of one, two and three integers, which have borders only."""
    below, allowed, found = cumulative(call), strays(vectors, CHANCE / 6), []
    for width in (1, 2, 3):
        exact = np.full(width, 5, dtype=np.int64)
        drawn = np.array([noise.draw("audit", exact, call) for _ in range(vectors)]) - exact
        off = max(distance(drawn[:, place], below) for place in range(width))
        found.append(
            Check(
                "sampler",
                f"{call.mechanism} noise, scale {call.scale:.6g}: answers of {width}",
                off <= allowed,
                f"distance {off:.4f}, allowed {allowed:.4f}",
                {"distance": off, "allowed": allowed, "width": width},
            )
        )
    return found


def _threshold(threshold: Threshold, noise: NoiseSource, effort: Effort) -> Check:
    """Delta is far too small to be counted: the tail that it is computed from is counted where it is one in 200."""
    call = threshold.call
    least = max(math.ceil(call.scale * (4.6 if call.mechanism == "laplace" else 2.6)), 1)
    n = effort.vectors * effort.width
    zeros = np.zeros(effort.width, dtype=np.int64)
    drawn = np.concatenate([noise.draw("audit", zeros, call) for _ in range(effort.vectors)])
    hits, claimed = int((drawn >= least).sum()), float(tail(call, least))
    bound = lower(hits, n, CHANCE)
    return Check(
        "sampler",
        f"threshold of {threshold.categories} categories a patient: the tail is not above delta's formula",
        bound <= claimed,
        f"P(Z >= {least}) is at least {bound:.6f}, the formula gives {claimed:.6f}; at the threshold it gives delta "
        f"{float(threshold.delta):.3g}, which no sample can test",
        {"lower_bound": bound, "formula": claimed, "delta": float(threshold.delta)},
    )


_PATIENCE_S = 60
"""Seconds after which a fork that does not answer is given up."""

_PROBE = (
    "import sys, numpy as np; from synthward.privacy.noise import NoiseCall, SecureNoise; "
    "print(*SecureNoise().draw('audit', np.zeros(256, dtype=np.int64), "
    "NoiseCall(sys.argv[1], float.fromhex(sys.argv[2]), 1)))"
)


def processes() -> Check:
    """Noise of the production source in two new processes and in two forks of this one, and here: all different.

    Of sound noise of this width, nine equal numbers in 256 come with a chance below 10^-40.
    """
    wide = NoiseCall("laplace", 2.0**24, 1)
    zeros = np.zeros(256, dtype=np.int64)
    draws = [SecureNoise().draw("audit", zeros, wide)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for _ in range(2):
        command = [sys.executable, "-c", _PROBE, wide.mechanism, wide.scale.hex()]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=300)
        draws.append(np.array(done.stdout.split(), dtype=np.int64))
    if hasattr(os, "fork"):
        draws += [_forked(wide, zeros) for _ in range(2)]
    draws.append(SecureNoise().draw("audit", zeros, wide))
    answered = [draw for draw in draws if draw.size == zeros.size]
    pairs = itertools.combinations(answered, 2)
    same = max(int(np.count_nonzero(one == other)) for one, other in pairs)
    return Check(
        "sampler",
        "processes and forks draw noise of their own",
        same <= 8 and len(answered) == len(draws),
        f"{len(answered)} of {len(draws)} draws of 256 integers in processes, forks and here came; at most {same} "
        "numbers of two draws are equal",
        {"draws": len(draws), "equal": same},
    )


def _forked(call: NoiseCall, zeros: Integers) -> Integers:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        # Nothing of the parent runs in here: no handler, no buffer, no exception gets out.
        try:
            signal.alarm(_PATIENCE_S)
            os.write(writing, SecureNoise().draw("audit", zeros, call).astype("<i8").tobytes())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        content = pipe.read()
    os.waitpid(child, 0)
    return np.frombuffer(content, dtype="<i8").astype(np.int64)
