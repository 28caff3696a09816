"""Gate: few values lie beyond the bounds. Another unit, such as Fahrenheit where Celsius is declared, shows here."""

from __future__ import annotations

from collections.abc import Mapping

from synthward.evaluate.gates.gate import SLACK, Gate, Judgement, Thresholds
from synthward.evaluate.metrics import ColumnQuality


def judge(quality: Mapping[str, ColumnQuality], thresholds: Thresholds) -> Judgement:
    """Compare each column's noisy share of clipped values with the request's limit."""
    limit = float(thresholds.max_clipped_share)
    worst = [c for c in quality.values() if c.clipped - SLACK * c.clipped_error > limit]
    if not worst:
        return True, f"noisy share of values beyond the bounds at most {limit:.1%} everywhere"
    named = ", ".join(f"{c.name} ({'below' if c.below > c.above else 'above'})" for c in worst)
    return False, (
        f"more than {limit:.1%} of the source's values lie beyond the bounds in: {named}; is it the declared unit and "
        "kind of column? Where the bounds are meant to cut a long tail, raise `max_clipped_share`"
    )


GATE = Gate(
    "clipped",
    "out_of_domain_gate",
    judge,
    remedy="declare the unit and the bounds that these columns have, leave the columns out, or have a larger "
    "utility.max_clipped_share approved",
)
