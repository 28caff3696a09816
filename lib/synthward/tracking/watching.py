"""Logs what monitoring found to MLflow: one run for each execution, with numbers for charts and alarms.

As with `record`, nothing here may fail what calls it or delay it for long.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from synthward.records.findings import SEVERITIES, Watched
from synthward.spec.site import Tracking
from synthward.tracking import database
from synthward.tracking.client import SETTINGS, environment, quiet
from synthward.tracking.record import experiment_of, in_time, reachable, safe_names

logger = logging.getLogger("synthward")

SUFFIX = "-monitoring"
"""End of the name of the experiment, so that runs of monitoring do not stand between releases."""


def log_watched(tracking: Tracking, watched: Watched, shares: Mapping[str, float]) -> str | None:
    """Log one execution of monitoring.

    Args:
        tracking: The site's tracking section. If it is disabled, nothing is logged.
        watched: What was found.
        shares: Spent share of each scope's budget.

    Returns:
        Id of MLflow's run; None if nothing was logged.
    """
    if not tracking.enabled:
        return None
    trouble = reachable(tracking)
    if trouble:
        logger.warning("MLflow was not written: %s; findings are on record in Delta", trouble)
        return None
    try:
        with quiet(), environment(SETTINGS):
            return in_time(tracking, lambda: _log(tracking, watched, shares))
    except Exception as error:  # noqa: BLE001 - no error of MLflow or its drivers may stop monitoring
        logger.warning("MLflow was not written (%s); findings are on record in Delta", type(error).__name__)
        return None


def _log(tracking: Tracking, watched: Watched, shares: Mapping[str, float]) -> str:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    file = database.file_of(tracking.uri)
    if file is not None:
        database.prepare(file)
    client = MlflowClient(tracking_uri=tracking.uri, registry_uri=tracking.uri)
    experiment = experiment_of(client, tracking, file, SUFFIX)
    run = client.create_run(experiment, tags={"synthward.monitoring": "true"}, run_name=f"monitoring {watched.at[:19]}")
    run_id = str(run.info.run_id)
    numbers = {
        f"findings.{severity}": float(sum(one.severity == severity for one in watched.findings))
        for severity in SEVERITIES
    }
    numbers |= {f"budget_share.{scope}": share for scope, share in shares.items()}
    names = safe_names(list(numbers))
    client.log_batch(run_id, metrics=[Metric(names[name], value, 0, 0) for name, value in numbers.items()])
    lines = (f"{one.severity} {one.kind} {one.subject}: {one.message}" for one in watched.findings)
    client.log_text(run_id, "\n".join(lines) + "\n", "findings.txt")
    client.set_terminated(run_id)
    return run_id
