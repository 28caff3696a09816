"""Gate: few values of the source are undeclared. Many of them are the mark of a wrong file or a wrong domain."""

from __future__ import annotations

from collections.abc import Mapping

from synthward.evaluate.gates.gate import SLACK, Gate, Judgement, Thresholds
from synthward.evaluate.metrics import ColumnQuality


def judge(quality: Mapping[str, ColumnQuality], thresholds: Thresholds) -> Judgement:
    """Compare each column's noisy share of undeclared values with the request's limit."""
    limit = float(thresholds.max_out_of_domain_share)
    worst = [c.name for c in quality.values() if c.out_of_domain - SLACK * c.out_of_domain_error > limit]
    if not worst:
        return True, f"noisy share of undeclared values at most {limit:.1%} everywhere"
    return False, (
        f"more than {limit:.1%} of the source's values are undeclared in: {', '.join(worst)}; is it the right file, "
        "and does the domain say how its values are written?"
    )


GATE = Gate(
    "out of domain",
    "out_of_domain_gate",
    judge,
    remedy="declare how the values of these columns are written, leave the columns out, or have a larger "
    "utility.max_out_of_domain_share approved",
)
