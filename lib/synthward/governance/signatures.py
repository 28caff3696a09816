"""Signed decisions: what a person signs, and whether a recorded decision may count at all.

A statement names the site, the ledger, the scope, the request, its assessment, the policy, the person, the role, the
number of runs, the last day, the roster's edition and a nonce. A signature shown for anything else is a signature under
another statement, and is refused with the code of what differs.

What a signature shows is that the holder of a key has decided. That the key is the person's is the roster's word, which
the site's key signs.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

from synthward.governance.approvals import AS_ENTERED, Approval
from synthward.governance.dsse import Envelope, NotAnEnvelope
from synthward.governance.keys import Signer, seal
from synthward.governance.reasons import Reason
from synthward.governance.roster import Roster, person_of
from synthward.governance.signed import Checked, checked, key_reason, on_its_day, revoked, rolled_back
from synthward.records.canonical import canonical_bytes, parse_canonical
from synthward.records.codec import decode, encode
from synthward.records.decisions import Statement
from synthward.spec.request import Requester

PAYLOAD_TYPE = "application/vnd.synthward.decision.v1+json"
"""What a person signs a decision as."""

_OTHER = {
    "site": ("other_site", "for another site"),
    "ledger": ("other_ledger", "for another ledger"),
    "scope": ("other_scope", "for another scope"),
    "request": ("other_request", "for another request"),
}
"""What a statement must be for: its field, the code and the words where it is for something else."""


@dataclass(frozen=True)
class Signatures:
    """A site's roster at work on the decisions about one request.

    Attributes:
        roster: The people.
        site: Digest of the site file.
        ledger: Hash of the ledger's genesis; empty where there is none yet.
        requester: Who made the request.
        required: Whether the tier counts signed decisions only.
    """

    roster: Roster
    site: str
    ledger: str
    requester: Requester
    required: bool

    def signed(self, approval: Approval, signer: Signer) -> Approval:
        """A decision with the person's signature.

        Args:
            approval: The decision; `by` may be any account of the person.
            signer: Holds the key.
        """
        made = dataclasses.replace(approval, by=person_of(self.roster, approval.by), envelope="")
        statement = self._statement(made, self.roster.edition, secrets.token_hex(16))
        return dataclasses.replace(made, envelope=seal(signer, PAYLOAD_TYPE, canonical_bytes(encode(statement))).text)

    def _statement(self, approval: Approval, edition: int, nonce: str) -> Statement:
        """The statement of a decision, made under an edition of the roster."""
        return Statement(
            site=self.site,
            ledger=self.ledger,
            scope=approval.scope,
            request=approval.request_digest,
            assessment=approval.assessment_digest,
            policy=approval.policy_digest,
            output=approval.output,
            person=approval.by,
            role=approval.role,
            decision=approval.decision,
            runs=approval.runs,
            at=approval.at,
            expires=None if approval.expires is None else approval.expires.isoformat(),
            note=approval.note,
            edition=edition,
            nonce=nonce,
        )

    def person(self, name: str) -> str | None:
        """See `approvals.Judge.person`."""
        return self.roster.resolve(name)

    def requester_faults(self) -> Iterator[Reason]:
        """See `approvals.Judge.requester_faults`."""
        if not self.required:
            return
        found = self.roster.resolve(self.requester.name)
        if found is None:
            yield Reason.of("unknown_requester", "requester.name: is not in the site's roster; have it added")
        elif self.requester.role not in {post.role for post in self.roster.persons[found].roles}:
            yield Reason.of(
                "requester_role", f"requester.role: {found} does not hold the role {self.requester.role} in the roster"
            )

    def statement_of(self, approval: Approval) -> str | None:
        """See `approvals.Judge.statement_of`."""
        if not approval.envelope:
            return None
        try:
            return Envelope.parse(approval.envelope).payload.decode("utf-8", "replace")
        except NotAnEnvelope:
            return None

    def fault(self, approval: Approval, today: dt.date) -> Reason | None:
        """See `approvals.Judge.fault`."""
        if not approval.envelope:
            if not self.required:
                return AS_ENTERED.fault(approval, today)
            text = "it is not signed, and this tier counts signed decisions only; decide again with --key or --signer"
            return Reason.of("unsigned", text)
        found = checked(approval.envelope, PAYLOAD_TYPE, self.roster)
        if isinstance(found, Reason):
            return found
        return self._said_otherwise(approval, found) or on_its_day(
            found, approval.by, approval.role, approval.day, today
        )

    def _said_otherwise(self, approval: Approval, found: Checked) -> Reason | None:
        """Where the signed statement is not the recorded decision, or not about this request."""
        try:
            said = decode(Statement, parse_canonical(found.payload))
        except (ValueError, RecursionError):
            return Reason.of("altered_record", "the signed statement is no statement of a decision")
        expected = self._statement(approval, said.edition, said.nonce)
        for name, (code, words) in _OTHER.items():
            if getattr(said, name) != getattr(expected, name):
                return Reason.of(code, f"the signature is one {words}")
        if found.owner != said.person:
            return Reason.of("key_of_another", f"it was signed with a key of {found.owner}")
        if said != expected or len(said.nonce) < 32:
            return Reason.of("altered_record", "the record differs from what was signed")
        return rolled_back(said.edition, self.roster)

    def lapse(self, approval: Approval, today: dt.date) -> Reason | None:
        """See `approvals.Judge.lapse`."""
        if not approval.envelope:
            return None
        known = self.roster.find_key(Envelope.parse(approval.envelope).key)
        assert known is not None, "a decision whose key is unknown has a fault"
        key = known[1]
        reason = revoked(key) or key_reason(key, today)
        if reason is not None:
            return reason
        if not self.roster.holds(approval.by, approval.role, today):
            return Reason.of("role_not_held", f"{approval.by} does not hold the role any more")
        giver = self.roster.giver(approval.by, approval.role, today)
        if giver is not None and giver == self.roster.resolve(self.requester.name):
            return Reason.of("self_approval", f"{giver} made the request and lent {approval.by} the role")
        return None
