"""How long a budget will last, if charges go on as they have. Pure; from the ledger alone."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from synthward.ledger.scopes import ScopeState

MOST = 100
"""More charges than this are not counted out."""


@dataclass(frozen=True)
class Forecast:
    """What is left of a scope's budget.

    Attributes:
        share: Part of the cap that is spent, 0 to 1.
        more: Further charges like the last one that fit, at most `MOST`; None before the first charge.
        days: Mean days from one charge to the next; None before the second charge.
        until: Day on which the budget is used up at that pace; None if that cannot be said, or is far away.
    """

    share: Decimal
    more: int | None
    days: float | None
    until: dt.date | None

    @property
    def is_used_up(self) -> bool:
        """Whether no further charge like the last one fits."""
        return self.more == 0


def forecast(state: ScopeState, today: dt.date) -> Forecast:
    """The forecast of a scope. It counts exact charges, because losses do not add up like epsilons.

    Args:
        state: The scope.
        today: The day of the forecast.
    """
    cap, spent = state.terms.max_epsilon, state.epsilon_spent
    share = min(spent / cap, Decimal(1)) if cap and spent.is_finite() else Decimal(1)
    if not state.charges:
        return Forecast(share, None, None, None)
    more = state.more_like(state.charges[-1].cost, MOST)
    first, last = (dt.datetime.fromisoformat(state.charges[place].at).date() for place in (0, -1))
    if len(state.charges) == 1 or more >= MOST:
        return Forecast(share, more, None, today if more == 0 else None)
    days = (last - first).days / (len(state.charges) - 1)
    until = today if more == 0 else max(today, last + dt.timedelta(days=round(days * more)))
    return Forecast(share, more, days, until)
