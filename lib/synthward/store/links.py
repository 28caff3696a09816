"""Links of a hash chain: how they are written, hashed and checked. Pure: no Spark, no input or output.

A chain is the append-only record of one key (a budget scope, a run). Each link carries the hash of the link before it.
So the chain itself shows an edit, a swap, or a missing link in the middle. It cannot show missing links at the *end*.
These are found by a comparison with a hash that was noted somewhere else (a receipt).

A link is written in one of two formats. Format 2 says so in its body, and body and hash are texts by RFC 8785
(`records.canonical`). Format 1 came before; its body has no `format`, and its texts are those of `config.canonical`.
Both are read, and one chain may hold both: a run that an earlier version began goes on in format 2.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from synthward.config.canonical import canonical_json
from synthward.config.instants import utc_text
from synthward.records.canonical import canonical_bytes
from synthward.records.codec import recordable

ORIGIN = "0" * 64
"""`prev` of the first link."""

FORMAT = 2
"""Format of the links that are written now."""

_FORMAT_KEY = "format"

CLOCK_SKEW = dt.timedelta(minutes=5)
"""Largest difference between the clocks of two honest drivers."""


@dataclass(frozen=True)
class Link:
    """One link.

    Attributes:
        key: The chain it belongs to.
        seq: Position, from 0 without gaps.
        kind: What it records, for instance `charge`.
        body: Canonical JSON of the facts and of the format.
        payload: Bytes that belong to the facts; None if there are none or they were not fetched.
        payload_sha256: SHA-256 of the payload in hexadecimal; None if the link has no payload.
        at: Time of writing, UTC, ISO 8601.
        prev: Hash of the link before it; `ORIGIN` for the first link.
        hash: Hash of all the fields above.
    """

    key: str
    seq: int
    kind: str
    body: str
    payload: bytes | None
    payload_sha256: str | None
    at: str
    prev: str
    hash: str

    @property
    def facts(self) -> dict[str, Any]:
        """The body as a mapping, without its format. Decimals stay text, as in canonical JSON."""
        parsed = json.loads(self.body)
        if not isinstance(parsed, dict):
            raise ValueError(f"link {self.seq} of chain '{self.key}': the body is not a JSON object")
        parsed.pop(_FORMAT_KEY, None)
        return parsed

    @property
    def text(self) -> str:
        """The facts as JSON text, for `config.loader.restore`."""
        return canonical_json(self.facts)


def sha256(payload: bytes | None) -> str | None:
    """Return the hexadecimal SHA-256 of a payload; None for no payload."""
    return None if payload is None else hashlib.sha256(payload).hexdigest()


def _format_of(body: str) -> int:
    """The format of a link: what its body says, and 1 for a body that says nothing."""
    try:
        parsed = json.loads(body)
    except ValueError:
        return 1
    stated = parsed.get(_FORMAT_KEY, 1) if isinstance(parsed, dict) else 1
    return stated if isinstance(stated, int) else 1


def _hash(key: str, seq: int, kind: str, body: str, payload_sha256: str | None, at: str, prev: str) -> str:
    facts = {"key": key, "seq": seq, "kind": kind, "body": body, "payload": payload_sha256, "at": at, "prev": prev}
    text = canonical_bytes(facts) if _format_of(body) == FORMAT else canonical_json(facts).encode("ascii")
    return hashlib.sha256(text).hexdigest()


def next_link(
    head: Link | None, *, key: str, kind: str, body: Mapping[str, Any], payload: bytes | None, at: dt.datetime
) -> Link:
    """Return the link that follows `head`. If `head` is None, return the first link of a chain.

    Raises:
        ValueError: The body has a key `format` of its own, which is the link's.
    """
    if body.get(_FORMAT_KEY, FORMAT) != FORMAT:
        raise ValueError(f"chain '{key}': a link's body has the key '{_FORMAT_KEY}' for the link's own format")
    seq, prev = (0, ORIGIN) if head is None else (head.seq + 1, head.hash)
    text = canonical_bytes({**recordable(body), _FORMAT_KEY: FORMAT}).decode()
    sha, when = sha256(payload), utc_text(at, "microseconds")
    return Link(key, seq, kind, text, payload, sha, when, prev, _hash(key, seq, kind, text, sha, when, prev))


def verify_link(link: Link) -> list[str]:
    """Return the problems of one link: its contents do not match its hash, or its payload does not match its digest."""
    problems = []
    if _format_of(link.body) not in (1, FORMAT):
        problems.append(f"link {link.seq}: a later version of Synthward wrote it, in a format that is unknown here")
    if link.payload is not None and sha256(link.payload) != link.payload_sha256:
        problems.append(f"link {link.seq}: the payload does not match its digest")
    found = _hash(link.key, link.seq, link.kind, link.body, link.payload_sha256, link.at, link.prev)
    if found != link.hash:
        problems.append(f"link {link.seq}: the contents do not give the recorded hash (edited after it was written)")
    return problems


def verify_chain(links: Iterable[Link]) -> list[str]:
    """Return all problems of one chain, in the order of its links; an empty list if there are none.

    This finds edited links, gaps, swapped, reordered and doubled positions, and links of another key. It cannot find
    missing links at the end, because what is left is a valid shorter chain.
    """
    links = list(links)
    problems: list[str] = []
    before: Link | None = None
    for position, link in enumerate(links):
        problems += verify_link(link)
        if before is not None and link.key != before.key:
            problems.append(f"link {link.seq}: belongs to chain '{link.key}', not '{before.key}'")
        if before is not None and link.seq == before.seq:
            problems.append(f"link {link.seq}: found more than once (two writers wrote the same position)")
        else:
            due = 0 if before is None else before.seq + 1
            if link.seq != due:
                problems.append(f"expected link {due} at position {position}, found link {link.seq}")
            if link.prev != (ORIGIN if before is None else before.hash):
                problems.append(f"link {link.seq}: does not follow from the link before it")
        before = link
    return problems


def verify_times(links: Iterable[Link]) -> list[str]:
    """Return a problem for each link whose time is before the time of the link before it.

    This is separate from `verify_chain`, because a wrong clock is a finding, but no reason to freeze a chain.
    """
    links = list(links)
    return [
        f"link {link.seq}: is dated {link.at}, before link {before.seq} ({before.at}); a clock was set back, or the "
        "link was written under a false time"
        for before, link in itertools.pairwise(links)
        if link.at < before.at
    ]


def time_after(head: Link | None, now: dt.datetime) -> dt.datetime:
    """Return the time for a new link after `head`.

    If `now` is before the time of `head` by at most `CLOCK_SKEW`, the time of `head` is used. A clock that is wrong by
    more than that is not corrected, and `verify_times` finds the link.
    """
    if head is None or now.tzinfo is None:
        return now
    before = dt.datetime.fromisoformat(head.at)
    return before if now < before <= now + CLOCK_SKEW else now
