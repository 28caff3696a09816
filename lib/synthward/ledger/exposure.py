"""What all scopes of a site together can tell about one person.

Scopes own different tables and may still be about the same people: a patient of the clinic is in the laboratory's
tables as well. Losses of releases from different tables about one person compose like those from one table, so the sum
over all scopes bounds what is told about anybody (PROOFS.md, 4.10).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from synthward.ledger.scopes import ScopeState
from synthward.privacy.accounting import epsilon_of, total


@dataclass(frozen=True)
class ScopeExposure:
    """One scope's part.

    Attributes:
        scope: Its name.
        unit: Its privacy unit.
        epsilon: Epsilon of everything charged to it, at `delta`.
        delta: The delta of that statement, the scope's own.
        cap: The most that it can come to.
        bound: Whether the scope is bound to sources.
    """

    scope: str
    unit: str
    epsilon: Decimal
    delta: Decimal
    cap: Decimal
    bound: bool


@dataclass(frozen=True)
class Exposure:
    """One person's total.

    Attributes:
        epsilon: Epsilon of all releases of all scopes of unit patient together, rounded up, at `delta`.
        delta: The delta of that statement.
        cap: Sum of the scopes' caps: what it can come to, at the sum of their deltas.
        scopes: Every scope, by name.
        left_out: Scopes that are not in the sum because their unit is not the patient: a person is many units there.
    """

    epsilon: Decimal
    delta: Decimal
    cap: Decimal
    scopes: tuple[ScopeExposure, ...]
    left_out: tuple[str, ...]


def exposure(states: Sequence[ScopeState], delta: Decimal | None = None) -> Exposure:
    """One person's total over scopes.

    Args:
        states: All scopes of the ledger.
        delta: The delta at which to state it; None for the sum of the scopes' deltas.

    Returns:
        The smaller one of two valid bounds: the conversion of all charges together, and, where delta is at least the
        sum of the scopes' deltas, the sum of their epsilons. Infinite where delta is too small for what was charged.
    """
    summed = [state for state in states if state.terms.unit == "patient"]
    deltas = sum((state.terms.max_delta for state in summed), Decimal(0))
    stated = deltas if delta is None else delta
    epsilon = epsilon_of(total(state.spent for state in summed), stated)
    if stated >= deltas:
        epsilon = min(epsilon, sum((state.epsilon_spent for state in summed), Decimal(0)))
    return Exposure(
        epsilon=epsilon,
        delta=stated,
        cap=sum((state.terms.max_epsilon for state in summed), Decimal(0)),
        scopes=tuple(
            ScopeExposure(
                scope=state.scope,
                unit=state.terms.unit,
                epsilon=state.epsilon_spent,
                delta=state.terms.max_delta,
                cap=state.terms.max_epsilon,
                bound=state.people is not None,
            )
            for state in states
        ),
        left_out=tuple(state.scope for state in states if state.terms.unit != "patient"),
    )
