"""A second accountant, which shares nothing with `privacy.accounting`: privacy loss distributions, composed by FFT.

It takes mechanisms, scales and sensitivities, never charges, and computes what their composition really costs, rounded
*down* to its grid: what the first accountant claims must not be below it. Gaussian calls are those of continuous noise,
a selection is the exponential mechanism between two candidates, which loses no more than one between many.

Guarantee: none. The number is a lower bound of the loss of the worst case, up to rounding errors of doubles (PROOFS
4.1, 4.2 and 4.9 say what the calls are).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from synthward.privacy.noise import NoiseCall

STEPS = 2**17
"""Steps of the grid over the whole range of losses; more calls than that would be rounded to nothing."""

SMALLEST_DELTA = 1e-11
"""Below it the rounding errors of an FFT of doubles are of delta's own size."""

REACH = 12
"""Standard deviations up to which a Gaussian loss is looked at: 10^-33 lies beyond."""


@dataclass(frozen=True)
class Losses:
    """Distribution of the privacy loss on a grid.

    Attributes:
        step: Distance of two losses.
        first: The lowest loss in steps.
        chances: Chance of each loss, from the lowest on.
    """

    step: float
    first: int
    chances: npt.NDArray[np.float64]

    def delta(self, epsilon: float) -> float:
        """The delta that holds at `epsilon`."""
        losses = (self.first + np.arange(len(self.chances))) * self.step
        beyond = losses > epsilon
        return float((self.chances[beyond] * -np.expm1(epsilon - losses[beyond])).sum())

    def epsilon(self, delta: float) -> float:
        """The least epsilon at which `delta` holds."""
        low, high = 0.0, max((self.first + len(self.chances)) * self.step, 0.0)
        if self.delta(0.0) <= delta:
            return 0.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if self.delta(middle) <= delta else (middle, high)
        return low


def composed(calls: Sequence[NoiseCall], more_mu_squared: float = 0.0) -> Losses:
    """Losses of all calls together.

    Args:
        calls: The calls.
        more_mu_squared: (d / s)^2 of Gaussian calls that are not listed.
    """
    squares = more_mu_squared
    others: Counter[tuple[str, Fraction, int]] = Counter()
    for call in calls:
        if call.mechanism == "gaussian":
            squares += float((Fraction(call.sensitivity) / Fraction(call.scale)) ** 2)
        else:
            others[call.mechanism, Fraction(call.scale), call.sensitivity] += 1
    mu = math.sqrt(squares)
    reach = (mu * mu / 2 + REACH * mu) + sum(float(d / s) * times for (_, s, d), times in others.items())
    step = 2 * reach / STEPS
    parts = [(_of(kind, s, d, step), times) for (kind, s, d), times in others.items()]
    if mu:
        parts.append((_gaussian(mu, step), 1))
    return _convolved(parts, step)


def second_epsilon(
    calls: Sequence[NoiseCall], delta: Decimal, *, more_epsilon: Fraction, more_mu_squared: float
) -> float | None:
    """Epsilon of the calls together at `delta`; None where doubles cannot say.

    Args:
        calls: Calls that are known.
        delta: What thresholds leave of the release's delta.
        more_epsilon: Epsilon of pure calls that are not listed.
        more_mu_squared: See `composed`.
    """
    pure = all(call.mechanism != "gaussian" for call in calls) and not more_mu_squared
    if delta == 0:
        losses = [Fraction(call.sensitivity) / Fraction(call.scale) for call in calls]
        factors = [2 if call.mechanism == "exponential" else 1 for call in calls]
        total = sum((f * loss for f, loss in zip(factors, losses, strict=True)), more_epsilon)
        return float(total) if pure else None
    if delta < SMALLEST_DELTA and len({call.mechanism for call in calls}) > 1:
        return None
    return composed(calls, more_mu_squared).epsilon(float(delta))


def _of(kind: str, scale: Fraction, sensitivity: int, step: float) -> Losses:
    return _laplace(scale, sensitivity, step) if kind == "laplace" else _exponential(scale, sensitivity, step)


def _laplace(scale: Fraction, sensitivity: int, step: float) -> Losses:
    """Discrete Laplace noise moved by `sensitivity`: the loss at k is a (d - 2 k) between two ends with atoms."""
    a, most = float(1 / scale), float(sensitivity / scale)
    first = math.floor(-most / step)
    edges = (first + np.arange(math.floor(most / step) - first + 2)) * step
    largest_k = np.floor((sensitivity - edges / a) / 2)
    survival = 1 - np.exp(-a * (largest_k + 1)) / (1 + math.exp(-a))
    survival = np.where(edges <= -most, 1.0, np.where(edges > most, 0.0, survival))
    return Losses(step, first, survival[:-1] - survival[1:])


def _exponential(scale: Fraction, sensitivity: int, step: float) -> Losses:
    """Two candidates whose scores change places: losses of plus and minus d / s."""
    most = float(sensitivity / scale)
    low, high = math.floor(-most / step), math.floor(most / step)
    chances = np.zeros(high - low + 1)
    chances[-1] = 1 / (1 + math.exp(-most))
    chances[0] = 1 - chances[-1]
    return Losses(step, low, chances)


def _gaussian(mu: float, step: float) -> Losses:
    low, high = mu * mu / 2 - REACH * mu, mu * mu / 2 + REACH * mu
    first = math.floor(low / step)
    edges = (first + np.arange(math.floor(high / step) - first + 2)) * step
    survival = np.array([0.5 * math.erfc((edge - mu * mu / 2) / (mu * math.sqrt(2))) for edge in edges])
    return Losses(step, first, survival[:-1] - survival[1:])


def _convolved(parts: Iterable[tuple[Losses, int]], step: float) -> Losses:
    parts = list(parts)
    if len(parts) == 1 and parts[0][1] == 1:
        return parts[0][0]
    length = 1 + sum((len(part.chances) - 1) * times for part, times in parts)
    size = 1 << (length - 1).bit_length()
    product = np.ones(size // 2 + 1, dtype=np.complex128)
    for part, times in parts:
        product *= np.fft.rfft(part.chances, size) ** times
    chances = np.clip(np.fft.irfft(product, size)[:length], 0, None)
    return Losses(step, sum(part.first * times for part, times in parts), chances)
