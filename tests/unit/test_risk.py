"""Risk statements: what they count for, that more risk never gives a lower tier, and what refuses a request."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.cli.main import main
from synthward.config.loader import bind
from synthward.errors import ConfigError
from synthward.governance.assess import Assessment, assess
from synthward.governance.policy import Policy, load_policy
from synthward.ledger.scopes import MANY_RUNS, TierCap, runs_left
from synthward.privacy.accounting import ZERO, Charge, fits
from synthward.run.check import check_file
from synthward.spec.request import AUDIENCES, Request
from synthward.spec.request_file import load_request
from synthward.spec.risk import Risk
from trial import REQUEST, TestSite, merged, write_yaml

TODAY = dt.date(2026, 1, 20)
CONF = Path(__file__).resolve().parents[2] / "conf"
POLICY = load_policy(CONF / "policy.yaml")
SCALE = POLICY.risk
assert SCALE is not None

RISK: dict[str, Any] = {
    "version": 1,
    "context": "a project folder",
    "recipients": [{"group": "the team", "motive": "none", "capacity": "low", "auxiliary": "none"}],
    "columns": {"sex": ["quasi_identifier"], "age": []},
    "attacks": ["singling_out", "linkage", "membership", "attribute_inference"],
    "residual": "little",
}


def risk(**changes: Any) -> Risk:
    return bind(json.dumps(merged(RISK, changes)), Risk)


def request(**changes: Any) -> Request:
    people = {"declared_patients": 50_000, "declared_rows": 10**6}
    return bind(
        json.dumps(
            merged({**REQUEST, "audience": "team", "population": {"scope": "s", **people}}, changes), default=str
        ),
        Request,
    )


def assessed(statement: Risk | None, policy: Policy = POLICY, **changes: Any) -> Assessment:
    return assess(request(**changes), policy, today=TODAY, risk=statement)


def about_risk(found: Assessment) -> list[str]:
    return [refusal.message for refusal in found.refusals if refusal.key == "risk"]


def test_points_raise_the_tier_and_say_why() -> None:
    assert (assessed(None).tier, assessed(risk()).tier) == ("T2", "T2")
    worse = risk(
        columns={"sex": ["hiv"]},
        recipients=[{"group": "x", "motive": "curiosity", "capacity": "moderate", "auxiliary": "none"}],
    )
    found = assessed(worse)
    assert (found.tier, found.raised_by) == ("T3", ("risk",))
    assert "raised by one tier: 6 points of risk (recipients 2, columns 4, population 0) reach 6" in found.reasons
    assert assessed(worse, population={"declared_patients": 4999}).reasons[1].startswith("raised by one tier: 7 points")
    # One recipient less to fear beside it changes nothing.
    both = dataclasses.replace(worse, recipients=(*worse.recipients, *risk().recipients))
    assert assessed(both).reasons == found.reasons
    assert found.digest != assessed(risk()).digest


WORDS = {"motive": list(SCALE.motives), "capacity": list(SCALE.capacities), "auxiliary": list(SCALE.auxiliary)}
recipient = st.fixed_dictionaries(
    {"group": st.just("x"), **{name: st.sampled_from(words) for name, words in WORDS.items()}}
)
tags = st.lists(st.sampled_from(list(SCALE.tags)), max_size=3)
overrides = st.none() | st.sampled_from([f"T{tier}" for tier in range(5)]).map(
    lambda tier: {"tier": tier, "reason": "x"}
)


@given(
    people=st.lists(recipient, min_size=1, max_size=3),
    more=st.lists(recipient, max_size=2),
    stronger=st.sampled_from(list(WORDS)),
    columns=st.tuples(tags, tags),
    added=tags,
    audience=st.tuples(st.sampled_from(AUDIENCES), st.sampled_from(AUDIENCES)).map(
        lambda two: sorted(two, key=AUDIENCES.index)
    ),
    patients=st.tuples(st.integers(1, 10**5), st.integers(1, 10**5)).map(sorted),
    override=overrides,
)
def test_more_risk_never_lowers_the_tier(
    people: list[dict[str, str]],
    more: list[dict[str, str]],
    stronger: str,
    columns: tuple[list[str], list[str]],
    added: list[str],
    audience: list[str],
    patients: list[int],
    override: dict[str, str] | None,
) -> None:
    """A wider audience, a recipient more, a stronger word, a tag more, fewer patients; with an override or without."""
    low = risk(recipients=people, columns={"sex": columns[0], "age": columns[1]}, override=override)
    worst = [{**one, stronger: WORDS[stronger][-1]} for one in people]
    high = risk(
        recipients=[*worst, *more], columns={"sex": [*columns[0], *added], "age": columns[1]}, override=override
    )
    few, many = ({"declared_patients": number, "declared_rows": 10**6} for number in patients)
    below = assessed(low, audience=audience[0], population=many)
    above = assessed(high, audience=audience[1], population=few)
    assert above.tier >= below.tier
    assert above.max_epsilon <= below.max_epsilon
    assert set(above.approvals_needed) >= set(below.approvals_needed)
    assert set(above.controls) >= set(below.controls)
    without = assessed(dataclasses.replace(low, override=None), audience=audience[0], population=many)
    assert int(without.tier[1:]) - int(below.tier[1:]) in (0, 1)
    assert below.tier >= POLICY.base_tier(audience[0])  # type: ignore[arg-type]


def test_an_override_needs_a_reason_and_the_role_that_policy_names() -> None:
    hiv = {
        "columns": {"sex": ["hiv"]},
        "recipients": [{"group": "x", "motive": "hostile", "capacity": "low", "auxiliary": "none"}],
    }
    wish = {"tier": "T1", "reason": "it stays inside"}
    raised, lowered = (
        assessed(risk(**hiv), audience="enclave"),
        assessed(risk(**hiv, override=wish), audience="enclave"),
    )
    assert (raised.tier, lowered.tier) == ("T2", "T1")
    assert set(lowered.approvals_needed) == {"data_steward", "privacy_officer"}
    assert "lowered to T1 by an override, which privacy_officer has to approve" in lowered.reasons
    assert about_risk(lowered) == []
    with pytest.raises(ConfigError, match="reason"):
        risk(override={"tier": "T1"})
    [text] = about_risk(assessed(risk(override=wish)))
    assert "nothing raised the tier" in text
    nobody = dataclasses.replace(POLICY, risk=dataclasses.replace(SCALE, override_role=None))
    found = assessed(risk(**hiv, override=wish), nobody, audience="enclave")
    assert found.tier == "T2"
    assert "policy lets nobody lower a tier" in about_risk(found)[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"columns": {"sex": ["secret"]}}, "a tag of column sex: found secret, allowed are direct_identifier"),
        ({"recipients": [{**RISK["recipients"][0], "motive": "love"}]}, "motive: found love"),
        ({"attacks": ["membership"]}, "left out: singling_out, linkage, attribute_inference"),
        ({"override": {"tier": "T9", "reason": "x"}}, "the override's tier is none of"),
    ],
)  # fmt: skip
def test_words_that_policy_does_not_know_refuse(changes: dict[str, Any], words: str) -> None:
    assert words in "\n".join(about_risk(assessed(risk(**changes))))


def test_policy_says_from_which_tier_on_a_statement_is_needed() -> None:
    assert about_risk(assessed(None)) == []
    assert about_risk(assessed(None, audience="partner")) == [
        "tier T3 needs a risk statement; write one and name it: risk: FILE"
    ]
    assert about_risk(assessed(risk(), audience="partner")) == []
    without = dataclasses.replace(POLICY, risk=None)
    assert "has no scale" in about_risk(assessed(risk(), without))[0]
    assert about_risk(assessed(None, without, audience="partner")) == []


def test_a_statement_is_part_of_what_is_approved(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    plain = load_request(site.request())
    path = site.request(risk="risk.yaml")
    write_yaml(tmp_path / "risk.yaml", RISK)
    first = load_request(path)
    write_yaml(tmp_path / "risk.yaml", {**RISK, "residual": "none at all"})
    assert len({plain.digest, first.digest, load_request(path).digest}) == 3
    write_yaml(tmp_path / "risk.yaml", merged(RISK, {"columns": {"age": None}}))
    with pytest.raises(ConfigError, match="says nothing of age"):
        load_request(path)
    [problem] = check_file(path, None, TODAY).problems
    assert "says nothing of age" in problem.message
    with pytest.raises(ConfigError, match="leads out of the folders"):
        load_request(site.request(risk="../risk.yaml"))


def test_assess_on_the_command_line_starts_no_spark(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = ["--site", str(CONF / "site.yaml")]
    assert main(["assess", str(CONF / "requests" / "demo_refused.yaml"), *site]) == 3
    out, err = capsys.readouterr()
    assert out.startswith(
        "tier T4 The public\n  because audience public starts in T4\n  because raised by one tier: 10 points"
    )
    assert "REFUSED privacy.epsilon: found 50" in err
    assert main(["assess", str(CONF / "requests" / "demo_encounters.yaml"), *site]) == 0
    out, _ = capsys.readouterr()
    assert "approvals: data_steward, privacy_officer" in out
    assert "utility_gate (by " in out
    assert main(["check", str(CONF / "requests" / "risks" / "demo_refused.yaml")]) == 0


@dataclasses.dataclass
class Terms:
    max_epsilon: Decimal
    max_delta: Decimal


@dataclasses.dataclass
class Account:
    terms: Terms
    spent: Charge = ZERO


@given(st.integers(1, 400), st.integers(1, 400), st.booleans())
def test_the_runs_left_are_those_that_fit(cap: int, tier: int, pure: bool) -> None:
    cost = Charge.pure(1) if pure else Charge.concentrated(Decimal("0.05"))
    state, delta = Account(Terms(Decimal(cap), Decimal("1e-6"))), Decimal("1e-6")
    left = runs_left(state, cost, TierCap("T1", Decimal(tier), delta))  # type: ignore[arg-type]
    spent = ZERO
    for _ in range(left):
        spent += cost
    assert left == 0 or fits(spent, Decimal(min(cap, tier)), delta)
    assert left == MANY_RUNS or not fits(spent + cost, Decimal(min(cap, tier)), delta)
