"""Commitments: which links of a run's journal count. Pure: no Spark.

The journal lies in the protected zone, the ledger in another place with other rights. A hash chain alone does not show
that the journal was cut back to an older state, or that somebody wrote a link before the run did. So the digest of each
seal, of the model and of the manifest is appended to the scope's chain in the ledger before it is used. A committed
step whose link is gone is forfeit; a link that no commitment names is not obeyed (PROOFS.md, 5.6).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthward.errors import LedgerCorrupt
from synthward.records.codec import RecordFault, decode, decode_if, encode
from synthward.records.ledger import Charged, Commitment, Receipt
from synthward.store.links import Link

COMMIT = "commit"
"""Kind of a commitment's link."""

WITHDRAWN = ("recalled.", "expired.")
"""How the steps begin by which a release is taken back; its id follows. Their links are those of its own chain."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


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

    def receipt(self, genesis_hash: str) -> Receipt:
        """What later links of the journal keep of it, so that a ledger that was cut behind it is found."""
        return Receipt(self.seq, self.hash, genesis_hash)


def commitment_body(commitment: Commitment) -> dict[str, Any]:
    """Body of a `commit` link."""
    return encode(commitment)


def commitment_of(link: Link) -> CommitmentRecord:
    """A `commit` link as a record.

    Raises:
        LedgerCorrupt: The body does not have what a commitment has.
    """
    unreadable = f"scope '{link.key}': link {link.seq} is not a commitment this version can read"
    try:
        found = decode(Commitment, link.facts)
    except RecordFault as error:
        raise LedgerCorrupt(unreadable) from error
    if not _is_digest(found.digest) or not (found.seal_key is None or _is_digest(found.seal_key)):
        raise LedgerCorrupt(unreadable)
    return CommitmentRecord(link.seq, link.at, link.hash, found)


def _is_digest(value: str) -> bool:
    return _DIGEST.fullmatch(value) is not None


def is_for(link: Link, run_id: str, attempt: int, step: str) -> bool:
    """Whether a link of a scope's chain commits this step."""
    found = decode_if(Commitment, link.facts) if link.kind == COMMIT else None
    return found is not None and (found.run_id, found.attempt, found.step) == (run_id, attempt, step)


def commitments_at(scope: str, links: Sequence[Link], charge_kind: str) -> tuple[CommitmentRecord, ...]:
    """Every commitment of a scope's chain, in order.

    Args:
        scope: Its name.
        links: The chain, verified.
        charge_kind: Kind of the links that charge a run.

    Raises:
        LedgerCorrupt: A step is committed twice, or for a run that was not charged before.
    """
    charged: set[tuple[str, int]] = set()
    steps: set[tuple[str, int, str]] = set()
    found = []
    for link in links:
        if link.kind == charge_kind and (paid := decode_if(Charged, link.facts)) is not None:
            charged.add((paid.run_id, paid.attempt))
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
