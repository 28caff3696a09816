"""A plan in words: what a run would do, cost and promise, for people who decide about it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from synthward.fit.base import whole_budget
from synthward.governance.approvals import Approval, Verdict
from synthward.ledger.scopes import MANY_RUNS, ScopeState, runs_left
from synthward.privacy.accounting import epsilon_of
from synthward.run.cost import Cost
from synthward.run.plan import Plan
from synthward.run.stated import risk_words
from synthward.spec.unit_words import EXCLUDED, id_words, unit_words

WORST = 5
"""Columns whose expected noise is named."""

MOST = 100
"""Further runs that are counted; more is no news."""


def describe_plan(plan: Plan, verdict: Verdict | None = None, account: ScopeState | str | None = None) -> list[str]:
    """Lines about a plan; no data are read for them.

    Args:
        plan: The plan.
        verdict: Whether the recorded approvals cover it; None where nobody has looked.
        account: The scope's account, or why there is none; None where nobody has looked.
    """
    request, assessment = plan.file.request, plan.assessment
    worst = sorted(plan.forecast.items(), key=lambda item: -item[1])[:WORST]
    noise = ", ".join(f"{name} {value:.4f}" for name, value in worst)
    return [
        f"request    {request.title} ({plan.file.digest[:12]})",
        f"tier       {assessment.tier} {assessment.title}; approvals: {', '.join(assessment.approvals_needed)}",
        *(f"control    {name}: will be shown by the gates {', '.join(gates)}" for name, gates in plan.evidence.items()),
        *([] if verdict is None else [f"approved   {_approved(verdict)}"]),
        *(f"REFUSED    {reason}" for reason in (*assessment.refusals, *_other_people(plan, account))),
        *([f"ids        {id_words(request)}"] if id_words(request) else []),
        *([f"opt-outs   {EXCLUDED}"] if request.population.excluded is not None else []),
        (
            f"guarantee  unit: {unit_words(request)}, epsilon {plan.epsilon} ({plan.accounting}), delta {plan.delta}, "
            f"K {plan.task.unit.max_rows}"
        ),
        f"risk       {risk_words(plan.membership, plan.task.unit.name)}",
        *(f"promise    {promise}" for promise in request.promises),
        *([] if request.retention_days is None else [f"retention  may be read for {request.retention_days} days"]),
        *([f"where      {_wanted(request.output.where)}"] if request.output.where else []),
        *([] if account is None else [f"budget     scope {request.population.scope}: {_account(plan, account)}"]),
        *([] if plan.learning is None else plan.learning.describe(whole_budget(plan.task))),
        *Cost.of(plan).describe(),
        f"noise      expected distance that noise alone causes, worst columns: {noise}",
        *([] if plan.joint_forecast is None else [f"tables     expected distance, mean: {plan.joint_forecast:.4f}"]),
        *(f"WARNING    {warning}" for warning in plan.warnings),
    ]


def describe_assessment(plan: Plan) -> list[str]:
    """Lines about what policy makes of a request, and why."""
    found = plan.assessment
    controls = [f"{name} (by {', '.join(plan.evidence.get(name, ())) or 'nothing'})" for name in found.controls]
    return [
        f"tier {found.tier} {found.title}",
        *(f"  because {reason}" for reason in found.reasons),
        f"approvals: {', '.join(found.approvals_needed) or 'none'}",
        f"controls: {', '.join(controls) or 'none'}",
        f"allowed: epsilon {found.max_epsilon}, delta {found.max_delta}, {found.min_declared_patients} patients",
    ]


def describe_exhaustion(plan: Plan, account: ScopeState | str) -> list[str]:
    """How many runs like this one a scope could still pay for, within its own cap and the tier's."""
    if isinstance(account, str):
        return [f"runs left: unknown, {account}"]
    left = runs_left(account, plan.charge, plan.tier_cap)
    more = " or more" if left == MANY_RUNS else ""
    return [f"runs left: {left}{more}, if nothing else is charged to scope {account.scope}"]


def _approved(verdict: Verdict) -> str:
    if not verdict.ok:
        return "no: " + "; ".join(verdict.reasons)
    people = ", ".join(f"{entry.by} as {entry.role} ({_signed(entry)})" for entry in verdict.counted)
    return f"yes: {people}" if people else "yes: no approval is needed"


def _signed(entry: Approval) -> str:
    return "as entered, not signed" if entry.key_id is None else f"signed with key {entry.key_id}"


def _account(plan: Plan, account: ScopeState | str) -> str:
    if isinstance(account, str):
        return account
    alone = epsilon_of(plan.charge, account.terms.max_delta)
    bound = "" if account.people is not None else "; bound to no source"
    more = account.more_like(plan.charge, MOST)
    number = f"{MOST} or more" if more == MOST else str(more or "no")
    room = f"room for {number} run{'' if more == 1 else 's'} like this one"
    return f"{account.remaining} of epsilon left; this run alone counts as {alone}; {room}{bound}"


def _other_people(plan: Plan, account: ScopeState | str | None) -> list[str]:
    return plan.other_people(account) if isinstance(account, ScopeState) else []


def _wanted(where: Mapping[str, Mapping[str, Decimal]]) -> str:
    """Wanted shares in one line."""
    texts = {name: ", ".join(f"{value} {share}" for value, share in shares.items()) for name, shares in where.items()}
    return "; ".join(f"{name}: {text}" for name, text in texts.items())
