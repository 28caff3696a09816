"""Where a request is: random moves, and what the records of a request say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from office import Office
from synthward.governance.lifecycle import FOLLOWS, STATES, Facts, State, advance, state_after
from synthward.governance.submissions import IllegalMove
from trial import approve

NEEDS: dict[State, State] = {
    "assessed": "submitted",
    "approved": "assessed",
    "charged": "approved",
    "validated": "charged",
    "quarantined": "charged",
    "published": "validated",
    "expired": "published",
    "recalled": "published",
}
"""What must have happened before each state since the last submission."""


@given(st.lists(st.sampled_from(STATES), max_size=40))
def test_random_moves_never_reach_a_state_without_what_it_needs(wanted: list[State]) -> None:
    state: State = "draft"
    since: list[State] = []
    done: list[State] = []
    for move in wanted:
        if move not in FOLLOWS[state]:
            with pytest.raises(IllegalMove) as refused:
                advance(state, move)
            assert refused.value.reason.code == f"{state}_to_{move}"
            continue
        state = advance(state, move)
        done.append(move)
        since = [move] if move == "submitted" else [*since, move]
        if move in NEEDS:
            assert NEEDS[move] in since
            assert "withdrawn" not in since
    assert state_after(done) == state


def test_a_run_of_its_own_is_needed_for_each_publication() -> None:
    for after in ("published", "expired", "recalled", "withdrawn", "quarantined"):
        assert "published" not in FOLLOWS[after]
        assert "approved" not in FOLLOWS[after]
    assert FOLLOWS["withdrawn"] == {"submitted"}


RUN: tuple[State, ...] = ("charged", "validated", "published")


@pytest.mark.parametrize(
    ("facts", "state", "who"),
    [
        (Facts("T1", refusals=("no",), missing=("lee",)), "submitted", "requester"),
        (Facts("T1", missing=("privacy_officer", "data_steward")), "assessed", "privacy_officer, data_steward"),
        (Facts("T1", objections=("rejected",)), "assessed", "requester"),
        (Facts("T1", account="not open"), "approved", "whoever opens budgets"),
        (Facts("T1"), "approved", "whoever runs it"),
        (Facts("T1", runs=(RUN[:1],)), "charged", "whoever runs it"),
        (Facts("T1", runs=(("charged", "quarantined"),)), "quarantined", "requester"),
        (Facts("T1", missing=("lapsed",), runs=(RUN,)), "published", "nobody"),
        (Facts("T1", runs=((*RUN, "recalled"), RUN)), "published", "nobody"),
        (Facts("T1", runs=((*RUN, "recalled"),)), "recalled", "nobody"),
        (Facts("T1", runs=(RUN,), withdrawn=True), "withdrawn", "nobody"),
    ],
)
def test_records_say_where_a_request_is_and_who_has_to_act(facts: Facts, state: State, who: str) -> None:
    assert (facts.state, facts.next_step[0]) == (state, who)


def test_a_publication_without_its_gates_is_an_illegal_move() -> None:
    with pytest.raises(IllegalMove, match="charged_to_published"):
        _ = Facts("T1", runs=(("charged", "published"),)).state


def test_the_state_of_a_submitted_request(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    ward.submit(office.path)
    assert (ward.request_facts("visits").state, ward.request_facts("visits").missing) == (
        "assessed",
        ("privacy_officer",),
    )
    approve(ward, ward.submitted("visits"))
    assert ward.request_facts("visits@1").state == "approved"
    ward.withdraw("visits")
    assert ward.request_facts("visits").state == "withdrawn"
