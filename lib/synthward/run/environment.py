"""What a run is given from outside, and where it writes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthward.governance.policy import Policy
from synthward.ledger.ledger import Ledger
from synthward.privacy.noise import NoiseSource
from synthward.run.plan import Plan
from synthward.spec.site import Site
from synthward.store.chain import Chain
from synthward.store.places import TableRef, Zone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Environment:
    """What a run needs from outside; tests inject noise, clock and step callback here and nowhere else.

    Attributes:
        spark: Session; never configured here.
        site: Site.
        policy: Policy.
        ledger: Ledger.
        journal: Chains of the runs.
        noise: Noise source.
        clock: Time, with a zone.
        on_step: Called with the name of each step after it.
        require_standing: Refuses a release that was frozen, expired or recalled: scope, run, release.
        require_approved: Refuses a release whose publication has to be approved first: release, tier.
    """

    spark: SparkSession
    site: Site
    policy: Policy
    ledger: Ledger
    journal: Chain
    noise: NoiseSource
    clock: Callable[[], dt.datetime]
    on_step: Callable[[str], None]
    require_standing: Callable[[str, str, str], None]
    require_approved: Callable[[str, str], None]


@dataclass(frozen=True)
class Places:
    """Where a run writes; all names follow from the site, the output name and the release id.

    Attributes:
        staged: The staged table, in the protected zone.
        target: The release's own table, in the release zone.
        protected: The protected zone.
        release_id: The release.
    """

    staged: TableRef
    target: TableRef
    protected: Zone
    release_id: str

    @classmethod
    def of(cls, site: Site, plan: Plan) -> Places:
        """Places of a plan."""
        release_id = plan.identity.release_id
        protected = Zone(site.protected)
        target = Zone(site.releases).table(f"{plan.file.request.output.name}__{release_id}")
        return cls(staged_table(site, release_id), target, protected, release_id)

    @property
    def rehearsal(self) -> TableRef:
        """The table of the rehearsal, which is there for a moment only."""
        return self.protected.table(f"rehearsal_{self.release_id}")

    def copy_of_source(self, place: int) -> TableRef:
        """The run-scoped copy of a source table that has no versions."""
        return self.protected.table(f"source_{self.release_id}_{place}")


def staged_table(site: Site, release_id: str) -> TableRef:
    """The staged table of a release, in the protected zone."""
    return Zone(site.protected).table(f"staging_{release_id}")
