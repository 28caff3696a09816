"""Noise on exact integers: calibrated in public, drawn once, on the driver, from OpenDP's cryptographic generator.

Guarantee. `laplace`: for integer vectors x, x' with |x - x'|_1 <= d, adding discrete Laplace noise of scale s to every
entry is (d / s)-DP (Ghosh, Roughgarden and Sundararajan 2012). `gaussian`: with |x - x'|_2 <= d, adding discrete
Gaussian noise of scale s is (d^2 / 2 s^2)-zCDP (Canonne, Kamath and Steinke 2020, Theorem 14). `exponential`: with no
entry differing by more than d, choosing index i with probability proportional to exp(x_i / s) is (2 d / s)-DP (McSherry
and Talwar 2007) and (d^2 / 2 s^2)-zCDP (Cesar and Rogers 2021). Neighbours: add or remove one privacy unit; d is the
integer bound of `sensitivity.bound`. What is charged is the loss at the scale in use, rounded up, never the epsilon
that was asked for. PROOFS.md, section 4.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from synthward.privacy.accounting import NANO, Charge, ceil_units

Additive = Literal["laplace", "gaussian"]
"""Mechanisms that add noise to every entry; what a request chooses from."""

Mechanism = Literal["laplace", "gaussian", "exponential"]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NoiseCall:
    """One call of a mechanism on an integer vector.

    Attributes:
        mechanism: Which distribution.
        scale: Its scale, in units of the exact integers.
        sensitivity: The integer `d_in` given to the privacy map: L1 for laplace, L2 for gaussian, the largest change
            of an entry for exponential.
    """

    mechanism: Mechanism
    scale: float
    sensitivity: int

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"a noise scale must be positive and finite, found {self.scale}")
        if self.sensitivity < 1:
            raise ValueError(f"a sensitivity must be at least 1, found {self.sensitivity}")

    @property
    def charge(self) -> Charge:
        """What the call costs: OpenDP's map at `sensitivity`, rounded up."""
        loss = _measurement(self.mechanism, self.scale).map(self.sensitivity)
        if self.mechanism == "laplace":
            return Charge.pure(loss)
        if self.mechanism == "gaussian":
            return Charge.concentrated(loss)
        # Both bounds hold of one draw; its rho is a quarter of what its epsilon alone would imply.
        epsilon = Fraction(2 * self.sensitivity) / Fraction(self.scale)
        return Charge(nano_epsilon=ceil_units(epsilon, NANO), nano_rho=ceil_units(loss, NANO))

    @property
    def deviation(self) -> float:
        """Standard deviation of additive noise, in units of the exact integers (exact within 1e-6 for scale >= 2).

        Raises:
            ValueError: The call selects, so that it adds no noise.
        """
        self._require_additive()
        return self.scale * 2**0.5 if self.mechanism == "laplace" else self.scale

    @property
    def mean_absolute(self) -> float:
        """Expected absolute additive noise, in units of the exact integers (exact within 1e-3 for scale >= 2).

        Raises:
            ValueError: The call selects, so that it adds no noise.
        """
        self._require_additive()
        return self.scale if self.mechanism == "laplace" else self.scale * (2 / math.pi) ** 0.5

    def _require_additive(self) -> None:
        if self.mechanism == "exponential":
            raise ValueError("an exponential call answers with an index; there is no noise in it to describe")


@functools.lru_cache(maxsize=1024)
def _measurement(mechanism: Mechanism, scale: float) -> Any:
    import opendp.prelude as dp

    dp.enable_features("contrib")
    space = dp.vector_domain(dp.atom_domain(T="i64"))
    if mechanism == "laplace":
        return dp.m.make_laplace(space, dp.l1_distance(T="i64"), scale=scale)
    if mechanism == "gaussian":
        return dp.m.make_gaussian(space, dp.l2_distance(T="i64"), scale=scale)
    # Under this measure OpenDP samples the exponential mechanism; under max divergence it would permute and flip, which
    # has no zCDP bound of this size. An error may grow or shrink with one more unit, so scores are not monotonic.
    distance = dp.linf_distance(T="i64", monotonic=False)
    return dp.m.make_noisy_max(space, distance, dp.zero_concentrated_divergence(), scale=scale)


def laplace_for(nano_epsilon: int, sensitivity: int) -> NoiseCall:
    """The least discrete Laplace noise whose charge is at most `nano_epsilon`.

    Raises:
        ValueError: Nothing to spend.

    >>> laplace_for(1_000_000_000, 4).scale  # epsilon 1 on counts that move by at most 4
    4.0
    """
    if nano_epsilon < 1:
        raise ValueError("a laplace call needs at least 1e-9 of epsilon")
    return _at_most("laplace", sensitivity / (nano_epsilon / NANO), sensitivity, nano_epsilon, _epsilon)


def gaussian_for(nano_rho: int, sensitivity: int) -> NoiseCall:
    """The least discrete Gaussian noise whose charge is at most `nano_rho`.

    Raises:
        ValueError: Nothing to spend.

    >>> call = gaussian_for(500_000_000, 4)  # rho 0.5: scale = sensitivity / sqrt(2 rho)
    >>> round(call.scale, 3), call.charge.nano_rho <= 500_000_000
    (4.0, True)
    """
    if nano_rho < 1:
        raise ValueError("a gaussian call needs at least 1e-9 of rho")
    return _at_most("gaussian", sensitivity / (2 * nano_rho / NANO) ** 0.5, sensitivity, nano_rho, _rho)


def exponential_for(nano: int, sensitivity: int, beside: Additive) -> NoiseCall:
    """The sharpest exponential mechanism whose charge is at most `nano`.

    Args:
        nano: nano-epsilon beside laplace, nano-rho beside gaussian.
        sensitivity: Largest change of a score.
        beside: The mechanism whose budget it shares; a pure budget is split by epsilon, the other one by rho.

    Raises:
        ValueError: Nothing to spend.
    """
    if nano < 1:
        raise ValueError("an exponential call needs at least 1e-9 of epsilon, or of rho")
    if beside == "laplace":
        return _at_most("exponential", 2 * sensitivity / (nano / NANO), sensitivity, nano, _epsilon)
    return _at_most("exponential", sensitivity / (2 * nano / NANO) ** 0.5, sensitivity, nano, _rho)


def _epsilon(charge: Charge) -> int:
    assert charge.nano_epsilon is not None
    return charge.nano_epsilon


def _rho(charge: Charge) -> int:
    return charge.nano_rho


@functools.lru_cache(maxsize=4096)  # a plan asks for few different calls, many times
def _at_most(
    mechanism: Mechanism, scale: float, sensitivity: int, budget: int, spent: Callable[[Charge], int]
) -> NoiseCall:
    """Widens `scale` by parts in 10^12 until the rounded-up charge is within `budget`."""
    step = Fraction(1, 10**12)
    widened = Fraction(scale)
    while True:
        call = NoiseCall(mechanism, float(widened), sensitivity)
        if spent(call.charge) <= budget:
            return call
        widened *= 1 + step
        step *= 2


class NoiseSource(Protocol):
    """Runs mechanisms on exact integers. Production has one implementation; tests inject others by constructor only."""

    def draw(self, label: str, exact: Integers, call: NoiseCall) -> Integers:
        """Returns `exact` with fresh noise, or a freshly drawn index.

        Args:
            label: The query's label, for record and replay.
            exact: Exact integers, shape (cells,); scores for exponential.
            call: Mechanism, scale and sensitivity.

        Returns:
            Shape (cells,); shape (1,) for exponential.
        """
        ...


class SecureNoise:
    """Discrete distributions from OpenDP, seeded by the operating system. There is no seed to set."""

    def draw(self, label: str, exact: Integers, call: NoiseCall) -> Integers:  # noqa: ARG002 - the protocol's
        """See `NoiseSource.draw`; about 7 microseconds a cell for laplace, 12 for gaussian."""
        noisy = _measurement(call.mechanism, call.scale)(exact.tolist())
        return np.atleast_1d(np.asarray(noisy, dtype=np.int64))
