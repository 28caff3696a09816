"""Signed acts on a release: who may approve its publication, grant, expire, recall, handle incidents; what they sign.

Policy names the roles of each act. In a tier that counts signed decisions only, an act needs a signature as well,
wherever the site has a roster. The signature is over site, ledger, release, manifest and the whole event, so that it
cannot be shown for anything else (`records.releases.ActStatement`).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from synthward.config.text import LINE, PARAGRAPH, text_fault
from synthward.governance.dsse import Envelope, NotAnEnvelope
from synthward.governance.identity import name_fault
from synthward.governance.keys import Signer, seal
from synthward.governance.policy import Policy
from synthward.governance.reasons import Reason
from synthward.governance.roster import PublicKey, Roster
from synthward.records.canonical import canonical_bytes, parse_canonical
from synthward.records.codec import decode, encode
from synthward.records.releases import (
    CLEAR,
    CLOSE,
    EXPIRE,
    GRANT,
    INCIDENT,
    LOOSENING,
    RECALL,
    REVOKE,
    ActStatement,
    Cleared,
    Event,
    act_of,
    kind_of,
)

PAYLOAD_TYPE = "application/vnd.synthward.act.v1+json"
"""What a person signs an act as."""

DUTIES = {
    GRANT: "grant",
    REVOKE: "grant",
    EXPIRE: "expire",
    RECALL: "recall",
    INCIDENT: "incident",
    CLOSE: "incident",
}
"""The duty of the policy's `release_roles` that each kind of event belongs to."""

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Subject:
    """The release that an act is about, as signatures name it.

    Attributes:
        site: Digest of the site file.
        ledger: Hash of the ledger's genesis that paid for the release.
        release: The release.
        manifest: Digest of its manifest.
        tier: Tier of the release.
        requester: Who asked for it; None if nobody is on record.
    """

    site: str
    ledger: str
    release: str
    manifest: str
    tier: str
    requester: str | None


@dataclass(frozen=True)
class Acts:
    """Judges acts by policy and roster.

    Attributes:
        policy: The policy in force.
        roster: The site's people and keys; None for none.
    """

    policy: Policy
    roster: Roster | None

    def signed(self, subject: Subject, event: E, signer: Signer) -> E:
        """The event with the person's signature.

        Args:
            subject: The release.
            event: The event, unsigned; `act.by` may be any account of the person.
            signer: Holds the key.
        """
        act, roster = act_of(event), self.roster
        assert act is not None, "the job's own records are not signed by a person"
        assert roster is not None, "a signature needs a roster"
        made = _with_act(event, by=roster.resolve(act.by) or act.by, envelope="")
        statement = self._statement(subject, made, roster.edition, secrets.token_hex(16))
        text = seal(signer, PAYLOAD_TYPE, canonical_bytes(encode(statement))).text
        return _with_act(made, envelope=text)

    def fault(self, subject: Subject, event: Event, today: dt.date, *, due: bool = False) -> Reason | None:
        """Why an act does not count; None if it does. Whoever writes or verifies a chain asks this.

        Args:
            subject: The release.
            event: The event.
            today: The day of the judgement.
            due: Whether the event carries out what was decided before (`records.releases.is_due`); then it needs
                neither a role nor a signature.
        """
        act = act_of(event)
        if act is None:
            return None
        unreadable = name_fault(act.by) or text_fault(act.reason, PARAGRAPH, lines=True)
        if unreadable is not None or not act.reason.strip():
            return Reason.of("unreadable", f"name or reason of the act {unreadable or 'is empty'}")
        kind = kind_of(event)
        allowed = self.release_approval(subject.tier) if kind == CLEAR else self.policy.roles_for(DUTIES[kind])
        if act.role not in allowed and not due:
            text = f"{kind}: found the role {act.role}, policy allows {', '.join(allowed) or 'no role'}"
            return Reason.of("role_not_allowed", text)
        if kind in (CLEAR, GRANT) and self._is_one(act.by, subject.requester):
            text = "whoever requested a release neither approves its publication nor grants it; somebody else has to"
            return Reason.of("self_approval", text)
        if dt.date.fromisoformat(act.at[:10]) > today:
            return Reason.of("dated_ahead", f"it is dated {act.at[:10]}, after today ({today})")
        return None if due and not act.envelope else self._signature_fault(subject, event)

    def release_approval(self, tier: str) -> tuple[str, ...]:
        """Roles that must approve a release of a tier before it is published."""
        found = self.policy.tiers.get(tier)
        return () if found is None else found.release_approval

    def unapproved(self, tier: str, cleared: Sequence[Cleared]) -> tuple[str, ...]:
        """Roles whose approval of the publication is missing. One person fills one role.

        Args:
            tier: Tier of the release.
            cleared: Approvals that count, in order.
        """
        people: dict[str, str] = {}
        for one in cleared:
            person = self._person(one.act.by)
            if one.act.role not in people and person not in people.values():
                people[one.act.role] = person
        return tuple(role for role in self.release_approval(tier) if role not in people)

    def _person(self, name: str) -> str:
        found = None if self.roster is None else self.roster.resolve(name)
        return name.strip().casefold() if found is None else found

    def _signature_fault(self, subject: Subject, event: Event) -> Reason | None:
        """Why the signature of an act, or its absence, does not count."""
        act = act_of(event)
        assert act is not None
        if not act.envelope:
            tier = self.policy.tiers.get(subject.tier)
            required = self.roster is not None and (tier is None or tier.signed)
            text = f"tier {subject.tier} counts signed acts only; give --key or --signer"
            return Reason.of("unsigned", text) if required else None
        if self.roster is None:
            return Reason.of("no_roster", "the site names no roster, so that nobody can check a signature")
        return next(self._envelope_faults(subject, event, act.envelope, self.roster), None)

    def _envelope_faults(self, subject: Subject, event: Event, text: str, roster: Roster) -> Iterator[Reason]:
        """What is wrong with a signature, the most telling fault first."""
        try:
            envelope = Envelope.parse(text)
        except NotAnEnvelope as error:
            yield Reason.of("no_envelope", f"its signature {error}")
            return
        if envelope.payload_type != PAYLOAD_TYPE:
            yield Reason.of("other_purpose", "its signature is one under another kind of statement")
        known = roster.find_key(envelope.key)
        if known is None:
            yield Reason.of("unknown_key", f"no person of the roster has the key {envelope.key}")
            return
        if not envelope.is_signed_by(known[1].public):
            yield Reason.of("forged_signature", f"the signature is not one of key {envelope.key}")
        try:
            said = decode(ActStatement, parse_canonical(envelope.payload))
        except (ValueError, RecursionError):
            yield Reason.of("altered_record", "the signed statement is no statement of an act")
            return
        if known[0] != said.person:
            yield Reason.of("key_of_another", f"it was signed with a key of {known[0]}")
        yield from self._statement_faults(subject, event, said)
        if isinstance(event, LOOSENING) and known[1].revoked is not None:
            # A thief can date a signature as he likes. What stops readers counts by its date all the same.
            text = f"key {known[1].id} was revoked on {known[1].revoked}; do it again with another key"
            yield Reason.of("key_revoked", text)
        yield from _faults_of_day(said, known[1], roster)

    def _statement_faults(self, subject: Subject, event: Event, said: ActStatement) -> Iterator[Reason]:
        """Where a signed statement is about something else."""
        if (said.site, said.ledger) != (subject.site, subject.ledger):
            yield Reason.of("other_site", "the signature is one for another site, or for another ledger")
        if (said.release, said.manifest) != (subject.release, subject.manifest):
            yield Reason.of("other_release", "the signature is one for another release")
        if said != self._statement(subject, event, said.edition, said.nonce) or len(said.nonce) < 32:
            yield Reason.of("altered_record", "the record differs from what was signed")

    def _is_one(self, name: str, other: str | None) -> bool:
        if other is None:
            return False
        found = None if self.roster is None else self.roster.resolve(name)
        return name.strip().casefold() == other.strip().casefold() or (
            self.roster is not None and found is not None and found == self.roster.resolve(other)
        )

    def _statement(self, subject: Subject, event: Event, edition: int, nonce: str) -> ActStatement:
        act = act_of(event)
        assert act is not None
        bare = canonical_bytes(encode(_with_act(event, envelope="")))
        return ActStatement(
            site=subject.site,
            ledger=subject.ledger,
            release=subject.release,
            manifest=subject.manifest,
            kind=kind_of(event),
            event=hashlib.sha256(bare).hexdigest(),
            person=act.by,
            role=act.role,
            at=act.at,
            edition=edition,
            nonce=nonce,
        )


def recipient_fault(name: str) -> str | None:
    """Why a text cannot name a recipient; None if it can. The name becomes part of SQL, in quotes."""
    if not name.strip() or "`" in name:
        return "is empty or has a backtick; name a group or account as the catalog knows it"
    return text_fault(name, LINE, lines=False)


def key_id_of(event: Event) -> str | None:
    """Short name of the key that is said to have signed an act; None without a signature."""
    act = act_of(event)
    try:
        return Envelope.parse(act.envelope).key if act is not None and act.envelope else None
    except NotAnEnvelope:
        return None


def _faults_of_day(said: ActStatement, key: PublicKey, roster: Roster) -> Iterator[Reason]:
    """Where the person, the key or the roster could not sign on the day of the act."""
    if said.edition > roster.edition:
        yield Reason.of("roster_rolled_back", "it was signed under a later edition of the roster")
    day = dt.date.fromisoformat(said.at[:10])
    if (key.revoked is not None and day >= key.revoked) or not key.first <= day <= key.last:
        yield Reason.of("key_expired", f"key {key.id} was not valid on {day}")
    if not roster.holds(said.person, said.role, day):
        yield Reason.of("role_not_held", f"{said.person} did not hold the role on {day}")


def _with_act(event: E, **changes: str) -> E:
    act = act_of(event)
    assert act is not None, "the job's own records have no act"
    return replace(event, act=replace(act, **changes))  # type: ignore[arg-type]
