"""Approvals: what people decided about a request, and whether their decisions cover a run.

A decision is bound to the digests of request, assessment and policy, so that any edit voids it. Everything here is
pure; the store keeps the decisions in an append-only, hash-chained table under the request's digest.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from synthward.config.canonical import canonical_json
from synthward.config.fields import key
from synthward.config.loader import restore
from synthward.config.text import LINE, PARAGRAPH, text_fault
from synthward.governance.assess import Assessment
from synthward.spec.request import NOT_BLANK, Requester

_SHA256 = r"[0-9a-f]{64}"
_INSTANT = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|\+00:00)"

Verify = Callable[["Approval"], str | None]
"""Checks who is behind a decision; returns why it does not count, None when it does."""


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
class Verdict:
    """Whether approvals cover a run.

    Attributes:
        ok: They do.
        reasons: Why they do not, and which decisions did not count.
        missing_roles: Roles that still have to approve.
        counted: The approvals that count, one a role, in the order of the roles.
    """

    ok: bool
    reasons: tuple[str, ...]
    missing_roles: tuple[str, ...]
    counted: tuple[Approval, ...]


def recorded_only(approval: Approval) -> str | None:  # noqa: ARG001
    """The weakest `Verify`: takes the recorded name as it stands; the store's access control is the only proof."""
    return None


def unprintable(approval: Approval) -> list[str]:
    """Texts of a decision that nobody should have to read: too long, or with characters that hide or forge lines.

    It is asked when a decision is made, so that decisions recorded before still load.
    """
    texts = (("by", approval.by, LINE, False), ("role", approval.role, LINE, False))
    return [
        f"{name}: the text {fault}"
        for name, text, limit, lines in (*texts, ("note", approval.note, PARAGRAPH, True))
        if (fault := text_fault(text, limit, lines=lines)) is not None
    ]


def person(name: str) -> str:
    """The form in which account names are compared: `Lee` and ` lee` are one person."""
    return unicodedata.normalize("NFKC", name).strip().casefold()


def objections(approval: Approval, *, requester: Requester, needed: Sequence[str]) -> list[str]:
    """Why a decision can never count, whatever else is decided; for the moment at which it is made.

    Args:
        approval: The decision.
        requester: Who made the request, and in which role.
        needed: Roles that the assessment asks for.
    """
    found = []
    if approval.decision == "approve" and person(approval.by) == person(requester.name):
        found.append(f"{approval.by} made the request and cannot approve it; another person with the role can")
    if approval.decision == "approve" and approval.role == requester.role:
        found.append(
            f"{approval.by} decided as {approval.role}, the role in which the request was made; only another role can "
            f"approve it. Where {approval.role} has to approve, have somebody in another role make the request"
        )
    if approval.role not in needed:
        roles = f"the roles needed are {', '.join(needed)}" if needed else "no approval is needed"
        found.append(f"{approval.by} decided as {approval.role}, but {roles}")
    return found


def covering(
    approvals: Iterable[Approval],
    *,
    requester: Requester,
    assessment: Assessment,
    digests: Digests,
    today: dt.date,
    run_number: int = 1,
    verify: Verify = recorded_only,
) -> Verdict:
    """Whether every role needed has approved, each by a person of its own, none of them the requester or in that role.

    The last decision of a person in a role replaces the earlier ones. A person who approved in two roles counts in
    neither. A standing rejection in a role that is needed stops the run, whoever else approves.

    Args:
        approvals: All decisions recorded for the request, oldest first.
        requester: Who made the request, and in which role.
        assessment: The assessment of today's request under today's policy.
        digests: Digests of today's request, assessment and policy.
        today: The day of the run.
        run_number: Which run of the request this is, from 1.
        verify: Checks a decision's author.
    """
    needed = assessment.approvals_needed
    reasons: list[str] = []
    standing: dict[tuple[str, str], Approval] = {}
    for decision in approvals:
        doubt = verify(decision)
        if doubt is not None:
            reasons.append(f"{_who(decision)}: not counted, {doubt}")
        elif decision.request_digest != digests.request:
            reasons.append(f"{_who(decision)}: not counted, the request or its domain was edited after approval")
        else:
            standing[person(decision.by), decision.role] = decision
    rejected = [entry for entry in standing.values() if entry.decision == "reject" and entry.role in needed]
    reasons += [f"{_who(entry)}: rejected; only the same person can withdraw it" for entry in rejected]
    by_role: dict[str, Approval] = {}
    roles_of = _roles_of(standing.values())
    for entry in standing.values():
        why = _why_not(entry, requester, needed, digests, today, run_number, roles_of[person(entry.by)])
        if why is None:
            by_role.setdefault(entry.role, entry)
        elif why:
            reasons.append(f"{_who(entry)}: not counted, {why}")
    missing = tuple(role for role in needed if role not in by_role)
    if missing:
        reasons.append(f"approval is missing from: {', '.join(missing)}")
    counted = tuple(by_role[role] for role in needed if role in by_role)
    return Verdict(not missing and not rejected, tuple(reasons), missing, counted)


def _who(approval: Approval) -> str:
    return f"{approval.by} ({approval.role})"


def _roles_of(decisions: Iterable[Approval]) -> dict[str, list[str]]:
    """The roles in which each person's approval stands."""
    roles: dict[str, list[str]] = {}
    for decision in decisions:
        held = roles.setdefault(person(decision.by), [])
        if decision.decision == "approve":
            held.append(decision.role)
    return roles


def _why_not(
    entry: Approval,
    requester: Requester,
    needed: Sequence[str],
    digests: Digests,
    today: dt.date,
    run_number: int,
    roles: Sequence[str],
) -> str | None:
    """Why a standing decision does not count: None when it does, an empty text when that is told elsewhere."""
    if entry.decision != "approve":
        return "it was revoked" if entry.decision == "revoke" else ""
    objection = objections(entry, requester=requester, needed=needed)
    if objection:
        return objection[0]
    if len(roles) > 1:
        return f"one person holds one role, found {' and '.join(sorted(roles))}; revoke all but one"
    if entry.policy_digest != digests.policy:
        return "the policy was edited after approval"
    if entry.assessment_digest != digests.assessment:
        return "the assessment changed after approval"
    if entry.expires is not None and entry.expires < today:
        return f"the approval expired on {entry.expires}"
    if entry.runs < run_number:
        return f"it covers {entry.runs} run(s) and this is run {run_number}"
    return None
