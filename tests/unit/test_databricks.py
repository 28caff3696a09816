"""What a Databricks workspace gets: notebooks, the asset bundle, and a wheel that leaves the runtime as it is."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
import traceback
import zipfile
from email.parser import Parser
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement

from synthward.errors import JobFailed

NOTEBOOKS = ("01_quickstart.py", "02_operate.py")

# Serverless environment version 5, from Databricks' own list of requirements:
# https://docs.databricks.com/aws/en/assets/files/requirements-8e972929dcac249709ddd4214f2e1b2a.txt
RUNTIME = {"numpy": "2.1.3", "pandas": "2.2.3", "pyarrow": "21.0.0"}

# What a session of standard access mode or serverless compute refuses, or what would change a shared session.
REFUSED = (".rdd", "sparkContext", "_jvm", "_jsc", "conf.set", ".cache()", ".persist(", "setLogLevel", "%sh", "DBFS")


@pytest.fixture
def bundle(root: Path) -> dict[str, Any]:
    folder = root / "conf" / "databricks"
    found: dict[str, Any] = yaml.safe_load((folder / "databricks.yml").read_text("utf-8"))
    for pattern in found["include"]:
        for path in sorted(folder.glob(pattern)):
            found |= yaml.safe_load(path.read_text("utf-8"))
    return found


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebooks_are_in_source_format_and_ask_nothing_that_is_refused(root: Path, name: str) -> None:
    text = (root / "notebooks" / name).read_text("utf-8")
    assert text.startswith("# Databricks notebook source\n")
    assert text.count("# COMMAND ----------") >= 5
    assert not [word for word in REFUSED if word in text]
    assert text.index("synthward.show_progress()") < text.index("ward.run(")
    compile(text, name, "exec")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_cell_that_runs_tells_no_text_of_an_unexpected_error(root: Path, name: str) -> None:
    """Cells' outputs are stored with the notebook and shown to everybody who may view the job."""

    class Failing:
        def run(self, *_: object, **__: object) -> None:
            raise ValueError("Jane Doe")

    text = (root / "notebooks" / name).read_text("utf-8")
    [cell] = [part for part in text.split("# COMMAND ----------") if "ward.run(" in part]
    scope = {"ward": Failing(), "request": None, "RUN_KEY": "", "JobFailed": JobFailed}
    with pytest.raises(
        JobFailed, match=r"^exit code 1 \(ValueError; trying again unchanged will not help\): unexpected"
    ) as failed:
        exec(compile(cell, name, "exec"), scope)  # noqa: S102 - a cell has no other door
    assert "Jane" not in "".join(traceback.format_exception(failed.value))


def test_the_jobs_parameters_are_the_notebooks_widgets(root: Path, bundle: dict[str, Any]) -> None:
    job = bundle["resources"]["jobs"]["synthesize"]
    notebook = root / "conf" / "databricks" / "resources" / job["tasks"][0]["notebook_task"]["notebook_path"]
    widgets = set(re.findall(r'= setting\("([a-z_]+)"', notebook.read_text("utf-8")))
    assert {parameter["name"] for parameter in job["parameters"]} <= widgets
    values = set(re.findall(r'task_value\("([a-z_]+)"', notebook.read_text("utf-8")))
    assert set(re.findall(r"tasks\.run\.values\.([a-z_]+)", str(job))) <= values


def test_the_bundle_runs_once_at_a_time_under_a_key_that_a_retry_shares(bundle: dict[str, Any]) -> None:
    job = bundle["resources"]["jobs"]["synthesize"]
    assert job["max_concurrent_runs"] == 1
    [run_key] = [parameter["default"] for parameter in job["parameters"] if parameter["name"] == "run_key"]
    assert run_key == "{{job.start_time.year}}-{{job.start_time.month}}"
    assert job["schedule"]["pause_status"] == "PAUSED"
    assert {entry["level"] for entry in job["permissions"]} == {"CAN_MANAGE_RUN", "CAN_VIEW"}
    used = set(re.findall(r"\$\{var\.([a-z_]+)\}", str(bundle["resources"]) + str(bundle["targets"])))
    assert used == set(bundle["variables"])


READ = """
import json, sys
from databricks.bundles.jobs import Job
found = []
for job in json.load(sys.stdin):
    try:
        Job.from_dict(job)
        found.append("")
    except ValueError as error:
        found.append(str(error))
print(json.dumps(found))
"""


def refusals(jobs: list[dict[str, Any]]) -> list[str]:
    """What Databricks' own classes say to jobs of a bundle; empty where they take one.

    SYNTHWARD_BUNDLES is a folder with the package databricks-bundles.
    """
    packages = os.environ.get("SYNTHWARD_BUNDLES")
    if packages is None:
        pytest.skip("no databricks-bundles; `make extras`, then set SYNTHWARD_BUNDLES to .extras/bundles")
    # A process of its own: databricks-sdk, which MLflow brings, has a package of the same name.
    done = subprocess.run(
        [sys.executable, "-c", READ],
        input=json.dumps(jobs),
        env={**os.environ, "PYTHONPATH": packages},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_databricks_own_classes_take_the_bundles_jobs(bundle: dict[str, Any]) -> None:
    jobs = bundle["resources"]["jobs"]
    assert list(jobs) == ["synthesize"]
    job = jobs["synthesize"]
    spoilt = copy.deepcopy(job)
    spoilt["tasks"][0]["notebook_task"]["notebok_path"] = "x"
    assert refusals([job, {**job, "max_concurrent_run": 1}, spoilt]) == [
        "",
        "Unexpected field 'max_concurrent_run' for class Job",
        "Unexpected field 'notebok_path' for class NotebookTask",
    ]


@pytest.fixture(scope="module")
def requirements(root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Requirement]:
    """What the wheel asks pip for, extras apart."""
    target = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(target), str(root)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True, timeout=300, capture_output=True)
    [wheel] = target.glob("synthward-*-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        [name] = [entry for entry in archive.namelist() if entry.endswith(".dist-info/METADATA")]
        listed = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist", [])
    asked = [Requirement(line) for line in listed]
    return [item for item in asked if item.marker is None or item.marker.evaluate({"extra": ""})]


def test_installing_the_wheel_leaves_the_runtimes_packages_alone(requirements: list[Requirement]) -> None:
    names = {item.name for item in requirements}
    assert not names & {"pyspark", "delta-spark", "mlflow", "databricks-connect"}
    assert set(RUNTIME) <= names
    kept = {item.name: item.specifier.contains(RUNTIME[item.name]) for item in requirements if item.name in RUNTIME}
    assert kept == dict.fromkeys(RUNTIME, True)
