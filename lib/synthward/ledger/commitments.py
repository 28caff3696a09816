"""Commitments: which links of a run's journal count. Pure: no Spark.

The journal lies in the protected zone, the ledger in another place with other rights. A hash chain alone does not show
that the journal was cut back to an older state, or that somebody wrote a link before the run did. So the digest of each
seal, of the model and of the manifest is appended to the scope's chain in the ledger before it is used. A committed
step whose link is gone is forfeit; a link that no commitment names is not obeyed (PROOFS.md, 5.6).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from synthward.errors import LedgerCorrupt
from synthward.store.links import Link

COMMIT = "commit"
"""Kind of a commitment's link."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Commitment:
    """What a run commits to: one step and the link of the journal that holds it.

    Attributes:
        run_id: The run.
        attempt: Its attempt.
        step: The step: `sealed.` and the name of a round, `fitted`, `validated`, `copied.` and a number; of a repair
            `repaired.` and a number, and `validated.` and the same number.
        digest: Hash of the journal's link, 64 hexadecimal digits.
        seal_key: The key, 64 hexadecimal digits, that opens the payload of a seal; None for other links. It is known to
            nobody before it stands here.
    """

    run_id: str
    attempt: int
    step: str
    digest: str
    seal_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class CommitmentRecord:
    """A commitment as it stands in the ledger.

    Attributes:
        seq: Position in the scope's chain.
        at: When, UTC.
        hash: Hash of the link.
        commitment: What was committed.
    """

    seq: int
    at: str
    hash: str
    commitment: Commitment

    @property
    def digest(self) -> str:
        """Hash of the journal's link."""
        return self.commitment.digest

    def receipt(self, genesis_hash: str) -> dict[str, Any]:
        """What later links of the journal keep of it, so that a ledger that was cut behind it is found."""
        return {"seq": self.seq, "head": self.hash, "genesis": genesis_hash}


def commitment_body(commitment: Commitment) -> dict[str, Any]:
    """Body of a `commit` link."""
    return {
        "run_id": commitment.run_id,
        "attempt": commitment.attempt,
        "step": commitment.step,
        "digest": commitment.digest,
        "seal_key": commitment.seal_key,
    }


def commitment_of(link: Link) -> CommitmentRecord:
    """A `commit` link as a record.

    Raises:
        LedgerCorrupt: The body does not have what a commitment has.
    """
    facts: dict[str, Any] = {"seal_key": None, **link.facts}
    kinds = {"run_id": str, "attempt": int, "step": str, "digest": str}
    typed = all(isinstance(facts.get(name), kind) for name, kind in kinds.items())
    if not typed or not _is_digest(facts["digest"]) or not (facts["seal_key"] is None or _is_digest(facts["seal_key"])):
        raise LedgerCorrupt(f"scope '{link.key}': link {link.seq} is not a commitment this version can read")
    found = Commitment(facts["run_id"], facts["attempt"], facts["step"], facts["digest"], facts["seal_key"])
    return CommitmentRecord(link.seq, link.at, link.hash, found)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def is_for(link: Link, run_id: str, attempt: int, step: str) -> bool:
    """Whether a link of a scope's chain commits this step."""
    if link.kind != COMMIT:
        return False
    facts = link.facts
    return (facts.get("run_id"), facts.get("attempt"), facts.get("step")) == (run_id, attempt, step)


def commitments_at(scope: str, links: Sequence[Link], charge_kind: str) -> tuple[CommitmentRecord, ...]:
    """Every commitment of a scope's chain, in order.

    Args:
        scope: Its name.
        links: The chain, verified.
        charge_kind: Kind of the links that charge a run.

    Raises:
        LedgerCorrupt: A step is committed twice, or for a run that was not charged before.
    """
    charged: set[tuple[Any, Any]] = set()
    steps: set[tuple[str, int, str]] = set()
    found = []
    for link in links:
        if link.kind == charge_kind:
            charged.add((link.facts.get("run_id"), link.facts.get("attempt")))
        if link.kind != COMMIT:
            continue
        record = commitment_of(link)
        run = (record.commitment.run_id, record.commitment.attempt)
        if run not in charged:
            raise LedgerCorrupt(
                f"scope '{scope}': frozen, link {link.seq} commits a step of a run that was not charged"
            )
        if (*run, record.commitment.step) in steps:
            raise LedgerCorrupt(f"scope '{scope}': frozen, link {link.seq} commits a step for the second time")
        steps.add((*run, record.commitment.step))
        found.append(record)
    return tuple(found)
