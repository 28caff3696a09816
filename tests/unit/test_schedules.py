"""The examples of schedules: a cron line whose command parses, and a DAG that Airflow loads where there is one."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

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


def test_the_cron_lines_of_monitoring_are_ones_that_synthward_takes(root: Path) -> None:
    lines = (root / "conf" / "schedules" / "crontab.monitoring").read_text("utf-8").splitlines()
    commands = [text.split(maxsplit=6)[6] for text in lines if text and text[0].isdigit()]
    parsed = []
    for command in commands:
        words = shlex.split(command.partition(" 2>> ")[0])
        parsed.append(build_parser().parse_args(words[words.index(".venv/bin/synthward") + 1 :]).command.__name__)
    assert parsed == ["expire_release", "watch"]


class Failed(Exception):
    """Stands for Airflow's failure without a retry."""


@pytest.fixture
def synthesize(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """The DAG's task as a function, with as much of Airflow as it uses; its results lie in the test's folder."""
    tasks: list[Callable[[], str]] = []
    sdk, exceptions = ModuleType("airflow.sdk"), ModuleType("airflow.sdk.exceptions")
    sdk.dag = lambda **_: lambda function: function  # type: ignore[attr-defined]
    sdk.task = lambda function: tasks.append(function) or (lambda: None)  # type: ignore[attr-defined]
    sdk.get_current_context = lambda: {"dag_run": SimpleNamespace(run_after=dt.date(2026, 2, 1))}  # type: ignore[attr-defined]
    exceptions.AirflowFailException = Failed  # type: ignore[attr-defined]
    for name, module in (("airflow", ModuleType("airflow")), ("airflow.sdk", sdk), (exceptions.__name__, exceptions)):
        monkeypatch.setitem(sys.modules, name, module)
    found = runpy.run_path(str(root / "conf" / "schedules" / "airflow_synthward.py"))
    [task] = tasks
    assert found["RESULTS"] == Path("/tmp")
    task.__globals__["RESULTS"] = tmp_path
    return task


RETRY = {"status": "failed", "message": "lost", "retryable": True, "table": None}
REFUSED = {"status": "refused", "message": "no approval", "retryable": False, "table": None}
PUBLISHED = {"status": "published", "message": None, "retryable": False, "table": "/r/t"}


@pytest.mark.parametrize(
    ("code", "written", "ends"),
    [
        (0, PUBLISHED, "/r/t"),
        (1, RETRY, RuntimeError("exit code 1, failed: lost")),
        (3, REFUSED, Failed("exit code 3, refused: no approval")),
        (137, None, RuntimeError("exit code 137, and no result: the driver was killed, the next try resumes the run")),
    ],
)
@pytest.mark.parametrize("before", [None, RETRY, REFUSED, PUBLISHED])
def test_a_try_of_the_dag_is_judged_by_its_own_result(
    synthesize: Callable[[], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    written: dict[str, object] | None,
    ends: object,
    before: dict[str, object] | None,
) -> None:
    """Whatever an earlier try has left, and also where the driver of this one was killed before it wrote anything."""
    target = tmp_path / "synthward-2026-02.json"
    if before is not None:
        target.write_text(json.dumps(before), encoding="utf-8")

    def run(command: list[str], *, check: bool) -> SimpleNamespace:
        assert not check
        assert command[-4:] == ["--run-key", "2026-02", "--result", str(target)]
        if written is not None:
            target.write_text(json.dumps(written), encoding="utf-8")
        return SimpleNamespace(returncode=code)

    monkeypatch.setattr(subprocess, "run", run)
    if isinstance(ends, str):
        assert synthesize() == ends
        return
    with pytest.raises(type(ends), match=f"^{re.escape(str(ends))}$"):  # type: ignore[arg-type]
        synthesize()


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
        pytest.skip("no Airflow; `make extras`, then set SYNTHWARD_AIRFLOW_PYTHON to .extras/airflow/bin/python")
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
