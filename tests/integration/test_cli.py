"""The command line and the jobs: exit codes, what stdout carries, and commands that read no data."""

from __future__ import annotations

import datetime as dt
import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from showcase import Showcase, showcase
from synthward.cli.main import main
from synthward.domain.spec import load_domain
from synthward.errors import ConfigError
from synthward.run.documents import kind_of_file
from synthward.sample.model_file import ModelFile
from trial import VISITS, TestSite, heard, visits

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.connect, pytest.mark.slow_on_connect]

RESULTS = ("unapproved.result.json", "result.json")
LINE = {"run_id", "release_id", "table", "report", "mlflow_run", "epsilon", "delta", "remaining", "is_new"}


@pytest.fixture(autouse=True)
def _own_logging() -> object:
    """The command line sets up the package's logger for good; here it is put back."""
    with heard() as messages:
        yield messages


@pytest.fixture(scope="module")
def shown(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Showcase:
    return showcase(spark, tmp_path_factory.mktemp("showcase"))


def synthward(capsys: pytest.CaptureFixture[str], site: TestSite, *words: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main([*words, "--site", str(site.file)])
    out, err = capsys.readouterr()
    return code, out, err


def test_a_run_prints_one_json_line_and_nothing_else(shown: Showcase) -> None:
    assert shown.codes["run"] == 0
    [line] = shown.stdout["run"].splitlines()
    found = json.loads(line)
    assert set(found) == LINE
    assert found["is_new"] is True
    assert Path(found["report"]).is_file()
    assert 0 < found["epsilon"] <= 3
    assert 0 < found["remaining"] < 3.5


def test_progress_goes_to_stderr_by_stage(shown: Showcase) -> None:
    for stage in ("preflight", "open", "charge", "measure moments", "validate", "register", "publish", "track"):
        assert f": {stage} done in" in shown.stderr["run"], stage
    for step in ("aggregate", "draw", "seal"):
        assert f": measure moments: {step} done in" in shown.stderr["run"], step
    assert ": validate: sample done in" in shown.stderr["run"]


def test_a_second_run_adds_nothing_and_says_so(shown: Showcase) -> None:
    first, again = json.loads(shown.stdout["run"]), json.loads(shown.stdout["again"])
    assert shown.codes["again"] == 0
    assert again["is_new"] is False
    assert {k: again[k] for k in LINE - {"is_new", "report"}} == {k: first[k] for k in LINE - {"is_new", "report"}}


def test_a_dry_run_shows_plan_cost_and_targets_and_reads_nothing(shown: Showcase) -> None:
    assert shown.codes["dry"] == 0
    line = json.loads(shown.stdout["dry"])
    assert line["dry_run"] is True
    assert line["approved"] is False
    assert [line["work"][key] for key in ("passes", "scans", "shuffles")] == [1, 2, 2]
    assert line["table"] == shown.line["table"]
    for word in (
        "tier",
        "approvals: privacy_officer, data_steward",
        "structure_gate: will be shown by the gates columns, domain, lineage, order, presence, row count, types",
        "unit: patient",
        "epsilon",
        "left",
        "1 pass",
        "core-seconds",
    ):
        assert word in shown.stderr["dry"], word


def test_plan_is_the_dry_run_under_a_name_of_its_own(
    spark: SparkSession, shown: Showcase, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {}
    for words in (
        ("plan", str(shown.request), "--run-key", "k"),
        ("run", str(shown.request), "--dry-run", "--run-key", "k"),
    ):
        said[words[0]] = synthward(capsys, shown.site, *words)
    assert said["plan"] == said["run"]
    code, out, err = said["plan"]
    assert code == 0
    assert json.loads(out)["run_id"] != shown.line["run_id"]
    assert "core-seconds" in err


def test_a_uri_gets_the_result_of_a_request_that_is_wrong(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before the command has a session: one is opened for the result, which is not on the driver's machine."""
    site = TestSite(tmp_path)
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: 1\n", encoding="utf-8")
    link = "fs.viewfs.mounttable.results.link./zone"
    (tmp_path / "results").mkdir()
    spark.conf.set(link, f"file://{tmp_path}/results")
    try:
        target = "viewfs://results/zone/run-1"
        assert synthward(capsys, site, "run", str(broken), "--result", target)[:2] == (2, "")
        assert synthward(capsys, site, "run", str(broken), "--result", target)[:2] == (2, "")
        spark.range(3).write.parquet(str(tmp_path / "results" / "table"))
        before = sorted((path.name, path.stat().st_size) for path in (tmp_path / "results" / "table").iterdir())
        assert synthward(capsys, site, "run", str(broken), "--result", "viewfs://results/zone/table")[:2] == (2, "")
        words = ("run", str(site.request()), "--result", "viewfs://results/zone/table")
        code, _, err = synthward(capsys, site, *words)
    finally:
        spark.conf.unset(link)
    parts = list((tmp_path / "results" / "run-1").glob("part-*"))
    assert len(parts) == 2  # each try adds one, nothing is replaced
    for part in parts:
        found = json.loads(part.read_text(encoding="utf-8"))
        assert (found["status"], found["code"], found["error"]) == ("invalid", 2, "ConfigError")
    assert code == 2
    assert "holds other files than results of runs" in err
    after = sorted((path.name, path.stat().st_size) for path in (tmp_path / "results" / "table").iterdir())
    assert after == before


def test_an_unapproved_request_is_refused_with_3(shown: Showcase) -> None:
    assert shown.codes["unapproved"] == 3
    assert shown.stdout["unapproved"] == ""
    assert "PolicyRefused: approval is missing from: privacy_officer, data_steward" in shown.stderr["unapproved"]


def test_an_overdrawn_budget_is_refused_with_4(shown: Showcase) -> None:
    assert shown.codes["poor"] == 4
    assert shown.stdout["poor"] == ""
    *_, last = shown.stderr["poor"].splitlines()
    told = json.loads(last)
    assert told["message"].startswith("BudgetExceeded: scope 'clinic': the charge does not fit")
    assert (told["event"], told["code"], told["level"]) == ("end", 4, "ERROR")


def test_results_are_files_and_rows_of_the_runs_table(spark: SparkSession, shown: Showcase) -> None:
    found = {name: json.loads((shown.site.root / name).read_text(encoding="utf-8")) for name in RESULTS}
    assert [found[name]["status"] for name in RESULTS] == ["refused", "published"]
    assert [found[name]["code"] for name in RESULTS] == [3, 0]
    assert found["result.json"]["table"] == shown.line["table"]
    rows = shown.site.open(spark).runs.of(shown.line["run_id"])
    assert [row["status"] for row in rows] == ["refused", "published", "unchanged"]
    for name, row in zip(RESULTS, rows, strict=False):
        assert {key: value for key, value in found[name].items() if key not in ("format", "synthward")} == row


def test_budget_commands(shown: Showcase) -> None:
    assert shown.codes["open"] == 0
    assert shown.stdout["open"] == "scope clinic: opened, epsilon left 3.500000000\n"
    assert "clinic" in shown.stdout["show"]
    [_, entry] = shown.stdout["history"].splitlines()
    assert shown.line["run_id"] in entry
    assert shown.line["release_id"] in entry
    assert shown.codes["verify"] == 0
    assert "1 scope(s) verified" in shown.stdout["verify"]


def test_approvals_are_told_what_is_missing(shown: Showcase) -> None:
    assert (
        shown.stdout["lee"]
        == "recorded: approve by lee as privacy_officer, as entered, not signed; still missing: data_steward\n"
    )
    assert shown.stdout["kim"] == "recorded: approve by kim as data_steward, as entered, not signed\n"


def test_report_and_history(
    spark: SparkSession, shown: Showcase, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    release, out = shown.line["release_id"], tmp_path / "report.html"
    code, text, _ = synthward(capsys, shown.site, "report", release, "--out", str(out))
    assert (code, text) == (0, f"{out}\n")
    assert out.read_bytes() == Path(shown.line["report"]).read_bytes()
    code, _, err = synthward(capsys, shown.site, "report", release, "--out", str(out), "--artifact", "model.json")
    assert code == 2
    assert "never replaces" in err
    model = tmp_path / "model.json"
    code, text, _ = synthward(capsys, shown.site, "report", release, "--out", str(model), "--artifact", "model.json")
    assert code == 0
    assert ModelFile.load(model).model.synthesizer == "moments"
    code, _, err = synthward(capsys, shown.site, "report", "r0", "--out", str(tmp_path / "none.html"))
    assert code == 2
    assert "release 'r0' has no artifact 'report.html'" in err
    code, text, err = synthward(capsys, shown.site, "history", shown.line["run_id"])
    assert code == 0
    tries = [line.split()[2] for line in err.splitlines() if line.startswith("try ")]
    assert tries == ["refused", "published", "unchanged"]
    assert "published: nothing is left to do" in err
    assert [line.split()[2] for line in text.splitlines()] == ["opened", "sealed", "fitted", "validated", "published"]


@pytest.mark.slow
def test_a_failed_gate_is_5(spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    expires = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=3)
    path = str(site.request(expires=expires, utility={"max_mean_tvd": 0}))
    money = ["--epsilon", "100", "--delta", "1e-6", "--patients", "50", "--by", "sam"]
    assert synthward(capsys, site, "budget", "open", "clinic", *money)[0] == 0
    assert synthward(capsys, site, "approve", path, "--by", "lee", "--role", "privacy_officer")[0] == 0
    code, out, err = synthward(capsys, site, "run", path, "--quiet")
    assert (code, out) == (5, "")
    assert "GateFailed: release" in err
    assert "is quarantined at" in err


def test_check_knows_every_kind_and_names_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNTHWARD_SITE", raising=False)
    site = TestSite(tmp_path)
    files = {
        "request": site.request(),
        "site": site.file,
        "policy": tmp_path / "policy.yaml",
        "domain": tmp_path / "domain.yaml",
    }
    assert {kind: kind_of_file(path) for kind, path in files.items()} == {kind: kind for kind in files}
    assert main(["check", *map(str, files.values())]) == 0
    assert capsys.readouterr().out.count("ok    ") == 4
    text = files["request"].read_text(encoding="utf-8")
    bad = tmp_path / "bad.yaml"
    bad.write_text(text.replace("epsilon:", "epsilom:"), encoding="utf-8")
    line = 1 + bad.read_text(encoding="utf-8").splitlines().index(
        next(row for row in bad.read_text().splitlines() if "epsilom" in row)
    )
    other = tmp_path / "other.yaml"
    other.write_text("something: else\n", encoding="utf-8")
    assert main(["check", str(bad), str(files["domain"]), str(other), str(tmp_path / "none.yaml")]) == 2
    out, err = capsys.readouterr()
    assert out == f"ok    {files['domain']}: domain\n"
    assert f"{bad}:{line}: privacy.epsilom" in err
    assert "did you mean 'epsilon'" in err
    assert f"{other}:1: cannot tell what kind of file this is" in err
    assert "none.yaml" in err


def test_usage_errors_are_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SYNTHWARD_SITE", raising=False)
    site = TestSite(tmp_path)
    assert main(["run", str(site.request())]) == 2
    assert "no site file: give --site FILE or set SYNTHWARD_SITE" in capsys.readouterr().err
    for words in (["run"], ["run", "a.yaml", "--submitted", "a"]):
        assert main(words) == 2
        assert "name one request: a file, or --submitted ID" in capsys.readouterr().err
    for words in (["fly"], ["budget", "open", "x", "--epsilon", "-1"], []):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 2
    capsys.readouterr()
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: 1\n", encoding="utf-8")
    code, out, err = synthward(capsys, site, "run", str(broken))
    assert (code, out) == (2, "")
    assert "ConfigError" in err


@pytest.mark.parametrize("kind", ["delta", "parquet", "csv"])
def test_a_draft_comes_from_the_schema_and_is_refused_until_filled(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    site = TestSite(tmp_path)
    options: dict[str, Any] = {"header": True} if kind == "csv" else {}
    rows = [(*row, 61.5, "PLANTED") for row in visits()]
    site.write(spark, rows, f"{VISITS}, weight DOUBLE, ward STRING", format=kind, **options)
    out = tmp_path / "draft.yaml"
    words = ["domain", "draft", str(site.data()), "--out", str(out)]  # the format follows from the files
    if kind == "csv":
        code, _, err = synthward(capsys, site, *words)
        assert (code, out.exists()) == (2, False)
        assert "give --header" in err
        words.append("--header")
    assert synthward(capsys, site, *words)[0] == 0
    text = out.read_text(encoding="utf-8")
    assert "PLANTED" not in text
    assert all(f'"{name}"' in text for name in ("pid", "sex", "age", "weight", "ward"))
    code, _, err = synthward(capsys, site, *words)
    assert code == 2
    assert "an output never replaces another file" in err
    with pytest.raises(ConfigError, match="TODO"):
        load_domain(out)
    filled = text.replace("bounds: [TODO, TODO]", "bounds: [0, 100]").replace("resolution: TODO", "resolution: 0.5")
    (tmp_path / "codes.csv").write_text("code\na\nb\n", encoding="utf-8")
    out.write_text(filled.replace("codebook: TODO", "codebook: codes.csv"), encoding="utf-8")
    assert set(load_domain(out).attributes) == {"pid", "sex", "age", "weight", "ward"}


def test_an_edit_after_approval_is_told_as_void_and_not_as_missing(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And everything that stands against a run is told at once: policy, approvals, budget."""
    site = TestSite(tmp_path)
    today = dt.datetime.now(dt.UTC).date()
    path = str(site.request(expires=today + dt.timedelta(days=3)))
    words = ("--by", "lee", "--role", "privacy_officer", "--expires", today.isoformat())
    assert synthward(capsys, site, "approve", path, *words)[0] == 0
    site.request(expires=today + dt.timedelta(days=2), purpose={"code": "curiosity"})
    code, _, err = synthward(capsys, site, "run", path)
    assert code == 3
    told = err[err.index("PolicyRefused") :]
    assert "purpose.code: found curiosity" in told
    assert "lee (privacy_officer): not counted, the request or its domain was edited after approval" in told
    assert "does not count any more, from: privacy_officer" in told
    assert "approval is missing" not in told
    assert "scope 'clinic'" in told
    past = (today - dt.timedelta(days=1)).isoformat()
    site.request(expires=today + dt.timedelta(days=2))
    code, _, err = synthward(
        capsys, site, "approve", path, "--by", "lee", "--role", "privacy_officer", "--expires", past
    )
    assert (code, "allowed is today or later" in err) == (3, True)


def job(root: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"job_{name}", root / "jobs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("words", "passed"),
    [
        (["--request", "r.yaml"], ["run", "r.yaml"]),
        (
            ["--site", "s.yaml", "--request", "r.yaml", "--run-key", "2"],
            ["run", "--site", "s.yaml", "--run-key", "2", "r.yaml"],
        ),
        (["r.yaml", "--dry-run"], ["run", "r.yaml", "--dry-run"]),
        (["--request=r.yaml", "--dry-run"], ["run", "--dry-run", "r.yaml"]),
    ],
)
def test_the_job_passes_its_arguments_on(root: Path, words: list[str], passed: list[str]) -> None:
    assert job(root, "synthesize").arguments(words) == passed


def test_the_job_without_a_request_is_a_usage_error(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        job(root, "synthesize").arguments(["--request"])
    assert left.value.code == 2
    assert "--request" in capsys.readouterr().err
