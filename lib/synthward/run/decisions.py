"""Decisions of people about requests: recorded in the protected zone, and asked whether they cover a run.

Each request has a chain of its own, under its digest. Where the site has a roster, people sign their decisions, and in
tiers where policy asks for it only signed ones count. Without a roster a person is whoever is named.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from synthward.config.instants import utc_text
from synthward.errors import PolicyRefused, UsageError
from synthward.governance.approvals import (
    AS_ENTERED,
    Approval,
    Digests,
    Judge,
    Limits,
    Verdict,
    covering,
    objections,
    unprintable,
)
from synthward.governance.assess import Assessment
from synthward.governance.keys import Signer
from synthward.governance.policy import Policy
from synthward.governance.reasons import Reason
from synthward.governance.roster import Roster
from synthward.governance.signatures import Signatures
from synthward.records.codec import encode
from synthward.run.plan import Plan
from synthward.spec.repair import Repair
from synthward.spec.request_file import RequestFile
from synthward.spec.site import Site
from synthward.store.chain import Chain
from synthward.store.links import Link


@dataclass(frozen=True)
class Given:
    """What a person says when deciding; see `synthward.api.Ward.approve`."""

    by: str
    role: str
    expires: dt.date | None = None
    decision: str = "approve"
    note: str = ""
    signer: Signer | None = None


class Decisions:
    """The recorded decisions of a site, under its policy."""

    def __init__(
        self,
        chain: Chain,
        policy: Policy,
        clock: Callable[[], dt.datetime],
        *,
        site: Site,
        roster: Roster | None,
        ledger: Callable[[], str | None],
    ) -> None:
        """Reads nothing yet.

        Args:
            chain: Where decisions are kept.
            policy: The policy in force.
            clock: Time, with a zone.
            site: The site; signatures name its digest.
            roster: The site's people and keys, None for none.
            ledger: Tells the hash of the ledger's genesis, None where it has none yet.
        """
        self._chain = chain
        self._policy = policy
        self._clock = clock
        self._site = site
        self._roster = roster
        self._ledger = ledger

    def record(self, plan: Plan, given: Given, *, runs: int = 1) -> Approval:
        """Records a decision; see `synthward.api.Ward.approve`.

        Repeating one's last decision adds nothing while it counts. The time of the first one stands.

        Raises:
            PolicyRefused: The request is refused by policy anyway, or the person cannot decide so in this role or with
                this key.
            UsageError: The decision is not one of approve, reject, revoke, or a text of it is too long or not
                printable.
        """
        request = plan.file.request
        made = self._made(plan, plan.file.digest, given)
        approval = replace(made, runs=runs, scope=request.population.scope, output=request.output.name)
        return self._recorded(plan, approval, plan.assessment.approvals_needed, given.signer)

    def record_repair(self, plan: Plan, repair: Repair, given: Given) -> Approval:
        """Records a decision on another output section for a sealed run; see `synthward.api.Ward.approve_repair`.

        It does not name scope and output, so that it never counts as a decision on the request itself.

        Raises:
            PolicyRefused: Policy allows no repair in the tier, or the person cannot decide so in this role.
            UsageError: As for `record`.
        """
        needed = self._repair_assessment(plan).approvals_needed
        made = self._made(plan, repair.digest, given)
        return self._recorded(plan, made, needed, given.signer)

    def _made(self, plan: Plan, subject: str, given: Given) -> Approval:
        """A decision on what has the digest `subject`, of this moment."""
        if given.decision not in ("approve", "reject", "revoke"):
            raise UsageError(f"decision '{given.decision}' is unknown; it is approve, reject or revoke")
        if given.decision == "approve":
            plan.require_policy()
        return Approval(
            by=given.by,
            role=given.role,
            decision=given.decision,  # type: ignore[arg-type]
            request_digest=subject,
            assessment_digest=plan.assessment.digest,
            policy_digest=self._policy.digest,
            at=utc_text(self._clock()),
            expires=given.expires,
            note=given.note,
        )

    def _recorded(self, plan: Plan, approval: Approval, needed: Sequence[str], signer: Signer | None) -> Approval:
        """Appends a decision, signed if there is a signer, to its subject's chain, unless it repeats the last one."""
        unreadable = unprintable(approval)
        if unreadable:
            raise UsageError("\n".join(unreadable))
        judge = self._judge(plan)
        if signer is not None:
            approval = self._signed(plan, judge, approval, signer)
        wrong: list[str] = objections(
            approval, requester=plan.file.request.requester, needed=needed, limits=self._limits, judge=judge
        )
        wrong += [*judge.requester_faults(), *filter(None, [self._fault(judge, approval)])]
        if approval.expires is not None and approval.expires < self._today():
            wrong.append(f"--expires: found {approval.expires}, allowed is today or later")
        if wrong:
            raise PolicyRefused(wrong)
        links = self._chain.read(approval.request_digest)
        last = next((link for link in reversed(links) if _is_of(link, approval, judge)), None)
        if last is not None and _same(last, approval) and not self._is_over(last, judge):
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
        found = self._covering(plan, self.of(plan.file), plan.assessment, plan.file.digest)
        if not found.missing_roles:
            return found
        # The whole table is read only where a person has to be told why a decision does not count.
        return self._covering(plan, self._of_all_versions(plan.file), plan.assessment, plan.file.digest)

    def repair_verdict(self, plan: Plan, repair: Repair) -> Verdict:
        """Whether the recorded decisions cover a repair of the plan's run.

        Raises:
            PolicyRefused: Policy allows no repair in the tier.
        """
        decisions = [_decision(link) for link in self._chain.read(repair.digest)]
        return self._covering(plan, decisions, self._repair_assessment(plan), repair.digest)

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

    def _covering(self, plan: Plan, decisions: Sequence[Approval], assessment: Assessment, subject: str) -> Verdict:
        """Whether decisions cover what has the digest `subject`: the plan's request, or a repair of its run."""
        return covering(
            decisions,
            judge=self._judge(plan),
            requester=plan.file.request.requester,
            assessment=assessment,
            digests=Digests(subject, plan.assessment.digest, self._policy.digest),
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

    def _is_over(self, link: Link, judge: Judge) -> bool:
        found = _decision(link)
        last_day = found.last_day(self._limits)
        return (last_day is not None and last_day < self._today()) or self._fault(judge, found) is not None

    def _fault(self, judge: Judge, approval: Approval) -> Reason | None:
        """Why a decision does not count by itself, whatever else is decided."""
        fault = judge.fault(approval, self._today())
        if fault is not None or approval.decision != "approve":
            return fault
        return judge.lapse(approval, self._today())

    def _judge(self, plan: Plan) -> Judge:
        """Who says which decisions on a plan's request, or on a repair of its run, count."""
        if self._roster is None:
            return AS_ENTERED
        return Signatures(
            roster=self._roster,
            site=self._site.digest,
            ledger=self._ledger() or "",
            requester=plan.file.request.requester,
            required=self._policy.tiers[plan.assessment.tier].signed,
        )

    def _signed(self, plan: Plan, judge: Judge, approval: Approval, signer: Signer) -> Approval:
        """A decision with a signature that can be checked."""
        if not isinstance(judge, Signatures):
            text = "the site names no roster, so that nobody could check a signature; leave the key out"
            raise PolicyRefused([Reason.of("no_roster", text)])
        if not judge.ledger:
            scope = plan.file.request.population.scope
            text = f"a signature names the site's ledger, and it has no records yet; open the budget of '{scope}' first"
            raise PolicyRefused([Reason.of("no_ledger", text)])
        return judge.signed(approval, signer)

    @property
    def _limits(self) -> Limits:
        return Limits(self._policy.max_approval_days, self._policy.max_runs)

    def _today(self) -> dt.date:
        return self._clock().astimezone(dt.UTC).date()


def _decision(link: Link) -> Approval:
    return Approval.from_body(link.text)


def _is_of(link: Link, approval: Approval, judge: Judge) -> bool:
    """Whether a recorded decision is one of the same person in the same role."""
    found = _decision(link)
    return judge.person(found.by) == judge.person(approval.by) and found.role == approval.role


def _same(link: Link, approval: Approval) -> bool:
    """Whether a recorded decision says the same, signed with the same key if with any, its time aside."""
    recorded = _decision(link)
    return _said(recorded) == _said(approval) and recorded.key_id == approval.key_id


def _said(approval: Approval) -> Approval:
    return replace(approval, at="", envelope="")
