"""Chains over a store in memory: verification, compare-and-append, faults around the commit."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import pytest

from store_doubles import Conflict, MemoryLinks
from synthward.config.instants import utc_text
from synthward.errors import (
    EnvironmentProblem,
    IntegrityError,
    LedgerCorrupt,
    SafeError,
    StoreConflict,
    UsageError,
)
from synthward.store.chain import Chain, Followed, HeadMoved
from synthward.store.links import ORIGIN, Link, next_link, verify_chain
from synthward.store.places import TableRef

REF = TableRef(path="/nowhere/chain")
NOON = dt.datetime(2026, 1, 31, 12, 0, tzinfo=dt.UTC)


def make_chain(store: MemoryLinks, **options: Any) -> Chain:
    options.setdefault("sleep", lambda _: None)
    return Chain(None, REF, store=store, clock=lambda: NOON, **options)


def links(count: int = 4) -> list[Link]:
    made: list[Link] = []
    for number in range(count):
        payload = bytes([number]) if number % 2 else None
        head = made[-1] if made else None
        made.append(next_link(head, key="a", kind="k", body={"n": number}, payload=payload, at=NOON))
    return made


# --- verification ---


def test_sound_chain_has_no_problems() -> None:
    assert verify_chain(links()) == []
    assert verify_chain([]) == []
    assert links()[0].prev == ORIGIN
    assert [link.seq for link in links()] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("body", '{"n":7}'),
        ("kind", "other"),
        ("at", "2026-02-01T00:00:00.000000Z"),
        ("prev", ORIGIN),
        ("payload", b"changed"),
        ("payload_sha256", "0" * 64),
        ("payload_sha256", None),
        ("hash", "0" * 64),
        ("seq", 9),
        ("key", "b"),
    ],
)
def test_every_edited_field_is_found(field: str, value: Any) -> None:
    chain = links()
    chain[1] = dataclasses.replace(chain[1], **{field: value})
    assert verify_chain(chain)


def test_edit_with_a_recomputed_hash_is_found_by_the_next_link() -> None:
    chain = links()
    chain[1] = next_link(chain[0], key="a", kind="k", body={"n": 8}, payload=None, at=NOON)
    assert any("link 2" in problem for problem in verify_chain(chain))


@pytest.mark.parametrize(
    "order", [[1, 2, 3], [0, 2, 3], [0, 1, 1, 2, 3], [0, 2, 1, 3], [3, 2, 1, 0], [0, 0, 1, 2, 3], [2]]
)
def test_cuts_swaps_duplicates_and_reordering_are_found(order: list[int]) -> None:
    chain = links()
    assert verify_chain([chain[place] for place in order])


def test_a_cut_at_the_end_is_invisible_to_the_chain_alone() -> None:
    assert verify_chain(links()[:2]) == []


def test_two_links_at_one_position_are_named() -> None:
    chain = links(2)
    twin = next_link(chain[0], key="a", kind="k", body={"n": 99}, payload=None, at=NOON)
    assert any("more than once" in problem for problem in verify_chain([*chain, twin]))


def test_payload_digest_is_verified_without_the_payload() -> None:
    chain = [dataclasses.replace(link, payload=None) for link in links()]
    assert verify_chain(chain) == []


def test_clock_needs_a_zone() -> None:
    with pytest.raises(ValueError, match="zone"):
        utc_text(NOON.replace(tzinfo=None))
    assert (
        utc_text(NOON.astimezone(dt.timezone(dt.timedelta(hours=5))), "microseconds") == "2026-01-31T12:00:00.000000Z"
    )


# --- compare-and-append ---


def test_append_and_read() -> None:
    chain = make_chain(MemoryLinks())
    first = chain.append("a", "k", {"n": 0}, None, None)
    second = chain.append("a", "k", {"n": 1}, b"x", first)
    assert chain.read("a") == (first, second)
    assert chain.read("b") == ()
    assert chain.read_all() == {"a": (first, second)}
    assert second.facts == {"n": 1}


def test_taken_position_moves_the_head() -> None:
    store = MemoryLinks()
    chain = make_chain(store)
    first = chain.append("a", "k", {"n": 0}, None, None)
    chain.append("a", "k", {"n": 1}, None, first)
    with pytest.raises(HeadMoved):
        chain.append("a", "k", {"n": 2}, None, first)
    with pytest.raises(HeadMoved):
        chain.append("a", "k", {"n": 2}, None, None)
    assert len(store.links) == 2


def test_an_equal_link_of_another_driver_is_not_a_success() -> None:
    store = MemoryLinks()
    make_chain(store).append("a", "k", {"n": 0}, None, None)
    with pytest.raises(HeadMoved):
        make_chain(store).append("a", "k", {"n": 0}, None, None)


def test_conflict_is_retried_and_told_from_other_errors() -> None:
    def lose(link: Link) -> None:
        raise Conflict("lost")

    def fail(link: Link) -> None:
        raise RuntimeError("disk full")

    store = MemoryLinks()
    waits: list[float] = []
    chain = make_chain(store, sleep=waits.append)
    store.faults = [lose, lose]
    assert chain.append("a", "k", {}, None, None).seq == 0
    assert len(waits) == 2
    store.faults = [fail]
    with pytest.raises(RuntimeError, match="disk full"):
        chain.append("b", "k", {}, None, None)
    assert not chain.read("b")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("java.io.IOException: No space left on device", "no space is left there"),
        ("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException: ...", "its quota is used up"),
        ("org.apache.hadoop.security.AccessControlException: ...", "may not write there"),
        ("java.io.IOException: Read-only file system", "is read-only"),
    ],
)
def test_storage_that_takes_no_more_is_told_without_a_stack(text: str, told: str) -> None:
    store = MemoryLinks()
    chain = make_chain(store)

    def full(_: Link) -> None:
        raise RuntimeError(f"An error occurred\n: org.apache.spark.SparkException: ...\n\tat a.b.C\nCaused by: {text}")

    store.faults.append(full)
    with pytest.raises(EnvironmentProblem, match=told) as refused:
        chain.append("a", "x", {}, None, None)
    assert "Caused by" not in str(refused.value)
    assert "SparkException" not in SafeError.of(refused.value).text
    assert not refused.value.retryable
    # Nothing was written, and the next try needs no repair.
    assert chain.append("a", "x", {}, None, None).seq == 0


def test_retries_are_bounded() -> None:
    def lose(link: Link) -> None:
        raise Conflict("lost")

    store = MemoryLinks()
    store.faults = [lose] * 10
    with pytest.raises(StoreConflict, match="again"):
        make_chain(store, retries=3).append("a", "k", {}, None, None)
    assert len(store.faults) == 6


def test_error_after_the_commit_counts_as_success() -> None:
    store = MemoryLinks()

    def commit_then_fail(link: Link) -> None:
        store.links.append(link)
        raise ConnectionError("reset")

    store.faults = [commit_then_fail]
    link = make_chain(store).append("a", "k", {}, b"x", None)
    assert store.links == [link]


def test_conflict_with_the_winner_of_our_position_moves_the_head() -> None:
    store = MemoryLinks()

    def other_wins(link: Link) -> None:
        store.links.append(next_link(None, key="a", kind="k", body={"other": True}, payload=None, at=NOON))
        raise Conflict("lost")

    store.faults = [other_wins]
    with pytest.raises(HeadMoved):
        make_chain(store).append("a", "k", {}, None, None)


def test_two_rows_at_our_position_freeze_the_chain() -> None:
    store = MemoryLinks()
    chain = make_chain(store)
    first = chain.append("a", "k", {}, None, None)
    twin = next_link(first, key="a", kind="k", body={"other": True}, payload=None, at=NOON)
    store.insert = lambda link: store.links.extend([twin, link]) or 1  # type: ignore[method-assign,func-returns-value]
    with pytest.raises(LedgerCorrupt, match="frozen"):
        chain.append("a", "k", {"n": 1}, None, first)
    with pytest.raises(LedgerCorrupt, match="more than once"):
        chain.read("a")


def test_a_head_that_vanishes_before_the_commit_freezes_the_chain() -> None:
    store = MemoryLinks()
    chain = make_chain(store)
    first = chain.append("a", "k", {}, None, None)
    store.faults = [lambda _: store.links.clear()]
    with pytest.raises(LedgerCorrupt, match="restored or rewritten"):
        chain.append("a", "k", {}, None, first)


def test_a_commit_that_cannot_be_read_back_is_no_success() -> None:
    store = MemoryLinks()
    store.insert = lambda _: 1  # type: ignore[method-assign]
    with pytest.raises(IntegrityError, match="read back"):
        make_chain(store).append("a", "k", {}, None, None)


def test_get_or_append_first_wins() -> None:
    store = MemoryLinks()
    chain = make_chain(store)
    calls: list[int] = []

    def body() -> tuple[dict[str, Any], bytes | None]:
        calls.append(1)
        return {"step": "x", "mine": True}, b"draw"

    def match(link: Link) -> bool:
        return bool(link.facts.get("step") == "x")

    def other_step(link: Link) -> None:
        store.links.append(next_link(None, key="a", kind="k", body={"step": "y"}, payload=None, at=NOON))

    store.faults = [other_step]
    mine, is_new = chain.get_or_append("a", "k", match, body)
    assert (is_new, mine.seq, len(calls)) == (True, 1, 1)
    again, is_new = chain.get_or_append("a", "k", match, body)
    assert (is_new, again, len(calls)) == (False, mine, 1)


def test_get_or_append_loser_gets_the_winners_link() -> None:
    store = MemoryLinks()
    winner = next_link(None, key="a", kind="k", body={"step": "x"}, payload=b"winner", at=NOON)
    store.faults = [lambda _: store.links.append(winner)]
    link, is_new = make_chain(store).get_or_append(
        "a", "k", lambda link: link.facts["step"] == "x", lambda: ({"step": "x"}, b"loser")
    )
    assert (is_new, link.payload) == (False, b"winner")


class CountedLinks(MemoryLinks):
    """Remembers from which position each fetch began."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[int] = []

    def fetch(self, key: str | None, since: int, payloads: bool) -> list[Link]:
        self.fetched.append(since)
        return super().fetch(key, since, payloads)


def kind(name: str) -> Any:
    return lambda link: link.kind == name


def test_a_followed_chain_fetches_only_what_follows() -> None:
    store = CountedLinks()
    store.links = links(3)
    followed = Followed(make_chain(store), "a")
    assert followed.find(kind("k")) == links(1)[0]
    assert followed.find(kind("k")) == links(1)[0]
    assert store.fetched == [0]
    assert followed.find(kind("late")) is None
    assert store.fetched == [0, 2]
    late, is_new = followed.get_or_append("late", kind("late"), lambda: ({}, b"x"))
    assert is_new
    assert store.fetched == [0, 2, 2], "the append reads its own link back, and nothing before it"
    assert (followed.find(kind("late")), followed.get_or_append("late", kind("late"), lambda: ({}, None))) == (
        late,
        (late, False),
    )
    assert store.fetched == [0, 2, 2]
    assert followed.links() == (*links(3), late)


def test_a_followed_chain_learns_of_another_driver_at_the_append() -> None:
    store = MemoryLinks()
    chain = make_chain(store)
    ours, theirs = Followed(chain, "a"), Followed(chain, "a")
    assert (ours.find(kind("seal")), theirs.find(kind("seal"))) == (None, None)
    made: list[str] = []

    def draw(name: str) -> Any:
        return lambda: (made.append(name), ({"by": name}, name.encode()))[1]

    first, _ = theirs.get_or_append("seal", kind("seal"), draw("theirs"))
    assert ours.get_or_append("seal", kind("seal"), draw("ours")) == (first, False)
    assert (made, len(store.links)) == (["theirs", "ours"], 1)
    assert ours.find(kind("seal")) == first


@pytest.mark.parametrize("left", [0, 2, 3])
def test_a_followed_chain_that_lost_or_changed_links_is_frozen(left: int) -> None:
    store = MemoryLinks()
    store.links = links(3)
    followed = Followed(make_chain(store), "a")
    followed.links()
    store.links = links(2)[:left]
    if left == 3:  # as long as before, and sound in itself
        store.links.append(next_link(store.links[-1], key="a", kind="k", body={"n": 9}, payload=None, at=NOON))
    with pytest.raises(LedgerCorrupt, match="link 2 is gone or was replaced"):
        followed.links()
    with pytest.raises(LedgerCorrupt, match="frozen"):
        followed.get_or_append("new", kind("new"), lambda: ({}, None))


def test_what_an_append_returns_is_what_the_storage_holds() -> None:
    store = MemoryLinks()

    def spoil(link: Link) -> None:
        store.links.append(dataclasses.replace(link, payload=b"spoiled"))

    store.faults = [spoil]
    with pytest.raises(LedgerCorrupt, match="payload does not match"):
        make_chain(store).append("a", "k", {}, b"drawn", None)


def test_broken_chain_is_not_read_or_extended() -> None:
    store = MemoryLinks()
    store.links = [link for link in links() if link.seq != 1]
    chain = make_chain(store)
    assert len(chain.rows("a")) == 3
    with pytest.raises(LedgerCorrupt, match="frozen"):
        chain.read("a")
    with pytest.raises(LedgerCorrupt):
        chain.get_or_append("a", "k", lambda _: False, lambda: ({}, None))
    assert len(store.links) == 3


@pytest.mark.parametrize("key", ["", "A", "a'b", "a b", "x" * 81, "ä", "a\n"])
def test_keys_that_could_be_sql_are_refused(key: str) -> None:
    with pytest.raises(UsageError):
        make_chain(MemoryLinks()).append(key, "k", {}, None, None)
    with pytest.raises(UsageError):
        make_chain(MemoryLinks()).read(key)


def test_lock_is_held_once_around_nested_appends() -> None:
    import contextlib
    from collections.abc import Iterator

    events: list[str] = []

    @contextlib.contextmanager
    def lock() -> Iterator[None]:
        events.append("in")
        yield
        events.append("out")

    chain = make_chain(MemoryLinks(), lock=lock)
    with chain.exclusive():
        chain.append("a", "k", {}, None, None)
    chain.append("b", "k", {}, None, None)
    assert events == ["in", "out", "in", "out"]
