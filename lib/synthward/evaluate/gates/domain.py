"""Gate: every value of the staged table is a declared one."""

from __future__ import annotations

from synthward.evaluate.gates.gate import Gate, Judgement
from synthward.evaluate.inspect import Inspection


def judge(staged: Inspection) -> Judgement:
    """Look for columns with a value that the domain does not declare."""
    wrong = [name for name, count in staged.undeclared.items() if count]
    return not wrong, f"undeclared values in: {', '.join(wrong)}" if wrong else "every value is declared"


GATE = Gate("domain", "structure_gate", judge)
