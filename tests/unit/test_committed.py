"""Commitments over stores in memory: crashes, two drivers, journals that were cut back or written by others."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from store_doubles import MemoryLinks
from synthward.errors import IntegrityError, LedgerCorrupt
from synthward.ledger.charges import CHARGE, record_of
from synthward.ledger.commitments import COMMIT, commitment_body, commitment_of
from synthward.ledger.ledger import Ledger
from synthward.records.codec import encode
from synthward.records.ledger import Commitment
from synthward.run.committed import CommittedJournal, CommittedSeals
from synthward.run.evidence import evidence_of
from synthward.run.journal import FITTED, OPENED, SEALED, VALIDATED, Journal
from synthward.store.chain import Chain
from synthward.store.envelope import METHOD, disclose, enclose
from synthward.store.links import Link, next_link
from synthward.store.places import TableRef, Zone
from trial import SCOPE, Clock, Stopped, paid_journal

RUN = "run"
SECRET = b"noisy numbers of a round"


class World:
    """The two tables that outlive a driver."""

    def __init__(self) -> None:
        self.journal = MemoryLinks()
        self.ledger = MemoryLinks()
        self.open_journal().once(OPENED, lambda: ({"journal_id": "j", "scope": SCOPE}, None))

    def open_journal(self) -> Journal:
        """The journal as a new driver sees it."""
        return Journal(Chain(None, TableRef(parts=("journal",)), store=self.journal, clock=Clock()), RUN)

    def driver(self) -> CommittedJournal:
        """What a new driver works with."""
        return paid_journal(self.open_journal(), self.ledger)

    def plant(self, kind: str, facts: dict[str, Any], payload: bytes | None = None) -> Link:
        """Writes a well-formed link that no run committed."""
        head = self.journal.links[-1]
        link = next_link(head, key=RUN, kind=kind, body=facts, payload=payload, at=Clock()())
        self.journal.links.append(link)
        return link

    def kinds(self) -> list[str]:
        """What the journal holds."""
        return [link.kind for link in self.journal.links]

    def verify(self) -> list[str]:
        """What `budget verify` says of the scope."""
        links = {RUN: tuple(self.journal.links)}
        kept = evidence_of(links, ())
        ledger = Ledger(None, Zone("memory/ledger"), store=self.ledger, clock=Clock())
        return [*ledger.verify(SCOPE, kept.receipts.get(SCOPE, ()), kept.journals), *kept.faults.get(SCOPE, ())]


def stopped(_: Link) -> None:
    raise Stopped("killed before the commit")


def seal(driver: CommittedJournal, payload: bytes = SECRET, step: str = "moments") -> tuple[dict[str, Any], bytes]:
    return CommittedSeals(driver).put(step, {"digest": "d"}, payload)


def test_seals_are_links_of_the_journal_and_the_first_one_wins() -> None:
    world = World()
    ours, theirs = world.driver(), world.driver()
    assert CommittedSeals(ours).find("moments") is None
    stored = seal(theirs, b"theirs")
    assert seal(ours, b"ours") == stored
    assert stored[1] == b"theirs"
    assert stored[0]["ledger"] == encode(ours.paid)
    assert world.kinds() == [OPENED, SEALED]
    assert seal(ours, b"ours", "other")[1] == b"ours"
    assert world.verify() == []


def test_of_two_drivers_that_wrote_their_seals_the_first_to_commit_counts() -> None:
    """The slower one has its own seal in the journal already, and reads the other's."""
    world = World()
    ours, theirs = world.driver(), world.driver()

    def overtaken(_: Link) -> None:
        assert seal(theirs, b"theirs")[1] == b"theirs"

    world.ledger.faults.append(overtaken)
    assert seal(ours, b"ours")[1] == b"theirs"
    assert world.kinds() == [OPENED, SEALED, SEALED]
    assert CommittedSeals(world.driver()).find("moments") == CommittedSeals(ours).find("moments")
    assert world.verify() == []


def test_a_seal_cannot_be_read_before_its_commitment() -> None:
    """So a driver that is killed between the two has shown its draw to nobody, and the step is drawn again."""
    world = World()
    driver = world.driver()
    world.ledger.faults.append(stopped)
    with pytest.raises(Stopped):
        seal(driver)
    [left] = [link for link in world.journal.links if link.kind == SEALED]
    assert SECRET not in (left.payload or b"")
    assert left.facts["enclosed"] == METHOD
    assert not any(link.kind == COMMIT for link in world.ledger.links)
    again = world.driver()
    assert CommittedSeals(again).find("moments") is None
    assert not again.is_sealed()
    assert seal(again, b"another draw")[1] == b"another draw"
    assert world.kinds() == [OPENED, SEALED, SEALED]
    assert again.last_seal() == world.journal.links[-1]
    assert world.verify() == []


def test_every_seal_has_a_key_of_its_own() -> None:
    world = World()
    driver = world.driver()
    seal(driver)
    seal(driver, step="again")
    one, two = world.journal.links[1:]
    assert one.payload != two.payload
    keys = {commitment_of(link).commitment.seal_key for link in world.ledger.links if link.kind == COMMIT}
    assert len(keys) == 2
    assert {disclose(str(key), enclosed) for key, enclosed in (enclose(SECRET), enclose(SECRET))} == {SECRET}


@pytest.mark.parametrize("cut", [1, 2])
def test_a_step_whose_committed_link_is_gone_is_forfeit(cut: int) -> None:
    world = World()
    seal(world.driver())
    seal(world.driver(), b"more", "tables")
    del world.journal.links[-cut:]
    driver = world.driver()
    for action in (lambda: CommittedSeals(driver).find("tables"), lambda: seal(driver, b"again", "tables")):
        with pytest.raises(IntegrityError, match=r"run run, step 'sealed.tables': .* was cut back") as refused:
            action()
        assert not refused.value.retryable
        assert "start a run with a new key" in str(refused.value)
    problems = world.verify()
    assert len(problems) == cut
    assert "committed its step 'sealed.tables', which is missing" in problems[-1]


def test_a_committed_link_that_was_written_again_is_forfeit() -> None:
    world = World()
    seal(world.driver())
    seal_link = world.journal.links.pop()
    world.plant(SEALED, seal_link.facts, b"x" * len(seal_link.payload or b""))
    with pytest.raises(IntegrityError, match="forfeit"):
        CommittedSeals(world.driver()).find("moments")
    assert world.verify() != []


@pytest.mark.parametrize("kind", [FITTED, VALIDATED])
def test_a_link_without_a_commitment_is_not_obeyed(kind: str) -> None:
    world = World()
    seal(world.driver())
    planted = world.plant(kind, {"model": "theirs"}, b"theirs")
    driver = world.driver()
    assert driver.find(kind) is None
    link = driver.once(kind, lambda: ({"model": "ours", "ledger": driver.latest_receipt()}, b"ours"))
    assert link != planted
    assert link.payload == b"ours"
    assert world.driver().once(kind, lambda: pytest.fail("made twice")) == link
    assert world.kinds() == [OPENED, SEALED, kind, kind]
    assert world.verify() == []


def test_a_planted_seal_is_not_obeyed() -> None:
    world = World()
    world.plant(SEALED, {"step": "moments", "attempt": 1, "asked": []}, b"theirs")
    driver = world.driver()
    assert CommittedSeals(driver).find("moments") is None
    assert not driver.is_sealed()
    with pytest.raises(IntegrityError, match="has no seal"):
        driver.last_seal()
    assert seal(driver)[1] == SECRET


@pytest.mark.parametrize("step", ["journal", "ledger"])
def test_a_run_that_dies_around_a_link_makes_it_again(step: str) -> None:
    world = World()
    driver = world.driver()
    seal(driver)
    (world.journal if step == "journal" else world.ledger).faults.append(stopped)
    made: list[int] = []

    def make() -> tuple[dict[str, Any], bytes]:
        made.append(1)
        return {"model": "m"}, b"model"

    with pytest.raises(Stopped):
        driver.once(FITTED, make)
    assert world.driver().once(FITTED, make).payload == b"model"
    assert len(made) == 2
    assert world.verify() == []


def test_an_opening_that_was_replaced_under_its_charge_is_refused() -> None:
    world = World()
    seal(world.driver())
    world.journal.links.clear()
    world.open_journal().once(OPENED, lambda: ({"journal_id": "j", "scope": SCOPE, "source": "another"}, None))
    with pytest.raises(IntegrityError, match="charged for another opening"):
        world.driver()
    assert any("charged for an opening that is not in its journal" in problem for problem in world.verify())


def test_a_ledger_cut_behind_a_commitment_is_found() -> None:
    """Later links of the journal keep its receipt, as seals keep that of the charge."""
    world = World()
    driver = world.driver()
    seal(driver)
    driver.once(FITTED, lambda: ({"model": "m", "ledger": driver.latest_receipt()}, b""))
    assert world.verify() == []
    while world.ledger.links[-1].kind == COMMIT:
        world.ledger.links.pop()
    assert [problem for problem in world.verify() if "is missing (or the commitment); the ledger was cut" in problem]


def test_a_run_that_was_not_charged_commits_nothing() -> None:
    world = World()
    world.driver()
    ledger = Ledger(None, Zone("memory/ledger"), store=world.ledger, clock=Clock())
    with pytest.raises(IntegrityError, match="run other was not charged"):
        ledger.commit(SCOPE, Commitment("other", 1, FITTED, "0" * 64))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"run_id": RUN, "attempt": 1, "step": FITTED, "digest": "1" * 64, "seal_key": None}, "for the second time"),
        ({"run_id": "x", "attempt": 1, "step": FITTED, "digest": "1" * 64, "seal_key": None}, "was not charged"),
        ({"run_id": RUN, "attempt": 1, "step": "more", "digest": "1" * 63, "seal_key": None}, "not a commitment"),
        ({"run_id": RUN, "attempt": 1, "step": "more", "digest": "1" * 64, "seal_key": "z"}, "not a commitment"),
        ({"run_id": RUN, "step": "more", "digest": "1" * 64}, "not a commitment"),
    ],
)
def test_commitments_that_break_the_rules_freeze_the_scope(body: dict[str, Any], told: str) -> None:
    world = World()
    world.driver().once(FITTED, lambda: ({"model": "m"}, b""))
    head = world.ledger.links[-1]
    world.ledger.links.append(next_link(head, key=SCOPE, kind=COMMIT, body=body, payload=None, at=Clock()()))
    ledger = Ledger(None, Zone("memory/ledger"), store=world.ledger, clock=Clock())
    with pytest.raises(LedgerCorrupt, match=told):
        ledger.state(SCOPE)
    assert any(told in problem for problem in world.verify())


def test_a_commitment_reads_back_as_it_was_written() -> None:
    given = Commitment(RUN, 1, "sealed.moments", "ab" * 32, "cd" * 32)
    link = next_link(None, key=SCOPE, kind=COMMIT, body=commitment_body(given), payload=None, at=Clock()())
    assert commitment_of(link).commitment == given
    assert "cd" not in repr(given)


# --- runs of versions before commitments ---

GOLDEN = Path(__file__).with_name("before_commitments.json")
"""Ledger and journal of one run as version 6d98ec5 wrote them, stopped after its model was kept."""


def golden() -> World:
    world = World()
    found = json.loads(GOLDEN.read_text(encoding="utf-8"))
    for store, name in ((world.journal, "journal"), (world.ledger, "ledger")):
        rows = [
            {**row, "payload": None if row["payload"] is None else bytes.fromhex(row["payload"])} for row in found[name]
        ]
        store.links = [Link(**row) for row in rows]
    return world


def golden_driver(world: World) -> tuple[CommittedJournal, Ledger, str]:
    ledger = Ledger(None, Zone("memory/ledger"), store=world.ledger, clock=Clock())
    [charge] = ledger.state(SCOPE).charges
    chain = Chain(None, TableRef(parts=("journal",)), store=world.journal, clock=Clock())
    receipt = charge.receipt(ledger.genesis().hash, is_new=False)
    return CommittedJournal(Journal(chain, charge.run_id), ledger, SCOPE, receipt), ledger, charge.run_id


def test_a_ledger_of_an_older_version_loads_and_verifies() -> None:
    world = golden()
    driver, ledger, run_id = golden_driver(world)
    assert not driver.is_bound
    assert ledger.state(SCOPE).commitments == ()
    kept = evidence_of({run_id: tuple(world.journal.links)}, ())
    assert kept.receipts[SCOPE]
    assert ledger.verify(SCOPE, kept.receipts[SCOPE], kept.journals) == []
    del world.ledger.links[-1]
    assert ledger.verify(SCOPE, kept.receipts[SCOPE], kept.journals) != []


def test_a_run_of_an_older_version_is_finished_by_its_own_rules() -> None:
    world = golden()
    driver, _, _ = golden_driver(world)
    charged = len(world.ledger.links)
    found = CommittedSeals(driver).find("moments")
    assert found is not None
    assert found[1] == world.journal.links[1].payload
    assert CommittedSeals(driver).put("moments", {}, b"another draw") == found
    assert driver.last_seal().hash == world.journal.links[1].hash
    fitted = driver.find(FITTED)
    assert fitted is not None
    assert driver.once(FITTED, lambda: pytest.fail("made twice")) == fitted
    assert driver.opening().kind == OPENED
    assert driver.once(VALIDATED, lambda: ({"passed": True}, b"")).kind == VALIDATED
    assert len(world.ledger.links) == charged


def test_an_older_charge_is_found_again_and_costs_nothing() -> None:
    world = golden()
    _, ledger, _ = golden_driver(world)
    [link] = [link for link in world.ledger.links if link.kind == CHARGE]
    assert "opened" not in link.facts
    made = record_of(link)
    names = ("run_id", "attempt", "request_digest", "policy_digest", "site_digest", "journal_id", "cost", "release_id")
    again = ledger.charge(
        SCOPE, **{name: getattr(made, name) for name in names}, delta_report=made.delta_report, opened="f" * 64
    )
    assert not again.is_new
    assert again.opened is None


def test_a_charge_of_this_version_cannot_pass_for_an_older_one() -> None:
    """Which rules hold stands in the ledger, where a writer of the protected zone cannot change it."""
    world = World()
    world.driver()
    [link] = [link for link in world.ledger.links if link.kind == CHARGE]
    assert record_of(link).opened == world.journal.links[0].hash


# --- time ---


@pytest.mark.parametrize("place", ["ledger", "journal"])
def test_a_link_dated_before_the_one_it_follows_is_found(place: str) -> None:
    world = World()
    seal(world.driver())
    store = world.ledger if place == "ledger" else world.journal
    last = store.links[-1]
    forged = dataclasses.replace(last, at="1999-01-01T00:00:00.000000Z")
    store.links[-1] = rehashed(forged)
    told = [problem for problem in world.verify() if "a clock was set back" in problem]
    assert len(told) == 1
    assert told[0].startswith("journal of run run: link" if place == "journal" else "link")


def rehashed(link: Link) -> Link:
    import hashlib

    from synthward.config.canonical import canonical_json

    names = ("key", "seq", "kind", "body", "at", "prev")
    text = canonical_json({**{name: getattr(link, name) for name in names}, "payload": link.payload_sha256})
    return dataclasses.replace(link, hash=hashlib.sha256(text.encode()).hexdigest())


@pytest.mark.parametrize(("seconds", "kept"), [(-299, True), (-301, False), (1, False)])
def test_clocks_that_differ_a_little_give_no_finding(seconds: int, kept: bool) -> None:
    import datetime as dt

    noon = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
    times = [noon, noon + dt.timedelta(seconds=seconds)]
    chain = Chain(None, TableRef(parts=("t",)), store=MemoryLinks(), clock=lambda: times.pop(0))
    first = chain.append("a", "x", {}, None, None)
    second = chain.append("a", "x", {}, None, first)
    assert (second.at == first.at) == kept
    assert (second.at < first.at) == (seconds < -300)
