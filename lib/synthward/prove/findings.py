"""What an audit looked at and what it found, as plain facts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FALSIFIES = "An audit can only falsify: a bound below the claim is no proof of the claim. The proof is PROOFS.md."


@dataclass(frozen=True)
class Check:
    """One statement that was put to the test.

    Attributes:
        part: Which audit: claim, sensitivity, sampler or ledger.
        name: What was tested, in a few words.
        passed: False where the statement is contradicted.
        found: The figures, in one sentence.
        facts: The same for machines; numbers and texts.
    """

    part: str
    name: str
    passed: bool
    found: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain facts."""
        return {
            "part": self.part,
            "name": self.name,
            "passed": self.passed,
            "found": self.found,
            "facts": dict(self.facts),
        }
