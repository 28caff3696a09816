"""One API for notebooks, the command line and jobs.

```python
ward = synthward.open(spark, site="conf/site.yaml")
request = ward.request("conf/requests/diabetes130.yaml")
plan = ward.plan(request)
ward.approve(request, by="lee", role="privacy_officer")
release = ward.run(request, run_key="2026-01")
```
"""

from __future__ import annotations

import datetime as dt
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthward.config.instants import now
from synthward.config.text import quoted
from synthward.errors import (
    BudgetError,
    ConfigError,
    IntegrityError,
    LedgerCorrupt,
    PolicyRefused,
    SynthwardError,
    UsageError,
)
from synthward.governance.acts import Acts
from synthward.governance.approvals import Approval, Verdict
from synthward.governance.keys import Signer
from synthward.governance.lifecycle import Facts, State
from synthward.governance.policy import Policy, load_policy
from synthward.governance.reasons import Reason
from synthward.governance.roster import roster_of
from synthward.ledger.exposure import Exposure, exposure
from synthward.ledger.halts import stopped
from synthward.ledger.ledger import Ledger
from synthward.ledger.ownership import CLAIMS_KEY, Addition
from synthward.ledger.scopes import HistoryLine, ScopeState
from synthward.privacy.noise import NoiseSource, SecureNoise
from synthward.prove import records, sampler
from synthward.prove.claim import Claim
from synthward.prove.proof import Proof, not_proven
from synthward.prove.sensitivity import Attack
from synthward.records.findings import Drilled, Watched
from synthward.records.journal import Validated
from synthward.records.requests import Submission, Withdrawal
from synthward.release.catalogs import catalog_for
from synthward.release.manifest import Manifest
from synthward.release.registry import Registry
from synthward.report.files import write_report
from synthward.report.site import pages
from synthward.run.decisions import Decisions, Given
from synthward.run.describe import describe_plan
from synthward.run.doctor import Finding, session_findings, site_findings
from synthward.run.drill import Scratch, newest
from synthward.run.effects import SiteEffects
from synthward.run.environment import Environment
from synthward.run.evidence import Evidence, evidence_of
from synthward.run.halts import Halts
from synthward.run.journal import PUBLISHED, VALIDATED, entry
from synthward.run.main_job import MainJob, Outcome
from synthward.run.monitoring import TABLE as MONITORING
from synthward.run.monitoring import Monitor
from synthward.run.officer import Asked, Published, Records, facts_of
from synthward.run.opening import discard_copies
from synthward.run.ownership import list_with_id, route_with_ids, with_ids
from synthward.run.plan import Plan, make_plan
from synthward.run.records import publishable_metrics
from synthward.run.releases import EVENTS, Releases
from synthward.run.repair import ApprovedRepair, RepairJob, repaired_plan
from synthward.run.result import RunResult
from synthward.run.runs import Runs
from synthward.run.stages import MANIFEST, MODEL, REPORT
from synthward.run.standing import Standing
from synthward.run.submissions import TABLE as REQUESTS
from synthward.run.submissions import Author, Submissions
from synthward.run.suppliers import PRODUCTION, Suppliers
from synthward.sample.counts import Count, Counts
from synthward.sample.model_file import ModelFile
from synthward.spec.apart import zone_problems
from synthward.spec.bundle import Bundle
from synthward.spec.population import OptOuts, PopulationFile, Route, Table, load_population
from synthward.spec.repair import Repair
from synthward.spec.request_file import RequestFile, load_request
from synthward.spec.site import Site, load_site
from synthward.store.delta import read
from synthward.store.links import Link
from synthward.store.places import Zone

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Release:
    """A published release, as the caller sees it.

    Attributes:
        outcome: Ids, table, manifest and account.
        report: The HTML report.
        load_model: Reads the stored model.
    """

    outcome: Outcome
    report: str
    load_model: Callable[[], ModelFile]

    @cached_property
    def model(self) -> ModelFile:
        """The stored model, which draws rows and counts without Spark; read when it is first asked for."""
        return self.load_model()

    @cached_property
    def _counts(self) -> Counts:
        return Counts.of(self.model)

    def count(self, where: Mapping[str, Any]) -> Count:
        """Estimate how many rows of the source meet all conditions, with a 95 % interval; costs no budget.

        Patients with more than K rows count like K. See `sample.counts.Counts.count` for conditions.

        Raises:
            UsageError: A column or a value is not declared, or the release was made without simulated releases.
        """
        return self._counts.count(where)

    @property
    def table(self) -> str:
        """Path or name of the release's table."""
        return str(self.outcome.table)

    @property
    def release_id(self) -> str:
        """The release."""
        return self.outcome.release_id

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return self.outcome.manifest

    @property
    def metrics(self) -> dict[str, float]:
        """Budget and quality, publishable."""
        return publishable_metrics(self.outcome.manifest)


def _nothing(step: str) -> None:
    """The step callback of production."""


@dataclass
class _Attempt:
    """One try of a run, as far as it has come.

    Attributes:
        plan: Its plan.
        job: Its job, None before policy, approvals and budget allow it.
        outcome: What it has published, None if it stops before that.
    """

    plan: Plan | None = None
    job: MainJob | None = None
    outcome: Outcome | None = None


class Ward:
    """A site, opened with a session: requests, approvals, runs, budgets, releases."""

    def __init__(
        self,
        spark: SparkSession,
        site: Site,
        *,
        noise: NoiseSource | None = None,
        clock: Callable[[], dt.datetime] = now,
        on_step: Callable[[str], None] = _nothing,
        suppliers: Suppliers = PRODUCTION,
    ) -> None:
        """Reads the policy; nothing else is read or written before it is needed.

        Args:
            spark: A session with Delta; it is never configured here. It stays reachable as `session`.
            site: The site.
            noise: For tests; production leaves it out and gets cryptographic noise.
            clock: Time, with a zone.
            on_step: Called with the name of each step of a run after it.
            suppliers: Functions with effects; tests give others.
        """
        self.session = spark
        self.site = site
        self.policy: Policy = load_policy(Path(site.policy))
        self._clock = clock
        self._on_step = on_step
        self._suppliers = suppliers
        self._noise = noise if noise is not None else SecureNoise()
        protected = Zone(site.protected)
        self._approvals, self._journal = (
            suppliers.chain(spark, protected.table(name), single_writer=site.single_writer, clock=clock)
            for name in ("approvals", "journal")
        )
        self.roster = roster_of(site)
        self.registry: Registry = suppliers.registry(spark, Zone(site.releases))
        self.runs: Runs = suppliers.runs(spark, protected)
        self.result: RunResult | None = None
        """How the last `run` of this object ended."""
        self.judged: Manifest | None = None
        """Manifest of the last `run`, also if a gate failed; None if it ended before the gates."""
        self.ledger: Ledger = suppliers.ledger(spark, Zone(site.ledger), single_writer=site.single_writer, clock=clock)
        effects = SiteEffects(spark, site, self.ledger, lambda: catalog_for(spark, Zone(site.releases), site.catalog))
        self.published = Releases(
            registry=self.registry,
            chain=lambda: suppliers.chain(
                spark, Zone(site.releases).table(EVENTS), single_writer=site.single_writer, clock=clock
            ),
            acts=Acts(self.policy, self.roster),
            site=site.digest,
            ledger=self.ledger,
            manifest=self.manifest,
            effects=effects,
            clock=clock,
        )
        """The published releases: who may read them, grants, expiry, incidents and recalls."""
        self._monitor = Monitor(
            spark=spark,
            policy=self.policy,
            ledger=self.ledger,
            releases=self.published,
            manifest=self.manifest,
            runs=self.runs,
            chain=lambda: suppliers.chain(
                spark, protected.table(MONITORING), single_writer=site.single_writer, clock=clock
            ),
            clock=clock,
        )
        self._decisions = Decisions(
            self._approvals, self.policy, clock, site=site, roster=self.roster, ledger=self.ledger.genesis_hash
        )
        self.halts = Halts(self.ledger, self.policy, site, self.roster, clock)
        """Emergency stops: who may stop and resume a scope, and which stop is in force."""
        self.requests = Submissions(
            lambda: suppliers.chain(spark, protected.table(REQUESTS), single_writer=site.single_writer, clock=clock),
            clock,
            site=site,
            roster=self.roster,
            ledger=self.ledger.genesis_hash,
        )
        """The submitted requests: their versions, what changed, and who withdrew them."""

    def request(self, path: str | Path, *, source: str | None = None) -> RequestFile:
        """Reads a request and the domain it names; no data.

        Args:
            path: The request file.
            source: Replaces the source's location; it is part of what gets approved.

        Raises:
            ConfigError: With every problem, by file and line.
        """
        return load_request(Path(path), source_override=source)

    def submit(
        self,
        path: str | Path,
        *,
        source: str | None = None,
        by: str | None = None,
        note: str = "",
        signer: Signer | None = None,
    ) -> Submission:
        """Packs a request with all files that it names, and records them as a new version of it.

        From then on `submitted` reads it from the records. Approvals of the files count for it, because its digest is
        the same. The newest version again changes nothing.

        Args:
            path: The request file.
            source: Replaces the source's location, as for `request`.
            by: The requester, who has to submit it; default: the name that the request gives.
            note: The person's remark.
            signer: Holds the requester's key; needed where the site has a roster.

        Raises:
            ConfigError: The files have problems, or cannot be packed.
            PolicyRefused: Policy refuses the request anyway, somebody else submits it, or the signature does not count.
        """
        bundle, file = Bundle.pack(Path(path), source_override=source)
        plan = self.plan(file)
        plan.require_policy()
        account = self.account(plan)
        if isinstance(account, ScopeState):
            plan.require_people(account)
            bundle = bundle.of_people(account.people)
        return self.requests.submit(bundle, file, Author(by, note, signer), source=source)

    def submitted(self, name: str) -> RequestFile:
        """Reads a submitted request from the records; the author's disk is not touched.

        Args:
            name: Its id, for instance `visits`, or a version of it, for instance `visits@2`.

        Raises:
            UsageError: There is no such request or version.
            PolicyRefused: It was withdrawn, or its signature does not count.
            IntegrityError: The records were changed.
        """
        return self.requests.load(*version_of(name))[0]

    def withdraw(self, name: str, *, by: str | None = None, note: str = "", signer: Signer | None = None) -> Withdrawal:
        """Ends a submitted request: no version of it is approved or run until it is submitted again.

        Args:
            name: Its id.
            by: The requester; default: who submitted it.
            note: Why.
            signer: As for `submit`.

        Raises:
            UsageError: There is no such request.
            PolicyRefused: It is withdrawn already, or somebody else withdraws it.
        """
        return self.requests.withdraw(name, Author(by, note, signer))

    def request_facts(self, name: str) -> Facts:
        """What is on record about a submitted request: its state is a pure fold of it.

        Args:
            name: Its id, or a version of it.

        Raises:
            UsageError: There is no such request or version.
            IntegrityError: The records were changed.
            LedgerCorrupt: The ledger cannot be trusted.
        """
        identifier, version = version_of(name)
        file, _ = self.requests.load(identifier, version, for_use=False)
        plan = self.plan(file)
        verdict, account = self.verdict(plan), self.account(plan)
        charges = account.charges if isinstance(account, ScopeState) else ()
        paid = [charge for charge in charges if charge.request_digest == file.digest]
        stages = {one.listed.run_id: one.stage_on(self._today()) for one in self.published.all()} if paid else {}
        submission = file.submission
        wrong = None if submission is None else self.requests.fault(submission)
        refusals = (*plan.assessment.refusals, *([] if wrong is None else [wrong]))
        return Facts(
            tier=plan.assessment.tier,
            refusals=tuple(map(str, refusals)),
            missing=verdict.missing_roles,
            objections=() if verdict.ok else tuple(map(str, verdict.reasons)),
            account=account if isinstance(account, str) else "",
            runs=tuple(self._moves_of(charge.run_id, stages.get(charge.run_id)) for charge in paid),
            withdrawn=self.requests.history(identifier).withdrawn is not None,
        )

    def _moves_of(self, run_id: str, stage: str | None) -> tuple[State, ...]:
        """The states that a charged run went through, by its journal and by the release that the registry lists."""
        links = self.history(run_id)
        judged = [entry(link, Validated).passed for link in links if link.kind == VALIDATED]
        if not judged:
            return ("charged",)
        if not judged[-1]:
            return ("charged", "quarantined")
        if stage is None or all(link.kind != PUBLISHED for link in links):
            return ("charged", "validated")
        ends: dict[str, tuple[State, ...]] = {"expired": ("expired",), "recalled": ("recalled",)}
        return ("charged", "validated", "published", *ends.get(stage, ()))

    def population(self, path: str | Path, *, source: str | None = None) -> PopulationFile:
        """Reads a population file; no data.

        Args:
            path: The file.
            source: Replaces the location of its first source.

        Raises:
            ConfigError: With every problem, by file and line.
        """
        return load_population(Path(path), source_override=source)

    def plan(self, request: RequestFile, *, run_key: str = "") -> Plan:
        """What a run would do and cost; reads no data and writes nothing.

        Raises:
            ConfigError: The request does not make sense, or its source meets a zone of this site.
        """
        own = zone_problems(request, self.site)
        if own:
            raise ConfigError(own)
        return make_plan(request, self.policy, run_key, self._today())

    def describe(self, plan: Plan) -> str:
        """A plan in words, with the approvals and the account of its scope as they stand; for people."""
        return "\n".join(describe_plan(plan, self.verdict(plan), self.account(plan)))

    def account(self, plan: Plan) -> ScopeState | str:
        """The account that a plan would be charged to, or why there is none."""
        try:
            return self.budget(plan.file.request.population.scope)
        except BudgetError as error:
            return str(error)

    def write_report(self, release: Release, folder: Path | None = None) -> str:
        """Writes report and manifest of a release as files; see `report.files.write_report`."""
        return write_report(release.report, release.manifest, folder, self.site.releases)

    def write_validated_report(self, manifest: Manifest, folder: Path | None = None) -> str:
        """Writes report and manifest of a release that waits for its publication; see `write_report`."""
        return write_report(self.report(manifest.record.release_id), manifest, folder, self.site.releases)

    def doctor(self, *, scratch: str | None = None) -> list[Finding]:
        """Looks at session, zones, tracking and ledger with the checks of a run; reads no protected data.

        Args:
            scratch: Directory URI for a small Delta table, shared by all executors; default: a local one.
        """
        return [*session_findings(self.session, scratch), *site_findings(self.session, self.site, self.ledger)]

    def prove(
        self,
        request: RequestFile,
        *,
        quick: bool = False,
        scratch: str | Path | None = None,
        progress: Callable[[str], None] = _nothing,
    ) -> Proof:
        """Puts the claim of a request to the test: the claim twice, the bounds, the noise, the records.

        People are made up and written as files; no source is read and nothing is charged. A guarantee cannot be shown
        by trying, only contradicted.

        Args:
            request: The request.
            quick: Fewer neighbours and draws: a minute instead of several.
            scratch: Folder that driver and executors share, for the made-up files; default: a temporary one, which
                serves local sessions.
            progress: Told what is being tried.
        """
        plan = self.plan(request)
        claim = Claim.of(plan)
        attack = Attack.of(claim)
        checks = claim.checks()
        with tempfile.TemporaryDirectory(prefix="synthward-prove-", dir=scratch) as folder:
            checks += attack.run(self.session, Path(folder), quick=quick, progress=progress)
        thresholds = [threshold for _, _, threshold in claim.thresholds]
        effort = sampler.QUICK if quick else sampler.WHOLE
        checks += sampler.audit(claim.calls, thresholds, self._noise, effort, progress)
        progress("processes and forks")
        checks.append(sampler.processes())
        progress("records")
        checks += records.audit(self.ledger.scopes(), self._journal.read_all(payloads=False))
        skipped = ["Whole runs on neighbours were not compared byte for byte (the tests of the project do that)."]
        if quick:
            skipped.insert(0, "Only the quick selection of neighbours and draws was made.")
        return Proof(claim, tuple(checks), not_proven(claim, attack.left_out, skipped))

    def approve(
        self,
        request: RequestFile,
        *,
        by: str,
        role: str,
        runs: int = 1,
        expires: dt.date | None = None,
        decision: str = "approve",
        note: str = "",
        signer: Signer | None = None,
    ) -> Approval:
        """Records a decision, bound to the request, its assessment and the policy as they are now.

        Args:
            request: The request.
            by: Account name of the person who decides. Without a signature it is as entered: nothing proves who it was.
            role: Role in which the person decides.
            runs: Runs that the approval covers; policy may cap them.
            expires: Last day on which the approval counts; default: the last one that policy allows.
            decision: approve, reject or revoke.
            note: The person's remark.
            signer: Holds the person's key; only where the site has a roster.

        Raises:
            PolicyRefused: The request is refused by policy anyway, or the person cannot decide in this role or with
                this key.
            UsageError: The decision is not one of approve, reject, revoke, or a text of it is too long or not
                printable.
        """
        given = Given(by, role, expires, decision, note, signer)
        withdrawn = self.requests.withdrawn(request) if decision == "approve" else None
        if withdrawn is not None:
            raise PolicyRefused([withdrawn])
        return self._decisions.record(self.plan(request), given, runs=runs)

    def approve_repair(
        self,
        request: RequestFile,
        repair: Repair,
        *,
        by: str,
        role: str,
        expires: dt.date | None = None,
        decision: str = "approve",
        note: str = "",
        signer: Signer | None = None,
    ) -> Approval:
        """Records a decision on another output section for a sealed run, bound to run, reason and section.

        Args:
            request: The request of the run.
            repair: The other output section.
            by: As for `approve`.
            role: As for `approve`; policy names the roles (`repair` of the tier).
            expires: As for `approve`.
            decision: As for `approve`.
            note: As for `approve`.
            signer: As for `approve`.

        Raises:
            ConfigError: The section does not fit the request.
            PolicyRefused: Policy allows no repair in the tier, or the person cannot decide in this role or with this
                key.
            UsageError: As for `approve`.
        """
        self.plan(repair.applied(request))
        given = Given(by, role, expires, decision, note, signer)
        return self._decisions.record_repair(self.plan(request), repair, given)

    def repair_verdict(self, request: RequestFile, repair: Repair) -> Verdict:
        """Whether the recorded decisions cover a repair.

        Raises:
            PolicyRefused: Policy allows no repair in the tier.
        """
        return self._decisions.repair_verdict(self.plan(request), repair)

    def approvals(self, request: RequestFile) -> tuple[Approval, ...]:
        """Every decision recorded for a request, oldest first."""
        return self._decisions.of(request)

    def require_people(self, plan: Plan) -> None:
        """Refuses a plan about other people than its scope's, where that scope is open.

        Raises:
            PolicyRefused: With every reason.
            LedgerCorrupt: The scope's chain is broken.
        """
        try:
            state = self.ledger.state(plan.file.request.population.scope)
        except LedgerCorrupt:
            raise
        except BudgetError:
            return  # not open yet
        plan.require_people(state)

    def verdict(self, plan: Plan) -> Verdict:
        """Whether the recorded approvals cover the plan's run; approvals of earlier versions are named as void."""
        return self._decisions.verdict(plan)

    def run(self, request: RequestFile, *, run_key: str = "", repair: Repair | None = None) -> Release:
        """Runs an approved request to a published release, or resumes the run of the same key.

        Args:
            request: The request.
            run_key: The scheduler's key of the period.
            repair: Another output section, approved, with which a sealed run is finished; nothing is charged.

        Raises:
            PolicyRefused: Policy or approvals do not allow it; nothing was read or spent.
            BudgetError: The budget does not allow it; nothing was spent.
            GateFailed: The release did not pass its gates and stays quarantined.
            SynthwardError: See `synthward.errors`; running again is always safe. Whatever happens, `result` tells how
                it ended, and so does a row of the `runs` table unless a signal ended it.
        """
        with self._attempt() as attempt:
            attempt.plan = plan = self.plan(request, run_key=run_key)
            if repair is None:
                attempt.job = self._job(plan)
            else:
                attempt.plan = self._repaired(plan, repair)
                attempt.job = self._repair_job(plan, attempt.plan, repair)
            release = self._released(attempt.job.execute())
            attempt.outcome = release.outcome
        return release

    def validate(self, request: RequestFile, *, run_key: str = "") -> Manifest:
        """Runs an approved request to a validated release, which is registered and not published.

        The report of the release can be read with `report`. `publish`, or `run`, goes on from there without a charge.

        Args:
            request: The request.
            run_key: The scheduler's key of the period.

        Returns:
            The manifest of the release; that of the published release if there is one.

        Raises:
            SynthwardError: As `run`.
        """
        with self._attempt() as attempt:
            attempt.plan = plan = self.plan(request, run_key=run_key)
            attempt.job = self._job(plan)
            return attempt.job.validate()

    def publish(self, request: RequestFile, *, run_key: str = "") -> Release:
        """Publishes the validated release of a run. Nothing is measured, drawn or charged.

        Args:
            request: The request of the run.
            run_key: The key of the run.

        Raises:
            UsageError: The run has no validated release.
            SynthwardError: As `run`.
        """
        with self._attempt() as attempt:
            attempt.plan = plan = self.plan(request, run_key=run_key)
            attempt.job = self._job(plan)
            release = self._released(attempt.job.publish())
            attempt.outcome = release.outcome
        return release

    @contextmanager
    def _attempt(self) -> Iterator[_Attempt]:
        """Records how one try of a run ends: in `result`, in `judged` and in the table of runs."""
        started, attempt = self._clock(), _Attempt()
        self.result = self.judged = None
        try:
            yield attempt
        except BaseException as error:
            plan = attempt.plan
            if plan is not None and isinstance(error, SynthwardError) and not error.retryable:
                discard_copies(self._environment(), plan)
            self.result = RunResult.failure(error, plan, started=started, ended=self._clock())
            # A signal leaves no time for a commit; the run is as resumable without the row.
            if isinstance(error, Exception):
                self.runs.add(self.result)
            raise
        finally:
            self.judged = None if attempt.job is None else attempt.job.judged
        plan, outcome = attempt.plan, attempt.outcome
        assert plan is not None, "an attempt that ends well has a plan"
        if outcome is None:
            self.result = RunResult.validated(plan, started=started, ended=self._clock())
        else:
            table, is_new = str(outcome.table), outcome.is_new
            self.result = RunResult.success(plan, table, is_new=is_new, started=started, ended=self._clock())
        self.runs.add(self.result)

    def _job(self, plan: Plan) -> MainJob:
        """The job of a plan that policy, approvals and budget allow.

        Raises:
            PolicyRefused: Policy or approvals do not allow it.
            BudgetError: The budget does not allow it.
        """
        verdict = self.verdict(plan)
        runs_allowed = min((approval.runs for approval in verdict.counted), default=None)
        self._require(plan, verdict, runs_allowed)
        return MainJob(self._environment(), plan, verdict.counted, runs_allowed, self._suppliers)

    def _repaired(self, plan: Plan, repair: Repair) -> Plan:
        """The plan of a repair."""
        return repaired_plan(plan, repair, self.plan(repair.applied(plan.file), run_key=plan.identity.run_key))

    def _repair_job(self, of: Plan, plan: Plan, repair: Repair) -> RepairJob:
        """The job of a repair that policy and approvals allow.

        Raises:
            PolicyRefused: They do not allow it.
        """
        verdict, decided = self.verdict(of), self._decisions.repair_verdict(of, repair)
        refusals = [*self._origin(of), *of.assessment.refusals, *([] if verdict.ok else verdict.reasons)]
        refusals += [] if decided.ok else [f"repair: {reason}" for reason in decided.reasons]
        if refusals:
            raise PolicyRefused(refusals)
        approved = ApprovedRepair(repair, plan, decided.counted, of.identity.release_id)
        return RepairJob(self._environment(), approved, verdict.counted, self._suppliers)

    def _origin(self, plan: Plan) -> list[Reason]:
        """Why a request may not run now: from loose files, although it was withdrawn, or while its scope is stopped."""
        tier = plan.assessment.tier
        reasons = [self.requests.withdrawn(plan.file)]
        if self.policy.tiers[tier].submitted_only and plan.file.submission is None:
            text = f"tier {tier} runs submitted requests only; `synthward request submit` it, and run it by --submitted"
            reasons.append(Reason.of("not_submitted", text))
        account = self.account(plan)
        if isinstance(account, ScopeState) and (stop := self.halts.in_force(account)) is not None:
            reasons.append(stopped(account.scope, stop))
        return [reason for reason in reasons if reason is not None]

    def _released(self, outcome: Outcome) -> Release:
        report = self.registry.artifact(outcome.release_id, REPORT).decode()
        return Release(outcome, report, partial(self.model, outcome.release_id))

    def _require(self, plan: Plan, verdict: Verdict, runs_allowed: int | None) -> None:
        """Refuses what policy, approvals or budget do not allow, with all reasons at once.

        Raises:
            LedgerCorrupt: The ledger cannot be trusted; nothing else counts then.
            PolicyRefused: Policy or approvals; reasons of the budget follow.
            BudgetError: Only the budget does not allow it.
        """
        reasons: list[str] = [
            *self._origin(plan),
            *plan.assessment.refusals,
            *(() if verdict.ok else verdict.reasons),
        ]
        try:
            plan.require_budget(self.ledger.state(plan.file.request.population.scope), runs_allowed)
        except PolicyRefused as refused:
            reasons += refused.reasons
        except LedgerCorrupt:
            raise
        except BudgetError as error:
            if not reasons:
                raise
            reasons.append(str(error))
        if reasons:
            raise PolicyRefused(reasons)

    def open_population(self, population: PopulationFile, *, by: str, note: str = "") -> ScopeState:
        """Opens the budget of a population over its tables; the same again changes nothing.

        Delta tables are asked for their ids; no row is read.

        Raises:
            BudgetError: The scope is open with other terms or for other people, or another scope owns a table.
            PolicyRefused: Policy does not allow this privacy unit.
            SourceError: A Delta table is not there.
        """
        given = population.population
        if given.unit != "patient" and not self.policy.allow_other_unit:
            reason = f"unit: found {given.unit}, policy allows the patient only (allow_other_unit); use `unit: patient`"
            raise PolicyRefused([reason])
        return self.ledger.open_scope(
            given.scope,
            max_epsilon=given.budget.epsilon,
            max_delta=given.budget.delta,
            declared_patients=given.declared_patients,
            unit=given.unit,
            by=by,
            policy_digest=self.policy.digest,
            site_digest=self.site.digest,
            note=note,
            people=with_ids(self.session, population.people),
        )

    def open_scope(
        self,
        scope: str,
        *,
        max_epsilon: Decimal,
        max_delta: Decimal,
        declared_patients: int,
        by: str,
        unit: str = "patient",
        note: str = "",
    ) -> ScopeState:
        """Opens a budget that is bound to no source, where policy allows that; the same terms again change nothing.

        Raises:
            BudgetError: The scope is open with other terms.
            PolicyRefused: Policy wants every scope bound to its sources.
        """
        if not self.policy.allow_unbound_scopes:
            reason = (
                f"scope '{scope}': policy wants it bound to its sources (allow_unbound_scopes is false); write a "
                "population file and open that"
            )
            raise PolicyRefused([reason])
        return self.ledger.open_scope(
            scope,
            max_epsilon=max_epsilon,
            max_delta=max_delta,
            declared_patients=declared_patients,
            unit=unit,
            by=by,
            policy_digest=self.policy.digest,
            site_digest=self.site.digest,
            note=note,
        )

    def add_source(self, scope: str, table: Table, *, by: str, reason: str, like: str | None = None) -> ScopeState:
        """Adds a derived table or a clone to the population that owns a scope; it shares the budget.

        Args:
            scope: The scope.
            table: The table, resolved.
            by: Who adds it.
            reason: Why it is about the same people.
            like: Location of an owned source whose key and path the table has; without it the table carries the
                population's key itself.

        Raises:
            BudgetError: The scope has no people, or another scope owns the table.
            UsageError: The scope has no source `like`.
            SourceError: A Delta table is not there.
        """
        route = Route(source=table)
        if like is not None:
            people = self.ledger.state(scope).people
            known = [] if people is None else [item for item in people.sources if item.source.location == like]
            if not known:
                raise UsageError(f"scope '{scope}' has no source {like}; see `synthward budget show {scope}`")
            route = Route(source=table, path=known[0].path, key=known[0].key)
        return self.ledger.add(scope, Addition(route=route_with_ids(self.session, route), by=by, reason=reason))

    def add_opt_outs(self, scope: str, table: Table, *, key: str, by: str, reason: str) -> ScopeState:
        """Names the list of opt-outs of a scope that has none; from then on every request must name it too.

        Raises:
            BudgetError: The scope has no people or another list, or another scope owns the table as a source.
            SourceError: A Delta table is not there.
        """
        excluded = list_with_id(self.session, OptOuts(source=table, key=key))
        return self.ledger.add(scope, Addition(excluded=excluded, by=by, reason=reason))

    def exposure(self, *, delta: Decimal | None = None) -> Exposure:
        """What all scopes together can tell about one person.

        Args:
            delta: The delta at which to state it; None for the sum of the scopes' deltas.
        """
        return exposure(self.ledger.scopes(), delta)

    def budget(self, scope: str) -> ScopeState:
        """A scope's account."""
        return self.ledger.state(scope)

    def budget_history(self, scope: str) -> tuple[HistoryLine, ...]:
        """Every charge of a scope with the running account."""
        return self.ledger.history(scope)

    def verify(self, scope: str) -> list[str]:
        """Everything wrong with a scope's ledger, held against journals and releases; empty when sound."""
        kept = self._evidence()
        return [*self.ledger.verify(scope, kept.receipts.get(scope, ()), kept.journals), *kept.faults.get(scope, ())]

    def verify_all(self) -> dict[str, list[str]]:
        """The same for every scope that the ledger, a run's journal or a release names; by name.

        The ledger's own list would leave out a scope that it has lost.
        """
        kept = self._evidence()
        named = sorted({*self.ledger.names(), *kept.receipts})
        found = {
            scope: [
                *self.ledger.verify(scope, kept.receipts.get(scope, ()), kept.journals),
                *kept.faults.get(scope, ()),
            ]
            for scope in named
        }
        ownership = self.ledger.verify_ownership()
        return {**found, CLAIMS_KEY: ownership} if ownership else found

    def manifest(self, release_id: str) -> Manifest:
        """The stored manifest of a release.

        Raises:
            UsageError: There is no such release.
        """
        return Manifest.parse(self.registry.artifact(release_id, MANIFEST).decode())

    def monitor(self, *, schemas: bool = True) -> Watched:
        """Looks at budgets, releases, runs and the schemas of sources, and records what was found.

        Args:
            schemas: Whether names and types of the sources' columns are looked at; no row is read.
        """
        return self._monitor.watch(schemas=schemas)

    def drill(self, release_id: str | None = None, *, scratch: str | Path | None = None) -> Drilled:
        """Practises a recall on a copy of a release, and records how long it took.

        Args:
            release_id: The release; default: the newest one that may be read.
            scratch: Folder that driver and executors share, for the copy; default: a temporary one, which serves local
                sessions.

        Raises:
            UsageError: There is no such release.
            Withdrawn: It may not be read.
        """
        name = newest(self.published, self._today()) if release_id is None else release_id
        listed = self.published.require_readable(name).listed
        with tempfile.TemporaryDirectory(prefix="synthward-drill-", dir=scratch) as folder:
            place = Scratch(self.session, self.site, self.policy, Path(folder), self._clock)
            drilled = place.drill(self.registry, listed)
        self._monitor.note_drill(drilled)
        return drilled

    def site_pages(self, requests: Sequence[RequestFile] = ()) -> dict[str, str]:
        """The pages of the officer's site, by relative path. All records are verified for it; no data are read.

        Args:
            requests: Requests that may wait for somebody, beside the submitted ones that were not withdrawn. Those
                whose release is published are left out.
        """
        published = [self._published(one) for one in self.published.all()]
        done = {each.record.request.digest for each in published}
        submitted, broken = self._submitted_plans()
        plans = {plan.file.digest: plan for plan in [*map(self.plan, requests), *submitted]}
        waiting = [plan for digest, plan in plans.items() if digest not in done]
        asked = [
            Asked(plan, self.verdict(plan), self.approvals(plan.file), self.account(plan), self._changes(plan.file))
            for plan in sorted(waiting, key=lambda plan: (plan.file.request.title, plan.file.digest))
        ]
        found = Records(
            site=self.site,
            policy=self.policy,
            asked=asked,
            scopes=self.ledger.sound_scopes()[0],
            problems={**self.verify_all(), **broken},
            published=published,
            last=self._monitor.last(),
        )
        return pages(facts_of(found, self._clock()))

    def _submitted_plans(self) -> tuple[list[Plan], dict[str, list[str]]]:
        """Plans of the newest versions of the open submitted requests, and why others have none, by name."""
        plans, problems = [], {}
        for known in self.requests.all():
            if known.is_open:
                try:
                    plans.append(self.plan(self.submitted(known.id)))
                except (ConfigError, IntegrityError, PolicyRefused) as error:
                    problems[f"request {known.id}"] = str(error).split("\n")
        return plans, problems

    def _changes(self, file: RequestFile) -> tuple[str, ...] | None:
        """What a submitted version changes; None if there is no version before."""
        made = file.submission
        found = None if made is None else self.requests.changes(made.id, made.version)
        return None if found is None else tuple(found)

    def _published(self, one: Standing) -> Published:
        name = one.listed.release_id
        return Published(one, self.manifest(name).record, self.report(name), self.published.verify(one))

    def model(self, release_id: str) -> ModelFile:
        """The stored model of a release, which draws rows and counts without Spark.

        Raises:
            UsageError: There is no such release.
            Withdrawn: It is frozen, expired or recalled.
            IntegrityError: It is not the model of the release's manifest.
        """
        self.published.require_readable(release_id)
        digest = self.manifest(release_id).record.model.digest
        return ModelFile.parse(self.registry.artifact(release_id, MODEL).decode(), digest)

    def count(self, release_id: str, where: Mapping[str, Any]) -> Count:
        """See `Release.count`, for a release of an earlier run."""
        return Counts.of(self.model(release_id)).count(where)

    def report(self, release_id: str) -> str:
        """The stored HTML report of a release.

        Raises:
            UsageError: There is no such release.
        """
        return self.registry.artifact(release_id, REPORT).decode()

    def artifact(self, release_id: str, name: str) -> bytes:
        """A stored file of a release: `report.html`, `manifest.json` or `model.json`.

        Raises:
            UsageError: There is no such release or file.
            Withdrawn: The model of a release that is frozen, expired or recalled was asked for.
        """
        if name == MODEL:
            self.published.require_readable(release_id)
        return self.registry.artifact(release_id, name)

    def rows(self, release_id: str, *, lineage: bool = False) -> DataFrame:
        """Rows of a release; with `lineage` each row shows everything that the registry knows of its release.

        Raises:
            UsageError: There is no such release.
            Withdrawn: It is frozen, expired or recalled.
        """
        rows = read(self.session, self.published.require_readable(release_id).listed.table)
        return self.registry.with_lineage(rows) if lineage else rows

    def releases(self, scope: str) -> list[dict[str, Any]]:
        """The registry's rows of a scope's releases, in the order of their charges."""
        return self.registry.rows(scope)

    def history(self, run_id: str) -> tuple[Link, ...]:
        """What a run has done so far, from its journal."""
        return self._journal.read(run_id, payloads=False)

    def is_charged(self, scope: str, run_id: str) -> bool:
        """Whether a scope's ledger holds a run's charge."""
        return any(charge.run_id == run_id for charge in self.ledger.state(scope).charges)

    def _environment(self) -> Environment:
        return Environment(
            spark=self.session,
            site=self.site,
            policy=self.policy,
            ledger=self.ledger,
            journal=self._journal,
            noise=self._noise,
            clock=self._clock,
            on_step=self._on_step,
            require_standing=self.published.require_standing,
            require_approved=self.published.require_approved,
        )

    def _today(self) -> dt.date:
        return self._clock().astimezone(dt.UTC).date()

    def _evidence(self) -> Evidence:
        """What journals and releases know of the ledger."""
        standings = self.published.all()
        kept = evidence_of(
            self._journal.read_all(payloads=False), self.registry.receipts(), self.published.events_of_runs(standings)
        )
        faults = {scope: list(found) for scope, found in kept.faults.items()}
        for one in (one for one in standings if one.links or one.broken):
            found = (f"release {one.listed.release_id}: {fault}" for fault in self.published.verify(one))
            faults.setdefault(one.listed.scope, []).extend(found)
        return replace(kept, faults=faults)


def version_of(name: str) -> tuple[str, int | None]:
    """The id and the version that a name such as `visits@2` stands for; None for the newest version.

    Raises:
        UsageError: It is no such name.

    >>> version_of("visits@2"), version_of("visits")
    (('visits', 2), ('visits', None))
    """
    identifier, at, version = name.partition("@")
    if re.fullmatch(r"[a-z][a-z0-9_]{0,99}", identifier) and (not at or re.fullmatch(r"[1-9][0-9]{0,8}", version)):
        return identifier, int(version) if at else None
    raise UsageError(f"found {quoted(name)}, expected the id of a request, or a version of it such as visits@2")


def open_ward(spark: SparkSession, site: str | Path) -> Ward:
    """Opens a site with a session.

    Args:
        spark: A session with Delta.
        site: The site file.

    Raises:
        ConfigError: Site or policy are wrong.
    """
    return Ward(spark, load_site(Path(site)))
