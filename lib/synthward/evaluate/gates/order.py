"""Gate: no row of the staged table breaks a declared order of two dates. Decoding makes such rows; this shows it."""

from __future__ import annotations

from synthward.evaluate.gates.gate import Gate, Judgement
from synthward.evaluate.inspect import Inspection


def judge(staged: Inspection) -> Judgement:
    """Look for columns with a date outside of what `after` and `within` allow, or without the date before it."""
    wrong = [name for name, count in staged.disordered.items() if count]
    if wrong:
        return False, f"rows break the declared order of dates in: {', '.join(wrong)}"
    if not staged.disordered:
        return True, "no order of dates is declared"
    return True, f"every row keeps the declared order of dates in: {', '.join(staged.disordered)}"


GATE = Gate("order", "structure_gate", judge)
