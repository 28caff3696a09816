"""Gate: the columns of the release follow their noisy answers."""

from __future__ import annotations

from collections.abc import Mapping

from synthward.evaluate.gates.gate import Gate, Judgement, Thresholds
from synthward.evaluate.metrics import ColumnQuality


def judge(quality: Mapping[str, ColumnQuality], thresholds: Thresholds) -> Judgement:
    """Compare the mean distance of the columns with the request's limit."""
    limit = thresholds.max_mean_tvd
    assert limit is not None, "the request switches this gate on"
    mean = sum(c.distance for c in quality.values()) / len(quality)
    return mean <= float(limit), f"mean distance {mean:.4f}, at most {limit} requested"


GATE = Gate(
    "distance",
    "utility_gate",
    judge,
    setting="max_mean_tvd",
    remedy="give the run a larger epsilon or fewer columns, or have another utility.max_mean_tvd approved",
)
