"""Finishing a sealed run with another output section: rows are drawn anew from the same model, without a new charge.

Guarantee: the repaired release is a function of the run's sealed answers, of public settings and of decisions that
people took on what they had seen of those answers: post-processing (PROOFS.md, section 6). Nothing is measured: the job
has no source to read and a noise source that refuses to draw.

Who decides is policy's (`repair` of the tier): decisions are bound to the digest of run, reason and output section. The
journal keeps the link `repaired`; gates and publication come after it under a release id of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pyspark.sql import types as T

from synthward.config.canonical import canonical_json
from synthward.domain.codes import codebooks
from synthward.errors import IntegrityError, UsageError
from synthward.governance.approvals import Approval
from synthward.privacy.noise import NoiseCall
from synthward.records.codec import encode
from synthward.records.journal import Opened, Repaired
from synthward.records.manifest import RepairApprovalEntry, RepairEntry
from synthward.release.table import release_types
from synthward.run import rehearsal
from synthward.run.committed import CommittedJournal, require_whole_ledger
from synthward.run.environment import Environment, Places
from synthward.run.journal import FITTED, entry
from synthward.run.main_job import PUBLISHING, RELEASING, MainJob, Outcome
from synthward.run.opening import opened_types
from synthward.run.plan import ATTEMPT, Plan
from synthward.run.stages import Measure, Preflight
from synthward.run.suppliers import PRODUCTION, Suppliers
from synthward.sources.reading import PinnedSource
from synthward.spec.repair import Repair
from synthward.store.links import Link

NO_SOURCE = PinnedSource(())


@dataclass(frozen=True)
class ApprovedRepair:
    """A repair with the decisions that cover it.

    Attributes:
        repair: The repair.
        plan: The plan with the new output section; run id and charge are those of the run, the release id is its own.
        approvals: The decisions, one a role.
        of: The release id that the run was charged for.
    """

    repair: Repair
    plan: Plan
    approvals: Sequence[Approval]
    of: str

    def entry(self) -> RepairEntry:
        """For the manifest; public."""
        approvals = (
            RepairApprovalEntry(
                one.by, one.role, one.decision, one.at, signed=one.key_id is not None, key_id=one.key_id
            )
            for one in self.approvals
        )
        return RepairEntry(self.repair.digest, self.of, self.repair.reason, tuple(approvals))


def repaired_plan(plan: Plan, repair: Repair, replanned: Plan) -> Plan:
    """The plan of a repair.

    Args:
        plan: The run's plan, as charged.
        repair: The repair.
        replanned: The plan of the request with the new output section.

    Raises:
        UsageError: The repair is of another run.
        IntegrityError: The plans differ in what was measured and charged.
    """
    if repair.run != plan.identity.run_id:
        raise UsageError(
            f"the repair is of run {repair.run}, request and run key are those of run {plan.identity.run_id}; "
            "give the request and the --run-key of the run that is repaired"
        )
    if replanned.charge != plan.charge or replanned.task != plan.task:
        raise IntegrityError(f"run {repair.run}: an output section changed what is measured; nothing was done")
    facts = canonical_json({"run": plan.identity.run_id, "attempt": ATTEMPT, "repair": repair.digest})
    release_id = "r" + hashlib.sha256(facts.encode()).hexdigest()[:20]
    return replace(replanned, identity=replace(plan.identity, release_id=release_id))


class SealedOnly:
    """A noise source for runs that must not measure."""

    def draw(self, label: str, exact: npt.NDArray[np.int64], call: NoiseCall) -> npt.NDArray[np.int64]:  # noqa: ARG002
        """Never draws.

        Raises:
            IntegrityError: Always.
        """
        raise IntegrityError(f"a repair draws no noise, but the answer '{label}' has no seal; the journal was altered")


class RepairJob(MainJob):
    """Executes one approved repair."""

    def __init__(
        self,
        env: Environment,
        approved: ApprovedRepair,
        approvals: Sequence[Approval],
        suppliers: Suppliers = PRODUCTION,
    ) -> None:
        """Reads and writes nothing yet.

        Args:
            env: As for the run.
            approved: The repair.
            approvals: The approvals that cover the run, for the record.
            suppliers: Functions with effects.
        """
        super().__init__(replace(env, noise=SealedOnly()), approved.plan, approvals, None, suppliers)
        self._run.repair = approved.entry()
        self._run.opened_as = self._release_opening
        self._run.pinned = NO_SOURCE
        self._approved = approved
        self._types: T.StructType | None = None

    def execute(self) -> Outcome:
        """Draws, checks and publishes the release under the new output section, from wherever an earlier try left it.

        Raises:
            UsageError: The run is not sealed, is published, or is repaired in another way since.
            SynthwardError: See `synthward.errors`; running the same command again is always safe.
        """
        receipt = self._receipt()
        if receipt is None:
            raise self._nothing_to_repair()
        require_whole_ledger(self._run.journal, self._run.env.ledger, self._run.scope)
        committed = self._run.charged(receipt)
        if committed.find(FITTED) is None:
            raise self._nothing_to_repair()
        self._types = self._new_types(entry(committed.opening(), Opened))
        repairs = committed.repairs()
        if not repairs or not self._is_own(repairs[-1]):
            self._repaired(committed, repairs)
        self._run.committed = committed = committed.after_repair()
        published = self._published(committed)
        if published is not None:
            return self._recognised(published)
        self._pass((Preflight(), Measure(), *RELEASING, *PUBLISHING))
        return self._outcome()

    def _repaired(self, committed: CommittedJournal, repairs: Sequence[Link]) -> None:
        """Rehearses the new output and records the repair, unless something is published already."""
        if self._published(committed.after_repair() if repairs else committed) is not None:
            raise UsageError(
                f"run {self._run.journal.run_id} is published, and a published release is not drawn anew; an edited "
                "request is a new run, which is charged"
            )
        plan, types = self._run.plan, self._types
        assert types is not None
        by_name = {field.name: field.dataType for field in types.fields}
        keys = {name: by_name[name] for name in plan.file.request.output.key_columns}
        declared = plan.domain if plan.learning is None else plan.learning.declared
        script = rehearsal.Script.of(declared, by_name, keys, plan.file.request.output.rows)
        places = Places.of(self._run.env.site, plan)
        self._run.steps.run(
            "rehearse", lambda: self._run.suppliers.rehearse(self._run.env.spark, script, places.rehearsal, {})
        )
        repaired = Repaired(
            repair=self._approved.entry(),
            release_id=plan.identity.release_id,
            table=str(places.target),
            section=json.loads(canonical_json(plan.file.request.output)),
            ledger=committed.latest_receipt(),
        )
        link = committed.repair_again(len(repairs), lambda: (encode(repaired), None))
        if not self._is_own(link):
            raise UsageError(
                f"run {self._run.journal.run_id} is being repaired in another way by another driver at this moment; "
                "see `synthward history`, and run one of the two again"
            )

    def _is_own(self, link: Link) -> bool:
        return entry(link, Repaired).repair.output == self._approved.repair.digest

    def _nothing_to_repair(self) -> UsageError:
        return UsageError(
            f"run {self._run.journal.run_id} has no model yet, so that there is nothing to repair; run its request"
        )

    def _new_types(self, opened: Opened) -> T.StructType:
        """Types of the release under the new output section."""
        recorded = {field.name: field.dataType for field in opened_types(opened).fields}
        output = self._run.plan.file.request.output
        types = {name: recorded[name] for name in self._run.plan.domain.attributes}
        if output.types == "declared":
            types = release_types(codebooks(self._run.plan.domain), dict.fromkeys(types))
        keys = {name: recorded[name] for name in output.key_columns}
        return T.StructType([T.StructField(name, data_type) for name, data_type in (keys | types).items()])

    def _release_opening(self, opened: Opened) -> Opened:
        assert self._types is not None
        return replace(opened, types=json.loads(self._types.json()))
