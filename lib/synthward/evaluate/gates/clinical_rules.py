"""Gate: the staged table keeps the clinical rules of the request. It counts rows that break each rule."""

from __future__ import annotations

from synthward.evaluate.gates.gate import Gate, Judgement, Thresholds
from synthward.evaluate.inspect import Inspection


def judge(staged: Inspection, thresholds: Thresholds) -> Judgement:
    """Look for rules that more rows break than `at_most` allows; a rule with severity warn is only named."""
    errors: list[str] = []
    warnings: list[str] = []
    for rule in thresholds.rules or ():
        count = staged.broken[rule.name]
        if count > rule.at_most * staged.rows:
            found = f"'{rule.name}': {count} of {staged.rows} synthetic rows, allowed {rule.at_most * 100}%"
            (errors if rule.severity == "error" else warnings).append(found)
    parts = []
    if errors:
        parts.append(f"broken rules: {'; '.join(errors)}")
    if warnings:
        parts.append(f"warnings: {'; '.join(warnings)}")
    return not errors, ". ".join(parts) or f"every rule is kept: {len(thresholds.rules or ())}"


GATE = Gate(
    "clinical rules",
    "clinical_rules",
    judge,
    setting="rules",
    remedy="build the rule into the model by `synthesizer.zeros` or by `after` in the domain, or allow a share by "
    "`at_most`",
)
