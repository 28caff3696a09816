"""Gates register themselves; policy's controls are shown by gates or refused."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from synthward.errors import PolicyRefused
from synthward.evaluate.gates import gate as module
from synthward.evaluate.gates.gate import Gate, GateInputs, Judgement, Thresholds
from synthward.evaluate.gates.registry import CONTROLS, GATES, controls_of, run_gates
from synthward.spec.request import Utility
from trial import TestSite, plan_of

LIMITS = Thresholds(10, 2, Decimal("0.1"), Decimal("0.1"), None, None)
INPUTS = GateInputs(*[None] * 5, thresholds=LIMITS)  # type: ignore[arg-type]

STRUCTURE = ("columns", "domain", "lineage", "order", "presence", "row count", "types")
"""Gates that are evidence for the control `structure_gate`."""


def test_every_file_of_the_package_is_one_registered_gate() -> None:
    files = {path.stem for path in Path(module.__file__).parent.glob("*.py")} - {"__init__", "gate", "registry"}
    assert {gate.judge.__module__.rsplit(".", 1)[1] for gate in GATES} == files
    assert len({gate.name for gate in GATES}) == len(GATES)
    assert all(gate.judge.__doc__ for gate in GATES)


def test_controls_are_named_after_the_gates_that_show_them() -> None:
    assert set(CONTROLS) == {
        "clinical_rules",
        "structure_gate",
        "population_gate",
        "out_of_domain_gate",
        "utility_gate",
    }
    assert CONTROLS["clinical_rules"].options == (("rules", "clinical rules"),)
    assert CONTROLS["structure_gate"].gates == STRUCTURE
    assert CONTROLS["utility_gate"].options == (
        ("max_mean_tvd", "distance"),
        ("max_expected", "expected distance"),
        ("max_mean_pair_tvd", "pair distance"),
    )


def test_a_gate_is_given_what_it_declares_and_nothing_else() -> None:
    def judge(thresholds: Thresholds) -> Judgement:
        return thresholds.rows == 10, "as declared"

    gate = Gate("new", "new_gate", judge)
    assert gate.inputs == ("thresholds",)
    [result] = run_gates(INPUTS, [gate])
    assert (result.name, result.passed, result.detail) == ("new", True, "as declared")


def test_an_input_that_is_not_there_cannot_be_declared() -> None:
    def judge(source_rows: object) -> Judgement:
        return True, str(source_rows)

    with pytest.raises(TypeError, match="gate 'spy' declares unknown inputs: source_rows"):
        run_gates(INPUTS, [Gate("spy", "spy_gate", judge)])


def test_a_gate_with_a_setting_runs_where_the_request_asks_for_it() -> None:
    gate = Gate("d", "u", lambda: (False, "ran"), setting="max_mean_tvd")
    assert run_gates(INPUTS, [gate]) == ()
    asked = dataclasses.replace(INPUTS, thresholds=dataclasses.replace(LIMITS, max_mean_tvd=Decimal(1)))
    assert [result.passed for result in run_gates(asked, [gate])] == [False]
    assert controls_of([gate])["u"].options == (("max_mean_tvd", "d"),)
    assert set(dir(Utility)) >= {name for gate in GATES if (name := gate.setting)}


def site(root: Path, *controls: str) -> TestSite:
    listed: dict[str, Any] = {"controls": list(controls)}
    return TestSite(root, policy={"tiers": {"T0": listed, "T1": listed}})


def test_a_control_that_nothing_shows_refuses_with_the_known_ones(tmp_path: Path) -> None:
    made = site(tmp_path, "structure_gate", "leak_scan", "data_use_agreement")
    plan = plan_of(made, made.request())
    with pytest.raises(PolicyRefused) as refused:
        plan.require_policy()
    first, second = refused.value.reasons
    assert first.startswith("audience: tier T0 demands the control 'leak_scan', and nothing in this version shows")
    assert "known are clinical_rules, out_of_domain_gate, population_gate, structure_gate, utility_gate" in first
    assert "'data_use_agreement'" in second
    assert plan.evidence == {"structure_gate": STRUCTURE}


def test_a_control_whose_gate_the_request_leaves_off_refuses(tmp_path: Path) -> None:
    made = site(tmp_path, "utility_gate")
    [refusal] = plan_of(made, made.request()).assessment.refusals
    assert refusal.startswith("utility: tier T0 demands the control 'utility_gate'")
    assert refusal.endswith("set utility.max_mean_tvd or utility.max_expected or utility.max_mean_pair_tvd")
    plan = plan_of(made, made.request(utility={"max_mean_pair_tvd": 0.5}))
    assert plan.assessment.refusals == ()
    assert plan.evidence == {"utility_gate": ("pair distance",)}
