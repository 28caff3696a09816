"""Marks a withdrawn release in MLflow, and finds what was trained on it.

As with `record`, nothing here may fail what calls it or delay it for long. The caller is told what was done, or the
class of the error, and never its text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthward.spec.site import Tracking
from synthward.tracking import database
from synthward.tracking.client import SETTINGS, environment, quiet
from synthward.tracking.loading import STATUS_TAG
from synthward.tracking.record import ALIAS, in_time, reachable

RELEASE_TAG = "synthward.release_id"

MAX_RUNS = 1000
"""Runs of each experiment that are looked through for inputs, the newest first."""

MAX_NAMED = 100
"""Runs that are named as trained on a release."""


@dataclass(frozen=True)
class Marked:
    """What MLflow was told, and what it knows.

    Attributes:
        done: Whether everything was marked. True as well if the site logs nothing.
        detail: What was done, or the kind of the failure.
        trained: Runs that name the release among their inputs: `experiment: run (name)`.
    """

    done: bool
    detail: str
    trained: tuple[str, ...] = ()


def mark_release(tracking: Tracking, release_id: str, table: str, status: str) -> Marked:
    """Tag the runs and model versions of a release, and move the alias `current` away from them.

    Args:
        tracking: The site's tracking section.
        release_id: The release.
        table: Its table; a run that read it names it as an input.
        status: `recalled` or `expired`; also the alias that the model's version gets.
    """
    if not tracking.enabled:
        return Marked(True, "the site logs nothing to MLflow")
    trouble = reachable(tracking)
    if trouble:
        return Marked(False, f"MLflow was not marked: {trouble}")
    file = database.file_of(tracking.uri)
    if file is not None and not file.exists():
        return Marked(True, "MLflow has no records yet")
    try:
        with quiet(), environment(SETTINGS):
            return in_time(tracking, lambda: _mark(tracking, release_id, table, status))
    except Exception as error:  # noqa: BLE001 - no error of MLflow or its drivers may stop a recall
        return Marked(False, f"MLflow was not marked ({type(error).__name__}); run the same command again")


def _mark(tracking: Tracking, release_id: str, table: str, status: str) -> Marked:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking.uri, registry_uri=tracking.uri)
    experiments = [str(one.experiment_id) for one in client.search_experiments()]
    own = client.search_runs(experiments, filter_string=f"tags.`{RELEASE_TAG}` = '{release_id}'") if experiments else []
    for run in own:
        client.set_tag(run.info.run_id, STATUS_TAG, status)
    versions = 0
    for run in own:
        for version in client.search_model_versions(f"run_id='{run.info.run_id}'"):
            _mark_version(client, version, status)
            versions += 1
    trained = _trained(client, experiments, {str(run.info.run_id) for run in own}, (release_id, table))
    return Marked(True, f"{len(own)} runs and {versions} model versions marked {status} in MLflow", trained)


def _mark_version(client: Any, version: Any, status: str) -> None:
    """Tag a model's version. Its alias says what became of it, and `current` does not point to it any more."""
    client.set_model_version_tag(version.name, version.version, STATUS_TAG, status)
    aliases = client.get_model_version(version.name, version.version).aliases
    if ALIAS in aliases:
        client.delete_registered_model_alias(version.name, ALIAS)
    if status not in aliases:
        client.set_registered_model_alias(version.name, status, version.version)


def _trained(client: Any, experiments: list[str], own: set[str], names: tuple[str, ...]) -> tuple[str, ...]:
    """Runs with an input that names the release or its table."""
    found = []
    for experiment in experiments:
        for run in client.search_runs([experiment], max_results=MAX_RUNS):
            if str(run.info.run_id) in own or run.inputs is None:
                continue
            inputs = (each.dataset for each in run.inputs.dataset_inputs)
            said = (text for each in inputs for text in (each.name, each.source, each.digest, each.profile) if text)
            if any(name in text for text in said for name in names):
                found.append(f"{experiment}: {run.info.run_id} ({run.info.run_name})")
    return tuple(sorted(found)[:MAX_NAMED])
