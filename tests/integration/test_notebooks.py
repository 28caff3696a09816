"""The notebooks run from top to bottom, on a local session and on Connect, with and without Databricks' widgets."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.errors import JobFailed
from trial import heard

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect


class Widgets:
    """Databricks' widgets: a default where nobody has typed anything."""

    def __init__(self, typed: dict[str, str]) -> None:
        self.typed = typed
        self.defaults: dict[str, str] = {}

    def text(self, name: str, default: str, label: str) -> None:
        assert label
        self.defaults[name] = default

    def get(self, name: str) -> str:
        return self.typed.get(name, self.defaults[name])


class TaskValues:
    """Values that a task hands to the next one."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def set(self, key: str, value: str) -> None:
        self.values[key] = value


class Utilities:
    """What is used of `dbutils`."""

    def __init__(self, **typed: str) -> None:
        self.widgets = Widgets(typed)
        self.jobs = type("Jobs", (), {"taskValues": TaskValues()})()


def execute(workspace: Path, name: str, spark: SparkSession, utilities: Utilities | None = None) -> dict[str, Any]:
    """Runs a notebook; what it defined, and under `shown` what it displayed."""
    shown: list[str] = []
    scope: dict[str, Any] = {"spark": spark, "displayHTML": shown.append}
    if utilities is not None:
        scope["dbutils"] = utilities
    exec(compile((workspace / name).read_text(encoding="utf-8"), name, "exec"), scope)  # noqa: S102 - notebooks have no other door
    return {**scope, "shown": shown}


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """The notebooks set up the package's logger for good; here it is put back."""
    with heard():
        yield


@pytest.fixture(scope="module")
def workspace(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of what the notebooks need, so that everything they write lies there."""
    folder = tmp_path_factory.mktemp("workspace")
    for name in ("notebooks", "conf"):
        shutil.copytree(root / name, folder / name)
    return folder / "notebooks"


@pytest.fixture(scope="module")
def first(spark: SparkSession, workspace: Path) -> dict[str, Any]:
    """What the quickstart leaves: the operator's notebook goes on from there."""
    with pytest.MonkeyPatch.context() as patch, heard(), contextlib.redirect_stderr(io.StringIO()) as said:
        patch.chdir(workspace)
        left = execute(workspace, "01_quickstart.py", spark)
        return {**left, "progress": said.getvalue()}


@pytest.mark.slow_on_connect
def test_quickstart(first: dict[str, Any]) -> None:
    assert first["release"].outcome.is_new
    assert "<html" in first["shown"][0]
    assert first["rows"].count() == first["request"].request.output.rows
    for step in ("measure moments: aggregate", "validate: sample", "publish"):
        assert f": {step} done in" in first["progress"], step


@pytest.mark.slow
def test_operate_after_the_quickstart(
    spark: SparkSession,
    workspace: Path,
    first: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(workspace)
    utilities = Utilities(run_key="next")
    second = execute(workspace, "02_operate.py", spark, utilities)
    out = capsys.readouterr().out
    assert second["release"].outcome.is_new
    assert utilities.jobs.taskValues.values == {
        "release_id": second["release"].release_id,
        "table": second["release"].table,
    }
    assert "the ledger is whole" in out
    assert "nothing is recorded" in out
    assert second["chosen"] == [first["release"].release_id, second["release"].release_id]
    assert second["comparison"].count("<tr>") == 1 + len(first["request"].request.columns)

    again = execute(workspace, "02_operate.py", spark, Utilities(run_key="next"))
    assert not again["release"].outcome.is_new
    assert "published: nothing is left to do" in capsys.readouterr().out
    # The approvals cover two runs; a third key fails, with the code where no runner passes one on.
    with pytest.raises(JobFailed, match=r"^exit code 3 \(PolicyRefused; trying again unchanged will not help\)"):
        execute(workspace, "02_operate.py", spark, Utilities(run_key="third"))
