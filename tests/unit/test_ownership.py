"""A table belongs to one scope: openings, additions, races and crashes over a store in memory."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from store_doubles import Conflict, MemoryLinks
from synthward.errors import BudgetError, LedgerCorrupt
from synthward.ledger.charges import ChargeReceipt
from synthward.ledger.exposure import exposure
from synthward.ledger.ledger import GENESIS_KEY, Ledger
from synthward.ledger.ownership import CLAIMS_KEY, Addition
from synthward.privacy.accounting import Charge, epsilon_of, total
from synthward.spec.population import OptOuts, People, Route, Step, Table
from synthward.store.links import Link, next_link
from synthward.store.places import Zone

NOON = dt.datetime(2026, 1, 31, 12, 0, tzinfo=dt.UTC)
ID_A, ID_B = "0f8fad5b-d9cb-469f-a165-70867728950e", "7c9e6679-7425-40de-944b-e07fc1f90ae7"
TERMS: dict[str, Any] = {
    "max_epsilon": Decimal(3),
    "max_delta": Decimal("1e-6"),
    "declared_patients": 1000,
    "unit": "patient",
    "by": "lee",
    "policy_digest": "p",
    "site_digest": "s",
}


def table(path: str, **more: Any) -> Table:
    return Table(path=path, **more)


def people(*tables: Table, **more: Any) -> People:
    return People(**{"key": "pid", "sources": tuple(Route(source=item) for item in tables), **more})


VISITS, STAYS, LIST = table("/data/visits"), table("/data/stays"), table("/data/opt_outs")
CLINIC = people(VISITS)


def ledger_on(store: MemoryLinks) -> Ledger:
    return Ledger(None, Zone("/nowhere/ledger"), store=store, clock=lambda: NOON, sleep=lambda _: None)


def opened(store: MemoryLinks, scope: str = "clinic", about: People | None = CLINIC, **terms: Any) -> Any:
    return ledger_on(store).open_scope(scope, **{**TERMS, **terms}, people=about)


def spend(store: MemoryLinks, scope: str, epsilon: int, run_id: str = "r") -> ChargeReceipt:
    return ledger_on(store).charge(
        scope,
        run_id=run_id,
        attempt=1,
        request_digest=run_id,
        policy_digest="p",
        site_digest="s",
        journal_id="j",
        opened="0" * 64,
        cost=Charge.pure(Decimal(epsilon)),
        release_id=run_id,
        delta_report=Decimal(0),
    )


# --- opening ---


def test_the_first_link_holds_the_people() -> None:
    store = MemoryLinks()
    state = opened(store)
    assert (state.is_new, state.people) == (True, CLINIC)
    assert [link.key for link in store.links] == [GENESIS_KEY, CLAIMS_KEY, "clinic"]
    again = opened(store, by="kim")
    assert (again.is_new, again.people) == (False, CLINIC)
    assert ledger_on(store).state("clinic").people == CLINIC
    assert len(store.links) == 3
    assert ledger_on(store).verify_ownership() == []
    assert ledger_on(store).verify("clinic") == []


def test_an_open_scope_keeps_its_people() -> None:
    store = MemoryLinks()
    opened(store)
    for other in (people(STAYS), people(VISITS, STAYS), people(VISITS, key="encounter_id")):
        with pytest.raises(BudgetError, match=r"is open since .* for other tables, another key, path"):
            opened(store, about=other)
    with pytest.raises(BudgetError, match="never changed"):
        opened(store, max_epsilon=Decimal(4))
    assert [link.key for link in store.links] == [GENESIS_KEY, CLAIMS_KEY, "clinic"]


@pytest.mark.parametrize(
    "other",
    [
        VISITS,
        table("/data/visits", format="parquet"),
        table("file:///data//visits/"),
        table("/data"),
        table("/data/visits/ward=7"),
    ],
)
def test_a_second_scope_over_the_same_source_is_refused(other: Table) -> None:
    store = MemoryLinks()
    opened(store)
    before = list(store.links)
    with pytest.raises(BudgetError, match=r"scope 'clinic2': table .* is a source of scope 'clinic'"):
        opened(store, "clinic2", people(STAYS, other))
    assert store.links == before


def test_one_table_under_two_locations_is_known_by_its_id() -> None:
    store = MemoryLinks()
    opened(store, about=people(table("/data/visits", table_id=ID_A)))
    alias = Table(table="main.ehr.visits", table_id=ID_A)
    with pytest.raises(BudgetError, match=r"table main.ehr.visits is a source of scope 'clinic' \(as /data/visits\)"):
        opened(store, "clinic2", people(alias))
    opened(store, "clinic2", people(Table(table="main.ehr.visits", table_id=ID_B)))


def test_tables_on_the_way_to_the_patient_are_owned_as_well() -> None:
    store = MemoryLinks()
    way = Route(source=VISITS, path=(Step(source=STAYS, on={"stay": "stay"}),))
    opened(store, about=People(key="pid", sources=(way,)))
    with pytest.raises(BudgetError, match=r"table /data/stays is a source of scope 'clinic'"):
        opened(store, "stays", people(STAYS))


def test_all_tables_of_others_are_named_at_once() -> None:
    store = MemoryLinks()
    opened(store)
    opened(store, "stays", people(STAYS))
    with pytest.raises(BudgetError, match=r"/data/visits is .* 'clinic'; table /data/stays is .* 'stays'"):
        opened(store, "both", people(VISITS, STAYS))


def test_scopes_over_different_sources_open() -> None:
    store = MemoryLinks()
    opened(store)
    assert opened(store, "stays", people(STAYS)).is_new
    assert ledger_on(store).verify_ownership() == []


# --- two at once, and crashes ---


def racing(store: MemoryLinks, act: Callable[[], Any], key: str = CLAIMS_KEY) -> Callable[[Link], None]:
    """A fault that lets somebody else act first, right before a link of a chain is inserted, once."""

    def fault(link: Link) -> None:
        if link.key != key:
            store.faults.append(fault)
            return
        act()

    return fault


def test_of_two_openings_of_one_source_at_once_one_is_refused() -> None:
    store = MemoryLinks()
    opened(store, "other", people(STAYS))
    store.faults.append(racing(store, lambda: opened(store, "second")))
    with pytest.raises(BudgetError, match="is a source of scope 'second'"):
        opened(store, "first")
    assert {link.key for link in store.links} == {GENESIS_KEY, CLAIMS_KEY, "other", "second"}
    assert ledger_on(store).verify_ownership() == []


def test_of_two_openings_of_one_scope_at_once_one_is_refused() -> None:
    store = MemoryLinks()
    store.faults.append(racing(store, lambda: opened(store, about=people(STAYS)), key="clinic"))
    with pytest.raises(BudgetError, match="for other tables"):
        opened(store)
    assert ledger_on(store).state("clinic").people == people(STAYS)
    assert opened(store, "visits").is_new  # the claim of the opening that lost counts for nothing
    assert ledger_on(store).verify_ownership() == []


def test_a_claim_that_an_opening_without_people_made_void_is_made_again() -> None:
    store = MemoryLinks()

    def act() -> None:
        opened(store, about=None)
        opened(store, "thief")  # nothing stands in its way: the claim was for an opening that cannot be written now

    store.faults.append(racing(store, act, key="clinic"))
    with pytest.raises(BudgetError, match="is a source of scope 'thief'"):
        opened(store)
    assert ledger_on(store).state("clinic").people is None
    assert ledger_on(store).verify_ownership() == []


def test_of_two_openings_of_different_sources_at_once_both_succeed() -> None:
    store = MemoryLinks()
    store.faults.append(racing(store, lambda: opened(store, "second", people(STAYS))))
    assert opened(store, "first").is_new
    assert [link.seq for link in store.links if link.key == CLAIMS_KEY] == [0, 1]


class Killed(RuntimeError):
    """The driver died."""


def kill_at(key: str) -> Callable[[Link], None]:
    def fault(link: Link) -> None:
        if link.key == key:
            raise Killed

    return fault


def test_a_claim_without_its_opening_keeps_the_source_and_is_completed() -> None:
    store = MemoryLinks()
    ledger_on(store).genesis()
    store.faults += [lambda _: None, kill_at("clinic")]
    with pytest.raises(Killed):
        opened(store)
    assert [link.key for link in store.links] == [GENESIS_KEY, CLAIMS_KEY]
    with pytest.raises(BudgetError, match="is a source of scope 'clinic'"):
        opened(store, "clinic2")
    assert opened(store).is_new
    assert [link.key for link in store.links] == [GENESIS_KEY, CLAIMS_KEY, "clinic"]


def test_a_claim_of_an_opening_that_lost_counts_for_nothing() -> None:
    store = MemoryLinks()
    ledger_on(store).genesis()
    store.faults += [lambda _: None, kill_at("clinic")]
    with pytest.raises(Killed):
        opened(store, about=people(STAYS))
    opened(store)  # another population under that name came first: the claim of /data/stays can never be completed
    assert opened(store, "stays", people(STAYS)).is_new
    assert ledger_on(store).verify_ownership() == []


def test_a_lost_commit_is_tried_again() -> None:
    store = MemoryLinks()

    def conflict(_: Link) -> None:
        raise Conflict("lost")

    ledger_on(store).genesis()
    store.faults += [conflict, conflict]
    assert opened(store).is_new
    assert len([link for link in store.links if link.key == CLAIMS_KEY]) == 1


# --- scopes without people ---


def old_opening(store: MemoryLinks, scope: str = "clinic") -> None:
    """A scope as version 0.1 opened it: the body has no people."""
    genesis = ledger_on(store).genesis()
    body = {
        "scope": scope,
        "max_epsilon": "3",
        "max_delta": "0.000001",
        "declared_patients": 1000,
        "unit": "patient",
        "by": "lee",
        "policy_digest": "p",
        "site_digest": "s",
        "note": "",
        "genesis": genesis.hash,
        "single_writer": False,
    }
    store.links.append(next_link(None, key=scope, kind="open", body=body, payload=None, at=NOON))


def test_scopes_of_an_earlier_version_load_verify_and_are_charged() -> None:
    store = MemoryLinks()
    old_opening(store)
    assert ledger_on(store).state("clinic").people is None
    assert spend(store, "clinic", 1).is_new
    assert ledger_on(store).verify("clinic") == []
    assert ledger_on(store).verify_ownership() == []


def test_a_scope_without_people_is_bound_once_and_keeps_what_it_spent() -> None:
    store = MemoryLinks()
    old_opening(store)
    spend(store, "clinic", 1)
    bound = opened(store)
    assert (bound.people, bound.epsilon_spent) == (CLINIC, Decimal(1))
    assert opened(store) == bound
    assert [link.kind for link in store.links if link.key == "clinic"] == ["open", "charge", "bind"]
    with pytest.raises(BudgetError, match="for other tables"):
        opened(store, about=people(STAYS))
    with pytest.raises(BudgetError, match="is a source of scope 'clinic'"):
        opened(store, "clinic2")
    assert spend(store, "clinic", 1, "r2").is_new
    assert ledger_on(store).verify("clinic") == []


def test_binding_asks_for_the_same_budget() -> None:
    store = MemoryLinks()
    old_opening(store)
    with pytest.raises(BudgetError, match="never changed"):
        opened(store, declared_patients=999)
    assert ledger_on(store).state("clinic").people is None


# --- additions ---


def added(store: MemoryLinks, scope: str = "clinic", **what: Any) -> Any:
    return ledger_on(store).add(scope, Addition(**{"by": "lee", "reason": "a clone", **what}))


def test_a_derived_table_shares_the_budget() -> None:
    store = MemoryLinks()
    opened(store)
    route = Route(source=STAYS)
    state = added(store, route=route)
    assert state.is_new
    assert state.people.sources == (Route(source=VISITS), route)
    assert not added(store, route=route, by="kim", reason="again").is_new
    last = store.links[-1]
    assert (last.kind, last.facts["by"], last.facts["reason"], last.facts["signature"]) == (
        "own",
        "lee",
        "a clone",
        None,
    )
    assert spend(store, "clinic", 1).is_new
    assert ledger_on(store).verify("clinic") == []
    assert ledger_on(store).verify_ownership() == []
    assert opened(store).people == state.people


def test_a_table_of_another_scope_cannot_be_added_nor_an_added_one_opened() -> None:
    store = MemoryLinks()
    opened(store)
    opened(store, "stays", people(STAYS))
    with pytest.raises(BudgetError, match="is a source of scope 'stays'"):
        added(store, route=Route(source=STAYS))
    added(store, route=Route(source=table("/data/clone")))
    with pytest.raises(BudgetError, match="is a source of scope 'clinic'"):
        opened(store, "clone", people(table("/data/clone")))


def test_an_addition_that_was_claimed_only_is_completed() -> None:
    store = MemoryLinks()
    opened(store)
    store.faults += [lambda _: None, kill_at("clinic")]
    with pytest.raises(Killed):
        added(store, route=Route(source=STAYS))
    with pytest.raises(BudgetError, match="is a source of scope 'clinic'"):
        opened(store, "stays", people(STAYS))
    assert added(store, route=Route(source=STAYS)).is_new
    assert len([link for link in store.links if link.key == CLAIMS_KEY]) == 2


def test_a_source_keeps_its_way_to_the_patient() -> None:
    store = MemoryLinks()
    opened(store)
    with pytest.raises(BudgetError, match="with another key or path"):
        added(store, route=Route(source=VISITS, key="encounter_id"))


def test_nothing_is_added_to_a_scope_without_people() -> None:
    store = MemoryLinks()
    old_opening(store)
    with pytest.raises(BudgetError, match="bound to no source"):
        added(store, route=Route(source=STAYS))
    with pytest.raises(BudgetError, match="is not open"):
        added(store, "nobody", route=Route(source=STAYS))


def test_opt_outs_are_named_once_and_may_be_shared_between_scopes() -> None:
    store = MemoryLinks()
    opted = OptOuts(source=LIST, key="pid")
    opened(store, about=people(VISITS, excluded=opted))
    opened(store, "stays", people(STAYS))
    assert added(store, "stays", excluded=opted).people.excluded == opted
    assert not added(store, "stays", excluded=opted).is_new
    with pytest.raises(BudgetError, match="has the list of opt-outs /data/opt_outs already"):
        added(store, "stays", excluded=OptOuts(source=table("/data/other"), key="pid"))
    with pytest.raises(BudgetError, match="is the list of opt-outs of scope"):
        opened(store, "lists", people(LIST))
    with pytest.raises(BudgetError, match="is a source of scope 'stays'"):
        opened(store, "third", people(table("/data/third"), excluded=OptOuts(source=STAYS, key="pid")))
    assert ledger_on(store).verify_ownership() == []


# --- what verify finds ---


def test_a_table_of_two_scopes_is_found() -> None:
    store = MemoryLinks()
    opened(store)
    other = MemoryLinks()
    other.links = [link for link in store.links if link.key == GENESIS_KEY]
    opened(other, "clinic2")
    claims = [link for link in store.links if link.key == CLAIMS_KEY]
    forged = next_link(
        claims[-1], key=CLAIMS_KEY, kind="claim", body=json.loads(other.links[1].body), payload=None, at=NOON
    )
    store.links += [forged, *(link for link in other.links if link.key == "clinic2")]
    [problem] = ledger_on(store).verify_ownership()
    assert problem == "scope 'clinic2': table /data/visits is a source of scope 'clinic' as well"


def test_an_opening_without_its_claim_is_found() -> None:
    store = MemoryLinks()
    opened(store)
    store.links = [link for link in store.links if link.key != CLAIMS_KEY]
    [problem] = ledger_on(store).verify_ownership()
    assert problem == "scope 'clinic': owns table /data/visits without a claim in '_sources'"


def test_an_edited_claim_is_found() -> None:
    store = MemoryLinks()
    opened(store)
    place = next(k for k, link in enumerate(store.links) if link.key == CLAIMS_KEY)
    edited = store.links[place].body.replace("/data/visits", "/data/empty")
    store.links[place] = dataclasses.replace(store.links[place], body=edited)
    assert "edited after it was written" in ledger_on(store).verify_ownership()[0]


@pytest.mark.parametrize("kind", ["open", "bind", "own"])
def test_links_that_cannot_be_read_freeze_the_scope(kind: str) -> None:
    store = MemoryLinks()
    opened(store)
    head = next(link for link in store.links if link.key == "clinic")
    wrong = {"people": {"unit": "patient"}, "by": "lee"}
    store.links.append(next_link(head, key="clinic", kind=kind, body=wrong, payload=None, at=NOON))
    with pytest.raises(LedgerCorrupt, match="clinic"):
        ledger_on(store).state("clinic")


# --- exposure ---


def test_exposure_adds_up_over_scopes() -> None:
    store = MemoryLinks()
    opened(store)
    opened(store, "stays", people(STAYS))
    opened(store, "rows", People(unit="row", sources=(Route(source=table("/data/rows")),)), unit="row")
    spend(store, "clinic", 1)
    spend(store, "stays", 2)
    spend(store, "rows", 3)
    found = exposure(ledger_on(store).scopes())
    assert (found.epsilon, found.delta, found.cap) == (Decimal(3), Decimal("2e-6"), Decimal(6))
    assert [(part.scope, part.epsilon) for part in found.scopes] == [
        ("clinic", Decimal(1)),
        ("rows", Decimal(3)),
        ("stays", Decimal(2)),
    ]
    assert found.left_out == ("rows",)


def test_exposure_of_zcdp_adds_rho() -> None:
    store = MemoryLinks()
    cost = Charge.concentrated(Decimal("0.01"))
    for scope, path in (("clinic", "/data/a"), ("stays", "/data/b")):
        opened(store, scope, people(table(path)))
        ledger_on(store).charge(
            scope,
            run_id=scope,
            attempt=1,
            request_digest="r",
            policy_digest="p",
            site_digest="s",
            journal_id="j",
            opened="0" * 64,
            cost=cost,
            release_id="x",
            delta_report=Decimal(0),
        )
    states = ledger_on(store).scopes()
    both = total([cost, cost])
    assert exposure(states, Decimal("1e-9")).epsilon == epsilon_of(both, Decimal("1e-9"))
    loose = exposure(states)
    assert loose.delta == Decimal("2e-6")
    assert loose.epsilon == min(epsilon_of(both, Decimal("2e-6")), 2 * epsilon_of(cost, Decimal("1e-6")))
    assert exposure(states, Decimal(0)).epsilon.is_infinite()


def test_exposure_of_nothing_is_nothing() -> None:
    found = exposure(())
    assert (found.epsilon, found.delta, found.scopes) == (Decimal(0), Decimal(0), ())
