"""The main job: the one place that composes the stages, in the order that keeps the guarantee.

    check policy -> preflight -> open (pin the source) -> charge -> copy what has no versions -> measure, seal -> fit
    -> sample into staging -> gates -> registry -> publish -> track

Every step is idempotent: a driver that starts again under the same run key finds what is done in the journal, the
ledger and the tables, and goes on from there. Nothing is spent twice and no sealed answer is drawn again.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.errors import GateFailed, IntegrityError, UsageError, after_seal
from synthward.evaluate.gates.registry import remedies
from synthward.fit.base import driven
from synthward.fit.model import Model
from synthward.governance.approvals import Approval
from synthward.ledger.charges import ChargeReceipt
from synthward.ledger.scopes import ScopeState
from synthward.measure.curator import Curator
from synthward.measure.discovery import Discovery
from synthward.privacy.accounting import Charge
from synthward.privacy.discovery import Found
from synthward.privacy.measurement import Measurement, Round
from synthward.privacy.queries import Clique
from synthward.records.codec import encode
from synthward.records.journal import Fitted, Opened, Published, Repaired, Validated
from synthward.records.manifest import RepairEntry
from synthward.release.manifest import Manifest
from synthward.release.publication import publish, recognise
from synthward.release.registry import Artifact, Registry
from synthward.report.render import render
from synthward.run import preflight
from synthward.run.committed import CommittedJournal, CommittedSeals, require_whole_ledger
from synthward.run.environment import Environment, Places
from synthward.run.journal import FITTED, OPENED, PUBLISHED, REPAIRED, VALIDATED, Journal, entry, is_publication
from synthward.run.learning import Learned, Learning, with_histograms
from synthward.run.opening import copy_source, open_source
from synthward.run.plan import ATTEMPT, Plan
from synthward.run.records import (
    count_errors_of,
    publishable_metrics,
    registry_row,
    table_properties,
    tracked_parameters,
)
from synthward.run.staging import Origin, stage_and_check
from synthward.run.steps import Steps
from synthward.sample.model_file import ModelFile
from synthward.sources import reading as source
from synthward.sources.patient import source_rows
from synthward.sources.reading import PinnedSource
from synthward.store.delta import drop
from synthward.store.links import Link
from synthward.store.places import TableRef, Zone
from synthward.tracking import record as tracking
from synthward.tracking.record import LoggedModel

logger = logging.getLogger(__name__)
T = TypeVar("T")

MANIFEST, REPORT, MODEL = "manifest.json", "report.html", "model.json"


@dataclass(frozen=True)
class Outcome:
    """A published release.

    Attributes:
        run_id: The run.
        release_id: The release.
        table: Its table.
        manifest: Its manifest.
        is_new: False when an earlier run had already published it and nothing was done.
        mlflow_run: MLflow run id, None where MLflow is absent or unreachable.
        scope: The scope's account after the run.
    """

    run_id: str
    release_id: str
    table: TableRef
    manifest: Manifest
    is_new: bool
    mlflow_run: str | None
    scope: ScopeState


@dataclass(frozen=True, eq=False)
class Measured:
    """What all rounds have come to.

    Attributes:
        plan: The plan, on the learned domain where there is one.
        model: The fitted model.
        sealed: Answers of the synthesizer's rounds.
        learned: Answers of the rounds before.
    """

    plan: Plan
    model: Model
    sealed: Sequence[Measurement]
    learned: Learned


class MainJob:
    """Executes one plan."""

    def __init__(self, env: Environment, plan: Plan, approvals: Sequence[Approval], runs_allowed: int | None) -> None:
        """Reads and writes nothing yet.

        Args:
            env: Session, site, stores, noise, clock.
            plan: What to do; policy has been asked by the caller.
            approvals: The approvals that cover the run, for the record.
            runs_allowed: How many runs of the request they cover; None where policy asks for none.
        """
        self._env = env
        self._plan = plan
        self._approvals = approvals
        self._runs_allowed = runs_allowed
        self._places = Places.of(env.site, plan)
        self._journal = Journal(env.journal, plan.identity.run_id)
        self._registry = Registry(env.spark, Zone(env.site.releases))
        self._steps = Steps(plan.identity, env.on_step)
        self.judged: Manifest | None = None
        """The manifest of the run, with the result of each gate; None until the gates have run."""

    def execute(self) -> Outcome:
        """Runs the plan to a published release, from wherever an earlier driver left it.

        Raises:
            SynthwardError: See `synthward.errors`; running the same command again is always safe.
        """
        if self._journal.find(REPAIRED) is not None and (earlier := self._charged()) is not None and earlier.repairs():
            return self._after_repair(earlier)
        if self._journal.find(PUBLISHED) is not None and (earlier := self._charged()) is not None:
            published = self._published(earlier)
            if published is not None:
                return self._recognised(published)
        self._steps.run("preflight", self._preflight)
        pinned = self._steps.run("open", lambda: open_source(self._env, self._plan, self._places, self._journal))
        receipt = self._steps.run("charge", self._charge)
        committed = self._vouched_for(receipt)
        if pinned.unversioned:
            pinned = self._steps.run("copy", functools.partial(self._copy, committed, pinned))
        measured = self._measure(pinned, committed)
        return self._released(measured, receipt, committed)

    def _recognised(self, manifest: Manifest) -> Outcome:
        """The release that an earlier driver of the run has published, after a look at it."""
        recognise(self._env.spark, self._places.target, table_properties(manifest))
        return self._outcome(manifest, None, is_new=False)

    def _after_repair(self, committed: CommittedJournal) -> Outcome:
        """What became of a run that is finished with another output section.

        Raises:
            UsageError: It is not finished yet, which needs that section.
        """
        repaired = committed.repairs()[-1]
        manifest = self._published(committed.after_repair())
        if manifest is None:
            raise UsageError(
                f"run {self._journal.run_id} is being finished with another output section "
                f"({entry(repaired, Repaired).repair.output[:12]}); run it with --repair and that file, nothing is "
                "spent"
            )
        self._places = replace(self._places, target=TableRef.parse(manifest.record.table))
        return self._recognised(manifest)

    def _released(self, measured: Measured, receipt: ChargeReceipt, committed: CommittedJournal) -> Outcome:
        """Everything after the last seal: rows, gates, registry, publication, tracking."""
        manifest = self._sealed("validate", lambda: self._validate(measured, receipt, committed))
        report = render(manifest)
        self._sealed("register", lambda: self._register(manifest, report, measured))
        is_new = self._sealed("publish", lambda: self._publish(manifest, committed))
        return self._sealed("track", lambda: self._outcome(manifest, report, is_new=is_new))

    def _sealed(self, step: str, action: Callable[[], T]) -> T:
        """Runs a step that comes after the last seal, where an error may be quoted."""

        def quotable() -> T:
            with after_seal(step):
                return action()

        return self._steps.run(step, quotable)

    @property
    def _scope(self) -> str:
        return self._plan.file.request.population.scope

    def _vouched_for(self, receipt: ChargeReceipt) -> CommittedJournal:
        return CommittedJournal(self._journal, self._env.ledger, self._scope, receipt)

    def _receipt(self) -> ChargeReceipt | None:
        """The receipt of the run's own charge, where it was made already."""
        state = self._env.ledger.state(self._scope)
        own = (self._plan.identity.run_id, ATTEMPT)
        mine = [charge for charge in state.charges if (charge.run_id, charge.attempt) == own]
        return mine[0].receipt(state.genesis_hash, is_new=False) if mine else None

    def _charged(self) -> CommittedJournal | None:
        """The journal as far as the ledger vouches for it, where the run was charged already."""
        receipt = self._receipt()
        return None if receipt is None else self._vouched_for(receipt)

    def _published(self, committed: CommittedJournal) -> Manifest | None:
        """The manifest of a run that is published already.

        The `published` link saves work and decides nothing: it counts where the ledger names the manifest it speaks of,
        all gates passed, and the registry lists that manifest. Otherwise the run goes its ordinary way.

        Raises:
            IntegrityError: The run's manifest is forfeit, or does not have its digest.
        """
        validated = committed.find(VALIDATED)
        if validated is None or not entry(validated, Validated).passed:
            return None
        manifest = self._recorded_manifest(validated)
        row = self._registry.row(manifest.record.release_id)
        if row is None or row["manifest_digest"] != manifest.digest or not self._journal.has_published(manifest.digest):
            return None
        return manifest

    def _preflight(self) -> None:
        preflight.check_executors(self._env.spark)
        preflight.warn_of_interpretation(self._env.spark, len(self._plan.domain.attributes))
        zones = preflight.written_zones(self._env.site)
        preflight.check_zones(self._env.spark, zones, self._plan.identity.release_id)
        preflight.check_targets(self._env.spark, self._registry, self._places.target, self._plan.identity.release_id)
        trouble = tracking.reachable(self._env.site.tracking)
        if trouble:
            logger.warning("MLflow will not be written: %s; the run is recorded in Delta anyway", trouble)

    def _charge(self) -> ChargeReceipt:
        plan = self._plan
        require_whole_ledger(self._journal, self._env.ledger, self._scope)
        opened = self._journal.find(OPENED)
        assert opened is not None, "a run is opened before it is charged"
        return self._env.ledger.charge(
            self._scope,
            run_id=plan.identity.run_id,
            attempt=ATTEMPT,
            request_digest=plan.file.digest,
            policy_digest=self._env.policy.digest,
            site_digest=self._env.site.digest,
            journal_id=entry(opened, Opened).journal_id,
            cost=plan.charge,
            release_id=plan.identity.release_id,
            delta_report=plan.delta,
            opened=opened.hash,
            runs_allowed=self._runs_allowed,
            tier_cap=plan.tier_cap,
        )

    def _copy(self, committed: CommittedJournal, pinned: PinnedSource) -> PinnedSource:
        return copy_source(self._env, self._plan, self._places, committed, pinned)

    def _measure(self, pinned: PinnedSource, committed: CommittedJournal) -> Measured:
        """Drives all rounds against curators; domain and model see sealed measurements only."""
        plan = self._plan
        learned = Learned((), ()) if plan.learning is None else self._learn(plan.learning, pinned, committed)
        if plan.learning is not None:
            plan = plan.on(plan.learning.learned(learned.sealed, learned.found))
        cliques = plan.synthesizer.cliques(plan.task)
        with contextlib.closing(self._curator(pinned, committed, plan.domain, plan.synthesis, cliques)) as curator:
            model, sealed = driven(plan.synthesizer.rounds(plan.task), functools.partial(self._answered, curator))
        fitted = ModelFile(with_histograms(model, plan.learning, learned), plan.domain)
        return Measured(plan, self._steps.run("fitted", lambda: self._kept(fitted, committed)), sealed, learned)

    def _kept(self, fitted: ModelFile, committed: CommittedJournal) -> Model:
        """The model of the run: that of the first driver to get here.

        A fit is a function of its seals, but floats differ from one kind of processor to the next, and by more than
        their last places where a fit has hundreds of steps. A run that goes on elsewhere must draw from the same model.
        """

        def kept() -> tuple[dict[str, Any], bytes]:
            return encode(Fitted(fitted.model.digest, committed.latest_receipt())), fitted.text.encode()

        link = committed.once(FITTED, kept)
        return ModelFile.parse((link.payload or b"").decode(), entry(link, Fitted).model).model

    def _learn(self, learning: Learning, pinned: PinnedSource, committed: CommittedJournal) -> Learned:
        """The rounds before the synthesizer's, each under its part of the charge."""
        sealed: tuple[Measurement, ...] = ()
        found: tuple[Found, ...] = ()
        if (bins := learning.bins) is not None:
            with contextlib.closing(self._curator(pinned, committed, learning.fine, bins.charge)) as curator:
                sealed = self._answered(curator, bins)
        if (categories := learning.categories) is not None:
            spark, plan = self._env.spark, self._plan
            books = codebooks(learning.declared.restricted_to(tuple(item.query.column for item in categories.asked)))
            discovery = Discovery(
                rows=lambda: source_rows(spark, pinned, plan.file, books),
                unit=plan.task.unit,
                charge=categories.charge,
                seals=CommittedSeals(committed),
                noise=self._env.noise,
                check_source=functools.partial(source.check_unchanged, spark, pinned),
                step=self._steps.run,
                curve_cells=plan.task.curve_cells,
            )
            found = self._steps.run(f"measure {categories.step}", lambda: discovery.answer(categories))
        return Learned(sealed, found)

    def _answered(self, curator: Curator, asked: Round) -> tuple[Measurement, ...]:
        return self._steps.run(f"measure {asked.step}", lambda: curator.answer(asked))

    def _curator(
        self,
        pinned: PinnedSource,
        committed: CommittedJournal,
        domain: Domain,
        charge: Charge,
        cliques: Sequence[Clique] = (),
    ) -> Curator:
        """A curator of one domain under its part of the run's charge."""
        spark, plan = self._env.spark, self._plan
        books = codebooks(domain)
        return Curator(
            rows=lambda: source_rows(spark, pinned, plan.file, books),
            domain=domain,
            unit=plan.task.unit,
            charge=charge,
            seals=CommittedSeals(committed),
            noise=self._env.noise,
            tasks=plan.tasks,
            check_source=functools.partial(source.check_unchanged, spark, pinned),
            step=self._steps.run,
            cliques=cliques,
            curve_cells=plan.task.curve_cells,
        )

    def _validate(self, measured: Measured, receipt: ChargeReceipt, committed: CommittedJournal) -> Manifest:
        """Samples into staging, runs the gates there, and records gates and manifest, once a run.

        Raises:
            GateFailed: A gate failed; the staged rows stay where they are.
        """
        opened = entry(committed.opening(), Opened)
        for copy in opened.copies:  # every time: another driver may have copied while we sealed
            drop(self._env.spark, TableRef.parse(copy))
        at, plan, model = committed.last_seal().at, measured.plan, measured.model
        origin = Origin(
            self._release_opening(opened), at, self._approvals, receipt, measured.learned, self._repair_entry()
        )

        def checked() -> tuple[dict[str, Any], bytes]:
            staged = stage_and_check(self._env, plan, self._places, model, measured.sealed, origin, self._steps)
            return staged.record(committed.latest_receipt())

        manifest = self._recorded_manifest(committed.once(VALIDATED, checked))
        if manifest.record.model.digest != measured.model.digest:
            raise IntegrityError(f"run {self._journal.run_id}: its recorded manifest does not belong to its seals")
        failed = manifest.record.failed_gates
        if failed:
            reasons = "; ".join(f"gate '{gate.gate}' failed: {gate.detail}" for gate in failed)
            raise GateFailed(
                f"release {manifest.record.release_id} is quarantined at {self._places.staged}, nothing is published. "
                f"{reasons}. The charge stands. {remedies(gate.gate for gate in failed)}"
            )
        return manifest

    def _release_opening(self, opened: Opened) -> Opened:
        """The opening as it holds for the release."""
        return opened

    def _repair_entry(self) -> RepairEntry | None:
        """What the manifest says of a repair; None without one."""
        return None

    def _recorded_manifest(self, link: Link) -> Manifest:
        manifest = Manifest.parse((link.payload or b"").decode())
        if manifest.digest != entry(link, Validated).manifest:
            raise IntegrityError(f"run {self._journal.run_id}: its manifest does not have the digest of its record")
        self.judged = manifest
        return manifest

    def _register(self, manifest: Manifest, report: str, measured: Measured) -> None:
        release_id = manifest.record.release_id
        model = ModelFile(measured.model, measured.plan.domain, count_errors_of(manifest))
        artifacts = [
            Artifact(MANIFEST, "application/json", manifest.text.encode()),
            Artifact(REPORT, "text/html", report.encode()),
            Artifact(MODEL, "application/json", model.text.encode()),
        ]
        self._registry.keep(release_id, artifacts)
        self._registry.record(release_id, registry_row(manifest))

    def _publish(self, manifest: Manifest, committed: CommittedJournal) -> bool:
        link = committed.find(VALIDATED)
        assert link is not None, "a release is validated before it is published"
        if not committed.is_newest():
            raise UsageError(
                f"run {self._journal.run_id} is being repaired in another way by another driver, and the last repair "
                "counts; see `synthward history`, and run with --repair and that file"
            )
        is_new = publish(
            self._env.spark,
            self._places.staged,
            entry(link, Validated).version,
            self._places.target,
            table_properties(manifest),
            self._env.site.publish,
        )
        self._registry.create_view(self._places.target)
        table = str(self._places.target)
        # One that was planted is ignored; ours follows it.
        self._journal.append(
            PUBLISHED,
            lambda link: is_publication(link, manifest.digest),
            lambda: (encode(Published(table, manifest.digest, committed.latest_receipt())), None),
        )
        return is_new

    def _outcome(self, manifest: Manifest, report: str | None, *, is_new: bool) -> Outcome:
        release = manifest.record
        mlflow_run = tracking.log_release(
            self._env.site.tracking,
            manifest,
            report if report is not None else render(manifest),
            metrics=publishable_metrics(manifest),
            parameters=tracked_parameters(manifest),
            model=LoggedModel(
                self._plan.file.request.output.name, lambda: self._registry.artifact(release.release_id, MODEL)
            ),
        )
        scope = self._env.ledger.state(release.budget.scope)
        return Outcome(release.run_id, release.release_id, self._places.target, manifest, is_new, mlflow_run, scope)
