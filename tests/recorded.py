"""Noise that remembers its calls, and noise that checks the calls of a neighbour against them and answers the same."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from synthward.privacy.noise import Integers, NoiseCall, SecureNoise


@dataclass(frozen=True)
class Call:
    """One noise call on D."""

    label: str
    exact: tuple[int, ...]
    call: NoiseCall
    noisy: Integers


@dataclass
class RecordingNoise:
    """Draws real noise and remembers it."""

    calls: list[Call] = field(default_factory=list)

    def draw(self, label: str, exact: Integers, call: NoiseCall) -> Integers:
        """See `NoiseSource.draw`."""
        noisy = SecureNoise().draw(label, exact, call)
        self.calls.append(Call(label, tuple(int(n) for n in exact), call, noisy))
        return noisy


@dataclass
class ReplayNoise:
    """Checks each call against the recorded one, in exact integers, and returns the recorded answer."""

    calls: list[Call]
    place: int = 0
    moved: int = 0

    def draw(self, label: str, exact: Integers, call: NoiseCall) -> Integers:
        """See `NoiseSource.draw`."""
        before = self.calls[self.place]
        self.place += 1
        assert (label, call) == (before.label, before.call)
        assert len(exact) == len(before.exact)
        differences = [int(ours) - theirs for ours, theirs in zip(exact, before.exact, strict=True)]
        self.moved += any(differences)
        charge, scale = call.charge, Fraction(call.scale)
        if call.mechanism == "laplace":
            assert sum(abs(d) for d in differences) <= call.sensitivity, label
            loss, charged = Fraction(call.sensitivity) / scale, charge.nano_epsilon
        elif call.mechanism == "exponential":
            assert max(abs(d) for d in differences) <= call.sensitivity, label
            loss, charged = 2 * Fraction(call.sensitivity) / scale, charge.nano_epsilon
            assert loss**2 / 8 * 10**9 <= charge.nano_rho
        else:
            assert sum(d * d for d in differences) <= call.sensitivity**2, label
            loss, charged = (Fraction(call.sensitivity) / scale) ** 2 / 2, charge.nano_rho
        assert charged is not None
        assert loss * 10**9 <= charged <= loss * 10**9 * (1 + Fraction(1, 10**9)) + 2, label
        return np.array(before.noisy)
