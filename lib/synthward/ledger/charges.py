"""Charges: what a run paid, and the receipt for it. Pure: no Spark.

Costs are stored as plain integers that were rounded up when they were made (`privacy.accounting.Charge`), so adding
them again gives the same total anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from synthward.errors import LedgerCorrupt
from synthward.privacy.accounting import Charge
from synthward.records.codec import RecordFault, decode, decode_if, encode
from synthward.records.ledger import Charged, Receipt
from synthward.store.links import Link

CHARGE = "charge"
"""Kind of a charge's link."""


@dataclass(frozen=True)
class ChargeRecord:
    """One charge as it stands in the ledger.

    Attributes:
        seq: Position in the scope's chain.
        at: When, UTC.
        run_id: The run that paid.
        attempt: Its attempt; a retry of the same attempt pays nothing.
        request_digest: Digest of the request.
        policy_digest: Digest of the policy.
        site_digest: Digest of the site configuration.
        journal_id: Random id of the journal that has the run's seals.
        cost: What was charged.
        release_id: The release it pays for.
        delta_report: The delta at which that release states its epsilon.
        single_writer: Whether the site had promised one writer instead of a safe log store.
        hash: Hash of the link.
        opened: Hash of the journal's `opened` link; None in charges of versions before commitments, whose runs are
            finished by the rules they began under.
    """

    seq: int
    at: str
    run_id: str
    attempt: int
    request_digest: str
    policy_digest: str
    site_digest: str
    journal_id: str
    cost: Charge
    release_id: str
    delta_report: Decimal
    single_writer: bool
    hash: str
    opened: str | None = None

    def receipt(self, genesis_hash: str, is_new: bool) -> ChargeReceipt:
        """The receipt for this charge."""
        return ChargeReceipt(self.seq, self.hash, genesis_hash, is_new, self.opened)


@dataclass(frozen=True)
class ChargeReceipt:
    """Proof of a charge, to be kept by the run and the release.

    Attributes:
        seq: Position of the charge in its scope's chain.
        head_hash: Hash of the charge's link.
        genesis_hash: Hash of the ledger's genesis.
        is_new: False when the charge had been made before; nothing was spent then.
        opened: See `ChargeRecord`.
    """

    seq: int
    head_hash: str
    genesis_hash: str
    is_new: bool
    opened: str | None = None

    @property
    def kept(self) -> Receipt:
        """What links of the run's journal keep of it."""
        return Receipt(self.seq, self.head_hash, self.genesis_hash)


def charge_body(
    *,
    run_id: str,
    attempt: int,
    request_digest: str,
    policy_digest: str,
    site_digest: str,
    journal_id: str,
    cost: Charge,
    release_id: str,
    delta_report: Decimal,
    single_writer: bool,
    opened: str,
) -> dict[str, Any]:
    """Body of a `charge` link; the cost in plain integers."""
    return encode(
        Charged(
            run_id=run_id,
            attempt=attempt,
            request_digest=request_digest,
            policy_digest=policy_digest,
            site_digest=site_digest,
            journal_id=journal_id,
            nano_epsilon=cost.nano_epsilon,
            nano_rho=cost.nano_rho,
            atto_delta=cost.atto_delta,
            release_id=release_id,
            delta_report=delta_report,
            single_writer=single_writer,
            opened=opened,
        )
    )


def record_of(link: Link) -> ChargeRecord:
    """A `charge` link as a record.

    Raises:
        LedgerCorrupt: The body does not have what a charge has.
    """
    try:
        found = decode(Charged, link.facts)
        return ChargeRecord(
            seq=link.seq,
            at=link.at,
            run_id=found.run_id,
            attempt=found.attempt,
            request_digest=found.request_digest,
            policy_digest=found.policy_digest,
            site_digest=found.site_digest,
            journal_id=found.journal_id,
            cost=Charge(found.nano_epsilon, found.nano_rho, found.atto_delta),
            release_id=found.release_id,
            delta_report=found.delta_report,
            single_writer=found.single_writer,
            hash=link.hash,
            opened=found.opened,
        )
    except (RecordFault, ValueError) as error:
        raise LedgerCorrupt(f"scope '{link.key}': link {link.seq} is not a charge this version can read") from error


def pays_for(link: Link, run_id: str, attempt: int) -> bool:
    """Whether a link of a scope's chain charges this run."""
    found = decode_if(Charged, link.facts) if link.kind == CHARGE else None
    return found is not None and (found.run_id, found.attempt) == (run_id, attempt)
