"""Which scope owns which tables: a table belongs to exactly one scope, whoever opens scopes at the same time.

Three kinds of link of a scope's chain speak of tables: its `open` link (the people it was opened for), `bind` (people
of a scope that was opened without, once) and `own` (a derived table or the list of opt-outs, added later). Before any
of them is written, the tables are claimed in one chain of the whole ledger, by compare-and-append on the head on which
it was decided that nobody else owns them. So of two openings of one table at once the second one sees the first.

A claim whose link was never written keeps the tables for its scope, and the same command again completes it. A claim of
an opening that lost to another opening of the same scope can never be completed and counts for nothing.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from synthward.config.canonical import canonical_json
from synthward.config.fields import key
from synthward.config.loader import restore
from synthward.errors import BudgetError, ConfigError, LedgerCorrupt
from synthward.records.codec import RecordFault, decode, encode
from synthward.records.ledger import Binding, Opening
from synthward.spec.population import OptOuts, People, Route, Table
from synthward.store.addresses import overlap
from synthward.store.links import Link

CLAIMS_KEY = "_sources"
"""Chain of all claims of the ledger."""

CLAIM, BIND, OWN = "claim", "bind", "own"
"""Kinds of links: a claim; people of a scope that had none; a table added to a scope."""

Purpose = Literal["source", "excluded"]


@dataclass(frozen=True)
class Claimed:
    """One table of a claim. Several scopes may name one list of opt-outs; a source has one owner."""

    table: Table = key(doc="The table, resolved.")
    purpose: Purpose = key(doc="What the scope uses it for.")


@dataclass(frozen=True)
class Claim:
    """Tables that a scope is about to own.

    The place of a signature is kept: decisions are recorded as entered until people sign them.
    """

    scope: str = key(doc="The scope.")
    step: Literal["open", "bind", "own"] = key(doc="Kind of the link that follows in the scope's chain.")
    tables: tuple[Claimed, ...] = key(doc="The tables.")
    by: str = key(doc="Who does it, as entered.")
    signature: str | None = key(None, doc="Signature over this claim, none while decisions are recorded only.")


@dataclass(frozen=True)
class Addition:
    """A table that is added to a scope: a source with its route, or the list of opt-outs."""

    route: Route | None = key(None, doc="A further source and its way to the patient.")
    excluded: OptOuts | None = key(None, doc="The list of opt-outs, where the scope has none.")
    by: str = key(doc="Who adds it, as entered.")
    reason: str = key(doc="Why it is about the same people.")
    signature: str | None = key(None, doc="Signature over this link, none while decisions are recorded only.")

    def problems(self) -> Iterator[tuple[str, str]]:
        """Cross-field checks for the loader."""
        if (self.route is None) == (self.excluded is None):
            yield "route", "an addition is either a source or a list of opt-outs"

    @property
    def claimed(self) -> tuple[Claimed, ...]:
        """Its tables."""
        if self.excluded is not None:
            return (Claimed(table=self.excluded.source, purpose="excluded"),)
        assert self.route is not None
        return tuple(Claimed(table=table, purpose="source") for table in self.route.tables)

    def same(self, other: Addition) -> bool:
        """Whether it adds the same; people, reasons and signatures may differ."""
        return (self.route, self.excluded) == (other.route, other.excluded)


def claimed_by(people: People) -> tuple[Claimed, ...]:
    """The tables of a scope's people."""
    lists = [] if people.excluded is None else [Claimed(table=people.excluded.source, purpose="excluded")]
    return (*(Claimed(table=table, purpose="source") for table in people.owned), *lists)


def people_body(people: People, by: str) -> dict[str, Any]:
    """Body of a `bind` link."""
    return encode(Binding(people=people.body, by=by))


def people_of_link(link: Link) -> People | None:
    """The people that an `open` or `bind` link names; None for a scope opened without.

    Raises:
        LedgerCorrupt: They cannot be read.
    """
    try:
        body = (decode(Opening, link.facts) if link.seq == 0 else decode(Binding, link.facts)).people
        return None if body is None else People.from_body(body)
    except (RecordFault, ConfigError, TypeError) as error:
        raise LedgerCorrupt(f"scope '{link.key}': link {link.seq} names people this version cannot read") from error


def addition_of(link: Link) -> Addition:
    """The addition of an `own` link.

    Raises:
        LedgerCorrupt: It cannot be read.
    """
    try:
        return restore(link.text, Addition)
    except ConfigError as error:
        raise LedgerCorrupt(f"scope '{link.key}': link {link.seq} adds what this version cannot read") from error


def people_at(scope: str, links: Sequence[Link]) -> People | None:
    """The people of a scope after all links of its chain; other kinds of links are passed over.

    Raises:
        LedgerCorrupt: Links contradict each other: people are named twice, or a table is added to a scope without.
    """
    people = people_of_link(links[0]) if links else None
    for link in links[1:]:
        if link.kind == BIND:
            if people is not None:
                raise LedgerCorrupt(f"scope '{scope}': frozen, link {link.seq} names its people a second time")
            people = people_of_link(link)
        elif link.kind == OWN:
            if people is None:
                raise LedgerCorrupt(f"scope '{scope}': frozen, link {link.seq} adds a table to a scope without people")
            people = _with(people, addition_of(link))
    return people


def _with(people: People, added: Addition) -> People:
    if added.excluded is not None:
        return dataclasses.replace(people, excluded=added.excluded)
    assert added.route is not None
    return dataclasses.replace(people, sources=(*people.sources, added.route))


def first_people(links: Sequence[Link]) -> People | None:
    """The people of the `open` or `bind` link, without what was added later."""
    named = (people_of_link(link) for place, link in enumerate(links) if place == 0 or link.kind == BIND)
    return next((people for people in named if people is not None), None)


def claim_of(link: Link) -> Claim:
    """A claim from its link.

    Raises:
        LedgerCorrupt: It cannot be read.
    """
    try:
        return restore(link.text, Claim)
    except ConfigError as error:
        raise LedgerCorrupt(f"chain '{CLAIMS_KEY}': link {link.seq} is no claim this version can read") from error


def claim_body(claim: Claim) -> dict[str, Any]:
    """Body of a `claim` link."""
    body: dict[str, Any] = json.loads(canonical_json(claim))
    return body


def standing_claims(chains: Mapping[str, Sequence[Link]]) -> list[Claim]:
    """All claims that count: those of links that were written, or still can be.

    Args:
        chains: Every chain of the ledger, by key.
    """
    claims = [claim_of(link) for link in chains.get(CLAIMS_KEY, ())]
    return [claim for claim in claims if not _lost(claim, chains.get(claim.scope, ()))]


def _lost(claim: Claim, links: Sequence[Link]) -> bool:
    """Whether the link that a claim was made for can never be written, since another one has its place."""
    if not links or claim.step == OWN:
        return False
    named = first_people(links)
    if named is None:
        return claim.step == "open"  # the scope was opened without people: this opening came too late
    return claimed_by(named) != claim.tables


def refuse_owned(scope: str, tables: Sequence[Claimed], chains: Mapping[str, Sequence[Link]]) -> None:
    """Refuse tables that another scope owns, or is about to own.

    Raises:
        BudgetError: With every such table.
    """
    reasons = []
    for claim in standing_claims(chains):
        if claim.scope == scope:
            continue
        for theirs in claim.tables:
            reasons += [_owned(mine, theirs, claim.scope) for mine in tables if _conflict(mine, theirs)]
    if reasons:
        listed = "; ".join(dict.fromkeys(reasons))
        raise BudgetError(
            f"scope '{scope}': {listed}. A table belongs to one scope, so that every release about its people is "
            "charged to one budget: charge that scope, or add a derived table to it (synthward budget add)"
        )


def _conflict(mine: Claimed, theirs: Claimed) -> bool:
    if mine.purpose == theirs.purpose == "excluded":
        return False
    same_id = mine.table.table_id is not None and mine.table.table_id == theirs.table.table_id
    return same_id or overlap(mine.table.address, theirs.table.address)


def _owned(mine: Claimed, theirs: Claimed, scope: str) -> str:
    what = "a source" if theirs.purpose == "source" else "the list of opt-outs"
    known = "" if mine.table.location == theirs.table.location else f" (as {theirs.table.location})"
    return f"table {mine.table.location} is {what} of scope '{scope}'{known}"


def same_claim(one: Claim, other: Claim) -> bool:
    """Whether two claims are of the same step; who made them does not count."""
    return (one.scope, one.step, one.tables) == (other.scope, other.step, other.tables)


def verify_claims(chains: Mapping[str, Sequence[Link]]) -> list[str]:
    """Everything wrong with ownership: a table without a claim, a table of two scopes.

    Args:
        chains: Every chain of the ledger, by key, each one sound.
    """
    problems = []
    try:
        claims = standing_claims(chains)
        scopes = {name: people_at(name, links) for name, links in chains.items() if not name.startswith("_")}
    except LedgerCorrupt as error:
        return [str(error)]
    covered = {(claim.scope, item.table.address, item.purpose) for claim in claims for item in claim.tables}
    for name, people in scopes.items():
        owned = () if people is None else claimed_by(people)
        problems += [
            f"scope '{name}': owns table {item.table.location} without a claim in '{CLAIMS_KEY}'"
            for item in owned
            if (name, item.table.address, item.purpose) not in covered
        ]
    for place, claim in enumerate(claims):
        for other in claims[:place]:
            if other.scope != claim.scope:
                problems += [
                    f"scope '{claim.scope}': {_owned(mine, theirs, other.scope)} as well"
                    for mine in claim.tables
                    for theirs in other.tables
                    if _conflict(mine, theirs)
                ]
    return list(dict.fromkeys(problems))
