"""The release's records: the manifest, the registry's row and the table properties, all from the same facts."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import synthward
from synthward.config.canonical import canonical_json
from synthward.domain.spec import Categorical, Date, Difference, Domain, Numeric
from synthward.evaluate.gates.gate import GateResult
from synthward.evaluate.metrics import ColumnQuality, summary
from synthward.evaluate.quality.assessed import Assessed
from synthward.evaluate.quality.verdicts import Judged, quality_summary
from synthward.evaluate.relations import CliqueQuality, Edge, pair_summary
from synthward.fit.model import Model
from synthward.fit.program import Fit
from synthward.fit.prototypes import MOST_EXACT
from synthward.governance.approvals import Approval
from synthward.governance.policy import QualityLimits
from synthward.ledger.charges import ChargeReceipt
from synthward.ledger.scopes import ScopeState
from synthward.privacy.accounting import epsilon_of
from synthward.privacy.measurement import Measurement
from synthward.privacy.unit import PrivacyUnit
from synthward.records.codec import decode
from synthward.records.manifest import (
    ApprovalEntry,
    AttributeEntry,
    BudgetEntry,
    ConvergenceEntry,
    CountErrorsEntry,
    DomainEntry,
    EdgeEntry,
    EvidenceEntry,
    ExpectedQuality,
    GateEntry,
    GraphEntry,
    Guarantee,
    MeasurementEntry,
    ModelEntry,
    PolicyEntry,
    QualityEntry,
    ReleaseRecord,
    RepairEntry,
    RequestEntry,
    SamplingEntry,
    SiteEntry,
)
from synthward.release.manifest import FORMAT, Manifest
from synthward.release.table import Fingerprint, Lineage
from synthward.run.plan import Plan
from synthward.run.stated import risk_words
from synthward.sample.counts import CountErrors, counting_distance
from synthward.spec.request import Output
from synthward.spec.unit_words import EXCLUDED, UNBOUND, id_words, unit_words


@dataclass(frozen=True)
class Facts:
    """Everything a release's records are made of; nothing exact about the source."""

    plan: Plan
    site_name: str
    site_digest: str
    policy_name: str
    policy_digest: str
    approvals: Sequence[Approval]
    scope: ScopeState
    receipt: ChargeReceipt
    source_ref: str
    fit: Fit
    lineage: Lineage
    table: str
    fingerprint: Fingerprint
    gates: Sequence[GateResult]
    quality: Mapping[str, ColumnQuality]
    relations: Sequence[CliqueQuality]
    graph: Sequence[Edge]
    repair: RepairEntry | None = None
    assessed: Assessed | None = None
    verdicts: Sequence[Judged] = ()
    quality_limits: QualityLimits | None = None


REPAIRED_LIMIT = (
    "The output section was replaced after the measurement, by people who may have seen sealed answers; rows were "
    "drawn anew from the same model, and no budget was charged for that."
)


def manifest_of(facts: Facts) -> Manifest:
    """The manifest; its keys are listed in docs/manifest.md."""
    plan, request = facts.plan, facts.plan.file.request
    record = ReleaseRecord(
        format=FORMAT,
        synthward=synthward.__version__,
        release_id=facts.lineage.release_id,
        run_id=plan.identity.run_id,
        run_key=plan.identity.run_key,
        table=facts.table,
        rows=facts.fingerprint.rows,
        content=facts.fingerprint.content,
        generated_at=facts.lineage.generated_at,
        site=SiteEntry(facts.site_name, facts.site_digest),
        source_ref=facts.source_ref,
        request=_request(plan, facts.lineage.generated_at),
        policy=_policy(facts),
        approvals=tuple(approval_entry(entry) for entry in facts.approvals),
        guarantee=_guarantee(plan, facts.scope),
        budget=_budget(facts),
        measurements=(
            *(_measurement(measurement, "bins") for measurement in facts.fit.learned.sealed),
            *(
                replace(_measurement(found, "categories"), threshold=found.asked.patients)
                for found in facts.fit.learned.found
            ),
            *(_measurement(measurement, None) for measurement in facts.fit.sealed),
        ),
        domain=DomainEntry(facts.fit.domain.digest, tuple(_attributes(plan, facts.fit.domain))),
        model=_model(facts),
        sampling=_sampling(request.output),
        gates=tuple(GateEntry(gate.name, gate.passed, gate.detail) for gate in facts.gates),
        quality=QualityEntry(
            summary(facts.quality) | pair_summary(facts.relations),
            tuple(column.entry() for column in facts.quality.values()),
            tuple(clique.entry() for clique in facts.relations),
            expected=_expected(facts),
            counts=_count_errors(facts),
        ),
        forecast={name: round(value, 6) for name, value in plan.forecast.items()},
        warnings=tuple(plan.warnings),
        limits=(
            *limits_of(facts.fit.model, plan.task.unit, request.output.where),
            *([] if facts.repair is None else [REPAIRED_LIMIT]),
        ),
        repair=facts.repair,
    )
    return Manifest.of(record)


def _request(plan: Plan, generated_at: str) -> RequestEntry:
    request = plan.file.request
    days = request.retention_days
    last = None if days is None else dt.date.fromisoformat(generated_at[:10]) + dt.timedelta(days=days)
    return RequestEntry(
        title=request.title,
        digest=plan.file.digest,
        requester=request.requester.name,
        purpose=request.purpose.code,
        purpose_text=request.purpose.text,
        ticket=request.purpose.ticket,
        audience=request.audience,
        expires=request.expires.isoformat(),
        readable_until=None if last is None else last.isoformat(),
    )


def _policy(facts: Facts) -> PolicyEntry:
    plan = facts.plan
    return PolicyEntry(
        name=facts.policy_name,
        digest=facts.policy_digest,
        tier=plan.assessment.tier,
        tier_title=plan.assessment.title,
        controls=tuple(plan.assessment.controls),
        reasons=tuple(plan.assessment.reasons),
        evidence=tuple(EvidenceEntry(control, tuple(gates)) for control, gates in plan.evidence.items()),
    )


def approval_entry(entry: Approval) -> ApprovalEntry:
    """What is published of an approval that counts; its signature was checked if it still has one."""
    return ApprovalEntry(
        by=entry.by,
        role=entry.role,
        decision=entry.decision,
        at=entry.at,
        expires=None if entry.expires is None else entry.expires.isoformat(),
        # Without a signature the name was typed by whoever could start the command; nothing proves who it was.
        signed=entry.key_id is not None,
        key_id=entry.key_id,
    )


def _budget(facts: Facts) -> BudgetEntry:
    scope, cap = facts.scope, facts.scope.terms
    return BudgetEntry(
        scope=scope.scope,
        declared_patients=cap.declared_patients,
        cap_epsilon=str(cap.max_epsilon),
        cap_delta=str(cap.max_delta),
        charges=len(scope.charges),
        alone_epsilon=str(epsilon_of(facts.plan.charge, cap.max_delta)),
        spent_epsilon=str(scope.epsilon_spent),
        remaining_epsilon=str(scope.remaining),
        more_like_this=scope.more_like(facts.plan.charge),
        ledger=facts.receipt.kept,
    )


def _model(facts: Facts) -> ModelEntry:
    model = facts.fit.model
    edges = tuple(EdgeEntry(edge.parent, edge.child, round(edge.strength, 6)) for edge in facts.graph)
    graph = GraphEntry(tuple(model.order), edges, "tree" if model.field is None else "field")
    ended = None if model.convergence is None else decode(ConvergenceEntry, model.convergence.to_json())
    return ModelEntry(model.synthesizer, model.digest, graph, ended)


def _expected(facts: Facts) -> ExpectedQuality | None:
    """What is expected of the distance to the real rows; None if no release was simulated."""
    limits = facts.quality_limits
    if facts.assessed is None or limits is None:
        return None
    return ExpectedQuality(
        replicates=facts.plan.file.request.utility.replicates,
        limits={item.name: str(getattr(limits, item.name)) for item in dataclasses.fields(limits)},
        summary=quality_summary(facts.verdicts),
        entries=tuple(each.entry() for each in facts.verdicts),
    )


def _count_errors(facts: Facts) -> CountErrorsEntry | None:
    """The error model of counts; its distances are those of `_expected`."""
    if facts.assessed is None or facts.quality_limits is None:
        return None
    errors = facts.assessed.counts.rounded()
    return CountErrorsEntry(errors.rows, errors.rows_error, errors.factors)


def count_errors_of(manifest: Manifest) -> dict[str, Any] | None:
    """The error model of counts, for the model file; None if no release was simulated."""
    quality = manifest.record.quality
    if quality.counts is None or quality.expected is None:
        return None
    found = quality.counts
    distances = {entry.columns: counting_distance(entry.distance, entry.high) for entry in quality.expected.entries}
    return CountErrors(found.rows, found.rows_error, distances, found.factors).to_json()


def _guarantee(plan: Plan, scope: ScopeState) -> Guarantee:
    unit, request = plan.task.unit, plan.file.request
    statements = [
        *([id_words(request)] if id_words(request) else []),
        *([EXCLUDED] if request.population.excluded is not None else []),
        *([UNBOUND] if scope.people is None else []),
    ]
    return Guarantee(
        unit=unit.name,
        claim=f"unit: {unit_words(request)}",
        key=request.patient.key,
        path=tuple(", ".join(f"{own} = {their}" for own, their in step.on.items()) for step in request.patient.path),
        statements=tuple(statements),
        neighbours="add or remove one row" if unit.name == "row" else "add or remove one patient with all rows",
        promises=tuple(plan.file.request.promises),
        max_rows_per_unit=unit.max_rows,
        mechanism=plan.task.mechanism,
        epsilon=str(plan.epsilon),
        delta=str(plan.delta),
        requested_epsilon=str(plan.task.epsilon),
        accounting=plan.accounting,
        membership=risk_words(plan.membership, unit.name),
        nano_epsilon=plan.charge.nano_epsilon,
        nano_rho=plan.charge.nano_rho,
        atto_delta=plan.charge.atto_delta,
    )


def _sampling(output: Output) -> SamplingEntry:
    wanted = {name: {value: str(share) for value, share in shares.items()} for name, shares in output.where.items()}
    return SamplingEntry(output.sampling_seed, output.keys, wanted)


def limits_of(model: Model, unit: PrivacyUnit, where: Collection[str] = ()) -> list[str]:
    """What the release does not keep or does not promise, in sentences that are true of its model.

    Args:
        model: The model.
        unit: The privacy unit.
        where: Columns of which certain values or shares were wanted.
    """
    limits = _limits_of_structure(model)
    if where:
        limits.append(
            f"Rows have the wanted shares of {', '.join(where)}, not those of the source, and everything else as it "
            "goes with them; distances and plots of quality are of rows drawn from the same model without that."
        )
    if any(column.starts is not None for column in model.columns):
        limits.append(
            "Numeric and date columns are kept up to the bins of the model: inside a bin, values are spread evenly, or "
            "as a noisy histogram says where one was measured, and are unrelated to other columns."
        )
    if unit.name == "patient":
        limits.append(
            f"Patients with more than {unit.max_rows} rows are weighed down, so totals describe bounded contributions."
        )
    limits.append(
        "The guarantee covers what is published here; Spark's own logs and user interface belong to the protected zone."
    )
    return limits


def _limits_of_structure(model: Model) -> list[str]:
    """Which relations the rows keep, and which they do not."""
    first = "No row belongs with another: rows with fresh keys do not form synthetic patients yet."
    if model.field is not None:
        beyond = (
            "Measured relations between columns are kept. Relations of more columns, beyond these tables, are not kept."
        )
        repeated = (
            f"A release of more than {MOST_EXACT} rows repeats combinations of groups of values; values inside groups "
            "are drawn for every row."
        )
        return [first, beyond, repeated]
    widest = max(len(column.parents) for column in model.columns) + 1
    if widest == 1:
        return [first, "Columns are drawn independently of each other: relations between columns are not kept."]
    followed = (
        "Relations between columns are kept along the drawn graph. Pairs that were not measured have the relation that "
        "follows through other columns, which can be weaker or stronger than the real one."
    )
    beyond = (
        f"What {widest + 1} or more columns have in common beyond the drawn tables of at most {widest} columns is not "
        "kept."
    )
    return [first, followed, beyond]


def _measurement(measurement: Measurement, learns: str | None) -> MeasurementEntry:
    query, call = measurement.asked.query, measurement.asked.call
    charge = measurement.asked.charge
    return MeasurementEntry(
        query=query.label,
        kind=query.KIND,
        columns=tuple(query.columns),
        learns=learns,
        cells=len(measurement.values),
        mechanism=call.mechanism,
        scale=call.scale,
        # A choice has no noise on a number.
        deviation=None if query.KIND == "selection" else measurement.deviation,
        sensitivity=call.sensitivity,
        nano_epsilon=charge.nano_epsilon,
        nano_rho=charge.nano_rho,
        atto_delta=charge.atto_delta,
    )


def _attributes(plan: Plan, domain: Domain) -> Iterator[AttributeEntry]:
    learned = {} if plan.learning is None else plan.learning.columns
    for name, attribute in domain.counted.items():
        entry = AttributeEntry(name, attribute.TAG, attribute.required, learned.get(name))
        if isinstance(attribute, Numeric | Date):
            low, high = attribute.bounds
            entry = dataclasses.replace(entry, bounds=(str(low), str(high)), outside=attribute.outside)
            if isinstance(attribute, Difference):
                days = (f"{low} days", f"{high} days")
                entry = dataclasses.replace(entry, bounds=days, after=attribute.base)
        if isinstance(attribute, Categorical):
            entry = dataclasses.replace(entry, values=attribute.size, other=attribute.other)
        yield entry


def registry_row(manifest: Manifest) -> dict[str, Any]:
    """The release's row in the `releases` table, its id apart."""
    release = manifest.record
    guarantee = release.guarantee
    bounds = {each.column: each.bounds for each in release.domain.attributes if each.bounds is not None}
    return {
        "run_id": release.run_id,
        "request_digest": release.request.digest,
        "title": release.request.title,
        "purpose": release.request.purpose,
        "audience": release.request.audience,
        "tier": release.policy.tier,
        "scope": release.budget.scope,
        "source_ref": release.source_ref,
        "unit": guarantee.unit,
        # A manifest of an earlier version does not say it; its row must stay equal when its run is resumed.
        "unit_by": guarantee.unit_by,
        "max_rows_per_unit": guarantee.max_rows_per_unit,
        "mechanism": guarantee.mechanism,
        "epsilon": guarantee.epsilon,
        "delta": guarantee.delta,
        "nano_epsilon": guarantee.nano_epsilon,
        "nano_rho": guarantee.nano_rho,
        "atto_delta": guarantee.atto_delta,
        "bounds": canonical_json(bounds),
        "sampling_seed": release.sampling.seed,
        "rows": release.rows,
        "content": release.content,
        "domain_digest": release.domain.digest,
        "model_digest": release.model.digest,
        "manifest_digest": manifest.digest,
        "policy_digest": release.policy.digest,
        "site_digest": release.site.digest,
        "ledger_seq": release.budget.ledger.seq,
        "ledger_head": release.budget.ledger.head,
        "ledger_genesis": release.budget.ledger.genesis,
        "generated_at": release.generated_at,
        "version": release.synthward,
        "release_table": release.table,
        "readable_until": release.request.readable_until,
    }


def table_properties(manifest: Manifest) -> dict[str, str]:
    """Synthward's properties of the published table."""
    release = manifest.record
    return {
        "synthetic": "true",
        "release_id": release.release_id,
        "manifest_sha256": manifest.digest,
        "rows": str(release.rows),
        "content": release.content,
        "privacy_unit": release.guarantee.claim,
        "epsilon": release.guarantee.epsilon,
        "delta": release.guarantee.delta,
    }


def tracked_parameters(manifest: Manifest) -> dict[str, str]:
    """Parameters for MLflow."""
    row = registry_row(manifest)
    names = ("request_digest", "purpose", "audience", "tier", "scope", "unit", "unit_by", "max_rows_per_unit")
    more = ("mechanism", "rows", "sampling_seed", "domain_digest", "model_digest")
    chosen = {name: str(row[name]) for name in (*names, *more) if row[name] is not None}
    return {**chosen, "synthesizer": manifest.record.model.synthesizer}


def publishable_metrics(manifest: Manifest) -> dict[str, float]:
    """Numbers for MLflow and for the caller: budget and quality, all publishable."""
    release = manifest.record
    numbers = {
        "epsilon": float(Decimal(release.guarantee.epsilon)),
        "delta": float(Decimal(release.guarantee.delta)),
        "budget_spent": float(Decimal(release.budget.spent_epsilon)),
        "budget_remaining": float(Decimal(release.budget.remaining_epsilon)),
        **{name: value for name, value in release.quality.summary.items() if value is not None},
    }
    ended = release.model.convergence
    if ended is not None:
        numbers |= {
            "fit.steps": float(ended.steps),
            "fit.reached": float(ended.reached),
            "fit.distance": ended.distance,
            "fit.worst_distance": ended.worst.distance,
        }
    for column in release.quality.columns:
        numbers[f"tvd.{column.column}"] = column.tvd
    expected = release.quality.expected
    if expected is not None:
        numbers |= {name: value for name, value in dataclasses.asdict(expected.summary).items() if value is not None}
        for entry in expected.entries:
            if len(entry.columns) == 1 and entry.distance is not None:
                numbers[f"expected.{entry.columns[0]}"] = entry.distance
    return numbers
