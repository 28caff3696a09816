"""Rules for signatures of people, whatever they sign: decisions, submissions, stops, acts on releases.

A signature counts if a person of the roster has the key, the key could sign on that day, the person held the role on
that day, and the signed statement is exactly the record. What differs from kind to kind is the statement alone.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from synthward.governance.dsse import Envelope, NotAnEnvelope
from synthward.governance.keys import Signer, seal
from synthward.governance.reasons import Reason
from synthward.governance.roster import PublicKey, Roster
from synthward.records.canonical import canonical_bytes, parse_canonical
from synthward.records.codec import decode, encode, recordable
from synthward.records.decisions import EventStatement


@dataclass(frozen=True)
class Checked:
    """A signature by a key of the roster.

    Attributes:
        payload: The exact bytes that were signed.
        owner: Id of the person who has the key.
        key: The key.
        roster: The roster.
    """

    payload: bytes
    owner: str
    key: PublicKey
    roster: Roster


def checked(text: str, payload_type: str, roster: Roster) -> Checked | Reason:
    """The signature in an envelope, or why it is none of a person of the roster for this purpose."""
    try:
        envelope = Envelope.parse(text)
    except NotAnEnvelope as error:
        return Reason.of("no_envelope", f"its signature {error}")
    if envelope.payload_type != payload_type:
        return Reason.of("other_purpose", "its signature is one under another kind of statement")
    known = roster.find_key(envelope.key)
    if known is None:
        return Reason.of("unknown_key", f"no person of the roster has the key {envelope.key}")
    if not envelope.is_signed_by(known[1].public):
        return Reason.of("forged_signature", f"the signature is not one of key {envelope.key}")
    return Checked(envelope.payload, *known, roster)


def on_its_day(found: Checked, person: str, role: str, day: dt.date, today: dt.date) -> Reason | None:
    """Why person or key could not sign in a role on the day of the statement; None if they could."""
    if day > today:
        return Reason.of("dated_ahead", f"it is dated {day}, after today ({today})")
    reason = key_reason(found.key, day)
    if reason is None and not found.roster.holds(person, role, day):
        return Reason.of("role_not_held", f"{person} did not hold the role on {day}")
    return reason


def key_reason(key: PublicKey, day: dt.date) -> Reason | None:
    """Why a key may not sign on a day; None if it may."""
    if key.revoked is not None and day >= key.revoked:
        return Reason.of("key_revoked", f"key {key.id} was revoked on {key.revoked}")
    if day < key.first:
        return Reason.of("key_not_yet_valid", f"key {key.id} may sign from {key.first} on, found {day}")
    if day > key.last:
        return Reason.of("key_expired", f"key {key.id} expired on {key.last}; approve again with another")
    return None


def revoked(key: PublicKey) -> Reason | None:
    """Why nothing that a key has signed counts any more; None for a key that was not revoked.

    A thief can date a signature as he likes, so that the date of a signature by a revoked key says nothing.
    """
    if key.revoked is None:
        return None
    return Reason.of("key_revoked", f"key {key.id} was revoked on {key.revoked}; approve again with another")


def rolled_back(edition: int, roster: Roster) -> Reason | None:
    """Why a statement shows that the roster is not the newest one; None if it does not."""
    if edition <= roster.edition:
        return None
    text = f"it was signed under edition {edition} of the roster, and the site has {roster.edition}"
    return Reason.of("roster_rolled_back", f"{text}; put the newest roster back")


@dataclass(frozen=True)
class Event:
    """What a person signs beside decisions on requests.

    Attributes:
        kind: What it is: `submission`, `withdrawal` and so on. It is part of the type of the envelope.
        body: The record's body without its envelope, as JSON.
        by: Id of the person.
        role: Role in which the person acts.
        at: When: UTC, ISO 8601.
    """

    kind: str
    body: Mapping[str, Any]
    by: str
    role: str
    at: str

    @property
    def day(self) -> dt.date:
        """The day of the event, UTC."""
        return dt.date.fromisoformat(self.at[:10])


@dataclass(frozen=True)
class EventSignatures:
    """A site's roster at work on the events of the site.

    Attributes:
        roster: The people.
        site: Digest of the site file.
        ledger: Hash of the ledger's genesis; empty where there is none yet.
    """

    roster: Roster
    site: str
    ledger: str

    def sign(self, event: Event, signer: Signer) -> str:
        """The envelope of an event."""
        statement = self._statement(event, self.roster.edition, secrets.token_hex(16))
        return seal(signer, payload_type(event.kind), canonical_bytes(encode(statement))).text

    def fault(self, event: Event, envelope: str, today: dt.date, *, lasting: bool = False) -> Reason | None:
        """Why a signed event does not count; None if it does.

        Args:
            event: The event as recorded.
            envelope: Its signature.
            today: Today.
            lasting: True if the event keeps its effect although the key was revoked later. A stop is one: a thief gains
                nothing by it, and a stop that ends with its key could be ended by reporting the key stolen.
        """
        if not envelope:
            return Reason.of("unsigned", "it is not signed; give --key or --signer")
        found = checked(envelope, payload_type(event.kind), self.roster)
        if isinstance(found, Reason):
            return found
        try:
            said = decode(EventStatement, parse_canonical(found.payload))
        except (ValueError, RecursionError):
            return Reason.of("altered_record", "the signed statement is no statement of an event")
        expected = self._statement(event, said.edition, said.nonce)
        for name, code in (("site", "other_site"), ("ledger", "other_ledger")):
            if getattr(said, name) != getattr(expected, name):
                return Reason.of(code, f"the signature is one for another {name}")
        if found.owner != said.person:
            return Reason.of("key_of_another", f"it was signed with a key of {found.owner}")
        if said != expected or len(said.nonce) < 32:
            return Reason.of("altered_record", "the record differs from what was signed")
        late = None if lasting else revoked(found.key)
        return (
            rolled_back(said.edition, self.roster) or late or on_its_day(found, event.by, event.role, event.day, today)
        )

    def _statement(self, event: Event, edition: int, nonce: str) -> EventStatement:
        return EventStatement(
            kind=event.kind,
            site=self.site,
            ledger=self.ledger,
            event=recordable(event.body),
            person=event.by,
            role=event.role,
            at=event.at,
            edition=edition,
            nonce=nonce,
        )


def payload_type(kind: str) -> str:
    """What a person signs an event of a kind as."""
    return f"application/vnd.synthward.{kind}.v1+json"
