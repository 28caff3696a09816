"""The facts of the officer's site, from records. No protected data are read, and no location of a source is shown."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import synthward
from synthward.config.instants import utc_text
from synthward.domain.spec import Attribute, Categorical, Date, Difference, Numeric
from synthward.governance.approvals import Approval, Verdict
from synthward.governance.assess import sensitive_columns
from synthward.governance.policy import Policy
from synthward.ledger.forecast import forecast
from synthward.ledger.scopes import ScopeState, history, runs_left
from synthward.privacy.accounting import epsilon_of
from synthward.records.findings import Drilled, Watched
from synthward.records.manifest import ReleaseRecord
from synthward.report.site_facts import (
    ChargeFact,
    ColumnFact,
    CostFact,
    DecisionFact,
    DrillFact,
    FindingFact,
    IncidentFact,
    ReaderFact,
    ReleaseFact,
    RequestFact,
    ScopeFact,
    SiteFacts,
)
from synthward.report.words import rounded_up
from synthward.run.monitoring import ahead_words
from synthward.run.plan import Plan
from synthward.run.standing import Standing, event_lines
from synthward.run.stated import risk_words
from synthward.spec.site import Site
from synthward.spec.unit_words import unit_words


@dataclass(frozen=True)
class Asked:
    """A request with what is on record about it.

    Attributes:
        plan: Its plan.
        verdict: Whether the recorded decisions cover it.
        decisions: The decisions.
        account: The scope's account, or why there is none.
        changes: What differs from the version before, of a submitted request; None if there is none.
    """

    plan: Plan
    verdict: Verdict
    decisions: Sequence[Approval]
    account: ScopeState | str
    changes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Published:
    """A release with what is on record about it.

    Attributes:
        standing: Row and events.
        record: Its manifest.
        report: Its report.
        faults: What is wrong with its events.
    """

    standing: Standing
    record: ReleaseRecord
    report: str
    faults: Sequence[str]


@dataclass(frozen=True)
class Records:
    """Everything that the site is made of.

    Attributes:
        site: The site.
        policy: The policy in force.
        asked: Requests that wait.
        scopes: All scopes.
        problems: What `verify_all` found, by scope.
        published: All releases.
        last: The last look and the last drill.
    """

    site: Site
    policy: Policy
    asked: Sequence[Asked]
    scopes: Sequence[ScopeState]
    problems: Mapping[str, Sequence[str]]
    published: Sequence[Published]
    last: tuple[Watched | None, Drilled | None]


def facts_of(records: Records, now: dt.datetime) -> SiteFacts:
    """The facts of the site at a moment; its pages name the day only."""
    today = now.astimezone(dt.UTC).date()
    names = {state.scope for state in records.scopes}
    watched, drilled = records.last
    shown = [] if watched is None else [one for one in watched.findings if one.kind != "schema"]
    return SiteFacts(
        name=records.site.name,
        policy=records.policy.name,
        policy_digest=records.policy.digest,
        as_of=today.isoformat(),
        version=synthward.__version__,
        signed=records.site.roster is not None,
        requests=tuple(request_fact(each, records.policy) for each in records.asked),
        scopes=tuple(scope_fact(state, records.problems.get(state.scope, ()), today) for state in records.scopes),
        releases=tuple(release_fact(each, now) for each in records.published),
        watched=None if watched is None else watched.at,
        findings=tuple(FindingFact(one.severity, one.kind, one.subject, one.message) for one in shown),
        findings_left_out=0 if watched is None else len(watched.findings) - len(shown),
        drill=None
        if drilled is None
        else DrillFact(drilled.at, drilled.release, drilled.seconds, drilled.hours, drilled.passed),
        problems=tuple(
            f"{name}: {problem}" for name, found in records.problems.items() if name not in names for problem in found
        ),
    )


def request_fact(asked: Asked, policy: Policy) -> RequestFact:
    """What an approver needs to know of a request."""
    plan, request, found = asked.plan, asked.plan.file.request, asked.plan.assessment
    sensitive = sensitive_columns(request, policy)
    people = plan.other_people(asked.account) if isinstance(asked.account, ScopeState) else []
    return RequestFact(
        digest=plan.file.digest,
        file=plan.file.path.name,
        title=request.title,
        requester=request.requester.name,
        requester_role=request.requester.role,
        purpose=request.purpose.code,
        purpose_text=request.purpose.text,
        ticket=request.purpose.ticket,
        audience=request.audience,
        expires=request.expires.isoformat(),
        retention_days=request.retention_days,
        tier=found.tier,
        tier_title=found.title,
        reasons=tuple(found.reasons),
        refusals=(*map(str, found.refusals), *people),
        controls=tuple((name, ", ".join(plan.evidence.get(name, ()))) for name in found.controls),
        needed=tuple(found.approvals_needed),
        missing=asked.verdict.missing_roles,
        decisions=tuple(
            DecisionFact(one.by, one.role, one.decision, one.at, one.key_id, one.note) for one in asked.decisions
        ),
        notes=() if asked.verdict.ok else tuple(map(str, asked.verdict.reasons)),
        scope=request.population.scope,
        guarantee=(
            f"ε = {rounded_up(plan.epsilon)} ({plan.accounting}), δ = {rounded_up(plan.delta)}; unit: "
            f"{unit_words(request)}; at most {plan.task.unit.max_rows} rows of each count"
        ),
        risk=risk_words(plan.membership, plan.task.unit.name),
        promises=request.promises,
        cost=_cost(plan, asked.account),
        no_account="" if isinstance(asked.account, ScopeState) else asked.account,
        columns=tuple(
            ColumnFact(name, attribute.TAG, allowed(attribute), plan.forecast.get(name), name in sensitive)
            for name, attribute in plan.domain.attributes.items()
        ),
        rows=request.output.rows,
        joint=plan.joint_forecast,
        warnings=tuple(plan.warnings),
        changes=asked.changes,
    )


def _cost(plan: Plan, account: ScopeState | str) -> CostFact | None:
    if isinstance(account, str):
        return None
    delta = account.terms.max_delta
    after = epsilon_of(account.spent + plan.charge, delta)
    left = runs_left(account, plan.charge, plan.tier_cap)
    return CostFact(
        cap=rounded_up(account.terms.max_epsilon),
        delta=rounded_up(delta),
        before=rounded_up(account.epsilon_spent),
        alone=rounded_up(epsilon_of(plan.charge, delta)),
        after=rounded_up(after),
        more_after=max(left - 1, 0),
        fits=left > 0,
    )


def allowed(attribute: Attribute) -> str:
    """The values that a release can have in a column, in words."""
    if isinstance(attribute, Difference):
        low, high = attribute.bounds
        return f"{low} to {high} days after {attribute.base}"
    if isinstance(attribute, Date):
        return f"{attribute.bounds[0]} to {attribute.bounds[1]}, by {attribute.granularity}"
    if isinstance(attribute, Numeric):
        step = "" if attribute.resolution is None else f" in steps of {attribute.resolution}"
        return f"{attribute.bounds[0]} to {attribute.bounds[1]}{step}{', whole numbers' if attribute.integer else ''}"
    if isinstance(attribute, Categorical):
        named = attribute.values if attribute.size <= NAMED else attribute.values[:NAMED]
        more = "" if attribute.size <= NAMED else f" and {attribute.size - NAMED} more"
        return f"{attribute.size} listed values: {', '.join(named)}{more}"
    return "true, false"


NAMED = 12
"""Values of a code book that are named."""


def _reason(standing: Standing, today: dt.date) -> str:
    """Why a release may not be read, in words that need no more context; empty if it may."""
    state, until = standing.state, standing.listed.readable_until
    ended = state.recalled or state.expired
    if ended is not None:
        word = "Recalled" if state.recalled is not None else "Expired"
        return f"{word} on {ended.act.at[:10]}: {ended.act.reason}."
    if standing.stage_on(today) == "expired":
        return f"It could be read until {until}, as its request says."
    if state.freezing:
        return f"An incident is open: {'; '.join(each.opened.incident for each in state.freezing)}."
    return ""


def scope_fact(state: ScopeState, problems: Iterable[str], today: dt.date) -> ScopeFact:
    """A budget with its charges."""
    cap, ahead = state.terms.max_epsilon, forecast(state, today)
    charges = []
    for line in history(state):
        part = float(1 - line.epsilon / cap) if cap and line.epsilon.is_finite() else 0.0
        charges.append(
            ChargeFact(
                at=line.charge.at,
                release_id=line.charge.release_id,
                epsilon=rounded_up(line.epsilon),
                left=rounded_up(line.remaining),
                part=min(max(part, 0.0), 1.0),
            )
        )
    first = state.charges[0].at if state.charges else today.isoformat()
    return ScopeFact(
        name=state.scope,
        unit=state.terms.unit,
        patients=state.terms.declared_patients,
        cap=rounded_up(cap),
        delta=rounded_up(state.terms.max_delta),
        spent=rounded_up(state.epsilon_spent),
        left=rounded_up(state.remaining),
        share=float(ahead.share),
        forecast=ahead_words(ahead),
        until=None if ahead.until is None else ahead.until.isoformat(),
        opened=first,
        bound=state.people is not None,
        charges=tuple(charges),
        problems=tuple(problems),
    )


def release_fact(published: Published, now: dt.datetime) -> ReleaseFact:
    """A release with everything that happened to it."""
    standing, record = published.standing, published.record
    row, state, today = standing.listed, standing.state, now.astimezone(dt.UTC).date()
    undone = [f"{kind} is not carried out completely; run the same command again" for kind in state.pending.values()]
    stage = standing.stage_on(today)
    if stage == "expired" and state.expired is None:
        undone.append("its time is over and its rows are still there; run `synthward release expire --due`")
    return ReleaseFact(
        id=row.release_id,
        title=row.title,
        purpose=row.purpose,
        purpose_text=record.request.purpose_text,
        audience=row.audience,
        tier=row.tier,
        scope=row.scope,
        claim=record.guarantee.claim,
        epsilon=row.epsilon,
        delta=row.delta,
        rows=row.rows,
        made=row.generated_at,
        until=row.readable_until,
        stage=stage,
        reason=_reason(standing, today),
        table=row.release_table,
        gates=(len(record.gates) - len(record.failed_gates), len(record.gates)),
        approvals=tuple(
            f"{one.by} as {one.role.replace('_', ' ')}, {'signed' if one.signed else 'as entered, not signed'}"
            for one in record.approvals
        ),
        readers=tuple(
            ReaderFact(
                recipient=one.recipient,
                terms=one.terms[:12],
                terms_name=one.terms_name,
                accepted_by=one.accepted_by,
                accepted_on=one.accepted_on,
                until=one.until,
                standing=one.recipient in state.grants,
            )
            for one in state.granted.values()
        ),
        incidents=tuple(
            IncidentFact(
                id=each.opened.incident,
                severity=each.opened.severity,
                text=each.opened.act.reason,
                opened=each.opened.act.at,
                due=each.opened.due,
                closed=None if each.closed is None else each.closed.act.at,
                outcome="" if each.closed is None else each.closed.act.reason,
                late=each.is_late(utc_text(now)),
            )
            for each in state.incidents.values()
        ),
        events=tuple(event_lines(standing)),
        problems=(*published.faults, *undone),
        report=published.report,
    )
