"""Risk assessment: a request and a policy give a tier, controls, caps and refusals. A pure function, reads no data.

It is monotone: a wider audience, one more sensitive column, a smaller declared population or another unit never lowers
the tier.
"""

from __future__ import annotations

import datetime as dt
import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from synthward.config.canonical import digest
from synthward.governance.identity import name_fault
from synthward.governance.policy import Policy, Tier
from synthward.governance.risk import RiskFinding, weigh
from synthward.spec.request import Request
from synthward.spec.risk import Risk


class Refusal(str):
    """Why policy refuses a request: found, allowed, fix. A text that also knows the key of the request it is about."""

    __slots__ = ("key",)

    key: str

    @classmethod
    def at(cls, key: str, message: str) -> Refusal:
        """A refusal whose text begins with its key.

        Args:
            key: Dotted key of the request, for instance `privacy.epsilon`.
            message: What was found, what is allowed, how to fix it.
        """
        made = cls(f"{key}: {message}")
        made.key = key
        return made

    @property
    def message(self) -> str:
        """The text without the key."""
        return self[len(self.key) + 2 :]


@dataclass(frozen=True)
class Assessment:
    """What policy says about a request.

    Attributes:
        tier: Name of the tier, for instance T2.
        title: The tier in words.
        raised_by: Which conditions raised it: sensitive_columns, declared_patients_below, unit_other.
        controls: Controls that apply.
        approvals_needed: Roles that must approve, each a different person.
        max_epsilon: Largest epsilon of the release.
        max_delta: Largest delta of the release.
        max_epsilon_per_scope: Largest epsilon of the scope after the charge.
        max_delta_per_scope: Delta at which the scope's epsilon is stated.
        min_declared_patients: Smallest declared population; the noisy count is tested against it later.
        reasons: Why it is this tier, in sentences.
        refusals: Every violation of the policy: found, allowed, fix. Empty when the request may go on to approval.
    """

    tier: str
    title: str
    raised_by: tuple[str, ...]
    controls: tuple[str, ...]
    approvals_needed: tuple[str, ...]
    max_epsilon: Decimal
    max_delta: Decimal
    max_epsilon_per_scope: Decimal
    max_delta_per_scope: Decimal
    min_declared_patients: int
    reasons: tuple[str, ...]
    refusals: tuple[Refusal, ...]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the decision; the sentences are left out, because refusals depend on the day."""
        return digest(
            {
                "tier": self.tier,
                "raised_by": self.raised_by,
                "controls": self.controls,
                "approvals_needed": self.approvals_needed,
                "max_epsilon": self.max_epsilon,
                "max_delta": self.max_delta,
                "max_epsilon_per_scope": self.max_epsilon_per_scope,
                "max_delta_per_scope": self.max_delta_per_scope,
                "min_declared_patients": self.min_declared_patients,
            }
        )


def assess(request: Request, policy: Policy, *, today: dt.date, risk: Risk | None = None) -> Assessment:
    """Assess a request.

    Args:
        request: The request.
        policy: The site's policy.
        today: The day on which the request is to run.
        risk: Its risk statement, None for none.
    """
    names = list(policy.tiers)
    base = policy.base_tier(request.audience)
    found = weigh(risk, policy.risk, request)
    raised = [*_raises(request, policy), *[("risk", sentence) for sentence in found.raises]]
    reached = min(names.index(base) + len(raised), len(names) - 1)
    lowered = _overridden(risk, policy, names.index(base), reached)
    reached = reached if lowered is None else lowered
    tier_name = names[reached]
    tier = policy.tiers[tier_name]
    judge = _override_role(risk, policy)
    more = () if judge is None or judge in tier.approvals else (judge,)
    reasons = [f"audience {request.audience} starts in {base}", *(reason for _, reason in raised)]
    if lowered is not None:
        reasons.append(f"lowered to {tier_name} by an override, which {judge} has to approve")
    return Assessment(
        tier=tier_name,
        title=tier.title,
        raised_by=tuple(code for code, _ in raised),
        controls=tier.controls,
        approvals_needed=(*tier.approvals, *more),
        max_epsilon=tier.max_epsilon_per_release,
        max_delta=tier.delta_cap(request.population.declared_patients),
        max_epsilon_per_scope=tier.max_epsilon_per_scope,
        max_delta_per_scope=tier.max_delta_per_scope,
        min_declared_patients=tier.min_declared_patients,
        reasons=tuple(reasons),
        refusals=(
            *_refusals(request, policy, tier_name, tier, today),
            *_risk_refusals(risk, policy, found, reached, raised=len(raised)),
        ),
    )


def _override_role(risk: Risk | None, policy: Policy) -> str | None:
    """The role that has to approve a request whose statement has an override, None without one."""
    return None if risk is None or risk.override is None or policy.risk is None else policy.risk.override_role


def _overridden(risk: Risk | None, policy: Policy, base: int, reached: int) -> int | None:
    """The tier that an override gives, None where nothing is lowered.

    It is one lower than reached at most, and never below where the audience starts.
    """
    if _override_role(risk, policy) is None or risk is None or risk.override is None:
        return None
    names = list(policy.tiers)
    wanted = names.index(risk.override.tier) if risk.override.tier in names else reached
    lowered = max(base, wanted, reached - 1)
    return lowered if lowered < reached else None


def _risk_refusals(
    risk: Risk | None, policy: Policy, found: RiskFinding, reached: int, raised: int
) -> Iterator[Refusal]:
    """What is wrong with the risk statement by the policy's words, or that there is none."""
    yield from (Refusal.at("risk", message) for message in found.faults)
    scale, names = policy.risk, list(policy.tiers)
    if scale is None:
        return
    if risk is None and scale.needed_from is not None and reached >= names.index(scale.needed_from):
        text = f"tier {names[reached]} needs a risk statement; write one and name it: risk: FILE"
        yield Refusal.at("risk", text)
    if risk is not None and risk.override is not None:
        if scale.override_role is None:
            yield Refusal.at("risk", "found an override, and policy lets nobody lower a tier; remove it")
        elif risk.override.tier not in names:
            yield Refusal.at("risk", f"the override's tier is none of {', '.join(names)}")
        elif not raised:
            yield Refusal.at("risk", "found an override, and nothing raised the tier; remove it")


def sensitive_columns(request: Request, policy: Policy) -> tuple[str, ...]:
    """The requested columns that the policy's name patterns recognise as sensitive."""
    patterns = [pattern.lower() for pattern in policy.raise_tier_when.sensitive_columns]
    return tuple(
        column
        for column in request.columns
        if any(fnmatch.fnmatchcase(column.lower(), pattern) for pattern in patterns)
    )


def _raises(request: Request, policy: Policy) -> Iterator[tuple[str, str]]:
    columns = sensitive_columns(request, policy)
    if columns:
        yield "sensitive_columns", f"raised by one tier: sensitive columns {', '.join(columns)}"
    limit, declared = policy.raise_tier_when.declared_patients_below, request.population.declared_patients
    if limit is not None and declared < limit:
        yield "declared_patients_below", f"raised by one tier: {declared} declared patients are fewer than {limit}"
    if policy.raise_tier_when.unit_other and request.patient.unit != "patient":
        yield "unit_other", f"raised by one tier: the privacy unit is the {request.patient.unit}, NOT the patient"


def _refusals(request: Request, policy: Policy, name: str, tier: Tier, today: dt.date) -> Iterator[Refusal]:
    if request.purpose.code not in policy.purposes:
        yield Refusal.at(
            "purpose.code",
            f"found {request.purpose.code}, allowed are {', '.join(policy.purposes)}; "
            "choose one, or ask the policy's owner to add the purpose",
        )
    wrong = name_fault(request.requester.name)
    if wrong is not None:
        yield Refusal.at("requester.name", f"the name {wrong}; use the account name in plain letters")
    if request.requester.role not in policy.roles:
        yield Refusal.at(
            "requester.role", f"found {request.requester.role}, allowed are {', '.join(policy.roles)}; choose one"
        )
    last = today + dt.timedelta(days=policy.max_request_days)
    if request.expires < today:
        yield Refusal.at(
            "expires", f"found {request.expires}, allowed is {today} or later; set a new date and have it approved"
        )
    elif request.expires > last:
        yield Refusal.at(
            "expires",
            f"found {request.expires}, allowed is {last} or earlier ({policy.max_request_days} days); "
            "choose an earlier date",
        )
    longest = tier.max_retention_days
    if longest is not None and (request.retention_days is None or request.retention_days > longest):
        found = "none" if request.retention_days is None else str(request.retention_days)
        yield Refusal.at(
            "retention_days", f"found {found}, allowed in {name} is {longest} or fewer; say how long it may be read"
        )
    privacy, declared = request.privacy, request.population.declared_patients
    if privacy.settled_epsilon > tier.max_epsilon_per_release:
        yield Refusal.at(
            "privacy.epsilon",
            f"found {privacy.settled_epsilon}, allowed in {name} is {tier.max_epsilon_per_release} or less; "
            "lower epsilon or narrow the audience",
        )
    if privacy.delta > tier.delta_cap(declared):
        yield Refusal.at(
            "privacy.delta",
            f"found {privacy.delta}, allowed in {name} for {declared} declared patients is "
            f"{tier.delta_cap(declared)} or less; lower delta",
        )
    if declared < tier.min_declared_patients:
        yield Refusal.at(
            "population.declared_patients",
            f"found {declared}, {name} needs {tier.min_declared_patients} or more; "
            "use a larger population or narrow the audience",
        )
    if request.patient.unit != "patient" and not policy.allow_other_unit:
        yield Refusal.at(
            "patient.unit",
            f"found {request.patient.unit}, allowed is patient; name the patient's key "
            "(the policy's allow_other_unit is for benchmarks on public data)",
        )
