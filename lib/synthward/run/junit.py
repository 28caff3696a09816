"""Gates and controls of a run as JUnit XML, which build servers and schedulers show as tests.

The file has three suites. `run` has one test: the run ended with a release. `gates` has one test for each gate that
ran. `controls` has one test for each control that the tier demands; it fails if one of its gates failed. A run that
ended before its gates has the first suite only. No test is listed that was not performed.

The texts are those of the manifest and of the result, which hold no exact numbers and no cell values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from synthward.config.text import shown
from synthward.records.manifest import ReleaseRecord
from synthward.run.result import RunResult

MARK = b'<testsuites name="synthward run"'
"""Start of our files' root element. A later file may replace a file with this mark."""

_HEAD = b"<?xml version='1.0' encoding='utf-8'?>\n"
_ENDED_WELL = frozenset({"published", "unchanged"})


@dataclass(frozen=True)
class _Case:
    """One test.

    Attributes:
        group: What JUnit calls the class.
        name: Name of the test.
        trouble: Why it failed; None if it passed.
        detail: What was found, for a test that passed.
        is_error: The test could not be performed, which JUnit tells apart from a failed test.
    """

    group: str
    name: str
    trouble: str | None
    detail: str = ""
    is_error: bool = False


def junit(result: RunResult, record: ReleaseRecord | None) -> bytes:
    """Return the JUnit XML of a run.

    Args:
        result: How the run ended.
        record: The manifest's record, with the results of the gates; None if the run ended before its gates.
    """
    root = ET.Element("testsuites", {"name": "synthward run"})
    _add(root, "run", result, [_ending(result)])
    if record is not None:
        _add(root, "gates", result, _gates(record))
        _add(root, "controls", result, _controls(record))
    body: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=False)
    return _HEAD + body + b"\n"


def is_junit(content: bytes) -> bool:
    """Whether a content is a JUnit file that an earlier run wrote."""
    return content.startswith(_HEAD + MARK)


def _ending(result: RunResult) -> _Case:
    name = result.run_id or "run"
    if result.status in _ENDED_WELL:
        return _Case("synthward.run", name, None, f"{result.status}: {result.table}")
    trouble = f"{result.status}, exit code {result.code}: {result.message}"
    return _Case("synthward.run", name, trouble, is_error=result.status != "quarantined")


def _gates(record: ReleaseRecord) -> list[_Case]:
    return [
        _Case("synthward.gates", gate.gate, None if gate.passed else gate.detail, gate.detail) for gate in record.gates
    ]


def _controls(record: ReleaseRecord) -> list[_Case]:
    passed = {gate.gate: gate.passed for gate in record.gates}
    cases = []
    for entry in record.policy.evidence:
        missing = [gate for gate in entry.gates if gate not in passed]
        failed = [gate for gate in entry.gates if not passed.get(gate, True)]
        trouble = None
        if missing:
            trouble = f"no result of: {', '.join(missing)}"
        elif failed or not entry.gates:
            trouble = f"failed gates: {', '.join(failed)}" if failed else "no gate shows this control"
        cases.append(_Case("synthward.controls", entry.control, trouble, f"shown by: {', '.join(entry.gates)}"))
    return cases


def _add(root: ET.Element, name: str, result: RunResult, cases: Sequence[_Case]) -> None:
    wrong = [case for case in cases if case.trouble is not None]
    errors = sum(case.is_error for case in wrong)
    counts = {"tests": len(cases), "failures": len(wrong) - errors, "errors": errors, "skipped": 0}
    numbers = {key: str(count) for key, count in counts.items()}
    suite = ET.SubElement(root, "testsuite", {"name": name, "timestamp": result.ended_at, **numbers})
    for case in cases:
        test = ET.SubElement(suite, "testcase", {"classname": case.group, "name": shown(case.name)})
        if case.trouble is not None:
            kind = "error" if case.is_error else "failure"
            ET.SubElement(test, kind, {"message": shown(case.trouble)})
        elif case.detail:
            ET.SubElement(test, "system-out").text = shown(case.detail)
