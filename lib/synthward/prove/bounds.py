"""Statistics of audits: exact binomial bounds and the distance of a sample from a known distribution.

Guarantee. A bound is wrong with probability at most `alpha`, for every sample size: Clopper and Pearson (1934) invert
the binomial tail; Dvoretzky, Kiefer and Wolfowitz with the constant of Massart (1990), who allows for jumps, bounds how
far an empirical distribution function strays from the true one; Hoeffding (1963) bounds a mean of values in [-1, 1].
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_STEPS = 50


@functools.lru_cache(maxsize=8)
def _log_factorials(n: int) -> npt.NDArray[np.float64]:
    return np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, n + 1)))])


def _tail(hits: int, n: int, chance: float) -> float:
    """P(X >= hits) for X binomial."""
    if hits <= 0:
        return 1.0
    if chance <= 0:
        return 0.0
    if chance >= 1:
        return 1.0
    mean, spread = n * chance, math.sqrt(n * chance * (1 - chance))
    if mean - hits > 15 * spread + 30:
        return 1.0  # but for less than 10^-20
    # Beyond the last term lies less than 10^-30.
    last = min(n, math.ceil(max(mean, hits) + 15 * spread + 60))
    factorials, k = _log_factorials(n), np.arange(hits, last + 1)
    logs = factorials[n] - factorials[k] - factorials[n - k] + k * math.log(chance) + (n - k) * math.log1p(-chance)
    return float(np.exp(logs).sum())


def lower(hits: int, n: int, alpha: float) -> float:
    """One-sided lower bound of a chance that came true `hits` times of `n`.

    >>> 0.93 < lower(100, 100, 0.001) < 0.94
    True
    """
    if hits == 0:
        return 0.0
    return _bisected(lambda chance: _tail(hits, n, chance) <= alpha)


def upper(hits: int, n: int, alpha: float) -> float:
    """One-sided upper bound of a chance that came true `hits` times of `n`."""
    return 1 - lower(n - hits, n, alpha)


def _bisected(holds: Callable[[float], bool]) -> float:
    """The largest number in [0, 1] up to which a statement holds."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def strays(n: int, alpha: float) -> float:
    """How far the empirical distribution function of `n` draws is from the true one, but for a chance of `alpha`."""
    return math.sqrt(math.log(2 / alpha) / (2 * n))


def mean_strays(n: int, alpha: float) -> float:
    """How far the mean of `n` independent values within [-1, 1] is from its expectation, but for `alpha`."""
    return math.sqrt(2 * math.log(2 / alpha) / n)


def distance(draws: npt.NDArray[np.int64], below: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float64]]) -> float:
    """Largest difference between the empirical and a known distribution function of integers.

    Args:
        draws: The sample.
        below: P(Z <= k) for each integer k.
    """
    values, counts = np.unique(draws, return_counts=True)
    reached = np.cumsum(counts) / len(draws)
    before = np.concatenate([[0.0], reached[:-1]])
    return float(max(np.abs(reached - below(values)).max(), np.abs(before - below(values - 1)).max()))
