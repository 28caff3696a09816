"""Airflow DAG: one release a month from an approved request. Copy it into the DAGs folder and set the three paths.

The run key is the month in which the DAG run is due, so every retry of a DAG run resumes the same run and spends
nothing, and the next month is a new charge, as long as the approval covers one more run.
"""

from __future__ import annotations

import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException

HOME = Path("/opt/synthward")
RESULTS = Path("/tmp")  # noqa: S108 - ids and codes only
SITE = "/etc/synthward/site.yaml"
REQUEST = "/etc/synthward/requests/encounters.yaml"

SUBMIT = [
    "spark-submit",
    *("--master", "yarn", "--deploy-mode", "client"),
    *("--properties-file", str(HOME / "conf" / "spark-defaults.conf")),
    *("--py-files", str(HOME / "build" / "synthward.zip")),
    str(HOME / "jobs" / "synthesize.py"),
]


@dag(
    dag_id="synthward_encounters",
    schedule="0 2 1 * *",
    start_date=datetime(2026, 1, 1),  # noqa: DTZ001 - Airflow reads it in its own time zone
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=15)},
)
def synthward_encounters() -> None:
    """One task: the job is resumable as a whole, so splitting it would gain nothing."""

    @task
    def synthesize() -> str:
        """Run the job. If a retry cannot help, fail at once. The release's table goes to XCom."""
        due = get_current_context()["dag_run"].run_after
        result = RESULTS / f"synthward-{due:%Y-%m}.json"
        result.unlink(missing_ok=True)  # the result of an earlier try is not the result of this one
        words = ["--site", SITE, "--request", REQUEST, "--run-key", f"{due:%Y-%m}", "--result", str(result)]
        code = subprocess.run([*SUBMIT, *words], check=False).returncode
        if not result.exists():
            raise RuntimeError(f"exit code {code}, and no result: the driver was killed, the next try resumes the run")
        ended = json.loads(result.read_text(encoding="utf-8"))
        if code == 0:
            return str(ended["table"])
        reason = f"exit code {code}, {ended['status']}: {ended['message']}"
        if ended["retryable"]:
            raise RuntimeError(reason)
        raise AirflowFailException(reason)

    synthesize()


synthward_encounters()
