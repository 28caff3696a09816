"""Staging: sample the model into the staged table, look at it once, run the gates, write the manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from synthward.domain.codes import codebooks
from synthward.errors import GateFailed, UsageError
from synthward.evaluate.gates.gate import GateInputs, Thresholds
from synthward.evaluate.gates.registry import run_gates
from synthward.evaluate.inspect import Cells, count_cells, inspect
from synthward.evaluate.metrics import column_quality
from synthward.evaluate.quality.assessed import Assessed, Release, assess
from synthward.evaluate.quality.verdicts import judged_by
from synthward.evaluate.relations import beyond_noise, clique_quality, drawn_graph, drawn_pairs
from synthward.evaluate.tables import noisy_tables, total_rows, with_pairs
from synthward.fit.program import Fit
from synthward.governance.approvals import Approval
from synthward.ledger.charges import ChargeReceipt
from synthward.privacy.queries import Population
from synthward.records.codec import encode
from synthward.records.journal import Opened, Validated
from synthward.records.ledger import Receipt
from synthward.records.manifest import RepairEntry
from synthward.release import table
from synthward.release.manifest import Manifest
from synthward.release.table import Lineage
from synthward.run.environment import Environment, Places
from synthward.run.opening import opened_types
from synthward.run.plan import Plan
from synthward.run.records import Facts, manifest_of
from synthward.run.steps import Steps
from synthward.sample._worker import SamplePlan
from synthward.sample.blocks import sample_places, sample_plan
from synthward.sample.model_file import ModelFile
from synthward.sample.where import plan_where
from synthward.spec.request import Output
from synthward.store.delta import read

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


@dataclass(frozen=True)
class Origin:
    """Where a staged release comes from.

    Attributes:
        opened: The run's opening.
        sealed_at: Time of the last seal.
        approvals: The approvals that cover the run.
        receipt: The charge.
        repair: What the manifest says of a repair; None without one.
    """

    opened: Opened
    sealed_at: str
    approvals: Sequence[Approval]
    receipt: ChargeReceipt
    repair: RepairEntry | None = None


@dataclass(frozen=True)
class Checked:
    """A staged table with its manifest, gates included.

    Attributes:
        manifest: The manifest.
        version: Version of the staged table that was checked.
    """

    manifest: Manifest
    version: int

    def record(self, ledger: Receipt) -> tuple[dict[str, Any], bytes]:
        """For the journal, with the receipt of the newest link of the ledger."""
        return encode(
            Validated(self.manifest.record.passed, self.version, self.manifest.digest, ledger)
        ), self.manifest.text.encode()


def stage_and_check(
    env: Environment,
    plan: Plan,
    places: Places,
    fit: Fit,
    origin: Origin,
    steps: Steps,
) -> Checked:
    """Samples, stages, inspects and gates; reads synthetic rows and sealed measurements only."""
    request, model, sealed = plan.file.request, fit.model, fit.sealed
    books = codebooks(fit.domain)
    struct = opened_types(origin.opened)
    types = {field.name: field.dataType for field in struct.fields}
    lineage = Lineage(plan.identity.release_id, model.digest, origin.sealed_at)
    keys = {name: types[name] for name in request.output.key_columns}

    def rows_of(drawing: SamplePlan) -> DataFrame:
        drawn = sample_places(env.spark, drawing, env.site.target_file_rows)
        return table.release_rows(drawn, books, types, keys, lineage)

    rows = rows_of(_drawing(ModelFile(model, fit.domain), request.output))
    told = {"release_id": lineage.release_id, "status": "staged"}
    version = steps.run("sample", lambda: table.stage(rows, places.staged, table.constraints(books, types), told))
    noisy = with_pairs(noisy_tables(sealed, books))
    cliques = [columns for columns in noisy if len(columns) > 1]
    counted = [*cliques, *drawn_pairs(model, books)]
    found = inspect(read(env.spark, places.staged, version), books, lineage, counted, request.utility.rules or ())
    judged: Cells = found
    if request.output.where:
        # Wanted rows differ from the source by intention: what is compared with it is drawn without conditions.
        plain = sample_plan(model, books, request.output.rows, request.output.sampling_seed)
        judged = count_cells(rows_of(plain), books, counted)
    quality = {name: column_quality(book, noisy[name,], judged.counts[name]) for name, book in books.items()}
    rows_by_noise = total_rows(noisy.values())
    relations = tuple(clique_quality(noisy[c], judged.table(c), books, rows_by_noise) for c in cliques)
    assessed: Assessed | None = None
    if request.utility.replicates:
        alone = [clique_quality(noisy[name,], judged.counts[name], books, rows_by_noise) for name in books]
        at_least = {each.columns: beyond_noise(each) for each in (*alone, *relations) if len(each.columns) <= 2}
        assessed = steps.run("quality", lambda: assess(_simulated(plan, fit), model, sealed, at_least))
    verdicts = () if assessed is None else judged_by(assessed.expected.values(), env.policy.quality_limits)
    population = next(measurement for measurement in sealed if isinstance(measurement.asked.query, Population))
    expected = {name: data_type.simpleString() for name, data_type in types.items()}
    inputs = GateInputs(found, expected, quality, relations, population, _thresholds(plan), verdicts)
    facts = Facts(
        plan=plan,
        site_name=env.site.name,
        site_digest=env.site.digest,
        policy_name=env.policy.name,
        policy_digest=env.policy.digest,
        approvals=origin.approvals,
        scope=env.ledger.state(request.population.scope),
        receipt=origin.receipt,
        source_ref=origin.opened.source_ref,
        fit=fit,
        lineage=lineage,
        table=str(places.target),
        fingerprint=found.fingerprint,
        gates=run_gates(inputs),
        quality=quality,
        relations=relations,
        graph=drawn_graph(model, books, judged.table),
        repair=origin.repair,
        assessed=assessed,
        verdicts=verdicts,
        quality_limits=env.policy.quality_limits,
    )
    return Checked(manifest_of(facts), version)


def _thresholds(plan: Plan) -> Thresholds:
    """What request and policy allow."""
    request = plan.file.request
    return Thresholds(
        rows=request.output.rows,
        min_patients=plan.assessment.min_declared_patients,
        max_out_of_domain_share=request.utility.max_out_of_domain_share,
        max_clipped_share=request.utility.max_clipped_share,
        max_mean_tvd=request.utility.max_mean_tvd,
        max_mean_pair_tvd=request.utility.max_mean_pair_tvd,
        max_expected=request.utility.max_expected,
        rules=request.utility.rules,
    )


def _simulated(plan: Plan, fit: Fit) -> Release:
    """The release as simulations repeat it."""
    request = plan.file.request
    return Release(
        plan.synthesizer,
        fit.task,
        rows=request.output.rows,
        seed=request.output.sampling_seed,
        replicates=request.utility.replicates,
    )


def _drawing(file: ModelFile, output: Output) -> SamplePlan:
    """What to draw.

    Raises:
        GateFailed: The model excludes what is wanted; that depends on noisy answers, so that it shows only now.
    """
    try:
        return plan_where(file, output.rows, output.sampling_seed, output.where)
    except UsageError as error:
        if not output.where:
            raise
        reason = str(error).removeprefix("where: ")
        raise GateFailed(
            f"output.where: {reason}. Nothing is published; the charge stands, and another output section finishes the "
            "run without a new one (`synthward run REQUEST --repair FILE`)"
        ) from None
