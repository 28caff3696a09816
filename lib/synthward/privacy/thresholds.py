"""Categories beyond a public list, found by thresholding noisy counts of distinct patients.

Mechanism. Each patient keeps at most K0 of the categories that stand in the patient's rows, the lowest by a keyed hash
of (id, category). For every category that anybody keeps, the number of patients who keep it gets integer noise Z, and
the category is released, with its noisy count, when that is strictly above T. Counts are of distinct patients, each
adds the same integer u (`one`), and they are never re-weighted: a weight below u would be rounded, and the proof needs
a lone patient to count as exactly u.

Guarantee. With laplace noise of scale s: (K0 u / s, delta)-DP; with gaussian noise of scale s: delta-approximate
(K0 u^2 / 2 s^2)-zCDP (Bun and Steinke 2016, Definition 8.1), where delta = K0 * P(Z > T - u) is computed here from
above, in rationals. Neighbours: add or remove one patient with all rows. Charged are the noise call and delta.
PROOFS.md, section 8.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt

from synthward.privacy.accounting import ATTO, Charge, ceil_units
from synthward.privacy.exponentials import exp_above, exp_below
from synthward.privacy.noise import Mechanism, NoiseCall

ROOT_OF_TWO_PI = Fraction(25_066_282, 10**7)
"""Just below sqrt(2 pi) = 2.50662827..."""


@dataclass(frozen=True)
class Threshold:
    """The mechanism with all its public numbers.

    Attributes:
        call: Noise of each count.
        categories: K0, the most categories that one patient keeps.
        above: T; what is released has a noisy count strictly above it.
        one: u, what one patient adds to a count.
    """

    call: NoiseCall
    categories: int
    above: int
    one: int

    def __post_init__(self) -> None:
        needed = count_bound(self.call.mechanism, self.categories, self.one)
        if self.call.sensitivity != needed:
            raise ValueError(f"K0 = {self.categories} has sensitivity {needed}, found {self.call.sensitivity}")
        if self.above < self.one:
            raise ValueError(f"a threshold must be at least {self.one}, found {self.above}")

    @property
    def delta(self) -> Fraction:
        """Upper bound of the chance that a category which one patient alone keeps is released."""
        return min(self.categories * tail(self.call, self.above - self.one + 1), Fraction(1))

    @property
    def charge(self) -> Charge:
        """The noise call's charge, and delta rounded up."""
        cost = self.call.charge
        return Charge(cost.nano_epsilon, cost.nano_rho, cost.atto_delta + ceil_units(self.delta, ATTO))

    def released(self, noisy: Mapping[str, int], pattern: str) -> tuple[str, ...]:
        """The categories that are released.

        Args:
            noisy: Noisy count of each category that somebody keeps.
            pattern: Public regular expression of what a category looks like, so that free text cannot come out.

        Returns:
            Sorted, so that their order says nothing.
        """
        allowed = re.compile(pattern)
        return tuple(sorted(text for text, count in noisy.items() if count > self.above and allowed.fullmatch(text)))


def count_bound(mechanism: Mechanism, categories: int, one: int) -> int:
    """Largest change of the counts by one patient: K0 u in L1, sqrt(K0) u in L2, rounded up to an integer.

    Args:
        mechanism: Which norm.
        categories: K0.
        one: u.

    >>> count_bound("laplace", 4, 1), count_bound("gaussian", 4, 1)
    (4, 2)
    """
    if categories < 1:
        raise ValueError(f"a patient keeps at least 1 category, found K0 = {categories}")
    return categories * one if mechanism == "laplace" else isqrt(categories * one * one - 1) + 1


def threshold_for(call: NoiseCall, categories: int, atto_delta: int, one: int) -> Threshold:
    """The least threshold whose delta, rounded up, is at most `atto_delta`.

    Raises:
        ValueError: Nothing to spend.
    """
    if atto_delta < 1:
        raise ValueError("a threshold needs at least 1e-18 of delta")

    def fits(above: int) -> bool:
        return ceil_units(Threshold(call, categories, above, one).delta, ATTO) <= atto_delta

    low, high = one - 1, one
    while not fits(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return Threshold(call, categories, high, one)


def tail(call: NoiseCall, least: int) -> Fraction:
    """Upper bound of P(Z >= least) for the call's integer noise Z, `least` at least 1.

    Laplace: exactly r^least / (1 + r), r = exp(-1/s). Gaussian: terms exp(-k^2 / 2 s^2) fall at least as fast as a
    geometric series from k = least on, and their sum over all integers is at least max(1, s sqrt(2 pi)) (its term at 0;
    Poisson summation).
    """
    scale = Fraction(call.scale)
    if call.mechanism == "laplace":
        return exp_above(least / scale) / (1 + exp_below(1 / scale))
    first = exp_above(Fraction(least**2) / (2 * scale**2))
    ratio = exp_above(Fraction(2 * least + 1) / (2 * scale**2))
    if ratio >= 1:  # noise so wide that the decimals do not tell its terms apart
        return Fraction(1)
    return min(first / (1 - ratio) / max(Fraction(1), scale * ROOT_OF_TWO_PI), Fraction(1))


def kept(patient: bytes, categories: Iterable[str], most: int, secret: bytes) -> tuple[str, ...]:
    """The categories that a patient keeps: the lowest by keyed hash, at most `most`.

    A function of the patient's own rows and the secret alone, whatever other patients have. The hash decides fairly
    between categories; without the key, nobody can choose texts that always win.

    Args:
        patient: Exact bytes of the id.
        categories: In the patient's rows; repetitions do not count.
        most: K0.
        secret: Key of the run, never published.
    """

    def rank(text: str) -> bytes:
        message = len(patient).to_bytes(8, "big") + patient + text.encode()
        return hmac.new(secret, message, hashlib.sha256).digest()

    return tuple(sorted(set(categories), key=lambda text: (rank(text), text))[:most])


def patient_counts(rows: Mapping[bytes, Collection[str]], most: int, secret: bytes) -> dict[str, int]:
    """Patients who keep each category: the exact counts, in plain Python.

    Args:
        rows: Categories in the rows of each patient.
        most: K0.
        secret: Key of the run.
    """
    counts: dict[str, int] = {}
    for patient, categories in rows.items():
        for text in kept(patient, categories, most, secret):
            counts[text] = counts.get(text, 0) + 1
    return counts
