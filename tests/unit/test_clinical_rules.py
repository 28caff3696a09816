"""Clinical rules before a run: what a file may say, contradictions, what the model keeps by itself, and the gate."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from synthward.config.loader import bind
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.errors import ConfigError
from synthward.evaluate.gates.clinical_rules import judge
from synthward.evaluate.gates.gate import Thresholds
from synthward.evaluate.rules import is_by_construction, rule_faults
from synthward.spec.request import Utility
from trial import TestSite, plan_of

DOMAIN = """
version: 1
attributes:
  sex: {type: categorical, values: [F, M]}
  pregnant: {type: boolean}
  code: {type: categorical, values: [O00, O01, I10], other: rest}
  age: {type: numeric, integer: true, bounds: [0, 110]}
  admitted: {type: date, bounds: [2020-01-01, 2020-12-31]}
  discharged: {type: date, bounds: [2020-01-01, 2021-12-31], after: admitted, within: [0, 365]}
  seen: {type: date, bounds: [2020-01-01, 2020-12-31]}
  written: {type: date, bounds: [2020-01-01, 2020-12-31], format: dd.MM.yyyy}
"""
BOOKS = codebooks(bind(DOMAIN, Domain, None))
MEN: dict[str, Any] = {"name": "no pregnant men", "when": {"sex": ["M"]}, "never": {"code": ["O00", "O01"]}}


def rules(*given: dict[str, Any]) -> Any:
    body = {"max_out_of_domain_share": 0.1, "rules": list(given)}
    return bind(yaml.safe_dump(body), Utility, None).rules


def faults(*given: dict[str, Any], learned: tuple[str, ...] = ()) -> list[str]:
    return [f"{at}: {text}" for at, text in rule_faults(rules(*given), BOOKS, learned)]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"name": "x", "when": {"sex": ["M"]}}, "never, always or not_before; found none"),
        ({"name": "x", "never": {"sex": ["M"]}, "always": {"sex": ["F"]}}, "found never and always"),
        ({"name": "x", "never": {"sex": []}}, "name at least one value"),
        ({"name": "x", "never_between": {"age": [9, 2]}}, "the lowest value comes first"),
        ({"name": "x", "never_between": {"age": [1, 2]}, "never": {"age": ["1"]}}, "is in never too"),
        ({"name": "x", "not_before": {"seen": "seen"}}, "the same column twice"),
        ({"name": " ", "never": {"sex": ["M"]}}, "name"),
        ({"name": "x", "never": {"sex": ["M"]}, "at_most": 2}, "at_most"),
    ],
)
def test_a_rule_that_says_nothing_or_too_much_is_refused(rule: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        rules(rule)


def test_sound_rules_have_no_faults() -> None:
    assert faults(MEN, {"name": "rest", "when_between": {"age": [0, 11]}, "always": {"code": ["rest"]}}) == []
    assert faults({"name": "order", "not_before": {"seen": "admitted"}}) == []


def test_all_faults_of_all_rules_are_shown_with_their_place() -> None:
    found = faults(
        {"name": "a", "when": {"ward": ["1"]}, "never": {"sex": ["M"]}},
        {"name": "a", "when": {"sex": ["X"], "age": ["3"]}, "never": {"pregnant": ["perhaps"]}},
        {"name": "b", "never_between": {"sex": [0, 1]}},
        {"name": "c", "never_between": {"age": [200, 300]}},
        {"name": "d", "not_before": {"seen": "age"}},
        {"name": "e", "not_before": {"written": "admitted"}},
    )
    for place, text in [
        ("[0]", "column 'ward' is not requested"),
        ("[1].name", "is the name of rule 0 too"),
        ("[1].when.sex", "'X' is not a declared value of 'sex'"),
        ("[1].when.age", "column 'age' is numeric; values are for texts and booleans"),
        ("[1].never.pregnant", "'perhaps' is not a declared value"),
        ("[2].never_between.sex", "column 'sex' is categorical; ranges are for numbers"),
        ("[3].never_between.age", "beyond the bounds [0, 110]"),
        ("[4].not_before", "only dates have an order"),
        ("[5].not_before", "is a text with a format"),
    ]:
        assert [one for one in found if one.startswith(f"{place}: ") and text in one], (place, found)


def test_values_that_are_learned_cannot_be_named() -> None:
    [found] = faults(MEN, learned=("code",))
    assert "the values of 'code' are learned" in found


def test_two_rules_that_contradict_each_other_are_named() -> None:
    only = {"name": "only", "when": {"sex": ["M"]}, "always": {"code": ["O00"]}}
    [found] = faults(MEN, only)
    assert found.startswith("[0].never.code: rule 'only' allows only what this rule forbids")
    assert faults(MEN, {**only, "when": {"sex": ["F"]}}) == []
    assert faults(MEN, {**only, "always": {"code": ["O00", "I10"]}}) == []
    assert faults({**MEN, "severity": "warn"}, only) == []


def by_construction(rule: dict[str, Any], *zeros: dict[str, tuple[str, ...]]) -> bool:
    [one] = rules(rule)
    return is_by_construction(one, BOOKS, zeros)


def test_structural_zeros_keep_a_rule_if_they_cover_all_of_it() -> None:
    assert by_construction(MEN, {"sex": ("M",), "code": ("O00", "O01", "I10")})
    assert not by_construction(MEN, {"sex": ("M",), "code": ("O00",)})
    assert not by_construction(MEN, {"sex": ("M",), "code": ("O00", "O01"), "pregnant": ("true",)})
    assert not by_construction(MEN)
    always = {"name": "x", "when": {"sex": ["M"]}, "always": {"code": ["I10"]}}
    assert by_construction(always, {"sex": ("M",), "code": ("O00", "O01", "rest")})
    assert not by_construction(always, {"sex": ("M",), "code": ("O00", "O01")})
    assert not by_construction({"name": "x", "when_between": {"age": [0, 9]}, "never": {"sex": ["M"]}}, {"sex": ("M",)})


def test_a_derived_date_keeps_its_order() -> None:
    assert by_construction({"name": "x", "not_before": {"discharged": "admitted"}})
    assert not by_construction({"name": "x", "not_before": {"seen": "admitted"}})
    assert not by_construction({"name": "x", "not_before": {"admitted": "discharged"}})


@pytest.mark.parametrize(
    ("count", "changes", "passed", "told"),
    [
        (0, {}, True, "every rule is kept: 1"),
        (1, {}, False, "broken rules: 'no pregnant men': 1 of 100 synthetic rows, allowed 0%"),
        (1, {"severity": "warn"}, True, "warnings: 'no pregnant men': 1 of 100"),
        (3, {"at_most": 0.03}, True, "every rule is kept"),
        (4, {"at_most": 0.03}, False, "allowed 3.00%"),
    ],
)
def test_the_gate_counts_rows_and_knows_severity(count: int, changes: dict[str, Any], passed: bool, told: str) -> None:
    limits = Thresholds(100, 1, Decimal(1), Decimal(1), None, None, rules=rules({**MEN, **changes}))
    staged: Any = SimpleNamespace(rows=100, broken={"no pregnant men": count})
    assert judge(staged, limits)[0] is passed
    assert told in judge(staged, limits)[1]


def test_a_plan_refuses_faults_at_their_line_and_says_which_rules_are_not_built_in(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    utility = {"max_out_of_domain_share": 1, "max_clipped_share": 1}
    no_boys = {"name": "no boys", "when_between": {"age": [0, 1]}, "never": {"sex": ["M"]}}
    plan = plan_of(site, site.request(utility={**utility, "rules": [no_boys]}))
    assert [text for text in plan.warnings if text.startswith("clinical rule 'no boys': the model can break it")]
    wrong = site.request(utility={**utility, "rules": [{**no_boys, "never": {"sex": ["Q"]}}]})
    with pytest.raises(ConfigError, match=r"'Q' is not a declared value of 'sex'"):
        plan_of(site, wrong)
    policy = {"tiers": {tier: {"controls": ["clinical_rules"]} for tier in ("T0", "T1")}}
    asked = TestSite(tmp_path / "asked", policy=policy)
    assert plan_of(asked, asked.request(utility={**utility, "rules": [no_boys]})).evidence == {
        "clinical_rules": ("clinical rules",)
    }
    [refusal] = plan_of(asked, asked.request()).assessment.refusals
    assert refusal.endswith("set utility.rules")
