"""The commands about published releases, without Spark: what they print, and how they end."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from releases import LISTED, RELEASE, House
from synthward.cli import sessions
from synthward.cli.main import main
from synthward.governance.policy import load_policy
from synthward.records.findings import Drilled, Finding, Watched
from synthward.records.releases import Step
from synthward.spec.site import Tracking
from trial import POLICY, TestSite, heard, write_yaml

LEE = ["--by", "lee", "--role", "privacy_officer", "--reason", "for the test"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """The command line sets up the package's logger for good; here it is put back."""
    with heard():
        yield


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(load_policy(write_yaml(tmp_path / "policy.yaml", POLICY)))


@pytest.fixture
def opened(house: House) -> SimpleNamespace:
    """What the commands open in place of a site."""
    site = SimpleNamespace(tracking=Tracking(enabled=False), name="Clinic")
    return SimpleNamespace(published=house.open(), site=site, ledger=SimpleNamespace(sound_scopes=lambda: ((), {})))


@pytest.fixture
def run(
    tmp_path: Path, opened: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    site = TestSite(tmp_path / "site")

    @contextlib.contextmanager
    def ward(*_: Any) -> Iterator[SimpleNamespace]:
        yield opened

    monkeypatch.setattr(sessions, "ward", ward)

    def command(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--site", str(site.file)])
        out, err = capsys.readouterr()
        return code, out, err

    return command


def test_a_release_is_granted_shown_and_recalled(run: Run, tmp_path: Path) -> None:
    terms = tmp_path / "terms.txt"
    terms.write_text("No linkage.", encoding="utf-8")
    words = ["grant", RELEASE, "--to", "analysts", "--terms", str(terms), "--accepted-by", "Bo"]
    code, out, _ = run(*words, "--accepted-on", "2026-01-14", *LEE)
    assert (code, "analysts may read it; as entered, not signed" in out) == (0, True)
    code, out, err = run("release", "show", RELEASE)
    assert (code, err) == (0, "")
    assert "reader    analysts: terms terms.txt" in out
    assert "grant by lee as privacy_officer: for the test" in out
    code, out, _ = run("recall", RELEASE, *LEE)
    assert code == 0
    assert "done  table recalled" in out
    assert "tell      analysts: terms accepted by Bo" in out
    code, out, _ = run("release", "list", "--json")
    line = json.loads(out)
    assert (line["state"], line["readers"]) == ("recalled", [])
    assert "recalled" in run("release", "list")[1]
    code, _, err = run(*words, *LEE)
    assert code == 3
    assert "was recalled" in err


def test_a_recall_that_is_not_complete_ends_with_1_and_says_what_to_do(run: Run, house: House) -> None:
    house.effects.broken = {"table recalled"}
    code, out, err = run("recall", RELEASE, *LEE)
    assert (code, "NOT DONE  table recalled" in out) == (1, True)
    assert "run the same command again" in err
    house.effects.broken = set()
    code, out, _ = run("recall", RELEASE, *LEE)
    assert (code, "as was recorded before" in out) == (0, True)
    assert "tell      nobody" in out


def test_incidents_are_opened_listed_and_closed(run: Run) -> None:
    assert run("incident", "open", RELEASE, "--id", "INC-1", "--severity", "high", *LEE)[0] == 0
    _, out, _ = run("incident", "list")
    assert "INC-1 (high): open, readers are stopped: for the test" in out
    assert run("incident", "close", "INC-1", *LEE)[0] == 0
    assert "closed" in run("incident", "list")[1]
    assert run("incident", "close", "INC-1", *LEE)[0] == 2


def test_what_is_due_needs_no_person(run: Run, opened: SimpleNamespace, house: House) -> None:
    assert run("release", "expire", "--due")[1] == "nothing is due\n"
    house.rows = (replace(LISTED, readable_until="2026-01-14"),)
    opened.published = house.open()
    code, out, _ = run("release", "expire", "--due")
    assert (code, "its time was over" in out) == (0, True)
    for words in (["release", "expire"], ["release", "expire", RELEASE, "--due"]):
        assert run(*words)[0] == 2
    code, _, err = run("release", "expire", RELEASE, "--by", "lee")
    assert (code, "--role, --reason missing" in err) == (2, True)


def test_events_that_do_not_count_are_told_with_exit_code_1(run: Run, house: House) -> None:
    from synthward.records.codec import encode
    from synthward.records.releases import Act, Revoked
    from synthward.store.links import next_link

    body = encode(Revoked(Act("lee", "privacy_officer", "2026-01-15T09:00:00Z", "why"), "nobody"))
    house.links.insert(next_link(None, key=RELEASE, kind="revoke", body=body, payload=None, at=house.clock()))
    code, _, err = run("release", "show", RELEASE)
    assert (code, "'nobody' has no grant" in err) == (1, True)


def test_a_terminal_is_not_obeyed(run: Run) -> None:
    code, out, _ = run("incident", "open", RELEASE, "--id", "INC-1", "--severity", "high", *LEE[:-1], "a\nb \u202e c")
    assert code == 3
    assert "\u202e" not in out


@pytest.mark.parametrize(("passed", "code"), [(True, 0), (False, 1)])
def test_a_drill_prints_its_steps_and_its_time(run: Run, opened: SimpleNamespace, passed: bool, code: int) -> None:
    steps = (Step("table", passed, "as told"),)
    opened.drill = lambda *_, **__: Drilled("2026-01-15T09:00:00Z", RELEASE, "high", 72, 3.0, steps)
    found, out, _ = run("drill")
    assert found == code
    assert ("passed in 3 seconds; policy allows 72 hours" in out) == passed


def test_monitoring_ends_by_the_worst_finding(run: Run, opened: SimpleNamespace, tmp_path: Path) -> None:
    found = [Finding("runs", "alarm", "run1", "failed")]
    opened.monitor = lambda **_: Watched("2026-01-15T09:00:00Z", "p", tuple(found))
    out = tmp_path / "findings.json"
    code, said, _ = run("monitor", "--out", str(out))
    assert (code, said) == (7, "alarm    runs          run1: failed\n")
    assert json.loads(out.read_text(encoding="utf-8"))["worst"] == "alarm"
    found.clear()
    assert run("monitor", "--out", str(out))[:2] == (0, "nothing to report\n")
    other = tmp_path / "notes.json"
    other.write_text("{}", encoding="utf-8")
    assert run("monitor", "--out", str(other))[0] == 2
    assert run("monitor", "--webhook", "ftp://host")[0] == 2
