"""Gate: the staged table has the requested number of rows."""

from __future__ import annotations

from synthward.evaluate.gates.gate import Gate, Judgement, Thresholds
from synthward.evaluate.inspect import Inspection


def judge(staged: Inspection, thresholds: Thresholds) -> Judgement:
    """Compare the number of staged rows with the requested one."""
    return staged.rows == thresholds.rows, f"{staged.rows} rows staged, {thresholds.rows} requested"


GATE = Gate("row count", "structure_gate", judge)
