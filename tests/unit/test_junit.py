"""`--junit FILE`: gates and controls as JUnit XML, for runs that end well, in quarantine, and before their gates."""

from __future__ import annotations

import copy
import datetime as dt
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from synthward.cli.junit import JunitFile
from synthward.cli.main import main
from synthward.errors import GateFailed, SynthwardError, UsageError
from synthward.release.manifest import Manifest
from synthward.run.junit import is_junit, junit
from synthward.run.result import RunResult
from trial import TestSite, heard

START = dt.datetime(2026, 1, 15, 9, 0, tzinfo=dt.UTC)
EXAMPLE = Path(__file__).with_name("manifest_example.json")


@pytest.fixture
def body() -> dict[str, Any]:
    return json.loads(EXAMPLE.read_text(encoding="utf-8"))


def ended(error: BaseException | None = None) -> RunResult:
    if error is not None:
        return RunResult.failure(error, None, started=START, ended=START)
    return RunResult("1", "published", 0, False, "2026-01-15T09:00:00Z", "2026-01-15T09:03:00Z", "run", table="t")


def suites(content: bytes) -> dict[str, ET.Element]:
    return {suite.attrib["name"]: suite for suite in ET.fromstring(content)}  # noqa: S314 - written above


def wrong(suite: ET.Element) -> dict[str, str]:
    """Tests that failed, with what the file says of each."""
    return {case.attrib["name"]: problem.attrib["message"] for case in suite for problem in case.iter("failure")}


def test_every_gate_and_control_of_a_release_is_one_test(body: dict[str, Any]) -> None:
    record = Manifest(body).record
    found = suites(junit(ended(), record))
    assert list(found) == ["run", "gates", "controls"]
    assert [case.attrib["name"] for case in found["gates"]] == [gate.gate for gate in record.gates]
    assert [case.attrib["name"] for case in found["controls"]] == [entry.control for entry in record.policy.evidence]
    for suite in found.values():
        assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")
        assert suite.attrib["tests"] == str(len(suite))


def test_a_failed_gate_fails_its_controls_and_the_run(body: dict[str, Any]) -> None:
    body = copy.deepcopy(body)
    [gate] = [gate for gate in body["gates"] if gate["gate"] == "domain"]
    gate |= {"passed": False, "detail": 'undeclared values in: <a> & "b"\x07'}
    found = suites(junit(ended(GateFailed("too far")), Manifest(body).record))
    assert wrong(found["gates"]) == {"domain": 'undeclared values in: <a> & "b"\\x07'}
    assert wrong(found["controls"]) == {"structure_gate": "failed gates: domain"}
    assert list(wrong(found["run"]).values()) == ["quarantined, exit code 5: too far"]
    assert [found[name].attrib["failures"] for name in found] == ["1", "1", "1"]


def test_a_control_whose_gate_has_no_result_does_not_pass(body: dict[str, Any]) -> None:
    body = copy.deepcopy(body)
    body["gates"] = [gate for gate in body["gates"] if gate["gate"] != "population"]
    assert wrong(suites(junit(ended(), Manifest(body).record))["controls"]) == {
        "population_gate": "no result of: population"
    }


def test_a_run_that_ended_before_its_gates_lists_no_gate() -> None:
    found = suites(junit(ended(SynthwardError("no driver")), None))
    assert list(found) == ["run"]
    assert (found["run"].attrib["errors"], found["run"].attrib["failures"]) == ("1", "0")


def test_the_file_takes_the_place_of_an_earlier_one_and_of_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "junit.xml"
    JunitFile(f"file:{target}").write(ended(), None)
    first = target.read_bytes()
    assert is_junit(first)
    again = JunitFile(str(target))
    again.write_failure(UsageError("wrong request"))
    assert b"wrong request" in target.read_bytes()
    again.write(ended(), None)  # written once
    assert b"wrong request" in target.read_bytes()
    foreign = tmp_path / "tests.xml"
    foreign.write_text("<testsuites name='other'/>", encoding="utf-8")
    with pytest.raises(UsageError, match=r"--junit: .*an output never replaces another file"):
        JunitFile(str(foreign))
    link = tmp_path / "link.xml"
    link.symlink_to(target)
    with pytest.raises(UsageError, match="is a link"):
        JunitFile(str(link))
    with pytest.raises(UsageError, match="--junit: found a location inside, or around, the site's zone 'ledger'"):
        JunitFile(str(tmp_path / "ledger" / "x.xml"), {"ledger": str(tmp_path / "ledger")})
    with pytest.raises(UsageError, match="--junit: found a location outside of this machine"):
        JunitFile("s3a://bucket/x.xml")


def test_a_failed_write_does_not_change_the_end_of_the_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with heard() as messages:
        JunitFile(str(tmp_path / "file" / "junit.xml")).write(ended(), None)
    assert [text for text in messages if "--junit" in text and "was not written" in text]


def test_a_command_that_fails_before_its_run_leaves_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TestSite(tmp_path)
    broken, target = tmp_path / "broken.yaml", tmp_path / "junit.xml"
    broken.write_text("version: 1\n", encoding="utf-8")
    with heard():
        assert main(["run", str(broken), "--site", str(site.file), "--junit", str(target)]) == 2
        assert main(["run", str(broken), "--site", str(site.file), "--junit", "x", "--dry-run"]) == 2
    assert "--junit says how a run ended" in capsys.readouterr().err
    [error] = ET.parse(target).getroot().iter("error")  # noqa: S314 - written above
    assert error.attrib["message"].startswith("invalid, exit code 2")
