"""`synthward check`: everything that needs no data, all at once, with file and line, and without a session."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any

import pytest

from synthward.cli.main import main
from synthward.run.check import Checked, check_file, check_files
from synthward.run.documents import KINDS, kind_of_file
from trial import TestSite

TODAY = dt.date(2026, 1, 15)


def lines(path: Path, *texts: str) -> list[int]:
    """Line of the first row that begins with each text, blanks aside."""
    rows = path.read_text(encoding="utf-8").splitlines()
    return [1 + next(k for k, row in enumerate(rows) if row.strip().startswith(text)) for text in texts]


def checked(site: TestSite, request: Path) -> Checked:
    [found] = check_files([request], site.file, TODAY)
    return found


def test_a_sound_request_is_said_with_its_tier_and_approvals(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    found = checked(site, site.request())
    assert found.ok
    assert found.notes[:2] == ("tier T0 (audience enclave starts in T0)", "to be approved by privacy_officer")


def test_every_refusal_of_policy_has_its_line(tmp_path: Path) -> None:
    """Purpose, role, expiry, epsilon, unit of the controls: everything that policy has against it, in one go."""
    controls = {"controls": ["structure_gate", "leak_scan"]}
    site = TestSite(tmp_path, policy={"tiers": {"T0": controls, "T1": controls}})
    request = site.request(
        requester={"role": "janitor"},
        purpose={"code": "curiosity"},
        expires=dt.date(2025, 12, 31),
        privacy={"epsilon": 5000},
        population={"declared_patients": 1},
    )
    found = checked(site, request)
    assert found.problems == ()
    assert [(problem.line, problem.path) for problem in found.refusals] == sorted(
        zip(
            lines(request, "role:", "code:", "audience:", "expires:", "declared_patients:", "epsilon:"),
            [
                "requester.role",
                "purpose.code",
                "audience",
                "expires",
                "population.declared_patients",
                "privacy.epsilon",
            ],
            strict=True,
        )
    )
    assert all(problem.file == request for problem in found.refusals)


FAULTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("unknown column", {"columns": ["sex", "height"]}, "columns[1]", "height"),
    ("learned setting", {"learn": {"quantiles": {"sex": 4}}}, "learn.quantiles.sex", "bins are learned of numeric"),
    ("wanted value", {"output": {"where": {"sex": {"X": 1}}}}, "output.where.sex", "X"),
    (
        "zero of an unknown label",
        {
            "privacy": {"mechanism": "gaussian", "epsilon": 50, "delta": 1e-7},
            "synthesizer": {"name": "few_round", "zeros": [{"sex": ["X"], "age": ["3"]}]},
        },
        "synthesizer.zeros[0]",
        "is not a declared value of 'sex'",
    ),
    ("setting of another synthesizer", {"synthesizer": {"cliques": [["sex", "age"]]}}, "synthesizer", "no setting"),
    (
        "budget too small to share",
        {"privacy": {"epsilon": 1e-9}, "synthesizer": {"name": "independent"}},
        "privacy.epsilon",
        "too small",
    ),
]


@pytest.mark.parametrize(("name", "changes", "key", "words"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_what_the_plan_would_say_is_said_at_the_line_of_its_key(
    tmp_path: Path, name: str, changes: dict[str, Any], key: str, words: str
) -> None:
    site = TestSite(tmp_path)
    request = site.request(purpose={"code": "curiosity"}, **changes)
    found = checked(site, request)
    [problem] = [one for one in found.problems if one.path == key]
    assert words in problem.message
    last = key.split("[", maxsplit=1)[0].rsplit(".", 1)[-1]
    assert problem.line >= lines(request, f"{last}:")[0]
    # A fault of the request does not hide what policy has against it.
    assert [refusal.path for refusal in found.refusals] == ["purpose.code"]


def test_request_and_domain_are_looked_at_together(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    domain = site.domain({"sex": {"type": "categorical"}, "age": {"type": "numeric", "bounds": [9, 1]}})
    request = site.request(audience="everybody", title=" ")
    found = checked(site, request)
    assert {(problem.file, problem.path) for problem in found.problems} >= {
        (request, "audience"),
        (request, "title"),
        (domain, "attributes.age.resolution"),
    }


def test_a_site_or_policy_that_is_wrong_is_said_once(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    request = site.request(columns=["sex", "height"])
    (tmp_path / "policy.yaml").write_text("version: 1\n", encoding="utf-8")
    first, second = check_files([request], site.file, TODAY)
    assert first.kind == "site"
    assert any(problem.path == "tiers" for problem in first.problems)
    assert [problem.path for problem in second.problems] == ["columns[1]"]
    [alone] = check_files([site.file], site.file, TODAY)
    assert any(problem.path == "tiers" for problem in alone.problems)


def test_without_a_site_each_file_is_looked_at_alone(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    for name, path in {
        "request": site.request(expires=dt.date(2020, 1, 1)),
        "site": site.file,
        "policy": tmp_path / "policy.yaml",
        "domain": tmp_path / "domain.yaml",
    }.items():
        found = check_file(path, None, TODAY)
        assert (found.kind, found.ok) == (name, True)
        assert kind_of_file(path) in KINDS


def test_the_command_tells_problems_refusals_and_what_is_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNTHWARD_SITE", raising=False)
    site = TestSite(tmp_path)
    soon = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=3)
    good = site.request("good", expires=soon)
    refused = site.request("refused", expires=soon, purpose={"code": "curiosity"})
    wrong = site.request("wrong", expires=soon, columns=["sex", "height"])
    words = ["--site", str(site.file)]
    assert main(["check", str(good), *words]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"ok    {good}: request\n      tier T0")
    assert main(["check", str(good), str(refused), *words]) == 3
    [line] = lines(refused, "code:")
    assert f"REFUSED {refused}:{line}: purpose.code: found curiosity" in capsys.readouterr().err
    assert main(["check", str(good), str(refused), str(wrong), *words]) == 2
    told = capsys.readouterr()
    assert "purpose.code" in told.err
    assert "columns[1]" in told.err
    assert str(good) in told.out
    # Without a site nobody can say what policy makes of it.
    assert main(["check", str(refused)]) == 0


def test_a_check_starts_no_session(tmp_path: Path) -> None:
    import subprocess

    site = TestSite(tmp_path)
    code = (
        "import datetime as dt, sys; from pathlib import Path; from synthward.run.check import check_files;"
        f"[found] = check_files([Path({str(site.request())!r})], Path({str(site.file)!r}), dt.date(2026, 1, 15));"
        "assert found.ok; from pyspark.sql import SparkSession; assert SparkSession.getActiveSession() is None"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
