"""The shipped requests and domains load, and the example policy decides about them as their comments say."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest

from synthward.demo import _worker
from synthward.domain.spec import Categorical, Domain, load_domain
from synthward.governance.assess import Assessment
from synthward.governance.policy import load_policy
from synthward.run.plan import assessed as assessed_by
from synthward.spec.population import differences, load_population
from synthward.spec.request_file import RequestFile, load_request
from synthward.spec.site import load_site

CONF = Path(__file__).resolve().parents[2] / "conf"
REQUESTS = sorted(path.stem for path in (CONF / "requests").glob("*.yaml"))
DOMAINS = sorted(path.stem for path in (CONF / "domains").glob("*.yaml"))
REFUSED = {"demo_refused", "diabetes130_fidelity"}
TODAY = dt.date(2026, 12, 1)


def request(name: str) -> RequestFile:
    return load_request(CONF / "requests" / f"{name}.yaml")


def domain(name: str) -> Domain:
    return load_domain(CONF / "domains" / f"{name}.yaml")


def assessed(name: str) -> Assessment:
    file = request(name)
    return assessed_by(file.request, load_policy(CONF / "policy.yaml"), TODAY, file.risk)


def values(name: str, column: str) -> tuple[str, ...]:
    attribute = domain(name).attributes[column]
    assert isinstance(attribute, Categorical)
    return attribute.values


def test_there_are_examples() -> None:
    wanted = {"demo_encounters", "demo_refused", "diabetes130", "diabetes130_gaussian", "synthea_encounters"}
    assert wanted <= set(REQUESTS)
    assert {"demo_encounters", "diabetes130", "synthea_encounters"} <= set(DOMAINS)


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_loads_with_its_domain(name: str) -> None:
    file = request(name)
    assert set(file.request.columns) <= set(file.domain.attributes)
    assert file.request.source.path is not None


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_loads_and_is_used(name: str) -> None:
    assert domain(name).digest in {request(other).domain.digest for other in REQUESTS}


@pytest.mark.parametrize("name", [name for name in REQUESTS if name not in REFUSED])
def test_policy_allows_the_examples(name: str) -> None:
    found = assessed(name)
    assert found.refusals == ()
    assert found.tier == "T2"
    assert found.raised_by == (("declared_patients_below",) if name == "synthea_encounters" else ())


def test_policy_refuses_epsilon_50_for_the_public() -> None:
    first, *others = assessed("demo_refused").refusals
    assert first.startswith("privacy.epsilon: found 50, allowed in T4 is 1 or less")
    # What only people can attest cannot be shown yet, and a utility gate needs a limit.
    assert [other.split("'")[1] for other in others] == [
        *("utility_gate", "plausibility_review", "data_use_agreement", "expert_determination"),
        *("independent_rerun", "public_registry_entry"),
    ]


def test_policy_refuses_rows_as_the_privacy_unit() -> None:
    assert "allow_other_unit" in assessed("diabetes130_fidelity").refusals[0]


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_about_the_people_of_its_population(name: str) -> None:
    file = request(name)
    population = load_population(CONF / "populations" / f"{file.request.population.scope}.yaml")
    assert differences(population.population.scope, population.people, file) == []
    assert population.population.declared_patients == file.request.population.declared_patients
    assert population.population.unit == file.request.patient.unit


def test_every_population_is_used_and_owns_tables_of_its_own() -> None:
    found = [load_population(path).population for path in sorted((CONF / "populations").glob("*.yaml"))]
    assert {population.scope for population in found} == {request(name).request.population.scope for name in REQUESTS}
    owned = [table.address for population in found for table in population.owned]
    assert len(set(owned)) == len(owned)


def test_releases_have_names_of_their_own() -> None:
    names = [request(name).request.output.name for name in REQUESTS]
    assert len(set(names)) == len(names)


def test_a_scope_is_declared_once() -> None:
    populations = {request(name).request.population for name in REQUESTS}
    assert len({population.scope for population in populations}) == len(populations)


def test_the_demo_is_read_where_the_site_keeps_its_zones() -> None:
    file = request("demo_encounters")
    demo = Path(file.resolved(file.request.source).location)
    assert demo == CONF.parent / ".synthward" / "demo" / "encounters"
    assert demo.parents[1] == Path(load_site(CONF / "site.yaml").ledger).parent


def test_the_domain_declares_what_the_simulator_means_to_write() -> None:
    assert set(values("demo_encounters", "diagnosis")) > {condition.code for condition in _worker.CONDITIONS}
    assert set(values("demo_encounters", "department")) == set(_worker.DEPARTMENTS)
    assert set(values("demo_encounters", "admission_type")) == set(_worker.ADMISSIONS)
    for column, written in (
        ("sex", _worker.SEXES),
        ("insurance", _worker.INSURANCES),
        ("discharge", _worker.DISCHARGES),
    ):
        assert {*values("demo_encounters", column), "?"} == set(written)


def test_the_simulators_dirt_is_not_declared() -> None:
    assert not set(values("demo_encounters", "diagnosis")) & set(_worker.MISCODED)
    assert not set(values("demo_encounters", "department")) & set(_worker.MISSPELT)


def test_texts_that_yaml_takes_for_something_else_stay_texts() -> None:
    assert values("diabetes130", "diabetesMed") == ("No", "Yes")
    assert values("diabetes130", "readmitted") == ("NO", "<30", ">30")
    assert values("diabetes130", "max_glu_serum") == ("None", "Norm", ">200", ">300")
    assert values("synthea_encounters", "CODE")[0] == "162673000"


def test_the_gaussian_variant_differs_in_the_noise_only() -> None:
    plain, gaussian = request("diabetes130").request, request("diabetes130_gaussian").request
    assert gaussian.columns == plain.columns
    assert (gaussian.patient, gaussian.population, gaussian.domain) == (plain.patient, plain.population, plain.domain)
    assert (gaussian.privacy.mechanism, gaussian.privacy.delta) == ("gaussian", Decimal("1e-9"))
    assert len(plain.columns) >= 25


def test_the_synthea_patient_is_behind_a_foreign_key() -> None:
    file = request("synthea_encounters")
    [step] = file.request.patient.path
    assert step.on == {"PATIENT": "ID"}
    assert file.resolved(step.source).location == str(CONF / "requests" / "synthea" / "patients.csv.gz")


@pytest.mark.parametrize("name", ["icd10_three_character", "icd9_category"])
def test_code_books_are_sorted_out(name: str) -> None:
    lines = (CONF / "domains" / "codebooks" / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    codes = [line.split(",")[0] for line in lines[1:]]
    assert lines[0].split(",")[0] == "code"
    assert len(codes) == len(set(codes)) > 300
