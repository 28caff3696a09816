"""Decisions of people about requests: recorded in the protected zone, and asked whether they cover a run.

Each request has a chain of its own, under its digest. A person is whoever is named: decisions are not signed.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace

from synthward.config.instants import utc_text
from synthward.errors import PolicyRefused, UsageError
from synthward.governance.approvals import Approval, Digests, Limits, Verdict, covering, objections, person, unprintable
from synthward.governance.assess import Assessment
from synthward.governance.policy import Policy
from synthward.records.codec import encode
from synthward.run.plan import Plan
from synthward.spec.repair import Repair
from synthward.spec.request_file import RequestFile
from synthward.store.chain import Chain
from synthward.store.links import Link


class Decisions:
    """The recorded decisions of a site, under its policy."""

    def __init__(self, chain: Chain, policy: Policy, clock: Callable[[], dt.datetime]) -> None:
        """Reads nothing yet.

        Args:
            chain: Where decisions are kept.
            policy: The policy in force.
            clock: Time, with a zone.
        """
        self._chain = chain
        self._policy = policy
        self._clock = clock

    def record(
        self,
        plan: Plan,
        *,
        by: str,
        role: str,
        runs: int = 1,
        expires: dt.date | None = None,
        decision: str = "approve",
        note: str = "",
    ) -> Approval:
        """Records a decision; see `synthward.api.Ward.approve`.

        Repeating one's last decision adds nothing while it counts. The time of the first one stands.

        Raises:
            PolicyRefused: The request is refused by policy anyway, or the person cannot decide so in this role.
            UsageError: The decision is not one of approve, reject, revoke, or a text of it is too long or not
                printable.
        """
        request = plan.file.request
        made = self._made(plan, plan.file.digest, by=by, role=role, expires=expires, decision=decision, note=note)
        approval = replace(made, runs=runs, scope=request.population.scope, output=request.output.name)
        return self._recorded(plan, approval, plan.assessment.approvals_needed)

    def record_repair(
        self,
        plan: Plan,
        repair: Repair,
        *,
        by: str,
        role: str,
        expires: dt.date | None = None,
        decision: str = "approve",
        note: str = "",
    ) -> Approval:
        """Records a decision on another output section for a sealed run; see `synthward.api.Ward.approve_repair`.

        It does not name scope and output, so that it never counts as a decision on the request itself.

        Raises:
            PolicyRefused: Policy allows no repair in the tier, or the person cannot decide so in this role.
            UsageError: As for `record`.
        """
        needed = self._repair_assessment(plan).approvals_needed
        made = self._made(plan, repair.digest, by=by, role=role, expires=expires, decision=decision, note=note)
        return self._recorded(plan, made, needed)

    def _made(
        self, plan: Plan, subject: str, *, by: str, role: str, expires: dt.date | None, decision: str, note: str
    ) -> Approval:
        """A decision on what has the digest `subject`, of this moment."""
        if decision not in ("approve", "reject", "revoke"):
            raise UsageError(f"decision '{decision}' is unknown; it is approve, reject or revoke")
        if decision == "approve":
            plan.require_policy()
        return Approval(
            by=by,
            role=role,
            decision=decision,  # type: ignore[arg-type]
            request_digest=subject,
            assessment_digest=plan.assessment.digest,
            policy_digest=self._policy.digest,
            at=utc_text(self._clock()),
            expires=expires,
            note=note,
        )

    def _recorded(self, plan: Plan, approval: Approval, needed: Sequence[str]) -> Approval:
        """Appends a decision to the chain of its subject, unless it repeats the person's last one."""
        unreadable = unprintable(approval)
        if unreadable:
            raise UsageError("\n".join(unreadable))
        wrong = objections(approval, requester=plan.file.request.requester, needed=needed, limits=self._limits)
        if approval.expires is not None and approval.expires < self._today():
            wrong.append(f"--expires: found {approval.expires}, allowed is today or later")
        if wrong:
            raise PolicyRefused(wrong)
        links = self._chain.read(approval.request_digest)
        last = next((link for link in reversed(links) if _is_of(link, approval)), None)
        if last is not None and _same(last, approval) and not self._is_over(last):
            return approval
        after = links[-1].seq if links else -1
        self._chain.get_or_append(
            approval.request_digest,
            "decision",
            lambda link: link.seq > after and _same(link, approval),
            lambda: (encode(approval), None),
        )
        return approval

    def of(self, request: RequestFile) -> tuple[Approval, ...]:
        """Every decision recorded for a request as it is now, oldest first."""
        return tuple(_decision(link) for link in self._chain.read(request.digest))

    def verdict(self, plan: Plan) -> Verdict:
        """Whether the recorded approvals cover the plan's run; approvals of earlier versions are named as void."""
        found = self._covering(plan, self.of(plan.file))
        # The whole table is read only where a person has to be told why a decision does not count.
        return self._covering(plan, self._of_all_versions(plan.file)) if found.missing_roles else found

    def repair_verdict(self, plan: Plan, repair: Repair) -> Verdict:
        """Whether the recorded decisions cover a repair of the plan's run.

        Raises:
            PolicyRefused: Policy allows no repair in the tier.
        """
        return covering(
            [_decision(link) for link in self._chain.read(repair.digest)],
            requester=plan.file.request.requester,
            assessment=self._repair_assessment(plan),
            digests=replace(self._digests(plan), request=repair.digest),
            today=self._today(),
            limits=self._limits,
        )

    def _repair_assessment(self, plan: Plan) -> Assessment:
        """The assessment with the roles that decide on repairs.

        Raises:
            PolicyRefused: There are none.
        """
        tier = plan.assessment.tier
        roles = self._policy.tiers[tier].repair
        if not roles:
            reason = f"policy names no roles that may approve another output section in tier {tier} (`repair`)"
            raise PolicyRefused([f"{reason}, so that a sealed run of it cannot be repaired"])
        return replace(plan.assessment, approvals_needed=roles)

    def _covering(self, plan: Plan, approvals: tuple[Approval, ...]) -> Verdict:
        return covering(
            approvals,
            requester=plan.file.request.requester,
            assessment=plan.assessment,
            digests=self._digests(plan),
            today=self._today(),
            limits=self._limits,
        )

    def _of_all_versions(self, request: RequestFile) -> tuple[Approval, ...]:
        """Decisions on this version of a request and on those before it: same scope, same output."""
        wanted = (request.request.population.scope, request.request.output.name)
        chains = self._chain.read_all(payloads=False)
        every = (_decision(link) for links in chains.values() for link in links)
        found = (one for one in every if one.request_digest == request.digest or (one.scope, one.output) == wanted)
        return tuple(sorted(found, key=lambda approval: approval.at))

    def _is_over(self, link: Link) -> bool:
        last_day = _decision(link).last_day(self._limits)
        return last_day is not None and last_day < self._today()

    def _digests(self, plan: Plan) -> Digests:
        return Digests(plan.file.digest, plan.assessment.digest, self._policy.digest)

    @property
    def _limits(self) -> Limits:
        return Limits(self._policy.max_approval_days, self._policy.max_runs)

    def _today(self) -> dt.date:
        return self._clock().astimezone(dt.UTC).date()


def _decision(link: Link) -> Approval:
    return Approval.from_body(link.text)


def _is_of(link: Link, approval: Approval) -> bool:
    """Whether a recorded decision is one of the same person in the same role."""
    found = _decision(link)
    return person(found.by) == person(approval.by) and found.role == approval.role


def _same(link: Link, approval: Approval) -> bool:
    """Whether a recorded decision says the same, its time aside."""
    return dataclasses.replace(_decision(link), at="") == dataclasses.replace(approval, at="")
