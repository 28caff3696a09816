"""How a run ends for those without a terminal: results, their file, log lines, signals, jobs without exit codes."""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import json
import logging
import os
import re
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import synthward
from synthward.cli import result as result_module
from synthward.cli.logs import JsonLines, Terminated, terminable
from synthward.cli.main import main, run_job
from synthward.cli.result import ResultFile
from synthward.conditions import Outlook
from synthward.errors import (
    BudgetExceeded,
    EnvironmentProblem,
    GateFailed,
    JobFailed,
    PolicyRefused,
    StoreConflict,
    SynthwardError,
    UsageError,
)
from synthward.evaluate.gates.registry import remedies
from synthward.run import check
from synthward.run.journal import advice
from synthward.run.plan import RunIdentity
from synthward.run.result import RunResult
from synthward.run.steps import Steps
from synthward.store.links import ORIGIN, Link
from trial import TestSite, heard, plan_of

START = dt.datetime(2026, 1, 15, 9, 0, tzinfo=dt.UTC)
WITHHELD = (
    "the text is not shown, because it may quote protected values; operators in the protected zone see it with --debug"
)
LATER = START + dt.timedelta(minutes=3)


class SparkSays(Exception):
    """An error with a condition and with a text that quotes a cell."""

    def getCondition(self) -> str:
        return "CAST_INVALID_INPUT"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PolicyRefused(["no approval"]), ("refused", 3, False, "PolicyRefused", "no approval")),
        (BudgetExceeded("nothing left"), ("over_budget", 4, False, "BudgetExceeded", "nothing left")),
        (GateFailed("too far"), ("quarantined", 5, False, "GateFailed", "too far")),
        (StoreConflict("lost"), ("failed", 1, True, "StoreConflict", "lost")),
        (
            SparkSays("'Jane Doe' cannot be cast"),
            (
                "failed",
                1,
                False,
                "SparkSays",
                f"unexpected, condition CAST_INVALID_INPUT; {Outlook.DETERMINISTIC.value}; {WITHHELD}",
            ),
        ),
        (
            ValueError("Jane Doe"),
            ("failed", 1, False, "ValueError", f"unexpected; {Outlook.DETERMINISTIC.value}; {WITHHELD}"),
        ),
        (
            ConnectionResetError("Jane Doe"),
            ("failed", 1, True, "ConnectionResetError", f"unexpected; {Outlook.TRANSIENT.value}; {WITHHELD}"),
        ),
        (
            RuntimeError("Jane Doe"),
            ("failed", 1, False, "RuntimeError", f"unexpected; {Outlook.UNKNOWN.value}; {WITHHELD}"),
        ),
        (
            KeyboardInterrupt(),
            (
                "stopped",
                1,
                True,
                "KeyboardInterrupt",
                "stopped by a signal; running the same command again resumes the run",
            ),
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_end_has_a_status_and_tells_no_cell(tmp_path: Path, error: BaseException, told: tuple[Any, ...]) -> None:
    site = TestSite(tmp_path)
    plan = plan_of(site, site.request())
    result = RunResult.failure(error, plan, started=START, ended=LATER)
    assert (result.status, result.code, result.retryable, result.error, result.message) == told
    assert (result.run_id, result.scope) == (plan.identity.run_id, "clinic")
    assert "Jane" not in result.text
    found = json.loads(result.text)
    assert (found["format"], found["started_at"], found["ended_at"]) == (
        1,
        "2026-01-15T09:00:00Z",
        "2026-01-15T09:03:00Z",
    )


def test_a_success_names_its_table_and_whether_it_is_new(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    plan = plan_of(site, site.request())
    new = RunResult.success(plan, "/r/t", is_new=True, started=START, ended=LATER)
    old = RunResult.success(plan, "/r/t", is_new=False, started=START, ended=LATER)
    assert (new.status, old.status, new.code, new.table) == ("published", "unchanged", 0, "/r/t")
    assert new.execution != old.execution


def no_session() -> AbstractContextManager[Any]:
    raise EnvironmentProblem("no Java")


class Opened:
    """A session that is opened for the result alone, and what became of it."""

    def __init__(self) -> None:
        self.events: list[str] = []

    @contextlib.contextmanager
    def __call__(self) -> Iterator[Any]:
        self.events.append("opened")
        yield "spark"
        self.events.append("closed")

    def write(self, spark: Any, text: str, target: str) -> None:
        """Stands for Spark's writing."""
        self.events.append(f"{json.loads(text)['status']} by {spark} to {target}")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    double = Opened()
    monkeypatch.setattr(result_module, "_write_by", double.write)
    return double


def test_a_uri_gets_the_result_of_a_command_that_never_had_a_session(opened: Opened) -> None:
    file = ResultFile("hdfs://host/result", opened)
    file.write_failure(UsageError("wrong request"))
    file.write_failure(UsageError("again"))
    assert opened.events == ["opened", "invalid by spark to hdfs://host/result", "closed"]


def test_no_session_is_opened_without_need(opened: Opened, tmp_path: Path) -> None:
    ResultFile(None, opened).write_failure(UsageError("wrong request"))
    ResultFile(str(tmp_path / "result.json"), opened).write_failure(UsageError("wrong request"))
    with heard() as messages:
        ResultFile("hdfs://host/result", opened).write_failure(Terminated())
    assert opened.events == []
    assert [text for text in messages if "there is no Spark session" in text]


def test_the_file_is_written_once_and_whole(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "result.json"
    file = ResultFile(f"file:{target}", no_session)
    file.write_failure(PolicyRefused(["first"]))
    file.write_failure(PolicyRefused(["second"]))
    assert json.loads(target.read_text(encoding="utf-8"))["message"] == "first"
    assert [path.name for path in target.parent.iterdir()] == ["result.json"]
    with heard() as messages:
        ResultFile("s3a://bucket/result.json", no_session).write_failure(PolicyRefused(["third"]))
        ResultFile(str(target / "below" / "a" / "file"), no_session).write_failure(PolicyRefused(["fourth"]))
    assert len([text for text in messages if "was not written" in text]) == 2


def test_a_command_that_never_gets_a_session_leaves_a_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = TestSite(tmp_path)
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: 1\n", encoding="utf-8")
    target = tmp_path / "result.json"
    with heard():
        assert main(["run", str(broken), "--site", str(site.file), "--result", str(target)]) == 2
        assert main(["run", str(broken), "--site", str(site.file), "--result", "x", "--dry-run"]) == 2
    assert "leave one of them out" in capsys.readouterr().err
    found = json.loads(target.read_text(encoding="utf-8"))
    assert (found["status"], found["code"], found["run_id"], found["retryable"]) == ("invalid", 2, None, False)
    assert "title" in found["message"]


def job(root: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"job_{name}", root / "jobs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_job_ends_with_its_code_or_where_there_is_none_with_an_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", str(tmp_path / "none.yaml"), "--site", str(TestSite(tmp_path).file)]
    with heard():
        monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
        with pytest.raises(SystemExit) as left:
            run_job(words)
        assert left.value.code == 2
        monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
        with pytest.raises(JobFailed, match=r"^exit code 2 \(ConfigError; trying again unchanged will not help\): "):
            run_job(words)
    assert JobFailed.of(StoreConflict("lost")).args == ("exit code 1 (StoreConflict; try again): lost",)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command `check` fails with an error from elsewhere, under an error from elsewhere; both quote a cell."""

    def fail(*_: object) -> str:
        try:
            raise KeyError("Jane Roe")
        except KeyError as error:
            raise SparkSays("'Jane Doe' cannot be cast") from error

    monkeypatch.setattr(check, "check_file", fail)
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)


@pytest.mark.usefixtures("broken")
def test_an_unexpected_error_is_told_by_class_and_condition_only(capfd: pytest.CaptureFixture[str]) -> None:
    words = ["check", "file.yaml"]
    told = f"SparkSays: unexpected, condition CAST_INVALID_INPUT; {Outlook.DETERMINISTIC.value}; {WITHHELD}"
    with heard():
        assert main(words) == 1
        assert capfd.readouterr() == ("", f"synthward: {told}\n")
        assert main([*words, "--log-format", "json"]) == 1
        out, err = capfd.readouterr()
    [line] = err.splitlines()
    found = json.loads(line)
    assert (out, found["message"], found["event"], found["code"]) == ("", told, "end", 1)


@pytest.mark.usefixtures("broken")
def test_an_unexpected_error_of_a_job_carries_its_code_and_no_text(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with heard():
        with pytest.raises(SystemExit) as left:
            run_job(["check", "file.yaml"])
        assert left.value.code == 1
        monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
        with pytest.raises(
            JobFailed, match=r"^exit code 1 \(SparkSays; trying again unchanged will not help\): un"
        ) as failed:
            run_job(["check", "file.yaml", "--log-format", "json"])
    shown = "".join(traceback.format_exception(failed.value))
    out, err = capfd.readouterr()
    assert "Jane" not in shown + out + err
    assert json.loads(err.splitlines()[-1])["code"] == 1


@pytest.mark.usefixtures("broken")
def test_the_traceback_is_there_for_those_who_ask(capfd: pytest.CaptureFixture[str]) -> None:
    with heard():
        assert main(["check", "file.yaml", "--debug"]) == 1
    _, err = capfd.readouterr()
    assert "Traceback" in err
    assert "'Jane Doe' cannot be cast" in err


def test_a_signal_ends_a_job_on_databricks_with_a_code_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> str:
        raise Terminated

    monkeypatch.setattr(check, "check_file", fail)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    with heard(), pytest.raises(JobFailed, match=r"^exit code 1 \(Terminated; try again\): stopped by a signal"):
        run_job(["check", "file.yaml"])


@pytest.mark.parametrize("name", ["synthesize", "init_scope"])
def test_the_jobs_end_as_their_runner_understands(root: Path, name: str) -> None:
    assert job(root, name).run_job is run_job


@contextlib.contextmanager
def recorded() -> Iterator[list[logging.LogRecord]]:
    """What the steps tell the log."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logger = logging.getLogger("synthward.run.steps")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def test_json_lines_carry_the_facts_of_a_step() -> None:
    done: list[str] = []
    with recorded() as records:
        steps = Steps(RunIdentity.of("digest", "2026-01"), done.append, pulse=0.05)
        assert steps.run("measure", lambda: time.sleep(0.2) or 7) == 7
        with pytest.raises(ValueError, match="Jane"):
            steps.run("sample", _fail)
    lines = [JsonLines().format(record) for record in records]
    found = [json.loads(line) for line in lines]
    assert done == ["measure"]
    states = [(entry["step"], entry["state"]) for entry in found]
    assert states[0] == ("measure", "running")
    assert states[-2:] == [("measure", "done"), ("sample", "failed")]
    assert {entry["run_id"] for entry in found} == {RunIdentity.of("digest", "2026-01").run_id}
    assert all(entry["seconds"] >= 0 and entry["release_id"].startswith("r") for entry in found)
    assert "Jane" not in "".join(lines)
    assert "ValueError" in lines[-1]


def test_a_step_within_a_step_tells_under_its_own_name() -> None:
    """While it runs, the step that waits for it gives no sign of life of its own."""
    done: list[str] = []
    with recorded() as records:
        steps = Steps(RunIdentity.of("digest", "2026-01"), done.append, pulse=0.2)

        def whole() -> None:
            steps.run("aggregate", lambda: time.sleep(0.5))
            with pytest.raises(ValueError, match="Jane"):
                steps.run("draw", _fail)
            time.sleep(0.5)

        steps.run("measure", whole)
    found = [json.loads(JsonLines().format(record)) for record in records]
    told = [(entry.get("within"), entry["step"], entry["state"]) for entry in found]
    aggregate = [entry for entry in told if entry[1] == "aggregate"]
    assert told[: len(aggregate)] == aggregate
    assert aggregate[0] == ("measure", "aggregate", "running")
    assert aggregate[-1] == ("measure", "aggregate", "done")
    assert told[len(aggregate)] == ("measure", "draw", "failed")
    assert told[len(aggregate) + 1 :][0] == (None, "measure", "running")
    assert told[-1] == (None, "measure", "done")
    assert done == ["aggregate", "measure"]
    assert re.search(r": measure: aggregate done in \d+\.\d s$", found[len(aggregate) - 1]["message"])


def _fail() -> None:
    raise ValueError("Jane Doe")


def test_progress_in_a_notebook_is_a_line_a_step_on_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    identity = RunIdentity.of("digest", "")
    with heard():
        synthward.show_progress()
        synthward.show_progress()
        Steps(identity, lambda _: None).run("open", lambda: None)
    out, err = capfd.readouterr()
    [line] = err.splitlines()
    assert out == ""
    assert re.search(rf"INFO run {identity.run_id}: open done in \d+\.\d s$", line)


def test_no_pulse_outlives_its_step() -> None:
    Steps(RunIdentity.of("digest", ""), lambda _: None, pulse=0.01).run("open", lambda: None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pulse of")]


def test_sigterm_raises_where_the_command_stands_and_the_old_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Terminated), terminable():
        _end_this_process()
    assert signal.getsignal(signal.SIGTERM) is before


def _end_this_process() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)


def link(kind: str, **facts: Any) -> Link:
    return Link("run", 0, kind, json.dumps(facts), None, None, "now", ORIGIN, "hash")


@pytest.mark.parametrize(
    ("links", "charged", "words"),
    [
        ([], False, ("Nothing is spent", "--dry-run")),
        ([link("opened")], False, ("pinned", "nothing is spent yet")),
        ([link("opened")], True, ("charged", "new run key")),
        ([link("copied")], True, ("copy", "same command again", "drops it")),
        ([link("sealed")], True, ("durable", "nothing is spent")),
        ([link("fitted")], True, ("model is durable", "nothing is spent")),
        ([link("validated", passed=True)], True, ("publication is left",)),
        ([link("validated", passed=False)], True, ("quarantined", "charge stands")),
        ([link("published")], True, ("nothing is left to do",)),
    ],
)
def test_every_state_says_what_it_means(links: list[Link], charged: bool, words: tuple[str, ...]) -> None:
    text = advice(links, charged=charged)
    assert all(word in text for word in words)


@pytest.mark.parametrize(
    "last", [link("sealed"), link("fitted"), link("repaired"), link("validated", passed=True), link("opened")]
)
def test_a_run_that_fails_in_the_same_way_again_is_not_to_be_repeated(last: Link) -> None:
    """A scheduler would repeat it for ever; the advice says to stop that, and how the run may be finished."""
    text = advice([last], charged=True, repeats=True)
    assert "stop the schedule" in text
    assert ("--repair" in text) == (last.kind not in ("opened", "sealed"))
    assert "stop the schedule" not in advice([last], charged=True)
    assert "stop the schedule" not in advice([link("published")], charged=True, repeats=True)


@pytest.mark.parametrize(
    ("failed", "words", "charged"),
    [
        (["types", "domain"], ("without a new charge", "--repair"), False),
        (["out of domain"], ("max_out_of_domain_share", "new run, which is charged anew"), True),
        (["clipped"], ("max_clipped_share", "new run, which is charged anew"), True),
        (["row count", "distance"], ("larger epsilon", "charged anew"), True),
        (["population"], ("population", "charged anew"), True),
    ],
)
def test_a_quarantined_release_says_what_to_change_and_what_that_costs(
    failed: list[str], words: tuple[str, ...], charged: bool
) -> None:
    text = remedies(failed)
    assert all(word in text for word in words)
    assert ("--repair" in text) != charged


def test_errors_say_whether_a_retry_helps() -> None:
    assert StoreConflict.retryable
    assert not SynthwardError.retryable
