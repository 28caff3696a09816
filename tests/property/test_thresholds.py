"""Thresholded counts of distinct patients: sensitivity on neighbours, and the whole guarantee computed exactly."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.privacy.noise import Mechanism, NoiseCall
from synthward.privacy.thresholds import Threshold, count_bound, kept, patient_counts, tail

SECRET = b"of this run"
REACH = 300
"""Integers to either side that hold all but a negligible part of the noise."""

texts = st.sampled_from(["a", "b", "c", "d", "e", "", "\x00", "ä"])
patients = st.dictionaries(st.binary(min_size=1, max_size=3), st.lists(texts, max_size=12), max_size=6)


@given(rows=patients, own=st.lists(texts, max_size=30), most=st.integers(1, 9))
def test_a_patient_changes_at_most_k0_counts_by_one(rows: dict[bytes, list[str]], own: list[str], most: int) -> None:
    rows.pop(b"new", None)
    less, more = patient_counts(rows, most, SECRET), patient_counts(rows | {b"new": own}, most, SECRET)
    steps = [abs(more.get(text, 0) - less.get(text, 0)) for text in {*less, *more}]
    assert sum(steps) <= count_bound("laplace", most, 1)
    assert sum(step**2 for step in steps) <= count_bound("gaussian", most, 1) ** 2
    assert max(steps, default=0) <= 1
    assert sum(steps) == min(most, len(set(own)))


@given(own=st.lists(texts, min_size=1, max_size=30), most=st.integers(1, 9))
def test_what_a_patient_keeps_is_a_function_of_the_set(own: list[str], most: int) -> None:
    chosen = kept(b"p", own, most, SECRET)
    assert chosen == kept(b"p", [*own[::-1], own[0]], most, SECRET)
    assert len(chosen) == min(most, len(set(own)))
    assert set(kept(b"p", own, most + 1, SECRET)) >= set(chosen)


def noise(mechanism: Mechanism, scale: float) -> list[float]:
    """P(Z = k) for k = -REACH .. REACH."""

    def weight(k: int) -> float:
        return math.exp(-abs(k) / scale if mechanism == "laplace" else -(k**2) / (2 * scale**2))

    weights = [weight(k) for k in range(-REACH, REACH + 1)]
    whole = sum(weights)
    return [part / whole for part in weights]


def outcomes(count: int, threshold: Threshold) -> dict[int | None, float]:
    """Distribution of what one category of this count shows: its noisy count, or None."""
    shown: dict[int | None, float] = {None: 0.0}
    for k, chance in zip(range(-REACH, REACH + 1), noise(threshold.call.mechanism, threshold.call.scale), strict=True):
        noisy = count + k if count else 0
        found = bool(count) and bool(threshold.released({"x": noisy}, "x"))
        key = noisy if found else None
        shown[key] = shown.get(key, 0.0) + chance
    return shown


def together(counts: tuple[int, ...], threshold: Threshold) -> dict[tuple[int | None, ...], float]:
    """Distribution of what several categories show."""
    parts = [outcomes(count, threshold).items() for count in counts]
    return {
        tuple(key for key, _ in chosen): math.prod(chance for _, chance in chosen)
        for chosen in itertools.product(*parts)
    }


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0, 3.3])
@pytest.mark.parametrize("above", [1, 2, 5, 9])
@pytest.mark.parametrize(("shared", "alone"), [((), 1), ((), 2), ((3,), 1), ((1,), 1)])
def test_laplace_thresholding_is_epsilon_delta_private(
    scale: float, above: int, shared: tuple[int, ...], alone: int
) -> None:
    """The hockey-stick divergence of two neighbouring data sets, both ways, over every outcome."""
    most = len(shared) + alone
    threshold = Threshold(NoiseCall("laplace", scale, most), most, above, 1)
    epsilon = float(threshold.call.charge.nano_epsilon or 0) / 1e9
    ours = together((*(count + 1 for count in shared), *[1] * alone), threshold)
    theirs = together((*shared, *[0] * alone), threshold)
    for one, two in ((ours, theirs), (theirs, ours)):
        loss = sum(max(chance - math.exp(epsilon) * two.get(key, 0.0), 0.0) for key, chance in one.items())
        assert loss <= float(threshold.delta) + 1e-9


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
@pytest.mark.parametrize("scale", [0.3, 1.0, 2.5, 7.0])
def test_the_tail_is_bounded_tightly_from_above(mechanism: Mechanism, scale: float) -> None:
    chances = noise(mechanism, scale)
    for least in (1, 2, 3, round(3 * scale) + 1, round(6 * scale) + 1):
        exact = sum(chances[REACH + least :])
        bound = float(tail(NoiseCall(mechanism, scale, 1), least))
        assert exact <= bound * (1 + 1e-9)
        if mechanism == "laplace":
            assert bound <= exact * (1 + 1e-6) + 1e-15
        elif least >= 3 * scale:
            assert bound <= exact * 1.15


@given(scale=st.floats(0.05, 1e6), least=st.integers(1, 10**6), mechanism=st.sampled_from(["laplace", "gaussian"]))
def test_the_tail_is_a_chance_and_falls(scale: float, least: int, mechanism: Mechanism) -> None:
    call = NoiseCall(mechanism, scale, 1)
    assert 0 < tail(call, least) <= 1
    assert tail(call, least + 1) <= tail(call, least)
    assert isinstance(tail(call, least), Fraction)
