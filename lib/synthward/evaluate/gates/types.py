"""Gate: every column of the staged table has its declared type."""

from __future__ import annotations

from collections.abc import Mapping

from synthward.evaluate.gates.gate import Gate, Judgement
from synthward.evaluate.inspect import Inspection


def judge(staged: Inspection, expected_types: Mapping[str, str]) -> Judgement:
    """Compare the types of the staged columns with the expected ones."""
    wrong = [name for name, data_type in expected_types.items() if staged.types.get(name) != data_type]
    detail = f"columns with another type than declared: {', '.join(wrong)}" if wrong else "all columns as declared"
    return not wrong, detail


GATE = Gate("types", "structure_gate", judge)
