"""What happens to a release after its publication: the bodies of its events as records, and its state as their fold.

Each release has a chain of events, under its release id. A release without events is published. An event is the act of
a person, and carries who acted, in which role, and why. `Applied` is written by the job: it says what was carried out.

The fold is pure and never fails. A move that is not allowed changes nothing and is listed as a fault. The same rules
refuse the move when it is made, and find it again in a chain that somebody has written into.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from synthward.records.codec import RecordFault, decode

GRANT, REVOKE, EXPIRE, RECALL = "grant", "revoke", "expire", "recall"
INCIDENT, CLOSE, APPLIED = "incident", "incident_closed", "applied"
CLEAR = "clear"

Stage = Literal["published", "frozen", "expired", "recalled"]
"""From the weakest to the strongest: a recalled release stays recalled, whatever else happens to it."""


@dataclass(frozen=True)
class Act:
    """Who did something to a release, and why.

    Attributes:
        by: Account name or roster id of the person.
        role: Role in which the person acted.
        at: When, UTC, ISO 8601.
        reason: Why, in the person's words. It is publishable: it never speaks of a patient.
        envelope: The person's signature, a DSSE envelope; empty where none was given.
    """

    by: str
    role: str
    at: str
    reason: str
    envelope: str = ""


@dataclass(frozen=True)
class Cleared:
    """Body of a `clear` link: one person approves that the validated release is published."""

    act: Act


@dataclass(frozen=True)
class Granted:
    """Body of a `grant` link; its payload is the text of the terms.

    Attributes:
        act: Who granted.
        recipient: Group, account or organisation, as the catalog names it.
        terms: SHA-256 of the terms that the recipient accepted, 64 hexadecimal digits.
        terms_name: Name of the file with the terms.
        accepted_by: Who accepted them for the recipient, as entered.
        accepted_on: When, ISO 8601 date.
        until: Last day of the access, ISO 8601; None for as long as the release may be read.
        view: Name of a view without lineage columns that was made for the recipient; None for the table itself.
    """

    act: Act
    recipient: str
    terms: str
    terms_name: str
    accepted_by: str
    accepted_on: str
    until: str | None = None
    view: str | None = None


@dataclass(frozen=True)
class Revoked:
    """Body of a `revoke` link: one recipient loses access."""

    act: Act
    recipient: str


@dataclass(frozen=True)
class Expired:
    """Body of an `expire` link: the release is not needed any more, or its retention is over."""

    act: Act


@dataclass(frozen=True)
class Recalled:
    """Body of a `recall` link: nobody may use the release any more.

    Attributes:
        act: Who recalled.
        recipients: Everybody who ever had a grant, and has to be told.
        incident: Id of the incident that is the cause; None for none.
    """

    act: Act
    recipients: tuple[str, ...]
    incident: str | None = None


@dataclass(frozen=True)
class IncidentOpened:
    """Body of an `incident` link.

    Attributes:
        act: Who opened it; the reason is what happened.
        incident: Its id. An incident of several releases has a link in the chain of each.
        severity: One of the policy's words.
        due: When it has to be closed by the clock that policy declares; None for no clock.
        freeze: Whether the release may not be read while the incident is open.
    """

    act: Act
    incident: str
    severity: str
    due: str | None
    freeze: bool


@dataclass(frozen=True)
class IncidentClosed:
    """Body of an `incident_closed` link; the reason of the act says what came out."""

    act: Act
    incident: str


@dataclass(frozen=True)
class Step:
    """One thing that was to be carried out.

    Attributes:
        name: What.
        done: Whether it succeeded.
        detail: What was done, or the kind of the failure.
        found: What was found and concerns somebody, for instance models that were trained on a recalled release.
    """

    name: str
    done: bool
    detail: str
    found: tuple[str, ...] = ()


@dataclass(frozen=True)
class Applied:
    """Body of an `applied` link: what the job did to carry an event out.

    Attributes:
        of: Hash of the event's link.
        at: When the last step ended, UTC, ISO 8601.
        steps: The steps in order.
    """

    of: str
    at: str
    steps: tuple[Step, ...]

    @property
    def is_complete(self) -> bool:
        """Whether every step succeeded."""
        return all(step.done for step in self.steps)


Event = Cleared | Granted | Revoked | Expired | Recalled | IncidentOpened | IncidentClosed | Applied

KINDS: dict[str, type[Event]] = {
    CLEAR: Cleared,
    GRANT: Granted,
    REVOKE: Revoked,
    EXPIRE: Expired,
    RECALL: Recalled,
    INCIDENT: IncidentOpened,
    CLOSE: IncidentClosed,
    APPLIED: Applied,
}
"""The record of each kind of link."""

CARRIED_OUT = (Granted, Revoked, Expired, Recalled)
"""Events that change something outside of the chain: tables, grants of a catalog, MLflow."""


def kind_of(event: Event) -> str:
    """The kind of the link that holds an event."""
    return next(kind for kind, cls in KINDS.items() if isinstance(event, cls))


def act_of(event: Event) -> Act | None:
    """Who did it; None for what the job wrote."""
    return None if isinstance(event, Applied) else event.act


@dataclass(frozen=True)
class Entry:
    """A link of a release's chain, as the fold needs it.

    Attributes:
        seq: Position.
        kind: Kind.
        hash: Hash of the link.
        facts: Body.
    """

    seq: int
    kind: str
    hash: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Incident:
    """An incident as it stands.

    Attributes:
        opened: How it was opened.
        closed: How it was closed; None while it is open.
    """

    opened: IncidentOpened
    closed: IncidentClosed | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
        return self.closed is None

    def is_late(self, now: str) -> bool:
        """Whether it is open after its time.

        Args:
            now: UTC, ISO 8601.
        """
        due = self.opened.due
        return self.is_open and due is not None and dt.datetime.fromisoformat(due) < dt.datetime.fromisoformat(now)


@dataclass(frozen=True)
class ReleaseState:
    """A release after all of its events.

    Attributes:
        grants: Standing grants by recipient, the newest of each.
        granted: The newest grant of everybody who ever had one, in order of the first.
        incidents: Every incident by id, in order.
        expired: How it expired; None if it did not.
        recalled: How it was recalled; None if it was not.
        pending: Hashes of events that are not carried out yet, in order, with their kinds.
        applied: The newest `applied` record of each event, by the hash of the event.
        faults: Links that were ignored, and why.
        cleared: Approvals of its publication, in order.
    """

    grants: Mapping[str, Granted]
    granted: Mapping[str, Granted]
    incidents: Mapping[str, Incident]
    expired: Expired | None
    recalled: Recalled | None
    pending: Mapping[str, str]
    applied: Mapping[str, Applied]
    faults: tuple[str, ...]
    cleared: tuple[Cleared, ...] = ()

    @property
    def recipients(self) -> tuple[str, ...]:
        """Everybody who ever had a grant."""
        return tuple(self.granted)

    @property
    def stage(self) -> Stage:
        """Where the release is."""
        if self.recalled is not None:
            return "recalled"
        if self.expired is not None:
            return "expired"
        return "frozen" if self.freezing else "published"

    @property
    def freezing(self) -> tuple[Incident, ...]:
        """Open incidents that stop every reader."""
        return tuple(each for each in self.open_incidents if each.opened.freeze)

    @property
    def open_incidents(self) -> tuple[Incident, ...]:
        """Incidents that nobody has closed."""
        return tuple(each for each in self.incidents.values() if each.is_open)

    def lapsed(self, today: dt.date) -> tuple[Granted, ...]:
        """Standing grants whose last day is over."""
        return tuple(
            grant
            for grant in self.grants.values()
            if grant.until is not None and dt.date.fromisoformat(grant.until) < today
        )


EMPTY = ReleaseState({}, {}, {}, None, None, {}, {}, ())
"""A release to which nothing has happened since its publication."""


LOOSENING = (Cleared, Granted, IncidentClosed)
"""Events that let somebody read. They count only if the act behind them does; all others stop readers at once."""

Judge = Callable[[ReleaseState, Event], str | None]
"""Why an act does not count, in the state before it; None if it does."""


def _all_count(_state: ReleaseState, _event: Event) -> str | None:
    return None


def fold(entries: Iterable[Entry], judge: Judge = _all_count) -> ReleaseState:
    """The state of a release from its links, in order.

    Args:
        entries: The links.
        judge: Asked about events that let somebody read. Without it every act counts.

    >>> fold([Entry(0, "revoke", "ab", {"act": {"by": "lee", "role": "r", "at": "", "reason": ""}, "recipient": "x"})])
    ... # doctest: +ELLIPSIS
    ReleaseState(..., faults=("link 0: revoke: 'x' has no grant",))
    """
    state, signatures = EMPTY, set[str]()
    for entry in entries:
        cls = KINDS.get(entry.kind)
        if cls is None:
            state = _with_fault(state, entry, "a later version may have written it")
            continue
        try:
            event = decode(cls, dict(entry.facts))
        except RecordFault as fault:
            state = _with_fault(state, entry, str(fault))
            continue
        act = act_of(event)
        if act is not None and act.envelope and act.envelope in signatures:
            state = _with_fault(state, entry, "its signature stands in an earlier link")
            continue
        against = objection(state, event)
        if against is None and isinstance(event, LOOSENING):
            against = judge(state, event)
        if against is not None:
            state = _with_fault(state, entry, against)
            continue
        if act is not None and act.envelope:
            signatures.add(act.envelope)
        state = _after(state, event, entry.hash)
    return state


def _with_fault(state: ReleaseState, entry: Entry, why: str) -> ReleaseState:
    return replace(state, faults=(*state.faults, f"link {entry.seq}: {entry.kind}: {why}"))


def objection(state: ReleaseState, event: Event) -> str | None:
    """Why an event may not happen to a release in this state; None if it may.

    Texts of events are quoted by their ids and names only.
    """
    if isinstance(event, Granted) and state.stage != "published":
        return f"the release is {state.stage}, and only a published one is granted"
    if isinstance(event, Revoked) and event.recipient not in state.grants:
        return f"'{event.recipient}' has no grant"
    if isinstance(event, Expired) and state.stage in ("expired", "recalled"):
        return f"the release is {state.stage} already"
    if isinstance(event, Cleared | Recalled):
        return _clear_objection(state, event) if isinstance(event, Cleared) else _recall_objection(state, event)
    if isinstance(event, IncidentOpened) and event.incident in state.incidents:
        return f"incident '{event.incident}' was opened before"
    if isinstance(event, IncidentClosed):
        known = state.incidents.get(event.incident)
        if known is None or not known.is_open:
            return f"incident '{event.incident}' is not open"
    if isinstance(event, Applied) and event.of not in state.pending:
        return "it carries out an event that is not waiting for it"
    return None


def _clear_objection(state: ReleaseState, event: Cleared) -> str | None:
    if state.stage in ("expired", "recalled"):
        return f"the release is {state.stage}"
    if any((one.act.by, one.act.role) == (event.act.by, event.act.role) for one in state.cleared):
        return f"{event.act.by} has approved its publication as {event.act.role} already"
    return None


def _recall_objection(state: ReleaseState, event: Recalled) -> str | None:
    if state.recalled is not None:
        return "the release is recalled already"
    if event.incident is not None and event.incident not in state.incidents:
        return f"incident '{event.incident}' was not opened for this release"
    if event.recipients != state.recipients:
        return "it does not list everybody who had a grant"
    return None


def _after(state: ReleaseState, event: Event, digest: str) -> ReleaseState:
    """The state after an event that is allowed."""
    if isinstance(event, CARRIED_OUT):
        state = replace(state, pending={**state.pending, digest: kind_of(event)})
    if isinstance(event, Cleared | Granted | Revoked):
        return _after_reading_act(state, event)
    if isinstance(event, Expired):
        return replace(state, expired=event, grants={})
    if isinstance(event, Recalled):
        return replace(state, recalled=event, grants={})
    if isinstance(event, IncidentOpened):
        return replace(state, incidents={**state.incidents, event.incident: Incident(event)})
    if isinstance(event, IncidentClosed):
        closed = replace(state.incidents[event.incident], closed=event)
        return replace(state, incidents={**state.incidents, event.incident: closed})
    applied = {**state.applied, event.of: event}
    if not event.is_complete:
        return replace(state, applied=applied)
    return replace(
        state, applied=applied, pending={one: kind for one, kind in state.pending.items() if one != event.of}
    )


def _after_reading_act(state: ReleaseState, event: Cleared | Granted | Revoked) -> ReleaseState:
    """The state after an act that says who may read."""
    if isinstance(event, Cleared):
        return replace(state, cleared=(*state.cleared, event))
    if isinstance(event, Granted):
        newest = {event.recipient: event}
        return replace(state, grants={**state.grants, **newest}, granted={**state.granted, **newest})
    return replace(state, grants={name: one for name, one in state.grants.items() if name != event.recipient})


def is_due(state: ReleaseState, event: Event, readable_until: str | None) -> bool:
    """Whether an event only carries out what was decided before: an end that the request or the grant names.

    Such an event needs no person of its own: the approved request, or the grant, is the decision.

    Args:
        state: The release before the event.
        event: The event.
        readable_until: Last day on which the release may be read, ISO 8601; None for no end.
    """
    act = act_of(event)
    if act is None:
        return False
    day = act.at[:10]
    if isinstance(event, Expired):
        return readable_until is not None and readable_until < day
    if isinstance(event, Revoked):
        grant = state.grants.get(event.recipient)
        return grant is not None and grant.until is not None and grant.until < day
    return False


@dataclass(frozen=True)
class ActStatement:
    """What a person signs when doing something to a release.

    Attributes:
        site: Digest of the site file.
        ledger: Hash of the ledger's genesis.
        release: The release.
        manifest: Digest of its manifest.
        kind: Kind of the event.
        event: SHA-256 of the event's canonical bytes without its signature.
        person: Id of the person in the roster.
        role: Role in which the person acts.
        at: When, as in the act.
        edition: Edition of the roster that the person signed under.
        nonce: Random, 128 bits in hexadecimal digits.
    """

    site: str
    ledger: str
    release: str
    manifest: str
    kind: str
    event: str
    person: str
    role: str
    at: str
    edition: int
    nonce: str
