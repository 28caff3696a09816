"""The policy: purposes, roles, tiers and their numbers. All numbers live in the policy file, none in code."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import ROUND_FLOOR, Decimal
from functools import cached_property
from pathlib import Path
from typing import Literal

from synthward.config.canonical import digest
from synthward.config.fields import Findings, key
from synthward.config.loader import load
from synthward.config.text import LINE
from synthward.spec.request import AUDIENCES, NOT_BLANK, Audience

_ATTO = Decimal("1e-18")
_CODE = r"[a-z][a-z0-9_]{0,63}"

_LATER = (
    "max_approval_days",
    "max_runs",
    "quality",
    "risk",
    "release_roles",
    "incident_hours",
    "monitoring",
    "stop_roles",
)
"""Keys that came later: left out of the digest where a policy does not give them, so that its approvals stay valid."""


@dataclass(frozen=True)
class Tier:
    """What one risk tier allows and demands."""

    title: str = key(doc="The tier in a few words.", pattern=NOT_BLANK, max_length=LINE)
    audiences: tuple[Audience, ...] = key((), doc="Audiences that start in this tier.")
    max_epsilon_per_release: Decimal = key(minimum=0, doc="Largest epsilon of one release; 0 refuses every request.")
    max_delta: Decimal = key(minimum=0, maximum=1, doc="Largest delta of one release.")
    max_delta_times_patients: Decimal | None = key(
        None, minimum=0, doc="Largest delta times declared patients, for instance 0.1 for delta <= 1 / (10 N)."
    )
    max_epsilon_per_scope: Decimal = key(
        minimum=0, doc="Largest epsilon of all releases of a scope together, for a request of this tier to be charged."
    )
    max_delta_per_scope: Decimal = key(minimum=0, maximum=1, doc="Delta at which a scope's total epsilon is stated.")
    min_declared_patients: int = key(minimum=0, doc="Smallest declared population.")
    approvals: tuple[str, ...] = key(
        (), doc="Roles that must approve, each a different person, none the requester or in the same role."
    )
    repair: tuple[str, ...] = key(
        (),
        later=True,
        doc="Roles that must approve another output section for a run that is sealed already, each a different person, "
        "none the requester or in the same role; without any, a run of this tier is never repaired.",
    )
    release_approval: tuple[str, ...] = key(
        (),
        later=True,
        doc="Roles that must approve a validated release before it is published, each a different person, none the "
        "requester (`synthward release approve`); without any, a release is published as soon as its gates passed.",
        example="[privacy_officer]",
    )
    signed: bool = key(
        False,
        doc="Whether only signed approvals count, wherever the site has a roster of people and keys.",
        later=True,
    )
    submitted_only: bool = key(
        False,
        doc="Whether only submitted requests run, which are read from the records and never from their author's disk.",
        later=True,
    )
    max_retention_days: int | None = key(
        None,
        minimum=1,
        maximum=36600,
        later=True,
        doc="Days for which a release may be read at most; a request of the tier must then say so (`retention_days`); "
        "null for any time.",
        example="365",
    )
    controls: tuple[str, ...] = key(
        (),
        doc="Controls that must be shown, each by a gate of this version; a control that nothing shows refuses every "
        "request of the tier.",
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if self.max_epsilon_per_scope < self.max_epsilon_per_release:
            yield "max_epsilon_per_scope", f"found {self.max_epsilon_per_scope}, below max_epsilon_per_release"
        if self.max_delta_per_scope < self.max_delta:
            yield "max_delta_per_scope", f"found {self.max_delta_per_scope}, below max_delta"
        for name in ("approvals", "repair", "release_approval", "controls"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                yield name, "lists one entry twice; keep one"

    def delta_cap(self, declared_patients: int) -> Decimal:
        """Largest delta of one release for a population of this size, in whole 10^-18, rounded down."""
        if self.max_delta_times_patients is None:
            return self.max_delta
        relative = self.max_delta_times_patients / declared_patients
        return self.max_delta if relative >= self.max_delta else relative.quantize(_ATTO, rounding=ROUND_FLOOR)


@dataclass(frozen=True)
class RaiseTierWhen:
    """Conditions each of which raises a request by one tier, up to the highest."""

    sensitive_columns: tuple[str, ...] = key(
        (),
        pattern=NOT_BLANK,
        doc="Column names, * for any text, case does not matter, for instance *hiv*.",
        example='["*hiv*", "*psych*"]',
    )
    declared_patients_below: int | None = key(None, minimum=1, doc="A declared population below this one.")
    unit_other: bool = key(True, doc="A privacy unit other than the patient.")


@dataclass(frozen=True)
class QualityLimits:
    """Expected distances to the real rows up to which a column or pair may be relied on, or used with care."""

    rely_on_column: Decimal = key(
        Decimal("0.02"), minimum=0, maximum=1, doc="A column is relied on if its 90 % range ends here or below."
    )
    with_care_column: Decimal = key(
        Decimal("0.10"), minimum=0, maximum=1, doc="A column with a larger expected distance is not to be used."
    )
    rely_on_pair: Decimal = key(
        Decimal("0.05"),
        minimum=0,
        maximum=1,
        doc="A pair of columns is relied on if its 90 % range ends here or below.",
    )
    with_care_pair: Decimal = key(
        Decimal("0.15"), minimum=0, maximum=1, doc="A pair with a larger expected distance is not to be used."
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        for word in ("column", "pair"):
            rely, care = getattr(self, f"rely_on_{word}"), getattr(self, f"with_care_{word}")
            if rely > care:
                yield f"rely_on_{word}", f"found {rely}, above with_care_{word} ({care})"


@dataclass(frozen=True)
class SmallPopulation:
    """Points for a small declared population."""

    below: int = key(minimum=1, doc="Fewer declared patients than this.", example="5000")
    points: int = key(minimum=0, maximum=100, doc="Points that count then; of several steps the largest.", example="1")


@dataclass(frozen=True)
class RiskScale:
    """What the words of a risk statement count for.

    The points of a request are those of its worst recipient (motive, capacity and auxiliary data together), its most
    sensitive column and its population. More of any of them never gives fewer points.
    """

    motives: dict[str, int] = key(
        minimum=0, maximum=100, doc="Points of a recipient's motive to find people.", example="{none: 0, hostile: 3}"
    )
    capacities: dict[str, int] = key(
        minimum=0, maximum=100, doc="Points of a recipient's means and skills.", example="{low: 0, high: 2}"
    )
    auxiliary: dict[str, int] = key(
        minimum=0,
        maximum=100,
        doc="Points of what else a recipient knows about the people.",
        example="{none: 0, linked: 2}",
    )
    tags: dict[str, int] = key(
        minimum=0, maximum=100, doc="Points of what a column is.", example="{quasi_identifier: 1, hiv: 4}"
    )
    small_populations: tuple[SmallPopulation, ...] = key((), doc="Points of small declared populations.")
    raises: tuple[int, ...] = key(
        minimum=1, doc="Points from which a request is raised by one tier, by two, and so on.", example="[5, 8]"
    )
    attacks: tuple[str, ...] = key((), doc="Attacks that every statement has in scope.", example="[membership]")
    needed_from: str | None = key(
        None, doc="Tier from which on a request needs a risk statement; none: never.", example="T3"
    )
    override_role: str | None = key(
        None,
        doc="Role that may lower a raised tier by one, for a reason in the statement; none: nobody.",
        example="privacy_officer",
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if list(self.raises) != sorted(set(self.raises)):
            yield "raises", "must grow from one number to the next"


@dataclass(frozen=True)
class ReleaseRoles:
    """Who may do what to a published release. One person in one of the roles is enough, so that a recall is quick."""

    grant: tuple[str, ...] = key(doc="Roles that may give and take access.", example="[release_manager]")
    expire: tuple[str, ...] = key(doc="Roles that may end a release before its time.", example="[data_steward]")
    recall: tuple[str, ...] = key(doc="Roles that may recall a release.", example="[privacy_officer]")
    incident: tuple[str, ...] = key(doc="Roles that may open and close incidents.", example="[security_officer]")


@dataclass(frozen=True)
class Alarms:
    """From when on monitoring speaks."""

    budget_share: Decimal = key(
        Decimal("0.8"), minimum=0, maximum=1, doc="Share of a scope's budget that is spent.", example="0.8"
    )
    days_ahead: int = key(
        30, minimum=0, maximum=3660, doc="Days before a request, a grant or a release ends.", example="30"
    )
    failed_runs: int = key(1, minimum=1, doc="Failed executions of a run that has not succeeded since.", example="1")


@dataclass(frozen=True)
class Policy:
    """A site's policy."""

    version: Literal[1] = key(doc="Format version of this file.")
    name: str = key(doc="Name and edition of the policy, shown in reports.", pattern=NOT_BLANK, max_length=LINE)
    purposes: tuple[str, ...] = key(
        pattern=_CODE, doc="Closed list of the purposes a request may have.", example="[prototyping, ml_training]"
    )
    roles: tuple[str, ...] = key(
        pattern=_CODE, doc="Closed list of the roles people have.", example="[data_engineer, privacy_officer]"
    )
    max_request_days: int = key(minimum=1, maximum=3660, doc="Days a request may lie ahead of its expiry.")
    max_approval_days: int | None = key(
        None, minimum=1, maximum=3660, doc="Days for which an approval counts at most; null for as long as the request."
    )
    max_runs: int | None = key(None, minimum=1, doc="Runs that one approval covers at most; null for any number.")
    allow_other_unit: bool = key(
        False, doc="Allow privacy units other than the patient. For benchmarks on public data, never for patients."
    )
    allow_unbound_scopes: bool = key(
        False,
        doc="Allow scopes that are bound to no source, as old ledgers and benchmarks have; every claim then says so. "
        "Without it, a scope is opened with a population file, and requests read that population's tables only.",
    )
    tiers: dict[str, Tier] = key(doc="Tiers T0, T1, ... from the lowest to the highest risk.")
    raise_tier_when: RaiseTierWhen = key(RaiseTierWhen(), doc="Conditions that raise the tier.")
    quality: QualityLimits | None = key(
        None,
        doc="Limits of the verdicts on columns and pairs of a release; null for the defaults of the entries below.",
    )
    risk: RiskScale | None = key(
        None, doc="What risk statements count for, and from which tier on a request needs one.", later=True
    )
    release_roles: ReleaseRoles | None = key(
        None, doc="Who may do what to a published release; null for anybody in one of the roles.", later=True
    )
    incident_hours: dict[str, int] | None = key(
        None,
        minimum=1,
        maximum=87600,
        doc="Severities of incidents, each with the hours in which one has to be closed: the clock that the site "
        "declares. null: the severities low and high, without a clock.",
        example="{low: 720, high: 72}",
        later=True,
    )
    stop_roles: tuple[str, ...] | None = key(
        None,
        doc="Roles that may stop a scope in an emergency and resume it; null for any role.",
        example="[privacy_officer, security_officer]",
        later=True,
    )
    monitoring: Alarms | None = key(None, doc="From when on monitoring speaks; null for the defaults.", later=True)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content; approvals and charges are bound to it."""
        left_out = {name for name in _LATER if getattr(self, name) is None}
        return digest({field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out})

    @property
    def quality_limits(self) -> QualityLimits:
        """Limits of the verdicts."""
        return QualityLimits() if self.quality is None else self.quality

    @property
    def alarms(self) -> Alarms:
        """From when on monitoring speaks."""
        return Alarms() if self.monitoring is None else self.monitoring

    @property
    def severities(self) -> dict[str, int | None]:
        """Severities of incidents with their hours; None where there is no clock."""
        return {"low": None, "high": None} if self.incident_hours is None else {**self.incident_hours}

    def roles_for(self, duty: str) -> tuple[str, ...]:
        """Roles that may do something to a published release.

        Args:
            duty: A field of `ReleaseRoles`.
        """
        found: tuple[str, ...] = self.roles if self.release_roles is None else getattr(self.release_roles, duty)
        return found

    def base_tier(self, audience: Audience) -> str:
        """The tier in which an audience starts."""
        return next(name for name, tier in self.tiers.items() if audience in tier.audiences)

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        for name in ("purposes", "roles"):
            values = getattr(self, name)
            if not values:
                yield name, "list at least one"
            if len(set(values)) < len(values):
                yield name, "lists one entry twice; keep one"
        if self.risk is not None:
            if self.risk.needed_from not in (None, *self.tiers):
                yield "risk.needed_from", f"found {self.risk.needed_from}, which is none of the tiers"
            if self.risk.override_role not in (None, *self.roles):
                yield "risk.override_role", f"{self.risk.override_role!r} is not one of the roles"
        for index, role in enumerate(self.stop_roles or ()):
            if role not in self.roles:
                yield f"stop_roles[{index}]", f"{role!r} is not one of the roles: {', '.join(self.roles)}"
        if self.stop_roles == ():
            yield "stop_roles", "list at least one role, or nobody could stop a scope; null for any role"
        yield from self._release_roles()
        yield from self._tier_names()
        yield from self._audiences()
        yield from self._order()
        for name, tier in self.tiers.items():
            for key_name in ("approvals", "repair", "release_approval"):
                for index, role in enumerate(getattr(tier, key_name)):
                    if role not in self.roles:
                        yield (
                            f"tiers.{name}.{key_name}[{index}]",
                            f"{role!r} is not one of the roles: {', '.join(self.roles)}",
                        )

    def _release_roles(self) -> Findings:
        for duty in () if self.release_roles is None else fields(self.release_roles):
            named: tuple[str, ...] = getattr(self.release_roles, duty.name)
            if not named:
                yield f"release_roles.{duty.name}", "list at least one role, or nobody could do it"
            for index, role in enumerate(named):
                if role not in self.roles:
                    text = f"{role!r} is not one of the roles: {', '.join(self.roles)}"
                    yield f"release_roles.{duty.name}[{index}]", text
        if self.incident_hours is not None and not self.incident_hours:
            yield "incident_hours", "name at least one severity, or null"

    def _tier_names(self) -> Findings:
        expected = [f"T{index}" for index in range(len(self.tiers))]
        if not 1 <= len(self.tiers) <= 10 or list(self.tiers) != expected:
            found = ", ".join(self.tiers) or "none"
            yield "tiers", f"found {found}; name them T0, T1, ... (at most T9) in the order of rising risk"

    def _audiences(self) -> Findings:
        """Every audience starts in one tier, a wider one never in a lower tier: else widening could lower the tier."""
        rank = -1
        for audience in AUDIENCES:
            found = [index for index, tier in enumerate(self.tiers.values()) if audience in tier.audiences]
            listed = sum(tier.audiences.count(audience) for tier in self.tiers.values())
            if listed != 1:
                fix = "give it a tier, one with max_epsilon_per_release: 0 to refuse it" if not found else "keep one"
                yield "tiers", f"the audience {audience} is listed {listed} times, expected once; {fix}"
            elif found[0] < rank:
                yield "tiers", f"the audience {audience} starts in T{found[0]}, a narrower audience in T{rank}"
            rank = max([rank, *found])

    def _order(self) -> Findings:
        """A higher tier is never the more generous one, from the first tier that has an audience on."""
        names = list(self.tiers)
        first = next((index for index, name in enumerate(names) if self.tiers[name].audiences), len(names))
        for low, high in zip(names[first:], names[first + 1 :], strict=False):
            below, above = self.tiers[low], self.tiers[high]
            for cap in ("max_epsilon_per_release", "max_delta", "max_epsilon_per_scope", "max_delta_per_scope"):
                if getattr(above, cap) > getattr(below, cap):
                    yield f"tiers.{high}.{cap}", f"found {getattr(above, cap)}, above {low}'s {getattr(below, cap)}"
            if (above.max_delta_times_patients is None and below.max_delta_times_patients is not None) or (
                above.max_delta_times_patients is not None
                and below.max_delta_times_patients is not None
                and above.max_delta_times_patients > below.max_delta_times_patients
            ):
                yield f"tiers.{high}.max_delta_times_patients", f"allows more than {low}'s"
            if below.max_retention_days is not None and (
                above.max_retention_days is None or above.max_retention_days > below.max_retention_days
            ):
                yield f"tiers.{high}.max_retention_days", f"allows more than {low}'s"
            if below.signed and not above.signed:
                yield f"tiers.{high}.signed", f"found false, but {low} counts signed approvals only"
            if below.submitted_only and not above.submitted_only:
                yield f"tiers.{high}.submitted_only", f"found false, but {low} runs submitted requests only"
            if above.min_declared_patients < below.min_declared_patients:
                yield f"tiers.{high}.min_declared_patients", f"found {above.min_declared_patients}, below {low}'s"
            for name in ("approvals", "controls"):
                lost = [entry for entry in getattr(below, name) if entry not in getattr(above, name)]
                if lost:
                    yield f"tiers.{high}.{name}", f"lacks what {low} demands: {', '.join(lost)}"


def load_policy(path: Path) -> Policy:
    """Read a policy file.

    Raises:
        ConfigError: With every problem found.
    """
    return load(path, Policy)
