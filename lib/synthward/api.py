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
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthward.errors import BudgetError, PolicyRefused, SynthwardError, UsageError
from synthward.governance.approvals import Approval, Digests, Verdict, covering, objections
from synthward.governance.assess import Assessment
from synthward.governance.policy import Policy, load_policy
from synthward.ledger.ledger import Ledger
from synthward.ledger.scopes import HistoryLine, ScopeState
from synthward.privacy.noise import NoiseSource, SecureNoise
from synthward.release.manifest import Manifest
from synthward.release.registry import Registry
from synthward.run.environment import Environment
from synthward.run.journal import SEALED
from synthward.run.main_job import MANIFEST, REPORT, MainJob, Outcome
from synthward.run.opening import discard_copies
from synthward.run.plan import Plan, make_plan
from synthward.run.records import publishable_metrics
from synthward.run.repair import ApprovedRepair, RepairJob, repaired_plan
from synthward.run.result import RunResult
from synthward.run.runs import Runs
from synthward.spec.repair import Repair
from synthward.spec.request_file import RequestFile, load_request
from synthward.spec.site import Site, load_site
from synthward.store.chain import Chain
from synthward.store.delta import read
from synthward.store.links import Link
from synthward.store.places import TableRef, Zone

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True)
class Release:
    """A published release, as the caller sees it.

    Attributes:
        outcome: Ids, table, manifest and account.
        report: The HTML report.
    """

    outcome: Outcome
    report: str

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


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _nothing(step: str) -> None:
    """The step callback of production."""


class Ward:
    """A site, opened with a session: requests, approvals, runs, budgets, releases."""

    def __init__(
        self,
        spark: SparkSession,
        site: Site,
        *,
        noise: NoiseSource | None = None,
        clock: Callable[[], dt.datetime] = _now,
        on_step: Callable[[str], None] = _nothing,
    ) -> None:
        """Reads the policy; nothing else is read or written before it is needed.

        Args:
            spark: A session with Delta; it is never configured here. It stays reachable as `session`.
            site: The site.
            noise: For tests; production leaves it out and gets cryptographic noise.
            clock: Time, with a zone.
            on_step: Called with the name of each step of a run after it.
        """
        self.session = spark
        self.site = site
        self.policy: Policy = load_policy(Path(site.policy))
        self._clock = clock
        self._on_step = on_step
        self._noise = noise if noise is not None else SecureNoise()
        protected = Zone(site.protected)
        self._approvals, self._journal = (
            Chain(spark, protected.table(name), single_writer=site.single_writer, clock=clock)
            for name in ("approvals", "journal")
        )
        self.registry = Registry(spark, Zone(site.releases))
        self.runs = Runs(spark, protected)
        self.result: RunResult | None = None
        """How the last `run` of this object ended."""
        self.ledger = Ledger(spark, Zone(site.ledger), single_writer=site.single_writer, clock=clock)

    def request(self, path: str | Path, *, source: str | None = None) -> RequestFile:
        """Reads a request and the domain it names; no data.

        Args:
            path: The request file.
            source: Replaces the source's location; it is part of what gets approved.

        Raises:
            ConfigError: With every problem, by file and line.
        """
        return load_request(Path(path), source_override=source)

    def plan(self, request: RequestFile, *, run_key: str = "") -> Plan:
        """What a run would do and cost; reads no data and writes nothing.

        Raises:
            ConfigError: The request does not make sense.
        """
        return make_plan(request, self.policy, run_key, self._today())

    def approve(
        self,
        request: RequestFile,
        *,
        by: str,
        role: str,
        runs: int = 1,
        decision: str = "approve",
        note: str = "",
    ) -> Approval:
        """Records a decision, bound to the request, its assessment and the policy as they are now.

        Raises:
            PolicyRefused: The request is refused by policy anyway, or the person cannot decide in this role.
            UsageError: The decision is not one of approve, reject, revoke.
        """
        plan = self.plan(request)
        if decision == "approve":
            plan.require_policy()
        needed = plan.assessment.approvals_needed
        return self._decide(plan, request.digest, needed, by=by, role=role, runs=runs, decision=decision, note=note)

    def approve_repair(
        self, request: RequestFile, repair: Repair, *, by: str, role: str, decision: str = "approve", note: str = ""
    ) -> Approval:
        """Records a decision on another output section for a sealed run, bound to run, reason and section.

        Raises:
            ConfigError: The section does not fit the request.
            PolicyRefused: Policy allows no repair in the tier, or the person cannot decide in this role.
            UsageError: The decision is not one of approve, reject, revoke.
        """
        self.plan(repair.applied(request))
        plan = self.plan(request)
        needed = self._repair_assessment(plan).approvals_needed
        if decision == "approve":
            plan.require_policy()
        return self._decide(plan, repair.digest, needed, by=by, role=role, runs=1, decision=decision, note=note)

    def _decide(
        self,
        plan: Plan,
        subject: str,
        needed: Sequence[str],
        *,
        by: str,
        role: str,
        runs: int,
        decision: str,
        note: str,
    ) -> Approval:
        """Records a decision on what has the digest `subject`, by a person in one of the roles needed.

        Raises:
            PolicyRefused: The person cannot decide in this role.
            UsageError: The decision is not one of approve, reject, revoke.
        """
        if decision not in ("approve", "reject", "revoke"):
            raise UsageError(f"decision '{decision}' is unknown; it is approve, reject or revoke")
        approval = Approval(
            by=by,
            role=role,
            decision=decision,  # type: ignore[arg-type]
            request_digest=subject,
            assessment_digest=plan.assessment.digest,
            policy_digest=self.policy.digest,
            runs=runs,
            at=self._clock().astimezone(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            note=note,
        )
        wrong = objections(approval, requester=plan.file.request.requester, needed=needed)
        if wrong:
            raise PolicyRefused(wrong)
        self._approvals.get_or_append(
            subject, "decision", lambda link: _same_decision(link, approval), lambda: (_facts(approval), None)
        )
        return approval

    def repair_verdict(self, request: RequestFile, repair: Repair) -> Verdict:
        """Whether the recorded decisions cover a repair.

        Raises:
            PolicyRefused: Policy allows no repair in the tier.
        """
        plan = self.plan(request)
        return covering(
            [Approval.from_body(link.body) for link in self._approvals.read(repair.digest)],
            requester=request.request.requester,
            assessment=self._repair_assessment(plan),
            digests=Digests(repair.digest, plan.assessment.digest, self.policy.digest),
            today=self._today(),
        )

    def _repair_assessment(self, plan: Plan) -> Assessment:
        """The assessment with the roles that decide on repairs.

        Raises:
            PolicyRefused: There are none.
        """
        tier = plan.assessment.tier
        roles = self.policy.tiers[tier].repair
        if not roles:
            reason = f"policy names no roles that may approve another output section in tier {tier} (`repair`)"
            raise PolicyRefused([f"{reason}, so that a sealed run of it cannot be repaired"])
        return replace(plan.assessment, approvals_needed=roles)

    def approvals(self, request: RequestFile) -> tuple[Approval, ...]:
        """Every decision recorded for a request, oldest first."""
        return tuple(Approval.from_body(link.body) for link in self._approvals.read(request.digest))

    def verdict(self, plan: Plan) -> Verdict:
        """Whether the recorded approvals cover the plan's run."""
        return covering(
            self.approvals(plan.file),
            requester=plan.file.request.requester,
            assessment=plan.assessment,
            digests=self._digests(plan),
            today=self._today(),
        )

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
        started = self._clock()
        self.result = None
        plan = None
        try:
            plan = self.plan(request, run_key=run_key)
            if repair is None:
                release = self._run(plan)
            else:
                plan, of = self._repaired(plan, repair), plan
                release = self._repair(of, plan, repair)
        except BaseException as error:
            if plan is not None and isinstance(error, SynthwardError) and not error.retryable:
                discard_copies(self._environment(), plan)
            self.result = RunResult.failure(error, plan, started=started, ended=self._clock())
            # A signal leaves no time for a commit; the run is as resumable without the row.
            if isinstance(error, Exception):
                self.runs.add(self.result)
            raise
        self.result = RunResult.success(
            plan, release.table, is_new=release.outcome.is_new, started=started, ended=self._clock()
        )
        self.runs.add(self.result)
        return release

    def _run(self, plan: Plan) -> Release:
        verdict = self.verdict(plan)
        runs_allowed = min((approval.runs for approval in verdict.counted), default=None)
        refusals = [*plan.assessment.refusals, *([] if verdict.ok else verdict.reasons)]
        try:
            plan.require_budget(self.ledger.state(plan.file.request.population.scope), runs_allowed)
        except PolicyRefused as refused:
            refusals += refused.reasons
        except BudgetError as refused:
            if not refusals:
                raise
            refusals.append(str(refused))
        if refusals:
            raise PolicyRefused(refusals)
        return self._released(MainJob(self._environment(), plan, verdict.counted, runs_allowed).execute())

    def _repaired(self, plan: Plan, repair: Repair) -> Plan:
        """The plan of a repair."""
        return repaired_plan(plan, repair, self.plan(repair.applied(plan.file), run_key=plan.identity.run_key))

    def _repair(self, of: Plan, plan: Plan, repair: Repair) -> Release:
        verdict, decided = self.verdict(of), self.repair_verdict(of.file, repair)
        refusals = [*of.assessment.refusals, *([] if verdict.ok else verdict.reasons)]
        refusals += [] if decided.ok else [f"repair: {reason}" for reason in decided.reasons]
        if refusals:
            raise PolicyRefused(refusals)
        approved = ApprovedRepair(repair, plan, decided.counted, of.identity.release_id)
        return self._released(RepairJob(self._environment(), approved, verdict.counted).execute())

    def _released(self, outcome: Outcome) -> Release:
        report = self.registry.artifact(outcome.release_id, REPORT).decode()
        return Release(outcome, report)

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
        """Opens the budget of a population; the same terms again change nothing.

        Raises:
            BudgetError: The scope is open with other terms.
        """
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

    def budget(self, scope: str) -> ScopeState:
        """A scope's account."""
        return self.ledger.state(scope)

    def budget_history(self, scope: str) -> tuple[HistoryLine, ...]:
        """Every charge of a scope with the running account."""
        return self.ledger.history(scope)

    def verify(self, scope: str) -> list[str]:
        """Everything wrong with a scope's ledger, with the receipts that seals and releases keep; empty when sound."""
        return self.ledger.verify(scope, self._receipts().get(scope, ()))

    def verify_all(self) -> dict[str, list[str]]:
        """The same for every scope that the ledger, a run's journal or a release names; by name.

        The ledger's own list would leave out a scope that it has lost.
        """
        kept = self._receipts()
        return {
            scope: self.ledger.verify(scope, kept.get(scope, ())) for scope in sorted({*self.ledger.names(), *kept})
        }

    def manifest(self, release_id: str) -> Manifest:
        """The stored manifest of a release.

        Raises:
            UsageError: There is no such release.
        """
        return Manifest.parse(self.registry.artifact(release_id, MANIFEST).decode())

    def report(self, release_id: str) -> str:
        """The stored HTML report of a release.

        Raises:
            UsageError: There is no such release.
        """
        return self.registry.artifact(release_id, REPORT).decode()

    def rows(self, release_id: str, *, lineage: bool = False) -> DataFrame:
        """Rows of a release; with `lineage` each row shows everything that the registry knows of its release.

        Raises:
            UsageError: There is no such release.
        """
        found = self.registry.row(release_id)
        if found is None:
            raise UsageError(f"release '{release_id}' is unknown; see the table {self.registry.releases}")
        rows = read(self.session, TableRef.parse(found["release_table"]))
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
        )

    def _digests(self, plan: Plan) -> Digests:
        return Digests(plan.file.digest, plan.assessment.digest, self.policy.digest)

    def _today(self) -> dt.date:
        return self._clock().astimezone(dt.UTC).date()

    def _receipts(self) -> dict[str, list[tuple[int, str, str]]]:
        """Receipts by scope, of all seals and releases; none where a run has opened its source and got no further."""
        found: dict[str, set[tuple[int, str, str]]] = {}
        for links in self._journal.read_all(payloads=False).values():
            here = found.setdefault(links[0].facts["scope"], set())
            paid = [link.facts["ledger"] for link in links if link.kind == SEALED]
            here |= {(receipt["seq"], receipt["head"], receipt["genesis"]) for receipt in paid}
        for scope, receipt in self.registry.receipts():
            found.setdefault(scope, set()).add(receipt)
        return {scope: sorted(receipts) for scope, receipts in found.items()}


def _facts(approval: Approval) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(approval.body())
    return facts


def _same_decision(link: Link, approval: Approval) -> bool:
    """A retry of a decision adds nothing; the time of the first one stands."""
    earlier, now = link.facts, _facts(approval)
    return {**earlier, "at": ""} == {**now, "at": ""}


def open_ward(spark: SparkSession, site: str | Path) -> Ward:
    """Opens a site with a session.

    Args:
        spark: A session with Delta.
        site: The site file.

    Raises:
        ConfigError: Site or policy are wrong.
    """
    return Ward(spark, load_site(Path(site)))
