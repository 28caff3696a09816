"""Gate: the noisy number of privacy units reaches the tier's smallest population."""

from __future__ import annotations

from synthward.evaluate.gates.gate import SLACK, Gate, Judgement, Thresholds
from synthward.privacy.measurement import Measurement


def judge(population: Measurement, thresholds: Thresholds) -> Judgement:
    """Compare the sealed noisy count with the tier's minimum."""
    noisy, error = float(population.counts[0]), population.deviation
    return (
        noisy + SLACK * error >= thresholds.min_patients,
        f"noisy number of units {noisy:.0f} (standard error {error:.0f}), at least {thresholds.min_patients} needed",
    )


GATE = Gate(
    "population",
    "population_gate",
    judge,
    remedy="the measured population stays as it is: use a source or a tier with which it suffices",
)
