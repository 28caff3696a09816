"""Bad input in two groups: wrong metadata is refused before anything is spent, wrong data are treated as declared."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthward.domain.codes import codebooks
from synthward.errors import (
    BudgetError,
    BudgetExceeded,
    ConfigError,
    EnvironmentProblem,
    GateFailed,
    LedgerCorrupt,
    PolicyRefused,
    SourceError,
    SynthwardError,
)
from synthward.run.environment import Places
from synthward.run.journal import Journal
from synthward.run.opening import open_source
from trial import (
    CSV,
    DOMAIN,
    REQUEST,
    VISITS,
    Clock,
    NoNoise,
    TestSite,
    approve,
    charges,
    exact_answers,
    merged,
    open_budget,
    plan_of,
    ready,
    run,
    write_yaml,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.api import Ward

S = 2**16
NUMBER = {"type": "numeric", "integer": True, "bounds": [0, 100]}


@dataclass(frozen=True)
class Case:
    """A request that must be refused.

    Attributes:
        name: Of the test.
        error: Class of the error.
        words: Texts that its message must have: the object, and what to do.
        changes: Changes of the request.
        domain: Attributes laid over those of the domain.
        text: An edit of the request's text, after everything else.
        approved: Whether the approvals are there.
        today: The day of the run.
    """

    name: str
    error: type[SynthwardError]
    words: tuple[str, ...]
    changes: dict[str, Any] = field(default_factory=dict)
    domain: dict[str, Any] = field(default_factory=dict)
    text: Callable[[str], str] = str
    approved: bool = True
    today: dt.date = dt.date(2026, 1, 15)


CONFIG = [
    Case(
        "unknown key",
        ConfigError,
        ("request.yaml:", "did you mean 'privacy'"),
        text=lambda t: t.replace("privacy:", "privcy:"),
    ),
    Case("missing key", ConfigError, ("utility", "request.yaml"), {"utility": None}),
    Case("doubled key", ConfigError, ("title", "request.yaml:"), text=lambda t: t + "title: again\n"),
    Case("not YAML", ConfigError, ("request.yaml:",), text=lambda t: t + "  : [\n"),
    Case("bounds reversed", ConfigError, ("attributes.age", "domain.yaml:"), domain={"age": {"bounds": [100, 0]}}),
    Case(
        "bound NaN",
        ConfigError,
        ("attributes.age.bounds", "domain.yaml:"),
        domain={"age": {"bounds": [float("nan"), 9]}},
    ),
    Case(
        "bound infinite",
        ConfigError,
        ("attributes.age.bounds", "domain.yaml:"),
        domain={"age": {"bounds": [0, float("inf")]}},
    ),
    Case("no resolution", ConfigError, ("attributes.age.resolution", "0.1"), domain={"age": {"integer": False}}),
    Case("value listed twice", ConfigError, ("attributes.sex.values", "F"), domain={"sex": {"values": ["F", "F"]}}),
    Case(
        "codebook missing",
        ConfigError,
        ("attributes.sex.codebook", "gone.csv"),
        domain={"sex": {"values": None, "codebook": "gone.csv"}},
    ),
    Case("domain missing", ConfigError, ("elsewhere.yaml",), {"domain": "elsewhere.yaml"}),
    Case("column not declared", ConfigError, ("columns[1]", "'height'", "declare it"), {"columns": ["sex", "height"]}),
    Case("columns doubled", ConfigError, ("columns[1]", "'SEX'", "keep one"), {"columns": ["sex", "SEX"]}),
    Case("key as a column", ConfigError, ("columns[1]", "'PID'", "keys are never"), {"columns": ["sex", "PID"]}),
    Case("K = 0", ConfigError, ("patient.max_rows_per_patient", "0"), {"patient": {"max_rows_per_patient": 0}}),
    Case("epsilon 0", ConfigError, ("privacy.epsilon",), {"privacy": {"epsilon": 0}}),
    Case("epsilon negative", ConfigError, ("privacy.epsilon",), {"privacy": {"epsilon": -1}}),
    Case("epsilon infinite", ConfigError, ("privacy.epsilon",), {"privacy": {"epsilon": float("inf")}}),
    Case("epsilon NaN", ConfigError, ("privacy.epsilon",), {"privacy": {"epsilon": float("nan")}}),
    Case(
        "epsilon too small to share out", ConfigError, ("privacy.epsilon", "2 columns"), {"privacy": {"epsilon": 1e-9}}
    ),
    Case("delta with laplace", ConfigError, ("privacy.delta", "gaussian"), {"privacy": {"delta": 1e-9}}),
    Case("gaussian without delta", ConfigError, ("privacy.delta", "1e-9"), {"privacy": {"mechanism": "gaussian"}}),
    Case("no patient key", ConfigError, ("patient.key",), {"patient": {"key": None}}),
    Case("fresh keys without columns", ConfigError, ("output.key_columns",), {"output": {"keys": "fresh"}}),
    Case("unknown synthesizer", ConfigError, ("magic",), {"synthesizer": {"name": "magic"}}),
    Case(
        "unknown setting",
        ConfigError,
        ("synthesizer", "an unknown key; allowed here: name, target"),
        {"synthesizer": {"speed": "9"}},
    ),
    Case("useless setting", ConfigError, ("synthesizer", "target"), {"synthesizer": {"target": "sex"}}),
    Case("path and table", ConfigError, ("source",), {"source": {"table": "a.b"}}),
    Case(
        "purpose not listed",
        PolicyRefused,
        ("purpose.code", "prototyping"),
        {"purpose": {"code": "fun"}},
        approved=False,
    ),
    Case("expired", PolicyRefused, ("expires", "2026-03-31"), approved=False, today=dt.date(2026, 4, 1)),
    Case("expires too late", PolicyRefused, ("expires", "400 days"), {"expires": dt.date(2029, 1, 1)}, approved=False),
    Case(
        "epsilon above the tier",
        PolicyRefused,
        ("privacy.epsilon", "100"),
        {"privacy": {"epsilon": 101}},
        approved=False,
    ),
    Case(
        "too few patients",
        PolicyRefused,
        ("declared_patients", "1000"),
        {"audience": "team", "privacy": {"epsilon": 1}},
        approved=False,
    ),
    Case(
        "unit row",
        PolicyRefused,
        ("patient.unit", "allow_other_unit"),
        {"patient": {"_whole": True, "unit": "row", "max_rows_per_patient": 1}},
        approved=False,
    ),
    Case("unapproved", PolicyRefused, ("approval is missing from: privacy_officer",), approved=False),
    Case("scope not open", BudgetError, ("scope 'other'", "synthward budget open"), {"population": {"scope": "other"}}),
    Case(
        "scope exhausted",
        BudgetExceeded,
        ("scope 'clinic'", "cap: 60", "Nothing was spent"),
        {"privacy": {"epsilon": 61}},
    ),
    Case(
        "population declared otherwise",
        PolicyRefused,
        ("scope 'clinic'", "50", "49"),
        {"population": {"declared_patients": 49}},
    ),
]
EXIT_CODES = {ConfigError: 2, SourceError: 2, PolicyRefused: 3, BudgetError: 4, BudgetExceeded: 4, LedgerCorrupt: 4}


@pytest.fixture(scope="module")
def site(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> TestSite:
    """A site with an open scope that nothing may ever be charged to."""
    site = TestSite(tmp_path_factory.mktemp("metadata"))
    open_budget(site.open(spark), epsilon="60")
    site.write(spark)
    return site


def everything(site: TestSite) -> list[str]:
    """All files of the ledger and of the releases."""
    return sorted(str(path) for zone in ("ledger", "releases") for path in (site.root / "zones" / zone).rglob("*.json"))


def attempt(opened: Ward, path: Path, approved: bool) -> None:
    request = opened.request(path)
    if approved:
        approve(opened, request)
    opened.run(request)


@pytest.mark.parametrize("case", CONFIG, ids=lambda case: case.name)
def test_wrong_metadata_is_refused_before_anything_is_spent(spark: SparkSession, site: TestSite, case: Case) -> None:
    attributes = merged(DOMAIN["attributes"], case.domain)
    site.domain(attributes)
    path = write_yaml(site.root / "request.yaml", merged(REQUEST, case.changes))
    path.write_text(case.text(path.read_text(encoding="utf-8")), encoding="utf-8")
    noon = dt.datetime.combine(case.today, dt.time(12), dt.UTC)
    opened = site.open(spark, clock=Clock(noon))
    before = everything(site)
    with pytest.raises(case.error) as refused:
        attempt(opened, path, case.approved)
    assert type(refused.value) is case.error
    assert refused.value.exit_code == EXIT_CODES[case.error]
    for word in case.words:
        assert word in str(refused.value)
    assert everything(site) == before


def test_there_are_enough_cases() -> None:
    assert len(CONFIG) + len(SOURCES) >= 40


SOURCES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "missing column": ({"columns": ["sex", "height"]}, ("column 'height' is not in the source", "pid, sex, age")),
    "other case": ({"columns": ["sex", "Age"]}, ("column 'Age'", "upper and lower case")),
    "missing key": ({"patient": {"key": "patient"}}, ("column 'patient' is not in the source",)),
    "missing table": ({"source": {"path": "data/gone"}}, ("data/gone", "check the location")),
    "not Delta": ({"source": {"path": "data/files"}}, ("data/files", "cannot be pinned as a Delta table")),
    "no files": ({"source": {**CSV, "path": "data/gone"}}, ("data/gone", "check the path")),
    "empty folder": ({"source": {"format": "parquet", "path": "data/empty"}}, ("data/empty", "check the path")),
    "no such catalog table": ({"source": {"_whole": True, "table": "nowhere.t"}}, ("nowhere.t",)),
    "missing join column": (
        {"patient": {"path": [{"source": {"path": "data/visits"}, "on": {"pid": "gone"}}]}},
        ("column 'gone' is not in the source",),
    ),
    "array as a number": ({"source": {"path": "data/odd"}}, ("column 'age'", "array")),
    "doubled header": (
        {"source": {**CSV, "path": "data/doubled"}},
        ("column 'sex' is more than once in the header of doubled/a.csv",),
    ),
    "header that differs by case": (
        {"source": {**CSV, "path": "data/capitals"}},
        ("column 'sex' is more than once in the header of capitals/a.csv", "upper and lower case"),
    ),
    "columns that differ by case": (
        {"source": {"format": "parquet", "path": "data/twins"}},
        ("column 'sex' is more than once in twins/a.parquet", "a name of its own"),
    ),
    "view whose columns differ by case": (
        {"source": {"_whole": True, "format": "delta", "table": "twins", "snapshot": "materialize"}},
        ("column 'sex' is more than once in the source", "sex, SEX", "a name of its own"),
    ),
    "key column missing": ({"output": {"keys": "fresh", "key_columns": ["visit"]}}, ("column 'visit'",)),
}


def write_odd_sources(spark: SparkSession, site: TestSite) -> None:
    """What `SOURCES` are about, once for all of them."""
    site.data("empty").mkdir(parents=True)
    site.write(spark, name="files", format="parquet")
    site.write(spark, [], "pid BIGINT, sex STRING, age ARRAY<INT>", name="odd")
    for name, header in {"doubled": "pid,sex,sex,age", "capitals": "pid,sex,SEX,age"}.items():
        site.data(name).mkdir()
        (site.data(name) / "a.csv").write_text(f"{header}\n1,F,M,30\n", encoding="utf-8")
    site.data("twins").mkdir()
    pq.write_table(pa.table({"pid": [1], "sex": ["F"], "SEX": ["M"], "age": [30]}), site.data("twins") / "a.parquet")
    spark.createDataFrame([(1, "F", "M", 30)], "pid BIGINT, sex STRING, SEX STRING, age INT").createOrReplaceTempView(
        "twins"
    )


@pytest.mark.connect
@pytest.mark.parametrize("name", SOURCES)
def test_a_source_that_does_not_fit_is_refused_before_anything_is_spent(
    spark: SparkSession, site: TestSite, name: str
) -> None:
    changes, words = SOURCES[name]
    site.domain({**DOMAIN["attributes"], "height": NUMBER, "Age": NUMBER})
    if not site.data("empty").exists():
        write_odd_sources(spark, site)
    opened = site.open(spark)
    request = opened.request(site.request(**changes))
    before = everything(site)
    plan = opened.plan(request)
    env = opened._environment()
    with pytest.raises(SourceError) as refused:
        open_source(env, plan, Places.of(opened.site, plan), Journal(env.journal, plan.identity.run_id))
    for word in words:
        assert word in str(refused.value)
    assert opened.history(plan.identity.run_id) == ()
    assert everything(site) == before


def test_a_source_is_looked_at_before_the_charge(spark: SparkSession, site: TestSite) -> None:
    site.domain({**DOMAIN["attributes"], "height": NUMBER})
    opened = site.open(spark)
    request = opened.request(site.request(columns=["sex", "height"]))
    approve(opened, request)
    with pytest.raises(SourceError, match="column 'height' is not in the source"):
        opened.run(request)
    assert charges(opened) == 0


EDITS = [pytest.param("request", marks=pytest.mark.slow), "domain", pytest.param("policy", marks=pytest.mark.slow)]


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_after_approval_voids_it(spark: SparkSession, tmp_path: Path, what: str) -> None:
    site = TestSite(tmp_path)
    opened = site.open(spark)
    ready(opened, site.request())
    if what == "request":
        site.request(output={"rows": 201})
    elif what == "domain":
        site.domain(merged(DOMAIN["attributes"], {"age": {"bounds": [0, 99]}}))
    else:
        policy = site.root / "policy.yaml"
        policy.write_text(policy.read_text(encoding="utf-8").replace("max_request_days: 400", "max_request_days: 399"))
    again = site.open(spark)
    with pytest.raises(PolicyRefused, match="does not count any more, from: privacy_officer") as refused:
        again.run(again.request(tmp_path / "request.yaml"))
    if what == "policy":
        assert "the policy was edited after approval" in str(refused.value)
    assert charges(again) == 0


def test_a_requester_cannot_approve(spark: SparkSession, site: TestSite) -> None:
    site.domain()
    opened = site.open(spark)
    request = opened.request(site.request(title="Mine"))
    with pytest.raises(PolicyRefused, match="Ada made the request and cannot approve it"):
        opened.approve(request, by=" Ada", role="privacy_officer")
    assert opened.approvals(request) == ()


def test_a_rejection_stops_the_run(spark: SparkSession, site: TestSite) -> None:
    site.domain()
    opened = site.open(spark)
    request = opened.request(site.request(title="Rejected"))
    approve(opened, request)
    opened.approve(request, by="zoe", role="privacy_officer", decision="reject")
    with pytest.raises(PolicyRefused, match=r"zoe \(privacy_officer\): rejected"):
        opened.run(request)


@pytest.mark.slow
def test_a_corrupt_ledger_is_refused(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    opened = site.open(spark)
    request = ready(opened, site.request())
    table = tmp_path / "zones" / "ledger" / "charges"
    spark.sql(f"ALTER TABLE delta.`{table}` SET TBLPROPERTIES ('delta.appendOnly' = 'false')").collect()
    spark.sql(f"UPDATE delta.`{table}` SET body = replace(body, '1000', '9999') WHERE key = 'clinic'").collect()
    with pytest.raises(LedgerCorrupt, match="edited after it was written") as refused:
        site.open(spark).run(request)
    assert refused.value.exit_code == 4


@pytest.mark.parametrize("what", ["foreign table", pytest.param("no folder", marks=pytest.mark.slow)])
def test_a_target_that_cannot_be_used_is_found_before_anything_is_spent(
    spark: SparkSession, tmp_path: Path, what: str
) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    opened = site.open(spark)
    request = ready(opened, site.request())
    release_id = opened.plan(request).identity.release_id
    if what == "foreign table":
        target = tmp_path / "zones" / "releases" / f"visits__{release_id}"
        spark.range(1).write.format("delta").save(str(target))
    else:
        (tmp_path / "zones" / "releases").write_text("a file where a folder should be", encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match="Nothing was spent") as refused:
        opened.run(request)
    assert "zones/releases" in str(refused.value)
    assert charges(opened) == 0


# Data: the declared treatment, never an error.

DIRT_SCHEMA = "pid BIGINT, sex STRING, age STRING, code STRING, flag STRING, day STRING, lab DOUBLE"
DIRT_DOMAIN = {
    "sex": {"type": "categorical", "values": ["F", "M"], "missing": ["?"], "other": "Other"},
    "age": {"type": "numeric", "integer": True, "bounds": [0, 100], "bins": 2, "sentinels": [999]},
    "code": {"type": "categorical", "values": ["3E03317", "00845", "845", "1e3"]},
    "flag": {"type": "boolean"},
    "day": {"type": "date", "bounds": ["2020-01-01", "2023-12-31"], "bins": 4, "outside": "missing"},
    "lab": {"type": "numeric", "bounds": [-1, 1], "resolution": 0.5, "bins": 2},
}
NAN, INF = float("nan"), float("inf")
GOOD = ("F", "10", "845", "yes", "2021-06-01", 0.5)
CELLS: dict[str, dict[Any, str]] = {
    # column -> cell -> label of the code it must get
    "sex": {
        "F": "F",
        "f": "(other)",
        "F ": "(other)",
        "": "(other)",
        "?": "(missing)",
        None: "(missing)",
        "x" * 9999: "(other)",
    },
    "age": {
        "10": "0",
        " 99 ": "51",
        "1e1": "0",
        "abc": "(other)",
        "": "(missing)",
        "NaN": "(other)",
        "12D": "(other)",
        "Infinity": "(other)",
        "1e999": "(other)",
        "-5": "(below 0)",
        "98765": "(above 100)",
        "999": "(missing)",
        None: "(missing)",
        "9" * 400: "(other)",
    },
    "code": {
        "3E03317": "3E03317",
        "00845": "00845",
        "845": "845",
        "1e3": "1e3",
        "0845": "(other)",
        "1000": "(other)",
        None: "(missing)",
    },
    "flag": {"yes": "true", "NO": "false", " 1 ": "true", "maybe": "(other)", "": "(missing)", None: "(missing)"},
    "day": {
        "2021-06-01": "2021-01-01",
        "2021-02-31": "(other)",
        "0000-00-00": "(other)",
        "9999-12-31": "(other)",
        "1850-01-01": "(other)",
        "gestern": "(other)",
        "": "(missing)",
        None: "(missing)",
    },
    "lab": {
        0.5: "0.5",
        -INF: "(other)",
        INF: "(other)",
        NAN: "(missing)",
        1e308: "(above 1)",
        -0.0: "-1",
        5e-324: "-1",
        None: "(missing)",
    },
}


def dirty_rows() -> list[tuple[Any, ...]]:
    """One patient a dirty cell, the other cells being good; ids are 64 bits wide and negative."""
    rows = []
    for place, (column, cells) in enumerate(CELLS.items()):
        for cell in cells:
            values = list(GOOD)
            values[place] = cell
            rows.append((-(2**63) + len(rows), *values))
        assert list(DIRT_DOMAIN)[place] == column
    return rows


def test_every_dirty_cell_gets_its_declared_code(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark, dirty_rows(), DIRT_SCHEMA, format="parquet")
    site.domain(DIRT_DOMAIN)
    path = site.request(source={"format": "parquet"}, columns=list(DIRT_DOMAIN), privacy={"epsilon": 90})
    plan = plan_of(site, path)
    answers = exact_answers(spark, plan)
    books = codebooks(plan.domain)
    rows = len(dirty_rows())
    assert answers["population"] == [rows * S]
    for place, (column, cells) in enumerate(CELLS.items()):
        labels = list(books[column].labels())
        good = labels[books[column].code_of(GOOD[place])]
        wanted = dict.fromkeys(labels, 0)
        wanted[good] = rows - len(cells)
        for label in cells.values():
            wanted[label] += 1
        assert dict(zip(labels, [n / S for n in answers[f"marginal({column})"]], strict=True)) == wanted, column


@pytest.mark.slow
def test_a_run_over_dirt_and_a_huge_patient_completes(spark: SparkSession, tmp_path: Path) -> None:
    """NULL ids, orphans in effect, count for nobody; 20,000 rows of one patient weigh K."""
    site = TestSite(tmp_path)
    huge = [(7, "M", str(k), "00845", "no", "2020-01-01", 0.0) for k in range(20_000)]
    nobody = [(None, "M", "1", "1e3", "no", "2020-01-01", 0.0)] * 500
    site.write(spark, dirty_rows() + huge + nobody, DIRT_SCHEMA, format="parquet")
    site.domain(DIRT_DOMAIN)
    path = site.request(source={"format": "parquet"}, columns=list(DIRT_DOMAIN), privacy={"epsilon": 90})
    opened = site.open(spark, noise=NoNoise())
    release = run(opened, path)
    columns = {
        c["column"]: dict(zip(c["labels"], c["noisy"], strict=True))
        for c in release.manifest.body["quality"]["columns"]
    }
    total = len(dirty_rows()) + 2
    assert columns["code"]["00845"] == pytest.approx(3 / total, abs=0.01)
    assert columns["code"]["1e3"] == pytest.approx(1 / total, abs=0.01)
    rows = [row.asDict() for row in opened.rows(release.release_id).collect()]
    assert {row["sex"] for row in rows} <= {"F", "M", "Other", None}
    assert {row["code"] for row in rows} <= {"3E03317", "00845", "845", "1e3", None}
    assert all(row["day"] is None or "2020-01-01" <= row["day"] <= "2023-12-31" for row in rows)


NOTHING: dict[str, list[tuple[Any, ...]]] = {
    "empty table": [],
    "all NULL": [(None, None, None)] * 5,
    "ids without values": [(k, None, None) for k in range(5)],
    "values without ids": [(None, "F", 20)] * 5,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOTHING)
def test_a_source_with_nothing_in_it_still_makes_a_release(spark: SparkSession, tmp_path: Path, name: str) -> None:
    """The population gate tests the noisy count, so nothing is known before the noise; here policy asks for nobody."""
    site = TestSite(tmp_path, policy={"tiers": {"T0": {"min_declared_patients": 0}}})
    site.write(spark, NOTHING[name], VISITS)
    opened = site.open(spark)
    release = run(opened, site.request())
    assert opened.rows(release.release_id).count() == 200
    assert charges(opened) == 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["orphans only", "a text file of another kind"])
def test_wrong_but_readable_sources_end_in_a_gate_or_a_release(spark: SparkSession, tmp_path: Path, kind: str) -> None:
    # Ten patients are well above three standard errors of nobody.
    site = TestSite(tmp_path, policy={"tiers": {"T0": {"min_declared_patients": 10}}})
    if kind == "orphans only":
        site.write(spark, [("a", "F", 3)] * 9, "stay STRING, sex STRING, age INT")
        site.write(spark, [("b", 1)], "stay STRING, pid BIGINT", name="stays")
        step = {"source": {"path": "data/stays"}, "on": {"stay": "stay"}}
        path = site.request(patient={"path": [step]})
        reason = "gate 'population' failed"
    else:
        rows: list[tuple[Any, ...]] = [(k, "nonsense", k) for k in range(40)]
        site.write(spark, rows, VISITS)
        path = site.request(utility={"max_out_of_domain_share": 0.2})
        reason = "gate 'out of domain' failed: more than 20.0% of the source's values are undeclared in: sex"
    opened = site.open(spark)
    with pytest.raises(GateFailed, match=reason):
        run(opened, path)
    assert charges(opened) == 1
