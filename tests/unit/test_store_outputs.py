"""Outputs for people: new files, or our own again; never in or around a zone, never through a link, never a folder."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from synthward.cli.main import main
from synthward.cli.result import ResultFile
from synthward.errors import PolicyRefused, UsageError
from synthward.run.result import is_result
from synthward.store.outputs import place, require_folder, require_outside, require_writable, write_output
from trial import TestSite

OLD_RESULT = json.dumps(
    {
        "format": 1,
        "execution": "e",
        "status": "published",
        "code": 0,
        "retryable": False,
        "started_at": "2026-01-15T09:00:00Z",
        "ended_at": "2026-01-15T09:03:00Z",
    }
)


@pytest.mark.parametrize(
    ("target", "zone"),
    [
        ("/z/ledger", "/z/ledger"),
        ("/z/ledger/charges/x.json", "/z/ledger"),
        ("/z", "/z/ledger"),
        ("/", "/z/ledger"),
        ("/z/a/../ledger/x", "/z/ledger"),
        ("file:/z/ledger/x", "/z/ledger"),
        ("file://localhost/z/ledger/x", "file:///z/ledger"),
        ("/z/ledger/x", "file:///z/ledger/"),
        ("s3://b/ledger/x", "s3a://b/ledger"),
        ("s3a://b", "s3a://b/ledger"),
        ("S3A://B/ledger", "s3a://b/ledger"),
        ("abfs://c@a/l/x", "abfss://c@a/l"),
        ("hdfs://nn:8020/l/x", "hdfs://nn/l"),
        ("hdfs:///l/x", "hdfs://nn:8020/l"),
        ("hdfs://nn/l//x", "/l"),
        ("hdfs://nn/l/../l/x", "hdfs://nn/l"),
    ],
)
def test_a_place_in_or_around_a_zone_is_refused(target: str, zone: str) -> None:
    with pytest.raises(UsageError, match="zone 'ledger'"):
        require_outside(target, {"catalog": "main.synthward", "ledger": zone}, "--result")


@pytest.mark.parametrize(
    ("target", "zone"),
    [
        ("/z/ledger2/x", "/z/ledger"),
        ("/z/out", "/z/ledger"),
        ("s3a://other/ledger/x", "s3a://b/ledger"),
        ("hdfs://nn/l2/x", "hdfs://nn/l"),
        ("gs://b/l/x", "s3a://b/l"),
        ("/x", "main.synthward"),
    ],
)
def test_a_place_outside_is_taken(target: str, zone: str) -> None:
    require_outside(target, {"ledger": zone}, "--result")


def test_a_link_into_a_zone_does_not_hide_it(tmp_path: Path) -> None:
    zone = tmp_path / "zones" / "ledger"
    zone.mkdir(parents=True)
    (tmp_path / "alias").symlink_to(zone)
    for target in (tmp_path / "alias" / "x", tmp_path / "alias" / "new" / "x"):
        with pytest.raises(UsageError, match="zone 'ledger'"):
            require_writable(target, {"ledger": str(zone)}, "--out")
    with pytest.raises(UsageError, match="zone 'ledger'"):
        require_writable(zone / "x", {"ledger": str(tmp_path / "alias")}, "--out")
    for folder in (tmp_path, zone, zone / "reports", tmp_path / "alias"):
        with pytest.raises(UsageError, match="zone 'ledger'"):
            require_folder(folder, {"ledger": str(zone)}, "--report-dir")


def test_folders_for_reports(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    (tmp_path / "file").touch()
    for name in ("there", "new", "new/deep"):
        require_folder(tmp_path / name, {}, "--report-dir")
    for name, words in (("link", "is a link"), ("file", "is not a folder")):
        with pytest.raises(UsageError, match=words):
            require_folder(tmp_path / name, {}, "--report-dir")


def test_only_a_new_file_or_one_with_our_mark_is_written(tmp_path: Path) -> None:
    file = tmp_path / "out"
    write_output(file, b"a")
    write_output(file, b"a")
    with pytest.raises(UsageError, match="never replaces"):
        write_output(file, b"b")
    write_output(file, b"c", lambda content: content == b"a")
    assert file.read_bytes() == b"c"
    (tmp_path / "link").symlink_to(tmp_path / "none")
    (tmp_path / "folder").mkdir()
    for name in ("link", "folder"):
        with pytest.raises(UsageError, match="never replaces"):
            write_output(tmp_path / name, b"x", lambda _: True)
        with pytest.raises(UsageError, match="--out"):
            require_writable(tmp_path / name, {}, "--out", lambda _: True)
    with pytest.raises(UsageError, match="never replaces"):
        require_writable(file, {}, "--out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "out"]


def test_a_file_made_in_between_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "final"
    mine.write_bytes(b"mine")
    theirs.write_bytes(b"theirs")
    monkeypatch.setattr(Path, "exists", lambda *_: False)  # the moment before the other process
    with pytest.raises(UsageError, match="never replaces"):
        place(mine, theirs)
    assert theirs.read_bytes() == b"theirs"


def no_session() -> Any:
    raise AssertionError("no session is needed")


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"synthward": "report"}', "data", '{"format": 1}'])
def test_a_result_replaces_results_only(tmp_path: Path, content: str) -> None:
    target = tmp_path / "result.json"
    target.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=r"--result: .* never replaces"):
        ResultFile(str(target), no_session)
    with pytest.raises(UsageError):
        ResultFile(f"file:{target}", no_session)
    assert target.read_text(encoding="utf-8") == content


def test_a_scheduler_may_name_the_same_file_again(tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    target.write_text(OLD_RESULT, encoding="utf-8")  # from before results carried a mark
    for number in ("first", "second"):
        ResultFile(str(target), no_session).write_failure(PolicyRefused([number]))
        found = json.loads(target.read_text(encoding="utf-8"))
        assert (found["synthward"], found["message"]) == ("result", number)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_a_result_is_refused_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TestSite(tmp_path)
    ledger = str(tmp_path / "zones" / "ledger")
    request = site.request()
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    cases = [
        ["--result", f"{ledger}/charges/x.json"],
        ["--result", str(Path(ledger).parent)],
        ["--result", str(tmp_path / "mine.txt")],
        ["--result", str(tmp_path / "folder")],
        ["--report-dir", ledger],
        ["--report-dir", str(tmp_path / "mine.txt")],
    ]
    for words in cases:
        assert main(["run", str(request), "--site", str(site.file), *words]) == 2
        assert "UsageError: --re" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"
    assert list((tmp_path / "folder").iterdir()) == []
    assert main(["report", "r1", "--site", str(site.file), "--out", str(tmp_path / "mine.txt")]) == 2
    assert main(["domain", "draft", "t", "--site", str(site.file), "--out", f"{ledger}/d.yaml"]) == 2


class Spark:
    """What `--result` on a URI asks of a session: to read what is there, and to write."""

    def __init__(self, lines: list[str] | None) -> None:
        self.lines = lines
        self.modes: list[str] = []
        self.read = self.write = self

    def text(self, _: str) -> Any:
        """Reads, or writes after `mode`."""
        if self.modes:
            return None
        if self.lines is None:
            error = RuntimeError("gone")
            error.getCondition = lambda: "PATH_NOT_FOUND"  # type: ignore[attr-defined]
            raise error
        rows = [(line,) for line in self.lines]
        return SimpleNamespace(limit=lambda n: SimpleNamespace(collect=lambda: rows[:n]))

    def createDataFrame(self, rows: Any, _: str) -> Any:
        """The rows to write."""
        self.rows = rows
        return SimpleNamespace(coalesce=lambda _: self)

    def mode(self, name: str) -> Spark:
        """The mode of the write."""
        self.modes.append(name)
        return self


@pytest.mark.parametrize("lines", [[], ["PAR1"], [OLD_RESULT, "x"], [OLD_RESULT] * 1001])
def test_a_uri_that_holds_anything_else_is_never_written(lines: list[str]) -> None:
    spark: Any = Spark(lines)
    file = ResultFile("hdfs://nn/prod/table", lambda: contextlib.nullcontext(spark))
    with pytest.raises(UsageError, match="holds other files"):
        file.require_new(spark)
    file.write_failure(PolicyRefused(["x"]))
    ResultFile("hdfs://nn/prod/table", lambda: contextlib.nullcontext(spark)).write_failure(PolicyRefused(["x"]))
    assert spark.modes == []


@pytest.mark.parametrize(("lines", "mode"), [(None, "error"), ([OLD_RESULT], "append")])
def test_a_uri_gets_a_new_file_and_loses_none(lines: list[str] | None, mode: str) -> None:
    spark: Any = Spark(lines)
    file = ResultFile("hdfs://nn/results/1", lambda: contextlib.nullcontext(spark))
    file.require_new(spark)
    file.write_failure(PolicyRefused(["x"]))
    assert spark.modes == [mode]
    assert is_result(spark.rows[0][0])


def test_a_uri_in_a_zone_is_refused_without_a_session() -> None:
    with pytest.raises(UsageError, match="zone 'ledger'"):
        ResultFile("hdfs://nn/prod/ledger/charges", no_session, {"ledger": "hdfs://nn:8020/prod/ledger"})
