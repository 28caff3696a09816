"""MLflow's SQLite file: whole or absent, whenever the process that makes it is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from synthward.spec.site import Tracking
from synthward.tracking import database, record

KILLED_WHILE_MAKING = """
import os, signal, sqlite3, sys, threading, time
from pathlib import Path
from synthward.tracking import database

place, wanted = Path(sys.argv[1]), int(sys.argv[2])

def watch():
    while True:
        for made in place.parent.glob(".mlflow.db.making-*/mlflow.db"):
            try:
                found = sqlite3.connect(f"{made.as_uri()}?mode=ro", uri=True)
                (tables,) = found.execute("SELECT count(*) FROM sqlite_master WHERE type = 'table'").fetchone()
            except sqlite3.Error:
                continue
            if tables >= wanted:
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.001)

threading.Thread(target=watch, daemon=True).start()
database.prepare(place)
os.kill(os.getpid(), signal.SIGTERM)  # the watcher missed it: the test sees another signal
"""

KILLED_BEFORE_THE_MOVE = """
import os, signal, sys
from pathlib import Path
from synthward.tracking import database

def make(file):
    file.write_bytes(b"all but complete")
    os.kill(os.getpid(), signal.SIGKILL)

database.prepare(Path(sys.argv[1]), make)
"""


def killed(program: str, *arguments: object) -> int:
    words = [sys.executable, "-c", program, *map(str, arguments)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(words, env=environ, check=False, timeout=120, stderr=subprocess.DEVNULL).returncode


def some_tables(file: Path) -> None:
    """What MLflow leaves when it is killed between its first tables and its first experiment."""
    with contextlib.closing(sqlite3.connect(file)) as made:
        made.execute("CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY)")
        made.execute("CREATE TABLE runs (run_uuid VARCHAR(32))")
        made.commit()


def complete(file: Path) -> None:
    some_tables(file)
    with contextlib.closing(sqlite3.connect(file)) as made:
        made.execute("INSERT INTO experiments VALUES (0)")
        made.commit()


@pytest.mark.parametrize("tables", [1, 12])
def test_a_kill_while_tables_are_made_leaves_nothing_at_the_place(tmp_path: Path, tables: int) -> None:
    place = tmp_path / "mlflow.db"
    assert killed(KILLED_WHILE_MAKING, place, tables) == -signal.SIGKILL
    assert not place.exists()
    assert database.fault(place) == ""


def test_after_a_kill_the_next_process_makes_a_private_database(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "mlflow.db"
    place.parent.mkdir()
    assert killed(KILLED_BEFORE_THE_MOVE, place) == -signal.SIGKILL
    [left] = place.parent.iterdir()
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    os.utime(left, (time.time() - 7200, time.time() - 7200))
    database.prepare(place)
    assert list(place.parent.iterdir()) == [place]
    assert database.fault(place) == ""
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    with contextlib.closing(sqlite3.connect(place)) as made:
        [(name, artifacts)] = made.execute("SELECT name, artifact_location FROM experiments").fetchall()
    assert (name, artifacts) == ("Default", f"{(place.parent / 'mlartifacts').as_uri()}/0")


def test_what_another_run_is_making_now_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / ".mlflow.db.making-other"
    other.mkdir()
    database.prepare(tmp_path / "mlflow.db", complete)
    assert other.is_dir()


def test_a_database_that_is_there_is_never_replaced(tmp_path: Path) -> None:
    place = tmp_path / "mlflow.db"

    def late(file: Path) -> None:
        complete(file)
        place.write_bytes(b"of another run")

    database.prepare(place, late)
    assert place.read_bytes() == b"of another run"
    database.prepare(place, lambda _: pytest.fail("made again"))
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]


def test_an_empty_file_counts_as_none(tmp_path: Path) -> None:
    place = tmp_path / "mlflow.db"
    place.touch()
    assert database.fault(place) == ""
    database.prepare(place, complete)
    assert place.stat().st_size > 0


def test_a_half_made_database_is_recognised(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = tmp_path / "mlflow.db"
    some_tables(place)
    assert record.reachable(Tracking(uri=f"sqlite:///{place}")) == database.HALF_MADE
    complete(tmp_path / "whole.db")
    assert database.fault(tmp_path / "whole.db") == ""
    (tmp_path / "text.db").write_text("not a database, but long enough to be looked at" * 10)
    assert database.fault(tmp_path / "text.db") == database.NO_DATABASE


def test_a_registry_without_experiments_is_in_use(tmp_path: Path) -> None:
    place = tmp_path / "mlflow.db"
    some_tables(place)
    with contextlib.closing(sqlite3.connect(place)) as made:
        made.execute("CREATE TABLE registered_models (name VARCHAR(256))")
        made.execute("INSERT INTO registered_models VALUES ('visits')")
        made.commit()
    assert database.fault(place) == ""


def test_the_file_of_an_address() -> None:
    assert database.file_of("sqlite:////data/mlflow.db") == Path("/data/mlflow.db")
    assert database.file_of("sqlite+pysqlite:///mlflow.db") == Path("mlflow.db")
    assert database.file_of("sqlite:///:memory:") is None
    assert database.file_of("https://server/mlflow.db") is None
