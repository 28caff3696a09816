"""Gate: every staged row says that it is synthetic and which release it belongs to."""

from __future__ import annotations

from synthward.evaluate.gates.gate import Gate, Judgement
from synthward.evaluate.inspect import Inspection


def judge(staged: Inspection) -> Judgement:
    """Check the lineage columns of all rows."""
    good = "every row labelled, rows numbered without gaps"
    return staged.lineage_ok, good if staged.lineage_ok else "rows without correct lineage"


GATE = Gate("lineage", "structure_gate", judge)
