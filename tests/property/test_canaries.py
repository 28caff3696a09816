"""One run with canary patients: the bound is near the claim and not above it, and broken builds are contradicted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from canaries import Audited, Canaries, audit, by_worker
from synthward.domain.codes import CodeBook
from synthward.privacy.noise import NoiseCall, SecureNoise

ALPHA = 1e-3
"""99.9 %: the level at which a bound is reported."""
CHANCE = 1e-9
"""The level at which a claim counts as contradicted, so that a sound build fails less than once in 10^8 times."""
MANY = 60_000
"""Canaries for a bound of .9 of the claim; 1,000 resolve a factor of two only."""


class HalfNoise:
    """A broken source: its noise has half the scale."""

    def draw(self, label: str, exact: np.ndarray, call: NoiseCall) -> np.ndarray:
        return exact + (SecureNoise().draw(label, exact, call) - exact) // 2


def coins(count: int) -> np.ndarray:
    """Fair coins from the operating system."""
    return np.random.default_rng().integers(0, 2, count).astype(bool)


def unbounded(patients: np.ndarray, cells: np.ndarray, book: CodeBook, max_rows: int) -> np.ndarray:
    """A broken pass: rows beyond K count like all others."""
    return by_worker(patients, cells, book, 1000)


@pytest.mark.parametrize(("max_rows", "rows"), [(1, 1), (4, 4), (4, 16)])
def test_the_bound_reaches_the_claim_and_does_not_pass_it(
    max_rows: int, rows: int, record_property: Callable[[str, object], None]
) -> None:
    canaries = Canaries(MANY, rows, public=2 * MANY)
    found = audit(canaries, coins(MANY), max_rows, SecureNoise(), ALPHA)
    record_property("audit", f"K = {max_rows}, {rows} rows a canary: {found.words}")
    assert found.bound >= 0.9 * found.claimed, found.words
    assert audit(canaries, coins(MANY), max_rows, SecureNoise(), CHANCE).bound <= found.claimed


def thousand(rows: int = 4, **changes: object) -> Audited:
    return audit(Canaries(1000, rows, public=3000), coins(1000), 4, **{"noise": SecureNoise(), **changes})  # type: ignore[arg-type]


def test_a_thousand_canaries_see_a_factor_of_two(record_property: Callable[[str, object], None]) -> None:
    """The bound of 1,000 coins lies well below the claim; what it can detect is part of the result."""
    sound = thousand(alpha=ALPHA)
    record_property("audit", f"1,000 canaries: {sound.words}")
    assert thousand(alpha=CHANCE).bound <= sound.claimed
    assert sound.bound > 0.2, sound.words
    assert sound.detects < 1.6


def test_a_canary_with_fewer_rows_than_the_bound_shows_less_than_the_claim() -> None:
    found = audit(Canaries(MANY, 2, public=0), coins(MANY), 4, SecureNoise(), ALPHA)
    assert 0.4 < found.bound < 0.55 * found.claimed + 0.03


def test_half_the_noise_is_contradicted() -> None:
    found = audit(Canaries(MANY, 4, public=MANY), coins(MANY), 4, HalfNoise(), CHANCE)
    assert found.bound > 1.7 * found.claimed, found.words
    assert thousand(noise=HalfNoise(), alpha=ALPHA).bound > 1.0


def test_a_missing_contribution_bound_is_contradicted_by_patients_with_many_rows() -> None:
    """The guesses' threshold is that of K rows; rows beyond the bound move the cell further than the claim allows."""
    found = audit(Canaries(MANY, 16, public=0), coins(MANY), 4, SecureNoise(), CHANCE, measure=unbounded)
    assert found.bound > 1.5 * found.claimed, found.words
