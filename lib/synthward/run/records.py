"""The release's records: the manifest, the registry's row and the table properties, all from the same facts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import synthward
from synthward.config.canonical import canonical_json
from synthward.domain.spec import Categorical, Date, Numeric
from synthward.evaluate.gates.gate import GateResult
from synthward.evaluate.metrics import ColumnQuality, summary
from synthward.evaluate.relations import CliqueQuality, Edge, pair_summary
from synthward.fit.model import Model
from synthward.fit.prototypes import MOST_EXACT
from synthward.governance.approvals import Approval
from synthward.ledger.charges import ChargeReceipt
from synthward.ledger.scopes import ScopeState
from synthward.privacy.accounting import epsilon_of
from synthward.privacy.discovery import Found
from synthward.privacy.measurement import Measurement
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.unit import PrivacyUnit
from synthward.release.manifest import FORMAT, Manifest
from synthward.release.table import Fingerprint, Lineage
from synthward.run.learning import Learned
from synthward.run.plan import Plan
from synthward.run.stated import risk_words
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
    model: Model
    sealed: Sequence[Measurement]
    learned: Learned
    lineage: Lineage
    table: str
    fingerprint: Fingerprint
    gates: Sequence[GateResult]
    quality: Mapping[str, ColumnQuality]
    relations: Sequence[CliqueQuality]
    graph: Sequence[Edge]


def manifest_of(facts: Facts) -> Manifest:
    """The manifest; its keys are listed in docs/manifest.md."""
    plan, request = facts.plan, facts.plan.file.request
    cap = facts.scope.terms
    body = {
        "format": FORMAT,
        "synthward": synthward.__version__,
        "release_id": facts.lineage.release_id,
        "run_id": plan.identity.run_id,
        "run_key": plan.identity.run_key,
        "table": facts.table,
        "rows": facts.fingerprint.rows,
        "content": facts.fingerprint.content,
        "generated_at": facts.lineage.generated_at,
        "site": {"name": facts.site_name, "digest": facts.site_digest},
        "source_ref": facts.source_ref,
        "request": {
            "title": request.title,
            "digest": plan.file.digest,
            "requester": request.requester.name,
            "purpose": request.purpose.code,
            "purpose_text": request.purpose.text,
            "ticket": request.purpose.ticket,
            "audience": request.audience,
            "expires": request.expires.isoformat(),
        },
        "policy": {
            "name": facts.policy_name,
            "digest": facts.policy_digest,
            "tier": plan.assessment.tier,
            "tier_title": plan.assessment.title,
            "controls": list(plan.assessment.controls),
            "evidence": [{"control": control, "gates": list(gates)} for control, gates in plan.evidence.items()],
            "reasons": list(plan.assessment.reasons),
        },
        "approvals": [approval_facts(entry) for entry in facts.approvals],
        "guarantee": _guarantee(plan, facts.scope),
        "budget": {
            "scope": facts.scope.scope,
            "declared_patients": cap.declared_patients,
            "cap_epsilon": str(cap.max_epsilon),
            "cap_delta": str(cap.max_delta),
            "charges": len(facts.scope.charges),
            "alone_epsilon": str(epsilon_of(plan.charge, cap.max_delta)),
            "spent_epsilon": str(facts.scope.epsilon_spent),
            "remaining_epsilon": str(facts.scope.remaining),
            "ledger": {
                "seq": facts.receipt.seq,
                "head": facts.receipt.head_hash,
                "genesis": facts.receipt.genesis_hash,
            },
        },
        "measurements": [
            *(_measurement(measurement, "bins") for measurement in facts.learned.sealed),
            *(_discovery(found) for found in facts.learned.found),
            *(_measurement(measurement, None) for measurement in facts.sealed),
        ],
        "domain": {"digest": plan.domain.digest, "attributes": _attributes(plan)},
        "model": {
            "synthesizer": facts.model.synthesizer,
            "digest": facts.model.digest,
            "graph": {
                "kind": "tree" if facts.model.field is None else "field",
                "order": list(facts.model.order),
                "edges": [_edge(edge) for edge in facts.graph],
            },
        },
        "sampling": _sampling(request.output),
        "gates": [{"gate": gate.name, "passed": gate.passed, "detail": gate.detail} for gate in facts.gates],
        "quality": {
            "summary": summary(facts.quality) | pair_summary(facts.relations),
            "columns": [q.to_json() for q in facts.quality.values()],
            "cliques": [q.to_json() for q in facts.relations],
        },
        "forecast": {name: round(value, 6) for name, value in plan.forecast.items()},
        "warnings": list(plan.warnings),
        "limits": list(limits_of(facts.model, plan.task.unit, request.output.where)),
    }
    return Manifest(body)


def approval_facts(entry: Approval) -> dict[str, Any]:
    """What is published of an approval that counts; its signature was checked if it still has one."""
    facts = {
        "by": entry.by,
        "role": entry.role,
        "decision": entry.decision,
        "at": entry.at,
        "expires": None if entry.expires is None else entry.expires.isoformat(),
        # Without a signature the name was typed by whoever could start the command; nothing proves who it was.
        "signed": entry.key_id is not None,
    }
    return facts if entry.key_id is None else {**facts, "key": entry.key_id}


def _guarantee(plan: Plan, scope: ScopeState) -> dict[str, Any]:
    unit, request = plan.task.unit, plan.file.request
    statements = [
        *([id_words(request)] if id_words(request) else []),
        *([EXCLUDED] if request.population.excluded is not None else []),
        *([UNBOUND] if scope.people is None else []),
    ]
    return {
        "unit": unit.name,
        "claim": f"unit: {unit_words(request)}",
        "key": request.patient.key,
        "path": [", ".join(f"{own} = {their}" for own, their in step.on.items()) for step in request.patient.path],
        "statements": statements,
        "neighbours": "add or remove one row" if unit.name == "row" else "add or remove one patient with all rows",
        "promises": list(plan.file.request.promises),
        "max_rows_per_unit": unit.max_rows,
        "mechanism": plan.task.mechanism,
        "epsilon": str(plan.epsilon),
        "delta": str(plan.delta),
        "requested_epsilon": str(plan.task.epsilon),
        "accounting": plan.accounting,
        "membership": risk_words(plan.membership, unit.name),
        "nano_epsilon": plan.charge.nano_epsilon,
        "nano_rho": plan.charge.nano_rho,
        "atto_delta": plan.charge.atto_delta,
    }


def _sampling(output: Output) -> dict[str, Any]:
    wanted = {name: {value: str(share) for value, share in shares.items()} for name, shares in output.where.items()}
    return {"seed": output.sampling_seed, "keys": output.keys, "where": wanted}


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
        return [
            "No row belongs with another: rows with fresh keys do not form synthetic patients yet.",
            beyond,
            repeated,
        ]
    first = "No row belongs with another: rows with fresh keys do not form synthetic patients yet."
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


def _edge(edge: Edge) -> dict[str, Any]:
    return {"parent": edge.parent, "child": edge.child, "strength": round(edge.strength, 6)}


def _measurement(measurement: Measurement, learns: str | None) -> dict[str, Any]:
    query, call = measurement.asked.query, measurement.asked.call
    charge = call.charge
    return {
        "query": query.label,
        "kind": query.KIND,
        "columns": list(query.columns),
        "learns": learns,
        "cells": len(measurement.values),
        "mechanism": call.mechanism,
        "scale": call.scale,
        # A choice has no noise on a number.
        "deviation": None if query.KIND == "selection" else measurement.deviation,
        "sensitivity": call.sensitivity,
        "nano_epsilon": charge.nano_epsilon,
        "nano_rho": charge.nano_rho,
        "atto_delta": charge.atto_delta,
        "threshold": None,
    }


def _discovery(found: Found) -> dict[str, Any]:
    """As `_measurement`; what was released may be counted, what was asked about never is."""
    query, threshold = found.asked.query, found.asked.threshold
    call, charge = threshold.call, threshold.charge
    return {
        "query": query.label,
        "kind": query.KIND,
        "columns": [query.column],
        "learns": "categories",
        "cells": len(found.counts),
        "mechanism": call.mechanism,
        "scale": call.scale,
        "deviation": call.deviation / WEIGHT_UNIT,
        "sensitivity": call.sensitivity,
        "nano_epsilon": charge.nano_epsilon,
        "nano_rho": charge.nano_rho,
        "atto_delta": charge.atto_delta,
        "threshold": found.asked.patients,
    }


def _attributes(plan: Plan) -> list[dict[str, Any]]:
    listed = []
    learned = {} if plan.learning is None else plan.learning.columns
    for name, attribute in plan.domain.attributes.items():
        entry: dict[str, Any] = {"column": name, "type": attribute.TAG, "required": attribute.required}
        entry["learned"] = learned.get(name)
        if isinstance(attribute, Numeric | Date):
            entry |= {"bounds": [str(bound) for bound in attribute.bounds], "outside": attribute.outside}
        if isinstance(attribute, Categorical):
            entry |= {"values": attribute.size, "other": attribute.other}
        listed.append(entry)
    return listed


def registry_row(manifest: Manifest) -> dict[str, Any]:
    """The release's row in the `releases` table, its id apart."""
    body = manifest.body
    guarantee, ledger = body["guarantee"], body["budget"]["ledger"]
    bounds = {a["column"]: a["bounds"] for a in body["domain"]["attributes"] if "bounds" in a}
    return {
        "run_id": body["run_id"],
        "request_digest": body["request"]["digest"],
        "title": body["request"]["title"],
        "purpose": body["request"]["purpose"],
        "audience": body["request"]["audience"],
        "tier": body["policy"]["tier"],
        "scope": body["budget"]["scope"],
        "source_ref": body["source_ref"],
        "unit": guarantee["unit"],
        # A manifest of an earlier version does not say it; its row must stay equal when its run is resumed.
        "unit_by": guarantee["claim"].removeprefix("unit: ") if "key" in guarantee else None,
        "max_rows_per_unit": guarantee["max_rows_per_unit"],
        "mechanism": guarantee["mechanism"],
        "epsilon": guarantee["epsilon"],
        "delta": guarantee["delta"],
        "nano_epsilon": guarantee["nano_epsilon"],
        "nano_rho": guarantee["nano_rho"],
        "atto_delta": guarantee["atto_delta"],
        "bounds": canonical_json(bounds),
        "sampling_seed": body["sampling"]["seed"],
        "rows": body["rows"],
        "content": body["content"],
        "domain_digest": body["domain"]["digest"],
        "model_digest": body["model"]["digest"],
        "manifest_digest": manifest.digest,
        "policy_digest": body["policy"]["digest"],
        "site_digest": body["site"]["digest"],
        "ledger_seq": ledger["seq"],
        "ledger_head": ledger["head"],
        "ledger_genesis": ledger["genesis"],
        "generated_at": body["generated_at"],
        "version": body["synthward"],
        "release_table": body["table"],
    }


def table_properties(manifest: Manifest) -> dict[str, str]:
    """Synthward's properties of the published table."""
    body = manifest.body
    return {
        "synthetic": "true",
        "release_id": body["release_id"],
        "manifest_sha256": manifest.digest,
        "rows": str(body["rows"]),
        "content": body["content"],
        "privacy_unit": body["guarantee"]["claim"],
        "epsilon": body["guarantee"]["epsilon"],
        "delta": body["guarantee"]["delta"],
    }


def tracked_parameters(manifest: Manifest) -> dict[str, str]:
    """Parameters for MLflow."""
    row = registry_row(manifest)
    names = ("request_digest", "purpose", "audience", "tier", "scope", "unit", "unit_by", "max_rows_per_unit")
    more = ("mechanism", "rows", "sampling_seed", "domain_digest", "model_digest")
    chosen = {name: str(row[name]) for name in (*names, *more) if row[name] is not None}
    return {**chosen, "synthesizer": manifest.body["model"]["synthesizer"]}


def publishable_metrics(manifest: Manifest) -> dict[str, float]:
    """Numbers for MLflow and for the caller: budget and quality, all publishable."""
    body = manifest.body
    numbers = {
        "epsilon": float(Decimal(body["guarantee"]["epsilon"])),
        "delta": float(Decimal(body["guarantee"]["delta"])),
        "budget_spent": float(Decimal(body["budget"]["spent_epsilon"])),
        "budget_remaining": float(Decimal(body["budget"]["remaining_epsilon"])),
        **{name: value for name, value in body["quality"]["summary"].items() if value is not None},
    }
    for column in body["quality"]["columns"]:
        numbers[f"tvd.{column['column']}"] = column["tvd"]
    return numbers
