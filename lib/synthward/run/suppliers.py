"""What the stages of a run call for its effects, in one place, so that a test can give them others.

Production uses the defaults. Everything else of a run is a function of its records.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from synthward.ledger.ledger import Ledger
from synthward.measure.curator import exact_vector
from synthward.release.publication import publish, recognise
from synthward.release.registry import Registry
from synthward.report.render import render
from synthward.run import preflight
from synthward.run.opening import copy_source, open_source
from synthward.run.records import publishable_metrics, registry_row, table_properties, tracked_parameters
from synthward.run.rehearsal import rehearse
from synthward.run.runs import Runs
from synthward.run.staging import stage_and_check
from synthward.sources.patient import source_rows
from synthward.sources.reading import check_unchanged
from synthward.store.chain import Chain
from synthward.store.delta import drop
from synthward.tracking.record import log_release, reachable


@dataclass(frozen=True)
class Suppliers:
    """Functions of a run that read or write outside of its records. Each has the signature of its default.

    Attributes:
        chain: Opens a chain of links.
        ledger: Opens the ledger.
        registry: Opens the registry of releases.
        runs: Opens the table of runs.
        check_executors: Checks packages of the executors.
        warn_of_interpretation: Warns of plans that run slowly.
        check_zones: Tries to write to each zone.
        check_targets: Refuses a target that belongs to somebody else.
        reachable: Says why MLflow cannot be reached.
        open_source: Pins the source.
        copy_source: Copies what has no versions.
        source_rows: Opens the rows of the pinned source.
        exact_vector: Makes a pass over them.
        check_unchanged: Refuses a source that changed since it was pinned.
        rehearse: Rehearses a release.
        stage_and_check: Samples and runs the gates.
        drop: Drops a table.
        render: Makes the report.
        registry_row: Makes the row of the registry.
        table_properties: Makes the properties of the published table.
        publishable_metrics: Makes the metrics for MLflow.
        tracked_parameters: Makes the parameters for MLflow.
        publish: Commits the release at its target.
        recognise: Checks that a published table is the release.
        log_release: Logs a release to MLflow.
    """

    chain: Callable[..., Chain] = Chain
    ledger: Callable[..., Ledger] = Ledger
    registry: Callable[..., Registry] = Registry
    runs: Callable[..., Runs] = Runs
    check_executors: Callable[..., Any] = preflight.check_executors
    warn_of_interpretation: Callable[..., None] = preflight.warn_of_interpretation
    check_zones: Callable[..., None] = preflight.check_zones
    check_targets: Callable[..., None] = preflight.check_targets
    reachable: Callable[..., str | None] = reachable
    open_source: Callable[..., Any] = open_source
    copy_source: Callable[..., Any] = copy_source
    source_rows: Callable[..., Any] = source_rows
    exact_vector: Callable[..., Any] = exact_vector
    check_unchanged: Callable[..., None] = check_unchanged
    rehearse: Callable[..., None] = rehearse
    stage_and_check: Callable[..., Any] = stage_and_check
    drop: Callable[..., None] = drop
    render: Callable[..., str] = render
    registry_row: Callable[..., dict[str, Any]] = registry_row
    table_properties: Callable[..., dict[str, str]] = table_properties
    publishable_metrics: Callable[..., Any] = publishable_metrics
    tracked_parameters: Callable[..., Any] = tracked_parameters
    publish: Callable[..., bool] = publish
    recognise: Callable[..., None] = recognise
    log_release: Callable[..., str | None] = log_release


PRODUCTION = Suppliers()
