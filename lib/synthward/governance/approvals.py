"""Approvals: what people decided about a request, and whether their decisions cover a run.

A decision is bound to the digests of request, assessment and policy, so that any edit voids it. Everything here is
pure; the store keeps the decisions in an append-only, hash-chained table under the request's digest.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from synthward.config.canonical import canonical_json
from synthward.config.fields import key
from synthward.config.loader import restore
from synthward.config.text import LINE, PARAGRAPH, text_fault
from synthward.governance.assess import Assessment
from synthward.governance.dsse import Envelope, NotAnEnvelope
from synthward.governance.identity import name_fault
from synthward.governance.reasons import Reason
from synthward.spec.request import NOT_BLANK, Requester

_SHA256 = r"[0-9a-f]{64}"
_INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|\+00:00)"


@dataclass(frozen=True)
class Digests:
    """What decisions are compared with: today's request with its domain, assessment and policy."""

    request: str
    assessment: str
    policy: str


@dataclass(frozen=True)
class Approval:
    """One person's decision in one role."""

    by: str = key(pattern=NOT_BLANK, doc="Account name of the person.")
    role: str = key(pattern=NOT_BLANK, doc="The role in which the person decides.")
    decision: Literal["approve", "reject", "revoke"] = key(
        doc="reject stands against the request until the same person, in the same role, approves or revokes."
    )
    request_digest: str = key(pattern=_SHA256, doc="Digest of the request with its domain.")
    assessment_digest: str = key(pattern=_SHA256, doc="Digest of the assessment.")
    policy_digest: str = key(pattern=_SHA256, doc="Digest of the policy.")
    runs: int = key(1, minimum=1, doc="How many runs the approval covers.")
    at: str = key(pattern=_INSTANT, doc="When it was decided: UTC, ISO 8601.")
    expires: dt.date | None = key(None, doc="Last day on which the approval counts; none: the request's own.")
    note: str = key("", doc="The person's remark.")
    scope: str = key("", doc="Scope of the request; with `output` it finds approvals of earlier versions.")
    output: str = key("", doc="Name of the request's output.")
    envelope: str = key("", doc="The person's signature, a DSSE envelope; empty where none was given.", later=True)

    @property
    def key_id(self) -> str | None:
        """Short name of the key that is said to have signed; None without a signature."""
        try:
            return Envelope.parse(self.envelope).key if self.envelope else None
        except NotAnEnvelope:
            return None

    @property
    def day(self) -> dt.date:
        """The day on which it was decided, UTC."""
        return dt.date.fromisoformat(self.at[:10])

    def last_day(self, limits: Limits) -> dt.date | None:
        """Last day on which the approval counts; None where neither it nor policy sets one."""
        days = [] if self.expires is None else [self.expires]
        if limits.max_days is not None:
            days.append(self.day + dt.timedelta(days=limits.max_days))
        return min(days, default=None)

    def body(self) -> str:
        """Canonical JSON for the store."""
        return canonical_json(self)

    @classmethod
    def from_body(cls, body: str) -> Approval:
        """The inverse of `body`.

        Raises:
            ConfigError: The text is no approval.
        """
        return restore(body, cls)


@dataclass(frozen=True)
class Limits:
    """What policy allows an approval.

    Attributes:
        max_days: Days for which it counts at most; None for as long as the request.
        max_runs: Runs that it covers at most; None for any number.
    """

    max_days: int | None = None
    max_runs: int | None = None


NO_LIMITS = Limits()


@dataclass(frozen=True)
class Verdict:
    """Whether approvals cover a run.

    Attributes:
        ok: They do.
        reasons: Why they do not, and which decisions did not count.
        missing_roles: Roles that still have to approve.
        counted: The approvals that count, one a role, in the order of the roles; each with its signature only where
            that was checked.
    """

    ok: bool
    reasons: tuple[str, ...]
    missing_roles: tuple[str, ...]
    counted: tuple[Approval, ...]


class Judge(Protocol):
    """Who people are, and which decisions may count: by what was entered, or by a roster and signatures."""

    def person(self, name: str) -> str | None:
        """The person behind an account; None for nobody."""

    def requester_faults(self) -> Iterable[Reason]:
        """Why the request's own author is not accepted."""

    def statement_of(self, approval: Approval) -> str | None:
        """The signed statement of a decision, None without one; the same one never counts twice."""

    def fault(self, approval: Approval, today: dt.date) -> Reason | None:
        """Why a decision never was one: it changes nothing then, neither for nor against the request."""

    def lapse(self, approval: Approval, today: dt.date) -> Reason | None:
        """Why a decision that was one does not count as an approval today."""


class AsEntered:
    """The judge of a site without a roster: a person is whoever is named, and signatures are not looked at."""

    def person(self, name: str) -> str | None:
        """See `Judge.person`."""
        return person(name)

    def requester_faults(self) -> Iterable[Reason]:
        """See `Judge.requester_faults`: nothing is known of people here."""
        return ()

    def statement_of(self, _: Approval) -> str | None:
        """See `Judge.statement_of`."""
        return None

    def fault(self, approval: Approval, _: dt.date) -> Reason | None:
        """See `Judge.fault`."""
        wrong = name_fault(approval.by)
        return None if wrong is None else Reason.of("lookalike_name", f"the name {wrong}")

    def lapse(self, _: Approval, __: dt.date) -> Reason | None:
        """See `Judge.lapse`: only the record's own terms end it."""
        return None


AS_ENTERED = AsEntered()


def unprintable(approval: Approval) -> list[str]:
    """Texts of a decision that nobody should have to read: too long, or with characters that hide or forge lines.

    A name that can look like another one is of this kind as well.

    It is asked when a decision is made, so that decisions recorded before still load.
    """
    texts = (("by", approval.by, LINE, False), ("role", approval.role, LINE, False))
    found = [
        f"{name}: the text {fault}"
        for name, text, limit, lines in (*texts, ("note", approval.note, PARAGRAPH, True))
        if (fault := text_fault(text, limit, lines=lines)) is not None
    ]
    wrong = name_fault(approval.by)
    return found if found or wrong is None else [Reason.of("lookalike_name", f"by: the name {wrong}")]


def person(name: str) -> str:
    """The form in which account names are compared: `Lee` and ` lee` are one person."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def objections(
    approval: Approval,
    *,
    requester: Requester,
    needed: Sequence[str],
    limits: Limits = NO_LIMITS,
    judge: Judge = AS_ENTERED,
) -> list[str]:
    """Why a decision can never count, whatever else is decided; for the moment at which it is made.

    Args:
        approval: The decision.
        requester: Who made the request, and in which role.
        needed: Roles that the assessment asks for.
        limits: What policy allows an approval.
        judge: Says who is who.
    """
    found = []
    if approval.decision == "approve" and _is_one(approval.by, requester.name, judge):
        found.append(f"{approval.by} made the request and cannot approve it; another person with the role can")
    if approval.decision == "approve" and approval.role == requester.role:
        found.append(
            f"{approval.by} decided as {approval.role}, the role in which the request was made; only another role can "
            f"approve it. Where {approval.role} has to approve, have somebody in another role make the request"
        )
    if approval.role not in needed:
        roles = f"the roles needed are {', '.join(needed)}" if needed else "no approval is needed"
        found.append(f"{approval.by} decided as {approval.role}, but {roles}")
    if approval.decision == "approve":
        found += _beyond(approval, limits)
    return found


def _beyond(approval: Approval, limits: Limits) -> list[str]:
    """Where an approval grants more than policy allows."""
    found = []
    if limits.max_runs is not None and approval.runs > limits.max_runs:
        found.append(f"--runs: found {approval.runs}, policy allows {limits.max_runs} or fewer; approve again later")
    if limits.max_days is not None and approval.expires is not None:
        last = approval.day + dt.timedelta(days=limits.max_days)
        if approval.expires > last:
            found.append(
                f"--expires: found {approval.expires}, policy allows {last} or earlier ({limits.max_days} days)"
            )
    return found


def covering(
    approvals: Iterable[Approval],
    *,
    requester: Requester,
    assessment: Assessment,
    digests: Digests,
    today: dt.date,
    limits: Limits = NO_LIMITS,
    judge: Judge = AS_ENTERED,
) -> Verdict:
    """Whether every role needed has approved, each by a person of its own, none of them the requester or in that role.

    The last decision of a person in a role replaces the earlier ones. A person who approved in two roles counts in
    neither. A standing rejection in a role that is needed stops the run, whoever else approves. A decision that its
    judge finds to be none changes nothing; nor does a statement that is shown twice, or an older one shown later.

    Args:
        approvals: All decisions recorded for the request and for its earlier versions, oldest first.
        requester: Who made the request, and in which role.
        assessment: The assessment of today's request under today's policy.
        digests: Digests of today's request, assessment and policy.
        today: The day of the run.
        limits: What policy allows an approval.
        judge: Says who is who, and which decisions may count.
    """
    needed = assessment.approvals_needed
    unwelcome = list(judge.requester_faults())
    reasons: list[str] = list(unwelcome)
    standing: dict[tuple[str, str], Approval] = {}
    shown: set[str] = set()
    void: set[str] = set()
    edited: dict[str, None] = {}
    for decision in approvals:
        if decision.request_digest != digests.request:
            if decision.decision == "approve":
                void.add(decision.role)
                edited[f"{_who(decision)}: not counted, the request or its domain was edited after approval"] = None
            continue
        place = (_person(decision.by, judge), decision.role)
        fault = judge.fault(decision, today) or _shown_again(decision, standing.get(place), shown, judge)
        if fault is None:
            standing[place] = decision
        else:
            reasons.append(fault.about(_who(decision)))
    reasons += edited
    rejected = [entry for entry in standing.values() if entry.decision == "reject" and entry.role in needed]
    reasons += [f"{_who(entry)}: rejected; only the same person can withdraw it" for entry in rejected]
    by_role: dict[str, Approval] = {}
    roles_of = _roles_of(standing.values(), judge)
    for entry in standing.values():
        why = _why_not(entry, requester, needed, digests, today, limits, roles_of[_person(entry.by, judge)], judge)
        if why is None:
            checked = entry if judge.statement_of(entry) is not None else dataclasses.replace(entry, envelope="")
            by_role.setdefault(entry.role, checked)
        elif why:
            reasons.append(f"{_who(entry)}: not counted, {why}")
            if entry.decision == "approve" and not objections(
                entry, requester=requester, needed=needed, limits=limits, judge=judge
            ):
                void.add(entry.role)
    missing = tuple(role for role in needed if role not in by_role)
    again = [role for role in missing if role in void]
    if again:
        reasons.append(f"approval was given, and does not count any more, from: {', '.join(again)}; approve again")
    never = [role for role in missing if role not in void]
    if never:
        reasons.append(f"approval is missing from: {', '.join(never)}")
    counted = tuple(by_role[role] for role in needed if role in by_role)
    return Verdict(not missing and not rejected and not unwelcome, tuple(reasons), missing, counted)


def _who(approval: Approval) -> str:
    return f"{approval.by} ({approval.role})"


def _person(name: str, judge: Judge) -> str:
    """The person behind a name; a name of nobody stands for itself."""
    return judge.person(name) or person(name)


def _is_one(name: str, other: str, judge: Judge) -> bool:
    """Whether two names are one person, by the judge or by their letters."""
    return _person(name, judge) == _person(other, judge) or person(name) == person(other)


def _shown_again(decision: Approval, before: Approval | None, shown: set[str], judge: Judge) -> Reason | None:
    """Why a decision is no new one: its statement was shown before, or is older than what it would replace.

    Args:
        decision: The decision.
        before: What the person decided before in the role.
        shown: Statements seen so far; this one is added.
        judge: Knows the statements.
    """
    statement = judge.statement_of(decision)
    if statement is None:
        if before is None or judge.statement_of(before) is None:
            return None
        return Reason.of("unsigned", "it is not signed, and cannot replace a signed decision of the same person")
    if statement in shown:
        return Reason.of("replayed", "the same signed statement is on record already; sign a new one")
    shown.add(statement)
    if before is not None and judge.statement_of(before) is not None and decision.at < before.at:
        return Reason.of("replayed", f"it was signed at {decision.at}, before a later decision of the same person")
    return None


def _roles_of(decisions: Iterable[Approval], judge: Judge) -> dict[str, list[str]]:
    """The roles in which each person's approval stands."""
    roles: dict[str, list[str]] = {}
    for decision in decisions:
        held = roles.setdefault(_person(decision.by, judge), [])
        if decision.decision == "approve":
            held.append(decision.role)
    return roles


def _why_not(
    entry: Approval,
    requester: Requester,
    needed: Sequence[str],
    digests: Digests,
    today: dt.date,
    limits: Limits,
    roles: Sequence[str],
    judge: Judge,
) -> str | None:
    """Why a standing decision does not count: None when it does, an empty text when that is told elsewhere."""
    if entry.decision != "approve":
        return "it was revoked" if entry.decision == "revoke" else ""
    objection = objections(entry, requester=requester, needed=needed, limits=limits, judge=judge)
    if objection:
        return objection[0]
    lapsed = judge.lapse(entry, today)
    if lapsed is not None:
        return lapsed
    if len(roles) > 1:
        return f"one person holds one role, found {' and '.join(sorted(roles))}; revoke all but one"
    if entry.policy_digest != digests.policy:
        return "the policy was edited after approval"
    if entry.assessment_digest != digests.assessment:
        return "the assessment changed after approval"
    last_day = entry.last_day(limits)
    if last_day is not None and last_day < today:
        return f"the approval expired on {last_day}"
    return None
