"""Population files, and what a request must have in common with the population that it is charged to. Without Spark."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from store_doubles import MemoryLinks
from synthward.config.canonical import canonical_json
from synthward.errors import ConfigError, PolicyRefused
from synthward.ledger.ledger import Ledger
from synthward.ledger.scopes import ScopeState
from synthward.run.documents import kind_of_file
from synthward.spec.population import People, PopulationFile, differences, load_population
from synthward.spec.request_file import load_request
from synthward.spec.unit_words import id_words, unit_words
from synthward.store.places import Zone
from trial import CSV, SCOPE, TestSite, merged, plan_of, population, write_yaml

DELTA = {"format": "delta", "path": "data/visits"}
STAYS = {"source": {"format": "delta", "path": "data/stays"}, "on": {"hadm_id": "hadm_id"}}
OPT_OUTS = {"source": {"format": "delta", "path": "data/opt_outs"}, "key": "pid"}


def written(path: Path, **changes: Any) -> PopulationFile:
    """A population file with changes laid over it; None removes a key."""
    base: dict[str, Any] = {
        "version": 1,
        "scope": SCOPE,
        "title": "People",
        "key": "pid",
        "declared_patients": 50,
        "budget": {"epsilon": 60, "delta": 1e-6},
        "sources": [{"source": {"path": "data/visits"}}],
    }
    return load_population(write_yaml(path / "population.yaml", merged(base, changes)))


def faults(path: Path, **changes: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        written(path, **changes)
    return [problem.path for problem in caught.value.problems]


def test_a_population_loads_with_resolved_locations(tmp_path: Path) -> None:
    found = written(tmp_path, sources=[{"source": {"path": "data/visits"}, "path": [STAYS]}], excluded=OPT_OUTS)
    owned = [table.path for table in found.people.owned]
    assert owned == [str(tmp_path / "data" / "visits"), str(tmp_path / "data" / "stays")]
    assert found.people.excluded is not None
    assert found.people.excluded.source.path == str(tmp_path / "data" / "opt_outs")
    assert People.from_body(found.people.body) == found.people
    assert kind_of_file(found.path) == "population"


def test_another_source_replaces_the_first_one(tmp_path: Path) -> None:
    path = written(tmp_path, sources=[{"source": {"format": "csv", "path": "a.csv"}}]).path
    moved = load_population(path, source_override="/data/b.csv")
    assert [table.path for table in moved.people.owned] == ["/data/b.csv"]
    assert moved.digest != load_population(path).digest


def test_what_a_link_points_to_is_owned_and_not_the_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").symlink_to(tmp_path / "elsewhere")
    found = written(tmp_path)
    assert found.people.sources[0].source.path == str(tmp_path / "elsewhere" / "visits")


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"key": None}, "key"),
        ({"sources": []}, "sources"),
        ({"scope": "Clinic"}, "scope"),
        ({"scope": "x" * 65}, "scope"),
        ({"unit": "row"}, "key"),
        ({"unit": "row", "key": None, "id": {"not": ["0"]}}, "id"),
        ({"unit": "row", "key": None, "sources": [{"source": {"path": "x"}, "path": [STAYS]}]}, "sources[0]"),
        ({"unit": "row", "key": None, "excluded": OPT_OUTS}, "excluded"),
        ({"id": {"pattern": ".*"}}, "id.pattern"),
        ({"id": {"not": []}}, "id.pattern"),
        ({"id": {"not": ["0", "0"]}}, "id.not"),
        ({"budget": {"epsilon": 0, "delta": 0}}, "budget.epsilon"),
        ({"budget": {"epsilon": 1, "delta": 1}}, "budget.delta"),
        ({"sources": [{"source": {"path": "x", "table": "y"}}]}, "sources[0].source.path"),
        ({"sources": [{"source": {"format": "csv", "table": "y"}}]}, "sources[0].source.format"),
        ({"sources": [{"source": {"path": "x", "table_id": "7"}}]}, "sources[0].source.table_id"),
        ({"sources": [{"source": {"path": "x"}, "path": [{"source": {"path": "y"}, "on": {}}]}]},
         "sources[0].path[0].on"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_its_place(tmp_path: Path, changes: dict[str, Any], where: str) -> None:
    assert faults(tmp_path, **changes) == [where]


REQUEST = {
    "source": DELTA,
    "patient": {"key": "pid", "path": [STAYS], "id": {"pattern": "[0-9]{1,9}", "not": ["0", "-1"]}},
    "population": {"excluded": OPT_OUTS},
}


def compared(site: TestSite, **changes: Any) -> list[str]:
    """Differences of a changed request from the population of the unchanged one."""
    people = load_population(population(load_request(site.request(**REQUEST)))).people
    return differences(SCOPE, people, load_request(site.request("other", **merged(REQUEST, changes))))


def test_a_request_about_the_same_people_has_no_differences(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    assert compared(site) == []
    assert compared(site, source={"path": f"file:{tmp_path}/data/../data/visits"}) == []
    assert compared(site, patient={"id": {"not": ["-1", "0"]}}) == []


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"source": {"path": "data/others"}}, "source: "),
        ({"source": {"format": "parquet"}}, "source: "),
        ({"patient": {"key": "age_id"}}, "patient.key: "),
        ({"patient": {"path": []}}, "patient.path: "),
        ({"patient": {"path": [{**STAYS, "on": {"hadm_id": "stay_id"}}]}}, "patient.path: "),
        ({"patient": {"path": [{**STAYS, "source": {"path": "data/my_mapping"}}]}}, "patient.path: "),
        ({"patient": {"path": [STAYS, STAYS]}}, "patient.path: "),
        ({"patient": {"id": None}}, "patient.id: "),
        ({"patient": {"id": {"pattern": "[0-9]{1,8}"}}}, "patient.id: "),
        ({"patient": {"id": {"not": ["0"]}}}, "patient.id: "),
        ({"population": {"declared_rows": 101}}, "population.declared_rows: "),
        ({"population": {"excluded": None}}, "population.excluded: "),
        ({"population": {"excluded": {**OPT_OUTS, "key": "other"}}}, "population.excluded: "),
        ({"population": {"excluded": {**OPT_OUTS, "source": {"path": "data/empty"}}}}, "population.excluded: "),
    ],
)  # fmt: skip
def test_every_difference_is_named(tmp_path: Path, changes: dict[str, Any], where: str) -> None:
    [reason] = compared(TestSite(tmp_path), **changes)
    assert reason.startswith(where)
    assert f"scope '{SCOPE}'" in reason


@pytest.mark.parametrize(
    "options",
    [{"delimiter": ";"}, {"quote": ""}, {"encoding": "ISO-8859-1"}, {"header": False, "names": ["pid", "age"]}],
)
def test_a_request_cannot_read_the_files_in_another_way(tmp_path: Path, options: dict[str, Any]) -> None:
    """With names of its own for the columns, a request could call any of them the key."""
    files = {"_whole": True, "format": "csv", "path": "data/x.csv", "csv": {"records": "one_per_line"}}
    site, unbound = TestSite(tmp_path), {"patient": {"key": "pid"}}
    people = load_population(population(load_request(site.request(**{**unbound, "source": files})))).people
    assert differences(SCOPE, people, load_request(site.request("same", **{**unbound, "source": files}))) == []
    other = {**files, "csv": {"records": "one_per_line", **options}}
    [reason] = differences(SCOPE, people, load_request(site.request("other", **{**unbound, "source": other})))
    assert reason.startswith("source.csv: ")


def test_a_population_opened_before_the_promise_was_a_default_is_the_same(tmp_path: Path) -> None:
    files = {"_whole": True, "format": "csv", "path": "data/x.csv", "csv": {"delimiter": ";"}}
    site = TestSite(tmp_path)
    request = load_request(site.request(source=files, patient={"key": "pid"}))
    text = canonical_json(load_population(population(request)).people.body)
    earlier = text.replace('"records":"one_per_line"', '"records":null')
    assert earlier != text
    assert differences(SCOPE, People.from_body(json.loads(earlier)), request) == []


def test_a_table_of_the_catalog_is_no_folder(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    people = load_population(population(load_request(site.request()))).people
    other = load_request(site.request("other", source={"_whole": True, "table": "data.visits"}))
    [reason] = differences(SCOPE, people, other)
    assert reason.startswith("source: data.visits (delta) is no source of scope")


def test_all_differences_at_once(tmp_path: Path) -> None:
    reasons = compared(TestSite(tmp_path), patient={"key": "x", "id": None, "path": []})
    assert [reason.split(":")[0] for reason in reasons] == ["patient.key", "patient.path", "patient.id"]


def state_of(people: People | None, **terms: Any) -> ScopeState:
    ledger = Ledger(None, Zone("/nowhere/ledger"), store=MemoryLinks())
    caps: dict[str, Any] = {"max_epsilon": Decimal(60), "max_delta": Decimal(0)}
    given = {**caps, "declared_patients": 50, "unit": "patient", **terms}
    return ledger.open_scope(SCOPE, by="sam", policy_digest="p", site_digest="s", people=people, **given)


def test_a_plan_about_other_people_is_refused(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    people = load_population(population(load_request(site.request()))).people
    plan_of(site, site.request()).require_budget(state_of(people), None)
    with pytest.raises(PolicyRefused, match=r"source: .*data/others"):
        plan_of(site, site.request(source={"path": "data/others"})).require_budget(state_of(people), None)
    with pytest.raises(PolicyRefused, match=r"patient.key: .* by pid, the request by encounter_id"):
        plan_of(site, site.request(patient={"key": "encounter_id"})).require_budget(state_of(people), None)


def test_a_scope_of_another_unit_or_size_is_refused(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    plan = plan_of(site, site.request())
    with pytest.raises(PolicyRefused, match="protects unit row, the request patient"):
        plan.require_people(state_of(None, unit="row"))
    with pytest.raises(PolicyRefused, match="opened for 49 declared patients"):
        plan.require_people(state_of(None, declared_patients=49))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_scope_that_is_bound_to_no_source_is_for_policy_to_decide(tmp_path: Path, allowed: bool) -> None:
    site = TestSite(tmp_path, policy={"allow_unbound_scopes": allowed})
    reasons = plan_of(site, site.request()).other_people(state_of(None))
    assert bool(reasons) is not allowed
    assert all("allow_unbound_scopes" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"path": []}, "patient, by pid"),
        ({}, "patient, by stays.pid via hadm_id"),
        ({"path": [{"source": {**CSV, "path": "mimic3/admissions.csv.gz"}, "on": {"hadm_id": "id"}}]},
         "patient, by admissions.pid via hadm_id = id"),
        ({"path": [STAYS, {"source": {"table": "main.ehr.people"}, "on": {"a": "a", "b": "c"}}]},
         "patient, by people.pid via hadm_id, a, b = c"),
    ],
)  # fmt: skip
def test_claims_name_key_and_path(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    request = load_request(TestSite(tmp_path).request(**merged(REQUEST, {"patient": changes}))).request
    assert unit_words(request) == words


def test_claims_of_rows_and_of_ids(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    rows = {"_whole": True, "unit": "row", "max_rows_per_patient": 1}
    request = load_request(site.request(patient=rows)).request
    assert (unit_words(request), id_words(request)) == ("row, NOT patient", "")
    request = load_request(site.request("ids", **REQUEST)).request
    assert id_words(request).endswith("does not fit: pattern [0-9]{1,9}, not '-1', '0'.")


def test_a_request_of_unit_row_has_neither_ids_nor_opt_outs(tmp_path: Path) -> None:
    patient = {"_whole": True, "unit": "row", "max_rows_per_patient": 1, "id": {"not": ["0"]}}
    with pytest.raises(ConfigError) as caught:
        load_request(TestSite(tmp_path).request(patient=patient))
    assert [problem.path for problem in caught.value.problems] == ["patient.id"]
    patient.pop("id")
    with pytest.raises(ConfigError) as caught:
        load_request(TestSite(tmp_path).request(patient=patient, population={"excluded": OPT_OUTS}))
    assert [problem.path for problem in caught.value.problems] == ["population.excluded"]


def test_the_list_of_opt_outs_is_part_of_what_is_approved(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    plain = load_request(site.request()).digest
    digests = {plain, load_request(site.request(population={"excluded": OPT_OUTS})).digest}
    other = {**OPT_OUTS, "source": {"format": "delta", "path": "data/others"}}
    digests.add(load_request(site.request(population={"excluded": other})).digest)
    assert len(digests) == 3
