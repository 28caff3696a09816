"""All audits of one request together, and their report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthward.prove.claim import NEIGHBOURS, Claim
from synthward.prove.findings import FALSIFIES, Check

PARTS = {
    "claim": "The claim, computed twice",
    "sensitivity": "Attack on the bounds",
    "sampler": "Audit of the noise",
    "ledger": "Audit of the records",
}


@dataclass(frozen=True)
class Proof:
    """What `synthward prove` found.

    Attributes:
        claim: The claim.
        checks: Every statement that was tested.
        not_proven: What was not, in sentences.
    """

    claim: Claim
    checks: tuple[Check, ...]
    not_proven: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing contradicts the claim."""
        return all(check.passed for check in self.checks)

    @property
    def contradicted(self) -> tuple[Check, ...]:
        """The statements that were contradicted."""
        return tuple(check for check in self.checks if not check.passed)

    def to_json(self) -> dict[str, Any]:
        """The claim file with what was found."""
        return {
            "claim": self.claim.to_json(),
            "passed": self.passed,
            "note": FALSIFIES,
            "checks": [check.to_json() for check in self.checks],
            "not_proven": list(self.not_proven),
        }

    @property
    def json(self) -> str:
        """`to_json` as text; infinities as texts, which JSON has not."""
        return json.dumps(_finite(self.to_json()), indent=1, ensure_ascii=False) + "\n"

    @property
    def markdown(self) -> str:
        """The report for people."""
        plan = self.claim.plan
        verdict = "nothing contradicts the claim" if self.passed else f"{len(self.contradicted)} statements are FALSE"
        claimed = (
            f"**Claim.** {plan.task.unit.claim}, epsilon {plan.epsilon}, delta {plan.delta} ({plan.accounting}), at "
            f"most {plan.task.unit.max_rows} rows of a unit count in full; neighbours: {NEIGHBOURS}."
        )
        lines = [
            f"# Proof of {plan.file.request.title}",
            "",
            claimed,
            "",
            f"**Verdict.** {verdict}. {FALSIFIES}",
            "",
        ]
        for part, title in PARTS.items():
            checks = [check for check in self.checks if check.part == part]
            if not checks:
                continue
            lines += [f"## {title}", "", "| | statement | found |", "|---|---|---|"]
            lines += [f"| {_mark(check)} | {_cell(check.name)} | {_cell(check.found)} |" for check in checks]
            lines.append("")
        lines += ["## Not proven", "", *(f"* {sentence}" for sentence in self.not_proven), ""]
        return "\n".join(lines)


def not_proven(claim: Claim, left_out: int, skipped: Sequence[str]) -> tuple[str, ...]:
    """What no audit says of this configuration.

    Args:
        claim: The claim.
        left_out: Announced tables that the attack did not ask about.
        skipped: Audits that were not made, in sentences.
    """
    plan, request = claim.plan, claim.plan.file.request
    found = [*skipped]
    found += [f"That the exporter keeps the promise: {promise}." for promise in request.promises]
    if any(source.snapshot == "materialize" for source in request.sources):
        found.append("That a view is 1-stable (PROOFS 0.7): its author has to say.")
    if any(source.path is None for source in request.sources):
        found.append("Tables of a catalog were attacked as files of their format, not through the catalog.")
    if plan.learning is not None:
        found.append("The rounds that learn the domain were not attacked with files; their noise was audited.")
    if left_out:
        found.append(f"{left_out} tables of many cells were not asked about in the attack; their kernel is the same.")
    if claim.later.nano_rho * 1000 > plan.charge.nano_rho:
        found.append("Rounds that depend on answers are bounded by the charge; their calls are not known before.")
    return (
        *found,
        "Running time, memory, and which tasks fail: they depend on exact data and stay in the protected zone.",
        "OpenDP, the operating system's generator, Spark, Delta, numpy and the JVM: tested here, not proven.",
        "Who may read the protected zone, and that one person has one id (PROOFS 7).",
    )


def _mark(check: Check) -> str:
    return "holds" if check.passed else "**FALSE**"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _finite(value: Any) -> Any:
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value
