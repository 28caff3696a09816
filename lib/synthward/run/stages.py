"""The stages of a run: for each its name, whether it is done, and how to do it. `main_job` gives their order.

Every stage is idempotent: a driver that starts again finds in the journal, the ledger and the tables what is done. A
new capability of the run is one more stage in a list.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol, TypeVar

from synthward.errors import GateFailed, IntegrityError, UsageError
from synthward.evaluate.gates.registry import remedies
from synthward.fit.base import driven
from synthward.fit.model import Model
from synthward.fit.program import Fit
from synthward.governance.approvals import Approval
from synthward.ledger.charges import ChargeReceipt
from synthward.records.codec import encode
from synthward.records.journal import Fitted, Opened, Published, Validated
from synthward.records.manifest import RepairEntry
from synthward.release.manifest import Manifest
from synthward.release.registry import Artifact, Registry
from synthward.run import preflight
from synthward.run.committed import CommittedJournal, require_whole_ledger
from synthward.run.curators import Curators
from synthward.run.environment import Environment, Places
from synthward.run.journal import FITTED, OPENED, PUBLISHED, VALIDATED, Journal, entry, is_publication
from synthward.run.plan import ATTEMPT, Plan
from synthward.run.records import count_errors_of
from synthward.run.staging import Checked, Origin
from synthward.run.steps import Steps
from synthward.run.suppliers import Suppliers
from synthward.sample.model_file import ModelFile
from synthward.sources.reading import PinnedSource
from synthward.store.links import Link
from synthward.store.places import TableRef
from synthward.tracking.record import LoggedModel

logger = logging.getLogger(__name__)
T = TypeVar("T")

MANIFEST, REPORT, MODEL = "manifest.json", "report.html", "model.json"


@dataclass
class Progress:
    """One run as its driver knows it. Stages read it and add to it.

    Attributes:
        env: Session, site, stores, noise, clock.
        plan: What to do.
        places: Where to write.
        journal: The run's journal.
        registry: Releases.
        steps: Runs and logs steps.
        suppliers: Functions with effects.
        approvals: The approvals that cover the run.
        runs_allowed: How many runs of the request they cover; None where policy asks for none.
        repair: What the manifest says of a repair; None without one.
        opened_as: The opening as it holds for the release.
        pinned: The pinned source, after it was opened.
        receipt: The charge, after it was made.
        committed: The journal as far as the ledger vouches for it, after the charge.
        fit: The fit, after all rounds.
        judged: The manifest with the result of each gate, also if one failed; None until the gates have run.
        manifest: The manifest, after validation.
        report: The report, after validation.
        is_new: Whether this driver published the release.
        mlflow_run: MLflow run id, after tracking; None where MLflow is absent or unreachable.
    """

    env: Environment
    plan: Plan
    places: Places
    journal: Journal
    registry: Registry
    steps: Steps
    suppliers: Suppliers
    approvals: Sequence[Approval]
    runs_allowed: int | None
    repair: RepairEntry | None = None
    opened_as: Callable[[Opened], Opened] = lambda opened: opened
    pinned: PinnedSource | None = None
    receipt: ChargeReceipt | None = None
    committed: CommittedJournal | None = None
    fit: Fit | None = None
    judged: Manifest | None = None
    manifest: Manifest | None = None
    report: str | None = None
    is_new: bool = False
    mlflow_run: str | None = None

    @property
    def scope(self) -> str:
        """The scope that is charged."""
        return self.plan.file.request.population.scope

    def charged(self, receipt: ChargeReceipt) -> CommittedJournal:
        """Notes the charge; the journal as far as the ledger vouches for it."""
        self.receipt = receipt
        self.committed = CommittedJournal(self.journal, self.env.ledger, self.scope, receipt)
        return self.committed

    def recorded_manifest(self, link: Link) -> Manifest:
        """The manifest that a link of validation holds.

        Raises:
            IntegrityError: It does not have the digest of its record.
        """
        manifest = Manifest.parse((link.payload or b"").decode())
        if manifest.digest != entry(link, Validated).manifest:
            raise IntegrityError(f"run {self.journal.run_id}: its manifest does not have the digest of its record")
        self.judged = manifest
        return manifest


def _after(stage: str, made: T | None) -> T:
    """What an earlier stage has made; a list of stages in another order is a defect."""
    assert made is not None, f"the stage '{stage}' comes first"
    return made


class Stage(Protocol):
    """One stage of a run.

    Attributes:
        name: Its name in the log.
        quotable: Whether it comes after the last seal, so that its errors may be quoted.
        in_parts: Whether it logs its parts, and has no line of its own.
    """

    name: ClassVar[str]
    quotable: ClassVar[bool]
    in_parts: ClassVar[bool]

    def is_done(self, run: Progress) -> bool:
        """Whether nothing is left to do, so that the stage is skipped."""
        ...

    def do(self, run: Progress) -> None:
        """Does it, or finds what an earlier driver did. Errors are those of `MainJob.execute`."""
        ...


class _Always:
    """A stage that every driver passes; what an earlier driver did, it finds."""

    quotable: ClassVar[bool] = False
    in_parts: ClassVar[bool] = False

    def is_done(self, run: Progress) -> bool:  # noqa: ARG002 - others look at it
        """See `Stage`."""
        return False


class _AfterSeal(_Always):
    """A stage after the last seal."""

    quotable: ClassVar[bool] = True


class Preflight(_Always):
    """Tries everything that can fail and needs no data."""

    name: ClassVar[str] = "preflight"

    def do(self, run: Progress) -> None:
        """See `Stage`."""
        env, plan, suppliers = run.env, run.plan, run.suppliers
        suppliers.check_executors(env.spark)
        suppliers.warn_of_interpretation(env.spark, len(plan.domain.attributes))
        zones = preflight.written_zones(env.site)
        suppliers.check_zones(env.spark, zones, plan.identity.release_id)
        suppliers.check_targets(env.spark, run.registry, run.places.target, plan.identity.release_id)
        trouble = suppliers.reachable(env.site.tracking)
        if trouble:
            logger.warning("MLflow will not be written: %s; the run is recorded in Delta anyway", trouble)


class Open(_Always):
    """Pins the source."""

    name: ClassVar[str] = "open"

    def do(self, run: Progress) -> None:
        """See `Stage`."""
        run.pinned = run.suppliers.open_source(run.env, run.plan, run.places, run.journal)


class ChargeRun(_Always):
    """Charges the run, durably and before a row is read."""

    name: ClassVar[str] = "charge"

    def do(self, run: Progress) -> None:
        """See `Stage`."""
        env, plan = run.env, run.plan
        require_whole_ledger(run.journal, env.ledger, run.scope)
        opened = _after("open", run.journal.find(OPENED))
        receipt = env.ledger.charge(
            run.scope,
            run_id=plan.identity.run_id,
            attempt=ATTEMPT,
            request_digest=plan.file.digest,
            policy_digest=env.policy.digest,
            site_digest=env.site.digest,
            journal_id=entry(opened, Opened).journal_id,
            cost=plan.charge,
            release_id=plan.identity.release_id,
            delta_report=plan.delta,
            opened=opened.hash,
            runs_allowed=run.runs_allowed,
            tier_cap=plan.tier_cap,
        )
        run.charged(receipt)


class Copy(_Always):
    """Copies source tables that have no versions."""

    name: ClassVar[str] = "copy"

    def is_done(self, run: Progress) -> bool:
        """See `Stage`."""
        return run.pinned is not None and not run.pinned.unversioned

    def do(self, run: Progress) -> None:
        """See `Stage`."""
        run.pinned = run.suppliers.copy_source(run.env, run.plan, run.places, run.committed, run.pinned)


class Measure(_Always):
    """Answers all rounds by curators and keeps the model. Domain and model see sealed measurements only."""

    name: ClassVar[str] = "measure"
    in_parts: ClassVar[bool] = True

    def do(self, run: Progress) -> None:
        """See `Stage`."""
        committed, pinned = _after("charge", run.committed), _after("open", run.pinned)
        with Curators(run.env, run.plan, pinned, committed, run.steps, run.suppliers) as curators:
            fit, _ = driven(run.plan.program.rounds(), curators.answer)
        fitted = ModelFile(fit.model, fit.domain)
        run.fit = replace(fit, model=run.steps.run("fitted", lambda: self._kept(fitted, committed)))

    def _kept(self, fitted: ModelFile, committed: CommittedJournal) -> Model:
        """The model of the run: that of the first driver to get here.

        A fit is a function of its seals, but floats differ from one kind of processor to the next, and by more than
        their last places where a fit has hundreds of steps. A run that goes on elsewhere must draw from the same model.
        """

        def kept() -> tuple[dict[str, Any], bytes]:
            return encode(Fitted(fitted.model.digest, committed.latest_receipt())), fitted.text.encode()

        link = committed.once(FITTED, kept)
        return ModelFile.parse((link.payload or b"").decode(), entry(link, Fitted).model).model


class DropCopies(_AfterSeal):
    """Drops the run's copies of the source: every time, because another driver may have copied while we sealed."""

    name: ClassVar[str] = "drop copies"

    def is_done(self, run: Progress) -> bool:
        """See `Stage`."""
        return not self._copies(run)

    def do(self, run: Progress) -> None:
        """See `Stage`."""
        for copy in self._copies(run):
            run.suppliers.drop(run.env.spark, TableRef.parse(copy))

    def _copies(self, run: Progress) -> tuple[str, ...]:
        return tuple(entry(_after("charge", run.committed).opening(), Opened).copies)


class Validate(_AfterSeal):
    """Samples into staging, runs the gates there, and records gates and manifest, once a run."""

    name: ClassVar[str] = "validate"

    def do(self, run: Progress) -> None:
        """See `Stage`.

        Raises:
            GateFailed: A gate failed; the staged rows stay where they are.
        """
        committed, receipt, fit = (
            _after("charge", run.committed),
            _after("charge", run.receipt),
            _after("measure", run.fit),
        )
        opened = run.opened_as(entry(committed.opening(), Opened))
        origin = Origin(opened, committed.last_seal().at, run.approvals, receipt, run.repair)

        def checked() -> tuple[dict[str, Any], bytes]:
            staged: Checked = run.suppliers.stage_and_check(run.env, run.plan, run.places, fit, origin, run.steps)
            return staged.record(committed.latest_receipt())

        manifest = run.recorded_manifest(committed.once(VALIDATED, checked))
        if manifest.record.model.digest != fit.model.digest:
            raise IntegrityError(f"run {run.journal.run_id}: its recorded manifest does not belong to its seals")
        failed = manifest.record.failed_gates
        if failed:
            reasons = "; ".join(f"gate '{gate.gate}' failed: {gate.detail}" for gate in failed)
            raise GateFailed(
                f"release {manifest.record.release_id} is quarantined at {run.places.staged}, nothing is published. "
                f"{reasons}. The charge stands. {remedies(gate.gate for gate in failed)}"
            )
        run.manifest, run.report = manifest, run.suppliers.render(manifest)


class Register(_AfterSeal):
    """Keeps the artifacts and the row of the release in the registry."""

    name: ClassVar[str] = "register"

    def do(self, run: Progress) -> None:
        """See `Stage`."""
        manifest, fit = _after("validate", run.manifest), _after("measure", run.fit)
        release_id = manifest.record.release_id
        model = ModelFile(fit.model, fit.domain, count_errors_of(manifest))
        artifacts = [
            Artifact(MANIFEST, "application/json", manifest.text.encode()),
            Artifact(REPORT, "text/html", (run.report or "").encode()),
            Artifact(MODEL, "application/json", model.text.encode()),
        ]
        run.registry.keep(release_id, artifacts)
        run.registry.record(release_id, run.suppliers.registry_row(manifest))


class Publish(_AfterSeal):
    """Commits the release at its target, and says so in the journal."""

    name: ClassVar[str] = "publish"

    def do(self, run: Progress) -> None:
        """See `Stage`.

        Raises:
            UsageError: The run is being repaired in another way.
            Withdrawn: The release was taken back.
            PolicyRefused: Its publication has to be approved first.
        """
        manifest, committed = _after("validate", run.manifest), _after("charge", run.committed)
        link = _after("validate", committed.find(VALIDATED))
        if not committed.is_newest():
            raise UsageError(
                f"run {run.journal.run_id} is being repaired in another way by another driver, and the last repair "
                "counts; see `synthward history`, and run with --repair and that file"
            )
        run.env.require_standing(run.scope, run.journal.run_id, manifest.record.release_id)
        run.env.require_approved(manifest.record.release_id, run.plan.assessment.tier)
        run.is_new = run.suppliers.publish(
            run.env.spark,
            run.places.staged,
            entry(link, Validated).version,
            run.places.target,
            run.suppliers.table_properties(manifest),
            run.env.site.publish,
        )
        run.registry.create_view(run.places.target)
        table = str(run.places.target)
        # One that was planted is ignored; ours follows it.
        run.journal.append(
            PUBLISHED,
            lambda link: is_publication(link, manifest.digest),
            lambda: (encode(Published(table, manifest.digest, committed.latest_receipt())), None),
        )


class Track(_AfterSeal):
    """Logs the release to MLflow, if there is one."""

    name: ClassVar[str] = "track"

    def do(self, run: Progress) -> None:
        """See `Stage`."""
        manifest, suppliers = _after("validate", run.manifest), run.suppliers
        release_id = manifest.record.release_id
        run.mlflow_run = suppliers.log_release(
            run.env.site.tracking,
            manifest,
            run.report if run.report is not None else suppliers.render(manifest),
            metrics=suppliers.publishable_metrics(manifest),
            parameters=suppliers.tracked_parameters(manifest),
            model=LoggedModel(run.plan.file.request.output.name, lambda: run.registry.artifact(release_id, MODEL)),
        )
