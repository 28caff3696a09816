"""Two formats of links: what was written before still has its hash, what is written now has that of RFC 8785."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
from pathlib import Path

import pytest

from synthward.config.canonical import canonical_json
from synthward.records.canonical import parse_canonical
from synthward.store.links import FORMAT, Link, next_link, verify_chain, verify_link

NOON = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
OLD = Path(__file__).with_name("before_commitments.json")


def old_links(name: str) -> list[Link]:
    rows = json.loads(OLD.read_text(encoding="utf-8"))[name]
    return [Link(**{**row, "payload": None}) for row in rows]


def link(**body: object) -> Link:
    return next_link(None, key="clé", kind="k", body=body, payload=None, at=NOON)


def test_a_link_says_its_format_and_any_tool_can_check_it() -> None:
    made = link(b="é", a=1.0, n=2**60)
    assert made.body == '{"a":1,"b":"é","format":2,"n":"1152921504606846976"}'
    assert parse_canonical(made.body.encode()) == {"a": 1, "b": "é", "format": FORMAT, "n": "1152921504606846976"}
    names = ("key", "seq", "kind", "body", "at", "prev")
    # What an auditor would write, without a line of ours: for these texts JSON with sorted keys is RFC 8785.
    text = json.dumps(
        {**{name: getattr(made, name) for name in names}, "payload": None},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    assert made.hash == hashlib.sha256(text.encode()).hexdigest()
    assert made.facts == {"a": 1, "b": "é", "n": "1152921504606846976"}
    assert json.loads(made.text) == made.facts


def test_links_of_the_earlier_format_are_sound_and_can_be_followed() -> None:
    for name in ("journal", "ledger"):
        chains: dict[str, list[Link]] = {}
        for old in old_links(name):
            assert "format" not in json.loads(old.body)
            chains.setdefault(old.key, []).append(old)
        for key, links in chains.items():
            new = next_link(links[-1], key=key, kind="more", body={"name": "é"}, payload=None, at=NOON)
            assert verify_chain([*links, new]) == []


def test_a_format_cannot_be_put_on_or_taken_off() -> None:
    old, new = old_links("journal")[0], link(a="é")
    named = dataclasses.replace(old, body=canonical_json({**old.facts, "format": FORMAT}))
    bare = dataclasses.replace(new, body=canonical_json(new.facts))
    escaped = dataclasses.replace(new, body=json.dumps(json.loads(new.body), separators=(",", ":")))
    for forged in (named, bare, escaped):
        assert any("edited after it was written" in problem for problem in verify_link(forged))


def test_a_later_format_is_told_as_such() -> None:
    later = dataclasses.replace(link(a=1), body='{"a":1,"format":3}')
    assert "a later version of Synthward wrote it" in verify_link(later)[0]


def test_the_key_of_the_format_is_taken() -> None:
    with pytest.raises(ValueError, match="the link's own format"):
        link(format=1)
