"""Gate: every row of the staged table has all values of a `missing_together` list, or none."""

from __future__ import annotations

from synthward.evaluate.gates.gate import Gate, Judgement
from synthward.evaluate.inspect import Inspection


def judge(staged: Inspection) -> Judgement:
    """Look for lists of columns that are missing in part. Decoding makes no such row; this shows it."""
    listed = {" and ".join(group): count for group, count in staged.apart.items()}
    wrong = [group for group, count in listed.items() if count]
    if wrong:
        return False, f"rows are missing a part of what is missing together: {'; '.join(wrong)}"
    if not listed:
        return True, "no columns are declared to be missing together"
    return True, f"every row has all or none of: {'; '.join(listed)}"


GATE = Gate("presence", "structure_gate", judge)
