"""MLflow: written once, never in the way."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synthward.release.manifest import Manifest
from synthward.spec.site import Tracking
from synthward.tracking import client as calls
from synthward.tracking import record as tracking

EXAMPLE = Path(__file__).with_name("manifest_example.json")
METRICS = {"epsilon": 1.0, "tvd.HbA1c (%)": 0.1, "tvd.HbA1c (#)": 0.2, "tvd.smoking / status": 0.3, "odd": float("nan")}
PARAMETERS = {"request_digest": "a" * 64, "unit": "patient", "note": "x" * 2000}


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(json.loads(EXAMPLE.read_text(encoding="utf-8")))


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs in an empty folder, and finds it and the environment as they were."""
    folder = tmp_path / "cwd"
    folder.mkdir()
    monkeypatch.chdir(folder)
    before = dict(os.environ)
    yield
    changed = {name for name in before.keys() | os.environ.keys() if before.get(name) != os.environ.get(name)}
    assert changed <= {"PYTEST_CURRENT_TEST"}
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file for all tests, each with an experiment of its own: MLflow takes seconds to make one. Not there yet."""
    return tmp_path_factory.mktemp("tracking") / "deep" / "er" / "mlflow.db"


def log(where: Tracking, manifest: Manifest, metrics: dict[str, float] = METRICS) -> str | None:
    return tracking.log_release(where, manifest, "<html>report</html>", metrics=metrics, parameters=PARAMETERS)


def at(path: Path, **others: Any) -> Tracking:
    return Tracking(uri=f"sqlite:///{path}", **others)


def client(where: Tracking) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=where.uri, registry_uri=where.uri)


def test_a_release_is_logged_completely_and_once(
    database: Path, tmp_path: Path, manifest: Manifest, capfd: pytest.CaptureFixture[str]
) -> None:
    where = at(database, experiment="pilot")
    assert tracking.reachable(where) == ""
    first = log(where, manifest)
    assert first is not None
    assert log(where, manifest) == first

    mlflow = client(where)
    experiment = mlflow.get_experiment_by_name("pilot")
    runs = mlflow.search_runs([experiment.experiment_id])
    assert [run.info.run_id for run in runs] == [first]
    run = runs[0]
    assert run.info.status == "FINISHED"
    assert run.data.params["epsilon"] == "0.999999991"
    assert run.data.params["unit"] == "patient"
    assert len(run.data.params["note"]) == tracking.MAX_PARAMETER
    assert run.data.metrics["epsilon"] == 1.0
    assert "odd" not in run.data.metrics
    assert len([name for name in run.data.metrics if name.startswith("tvd.")]) == 3
    assert run.data.tags["synthetic"] == "true"
    assert run.data.tags["synthward.run_id"] == manifest.body["run_id"]
    assert run.data.tags["synthward.ledger_head"] == manifest.body["budget"]["ledger"]["head"]
    assert run.data.tags["synthward.privacy_unit"] == "unit: patient, by admissions.subject_id via hadm_id"
    kept = Path(mlflow.download_artifacts(first, "manifest.json", str(tmp_path)))
    assert kept.read_text(encoding="utf-8") == manifest.text
    assert {entry.path for entry in mlflow.list_artifacts(first)} == {"manifest.json", "report.html"}
    assert (database.parent / "mlartifacts").is_dir()
    assert capfd.readouterr().out == ""


def test_the_model_is_logged_registered_and_loaded_again(database: Path, tmp_path: Path, manifest: Manifest) -> None:
    """As the notebook does it: load by alias, predict; a second release of the table moves the alias."""
    import mlflow

    from small_model import model_file
    from synthward.sample.model_file import ModelFile

    where = at(database, experiment="models", models="synthward-")
    file = model_file()
    for number in (1, 2):
        release = Manifest({**manifest.body, "run_id": f"run-{number}"})
        model = tracking.LoggedModel("visits", file.text.encode)
        for _ in range(2):
            done = tracking.log_release(where, release, "", metrics={}, parameters={}, model=model)
        assert done is not None
        found = client(where).get_model_version_by_alias("synthward-visits", tracking.ALIAS)
        assert (int(found.version), found.run_id) == (number, done)
    assert {entry.path for entry in client(where).list_artifacts(done)} == {"manifest.json", "report.html", "model"}
    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    try:
        mlflow.set_tracking_uri(where.uri)
        mlflow.set_registry_uri(where.uri)
        loaded = mlflow.pyfunc.load_model(f"models:/synthward-visits@{tracking.ALIAS}")
    finally:
        mlflow.set_tracking_uri(before[0])
        mlflow.set_registry_uri(before[1])
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
            os.environ.pop(name, None)
    rows = loaded.predict({"rows": 50, "where": {"sex": {"F": 0.5, "M": 0.5}}})
    assert rows["sex"].value_counts().to_dict() == {"F": 25, "M": 25}
    kept = Path(client(where).download_artifacts(done, "model", str(tmp_path)))
    assert ModelFile.load(kept / "data" / "model.json").text == file.text
    assert not list(kept.rglob("*.pkl"))


def test_a_signature_admits_requests_with_where_as_text(tmp_path: Path) -> None:
    """What Unity Catalog asks for; nothing else of it can be tried here."""
    import mlflow

    from small_model import model_file

    (tmp_path / "model.json").write_text(model_file().text, encoding="utf-8")
    mlflow.pyfunc.save_model(
        path=str(tmp_path / "m"),
        loader_module="synthward.sample.pyfunc",
        data_path=str(tmp_path / "model.json"),
        pip_requirements=[],
        signature=tracking._signature(),
    )
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    assert len(loaded.predict({"rows": 7})) == 7
    assert set(loaded.predict({"rows": 7, "seed": 2, "where": '{"sex": "F"}'})["sex"]) == {"F"}


def test_an_interrupted_log_is_completed(
    database: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow.tracking import MlflowClient

    where = at(database)
    with monkeypatch.context() as broken:

        def fail(*_: object, **__: object) -> None:
            raise ConnectionError("https://user:secret@host")

        broken.setattr(MlflowClient, "log_text", fail)
        assert log(where, manifest) is None
    assert "ConnectionError" in caplog.text
    assert "secret" not in caplog.text
    done = log(where, manifest)
    mlflow = client(where)
    experiment = mlflow.get_experiment_by_name("synthward")
    assert [run.info.run_id for run in mlflow.search_runs([experiment.experiment_id])] == [done]
    assert len(mlflow.get_metric_history(done, "epsilon")) == 1
    assert len(mlflow.list_artifacts(done)) == 2


def test_many_columns_go_in_batches(database: Path, manifest: Manifest) -> None:
    where = at(database, experiment="wide")
    done = log(where, manifest, {f"tvd.{place}": place / 1000 for place in range(450)})
    assert done is not None
    assert len(client(where).get_run(done).data.metrics) == 450


@pytest.mark.parametrize("where", [Tracking(enabled=False), Tracking(uri="http://127.0.0.1:1", enabled=False)])
def test_nothing_is_logged_where_the_site_says_so(
    where: Tracking, manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    assert tracking.reachable(where) == ""
    assert log(where, manifest) is None
    assert caplog.text == ""


def test_works_without_mlflow(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in [name for name in sys.modules if name == "mlflow" or name.startswith("mlflow.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    where = at(tmp_path / "mlflow.db")
    assert "mlflow cannot be imported (ModuleNotFoundError)" in tracking.reachable(where)
    assert log(where, manifest) is None
    [record] = caplog.records
    assert (record.name, record.levelno) == ("synthward", logging.WARNING)
    assert not (tmp_path / "mlflow.db").exists()


def test_importing_the_module_imports_no_mlflow() -> None:
    import subprocess

    code = "import sys, synthward.tracking.record, synthward.tracking.loading; assert 'mlflow' not in sys.modules"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("scheme", ["http", "postgresql+psycopg2", "mysql"])
def test_a_server_that_is_down_is_given_up_at_once(
    scheme: str, manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    where = Tracking(uri=f"{scheme}://someone:hunter2@127.0.0.1:{closed_port()}/db")
    started = time.monotonic()
    assert tracking.reachable(where) == "the tracking server does not answer (ConnectionRefusedError)"
    assert log(where, manifest) is None
    assert time.monotonic() - started < 20
    assert "hunter2" not in caplog.text
    assert "127.0.0.1" not in caplog.text
    assert len(caplog.records) == 1


def test_a_server_that_says_nothing_is_given_up_in_time(
    manifest: Manifest, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(calls.SETTINGS, "MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = Tracking(uri=f"http://someone:hunter2@127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert log(where, manifest) is None
        assert time.monotonic() - started < 10
    assert "hunter2" not in caplog.text
    assert [record.name for record in caplog.records] == ["synthward"]


def test_what_never_ends_is_left_behind(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(tracking, "DEADLINE_SECONDS", 0.2)
    monkeypatch.setattr(tracking, "_log", lambda *_: stuck.wait(30))
    assert log(at(tmp_path / "mlflow.db"), manifest) is None
    assert "TimeoutError" in caplog.text
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "synthward-mlflow")
    stuck.set()


def test_places_that_cannot_be_written_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    assert "cannot be written" in tracking.reachable(at(tmp_path / "file" / "mlflow.db"))
    assert "cannot be written" in tracking.reachable(at(tmp_path))
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    assert "refuses folders" in tracking.reachable(Tracking(uri=str(tmp_path / "mlruns")))
    assert tracking.reachable(Tracking(uri="databricks")) == ""


def test_experiments_on_databricks_are_paths() -> None:
    assert tracking.experiment_name(Tracking(uri="databricks")) == "/Shared/synthward"
    assert tracking.experiment_name(Tracking(uri="databricks://prod", experiment="/Teams/a")) == "/Teams/a"
    assert tracking.experiment_name(Tracking(uri="http://x")) == "synthward"


def test_names_are_safe_and_stay_apart() -> None:
    names = ["plain.name-1", "ä", "ö", "../../etc", "a/b", "x" * 400, "x" * 401, "", "..", " edge "]
    safe = tracking.safe_names(names)
    assert safe["plain.name-1"] == "plain.name-1"
    assert len(set(safe.values())) == len(names)
    for name in safe.values():
        assert 0 < len(name) <= tracking.MAX_NAME
        assert "/" not in name
        assert name.strip(".")


def test_names_are_taken_by_mlflow(database: Path, manifest: Manifest) -> None:
    where = at(database, experiment="odd names")
    names = ["ä", "../../etc", "a/b", "x" * 400, "..", "#1: odd, name"]
    done = log(where, manifest, dict.fromkeys(names, 0.5))
    assert done is not None
    assert len(client(where).get_run(done).data.metrics) == len(names)
