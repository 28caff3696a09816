"""Signed acts on a release: who may approve its publication, grant, expire, recall, handle incidents; what they sign.

Policy names the roles of each act. In a tier that counts signed decisions only, an act needs a signature as well,
wherever the site has a roster. The signature is over site, ledger, release, manifest and the whole event, so that it
cannot be shown for anything else (`records.releases.ActStatement`).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from synthward.config.text import LINE, PARAGRAPH, text_fault
from synthward.governance.approvals import person
from synthward.governance.dsse import Envelope, NotAnEnvelope
from synthward.governance.identity import name_fault
from synthward.governance.keys import Signer, seal
from synthward.governance.policy import Policy
from synthward.governance.reasons import Reason
from synthward.governance.roster import Roster, person_of
from synthward.governance.signed import checked, on_its_day, revoked, rolled_back
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
        made = _with_act(event, by=person_of(roster, act.by), envelope="")
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
        return None if due and not act.envelope else self._signature_fault(subject, event, today)

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
            who = self._person(one.act.by)
            if one.act.role not in people and who not in people.values():
                people[one.act.role] = who
        return tuple(role for role in self.release_approval(tier) if role not in people)

    def _person(self, name: str) -> str:
        """The person behind an account; the account itself where no roster knows it."""
        found = None if self.roster is None else self.roster.resolve(name)
        return person(name) if found is None else found

    def _signature_fault(self, subject: Subject, event: Event, today: dt.date) -> Reason | None:
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
        found = checked(act.envelope, PAYLOAD_TYPE, self.roster)
        if isinstance(found, Reason):
            return found
        try:
            said = decode(ActStatement, parse_canonical(found.payload))
        except (ValueError, RecursionError):
            return Reason.of("altered_record", "the signed statement is no statement of an act")
        if found.owner != said.person:
            return Reason.of("key_of_another", f"it was signed with a key of {found.owner}")
        # What stops readers counts by its date, also if its key was revoked later.
        stolen = revoked(found.key) if isinstance(event, LOOSENING) else None
        day = dt.date.fromisoformat(said.at[:10])
        return (
            self._said_otherwise(subject, event, said)
            or stolen
            or rolled_back(said.edition, self.roster)
            or on_its_day(found, said.person, said.role, day, today)
        )

    def _said_otherwise(self, subject: Subject, event: Event, said: ActStatement) -> Reason | None:
        """Where a signed statement is about something else; None if it is about this act."""
        if (said.site, said.ledger) != (subject.site, subject.ledger):
            return Reason.of("other_site", "the signature is one for another site, or for another ledger")
        if (said.release, said.manifest) != (subject.release, subject.manifest):
            return Reason.of("other_release", "the signature is one for another release")
        if said != self._statement(subject, event, said.edition, said.nonce) or len(said.nonce) < 32:
            return Reason.of("altered_record", "the record differs from what was signed")
        return None

    def _is_one(self, name: str, other: str | None) -> bool:
        return other is not None and (person(name) == person(other) or self._person(name) == self._person(other))

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


def _with_act(event: E, **changes: str) -> E:
    act = act_of(event)
    assert act is not None, "the job's own records have no act"
    return replace(event, act=replace(act, **changes))  # type: ignore[arg-type]
