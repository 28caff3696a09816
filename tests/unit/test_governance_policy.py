"""The policy file and the assessment of requests against it."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.config.loader import bind
from synthward.errors import ConfigError
from synthward.governance.assess import Assessment, assess, sensitive_columns
from synthward.governance.policy import Policy, RaiseTierWhen, Tier, load_policy
from synthward.spec.request import (
    AUDIENCES,
    CsvOptions,
    Output,
    Patient,
    Population,
    Privacy,
    Purpose,
    Request,
    Requester,
    Source,
    Utility,
)

POLICY_FILE = Path(__file__).parents[2] / "conf" / "policy.yaml"
SHIPPED = load_policy(POLICY_FILE)
# Risk statements have tests of their own (test_risk.py).
POLICY = dataclasses.replace(SHIPPED, risk=None)
TODAY = dt.date(2026, 12, 1)


def request(**changes: object) -> Request:
    made = Request(
        version=1,
        title="Readmission prototype",
        requester=Requester(name="ada", role="data_engineer"),
        purpose=Purpose(code="prototyping", text="Try it", ticket="EHR-1"),
        audience="team",
        expires=dt.date(2027, 6, 30),
        source=Source(format="csv", path="x.csv", csv=CsvOptions(records="one_per_line")),
        patient=Patient(key="patient_nbr", max_rows_per_patient=4),
        population=Population(scope="diabetes130", declared_patients=70_000, declared_rows=100_000),
        domain="d.yaml",
        columns=("race", "gender"),
        privacy=Privacy(mechanism="laplace", epsilon=Decimal("1.0")),
        output=Output(name="out", rows=1000),
        utility=Utility(max_out_of_domain_share=Decimal("0.2")),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def declared(patients: int) -> Population:
    return Population(scope="s", declared_patients=patients, declared_rows=2**36)


def edited(*changes: tuple[str, str]) -> str:
    text = POLICY_FILE.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


@pytest.mark.parametrize("patients", [50_000, 70_000])
def test_the_example_policy_lets_the_demonstration_pass(patients: int) -> None:
    for privacy in (
        Privacy(mechanism="laplace", epsilon=Decimal("1.0")),
        Privacy(mechanism="gaussian", epsilon=Decimal("1.0"), delta=Decimal("1e-9")),
    ):
        found = assess(request(population=declared(patients), privacy=privacy), POLICY, today=TODAY)
        assert found.refusals == ()
        assert found.tier == "T2"
        assert found.approvals_needed == ("data_steward", "privacy_officer")
        assert (found.max_epsilon, found.max_epsilon_per_scope) == (Decimal(4), Decimal(20))
        assert found.reasons == ("audience team starts in T2",)


@pytest.mark.parametrize(
    ("audience", "tier"), [("enclave", "T1"), ("organisation", "T2"), ("partner", "T3"), ("public", "T4")]
)
def test_the_audience_decides_the_tier(audience: str, tier: str) -> None:
    assert assess(request(audience=audience), POLICY, today=TODAY).tier == tier


def test_conditions_raise_the_tier_by_one_each_up_to_the_highest() -> None:
    columns = ("race", "HIV_status")
    small = declared(1500)
    row = Patient(unit="row", max_rows_per_patient=1)
    cases = [
        (request(columns=columns), "T3", ("sensitive_columns",)),
        (request(population=small), "T3", ("declared_patients_below",)),
        (request(columns=columns, population=small), "T4", ("sensitive_columns", "declared_patients_below")),
        (request(patient=row), "T3", ("unit_other",)),
        (
            request(columns=columns, population=small, patient=row, audience="public"),
            "T4",
            ("sensitive_columns", "declared_patients_below", "unit_other"),
        ),
    ]
    for made, tier, raised_by in cases:
        found = assess(made, POLICY, today=TODAY)
        assert (found.tier, found.raised_by) == (tier, raised_by)
        assert len(found.reasons) == 1 + len(raised_by)


def test_sensitive_columns_are_recognised_by_name() -> None:
    made = request(columns=("race", "age", "psych_history", "x.genome_id"))
    assert sensitive_columns(made, POLICY) == ("psych_history", "x.genome_id")


def refusals(made: Request, policy: Policy = POLICY) -> tuple[str, ...]:
    return assess(made, policy, today=TODAY).refusals


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"purpose": Purpose(code="fun", text="x", ticket="y")}, ["purpose.code: found fun", "prototyping"]),
        ({"requester": Requester(name="ada", role="boss")}, ["requester.role: found boss", "data_steward"]),
        ({"expires": dt.date(2026, 11, 30)}, ["expires: found 2026-11-30", "2026-12-01 or later"]),
        ({"expires": dt.date(2028, 1, 6)}, ["expires: found 2028-01-06", "2028-01-05 or earlier (400 days)"]),
        (
            {"privacy": Privacy(mechanism="laplace", epsilon=Decimal("4.000000001"))},
            ["privacy.epsilon: found 4.000000001", "allowed in T2 is 4"],
        ),
        (
            {"privacy": Privacy(mechanism="gaussian", epsilon=Decimal(1), delta=Decimal("1.1e-6"))},
            ["privacy.delta: found 0.0000011", "70000 declared patients is 0.000001 or less"],
        ),
        ({"population": declared(999), "audience": "enclave"}, ["found 999, T2 needs 1000"]),
        ({"patient": Patient(unit="row", max_rows_per_patient=1)}, ["patient.unit: found row, allowed is patient"]),
    ],
)
def test_each_violation_is_refused_with_found_allowed_and_fix(changes: dict[str, object], words: list[str]) -> None:
    [refusal] = refusals(request(**changes))
    for word in words:
        assert word in refusal


def test_all_refusals_at_once() -> None:
    made = request(
        purpose=Purpose(code="fun", text="x", ticket="y"),
        requester=Requester(name="ada", role="boss"),
        expires=dt.date(2020, 1, 1),
        privacy=Privacy(mechanism="gaussian", epsilon=Decimal(50), delta=Decimal("0.1")),
        population=declared(10),
        patient=Patient(unit="row", max_rows_per_patient=1),
    )
    assert len(refusals(made)) == 7


def test_limits_are_inclusive() -> None:
    privacy = Privacy(mechanism="gaussian", epsilon=Decimal(4), delta=Decimal("1e-6"))
    for expires in (TODAY, TODAY + dt.timedelta(days=400)):
        assert refusals(request(expires=expires, privacy=privacy, population=declared(100_000))) == ()


def test_the_smallest_population_is_inclusive() -> None:
    unraised = dataclasses.replace(POLICY, raise_tier_when=RaiseTierWhen())
    assert refusals(request(population=declared(1000)), unraised) == ()
    assert len(refusals(request(population=declared(999)), unraised)) == 1
    assert assess(request(population=declared(2000)), POLICY, today=TODAY).tier == "T2"
    assert assess(request(population=declared(1999)), POLICY, today=TODAY).tier == "T3"


def test_delta_is_capped_relative_to_the_population() -> None:
    tier = POLICY.tiers["T2"]
    assert tier.delta_cap(1000) == Decimal("1e-6")
    assert tier.delta_cap(3_000_000) == Decimal("3.3333333333e-8")
    assert dataclasses.replace(tier, max_delta_times_patients=None).delta_cap(2**34) == Decimal("1e-6")
    assert dataclasses.replace(tier, max_delta_times_patients=Decimal("1e99")).delta_cap(1) == Decimal("1e-6")


def test_other_units_are_for_policies_that_allow_them() -> None:
    benchmarks = dataclasses.replace(POLICY, allow_other_unit=True)
    made = request(patient=Patient(unit="row", max_rows_per_patient=1))
    assert refusals(made, benchmarks) == ()
    assert any("NOT the patient" in reason for reason in assess(made, benchmarks, today=TODAY).reasons)


def test_the_digest_is_of_the_decision_and_not_of_the_day() -> None:
    first = assess(request(), POLICY, today=TODAY)
    late = assess(request(), POLICY, today=dt.date(2030, 1, 1))
    assert late.refusals
    assert first.digest == late.digest
    assert assess(request(audience="partner"), POLICY, today=TODAY).digest != first.digest
    stricter = bind(edited(("max_epsilon_per_release: 4", "max_epsilon_per_release: 3")), Policy)
    assert assess(request(), stricter, today=TODAY).digest != first.digest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tier", "T9"),
        ("raised_by", ("unit_other",)),
        ("controls", ("other",)),
        ("approvals_needed", ("other",)),
        ("max_epsilon", Decimal(9)),
        ("max_delta", Decimal(9)),
        ("max_epsilon_per_scope", Decimal(9)),
        ("max_delta_per_scope", Decimal(9)),
        ("min_declared_patients", 9),
    ],
)
def test_every_part_of_the_decision_is_in_the_digest(field: str, value: object) -> None:
    found = assess(request(), POLICY, today=TODAY)
    assert dataclasses.replace(found, **{field: value}).digest != found.digest  # type: ignore[arg-type]


audiences = st.sampled_from(AUDIENCES)
columns = st.lists(st.sampled_from(["race", "age", "hiv", "MENTAL", "gender", "weight"]), min_size=1, unique=True)
patients = st.integers(1, 10_000)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Policies that the loader accepts, with random tiers for the audiences and random conditions."""
    count = draw(st.integers(1, 5))
    starts = sorted(draw(st.lists(st.integers(0, count - 1), min_size=5, max_size=5)))
    tiers = {
        f"T{index}": Tier(
            title="x",
            audiences=tuple(a for a, start in zip(AUDIENCES, starts, strict=True) if start == index),
            max_epsilon_per_release=Decimal(10 - index),
            max_delta=Decimal(0),
            max_epsilon_per_scope=Decimal(20),
            max_delta_per_scope=Decimal(0),
            min_declared_patients=100 * index,
            approvals=("steward", "officer")[:index],
        )
        for index in range(count)
    }
    policy = Policy(
        version=1,
        name="x",
        purposes=("prototyping",),
        roles=("data_engineer", "steward", "officer"),
        max_request_days=500,
        tiers=tiers,
        raise_tier_when=RaiseTierWhen(
            sensitive_columns=draw(st.sampled_from([(), ("*hiv*",), ("*",)])),
            declared_patients_below=draw(st.none() | patients),
            unit_other=draw(st.booleans()),
        ),
    )
    assert list(policy.problems()) == []
    return policy


def rank(found: Assessment) -> int:
    return int(found.tier[1:])


@given(
    policy=policies(),
    pair=st.tuples(audiences, audiences).map(lambda two: sorted(two, key=AUDIENCES.index)),
    names=columns,
    more=columns,
    populations=st.tuples(patients, patients).map(sorted),
    other_unit=st.booleans(),
)
def test_more_risk_never_lowers_the_tier(
    policy: Policy,
    pair: list[str],
    names: list[str],
    more: list[str],
    populations: list[int],
    other_unit: bool,
) -> None:
    few, many = populations
    low = request(audience=pair[0], columns=tuple(names), population=declared(many))
    row = Patient(unit="row", max_rows_per_patient=1)
    high = request(
        audience=pair[1],
        columns=tuple(dict.fromkeys((*names, *more))),
        population=declared(few),
        patient=row if other_unit else low.patient,
    )
    below = assess(low, policy, today=TODAY)
    above = assess(high, policy, today=TODAY)
    assert rank(above) >= rank(below)
    assert above.max_epsilon <= below.max_epsilon
    assert set(above.approvals_needed) >= set(below.approvals_needed)
    assert assess(low, policy, today=TODAY) == below


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ([("max_request_days: 400\n", "")], "max_request_days", "missing"),
        ([("approvals: [data_steward]", "approvals: [data_stewart]")], "tiers.T1.approvals[0]", "not one of the roles"),
        ([("audiences: [enclave]", "audiences: []")], "tiers", "audience enclave is listed 0 times"),
        ([("audiences: [enclave]", "audiences: [enclave, team]")], "tiers", "audience team is listed 2 times"),
        (
            [("audiences: [enclave]", "audiences: [public]"), ("audiences: [public]\n    max_epsilon_per_release: 1",
              "audiences: [enclave]\n    max_epsilon_per_release: 1")],
            "tiers",
            "a narrower audience in T4",
        ),
        ([("  T2:\n", "  TX:\n")], "tiers", "name them T0, T1"),
        ([("max_epsilon_per_release: 2\n", "max_epsilon_per_release: 5\n")],
         "tiers.T3.max_epsilon_per_release", "found 5, above T2's 4"),
        ([("max_delta_times_patients: 0.01", "max_delta_times_patients: 0.5")],
         "tiers.T3.max_delta_times_patients", "more than T2's"),
        ([("    max_delta_times_patients: 0.0001\n", "")], "tiers.T4.max_delta_times_patients", "more than T3's"),
        ([("min_declared_patients: 5000", "min_declared_patients: 900")],
         "tiers.T3.min_declared_patients", "found 900, below T2's"),
        ([("max_epsilon_per_scope: 5\n", "max_epsilon_per_scope: 0.5\n")],
         "tiers.T4.max_epsilon_per_scope", "below max_epsilon_per_release"),
        ([("max_delta_per_scope: 1e-8", "max_delta_per_scope: 1e-10")],
         "tiers.T4.max_delta_per_scope", "below max_delta"),
        ([("approvals: [data_steward, privacy_officer]", "approvals: [privacy_officer, privacy_officer]")],
         "tiers.T2.approvals", "twice"),
        ([("approvals: [data_steward, privacy_officer]", "approvals: [privacy_officer]")],
         "tiers.T2.approvals", "lacks what T1 demands: data_steward"),
        ([("purposes: [prototyping, ", "purposes: [prototyping, prototyping, ")], "purposes", "twice"),
        ([("roles: [data_engineer, ", "roles: [Data Engineer, ")], "roles[0]", "matches"),
    ],
)  # fmt: skip
def test_bad_policies(changes: list[tuple[str, str]], path: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind(edited(*changes), Policy, POLICY_FILE)
    found = [problem for problem in caught.value.problems if problem.path == path]
    assert any(words in problem.message for problem in found), caught.value
    assert all(problem.line > 1 or problem.path == "max_request_days" for problem in found)


def test_numbers_of_the_policy_are_part_of_its_digest() -> None:
    assert bind(edited(("max_delta: 1e-9", "max_delta: 0.1e-8")), Policy).digest == SHIPPED.digest
    assert bind(edited(("max_delta: 1e-9", "max_delta: 2e-9")), Policy).digest != SHIPPED.digest
