"""Staging: sample the model into the staged table, look at it once, run the gates, write the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synthward.domain.codes import codebooks
from synthward.fit.model import Model
from synthward.governance.approvals import Approval
from synthward.ledger.charges import ChargeReceipt
from synthward.pipeline.environment import Environment, Places
from synthward.pipeline.learning import Learned
from synthward.pipeline.opening import opened_types
from synthward.pipeline.plan import Plan
from synthward.pipeline.records import Facts, manifest_of
from synthward.privacy.measurement import Measurement
from synthward.privacy.queries import Population
from synthward.release import table
from synthward.release.manifest import Manifest
from synthward.release.table import Lineage
from synthward.sample.blocks import sample_places, sample_plan
from synthward.store.delta import read
from synthward.validate.gates import Thresholds, run_gates
from synthward.validate.inspect import inspect
from synthward.validate.metrics import column_quality
from synthward.validate.relations import clique_quality, drawn_graph, drawn_pairs
from synthward.validate.tables import noisy_tables, total_rows, with_pairs


@dataclass(frozen=True)
class Origin:
    """Where a staged release comes from.

    Attributes:
        opened: Facts of the run's opening.
        sealed_at: Time of the last seal.
        approvals: The approvals that cover the run.
        receipt: The charge.
        learned: Answers from which the domain was learned.
    """

    opened: dict[str, Any]
    sealed_at: str
    approvals: Sequence[Approval]
    receipt: ChargeReceipt
    learned: Learned


@dataclass(frozen=True)
class Checked:
    """A staged table with its manifest, gates included.

    Attributes:
        manifest: The manifest.
        version: Version of the staged table that was checked.
    """

    manifest: Manifest
    version: int

    def record(self) -> tuple[dict[str, Any], bytes]:
        """For the journal."""
        passed = all(gate["passed"] for gate in self.manifest.body["gates"])
        facts = {"passed": passed, "version": self.version, "manifest": self.manifest.digest}
        return facts, self.manifest.text.encode()


def stage_and_check(
    env: Environment, plan: Plan, places: Places, model: Model, sealed: Sequence[Measurement], origin: Origin
) -> Checked:
    """Samples, stages, inspects and gates; reads synthetic rows and sealed measurements only."""
    request, books = plan.file.request, codebooks(plan.domain)
    struct = opened_types(origin.opened)
    types = {field.name: field.dataType for field in struct.fields}
    lineage = Lineage(plan.identity.release_id, model.digest, origin.sealed_at)
    drawing = sample_plan(model, books, request.output.rows, request.output.sampling_seed)
    drawn = sample_places(env.spark, drawing, env.site.target_file_rows)
    keys = {name: types[name] for name in request.output.key_columns}
    rows = table.release_rows(drawn, books, types, keys, lineage)
    version = table.stage(
        rows, places.staged, table.constraints(books, types), {"release_id": lineage.release_id, "status": "staged"}
    )
    env.on_step("sample")
    noisy = with_pairs(noisy_tables(sealed, books))
    cliques = [columns for columns in noisy if len(columns) > 1]
    found = inspect(read(env.spark, places.staged, version), books, lineage, [*cliques, *drawn_pairs(model, books)])
    quality = {name: column_quality(book, noisy[name,], found.counts[name]) for name, book in books.items()}
    rows_by_noise = total_rows(noisy.values())
    relations = tuple(clique_quality(noisy[c], found.table(c), books, rows_by_noise) for c in cliques)
    thresholds = Thresholds(
        rows=request.output.rows,
        min_patients=plan.assessment.min_declared_patients,
        max_out_of_domain_share=request.utility.max_out_of_domain_share,
        max_mean_tvd=request.utility.max_mean_tvd,
        max_mean_pair_tvd=request.utility.max_mean_pair_tvd,
    )
    population = next(measurement for measurement in sealed if isinstance(measurement.asked.query, Population))
    expected = {name: data_type.simpleString() for name, data_type in types.items()}
    facts = Facts(
        plan=plan,
        site_name=env.site.name,
        site_digest=env.site.digest,
        policy_name=env.policy.name,
        policy_digest=env.policy.digest,
        approvals=origin.approvals,
        scope=env.ledger.state(request.population.scope),
        receipt=origin.receipt,
        source_ref=origin.opened["source_ref"],
        model=model,
        sealed=sealed,
        learned=origin.learned,
        lineage=lineage,
        table=str(places.target),
        fingerprint=found.fingerprint,
        gates=run_gates(found, expected, quality, relations, population, thresholds),
        quality=quality,
        relations=relations,
        graph=drawn_graph(model, books, found.table),
    )
    return Checked(manifest_of(facts), version)
