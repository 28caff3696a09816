"""Approvals: separation of duties, edits, revocation, expiry, number of runs."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.config.canonical import canonical_json
from synthward.config.text import shown
from synthward.errors import ConfigError
from synthward.governance.approvals import (
    NO_LIMITS,
    Approval,
    Digests,
    Limits,
    Verdict,
    covering,
    objections,
    unprintable,
)
from synthward.governance.assess import Assessment
from synthward.spec.request import Requester

A, B, C, OTHER = "a" * 64, "b" * 64, "c" * 64, "0" * 64
DIGESTS = Digests(request=A, assessment=B, policy=C)
TODAY = dt.date(2026, 12, 1)
ADA = Requester(name="ada", role="data_engineer")


def assessment(*roles: str) -> Assessment:
    return Assessment(
        tier="T2", title="", raised_by=(), controls=(), approvals_needed=roles, max_epsilon=1, max_delta=0,  # type: ignore[arg-type]
        max_epsilon_per_scope=1, max_delta_per_scope=0, min_declared_patients=0, reasons=(), refusals=(),  # type: ignore[arg-type]
    )  # fmt: skip


def decision(by: str, role: str, what: str = "approve", **changes: object) -> Approval:
    made = Approval(
        by=by, role=role, decision=what, request_digest=A, assessment_digest=B, policy_digest=C,  # type: ignore[arg-type]
        at="2026-11-30T10:00:00Z",
    )  # fmt: skip
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


STEWARD = decision("lee", "data_steward")
OFFICER = decision("kim", "privacy_officer")


def verdict(
    *approvals: Approval,
    limits: Limits = NO_LIMITS,
    roles: tuple[str, ...] = ("data_steward", "privacy_officer"),
) -> Verdict:
    return covering(
        approvals, requester=ADA, assessment=assessment(*roles), digests=DIGESTS, today=TODAY, limits=limits
    )


def test_two_people_in_two_roles_cover_the_run() -> None:
    found = verdict(OFFICER, STEWARD)
    assert found == Verdict(ok=True, reasons=(), missing_roles=(), counted=(STEWARD, OFFICER))


def test_without_approvals_the_roles_are_named() -> None:
    found = verdict()
    assert not found.ok
    assert found.missing_roles == ("data_steward", "privacy_officer")
    assert found.reasons == ("approval is missing from: data_steward, privacy_officer",)


def test_a_tier_that_needs_no_approval() -> None:
    assert verdict(roles=()) == Verdict(ok=True, reasons=(), missing_roles=(), counted=())


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (decision("ada", "data_steward"), "ada made the request and cannot approve it"),
        (decision(" ADA ", "data_steward"), "made the request"),
        (decision("lee", "data_steward", request_digest=OTHER), "the request or its domain was edited after approval"),
        (decision("lee", "data_steward", policy_digest=OTHER), "the policy was edited after approval"),
        (decision("lee", "data_steward", assessment_digest=OTHER), "the assessment changed after approval"),
        (decision("lee", "data_steward", expires=dt.date(2026, 11, 30)), "the approval expired on 2026-11-30"),
        (decision("lee", "data_steward", "revoke"), "it was revoked"),
        (decision("lee", "janitor"), "decided as janitor, but the roles needed are data_steward, privacy_officer"),
    ],
)
def test_decisions_that_do_not_count(bad: Approval, words: str) -> None:
    found = verdict(bad, OFFICER)
    assert not found.ok
    assert found.missing_roles == ("data_steward",)
    assert words in found.reasons[0]
    assert found.counted == (OFFICER,)


def test_one_person_cannot_hold_two_roles() -> None:
    found = verdict(STEWARD, decision("Lee", "privacy_officer"))
    assert found.missing_roles == ("data_steward", "privacy_officer")
    assert "one person holds one role, found data_steward and privacy_officer" in found.reasons[0]
    others = verdict(STEWARD, decision("lee", "privacy_officer"), decision("mo", "data_steward"), OFFICER)
    assert others.ok
    assert [approval.by for approval in others.counted] == ["mo", "kim"]
    revoked = verdict(STEWARD, decision("lee", "privacy_officer"), decision("lee", "data_steward", "revoke"))
    assert revoked.missing_roles == ("data_steward",)


@pytest.mark.parametrize("what", ["revoke", "reject"])
def test_the_last_decision_of_a_person_in_a_role_counts(what: str) -> None:
    assert not verdict(STEWARD, OFFICER, decision("kim", "privacy_officer", what)).ok
    assert verdict(STEWARD, decision("kim", "privacy_officer", what), OFFICER).ok
    assert verdict(STEWARD, OFFICER, decision("kim", "data_steward", "revoke")).ok
    assert verdict(STEWARD, OFFICER, decision("mo", "privacy_officer", "revoke")).ok


def test_a_revocation_counts_whatever_the_policy_is_by_now() -> None:
    assert not verdict(STEWARD, OFFICER, decision("kim", "privacy_officer", "revoke", policy_digest=OTHER)).ok


def test_a_revocation_of_another_version_leaves_this_one_alone() -> None:
    assert verdict(STEWARD, OFFICER, decision("kim", "privacy_officer", "revoke", request_digest=OTHER)).ok


def test_a_standing_rejection_cannot_be_outvoted() -> None:
    rejection = decision("mo", "privacy_officer", "reject")
    found = verdict(STEWARD, rejection, OFFICER)
    assert not found.ok
    assert found.missing_roles == ()
    assert found.reasons == ("mo (privacy_officer): rejected; only the same person can withdraw it",)
    assert verdict(STEWARD, rejection, OFFICER, decision("mo", "privacy_officer", "revoke")).ok
    assert verdict(STEWARD, OFFICER, decision("mo", "janitor", "reject")).ok


def test_policy_caps_the_runs_of_an_approval() -> None:
    many = dataclasses.replace(OFFICER, runs=4)
    assert verdict(STEWARD, many, limits=Limits(max_runs=4)).ok
    found = verdict(STEWARD, many, limits=Limits(max_runs=3))
    assert found.missing_roles == ("privacy_officer",)
    assert "--runs: found 4, policy allows 3 or fewer" in found.reasons[0]


def test_policy_caps_the_days_of_an_approval() -> None:
    """Whether the person has set a day or not: an approval of 30 November counts for one day here."""
    assert verdict(STEWARD, OFFICER, limits=Limits(max_days=1)).ok
    later = dataclasses.replace(OFFICER, at="2026-11-29T23:59:59Z")
    found = verdict(STEWARD, later, limits=Limits(max_days=1))
    assert found.reasons[0] == "kim (privacy_officer): not counted, the approval expired on 2026-11-30"
    too_long = dataclasses.replace(OFFICER, expires=dt.date(2026, 12, 31))
    assert "--expires: found 2026-12-31, policy allows 2026-12-30 or earlier" in "".join(
        objections(too_long, requester=ADA, needed=("privacy_officer",), limits=Limits(max_days=30))
    )
    assert verdict(STEWARD, too_long, limits=Limits(max_days=31)).ok


def test_given_and_void_is_another_message_than_missing() -> None:
    old = decision("kim", "privacy_officer", request_digest=OTHER)
    found = verdict(old)
    assert found.missing_roles == ("data_steward", "privacy_officer")
    assert found.reasons == (
        "kim (privacy_officer): not counted, the request or its domain was edited after approval",
        "approval was given, and does not count any more, from: privacy_officer; approve again",
        "approval is missing from: data_steward",
    )
    expired = dataclasses.replace(OFFICER, expires=dt.date(2026, 11, 30))
    assert "does not count any more, from: privacy_officer" in verdict(STEWARD, expired).reasons[-1]
    # What was never an approval is missing, not void.
    never = (decision("ada", "privacy_officer"), decision("kim", "privacy_officer", "revoke"))
    for bad in never:
        assert verdict(STEWARD, bad).reasons[-1] == "approval is missing from: privacy_officer"


def test_expiry_is_inclusive() -> None:
    assert verdict(STEWARD, dataclasses.replace(OFFICER, expires=TODAY)).ok


def test_objections_at_the_moment_of_the_decision() -> None:
    needed = ("data_steward",)
    assert objections(STEWARD, requester=ADA, needed=needed) == []
    assert len(objections(decision("ada", "janitor"), requester=ADA, needed=needed)) == 2
    assert objections(decision("ada", "data_steward", "reject"), requester=ADA, needed=needed) == []
    assert "no approval is needed" in objections(STEWARD, requester=ADA, needed=())[0]


def test_nobody_approves_in_the_role_in_which_the_request_was_made() -> None:
    colleague = Requester(name="ada", role="privacy_officer")
    needed = ("privacy_officer",)
    [told] = objections(OFFICER, requester=colleague, needed=needed)
    assert told.startswith("kim decided as privacy_officer, the role in which the request was made")
    for what in ("reject", "revoke"):
        assert objections(decision("kim", "privacy_officer", what), requester=colleague, needed=needed) == []
    found = covering(
        [STEWARD, OFFICER],
        requester=colleague,
        assessment=assessment("data_steward", "privacy_officer"),
        digests=DIGESTS,
        today=TODAY,
    )
    assert not found.ok
    assert (found.missing_roles, found.counted) == (("privacy_officer",), (STEWARD,))
    assert "kim (privacy_officer): not counted, kim decided as privacy_officer, the role in which" in found.reasons[0]


def test_bodies_are_canonical_and_come_back() -> None:
    approval = decision("lee", "data_steward", expires=TODAY, note="fine \u00e9 \U0001f600\u2028", runs=12)
    body = approval.body()
    assert body == canonical_json(json.loads(body))
    assert Approval.from_body(body) == approval


@pytest.mark.parametrize(
    "changes", [{"runs": 0}, {"request_digest": "A" * 64}, {"at": "yesterday"}, {"by": " "}, {"decision": "maybe"}]
)
def test_bodies_that_are_no_approval(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        Approval.from_body(dataclasses.replace(STEWARD, **changes).body())  # type: ignore[arg-type]


people = st.sampled_from(["ada", "lee", "kim", "Lee "])
roles = st.sampled_from(["data_steward", "privacy_officer", "janitor"])


@given(
    st.lists(
        st.builds(
            decision,
            people,
            roles,
            st.sampled_from(["approve", "approve", "reject", "revoke"]),
            policy_digest=st.sampled_from([C, C, OTHER]),
            runs=st.integers(1, 2),
        ),
        max_size=8,
    )
)
def test_whatever_counts_keeps_duties_apart(decisions: list[Approval]) -> None:
    found = verdict(*decisions, limits=Limits(max_runs=1))
    names = [approval.by.strip().lower() for approval in found.counted]
    assert "ada" not in names
    assert len(set(names)) == len(names)
    assert all(approval.decision == "approve" and approval.runs == 1 for approval in found.counted)
    assert all(approval.policy_digest == C for approval in found.counted)
    assert len(found.counted) + len(found.missing_roles) == 2
    assert not (found.ok and found.missing_roles)
    assert found.ok or found.reasons


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[8m", "a\u202eb", "a\u200bb", "a\0b", "a" * 201])
@pytest.mark.parametrize("field", ["by", "role"])
def test_names_in_a_decision_are_one_short_visible_line(field: str, text: str) -> None:
    found = unprintable(dataclasses.replace(STEWARD, **{field: text}))  # type: ignore[arg-type]
    assert [line.partition(":")[0] for line in found] == [field]
    assert found == [shown(line) for line in found]


def test_a_note_may_have_lines_and_nothing_hidden() -> None:
    assert unprintable(dataclasses.replace(STEWARD, note="first\nsecond, Zoë")) == []
    for note in ("a\x1b[2J", "a\rb", "a\u2066b", "x" * 2001):
        assert [line[:5] for line in unprintable(dataclasses.replace(STEWARD, note=note))] == ["note:"]
