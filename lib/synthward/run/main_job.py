"""The main job: the one place that composes the stages, in the order that keeps the guarantee.

    check policy -> preflight -> open (pin the source) -> charge -> copy what has no versions -> measure, seal, fit
    -> drop copies -> sample into staging, gates -> registry -> publish -> track

Every stage is idempotent: a driver that starts again under the same run key finds what is done in the journal, the
ledger and the tables, and goes on from there. Nothing is spent twice and no sealed answer is drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from synthward.errors import UsageError, after_seal
from synthward.governance.approvals import Approval
from synthward.ledger.charges import ChargeReceipt
from synthward.ledger.scopes import ScopeState
from synthward.records.journal import Repaired, Validated
from synthward.release.manifest import Manifest
from synthward.run.committed import CommittedJournal, require_whole_ledger
from synthward.run.environment import Environment, Places
from synthward.run.journal import PUBLISHED, REPAIRED, VALIDATED, Journal, entry
from synthward.run.plan import ATTEMPT, Plan
from synthward.run.stages import (
    ChargeRun,
    Copy,
    DropCopies,
    Measure,
    Open,
    Preflight,
    Progress,
    Publish,
    Register,
    Stage,
    Track,
    Validate,
)
from synthward.run.steps import Steps
from synthward.run.suppliers import PRODUCTION, Suppliers
from synthward.store.places import TableRef, Zone

SEALING: tuple[Stage, ...] = (
    Preflight(),
    Open(),
    ChargeRun(),
    Copy(),
    Measure(),
)
"""Everything up to the fit. Rows are read after the charge."""

RELEASING: tuple[Stage, ...] = (DropCopies(), Validate(), Register())
"""From the fit to a validated release, which is registered and not published."""

PUBLISHING: tuple[Stage, ...] = (Publish(), Track())
"""From a validated release to a published one."""


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


class MainJob:
    """Executes one plan."""

    def __init__(
        self,
        env: Environment,
        plan: Plan,
        approvals: Sequence[Approval],
        runs_allowed: int | None,
        suppliers: Suppliers = PRODUCTION,
    ) -> None:
        """Reads and writes nothing yet.

        Args:
            env: Session, site, stores, noise, clock.
            plan: What to do; policy has been asked by the caller.
            approvals: The approvals that cover the run, for the record.
            runs_allowed: How many runs of the request they cover; None where policy asks for none.
            suppliers: Functions with effects.
        """
        self._run = Progress(
            env=env,
            plan=plan,
            places=Places.of(env.site, plan),
            journal=Journal(env.journal, plan.identity.run_id),
            registry=suppliers.registry(env.spark, Zone(env.site.releases)),
            steps=Steps(plan.identity, env.on_step),
            suppliers=suppliers,
            approvals=approvals,
            runs_allowed=runs_allowed,
        )

    @property
    def judged(self) -> Manifest | None:
        """The manifest of the run, with the result of each gate; None until the gates have run."""
        return self._run.judged

    def execute(self) -> Outcome:
        """Runs the plan to a published release, from wherever an earlier driver left it.

        Raises:
            SynthwardError: See `synthward.errors`; running the same command again is always safe.
        """
        published = self._already_published()
        if published is not None:
            return self._recognised(published)
        self._pass((*SEALING, *RELEASING, *PUBLISHING))
        return self._outcome()

    def validate(self) -> Manifest:
        """Runs the plan to a validated release, which is registered and not published.

        Returns:
            The manifest of the release; that of the published release if there is one.

        Raises:
            SynthwardError: As `execute`.
        """
        published = self._already_published()
        if published is not None:
            return published
        self._pass((*SEALING, *RELEASING))
        assert self._run.manifest is not None, "a validated release has a manifest"
        return self._run.manifest

    def publish(self) -> Outcome:
        """Publishes the run's validated release; nothing is measured, drawn or charged.

        Raises:
            UsageError: The run has no validated release.
            SynthwardError: As `execute`.
        """
        published = self._already_published()
        if published is not None:
            return self._recognised(published)
        self._run.manifest = self._validated()
        self._pass(PUBLISHING)
        return self._outcome()

    def _already_published(self) -> Manifest | None:
        """The manifest of the run's published release, None if it has none.

        Raises:
            UsageError: The run is being repaired, which only the repair can finish.
        """
        journal = self._run.journal
        if journal.find(REPAIRED) is not None and (earlier := self._charged()) is not None and earlier.repairs():
            return self._after_repair(earlier)
        if journal.find(PUBLISHED) is not None and (earlier := self._charged()) is not None:
            return self._published(earlier)
        return None

    def _validated(self) -> Manifest:
        """The manifest of the run's release, which passed its gates and is registered.

        Raises:
            UsageError: There is none.
            IntegrityError: The journal is not the one that was charged, or the manifest is not its record.
        """
        run, committed = self._run, self._charged()
        if committed is not None:
            require_whole_ledger(run.journal, run.env.ledger, run.scope)
            link = committed.find(VALIDATED)
            if link is not None and entry(link, Validated).passed:
                manifest = run.recorded_manifest(link)
                row = run.registry.row(manifest.record.release_id)
                if row is not None and row["manifest_digest"] == manifest.digest:
                    return manifest
        raise UsageError(
            f"run {run.journal.run_id} has no validated release that could be published; run its request first, or see "
            "`synthward history`"
        )

    def _pass(self, stages: Sequence[Stage]) -> None:
        """Goes through stages in their order."""
        for stage in stages:
            if not stage.is_done(self._run):
                self._do(stage)

    def _do(self, stage: Stage) -> None:
        """Does a stage. Errors are quoted after the last seal only: those of the measurement quote real cells."""

        def quotable() -> None:
            with after_seal(stage.name):
                stage.do(self._run)

        def action() -> None:
            return quotable() if stage.quotable else stage.do(self._run)

        if stage.in_parts:
            action()
        else:
            self._run.steps.run(stage.name, action)

    def _recognised(self, manifest: Manifest) -> Outcome:
        """The release that an earlier driver of the run has published, after a look at it.

        Raises:
            Withdrawn: It was taken back since.
        """
        run = self._run
        run.env.require_standing(run.scope, run.journal.run_id, manifest.record.release_id)
        run.suppliers.recognise(run.env.spark, run.places.target, run.suppliers.table_properties(manifest))
        run.manifest = manifest
        Track().do(run)
        return self._outcome()

    def _after_repair(self, committed: CommittedJournal) -> Manifest:
        """The manifest of a run that was finished with another output section.

        Raises:
            UsageError: It is not finished yet, which needs that section.
        """
        run, repaired = self._run, committed.repairs()[-1]
        manifest = self._published(committed.after_repair())
        if manifest is None:
            raise UsageError(
                f"run {run.journal.run_id} is being finished with another output section "
                f"({entry(repaired, Repaired).repair.output[:12]}); run it with --repair and that file, nothing is "
                "spent"
            )
        run.places = replace(run.places, target=TableRef.parse(manifest.record.table))
        return manifest

    def _receipt(self) -> ChargeReceipt | None:
        """The receipt of the run's own charge, where it was made already."""
        run = self._run
        state = run.env.ledger.state(run.scope)
        own = (run.plan.identity.run_id, ATTEMPT)
        mine = [charge for charge in state.charges if (charge.run_id, charge.attempt) == own]
        return mine[0].receipt(state.genesis_hash, is_new=False) if mine else None

    def _charged(self) -> CommittedJournal | None:
        """The journal as far as the ledger vouches for it, where the run was charged already."""
        receipt = self._receipt()
        return None if receipt is None else self._run.charged(receipt)

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
        run, manifest = self._run, self._run.recorded_manifest(validated)
        row = run.registry.row(manifest.record.release_id)
        if row is None or row["manifest_digest"] != manifest.digest or not run.journal.has_published(manifest.digest):
            return None
        return manifest

    def _outcome(self) -> Outcome:
        run, manifest = self._run, self._run.manifest
        assert manifest is not None, "an outcome has a manifest"
        release = manifest.record
        scope = run.env.ledger.state(release.budget.scope)
        return Outcome(
            release.run_id, release.release_id, run.places.target, manifest, run.is_new, run.mlflow_run, scope
        )
