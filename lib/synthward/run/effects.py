"""What grants, expiry and recalls change outside of their records: tables, catalogs, MLflow, the ledger.

Each change is a step of its own. A step that fails does not keep the others from being tried; its result says so, with
the kind of the error and never its text. Repeating all steps does no harm, so an act that was interrupted is finished
by the same command.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from synthward.conditions import kind_of
from synthward.errors import SynthwardError
from synthward.ledger.ledger import Ledger
from synthward.records.ledger import Commitment
from synthward.records.releases import Granted, Step
from synthward.release.catalogs import Catalog, execute
from synthward.release.registry import VIEW_SUFFIX, Listed, view_of
from synthward.release.table import SAYS_SYNTHETIC
from synthward.release.withdrawal import STATUS, tombstone
from synthward.run.environment import staged_table
from synthward.run.plan import ATTEMPT
from synthward.spec.site import Site
from synthward.store.delta import drop, read
from synthward.store.places import TableRef
from synthward.tracking.marking import Marked, mark_release

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

READER_SUFFIX = "_for_readers"
"""End of the name of a view without lineage columns."""


class Effects(Protocol):
    """What acts change; tests record it."""

    def granted(self, listed: Listed, grant: Granted) -> list[Step]:
        """Let a recipient read."""

    def revoked(self, listed: Listed, grant: Granted) -> list[Step]:
        """Take a recipient's access away."""

    def withdrawn(self, listed: Listed, grants: Sequence[Granted], status: str, event: str) -> list[Step]:
        """Take a release back.

        Args:
            listed: The release.
            grants: The newest grant of everybody who ever had one.
            status: `recalled` or `expired`.
            event: Hash of the link that says so.
        """

    def reader_view(self, listed: Listed) -> str:
        """Name of the view without lineage columns.

        Raises:
            UsageError: The release zone has no views.
        """


@dataclass(frozen=True)
class SiteEffects:
    """The effects at a site.

    Attributes:
        spark: Session.
        site: Site.
        ledger: The site's ledger.
        catalog: Makes the adapter of the release zone, when it is first needed.
    """

    spark: SparkSession
    site: Site
    ledger: Ledger
    catalog: Callable[[], Catalog]

    def reader_view(self, listed: Listed) -> str:
        """See `Effects.reader_view`."""
        view = view_of(listed.table, READER_SUFFIX)
        target = listed.table if view is None else view
        self.catalog().view(listed.table, target, ["column"], SAYS_SYNTHETIC)  # refuses where there are no views
        return str(target)

    def granted(self, listed: Listed, grant: Granted) -> list[Step]:
        """See `Effects.granted`. The table says what it is before anybody gets it."""
        catalog = self.catalog()
        tags = {"synthetic": "true", "synthward_release_id": listed.release_id, "synthward_tier": listed.tier}
        comment = f"{SAYS_SYNTHETIC} Synthward release {listed.release_id}."
        steps = [self._by_sql("marks", lambda: catalog.describe(listed.table, comment, tags))]
        target = listed.table
        if grant.view is not None:
            target = TableRef.parse(grant.view)
            made = target

            def view() -> list[str]:
                return catalog.view(listed.table, made, read(self.spark, listed.table).columns, comment)

            steps.append(self._by_sql("reader view", view))
        return [
            *steps,
            self._by_sql(f"grant to {grant.recipient}", lambda: catalog.grant(target, grant.recipient)),
        ]

    def revoked(self, listed: Listed, grant: Granted) -> list[Step]:
        """See `Effects.revoked`."""
        catalog = self.catalog()
        target = listed.table if grant.view is None else TableRef.parse(grant.view)
        return [self._by_sql(f"revoke from {grant.recipient}", lambda: catalog.revoke(target, grant.recipient))]

    def withdrawn(self, listed: Listed, grants: Sequence[Granted], status: str, event: str) -> list[Step]:
        """See `Effects.withdrawn`. What stops readers comes first."""
        steps = [step for grant in grants for step in self.revoked(listed, grant)]
        catalog = self.catalog()
        views = {view for suffix in (READER_SUFFIX, VIEW_SUFFIX) if (view := view_of(listed.table, suffix)) is not None}
        steps += [self._by_sql(f"view {view}", partial(catalog.drop_view, view)) for view in sorted(views, key=str)]
        marks = {STATUS: status, f"{status}_by_event": event}
        steps.append(_tried("table", lambda: tombstone(self.spark, listed.table, listed.release_id, marks)))
        if status == "expired":
            steps.append(_tried("staged rows", lambda: self._destroyed(listed)))
        steps.append(_tried("ledger", lambda: self._committed(listed, status, event)))
        marked = mark_release(self.site.tracking, listed.release_id, str(listed.table), status)
        return [*steps, _of_mlflow(marked)]

    def _by_sql(self, name: str, statements: Callable[[], list[str]]) -> Step:
        """A step by a catalog's statements."""

        def run() -> str:
            made = statements()
            execute(self.spark, made)
            return "; ".join(made) or "recorded; the storage decides who can open the folder"

        return _tried(name, run)

    def _destroyed(self, listed: Listed) -> str:
        drop(self.spark, staged_table(self.site, listed.release_id))
        return "removed from the protected zone"

    def _committed(self, listed: Listed, status: str, event: str) -> str:
        """Note the event in the ledger, so that a chain that is cut back is found and the run never publishes again."""
        self.ledger.commit(listed.scope, Commitment(listed.run_id, ATTEMPT, f"{status}.{listed.release_id}", event))
        return "the event is committed in the scope's ledger"


def _of_mlflow(marked: Marked) -> Step:
    return Step("mlflow", marked.done, marked.detail, marked.trained)


def _tried(name: str, action: Callable[[], str]) -> Step:
    try:
        return Step(name, True, action())
    except SynthwardError as error:
        return Step(name, False, str(error))
    except Exception as error:  # noqa: BLE001 - the next step has to be tried, whatever this one failed of
        return Step(name, False, f"failed ({kind_of(error)}); run the same command again")
