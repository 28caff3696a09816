"""A drill: the recall of a real release is practised on a scratch copy, and timed by the clock that policy declares.

The copy has the release's row, manifest, properties and a few of its rows, in a site of its own with a ledger of its
own. Nothing of the real site is changed. MLflow and the catalog get nothing; the statements that the catalog would get
are shown.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from synthward.errors import UsageError, Withdrawn
from synthward.governance.acts import Acts
from synthward.governance.policy import Policy
from synthward.ledger.ledger import Ledger
from synthward.privacy.accounting import Charge
from synthward.records.findings import Drilled
from synthward.records.releases import Step
from synthward.release.catalogs import catalog_for
from synthward.release.manifest import Manifest
from synthward.release.publication import published_state
from synthward.release.registry import Artifact, Listed, Registry
from synthward.release.table import PROPERTY
from synthward.run.effects import SiteEffects
from synthward.run.plan import ATTEMPT
from synthward.run.releases import EVENTS, Actor, Releases, Wish
from synthward.spec.site import Site
from synthward.store.chain import Chain
from synthward.store.delta import read
from synthward.store.places import Zone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = 100
"""Rows of the release that are copied; a recall does not depend on their number."""

MANIFEST = "manifest.json"

INCIDENT, READERS = "DRILL", "drill-readers"


@dataclass(frozen=True)
class Scratch:
    """Where a drill takes place.

    Attributes:
        spark: Session.
        site: The real site.
        policy: The policy in force.
        folder: An empty folder that driver and executors share.
        clock: Time, with a zone.
    """

    spark: SparkSession
    site: Site
    policy: Policy
    folder: Path
    clock: Callable[[], dt.datetime]

    def drill(self, real: Registry, listed: Listed) -> Drilled:
        """Practise the recall of a release.

        Args:
            real: The real registry; it is only read.
            listed: The release.
        """
        started = self.clock()
        releases, copy = self._copied(real, listed)
        roles = {duty: self.policy.roles_for(duty)[0] for duty in ("grant", "incident", "recall")}
        severity = min(self.policy.severities.items(), key=lambda one: (one[1] is None, one[1] or 0))[0]
        steps: list[Step] = []

        def act(duty: str, reason: str) -> Actor:
            return Actor("drill", roles[duty], reason)

        wish = Wish(READERS, b"Terms of the drill.", "terms.txt", "drill", self.clock().date())
        granted = releases.grant(copy.release_id, wish, act("grant", "drill")).is_complete
        steps.append(Step("grant", granted, f"access for {READERS}, under terms"))
        releases.open_incident([copy.release_id], INCIDENT, severity, act("incident", "drill"))
        steps.append(Step("freeze", _refused(releases, copy), "readers are refused while the incident is open"))
        done = releases.recall(copy.release_id, act("recall", "drill"), incident=INCIDENT)
        steps += [] if done.applied is None else done.applied.steps
        releases.close_incident(INCIDENT, act("incident", "the drill is over"))
        steps.append(Step("readers", _refused(releases, copy), "rows and model are refused"))
        steps.append(Step("rows", read(self.spark, copy.table).isEmpty(), "the table is empty"))
        faults = releases.verify(releases.of(copy.release_id))
        steps.append(Step("records", not faults, "; ".join(faults) or "the events verify"))
        statements = catalog_for(self.spark, Zone(self.site.releases), self.site.catalog).revoke(listed.table, READERS)
        words = "; ".join(statements) or "nothing: the storage decides who can open the folder"
        steps.append(Step("catalog", True, f"would get for each reader: {words}"))
        seconds = (self.clock() - started).total_seconds()
        return Drilled(
            at=releases.of(copy.release_id).links[-1].at,
            release=listed.release_id,
            severity=severity,
            hours=self.policy.severities[severity],
            seconds=round(seconds, 1),
            steps=tuple(steps),
        )

    def _copied(self, real: Registry, listed: Listed) -> tuple[Releases, Listed]:
        """The scratch site's releases, and the copy among them."""
        tracking = replace(self.site.tracking, enabled=False)
        site = replace(
            self.site,
            ledger=str(self.folder / "ledger"),
            protected=str(self.folder / "protected"),
            releases=str(self.folder / "releases"),
            tracking=tracking,
            catalog="auto",
            roster=None,
            roster_key=None,
        )
        copy = replace(listed, release_table=f"{site.releases}/copy")
        row = real.row(listed.release_id)
        assert row is not None, "a listed release has a row"
        manifest = real.artifact(listed.release_id, MANIFEST)
        registry = Registry(self.spark, Zone(site.releases))
        registry.prepare()
        registry.keep(listed.release_id, [Artifact(MANIFEST, "application/json", manifest)])
        kept = {name: value for name, value in row.items() if name != "release_id"}
        registry.record(listed.release_id, {**kept, "release_table": copy.release_table})
        writer = read(self.spark, listed.table).limit(ROWS).writeTo(copy.table.sql).using("delta")
        for name, value in (published_state(self.spark, listed.table) or {}).items():
            writer = writer.tableProperty(PROPERTY + name, value)
        writer.createOrReplace()
        ledger = Ledger(self.spark, Zone(site.ledger), single_writer=True, clock=self.clock)
        _charge(ledger, listed)
        releases = Releases(
            registry=registry,
            chain=lambda: Chain(self.spark, Zone(site.releases).table(EVENTS), single_writer=True, clock=self.clock),
            acts=Acts(self.policy, None),
            site=site.digest,
            ledger=ledger,
            manifest=lambda name: Manifest.parse(registry.artifact(name, MANIFEST).decode()),
            effects=SiteEffects(self.spark, site, ledger, lambda: catalog_for(self.spark, Zone(site.releases), "auto")),
            clock=self.clock,
        )
        return releases, copy


def _charge(ledger: Ledger, listed: Listed) -> None:
    """A charge in the scratch ledger, so that the recall is committed there as it would be."""
    ledger.open_scope(
        listed.scope,
        max_epsilon=Decimal(1),
        max_delta=Decimal("1e-6"),
        declared_patients=1,
        unit="patient",
        by="drill",
        policy_digest=listed.policy_digest,
        site_digest=listed.site_digest,
        note="drill",
    )
    ledger.charge(
        listed.scope,
        run_id=listed.run_id,
        attempt=ATTEMPT,
        request_digest=listed.manifest_digest,
        policy_digest=listed.policy_digest,
        site_digest=listed.site_digest,
        journal_id="drill",
        cost=Charge.pure(Decimal("0.1")),
        release_id=listed.release_id,
        delta_report=Decimal("1e-6"),
        opened=listed.manifest_digest,
    )


def _refused(releases: Releases, listed: Listed) -> bool:
    try:
        releases.require_readable(listed.release_id)
    except Withdrawn:
        return True
    return False


def newest(releases: Releases, today: dt.date) -> str:
    """The newest release that may be read.

    Raises:
        UsageError: There is none.
    """
    found = [one.listed for one in releases.all() if one.refusal(today) is None]
    if not found:
        raise UsageError("drill: no release may be read at the moment; publish one, for instance with `make run`")
    return max(found, key=lambda one: (one.generated_at, one.release_id)).release_id
