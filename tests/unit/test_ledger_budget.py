"""Scopes and charges over a store in memory: caps, idempotence, lost races, what `verify` finds."""

from __future__ import annotations

import dataclasses
import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store_doubles import Conflict, MemoryLinks
from synthward.api import Ward
from synthward.errors import (
    BudgetError,
    BudgetExceeded,
    EnvironmentProblem,
    IntegrityError,
    LedgerCorrupt,
    StoreConflict,
    UsageError,
)
from synthward.ledger.charges import ChargeReceipt
from synthward.ledger.ledger import GENESIS_KEY, Ledger
from synthward.ledger.scopes import ScopeState, TierCap
from synthward.privacy.accounting import ZERO, Charge, epsilon_of
from synthward.spec.site import load_site
from synthward.store.links import Link, next_link
from synthward.store.places import Zone
from trial import TestSite

NOON = dt.datetime(2026, 1, 31, 12, 0, tzinfo=dt.UTC)
TERMS: dict[str, Any] = {
    "max_epsilon": Decimal(3),
    "max_delta": Decimal("1e-6"),
    "declared_patients": 1000,
    "unit": "patient",
    "by": "lee",
    "policy_digest": "p",
    "site_digest": "s",
    "note": "pilot",
}
ONE = Charge.pure(Decimal(1))


def make_ledger(store: MemoryLinks, **options: Any) -> Ledger:
    options.setdefault("sleep", lambda _: None)
    return Ledger(None, Zone("/nowhere/ledger"), store=store, clock=lambda: NOON, **options)


def opened(store: MemoryLinks, **terms: Any) -> Ledger:
    ledger = make_ledger(store)
    ledger.open_scope("a", **{**TERMS, **terms})
    return ledger


def charge(ledger: Ledger, run_id: str, attempt: int = 0, cost: Charge = ONE, **more: Any) -> ChargeReceipt:
    facts: dict[str, Any] = {
        "request_digest": "r",
        "policy_digest": "p",
        "site_digest": "s",
        "journal_id": "j",
        "release_id": f"rel-{run_id}",
        "delta_report": Decimal("1e-6"),
        "opened": "0" * 64,
    }
    return ledger.charge("a", run_id=run_id, attempt=attempt, cost=cost, **{**facts, **more})


# --- scopes ---


def test_open_once_then_found() -> None:
    store = MemoryLinks()
    ledger = make_ledger(store)
    state = ledger.open_scope("a", **TERMS)
    assert (state.is_new, state.spent, state.remaining, state.charges) == (True, ZERO, Decimal(3), ())
    again = make_ledger(store).open_scope("a", **{**TERMS, "by": "kim", "note": "", "policy_digest": "p2"})
    assert (again.is_new, again.terms.by) == (False, "lee")
    assert again == ledger.state("a")
    assert [link.key for link in store.links] == [GENESIS_KEY, "a"]
    assert len(ledger.genesis().facts["id"]) == 32


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_epsilon", Decimal(30)), ("max_delta", Decimal("1e-5")), ("declared_patients", 999), ("unit", "row")],
)
def test_other_terms_are_refused(name: str, value: Any) -> None:
    ledger = opened(MemoryLinks())
    with pytest.raises(BudgetError, match="never changed"):
        ledger.open_scope("a", **{**TERMS, name: value})


def test_equal_numbers_written_differently_are_equal_terms() -> None:
    ledger = opened(MemoryLinks())
    assert not ledger.open_scope("a", **{**TERMS, "max_epsilon": Decimal("3.00")}).is_new


@pytest.mark.parametrize("scope", ["", "_ledger", "A", "a/b", "a'b", "x" * 65, ".a", "-a"])
def test_scope_names(scope: str) -> None:
    ledger = make_ledger(MemoryLinks())
    with pytest.raises(UsageError, match="scope"):
        ledger.open_scope(scope, **TERMS)
    with pytest.raises(UsageError):
        ledger.state(scope)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_epsilon", Decimal(0)),
        ("max_epsilon", Decimal("NaN")),
        ("max_epsilon", Decimal("Infinity")),
        ("max_delta", Decimal(1)),
        ("max_delta", Decimal(-1)),
        ("max_delta", Decimal("NaN")),
        ("declared_patients", 0),
    ],
)
def test_terms_must_make_sense(name: str, value: Any) -> None:
    store = MemoryLinks()
    with pytest.raises(UsageError, match=name):
        make_ledger(store).open_scope("a", **{**TERMS, name: value})
    assert not store.links


def test_unknown_scope_names_the_command() -> None:
    with pytest.raises(BudgetError, match="scope: a"):
        make_ledger(MemoryLinks()).state("a")
    with pytest.raises(BudgetError, match="scope: a"):
        charge(make_ledger(MemoryLinks()), "r1")


def test_scopes_lists_all() -> None:
    store = MemoryLinks()
    ledger = opened(store)
    ledger.open_scope("b", **TERMS)
    charge(ledger, "r1")
    assert [(state.scope, len(state.charges)) for state in ledger.scopes()] == [("a", 1), ("b", 0)]
    assert make_ledger(MemoryLinks()).scopes() == ()


# --- charges ---


def test_charge_is_recorded_and_counted() -> None:
    store = MemoryLinks()
    ledger = opened(store)
    receipt = charge(ledger, "r1")
    assert (receipt.seq, receipt.is_new, receipt.head_hash) == (1, True, store.links[-1].hash)
    assert receipt.genesis_hash == ledger.genesis().hash
    state = ledger.state("a")
    assert (state.epsilon_spent, state.head.hash) == (epsilon_of(ONE, TERMS["max_delta"]), receipt.head_hash)
    assert state.charges[0].cost == ONE
    assert store.links[-1].facts["nano_epsilon"] == 10**9
    assert store.links[-1].facts["single_writer"] is False


def test_retry_spends_nothing() -> None:
    store = MemoryLinks()
    ledger = opened(store)
    first = charge(ledger, "r1")
    again = charge(make_ledger(store), "r1")
    assert again == dataclasses.replace(first, is_new=False)
    assert len(ledger.state("a").charges) == 1
    assert charge(ledger, "r1", attempt=1).is_new


def test_retry_of_the_last_charge_works_with_the_budget_used_up() -> None:
    ledger = opened(MemoryLinks(), max_epsilon=Decimal(1))
    charge(ledger, "r1")
    assert not charge(ledger, "r1").is_new
    with pytest.raises(BudgetExceeded):
        charge(ledger, "r2")


@pytest.mark.parametrize("change", [{"request_digest": "other"}, {"cost": Charge.pure(Decimal("0.5"))}])
def test_same_attempt_with_other_facts_is_refused(change: dict[str, Any]) -> None:
    ledger = opened(MemoryLinks())
    charge(ledger, "r1")
    with pytest.raises(IntegrityError, match="r1"):
        charge(ledger, "r1", **change)


def test_a_charge_recorded_by_the_older_rule_of_laplace_noise_pays_for_its_run() -> None:
    """Versions before the exact rho recorded epsilon^2 / 2: the run goes on, and what was recorded stays."""
    ledger = opened(MemoryLinks(), max_epsilon=Decimal(10))
    charge(ledger, "r1")
    today = Charge(ONE.nano_epsilon, ONE.nano_rho * 3 // 4)
    again = charge(ledger, "r1", cost=today)
    assert not again.is_new
    assert ledger.state("a").spent == ONE
    dearer = [Charge(ONE.nano_epsilon, ONE.nano_rho + 1), Charge(ONE.nano_epsilon, ONE.nano_rho - 1, 1)]
    for other in [*dearer, Charge(None, ONE.nano_rho - 1), Charge.pure(Decimal("0.999999999"))]:
        with pytest.raises(IntegrityError, match="another cost"):
            charge(ledger, "r1", cost=other)
    charge(ledger, "r2", cost=Charge.concentrated(Decimal("0.001")))
    with pytest.raises(IntegrityError, match="another cost"):
        charge(ledger, "r2", cost=Charge.concentrated(Decimal("0.0009")))


def test_cap_is_exact_and_the_message_has_the_numbers() -> None:
    store = MemoryLinks()
    ledger = opened(store, max_delta=Decimal(0))
    for run in "123":
        charge(ledger, run)
    with pytest.raises(BudgetExceeded, match=r"epsilon 0\.000000001 .*spent: 3;.*together: 3\.0.*cap: 3;.*left: 0 "):
        charge(ledger, "4", cost=Charge(1, 1, 0))
    assert len(store.links) == 5


def test_as_many_charges_are_announced_as_are_accepted() -> None:
    ledger = opened(MemoryLinks())
    announced = ledger.state("a").more_like(ONE)
    for number in range(announced):
        assert ledger.state("a").more_like(ONE) == announced - number
        charge(ledger, f"r{number}")
    assert announced == 3
    assert ledger.state("a").more_like(ONE) == 0
    assert ledger.state("a").more_like(ZERO, most=7) == 7
    with pytest.raises(BudgetExceeded):
        charge(ledger, "more")


def test_concentrated_charges_do_not_fit_without_delta() -> None:
    ledger = opened(MemoryLinks(), max_delta=Decimal(0))
    with pytest.raises(BudgetExceeded, match="more than delta allows"):
        charge(ledger, "r1", cost=Charge.concentrated(Decimal("0.001")))


def test_additive_delta_comes_out_of_the_scopes_delta() -> None:
    ledger = opened(MemoryLinks())
    charge(ledger, "r1", cost=Charge(None, 1_000_000, 9 * 10**11))
    with pytest.raises(BudgetExceeded):
        charge(ledger, "r2", cost=Charge(None, 1_000_000, 2 * 10**11))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.builds(Charge, st.none() | st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 4 * 10**11))),
)
def test_accepted_charges_never_exceed_the_cap(costs: list[Charge]) -> None:
    store = MemoryLinks()
    ledger = opened(store, max_epsilon=Decimal(2))
    receipts = []
    for number, cost in enumerate(costs):
        try:
            receipts.append(charge(ledger, str(number), cost=cost))
        except BudgetExceeded:
            continue
    state = ledger.state("a")
    assert len(state.charges) == len(receipts)
    assert epsilon_of(sum((record.cost for record in state.charges), ZERO), Decimal("1e-6")) <= 2
    assert ledger.verify("a", [(r.seq, r.head_hash, r.genesis_hash) for r in receipts]) == []


def test_lost_race_decides_again() -> None:
    store = MemoryLinks()
    ledger = opened(store)
    rival = make_ledger(store)

    def rival_first(link: Link) -> None:
        charge(rival, "rival", cost=Charge.pure(Decimal("2.5")))
        raise Conflict("lost")

    store.faults = [rival_first]
    with pytest.raises(BudgetExceeded):
        charge(ledger, "mine")
    assert [record.run_id for record in ledger.state("a").charges] == ["rival"]


TIER = TierCap("T1", Decimal(2), Decimal(0))


def test_the_tiers_cap_is_exact_and_a_retry_does_not_meet_it() -> None:
    store = MemoryLinks()
    ledger = opened(store)
    for run in "12":
        charge(ledger, run, tier_cap=TIER)
    words = r"tier T1 allows epsilon 2 .*spent: 2; with this charge: 2\.000000001 \(all at delta 0\)"
    with pytest.raises(BudgetExceeded, match=words):
        charge(ledger, "3", cost=Charge(1, 1, 0), tier_cap=TIER)
    assert not charge(ledger, "2", tier_cap=TIER).is_new
    assert charge(ledger, "3", cost=Charge(1, 1, 0)).is_new


def test_lost_race_decides_again_on_the_tiers_cap() -> None:
    """The rival comes between the read and the append; the scope itself would have room for both."""
    store = MemoryLinks()
    ledger = opened(store)
    rival = make_ledger(store)
    store.faults = [lambda _: charge(rival, "rival", cost=Charge.pure(Decimal("1.5")))]
    with pytest.raises(BudgetExceeded, match="tier T1 allows"):
        charge(ledger, "mine", tier_cap=TIER)
    assert [record.run_id for record in ledger.state("a").charges] == ["rival"]
    assert charge(ledger, "mine").is_new


def test_lost_race_for_the_same_attempt_spends_once() -> None:
    store = MemoryLinks()
    ledger = opened(store)
    rival = make_ledger(store)
    store.faults = [lambda _: charge(rival, "r1")]
    assert not charge(ledger, "r1").is_new
    assert len(ledger.state("a").charges) == 1


def test_lost_races_are_bounded() -> None:
    store = MemoryLinks()
    opened(store)
    ledger, rival = make_ledger(store, retries=2), make_ledger(store)
    small = Charge.pure(Decimal("0.001"))
    store.faults = [
        fault
        for number in range(5)
        for fault in (lambda _, number=number: charge(rival, f"rival{number}", cost=small), lambda _: None)
    ]
    with pytest.raises(StoreConflict, match="again"):
        charge(ledger, "mine", cost=small)


def test_crash_after_the_commit_is_not_charged_twice() -> None:
    store = MemoryLinks()
    ledger = opened(store)

    def commit_then_die(link: Link) -> None:
        store.links.append(link)
        raise KeyboardInterrupt

    store.faults = [commit_then_die]
    with pytest.raises(KeyboardInterrupt):
        charge(ledger, "r1")
    assert not charge(ledger, "r1").is_new
    assert len(ledger.state("a").charges) == 1


def test_single_writer_is_recorded() -> None:
    store = MemoryLinks()
    ledger = make_ledger(store, single_writer=True)
    ledger.open_scope("a", **TERMS)
    charge(ledger, "r1")
    assert [link.facts.get("single_writer") for link in store.links] == [None, True, True]


def test_history_has_the_running_account() -> None:
    ledger = opened(MemoryLinks(), max_delta=Decimal(0))
    charge(ledger, "r1")
    charge(ledger, "r2", cost=Charge.pure(Decimal("0.5")))
    lines = ledger.history("a")
    assert [(line.epsilon, line.remaining) for line in lines] == [(1, 2), (Decimal("1.5"), Decimal("1.5"))]
    assert lines[1].spent == ledger.state("a").spent


# --- tampering ---


def three_charges() -> tuple[MemoryLinks, Ledger, list[tuple[int, str, str]]]:
    store = MemoryLinks()
    ledger = opened(store)
    receipts = [charge(ledger, run, cost=Charge.pure(Decimal("0.1"))) for run in "123"]
    return store, ledger, [(r.seq, r.head_hash, r.genesis_hash) for r in receipts]


def test_sound_ledger_verifies() -> None:
    _, ledger, receipts = three_charges()
    assert ledger.verify("a", receipts) == []
    assert ledger.verify("a") == []


def test_cut_at_the_end_is_found_by_receipts() -> None:
    store, ledger, receipts = three_charges()
    store.links = store.links[:-1]
    assert ledger.verify("a") == []
    assert [problem for problem in ledger.verify("a", receipts) if "missing" in problem]


def test_cut_and_written_again_is_found() -> None:
    store, ledger, receipts = three_charges()
    store.links = store.links[:-1]
    charge(ledger, "another")
    assert any("written again" in problem for problem in ledger.verify("a", receipts))


def test_edit_is_found_and_freezes() -> None:
    store, ledger, receipts = three_charges()
    cheap = store.links[3].body.replace('"nano_epsilon":100000000', '"nano_epsilon":1')
    assert cheap != store.links[3].body
    store.links[3] = dataclasses.replace(store.links[3], body=cheap)
    assert any("edited" in problem for problem in ledger.verify("a", receipts))
    for call in (ledger.state, ledger.history):
        with pytest.raises(LedgerCorrupt, match="frozen"):
            call("a")
    with pytest.raises(LedgerCorrupt, match="frozen"):
        charge(ledger, "4")


def test_whole_ledger_replaced_is_found() -> None:
    _, _, receipts = three_charges()
    _, other, _ = three_charges()
    assert all("another ledger" in problem for problem in other.verify("a", receipts))
    assert len(other.verify("a", receipts)) == 3


def test_scope_copied_from_another_ledger_is_frozen() -> None:
    store, _, receipts = three_charges()
    here = MemoryLinks()
    make_ledger(here).genesis()
    here.links += [link for link in store.links if link.key == "a"]
    with pytest.raises(LedgerCorrupt, match="another ledger"):
        make_ledger(here).state("a")
    with pytest.raises(LedgerCorrupt, match="another ledger"):
        charge(make_ledger(here), "9")
    assert make_ledger(here).verify("a", receipts)
    bare = MemoryLinks()
    bare.links = [link for link in store.links if link.key == "a"]
    with pytest.raises(LedgerCorrupt, match="no genesis"):
        make_ledger(bare).state("a")
    assert make_ledger(bare).verify("a")


def test_unopened_scope_with_receipts_is_found() -> None:
    _, _, receipts = three_charges()
    assert make_ledger(MemoryLinks()).verify("a", receipts)


def forged(state: ScopeState, cost: int) -> Link:
    facts = {**state.head.facts, "nano_epsilon": cost, "nano_rho": cost**2 // (2 * 10**9)}
    return next_link(state.head, key="a", kind="charge", body=facts, payload=None, at=NOON)


def test_well_formed_links_that_break_the_rules_are_found() -> None:
    store, ledger, _ = three_charges()
    store.links.append(forged(ledger.state("a"), 9 * 10**9))
    problems = ledger.verify("a")
    assert any("same run and attempt" in problem for problem in problems)
    assert any("above its cap" in problem for problem in problems)


@pytest.mark.parametrize("body", [{}, {"run_id": 1}, {"x": "y"}])
def test_unreadable_links_are_named(body: dict[str, Any]) -> None:
    store, ledger, _ = three_charges()
    head = ledger.state("a").head
    store.links.append(next_link(head, key="a", kind="charge", body=body, payload=None, at=NOON))
    with pytest.raises(LedgerCorrupt, match="not a charge"):
        ledger.state("a")
    assert ledger.verify("a")
    store.links[-1] = next_link(head, key="a", kind="refund", body=body, payload=None, at=NOON)
    with pytest.raises(LedgerCorrupt, match="one opening followed by charges"):
        ledger.state("a")


class _Conf:
    def __init__(self, **values: str) -> None:
        self.values = values

    def get(self, name: str, default: str | None = None) -> str | None:
        return self.values.get(name.rsplit(".", 2)[-2], default)


class _Session:
    """As much of a session as a look at its log stores needs."""

    def __init__(self, **values: str) -> None:
        self.conf = _Conf(**values)

    def sql(self, _: str) -> _Session:
        return self

    def collect(self) -> list[Any]:
        return []


def test_unsafe_zone_is_refused_at_once() -> None:
    zone = Zone("s3a://bucket/ledger")
    with pytest.raises(EnvironmentProblem, match="single_writer"):
        Ledger(_Session(), zone)  # type: ignore[arg-type]
    with pytest.raises(EnvironmentProblem, match="single_writer"):
        Ledger(_Session(s3a="io.delta.storage.S3SingleDriverLogStore"), zone)  # type: ignore[arg-type]
    Ledger(_Session(s3a="io.delta.storage.S3DynamoDBLogStore"), zone)  # type: ignore[arg-type]
    Ledger(_Session(), zone, single_writer=True)  # type: ignore[arg-type]
    Ledger(_Session(), Zone("abfss://c@a/ledger"))  # type: ignore[arg-type]


def test_seals_are_kept_as_safely_as_charges(tmp_path: Path) -> None:
    """Of two drivers that both read back their own seal, each would use its own draw."""
    zones = {"ledger": "hdfs://name/ledger", "protected": "s3a://bucket/protected"}
    unsafe = TestSite(tmp_path / "unsafe", site=zones)
    with pytest.raises(EnvironmentProblem, match="s3a://bucket/protected/approvals: s3a:// has no safe log store"):
        Ward(_Session(), load_site(unsafe.file))  # type: ignore[arg-type]
    promised = TestSite(tmp_path / "promised", site={**zones, "single_writer": True})
    Ward(_Session(), load_site(promised.file))  # type: ignore[arg-type]
