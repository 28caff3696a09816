"""Where a submitted request is, as a pure fold over what is on record about it, and who has to act next.

Each event is one that a record shows: a submission, an assessment without a refusal, approvals that cover the run, a
charge, a release that passed its gates or did not, a publication, an end. Moves that are not allowed have a name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from synthward.governance.reasons import Reason
from synthward.governance.submissions import IllegalMove

State = Literal[
    "draft",
    "submitted",
    "assessed",
    "approved",
    "charged",
    "validated",
    "quarantined",
    "published",
    "expired",
    "recalled",
    "withdrawn",
]
"""Where a version of a request is. A new version begins again as submitted."""

STATES: tuple[State, ...] = get_args(State)

FOLLOWS: dict[State, frozenset[State]] = {
    "draft": frozenset({"submitted"}),
    "submitted": frozenset({"submitted", "assessed", "withdrawn"}),
    "assessed": frozenset({"submitted", "approved", "withdrawn"}),
    "approved": frozenset({"submitted", "charged", "withdrawn"}),
    "charged": frozenset({"submitted", "charged", "validated", "quarantined", "withdrawn"}),
    # A repair of the output section can bring a quarantined release through its gates.
    "quarantined": frozenset({"submitted", "charged", "validated", "withdrawn"}),
    "validated": frozenset({"submitted", "charged", "published", "withdrawn"}),
    "published": frozenset({"submitted", "charged", "expired", "recalled", "withdrawn"}),
    "expired": frozenset({"submitted", "charged", "recalled", "withdrawn"}),
    "recalled": frozenset({"submitted", "charged", "withdrawn"}),
    "withdrawn": frozenset({"submitted"}),
}
"""The states that may follow each state. A charge may follow a finished run: an approval can cover several runs."""


def advance(state: State, to: State) -> State:
    """The state after a move.

    Raises:
        IllegalMove: The move is not allowed.
    """
    if to not in FOLLOWS[state]:
        allowed = ", ".join(one for one in STATES if one in FOLLOWS[state])
        text = f"a request that is {state} cannot become {to}; allowed is {allowed}"
        raise IllegalMove(Reason.of(f"{state}_to_{to}", text))
    return to


def state_after(moves: Iterable[State]) -> State:
    """The state after moves, from a draft.

    Raises:
        IllegalMove: A move is not allowed.
    """
    state: State = "draft"
    for move in moves:
        state = advance(state, move)
    return state


@dataclass(frozen=True)
class Facts:
    """What is on record about a version of a request.

    Attributes:
        tier: Its tier.
        refusals: Why policy refuses it; empty if it does not.
        missing: Roles that still have to approve.
        objections: Why the recorded decisions do not cover a run; empty if they do.
        account: Why no budget can be charged; empty if one can.
        runs: The runs that were charged, oldest first: the states that each went through, from `charged` on.
        withdrawn: Whether the request was withdrawn.
    """

    tier: str
    refusals: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    objections: tuple[str, ...] = ()
    account: str = ""
    runs: tuple[tuple[State, ...], ...] = ()
    withdrawn: bool = False

    @property
    def moves(self) -> tuple[State, ...]:
        """The moves that the records show.

        A charge shows an assessment and approvals: no run is charged without. That they lapsed since does not undo it.
        """
        moves: list[State] = ["submitted"]
        if self.runs or not self.refusals:
            moves.append("assessed")
            if self.runs or not (self.missing or self.objections):
                moves.append("approved")
        moves += [state for run in self.runs for state in run]
        return (*moves, "withdrawn") if self.withdrawn else tuple(moves)

    @property
    def state(self) -> State:
        """Where it is.

        Raises:
            IllegalMove: The records show a move that is not allowed.
        """
        return state_after(self.moves)

    @property
    def next_step(self) -> tuple[str, str]:
        """Who has to act next, and why; nobody where the request is at its end."""
        state = self.state
        if state == "submitted":
            return "requester", f"policy refuses it: {'; '.join(self.refusals)}"
        if state == "assessed" and self.missing:
            return ", ".join(self.missing), f"tier {self.tier} needs their approval"
        if state == "assessed":
            return "requester", f"the decisions do not cover a run: {'; '.join(self.objections)}"
        if state == "approved" and self.account:
            return "whoever opens budgets", self.account
        return _NEXT[state]


_NEXT: dict[State, tuple[str, str]] = {
    "approved": ("whoever runs it", "it is approved; run it by --submitted"),
    "charged": ("whoever runs it", "it is paid for and not finished; the same run again spends nothing"),
    "quarantined": ("requester", "its release failed a gate; edit the request, or its output section by --repair"),
    "validated": ("whoever runs it", "its release passed the gates and is not published; run it again"),
    "published": ("nobody", "it is published"),
    "expired": ("nobody", "its release has expired"),
    "recalled": ("nobody", "its release was recalled"),
    "withdrawn": ("nobody", "it was withdrawn; submit it again to use it"),
}
"""Who has to act in the states that decide it alone, and why."""
