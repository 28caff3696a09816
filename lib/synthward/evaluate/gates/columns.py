"""Gate: the staged table has no column that nobody asked for. Nobody would have approved its values."""

from __future__ import annotations

from collections.abc import Mapping

from synthward.evaluate.gates.gate import Gate, Judgement
from synthward.evaluate.inspect import Inspection
from synthward.release.names import LINEAGE


def judge(staged: Inspection, expected_types: Mapping[str, str]) -> Judgement:
    """Look for columns that are neither requested nor lineage."""
    extra = [name for name in staged.types if name not in expected_types and name not in LINEAGE]
    return not extra, f"columns that nobody asked for: {', '.join(extra)}" if extra else "no other columns"


GATE = Gate("columns", "structure_gate", judge)
