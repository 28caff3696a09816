"""A budget belongs to people: opening over tables, requests about others, tables made again, and what is claimed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.api import Ward
from synthward.cli.main import main
from synthward.errors import BudgetError, PolicyRefused, SourceError
from synthward.release.registry import RELEASES_SCHEMA, Registry
from synthward.run.journal import OPENED
from synthward.run.records import tracked_parameters
from synthward.spec.population import Table
from synthward.store.delta import create_if_absent, properties, read
from synthward.store.places import TableRef, Zone
from trial import SCOPE, VISITS, CountingNoise, TestSite, approve, charges, open_population, population, visits

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect

BOUND = {"allow_unbound_scopes": False}
OPT_OUTS = {"source": {"format": "delta", "path": "data/opt_outs"}, "key": "person"}
STAYS = {"source": {"format": "delta", "path": "data/stays"}, "on": {"stay": "stay"}}
REQUEST: dict[str, Any] = {
    "patient": {"path": [STAYS], "id": {"pattern": "[0-9]{4}", "not": ["9999"]}},
    "population": {"excluded": OPT_OUTS},
}


@pytest.fixture
def site(spark: SparkSession, tmp_path: Path) -> TestSite:
    """Visits, each of a stay, whose patient another table knows; one person opted out, one row is nobody's."""
    made = TestSite(tmp_path, policy=BOUND)
    rows = [(f"s{pid}", sex, age) for pid, sex, age in visits()]
    made.write(spark, [*rows, ("s9999", "M", 1)], "stay STRING, sex STRING, age INT")
    people = sorted({pid for pid, _, _ in visits()})
    made.write(spark, [*((f"s{p}", p) for p in people), ("s9999", 9999)], "stay STRING, pid BIGINT", name="stays")
    made.write(spark, [(people[0],)], "person BIGINT", name="opt_outs")
    return made


def test_a_run_says_by_which_key_its_people_are_found(spark: SparkSession, site: TestSite) -> None:
    ward = site.open(spark)
    request = ward.request(site.request(**REQUEST))
    state = open_population(ward, request)
    assert state.people is not None
    ids = [table.table_id for table in (*state.people.owned, state.people.excluded.source)]  # type: ignore[union-attr]
    assert len(set(ids)) == 3
    assert None not in ids
    approve(ward, request)
    release = ward.run(request)
    words = "patient, by stays.pid via stay"
    guarantee = release.manifest.body["guarantee"]
    assert (guarantee["claim"], guarantee["key"], guarantee["path"]) == (f"unit: {words}", "pid", ["stay = stay"])
    [ids, opt_outs] = guarantee["statements"]
    assert ids.endswith("and so are those whose key does not fit: pattern [0-9]{4}, not '9999'.")
    assert opt_outs == "People on the site's opt-out list are not in the source."
    found = properties(spark, TableRef.parse(release.table)) or {}
    assert found["synthward.privacy_unit"] == f"unit: {words}"
    [row] = ward.releases(SCOPE)
    assert (row["unit"], row["unit_by"]) == ("patient", words)
    assert tracked_parameters(release.manifest)["unit_by"] == words
    assert "stays.pid via stay" in release.report
    assert "are not in the source" in release.report
    # The list is pinned as every table is; its version stays in the restricted record.
    [opened] = [link for link in ward.history(release.outcome.run_id) if link.kind == OPENED]
    assert [Path(entry["location"]).name for entry in opened.facts["source"]] == ["visits", "stays", "opt_outs"]
    assert [entry["version"] for entry in opened.facts["source"]] == [0, 0, 0]
    assert "opt_outs" not in release.manifest.text
    assert ward.verify_all() == {SCOPE: []}


def test_a_request_about_others_is_refused_before_anything_is_read(spark: SparkSession, site: TestSite) -> None:
    noise = CountingNoise()
    ward = site.open(spark, noise=noise)
    open_population(ward, ward.request(site.request(**REQUEST)))
    others = {
        "key": {**REQUEST, "patient": {**REQUEST["patient"], "key": "stay"}},
        "path": {**REQUEST, "patient": {"id": REQUEST["patient"]["id"], "key": "stay"}},
        "id": {**REQUEST, "patient": {"path": [STAYS]}},
        "excluded": {"patient": REQUEST["patient"]},
    }
    for name, changes in others.items():
        request = ward.request(site.request(name, **changes))
        approve(ward, request)
        with pytest.raises(PolicyRefused, match=f"{name}: .*scope '{SCOPE}'"):
            ward.run(request)
        assert ward.history(ward.plan(request).identity.run_id) == ()
    assert (charges(ward), noise.drawn) == (0, [])


def test_a_second_scope_over_the_same_table_is_refused(spark: SparkSession, site: TestSite) -> None:
    ward = site.open(spark)
    request = ward.request(site.request(**REQUEST))
    open_population(ward, request)
    (site.root / "link").symlink_to(site.root / "data")
    alias = site.data("visits")
    spark.sql(f"CREATE TABLE alias_of_visits USING delta LOCATION '{alias}'").collect()
    try:
        for source in ({"path": "link/visits"}, {"table": "alias_of_visits"}):
            other = population(request, scope="clinic2", excluded=None, sources=[{"source": source}])
            with pytest.raises(BudgetError, match=r"scope 'clinic2': table .* is a source of scope 'clinic'"):
                ward.open_population(ward.population(other), by="ada")
    finally:
        spark.sql("DROP TABLE alias_of_visits").collect()
    assert ward.ledger.names() == (SCOPE,)


def test_a_table_that_was_made_again_is_refused_before_the_charge(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path, policy=BOUND)
    site.write(spark)
    ward = site.open(spark)
    request = ward.request(site.request())
    open_population(ward, request)
    approve(ward, request)
    site.data().rename(tmp_path / "gone")
    site.write(spark, visits(5), VISITS)
    with pytest.raises(SourceError, match="is another table than the one for which scope 'clinic' was opened"):
        ward.run(request)
    assert charges(ward) == 0
    moved = Table(path=str(tmp_path / "gone"))
    assert ward.add_source(SCOPE, moved, by="lee", reason="moved by the site").is_new
    again = ward.request(site.request("again", source={"path": str(tmp_path / "gone")}))
    approve(ward, again)
    assert ward.run(again).outcome.is_new


def test_a_population_needs_tables_that_are_there(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path, policy=BOUND)
    ward = site.open(spark)
    request = ward.request(site.request())
    with pytest.raises(SourceError, match="data/visits' cannot be looked up as a Delta table"):
        open_population(ward, request)
    site.write(spark)
    sources = [{"source": {"path": "data/visits", "table_id": "0f8fad5b-d9cb-469f-a165-70867728950e"}}]
    with pytest.raises(SourceError, match="has another id than the population file says"):
        open_population(ward, request, sources=sources)
    assert ward.ledger.names() == ()
    with pytest.raises(PolicyRefused, match="allow_other_unit"):
        open_population(ward, request, unit="row", key=None)


def test_the_commands_of_a_population(
    spark: SparkSession, site: TestSite, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(site.root)

    def synthward(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--site", str(site.file)])
        return code, *capsys.readouterr()

    request = Ward(spark, site.open(spark).site).request(site.request(**REQUEST))
    file = str(population(request, epsilon="60"))
    assert synthward("budget", "open", file, "--by", "sam")[:2] == (
        0,
        "scope clinic: opened, epsilon left 60.000000000\n",
    )
    assert "was open already" in synthward("budget", "open", file, "--by", "kim")[1]
    money = ["--epsilon", "1", "--delta", "0", "--patients", "50", "--by", "sam"]
    code, _, err = synthward("budget", "open", "clinic2", *money)
    assert (code, "allow_unbound_scopes is false" in err) == (3, True)
    assert synthward("budget", "open", "clinic2", "--epsilon", "1", "--by", "sam")[0] == 2
    site.write(spark, [], VISITS, name="clone")
    adding = ["budget", "add", "clinic", "data/clone", "--by", "sam", "--reason", "a clone"]
    assert synthward(*adding)[1].startswith("scope clinic: added ")
    assert "has already" in synthward(*adding)[1]
    shown = synthward("budget", "show", "clinic")[1]
    assert f"source {site.root}/data/visits (delta) -> {site.root}/data/stays on stay = stay, key pid" in shown
    assert f"source {site.root}/data/clone (delta), key pid" in shown
    assert "ids pattern [0-9]{4}, not '9999'" in shown
    assert f"opt-outs {site.root}/data/opt_outs, key person" in shown
    assert "one person, all scopes: epsilon 0 at delta 0.000001; at most 60" in synthward("exposure")[1]
    assert "guarantee  unit: patient, by stays.pid via stay" in synthward("plan", str(request.path))[2]
    other = site.request("other", **{**REQUEST, "source": {"path": "data/opt_outs"}})
    code, out, err = synthward("plan", str(other))
    assert (code, out) == (3, "")
    assert "REFUSED    source: " in err


def test_an_older_registry_gets_the_new_column(spark: SparkSession, tmp_path: Path) -> None:
    zone = Zone(str(tmp_path / "releases"))
    registry = Registry(spark, zone)
    older = RELEASES_SCHEMA.replace(", unit_by STRING", "")
    create_if_absent(spark, registry.releases, older, properties={"delta.appendOnly": "true"})
    assert "unit_by" not in read(spark, registry.releases).columns
    registry.prepare()
    assert read(spark, registry.releases).columns[-1] == "unit_by"
    registry.prepare()
    assert registry.record("r1", {"unit": "patient", "unit_by": "patient, by pid"})
