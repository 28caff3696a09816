"""The gates' own audit: a sound release passes all gates, and a release with one fault fails the gate of that fault."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from synthward.evaluate.gates.gate import GateInputs, Thresholds
from synthward.evaluate.gates.registry import GATES, run_gates
from synthward.spec.request import MaxExpected
from synthward.spec.rules import Rule

LIMITS = Thresholds(
    rows=100,
    min_patients=50,
    max_out_of_domain_share=Decimal("0.1"),
    max_clipped_share=Decimal("0.1"),
    max_mean_tvd=Decimal("0.1"),
    max_mean_pair_tvd=Decimal("0.1"),
    max_expected=MaxExpected(column=Decimal("0.1")),
    rules=(Rule(name="no men", never={"sex": ("M",)}),),
)


def sound() -> dict[str, Any]:
    """What a sound release of one column shows."""
    column = SimpleNamespace(
        name="sex",
        distance=0.02,
        out_of_domain=0.0,
        out_of_domain_error=0.01,
        clipped=0.0,
        clipped_error=0.01,
        below=0.0,
        above=0.0,
    )
    staged = SimpleNamespace(
        rows=100,
        types={"sex": "string"},
        lineage_ok=True,
        undeclared={"sex": 0},
        disordered={"discharged": 0},
        apart={("systolic", "diastolic"): 0},
        broken={"no men": 0},
    )
    return {
        "staged": staged,
        "expected_types": {"sex": "string"},
        "quality": {"sex": column},
        "relations": [SimpleNamespace(columns=("sex", "age"), distance=0.02, noise_distance=0.0)],
        "population": SimpleNamespace(counts=[60], deviation=2.0),
        "thresholds": LIMITS,
        "expected": [SimpleNamespace(expected=SimpleNamespace(columns=("sex",), distance=0.02))],
    }


def failed(shown: dict[str, Any]) -> set[str]:
    """Names of the gates that fail."""
    return {result.name for result in run_gates(GateInputs(**shown)) if not result.passed}


def more_columns(shown: dict[str, Any]) -> None:
    shown["staged"].types["patient_id"] = "bigint"


def other_type(shown: dict[str, Any]) -> None:
    shown["staged"].types["sex"] = "int"


FAULTS: dict[str, Callable[[dict[str, Any]], None]] = {
    "columns": more_columns,
    "types": other_type,
    "row count": lambda shown: vars(shown["staged"]).update(rows=101),
    "lineage": lambda shown: vars(shown["staged"]).update(lineage_ok=False),
    "domain": lambda shown: shown["staged"].undeclared.update(sex=1),
    "order": lambda shown: shown["staged"].disordered.update(discharged=1),
    "presence": lambda shown: shown["staged"].apart.update({("systolic", "diastolic"): 1}),
    "clinical rules": lambda shown: shown["staged"].broken.update({"no men": 1}),
    "out of domain": lambda shown: vars(shown["quality"]["sex"]).update(out_of_domain=0.14),
    "clipped": lambda shown: vars(shown["quality"]["sex"]).update(clipped=0.14),
    "distance": lambda shown: vars(shown["quality"]["sex"]).update(distance=0.2),
    "pair distance": lambda shown: vars(shown["relations"][0]).update(distance=0.2),
    "population": lambda shown: vars(shown["population"]).update(counts=[43]),
    "expected distance": lambda shown: vars(shown["expected"][0].expected).update(distance=0.2),
}


def test_every_gate_is_audited() -> None:
    assert set(FAULTS) == {gate.name for gate in GATES}
    assert len(run_gates(GateInputs(**sound()))) == len(GATES)


def test_a_sound_release_passes_every_gate() -> None:
    assert failed(sound()) == set()


@pytest.mark.parametrize("gate", FAULTS)
def test_one_fault_fails_its_gate_and_no_other(gate: str) -> None:
    shown = sound()
    FAULTS[gate](shown)
    assert failed(shown) == {gate}
