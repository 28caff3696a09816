"""The main job end to end: what a release is, what a repeated run does, how a failed gate ends."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from showcase import ATTRIBUTES, COLUMNS, ICD, RELEASE_ROWS, SCHEMA, Showcase, showcase
from synthward.api import Release, Ward
from synthward.errors import GateFailed, PolicyRefused
from synthward.release.manifest import Manifest
from synthward.release.names import LINEAGE
from synthward.sample.model_file import ModelFile
from synthward.store.delta import detail, exists
from synthward.store.places import TableRef
from trial import Clock, Stopped, TestSite, approve, charges, open_budget, ready, run, stop_after

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture(scope="module")
def shown(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Showcase:
    return showcase(spark, tmp_path_factory.mktemp("showcase"))


@pytest.fixture(scope="module")
def ward(spark: SparkSession, shown: Showcase) -> Ward:
    return shown.site.open(spark)


@pytest.fixture(scope="module")
def manifest(ward: Ward, shown: Showcase) -> dict[str, Any]:
    return ward.manifest(shown.line["release_id"]).body


@pytest.fixture(scope="module")
def rows(ward: Ward, shown: Showcase) -> DataFrame:
    return ward.rows(shown.line["release_id"]).cache()


def test_every_step_of_the_showcase_succeeded(shown: Showcase) -> None:
    assert shown.codes["run"] == 0, shown.stderr["run"]
    assert shown.line["is_new"] is True


def test_schema_is_the_sources_plus_lineage(spark: SparkSession, rows: DataFrame) -> None:
    wanted = {
        "encounter_id": "bigint",
        "sex": "string",
        "age": "int",
        "weight": "double",
        "cost": "decimal(10,2)",
        "smoker": "boolean",
        "insured": "string",
        "admitted": "date",
        "seen": "timestamp",
        "icd": "string",
        "vitals.pulse": "smallint",
        "Heart Rate (bpm)": "bigint",
        "_synthetic": "boolean",
        "_release_id": "string",
        "_model_digest": "string",
        "_generated_at": "string",
        "_row": "bigint",
    }
    assert {f.name: f.dataType.simpleString() for f in rows.schema.fields} == wanted
    assert list(rows.columns) == ["encounter_id", *COLUMNS, *LINEAGE]
    source = spark.createDataFrame([], SCHEMA).schema
    assert all(rows.schema[name].dataType == source[name].dataType for name in wanted if name in source.names)


def test_rows_hold_declared_values_only(rows: DataFrame) -> None:
    found = [row.asDict() for row in rows.collect()]
    assert len(found) == RELEASE_ROWS
    assert {row["sex"] for row in found} <= {"F", "M", "Unknown", None}
    assert {row["icd"] for row in found} <= {*ICD, None}
    assert {row["insured"] for row in found} <= {"yes", "no", None}
    assert all(row["age"] is not None and 0 <= row["age"] <= 110 for row in found)
    assert all(row["weight"] is None or (row["weight"] * 2).is_integer() for row in found)
    assert all(row["seen"] is None or row["seen"].day in (1, 31, 30, 29, 28) for row in found)
    for name in ("weight", "cost", "vitals.pulse", "Heart Rate (bpm)"):
        low, high = ATTRIBUTES[name]["bounds"]
        assert all(row[name] is None or low <= row[name] <= high for row in found), name


def test_lineage_and_fresh_keys_are_unique(rows: DataFrame, shown: Showcase) -> None:
    found = [row.asDict() for row in rows.select("encounter_id", *LINEAGE).collect()]
    assert sorted(row["_row"] for row in found) == list(range(RELEASE_ROWS))
    assert {row["encounter_id"] for row in found} == set(range(-RELEASE_ROWS, 0))
    assert {row["_release_id"] for row in found} == {shown.line["release_id"]}
    assert len({(row["_synthetic"], row["_model_digest"], row["_generated_at"]) for row in found}) == 1
    assert found[0]["_synthetic"] is True


def test_the_published_table_has_constraints_and_properties(
    spark: SparkSession, shown: Showcase, manifest: dict[str, Any]
) -> None:
    properties = detail(spark, TableRef.parse(shown.line["table"])).properties
    checks = {name for name in properties if name.startswith("delta.constraints.")}
    assert {"delta.constraints.synthetic_only", "delta.constraints.row_number", "delta.constraints.domain_1"} <= checks
    assert "BETWEEN" in properties["delta.constraints.domain_2"]
    assert "IS NOT NULL" in properties["delta.constraints.domain_1"]
    assert properties["synthward.synthetic"] == "true"
    assert properties["synthward.privacy_unit"] == "unit: patient, by pid"
    assert properties["synthward.epsilon"] == manifest["guarantee"]["epsilon"]
    assert properties["synthward.manifest_sha256"] == Manifest(manifest).digest


def test_commits_of_the_published_table_name_the_manifest(
    spark: SparkSession, shown: Showcase, manifest: dict[str, Any]
) -> None:
    history = spark.sql(f"DESCRIBE HISTORY delta.`{shown.line['table']}`").select("operation", "operationParameters")
    said = [(row[0], json.dumps(row[1])) for row in history.collect()]
    digest = Manifest(manifest).digest
    assert [operation for operation, parameters in said if digest in parameters] == ["SET TBLPROPERTIES"]
    assert said[-1][0] == "CLONE"


def test_constraints_are_enforced(spark: SparkSession, shown: Showcase) -> None:
    table = f"delta.`{shown.line['table']}`"
    before = spark.sql(f"SELECT * FROM {table}").limit(1)
    with pytest.raises(Exception, match=r"DELTA_VIOLATE_CONSTRAINT|CHECK constraint"):
        before.withColumn("age", before["age"] * 0 + 111).write.format("delta").mode("append").save(shown.line["table"])


def test_the_manifest_names_promise_people_and_gates(manifest: dict[str, Any], shown: Showcase) -> None:
    promise = manifest["guarantee"]
    assert (promise["claim"], promise["mechanism"], promise["max_rows_per_unit"]) == (
        "unit: patient, by pid",
        "laplace",
        2,
    )
    assert promise["nano_epsilon"] == pytest.approx(3 * 10**9, abs=1000)
    # The better of the two bounds: with many columns that is the one through zCDP, at a delta.
    assert Decimal("2.5") < Decimal(promise["epsilon"]) < Decimal("2.9999")
    assert Decimal(promise["delta"]) > 0
    assert [(a["by"], a["role"]) for a in manifest["approvals"]] == [
        ("lee", "privacy_officer"),
        ("kim", "data_steward"),
    ]
    assert all(gate["passed"] for gate in manifest["gates"])
    assert [entry["signed"] for entry in manifest["approvals"]] == [False] * len(manifest["approvals"])
    evidence = {entry["control"]: set(entry["gates"]) for entry in manifest["policy"]["evidence"]}
    assert set(evidence) == set(manifest["policy"]["controls"])
    assert set().union(*evidence.values()) <= {gate["gate"] for gate in manifest["gates"]}
    assert manifest["budget"]["charges"] == 1
    assert manifest["budget"]["alone_epsilon"] == manifest["budget"]["spent_epsilon"]
    assert manifest["rows"] == RELEASE_ROWS
    total = sum(m["nano_epsilon"] for m in manifest["measurements"])
    assert total == promise["nano_epsilon"] <= 3 * 10**9
    assert manifest["table"] == shown.line["table"]


def test_artifacts_are_stored_and_belong_together(ward: Ward, shown: Showcase, manifest: dict[str, Any]) -> None:
    release = shown.line["release_id"]
    artifact = ModelFile.parse(ward.registry.artifact(release, "model.json").decode(), manifest["model"]["digest"])
    assert [column.name for column in artifact.model.columns] == list(COLUMNS)
    assert list(artifact.domain.attributes) == list(COLUMNS)
    report = ward.report(release)
    assert "<html" in report
    assert release in report
    out = shown.site.root / "out"
    assert (out / f"{release}.html").read_text(encoding="utf-8") == report
    assert json.loads((out / f"{release}.json").read_text(encoding="utf-8")) == manifest


def test_the_ready_view_joins_everything(ward: Ward, shown: Showcase, manifest: dict[str, Any]) -> None:
    row = ward.rows(shown.line["release_id"], lineage=True).limit(1).collect()[0].asDict()
    assert row["_scope"] == "clinic"
    assert row["_source_ref"] == manifest["source_ref"]
    assert row["_epsilon"] == manifest["guarantee"]["epsilon"]
    assert row["_manifest_digest"] == Manifest(manifest).digest
    assert json.loads(row["_bounds"])["age"] == ["0", "110"]
    assert row["_ledger_seq"] == 1
    assert row["_sampling_seed"] == 1


def test_mlflow_has_the_publishable_numbers(shown: Showcase, manifest: dict[str, Any]) -> None:
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{shown.site.root}/mlflow.db")
    assert shown.line["mlflow_run"] is not None
    found = client.get_run(shown.line["mlflow_run"]).data
    assert found.metrics["epsilon"] == pytest.approx(float(manifest["guarantee"]["epsilon"]))
    assert found.metrics["budget_remaining"] == pytest.approx(shown.line["remaining"])
    assert found.params["scope"] == "clinic"


@pytest.mark.slow
def test_a_new_run_key_is_a_new_charge_up_to_the_runs_approved(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    stopping = site.open(spark, on_step=stop_after("charge"))
    request = ready(stopping, site.request(), runs=2)
    for key in ("2026-01", "2026-02", "2026-02"):
        with pytest.raises(Stopped):
            stopping.run(request, run_key=key)
    assert charges(stopping) == 2
    with pytest.raises(PolicyRefused, match=r"cover 2 run\(s\)"):
        stopping.run(request, run_key="2026-03")
    assert charges(stopping) == 2


BENCHMARK = {"allow_other_unit": True, "raise_tier_when": {"unit_other": False}}


@pytest.fixture(scope="module")
def by_row(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ward, Release]:
    """Gaussian noise, the row as unit, a published copy."""
    site = TestSite(tmp_path_factory.mktemp("rows"), site={"publish": "copy"}, policy=BENCHMARK)
    site.write(spark)
    path = site.request(
        patient={"_whole": True, "unit": "row", "max_rows_per_patient": 1},
        privacy={"mechanism": "gaussian", "epsilon": 40, "delta": 1e-7},
    )
    opened = site.open(spark)
    open_budget(opened, unit="row")
    request = opened.request(path)
    approve(opened, request)
    return opened, opened.run(request)


@pytest.mark.slow
def test_gaussian_noise_is_charged_as_rho_and_reported_with_delta(by_row: tuple[Ward, Release]) -> None:
    opened, release = by_row
    promise = release.manifest.body["guarantee"]
    assert promise["mechanism"] == "gaussian"
    assert promise["nano_epsilon"] is None
    assert promise["nano_rho"] == sum(m["nano_rho"] for m in release.manifest.body["measurements"]) > 0
    assert Decimal(promise["delta"]) == Decimal("1e-7")
    assert Decimal(39) < Decimal(promise["epsilon"]) <= 40
    [charge] = opened.budget("clinic").charges
    assert charge.cost.nano_epsilon is None
    assert charge.cost.nano_rho == promise["nano_rho"]


@pytest.mark.slow
def test_a_row_unit_is_named_for_what_it_is_everywhere(by_row: tuple[Ward, Release], spark: SparkSession) -> None:
    _, release = by_row
    loud = "unit: row, NOT patient"
    assert release.manifest.body["guarantee"]["claim"] == loud
    assert loud in release.report
    properties = detail(spark, TableRef.parse(release.table)).properties
    assert properties["synthward.privacy_unit"] == loud


@pytest.mark.slow
def test_a_published_copy_stands_alone(by_row: tuple[Ward, Release], spark: SparkSession) -> None:
    opened, release = by_row
    files = [Path(name.removeprefix("file:")) for name in opened.rows(release.release_id).inputFiles()]
    assert all(Path(release.table) in file.parents for file in files)
    properties = detail(spark, TableRef.parse(release.table)).properties
    assert "delta.constraints.domain_1" in properties


def test_a_clone_shares_the_staged_files(ward: Ward, shown: Showcase) -> None:
    files = ward.rows(shown.line["release_id"]).inputFiles()
    assert all("staging_" in file for file in files)


@pytest.mark.slow
def test_a_failed_gate_quarantines_and_stays_failed(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    opened = site.open(spark)
    request = ready(opened, site.request(utility={"max_mean_tvd": 0}), runs=5)
    messages = []
    for _ in range(2):
        with pytest.raises(GateFailed, match="gate 'distance' failed") as failed:
            opened.run(request)
        messages.append(str(failed.value))
    assert failed.value.exit_code == 5
    assert messages[0] == messages[1]
    assert charges(opened) == 1
    releases = tmp_path / "zones" / "releases"
    assert sorted(path.name for path in releases.iterdir()) == ["artifacts", "releases"]
    assert opened.registry.row(opened.plan(request).identity.release_id) is None
    staged = next((tmp_path / "zones" / "protected").glob("staging_*"))
    assert exists(spark, TableRef(path=str(staged)))
    assert str(staged) in messages[0]


def test_rows_have_the_wanted_shares_and_quality_is_judged_without_them(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    opened = site.open(spark)
    wanted = run(opened, site.request(output={"where": {"sex": {"F": 0.25, "M": 0.75}}}))
    found = {row["sex"]: row["count"] for row in opened.rows(wanted.release_id).groupBy("sex").count().collect()}
    assert found == {"F": 50, "M": 150}
    body = wanted.manifest.body
    assert body["sampling"]["where"] == {"sex": {"F": "0.25", "M": "0.75"}}
    assert any("wanted shares of sex" in limit for limit in body["limits"])
    assert "sex (F 0.25, M 0.75)" in wanted.report
    [sex] = [column for column in body["quality"]["columns"] if column["column"] == "sex"]
    assert sex["tvd"] < 0.05, "compared with the source without the wish"
    assert opened.verify("clinic") == []


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("variant", ["diabetes130", "diabetes130_gaussian"])
def test_the_shipped_request_runs_on_the_real_extract(
    spark: SparkSession, tmp_path: Path, root: Path, data_dir: Path, variant: str
) -> None:
    data = data_dir / "diabetes130" / "diabetic_data.csv.gz"
    site = TestSite(tmp_path, site={"policy": str(root / "conf" / "policy.yaml")})
    text = (root / "conf" / "requests" / f"{variant}.yaml").read_text(encoding="utf-8")
    path = tmp_path / "request.yaml"
    domain = root / "conf" / "domains" / "diabetes130.yaml"
    edits = {"../domains/diabetes130.yaml": str(domain), "rows: 100000\n  keys": "rows: 2000\n  keys"}
    for old, new in edits.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    opened = site.open(spark, clock=Clock(dt.datetime(2026, 12, 1, tzinfo=dt.UTC)))
    request = opened.request(path, source=str(data))
    people = opened.population(root / "conf" / "populations" / "diabetes130.yaml", source=str(data))
    opened.open_population(people, by="sam")
    approve(opened, request)
    release = opened.run(request)
    assert all(gate["passed"] for gate in release.manifest.body["gates"])
    assert release.metrics["tvd_mean"] < 0.2
    assert opened.rows(release.release_id).count() == 2000
    assert opened.verify("diabetes130") == []


@pytest.mark.connect
@pytest.mark.slow
def test_a_run_on_either_kind_of_session(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    opened = site.open(spark)
    release = run(opened, site.request())
    assert opened.rows(release.release_id).count() == 200
    assert opened.verify("clinic") == []


@pytest.mark.slow
def test_joint_structure_is_measured_drawn_and_reported(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    opened = site.open(spark)
    request = site.request(
        privacy={"_whole": True, "mechanism": "gaussian", "epsilon": 60, "delta": 1e-7},
        synthesizer={"name": "few_round"},
        utility={"max_mean_pair_tvd": 1},
    )
    release = run(opened, request)
    body = release.manifest.body
    assert [entry["columns"] for entry in body["quality"]["cliques"]] == [["sex", "age"]]
    assert body["quality"]["summary"]["pairs_measured"] == 1
    assert release.metrics["pair_tvd_mean"] == body["quality"]["cliques"][0]["tvd"] <= 1
    [edge] = body["model"]["graph"]["edges"]
    assert {edge["parent"], edge["child"]} == {"sex", "age"}
    assert "pair distance" in {gate["gate"] for gate in body["gates"]}
    assert not [limit for limit in body["limits"] if "relations between columns are not kept" in limit]
    assert "1 of 1" in release.report
