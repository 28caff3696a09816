"""The audit of the records: charges derived again from what seals say, and tables that two scopes share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from synthward.ledger.scopes import ScopeState
from synthward.privacy.accounting import NANO, Charge, total
from synthward.privacy.noise import NoiseCall
from synthward.privacy.thresholds import Threshold
from synthward.prove.findings import Check
from synthward.records.codec import decode
from synthward.records.journal import SEALED, Sealed
from synthward.store.links import Link


def rederived(facts: Mapping[str, Any]) -> Charge:
    """What one sealed answer costs, from its public description.

    Raises:
        ValueError: It is no description of a noise call.
    """
    try:
        call = NoiseCall(facts["mechanism"], float.fromhex(facts["scale"]), facts["sensitivity"])
        if facts["kind"] == "categories":
            return Threshold(call, facts["per_patient"], facts["above"], facts["one"]).charge
        return call.charge
    except (KeyError, TypeError) as error:
        raise ValueError(f"a sealed question lacks {error}") from error


def audit(states: Iterable[ScopeState], journals: Mapping[str, Sequence[Link]]) -> list[Check]:
    """Audits every charge of every scope.

    Args:
        states: Scopes of the ledger.
        journals: Links of each run.
    """
    known = sorted(states, key=lambda state: state.scope)
    found = [_charge(state, journals) for state in known]
    return [*found, _shared(known)]


def _charge(state: ScopeState, journals: Mapping[str, Sequence[Link]]) -> Check:
    short: list[str] = []
    older = sealed = 0
    for charge in state.charges:
        links = [link for link in journals.get(charge.run_id, ()) if link.kind == SEALED]
        try:
            spent = total(rederived(asked) for link in links for asked in decode(Sealed, link.facts).asked)
        except ValueError:
            short.append(f"{charge.run_id} (a seal that cannot be read)")
            continue
        sealed += len(links)
        if not charge.cost.covers(spent):
            short.append(charge.run_id)
        older += _by_the_older_rule(charge.cost, spent)
    words = f"{len(state.charges)} charges, {sealed} seals; {older} recorded by the older rule of Laplace noise, which "
    words += "is more and stands"
    if short:
        words = f"not covered by what was recorded: {', '.join(short)}"
    return Check(
        "ledger",
        f"scope {state.scope}: every charge covers its seals",
        not short,
        words,
        {"charges": len(state.charges), "seals": sealed, "older_rule": older, "not_covered": short},
    )


def _by_the_older_rule(recorded: Charge, spent: Charge) -> bool:
    """Whether rho was recorded as epsilon^2 / 2 of each call: more than today, at most that of all as one call."""
    if recorded.nano_epsilon is None or recorded.nano_epsilon != spent.nano_epsilon:
        return False
    return recorded.nano_rho > spent.nano_rho and recorded.nano_rho <= recorded.nano_epsilon**2 // (2 * NANO) + NANO


def _shared(states: Sequence[ScopeState]) -> Check:
    """Tables that two scopes of people own: by address, and by Delta's id."""
    owners: dict[str, set[str]] = {}
    for state in states:
        if state.people is None:
            continue
        for route in state.people.sources:
            for table in (route.source, *(step.source for step in route.path)):
                for name in filter(None, (table.address, table.table_id)):
                    owners.setdefault(name, set()).add(state.scope)
    shared = sorted({tuple(sorted(scopes)) for scopes in owners.values() if len(scopes) > 1})
    unbound = [state.scope for state in states if state.people is None]
    words = "no table is owned twice" if not shared else f"tables are owned by {'; '.join(map(' and '.join, shared))}"
    if unbound:
        words += f"; bound to no source, so that nothing is known of: {', '.join(unbound)}"
    return Check(
        "ledger",
        "no table is charged to two scopes",
        not shared,
        words,
        {"shared": [list(pair) for pair in shared], "unbound": unbound},
    )
