"""Emergency stops: what is refused, who may resume, and what a planted link does."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from office import Office
from people import demo_key
from synthward.api import Ward
from synthward.errors import ConfigError, PolicyRefused, UsageError
from synthward.governance.reasons import Reason
from synthward.ledger.halts import RESUME, STOP
from synthward.privacy.accounting import Charge
from synthward.records.ledger import Halt
from trial import SCOPE, approve

WHO: dict[str, Any] = {"by": "lee", "role": "privacy_officer", "reason": "the export was mixed up"}
SIGNED = {"T0": {"signed": True}, "T1": {"signed": True}}


def codes(refused: pytest.ExceptionInfo[PolicyRefused]) -> list[str]:
    return [reason.code for reason in refused.value.reasons if isinstance(reason, Reason)]


def charge(ward: Ward, run_id: str = "run") -> None:
    ward.ledger.charge(
        SCOPE, run_id=run_id, attempt=1, request_digest="r", policy_digest="p", site_digest="s", journal_id="j",
        cost=Charge.pure(Decimal(1)), release_id="release", delta_report=Decimal("1e-6"), opened="0" * 64,
    )  # fmt: skip


def test_a_stopped_scope_is_not_charged_and_no_run_of_it_goes_on(tmp_path: Path) -> None:
    office = Office(tmp_path)
    ward = office.ward()
    request = ward.request(office.path)
    approve(ward, request)
    charge(ward)
    ward.halts.record(STOP, SCOPE, **WHO)
    for run_id in ("run", "other"):
        with pytest.raises(PolicyRefused, match="the export was mixed up") as refused:
            charge(office.ward(opened=False), run_id)
        assert codes(refused) == ["stopped"]
    assert [reason.code for reason in ward._origin(ward.plan(request))] == ["stopped"]
    assert len(ward.budget(SCOPE).charges) == 1
    ward.halts.record(RESUME, SCOPE, **WHO)
    charge(ward, "other")
    assert ward._origin(ward.plan(request)) == []
    assert ward.ledger.verify(SCOPE) == []


def test_a_scope_is_stopped_and_resumed_once(tmp_path: Path) -> None:
    ward = Office(tmp_path).ward()
    with pytest.raises(PolicyRefused) as early:
        ward.halts.record(RESUME, SCOPE, **WHO)
    assert codes(early) == ["not_to_resume"]
    ward.halts.record(STOP, SCOPE, **WHO)
    with pytest.raises(PolicyRefused) as twice:
        ward.halts.record(STOP, SCOPE, **WHO)
    assert codes(twice) == ["not_to_stop"]


def test_only_the_roles_of_policy_stop_a_scope_and_a_reason_is_one_line(tmp_path: Path) -> None:
    ward = Office(tmp_path, policy={"stop_roles": ["data_steward"]}).ward()
    with pytest.raises(PolicyRefused) as refused:
        ward.halts.record(STOP, SCOPE, **WHO)
    assert codes(refused) == ["role_not_allowed"]
    for reason in ("", " ", "a\nb", "a\x1b[2K"):
        with pytest.raises(UsageError, match="name or reason"):
            ward.halts.record(STOP, SCOPE, by="kim", role="data_steward", reason=reason)


def test_policy_names_known_roles_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not one of the roles"):
        Office(tmp_path, policy={"stop_roles": ["nobody"]}).ward()


def test_where_decisions_are_signed_stops_are_too_and_a_planted_resumption_ends_nothing(tmp_path: Path) -> None:
    office = Office(tmp_path, roster=True, policy={"tiers": SIGNED})
    ward = office.ward()
    for key, code in ((None, "unsigned"), (demo_key("kim"), "key_of_another")):
        with pytest.raises(PolicyRefused) as refused:
            ward.halts.record(STOP, SCOPE, **WHO, signer=key)
        assert codes(refused) == [code]
    made = ward.halts.record(STOP, SCOPE, **WHO, signer=demo_key("lee"))
    for envelope in ("", made.halt.envelope):
        planted = Halt(SCOPE, "lee", "privacy_officer", made.halt.at, made.halt.reason, envelope)
        ward.ledger.halt(SCOPE, RESUME, planted)
        assert ward.halts.in_force(ward.budget(SCOPE)) == made
        assert [reason.code for reason in ward._origin(ward.plan(ward.request(office.path)))] == ["stopped"]
    ward.halts.record(RESUME, SCOPE, **WHO, signer=demo_key("lee"))
    assert ward.halts.in_force(ward.budget(SCOPE)) is None
