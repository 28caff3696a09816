"""Submitted requests of a site: written once, read by approvers and by runs, whatever the author's disk holds by then.

Each request has one chain, under the name of its output. Where the site has a roster, the requester signs submission
and withdrawal, and a version whose signature does not count is not loaded.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from synthward.config.instants import utc_text
from synthward.config.text import PARAGRAPH, text_fault
from synthward.errors import IntegrityError, PolicyRefused, UsageError
from synthward.governance.identity import name_fault
from synthward.governance.keys import Signer
from synthward.governance.reasons import Reason
from synthward.governance.roster import Roster, person_of
from synthward.governance.signed import Event, EventSignatures
from synthward.governance.submissions import IllegalMove, RequestHistory, history
from synthward.records.codec import RecordFault, decode, encode
from synthward.records.requests import SUBMITTED, WITHDRAWN, Submission, Withdrawal
from synthward.spec.bundle import Bundle
from synthward.spec.changes import changes, facts_of
from synthward.spec.request_file import RequestFile
from synthward.spec.site import Site
from synthward.store.chain import Chain
from synthward.store.links import Link

TABLE = "requests"
"""Table of the protected zone."""

_SIGNED_AS = {SUBMITTED: "submission", WITHDRAWN: "withdrawal"}


@dataclass(frozen=True)
class Author:
    """Who submits or withdraws.

    Attributes:
        by: Account name or roster id; it must be the requester's. None for the name that the request gives.
        note: The person's remark.
        signer: Holds the person's key.
    """

    by: str | None = None
    note: str = ""
    signer: Signer | None = None


class Submissions:
    """The submitted requests of a site."""

    def __init__(
        self,
        chain: Callable[[], Chain],
        clock: Callable[[], dt.datetime],
        *,
        site: Site,
        roster: Roster | None,
        ledger: Callable[[], str | None],
    ) -> None:
        """Read nothing yet.

        Args:
            chain: Opens the chains of requests.
            clock: Time, with a zone.
            site: The site; signatures name its digest.
            roster: The site's people and keys; None for none.
            ledger: Gives the hash of the ledger's genesis; None where it has none yet.
        """
        self._chain = chain
        self._clock = clock
        self._site = site
        self._roster = roster
        self._ledger = ledger

    def submit(self, bundle: Bundle, file: RequestFile, author: Author, *, source: str | None = None) -> Submission:
        """Record a version of a request. The newest version again changes nothing.

        Args:
            bundle: The request with its files.
            file: The request as read from the bundle.
            author: Who submits it: the requester.
            source: What replaces the location of the source.

        Raises:
            PolicyRefused: The person is not the requester, the signature does not count, or the id belongs to another
                scope.
            UsageError: A text is not printable.
        """
        request, identifier = file.request, file.request.output.name
        links = self._links(identifier)
        known = _history(identifier, links)
        made = Submission(
            id=identifier,
            version=len(known.versions) + 1,
            scope=request.population.scope,
            output=request.output.name,
            request=file.digest,
            bundle=bundle.digest,
            folder=file.path.parent.absolute().as_posix(),
            source=source,
            by=self._person(author.by or request.requester.name),
            role=request.requester.role,
            at=utc_text(self._clock()),
            note=author.note,
        )
        last = known.newest
        if known.is_open and last is not None and _said(last) == _said(made):
            return last
        if self._person(request.requester.name) != made.by:
            text = f"found {made.by}, the request names {request.requester.name}; its requester has to submit it"
            raise PolicyRefused([Reason.of("not_the_requester", text)])
        made = replace(made, envelope=self._envelope(made, author))
        self._append(known, links, made, bundle.payload)
        return made

    def withdraw(self, identifier: str, author: Author) -> Withdrawal:
        """End a request. No version of it runs until it is submitted again.

        Raises:
            UsageError: There is no such request, or a text is not printable.
            PolicyRefused: It is withdrawn already, the person is not the requester, or the signature does not count.
        """
        links = self._links(identifier)
        known = _history(identifier, links)
        last = self._newest(known)
        made = Withdrawal(
            id=identifier,
            version=last.version,
            scope=last.scope,
            by=self._person(author.by or last.by),
            role=last.role,
            at=utc_text(self._clock()),
            note=author.note,
        )
        if made.by != self._person(last.by):
            text = f"found {made.by}, version {last.version} is by {last.by}, who has to withdraw it"
            raise PolicyRefused([Reason.of("not_the_requester", text)])
        made = replace(made, envelope=self._envelope(made, author))
        self._append(known, links, made, None)
        return made

    def history(self, identifier: str) -> RequestHistory:
        """The versions of a request, and whether it was withdrawn.

        Raises:
            UsageError: There is no such request.
            IntegrityError: The records hold an illegal move.
        """
        known = _history(identifier, self._links(identifier, payloads=False))
        self._newest(known)
        return known

    def all(self) -> tuple[RequestHistory, ...]:
        """Every request, by id."""
        chains = self._chain().read_all(payloads=False)
        return tuple(_history(name, links) for name, links in sorted(chains.items()))

    def load(self, identifier: str, version: int | None = None, *, for_use: bool = True) -> tuple[RequestFile, Bundle]:
        """Read a version from the records. The author's disk is not touched.

        Args:
            identifier: The request.
            version: Its version; None for the newest one.
            for_use: True if the version is to be decided on or run. Then a withdrawn request is refused, and so is a
                signature that does not count. False to look at it.

        Raises:
            UsageError: There is no such request or version.
            PolicyRefused: It was withdrawn, or its signature does not count.
            IntegrityError: The records were changed.
        """
        links = self._links(identifier)
        known = _history(identifier, links)
        made = self._version(known, version)
        if for_use:
            reasons = [reason for reason in (withdrawal_reason(known), self.fault(made)) if reason is not None]
            if reasons:
                raise PolicyRefused(
                    [Reason.about(reason, f"request {identifier}@{made.version}") for reason in reasons]
                )
        [payload] = [link.payload for link in links if link.kind == SUBMITTED and _event(link) == made]
        bundle = Bundle.parse(payload or b"")
        file = replace(bundle.load(made.folder, source_override=made.source), submission=made)
        asked = file.request
        recorded = (made.bundle, made.request, made.scope, made.output, made.role, made.by)
        found = (bundle.digest, file.digest, asked.population.scope, asked.output.name, asked.requester.role)
        if recorded != (*found, self._person(asked.requester.name)):
            text = "its record does not fit its bundle; submit it again, and find out who writes to the protected zone"
            raise IntegrityError(f"request {identifier}@{made.version}: {text}")
        return file, bundle

    def changes(self, identifier: str, version: int | None = None, since: int | None = None) -> list[str] | None:
        """Lines about what a version changes.

        Args:
            identifier: The request.
            version: The version; None for the newest one.
            since: The version that it is compared with; None for the one before.

        Returns:
            The lines; None if there is no version before.

        Raises:
            UsageError: There is no such request or version.
            IntegrityError: The records were changed.
        """
        after, bundle = self.load(identifier, version, for_use=False)
        assert after.submission is not None
        first = after.submission.version - 1 if since is None else since
        if since is None and first == 0:
            return None
        before, old = self.load(identifier, first, for_use=False)
        return changes(facts_of(before, old), facts_of(after, bundle))

    def withdrawn(self, file: RequestFile) -> Reason | None:
        """Why a request may not run although it is read from a file: it was submitted and withdrawn. None if it may."""
        name = file.request.output.name
        known = _history(name, self._links(name, payloads=False))
        if all(one.request != file.digest for one in known.versions):
            return None
        return withdrawal_reason(known)

    def fault(self, event: Submission | Withdrawal) -> Reason | None:
        """Why the signature of an event does not count; None if it does, or if the site has no roster."""
        signatures = self._signatures()
        if signatures is None:
            return None
        return signatures.fault(_signable(event), event.envelope, self._clock().astimezone(dt.UTC).date())

    def _signatures(self) -> EventSignatures | None:
        if self._roster is None:
            return None
        return EventSignatures(self._roster, self._site.digest, self._ledger() or "")

    def _envelope(self, event: Submission | Withdrawal, author: Author) -> str:
        """The person's signature; empty where the site has no roster.

        Raises:
            PolicyRefused: The signature is missing, does not count, or cannot be checked.
            UsageError: Name or note are not printable.
        """
        fault = name_fault(event.by) or text_fault(event.note, PARAGRAPH, lines=True)
        if fault is not None:
            raise UsageError(f"name or note {fault}")
        signatures = self._signatures()
        if signatures is None:
            if author.signer is None:
                return ""
            text = "the site names no roster, so that nobody could check a signature; leave the key out"
            raise PolicyRefused([Reason.of("no_roster", text)])
        if not signatures.ledger:
            text = f"a signature names the site's ledger, and it has no records yet; open the budget of '{event.scope}'"
            raise PolicyRefused([Reason.of("no_ledger", f"{text} first")])
        signable = _signable(event)
        envelope = "" if author.signer is None else signatures.sign(signable, author.signer)
        reason = signatures.fault(signable, envelope, signable.day)
        if reason is not None:
            raise PolicyRefused([reason])
        return envelope

    def _append(
        self, known: RequestHistory, links: Sequence[Link], event: Submission | Withdrawal, payload: bytes | None
    ) -> None:
        try:
            known.after(event)
        except IllegalMove as move:
            raise PolicyRefused([move.reason]) from None
        kind = SUBMITTED if isinstance(event, Submission) else WITHDRAWN
        self._chain().append(known.id, kind, encode(event), payload, links[-1] if links else None)

    def _links(self, identifier: str, payloads: bool = True) -> tuple[Link, ...]:
        return self._chain().read(identifier, payloads=payloads)

    def _person(self, name: str) -> str:
        """The person behind an account; the name itself where no roster knows it."""
        return person_of(self._roster, name)

    def _newest(self, known: RequestHistory) -> Submission:
        if known.newest is None:
            text = f"no request '{known.id}' was submitted; `synthward request list` shows those that were"
            raise UsageError(text)
        return known.newest

    def _version(self, known: RequestHistory, version: int | None) -> Submission:
        newest = self._newest(known)
        if version is None:
            return newest
        if not 1 <= version <= newest.version:
            raise UsageError(f"request '{known.id}': found version {version}, allowed are 1 to {newest.version}")
        return known.versions[version - 1]


def withdrawal_reason(known: RequestHistory) -> Reason | None:
    """Why a request may not be used: it was withdrawn. None if it was not."""
    if known.withdrawn is None:
        return None
    text = f"the request '{known.id}' was withdrawn on {known.withdrawn.at[:10]} by {known.withdrawn.by}"
    return Reason.of("withdrawn", f"{text}; submit it again to use it")


def _history(identifier: str, links: Sequence[Link]) -> RequestHistory:
    try:
        return history(identifier, map(_event, links))
    except (IllegalMove, RecordFault) as wrong:
        text = "find out who writes to the protected zone"
        raise IntegrityError(f"the records of request '{identifier}' cannot be right: {wrong}; {text}") from None


def _event(link: Link) -> Submission | Withdrawal:
    if link.kind == SUBMITTED:
        return decode(Submission, link.facts)
    if link.kind == WITHDRAWN:
        return decode(Withdrawal, link.facts)
    raise RecordFault(f"a link of the kind '{link.kind}'")


def _signable(event: Submission | Withdrawal) -> Event:
    kind = SUBMITTED if isinstance(event, Submission) else WITHDRAWN
    return Event(_SIGNED_AS[kind], encode(replace(event, envelope="")), event.by, event.role, event.at)


def _said(one: Submission) -> Submission:
    """A version without what differs between two equal submissions."""
    return replace(one, version=0, at="", note="", envelope="")
