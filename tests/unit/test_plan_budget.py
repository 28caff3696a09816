"""What a plan asks of its scope before anything is read: the same people and the same privacy unit."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from store_doubles import MemoryLinks
from synthward.errors import PolicyRefused
from synthward.ledger.ledger import Ledger
from synthward.ledger.scopes import ScopeState
from synthward.run.plan import Plan
from synthward.store.places import Zone
from trial import SCOPE, Clock, TestSite, plan_of

DECLARED = 1000
PATIENT: dict[str, Any] = {
    "population": {"declared_patients": DECLARED, "declared_rows": 10 * DECLARED},
    "privacy": {"epsilon": 3},
}
ROW = PATIENT | {"patient": {"_whole": True, "unit": "row", "max_rows_per_patient": 1}}


def planned(root: Path, changes: dict[str, Any]) -> Plan:
    """A request under a policy that allows units other than patients."""
    site = TestSite(root, policy={"allow_other_unit": True})
    return plan_of(site, site.request(**changes))


def scope(unit: str = "patient", declared_patients: int = DECLARED) -> ScopeState:
    """A scope with plenty of budget, as it was opened."""
    ledger = Ledger(None, Zone("memory/ledger"), store=MemoryLinks(), clock=Clock())
    terms: dict[str, Any] = {"max_epsilon": Decimal(1000), "max_delta": Decimal("1e-6"), "by": "sam"}
    return ledger.open_scope(
        SCOPE, unit=unit, declared_patients=declared_patients, policy_digest="p", site_digest="s", **terms
    )


@pytest.mark.parametrize(("changes", "unit"), [(PATIENT, "patient"), (ROW, "row")])
def test_a_scope_of_the_same_unit_is_charged(tmp_path: Path, changes: dict[str, Any], unit: str) -> None:
    planned(tmp_path, changes).require_budget(scope(unit), 1)


@pytest.mark.parametrize(("changes", "unit"), [(PATIENT, "row"), (ROW, "patient")])
def test_a_scope_of_another_unit_is_refused(tmp_path: Path, changes: dict[str, Any], unit: str) -> None:
    """Also where policy allows other units: epsilons of rows and of patients are not to be added."""
    asked = "patient" if unit == "row" else "row"
    plan = planned(tmp_path, changes)
    plan.require_policy()
    with pytest.raises(PolicyRefused, match=f"protects unit {unit}, the request {asked}"):
        plan.require_budget(scope(unit), 1)


@pytest.mark.parametrize("declared", [DECLARED - 1, DECLARED + 1])
def test_a_scope_of_other_people_is_refused(tmp_path: Path, declared: int) -> None:
    plan = planned(tmp_path, PATIENT)
    with pytest.raises(
        PolicyRefused, match=f"was opened for {declared} declared patients, the request declares {DECLARED}"
    ):
        plan.require_budget(scope(declared_patients=declared), 1)
