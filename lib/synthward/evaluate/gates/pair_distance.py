"""Gate: the measured pairs of columns of the release follow their noisy answers."""

from __future__ import annotations

from collections.abc import Sequence

from synthward.evaluate.gates.gate import Gate, Judgement, Thresholds
from synthward.evaluate.relations import CliqueQuality, pair_summary


def judge(relations: Sequence[CliqueQuality], thresholds: Thresholds) -> Judgement:
    """Compare the mean distance of the measured pairs with the request's limit."""
    limit = thresholds.max_mean_pair_tvd
    assert limit is not None, "the request switches this gate on"
    mean = pair_summary(relations)["pair_tvd_mean"]
    if mean is None:
        return False, "no pair of columns was measured; use a synthesizer that does"
    return mean <= float(limit), f"mean distance of pairs {mean:.4f}, at most {limit} requested"


GATE = Gate(
    "pair distance",
    "utility_gate",
    judge,
    setting="max_mean_pair_tvd",
    remedy="use a synthesizer that measures pairs, a larger epsilon or fewer columns, or have another "
    "utility.max_mean_pair_tvd approved",
)
