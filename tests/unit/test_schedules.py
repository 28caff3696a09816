"""The examples of schedules: a cron line whose command parses, and a DAG that Airflow loads where there is one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path

import pytest

from synthward.cli.main import build_parser


def test_the_cron_lines_command_is_one_that_synthward_takes(root: Path) -> None:
    lines = (root / "conf" / "schedules" / "crontab").read_text("utf-8").splitlines()
    [line] = [text for text in lines if text and text[0].isdigit()]
    # Five fields of time, the user, and a command in which cron wants every % escaped.
    command = line.split(maxsplit=6)[6]
    assert command.count("%") == command.count("\\%")
    words = shlex.split(command.replace("\\%", "%").partition(" 2>> ")[0])
    options = build_parser().parse_args(words[words.index(".venv/bin/synthward") + 1 :])
    assert options.run_key == "$(date +%Y-%m)"
    assert options.log_format == "json"


LOAD = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
dag = bag.dags.get("synthward_encounters")
found = {"errors": bag.import_errors, "runs": dag and dag.max_active_runs, "tasks": dag and dag.task_ids}
print("FOUND" + json.dumps(found))
"""


@pytest.mark.slow
def test_airflow_loads_the_dag(root: Path, tmp_path: Path) -> None:
    """SYNTHWARD_AIRFLOW_PYTHON is the Python of an environment of Airflow's own, with apache-airflow 3."""
    python = os.environ.get("SYNTHWARD_AIRFLOW_PYTHON")
    if python is None:
        pytest.skip("no Airflow; set SYNTHWARD_AIRFLOW_PYTHON to the Python of an environment with apache-airflow 3")
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [python, "-c", LOAD, str(root / "conf" / "schedules")],
        env={**own, "AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    [line] = [text for text in done.stdout.splitlines() if text.startswith("FOUND")] or [done.stderr[-2000:]]
    assert json.loads(line.removeprefix("FOUND")) == {"errors": {}, "runs": 1, "tasks": ["synthesize"]}
