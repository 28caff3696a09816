"""Whether MLflow can be written: the doctor and the run give one answer, because they ask one function."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from synthward.run.doctor import Finding, tracking_finding
from synthward.spec.site import Site, load_site
from synthward.tracking import record as tracking
from trial import TestSite


def site(root: Path, uri: str) -> Site:
    return load_site(TestSite(root, site={"tracking": {"enabled": True, "uri": uri}}).file)


def answers(found: Site) -> Finding:
    """The doctor's finding, which must be the run's answer."""
    finding = tracking_finding(found)
    trouble = tracking.reachable(found.tracking)
    assert finding.ok == (trouble == "")
    assert trouble in finding.detail
    return finding


@contextmanager
def server(status: int, seen: list[str]) -> Iterator[str]:
    """A server that answers every request with one status."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            seen.extend(value for name, value in self.headers.items() if name == "Authorization")
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


@pytest.mark.parametrize("uri", ["databricks", "databricks://prod"])
def test_databricks_is_fine_for_both(tmp_path: Path, uri: str) -> None:
    assert answers(site(tmp_path, uri)).ok


def test_a_folder_that_the_run_will_make_is_fine_for_both(tmp_path: Path) -> None:
    assert answers(site(tmp_path, "sqlite:///not/made/yet/mlflow.db")).ok
    assert not (tmp_path / "not").exists()
    (tmp_path / "file").touch()
    assert not answers(site(tmp_path, "sqlite:///file/mlflow.db")).ok


def test_a_folder_of_files_is_what_mlflow_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    assert "refuses folders" in answers(site(tmp_path, "./mlruns")).detail


@pytest.mark.parametrize(("status", "ok"), [(200, True), (401, True), (404, True), (500, False), (503, False)])
def test_a_server_that_answers(tmp_path: Path, status: int, ok: bool) -> None:
    seen: list[str] = []
    with server(status, seen) as address:
        finding = answers(site(tmp_path, f"http://user:secret@{address}/mlflow/"))
    assert finding.ok == ok
    assert set(seen) == {"/mlflow/health"}, "credentials are not sent"
    assert "secret" not in finding.detail + finding.fix
    assert ok or f"answers {status}" in finding.detail


def test_a_server_that_never_answers_costs_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "PROBE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        finding = answers(site(tmp_path, f"http://user:secret@127.0.0.1:{silent.getsockname()[1]}"))
        assert time.monotonic() - start < 5
    assert not finding.ok
    assert "secret" not in finding.detail + finding.fix


def test_what_is_switched_off_is_in_order(tmp_path: Path) -> None:
    finding = tracking_finding(load_site(TestSite(tmp_path).file))
    assert finding.ok
    assert "switched off" in finding.detail
