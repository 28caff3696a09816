"""Names, paths, error conditions, locks: what needs no JVM."""

from __future__ import annotations

import multiprocessing as mp
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.errors import PySparkException

from synthward.conditions import condition_of
from synthward.errors import EnvironmentProblem, StoreConflict, UsageError
from synthward.store import delta
from synthward.store.lock import file_lock, lock_for
from synthward.store.places import TableRef, Zone, local_path


@pytest.mark.parametrize(
    ("location", "sql"),
    [
        ("/data/zone", "delta.`/data/zone/t`"),
        ("file:/data/zone/", "delta.`file:/data/zone/t`"),
        ("abfss://c@a.example/z", "delta.`abfss://c@a.example/z/t`"),
        ("/it's a `zone`", "delta.`/it's a ``zone``/t`"),
        ("main.synthward", "`main`.`synthward`.`t`"),
        ("synth-ward", "`synth-ward`.`t`"),
    ],
)
def test_zone_quotes_names_and_paths(location: str, sql: str) -> None:
    assert Zone(location).table("t").sql == sql


@pytest.mark.parametrize("location", ["", "/", " ", "main..x", ".main"])
def test_zone_must_be_a_place(location: str) -> None:
    with pytest.raises(UsageError, match="zone"):
        Zone(location)


@pytest.mark.parametrize("name", ["", "a/b", "a b", "../x", "a`b", "x" * 201])
def test_table_names_are_plain(name: str) -> None:
    with pytest.raises(UsageError, match="table name"):
        Zone("/z").table(name)


def test_table_ref_is_a_path_or_a_name() -> None:
    assert TableRef.parse("a.b.c").parts == ("a", "b", "c")
    assert TableRef.parse("s3a://b/t").path == "s3a://b/t"
    assert str(TableRef.parse("a.b")) == "a.b"
    for wrong in ({}, {"path": ""}, {"path": "/x", "parts": ("y",)}, {"parts": ("a", "")}):
        with pytest.raises(UsageError):
            TableRef(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ("/a/b", "/a/b"),
        ("file:/a/b", "/a/b"),
        ("file:///a/b%20c", "/a/b%20c"),
        ("hdfs://n/a", None),
        ("s3a://b/a", None),
        ("dbfs:/a", None),
    ],
)
def test_local_paths(location: str, path: str | None) -> None:
    assert local_path(location) == (None if path is None else Path(path))


def test_conflicts_are_told_by_condition_only() -> None:
    class Named(PySparkException):
        def __init__(self, condition: str | None) -> None:
            super().__init__("DELTA_CONCURRENT_APPEND in the text means nothing")
            self.condition = condition

        def getCondition(self) -> str | None:
            return self.condition

    assert delta.is_conflict(Named("DELTA_CONCURRENT_APPEND.WITHOUT_HINT"))
    assert delta.is_conflict(Named("DELTA_METADATA_CHANGED"))
    assert not delta.is_conflict(Named("DIVIDE_BY_ZERO"))
    assert not delta.is_conflict(Named(None))
    assert not delta.is_conflict(RuntimeError("DELTA_CONCURRENT_APPEND"))


def test_condition_of_an_exception_that_py4j_passes_on() -> None:
    class Java:
        def getCondition(self) -> str:
            return "DELTA_PROTOCOL_CHANGED"

    class Old:
        def getErrorClass(self) -> str:
            return "DELTA_CONCURRENT_WRITE"

    class Py4J(Exception):
        def __init__(self, inside: object) -> None:
            super().__init__()
            self.java_exception = inside

    assert delta.is_conflict(Py4J(Java()))
    assert delta.is_conflict(Py4J(Old()))
    assert condition_of(Py4J(object())) == ""

    class Awaited:
        """What a job that was awaited throws: the condition is that of the cause."""

        def __init__(self, cause: object) -> None:
            self._caused_by = cause

        def getCause(self) -> object:
            return self._caused_by

    assert delta.is_conflict(Py4J(Awaited(Awaited(Java()))))
    assert delta.condition_of(Py4J(Awaited(None))) == ""
    endless = Awaited(None)
    endless._caused_by = endless
    assert delta.condition_of(Py4J(endless)) == ""
    outside = RuntimeError("job aborted")
    outside.__cause__ = Py4J(Java())
    assert delta.condition_of(outside) == "DELTA_PROTOCOL_CHANGED"


class Lost(PySparkException):
    def __init__(self, condition: str = "DELTA_CONCURRENT_APPEND") -> None:
        super().__init__("lost")
        self._condition = condition

    def getCondition(self) -> str:
        return self._condition


def failing(*failures: Exception) -> tuple[list[int], Callable[[], None]]:
    """A commit that fails so and then succeeds; and the list it counts its tries in."""
    tries: list[int] = []

    def commit() -> None:
        tries.append(len(tries))
        if len(tries) <= len(failures):
            raise failures[len(tries) - 1]

    return tries, commit


def test_a_commit_that_lost_is_made_again() -> None:
    tries, commit = failing(Lost(), Lost("DELTA_PROTOCOL_CHANGED"))
    waited: list[float] = []
    delta.commit_again(commit, sleep=waited.append)
    assert len(tries) == 3
    assert len(waited) == 2


def test_a_commit_that_always_loses_ends() -> None:
    tries, commit = failing(*[Lost()] * 9)
    with pytest.raises(Lost):
        delta.commit_again(commit, retries=2, sleep=lambda _: None)
    assert len(tries) == 3


def test_a_commit_that_fails_is_not_made_again() -> None:
    tries, commit = failing(Lost("DIVIDE_BY_ZERO"))
    with pytest.raises(Lost):
        delta.commit_again(commit, sleep=lambda _: None)
    assert len(tries) == 1


def test_pauses_grow_are_bounded_and_differ() -> None:
    for attempt in range(20):
        assert 0.1 <= delta.pause(attempt) <= 8.0
    assert delta.pause(3) <= 1.6
    assert len({delta.pause(10) for _ in range(5)}) > 1


def test_missing_safety_properties_are_refused_with_the_repair() -> None:
    wanted = {"delta.appendOnly": "true", "delta.isolationLevel": "Serializable"}
    delta.require_properties(TableRef(path="/t"), {**wanted, "more": "x"}, wanted)
    with pytest.raises(EnvironmentProblem, match=r"ALTER TABLE delta.`/t` SET TBLPROPERTIES.*Serializable"):
        delta.require_properties(TableRef(path="/t"), {"delta.appendOnly": "true"}, wanted)


# --- locks ---


def _hold(path: str, started: object, release: object) -> None:
    with file_lock(Path(path), 5):
        started.set()  # type: ignore[attr-defined]
        release.wait(10)  # type: ignore[attr-defined]


def test_lock_keeps_other_processes_out_and_names_its_path(tmp_path: Path) -> None:
    context = mp.get_context("spawn")
    started, release = context.Event(), context.Event()
    path = tmp_path / ".t.lock"
    holder = context.Process(target=_hold, args=(str(path), started, release))
    holder.start()
    try:
        assert started.wait(20)
        with pytest.raises(StoreConflict, match=r"\.t\.lock"), file_lock(path, 0.2):
            pass
    finally:
        release.set()
        holder.join(10)
    with file_lock(path, 0.2):
        pass


def test_lock_is_released_when_the_holder_dies(tmp_path: Path) -> None:
    context = mp.get_context("spawn")
    started, release = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path / "l"), started, release))
    holder.start()
    assert started.wait(20)
    holder.kill()
    holder.join(10)
    with file_lock(tmp_path / "l", 1):
        pass


def test_lock_queues_threads(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        with file_lock(tmp_path / "l", 10):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


def test_a_lock_that_changes_hands_is_waited_for(tmp_path: Path) -> None:
    """Longer than the timeout in all, but no holder had it that long."""
    path, over = tmp_path / "l", threading.Event()

    def many_holders() -> None:
        with file_lock(path, 5):
            over.set()
            for turn in range(8):
                time.sleep(0.1)
                path.write_text(f"holder {turn}", encoding="utf-8")

    thread = threading.Thread(target=many_holders)
    thread.start()
    assert over.wait(5)
    with file_lock(path, 0.5):
        pass
    thread.join()


def test_lock_only_where_the_folder_is_on_this_machine(tmp_path: Path) -> None:
    with lock_for(TableRef(path=f"file:{tmp_path}/t"))():
        assert (tmp_path / ".t.lock").exists()
    with lock_for(TableRef(path="/not/on/this/machine/t"))():
        pass
    assert not Path("/not").exists()
    for elsewhere in ("hdfs://n/a/t", "s3a://b/t", "a.b"):
        with lock_for(TableRef.parse(elsewhere))():
            pass


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_lock_without_write_access_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(EnvironmentProblem, match="write access"), file_lock(tmp_path / "l", 1):
        pass
