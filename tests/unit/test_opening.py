"""Copies of sources without versions, without Spark: made once, found again, made anew only while nothing is sealed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pyspark.sql import types as T

from store_doubles import MemoryLinks
from synthward.errors import IntegrityError, LedgerCorrupt
from synthward.records.codec import encode
from synthward.records.journal import Copied, Opened
from synthward.run import opening
from synthward.run.committed import CommittedJournal
from synthward.run.environment import Places
from synthward.run.journal import COPIED, OPENED, SEALED, Journal
from synthward.run.plan import Plan
from synthward.sources.reading import Pinned, PinnedSource
from synthward.spec.request import Source
from synthward.store.chain import Chain
from synthward.store.places import TableRef, Zone
from trial import Clock, TestSite, paid_journal, plan_of

VIEW = {"_whole": True, "format": "delta", "table": "a.view", "snapshot": "materialize"}
COPY = "file:/protected/source_r1_0"


class World:
    """One run with a view, its journal, and what became of its copies."""

    def __init__(self, root: Path, source: Mapping[str, Any]) -> None:
        site = TestSite(root)
        self.plan: Plan = plan_of(site, site.request(source=source))
        self.chain = Chain(None, TableRef(parts=("journal",)), store=MemoryLinks(), clock=Clock())
        self.places = Places(TableRef(path="/s"), TableRef(path="/t"), Zone("file:/protected"), "r1")
        self.pinned = PinnedSource((Pinned(self.plan.file.resolved(self.plan.file.request.source)),))
        self.version = 0
        self.whole = True
        self.dropped: list[str] = []
        opened = Opened(
            source=self.pinned.record(),
            copies=(COPY,),
            types={},
            source_ref="r",
            journal_id="j",
            table="/t",
            **opening._approved(self.plan),
        )
        facts = encode(opened)
        self.journal().once(OPENED, lambda: (facts, None))
        self.store = MemoryLinks()

    @property
    def env(self) -> Any:
        """Stands for an `Environment`."""
        scope = SimpleNamespace(scope="clinic", people=None)
        ledger = SimpleNamespace(state=lambda _: scope)
        return cast("Any", type("Env", (), {"spark": None, "site": None, "journal": self.chain, "ledger": ledger}))

    def journal(self) -> Journal:
        """As a new driver sees it."""
        return Journal(self.chain, self.plan.identity.run_id)

    def committed(self) -> CommittedJournal:
        """As a new driver sees it."""
        return paid_journal(self.journal(), self.store)

    def seal(self) -> None:
        """Seals a round."""
        self.committed().seal("one_way", {"step": "one_way"}, b"")

    def copy_tables(self, _: Any, pinned: PinnedSource, __: Any, copies: Mapping[int, TableRef]) -> PinnedSource:
        """Stands for the copy of all rows."""
        assert pinned == self.pinned
        assert {place: str(ref) for place, ref in copies.items()} == {0: COPY}
        self.version += 1
        return PinnedSource((Pinned(Source(format="delta", path=COPY), version=self.version),))

    def discard(self, _: Any, copies: list[TableRef]) -> None:
        """Stands for dropping tables."""
        self.dropped += map(str, copies)

    def drive(self) -> PinnedSource:
        """What one driver measures."""
        return opening.copy_source(self.env, self.plan, self.places, self.committed(), self.pinned)

    def refuse(self) -> list[str]:
        """What is dropped when the run is refused."""
        self.dropped.clear()
        opening.discard_copies(self.env, self.plan)
        return list(self.dropped)

    def copied(self) -> list[int]:
        """Versions of the copies that the journal remembers."""
        return [link.facts["source"][0]["version"] for link in self.journal().links() if link.kind == COPIED]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return connected(World(tmp_path, VIEW), monkeypatch)


def connected(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(opening.copying, "copy_tables", world.copy_tables)
    monkeypatch.setattr(opening.copying, "is_whole", lambda *_: world.whole)
    monkeypatch.setattr(opening.copying, "discard", world.discard)
    return world


def test_a_copy_is_made_once_and_its_version_recorded(world: World) -> None:
    first = world.drive()
    assert world.drive() == first
    assert (first.tables[0].source.path, first.tables[0].version) == (COPY, 1)
    assert first.unversioned == ()
    assert world.copied() == [1]


def test_a_copy_that_is_gone_is_made_again_while_nothing_is_sealed(world: World) -> None:
    world.drive()
    world.whole = False
    assert world.drive().tables[0].version == 2
    assert world.copied() == [1, 2]
    world.whole = True
    assert world.drive().tables[0].version == 2
    assert world.version == 2


def test_a_sealed_run_keeps_to_its_copy_whatever_became_of_it(world: World) -> None:
    """Its other rounds must be about the same rows; that the copy is gone is told when it is read."""
    world.drive()
    world.seal()
    world.whole = False
    assert world.drive().tables[0].version == 1
    assert world.copied() == [1]


def test_of_two_drivers_that_copy_the_first_one_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = world.copy_tables
    theirs: list[PinnedSource] = []

    def overtaken(*rest: Any) -> PinnedSource:
        monkeypatch.setattr(opening.copying, "copy_tables", ours)
        theirs.append(world.drive())
        return ours(*rest)

    monkeypatch.setattr(opening.copying, "copy_tables", overtaken)
    assert [world.drive()] == theirs
    assert world.drive() == theirs[0]
    assert world.copied() == [1]
    assert world.version == 2


def test_a_copy_that_the_run_did_not_make_is_not_measured(world: World) -> None:
    elsewhere = PinnedSource((Pinned(Source(format="delta", path="file:/other/people"), version=9),))
    world.journal().once(COPIED, lambda: (encode(Copied(elsewhere.record())), None))
    assert world.drive().tables[0].source.path == COPY
    assert world.drive().tables[0].version == 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"request_digest": "another"}, "request_digest"),
        ({"scope": "another"}, "scope"),
        ({"run_key": "another"}, "run_key"),
        ({"copies": ["file:/ledger/charges"]}, "copies"),
        ({"copies": []}, "copies"),
        ({"source": [{"location": "b.view", "version": None, "fingerprint": None, "table_id": None}]}, "source"),
        ({"source": []}, "source, copies"),
    ],
)
def test_an_opening_that_is_not_of_the_request_is_refused(world: World, change: dict[str, Any], told: str) -> None:
    """Whoever can write to the protected zone can open a run before it does, for a source of their own choice."""
    [link] = world.journal().links()
    assert opening.open_source(world.env, world.plan, world.places, world.journal()) == world.pinned
    world.chain = Chain(None, TableRef(parts=("journal",)), store=MemoryLinks(), clock=Clock())
    world.journal().once(OPENED, lambda: ({**link.facts, **change}, None))
    with pytest.raises(IntegrityError, match=rf"differs in {told}\)"):
        opening.open_source(world.env, world.plan, world.places, world.journal())


def test_what_a_charge_says_of_an_opening_cannot_be_guessed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hash of the link stands in the ledger; equal openings differ by a number that is never published."""
    monkeypatch.setattr(opening.source, "pin", lambda *_: world.pinned)
    monkeypatch.setattr(opening, "source_rows", lambda *_: None)
    monkeypatch.setattr(opening, "require_same_tables", lambda *_: None)
    monkeypatch.setattr(opening, "refuse_zones", lambda *_: None)
    monkeypatch.setattr(opening, "_types", lambda *_: T.StructType())
    monkeypatch.setattr(opening, "_rehearse", lambda *_: None)
    one, two = (opening._opening(world.env, world.plan, world.places) for _ in range(2))
    assert len(one.blind) == 64
    assert one.blind != two.blind


def test_a_refusal_drops_the_copy_unless_something_is_sealed(world: World) -> None:
    assert world.refuse() == []
    world.drive()
    assert world.refuse() == [COPY]
    world.seal()
    assert world.journal().find(SEALED) is not None
    assert world.refuse() == []


def test_a_refusal_is_not_hidden_by_a_journal_that_cannot_be_read(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise LedgerCorrupt("edited")

    monkeypatch.setattr(Journal, "newest", broken)
    with caplog.at_level(logging.WARNING):
        assert world.refuse() == []
    assert "copies were not looked for (LedgerCorrupt)" in caplog.text


def test_a_run_without_copies_does_not_read_its_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = connected(World(tmp_path, {"format": "delta"}), monkeypatch)
    monkeypatch.setattr(Journal, "newest", lambda *_: pytest.fail("read"))
    assert world.refuse() == []
