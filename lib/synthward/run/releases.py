"""Published releases: who may read them, grants, expiry, incidents and recalls.

A release is looked up in the registry, and what happened to it since in its chain of events. Whoever gives out rows, a
model or a table asks `require_readable` first. An act is recorded before it is carried out: a recall stops every reader
at the moment its link is durable, whatever fails afterwards, and the same command finishes what is left.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from synthward.config.instants import utc_text
from synthward.config.text import LINE, text_fault
from synthward.errors import LedgerCorrupt, PolicyRefused, UsageError, Withdrawn
from synthward.governance.acts import Acts, Subject, key_id_of, recipient_fault
from synthward.governance.keys import Signer
from synthward.governance.reasons import Reason
from synthward.ledger.commitments import WITHDRAWN
from synthward.ledger.ledger import Ledger
from synthward.records.codec import encode
from synthward.records.releases import (
    EXPIRE,
    LOOSENING,
    Act,
    Applied,
    Cleared,
    Event,
    Expired,
    Granted,
    IncidentClosed,
    IncidentOpened,
    Judge,
    Recalled,
    ReleaseState,
    Revoked,
    fold,
    is_due,
    kind_of,
    objection,
)
from synthward.release.manifest import Manifest
from synthward.release.registry import Listed, Registry
from synthward.run.effects import Effects
from synthward.run.standing import Standing, broken, decoded, entries, entry_of, standing_of
from synthward.store.chain import Chain, HeadMoved
from synthward.store.links import Link, verify_times

EVENTS = "release_events"
"""The table of the release zone with the chains. Readers of the zone see what happened to a release."""

JOB = "synthward"
"""Name under which the job carries out an end that was decided before."""


@dataclass(frozen=True)
class Actor:
    """Who does something to a release.

    Attributes:
        by: Account name or roster id; without a signature as entered.
        role: Role in which the person acts.
        reason: Why; publishable.
        signer: Holds the person's key; None for no signature.
    """

    by: str
    role: str
    reason: str
    signer: Signer | None = None


@dataclass(frozen=True)
class Wish:
    """A grant that somebody wants to give.

    Attributes:
        recipient: Group, account or organisation, as the catalog names it.
        terms: Text of the terms that the recipient accepted.
        terms_name: Name of the file with the terms.
        accepted_by: Who accepted them for the recipient.
        accepted_on: When.
        until: Last day of the access; None for as long as the release may be read.
        hide_lineage: Whether the recipient gets a view without lineage columns, instead of the table.
    """

    recipient: str
    terms: bytes
    terms_name: str
    accepted_by: str
    accepted_on: dt.date
    until: dt.date | None = None
    hide_lineage: bool = False


@dataclass(frozen=True)
class Done:
    """What came of an act.

    Attributes:
        standing: The release afterwards.
        event: The event, as recorded.
        is_new: False if it was recorded before; only what was left of it was carried out then.
        applied: What was carried out; None for an act that changes nothing else.
    """

    standing: Standing
    event: Event
    is_new: bool
    applied: Applied | None

    @property
    def is_complete(self) -> bool:
        """Whether everything was carried out."""
        return self.applied is None or self.applied.is_complete

    @property
    def key_id(self) -> str | None:
        """Short name of the key that signed; None without a signature."""
        return key_id_of(self.event)


class Releases:
    """The published releases of a site, and what people may do to them."""

    def __init__(
        self,
        *,
        registry: Registry,
        chain: Callable[[], Chain],
        acts: Acts,
        site: str,
        ledger: Ledger,
        manifest: Callable[[str], Manifest],
        effects: Effects,
        clock: Callable[[], dt.datetime],
    ) -> None:
        """Reads nothing yet.

        Args:
            registry: The release zone's registry.
            chain: Makes the chain table of the events, when it is first needed.
            acts: Judges who may do what.
            site: Digest of the site file.
            ledger: The site's ledger.
            manifest: Reads the manifest of a release.
            effects: Carries acts out.
            clock: Time, with a zone.
        """
        self._registry = registry
        self._make_chain = chain
        self._made: Chain | None = None
        self._acts = acts
        self._site = site
        self._ledger = ledger
        self._manifest = manifest
        self._effects = effects
        self._clock = clock
        self._requesters: dict[str, str] = {}

    @property
    def _chain(self) -> Chain:
        if self._made is None:
            self._made = self._make_chain()
        return self._made

    def all(self, scope: str | None = None) -> tuple[Standing, ...]:
        """Every release, or those of a scope, in the order of scopes and charges."""
        listed = [one for one in self._registry.listed() if scope in (None, one.scope)]
        try:
            chains = self._chain.read_all(payloads=False)
        except LedgerCorrupt:
            return tuple(map(self._looked_up, listed))  # one broken chain does not hide all others
        return tuple(self._standing(one, chains.get(one.release_id, ())) for one in listed)

    def _looked_up(self, listed: Listed) -> Standing:
        try:
            return self._read(listed)
        except LedgerCorrupt as error:
            return broken(listed, str(error))

    def _read(self, listed: Listed) -> Standing:
        """A release of the registry, with its events."""
        return self._standing(listed, self._chain.read(listed.release_id, payloads=False))

    def _standing(self, listed: Listed, links: Sequence[Link]) -> Standing:
        """A release with the events that count: nobody can read because of an act that does not."""
        return standing_of(listed, links, self._judge(listed))

    def _judge(self, listed: Listed) -> Judge:
        def judge(state: ReleaseState, event: Event) -> str | None:
            due = is_due(state, event, listed.readable_until)
            fault = self._acts.fault(self._subject(listed), event, self._today(), due=due)
            return None if fault is None else str(fault)

        return judge

    def of(self, release_id: str) -> Standing:
        """One release.

        Raises:
            UsageError: There is no such release.
            LedgerCorrupt: Its chain of events is broken.
        """
        found = self._registry.listed(release_id)
        if not found:
            raise UsageError(f"release '{release_id}' is unknown; `synthward release list` shows all")
        return self._read(found[0])

    def require_readable(self, release_id: str) -> Standing:
        """The release, if its rows and its model may be given out.

        Raises:
            UsageError: There is no such release.
            Withdrawn: It is frozen, expired or recalled.
        """
        standing = self.of(release_id)
        refusal = standing.refusal(self._today())
        if refusal is not None:
            raise Withdrawn([refusal])
        return standing

    def require_standing(self, scope: str, run_id: str, release_id: str) -> None:
        """Refuse to publish, or to recognise as published, a release that was taken back.

        The ledger is asked as well: events that were cut back do not bring a release back.

        Raises:
            Withdrawn: It is frozen, expired or recalled.
        """
        again = "It is not published again under this run key; an edited request, or a new run key, is a new run"
        for listed in self._registry.listed(release_id):
            refusal = self._read(listed).refusal(self._today())
            if refusal is not None:
                raise Withdrawn([f"{refusal}. {again}"])
        steps = {record.commitment.step for record in self._ledger.commitments(scope, run_id)}
        if steps & {f"{word}{release_id}" for word in WITHDRAWN}:
            reason = (
                f"release '{release_id}' was taken back, as the ledger of scope '{scope}' says, and its events do not "
                f"say so; see `synthward budget verify {scope}`. {again}"
            )
            raise Withdrawn([reason])

    def require_approved(self, release_id: str, tier: str) -> None:
        """Refuse to publish a release whose publication has to be approved first.

        Args:
            release_id: The release; it is registered.
            tier: Its tier.

        Raises:
            UsageError: There is no such release.
            PolicyRefused: Approvals are missing.
        """
        if self._acts.release_approval(tier):
            self._require_approved(tier, self.of(release_id))

    def _require_approved(self, tier: str, standing: Standing) -> None:
        missing, release_id = self._acts.unapproved(tier, standing.state.cleared), standing.listed.release_id
        if missing:
            text = (
                f"release '{release_id}' passed its gates, and waits for approvals of its publication: "
                f"{', '.join(missing)}. Read its report (`synthward report {release_id}`), then `synthward release "
                f"approve {release_id}`, then `synthward publish`; nothing more is charged"
            )
            raise PolicyRefused([Reason.of("release_not_approved", text)])

    def events_of_runs(self, standings: Sequence[Standing]) -> dict[str, tuple[Link, ...]]:
        """The events of releases, by the run that made the release."""
        found: dict[str, tuple[Link, ...]] = {}
        for standing in standings:
            found[standing.listed.run_id] = (*found.get(standing.listed.run_id, ()), *standing.links)
        return found

    def verify(self, standing: Standing) -> list[str]:
        """Everything wrong with the events of a release: moves that are not allowed, acts that do not count, times."""
        if standing.broken is not None:
            return [standing.broken]
        problems = [*standing.state.faults, *verify_times(standing.links)]
        judge = self._judge(standing.listed)
        before = fold(())
        for place, entry in enumerate(entries(standing.links)):
            after = fold(entries(standing.links[: place + 1]), judge)
            event = decoded(entry)
            # What lets somebody read was judged by the fold.
            if event is not None and not isinstance(event, LOOSENING) and len(after.faults) == len(before.faults):
                fault = judge(before, event)
                problems += [] if fault is None else [f"link {entry.seq}: {entry.kind}: {fault}"]
            before = after
        return problems

    def approve(self, release_id: str, actor: Actor) -> Done:
        """Approve that a validated release is published, where its tier asks for that.

        Raises:
            UsageError: There is no such release.
            PolicyRefused: The tier asks for no approval by this role, or the person may not approve.
        """
        return self._done(self.of(release_id), Cleared(self._act(actor)), actor.signer)

    def grant(self, release_id: str, wish: Wish, actor: Actor) -> Done:
        """Give somebody access, under terms that were accepted. Granting the same again changes nothing.

        Raises:
            UsageError: There is no such release, or a text of the grant cannot be used.
            Withdrawn: The release may not be read.
            PolicyRefused: The person may not grant.
        """
        standing = self.require_readable(release_id)
        self._require_approved(standing.listed.tier, standing)
        _require_wish(wish, self._today())
        view = self._effects.reader_view(standing.listed) if wish.hide_lineage else None
        event = Granted(
            act=self._act(actor),
            recipient=wish.recipient,
            terms=hashlib.sha256(wish.terms).hexdigest(),
            terms_name=wish.terms_name,
            accepted_by=wish.accepted_by,
            accepted_on=wish.accepted_on.isoformat(),
            until=None if wish.until is None else wish.until.isoformat(),
            view=view,
        )
        before = standing.state.grants.get(wish.recipient)
        if before is not None and replace(before, act=event.act) == event:
            return self._finished(standing, before)
        return self._done(standing, event, actor.signer, wish.terms)

    def revoke(self, release_id: str, recipient: str, actor: Actor) -> Done:
        """Take somebody's access away.

        Raises:
            UsageError: There is no such release.
            PolicyRefused: The person may not do so, or the recipient has no grant.
        """
        return self._done(self.of(release_id), Revoked(self._act(actor), recipient), actor.signer)

    def expire(self, release_id: str, actor: Actor) -> Done:
        """End a release: its rows are removed, also from the protected zone.

        Raises:
            UsageError: There is no such release.
            PolicyRefused: The person may not do so, or the release was recalled.
        """
        standing = self.of(release_id)
        if standing.state.expired is not None and standing.state.recalled is None:
            return self._finished(standing, standing.state.expired)
        return self._done(standing, Expired(self._act(actor)), actor.signer)

    def expire_due(self) -> tuple[Done, ...]:
        """Carry out every end that requests and grants name, and what earlier acts have left undone."""
        today, done = self._today(), []
        for standing in self.all():
            current = standing
            for grant in current.state.lapsed(today):
                act = self._act(Actor(JOB, JOB, f"the grant ended on {grant.until}"))
                done.append(self._done(current, Revoked(act, grant.recipient), None))
                current = done[-1].standing
            if current.state.stage in ("published", "frozen") and current.stage_on(today) == "expired":
                act = self._act(Actor(JOB, JOB, f"it could be read until {current.listed.readable_until}"))
                done.append(self._done(current, Expired(act), None))
                current = done[-1].standing
            for digest, kind in current.state.pending.items():
                if kind == EXPIRE and not any(each.standing.listed == current.listed for each in done):
                    assert current.state.expired is not None, f"event {digest} ended the release"
                    done.append(self._finished(current, current.state.expired))
        return tuple(done)

    def recall(self, release_id: str, actor: Actor, *, incident: str | None = None) -> Done:
        """Take a release back: readers are refused at once, then access, views, rows and aliases are removed.

        A release that is recalled already stays so; what was left of its recall is carried out.

        Raises:
            UsageError: There is no such release.
            PolicyRefused: The person may not recall, or the incident was not opened for this release.
        """
        standing = self.of(release_id)
        if standing.state.recalled is not None:
            return self._finished(standing, standing.state.recalled)
        event = Recalled(self._act(actor), standing.state.recipients, incident)
        return self._done(standing, event, actor.signer)

    def open_incident(
        self, releases: Sequence[str], incident: str, severity: str, actor: Actor, *, freeze: bool = True
    ) -> tuple[Done, ...]:
        """Record that something went wrong with releases, and stop their readers until it is closed.

        Args:
            releases: The releases.
            incident: Id of the incident, for instance the ticket's.
            severity: One of the policy's words; it sets the clock.
            actor: Who opens it; the reason says what happened.
            freeze: Whether readers are stopped.

        Raises:
            UsageError: A release is unknown, or the severity is none of policy's.
            PolicyRefused: The person may not do so, or the incident was opened before.
        """
        severities = self._acts.policy.severities
        if severity not in severities:
            raise UsageError(f"--severity: found '{severity}', policy has {', '.join(severities)}")
        fault = text_fault(incident, LINE, lines=False) if incident.strip() else "is empty"
        if fault is not None:
            raise UsageError(f"--id: the incident's id {fault}")
        found = [self.of(release_id) for release_id in releases]
        act, hours = self._act(actor), severities[severity]
        due = None if hours is None else utc_text(dt.datetime.fromisoformat(act.at) + dt.timedelta(hours=hours))
        event = IncidentOpened(act, incident, severity, due, freeze)
        self._require_allowed([(standing, event) for standing in found], actor.signer)
        return tuple(self._done(standing, event, actor.signer) for standing in found)

    def close_incident(self, incident: str, actor: Actor) -> tuple[Done, ...]:
        """Close an incident in every release that it is open in.

        Raises:
            UsageError: It is open nowhere.
            PolicyRefused: The person may not do so.
        """
        found = [
            standing
            for standing in self.all()
            if (known := standing.state.incidents.get(incident)) is not None and known.is_open
        ]
        if not found:
            raise UsageError(f"incident '{incident}' is open for no release; see `synthward incident list`")
        event = IncidentClosed(self._act(actor), incident)
        return tuple(self._done(standing, event, actor.signer) for standing in found)

    def _done(self, standing: Standing, event: Event, signer: Signer | None, payload: bytes | None = None) -> Done:
        """Record an event, and carry it out."""
        for attempt in range(100):
            signed = self._signed(standing, event, signer)
            self._require_allowed([(standing, signed)], None)
            head = standing.links[-1] if standing.links else None
            try:
                link = self._chain.append(standing.listed.release_id, kind_of(signed), encode(signed), payload, head)
            except HeadMoved:
                self._chain.again(attempt)
                standing = self.of(standing.listed.release_id)
                continue
            return self._carried_out(self._with(standing, link), signed, link.hash, is_new=True)
        raise AssertionError("unreachable: `again` ends the loop")

    def _finished(self, standing: Standing, event: Event) -> Done:
        """An event that was recorded before, with what is left of it carried out now.

        The end of a release is carried out again whatever is left: a driver that published at the same moment may have
        brought the table back.
        """
        found = [link.hash for link in standing.links if decoded(entry_of(link)) == event]
        digest = found[-1]
        if digest not in standing.state.pending and not isinstance(event, Expired | Recalled):
            return Done(standing, event, False, standing.state.applied.get(digest))
        return self._carried_out(standing, event, digest, is_new=False)

    def _carried_out(self, standing: Standing, event: Event, digest: str, *, is_new: bool) -> Done:
        listed, state = standing.listed, standing.state
        if isinstance(event, Granted):
            steps = self._effects.granted(listed, event)
        elif isinstance(event, Revoked):
            steps = self._effects.revoked(listed, state.granted[event.recipient])
        elif isinstance(event, Expired | Recalled):
            status = "recalled" if isinstance(event, Recalled) else "expired"
            steps = self._effects.withdrawn(listed, tuple(state.granted.values()), status, digest)
        else:
            return Done(standing, event, is_new, None)
        applied = Applied(digest, self._now(), tuple(steps))
        return Done(self._noted(standing, applied), event, is_new, applied)

    def _noted(self, standing: Standing, applied: Applied) -> Standing:
        """The release with the record of what was carried out, at the head of its chain."""
        for attempt in range(100):
            if objection(standing.state, applied) is not None:
                return standing  # another driver has finished it meanwhile
            try:
                link = self._chain.append(
                    standing.listed.release_id, kind_of(applied), encode(applied), None, standing.links[-1]
                )
            except HeadMoved:
                self._chain.again(attempt)
                standing = self.of(standing.listed.release_id)
                continue
            return self._with(standing, link)
        raise AssertionError("unreachable: `again` ends the loop")

    def _with(self, standing: Standing, link: Link) -> Standing:
        return self._standing(standing.listed, (*standing.links, link))

    def _require_allowed(self, wanted: Sequence[tuple[Standing, Event]], signer: Signer | None) -> None:
        """Refuse acts with all reasons at once, before the first of them is recorded.

        Args:
            wanted: Releases and events.
            signer: Signs the events first, for a look ahead; None if they are as they will be recorded.
        """
        reasons: list[str] = []
        for standing, event in wanted:
            signed = self._signed(standing, event, signer)
            due = is_due(standing.state, signed, standing.listed.readable_until)
            found = self._acts.fault(self._subject(standing.listed), signed, self._today(), due=due)
            against = objection(standing.state, signed)
            where = f"release '{standing.listed.release_id}': "
            reasons += [where + str(reason) for reason in (found, against) if reason is not None]
        if reasons:
            raise PolicyRefused(reasons)

    def _signed(self, standing: Standing, event: Event, signer: Signer | None) -> Event:
        if signer is None:
            return event
        if self._acts.roster is None:
            text = "the site names no roster, so that nobody could check a signature; leave the key out"
            raise PolicyRefused([Reason.of("no_roster", text)])
        return self._acts.signed(self._subject(standing.listed), event, signer)

    def _subject(self, listed: Listed) -> Subject:
        name = listed.release_id
        if name not in self._requesters:
            self._requesters[name] = self._manifest(name).record.request.requester
        return Subject(
            self._site, listed.ledger_genesis, name, listed.manifest_digest, listed.tier, self._requesters[name]
        )

    def _act(self, actor: Actor) -> Act:
        return Act(actor.by, actor.role, self._now(), actor.reason)

    def _now(self) -> str:
        return utc_text(self._clock())

    def _today(self) -> dt.date:
        return self._clock().astimezone(dt.UTC).date()


def _require_wish(wish: Wish, today: dt.date) -> None:
    """Refuse a grant whose texts or days cannot be used.

    Raises:
        UsageError: With every reason.
    """
    faults = {
        "--to": recipient_fault(wish.recipient),
        "--terms": None if wish.terms.strip() else "the file is empty; name the terms that were accepted",
        "--accepted-by": text_fault(wish.accepted_by, LINE, lines=False) if wish.accepted_by.strip() else "is empty",
        "--accepted-on": None if wish.accepted_on <= today else f"found {wish.accepted_on}, which is after today",
        "--until": None if wish.until is None or wish.until >= today else f"found {wish.until}, which is over",
    }
    found = [f"{option}: {fault}" for option, fault in faults.items() if fault is not None]
    if found:
        raise UsageError("\n".join(found))
