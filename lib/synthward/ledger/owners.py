"""Writes which scope owns which tables; `ledger.ownership` says what the links mean."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence

from synthward.config.canonical import canonical_json
from synthward.errors import BudgetError, StoreConflict
from synthward.ledger.ownership import (
    BIND,
    CLAIM,
    CLAIMS_KEY,
    OWN,
    Addition,
    Claim,
    addition_of,
    claim_body,
    claimed_by,
    first_people,
    people_body,
    refuse_owned,
    same_claim,
    standing_claims,
    verify_claims,
)
from synthward.ledger.scopes import ScopeState, ScopeTerms, fold, terms_of
from synthward.spec.population import People
from synthward.store import delta
from synthward.store.chain import Chain, HeadMoved
from synthward.store.links import Link, verify_chain


class Owners:
    """Binds scopes to tables in the chains of a ledger."""

    def __init__(
        self,
        chain: Chain,
        genesis_hash: Callable[[str], str],
        *,
        retries: int,
        sleep: Callable[[float], None],
    ) -> None:
        """Reads and writes nothing yet.

        Args:
            chain: The ledger's chains.
            genesis_hash: Hash of the ledger's genesis; it is given the scope that asks.
            retries: Bound on retries against other writers.
            sleep: For tests.
        """
        self._chain = chain
        self._genesis_hash = genesis_hash
        self._retries = retries
        self._sleep = sleep

    def _state(self, scope: str) -> ScopeState:
        links = self._chain.read(scope)
        if not links:
            raise BudgetError(
                f"scope '{scope}': is not open; open it with its population file: "
                "synthward budget open POPULATION.yaml --by ..."
            )
        return fold(scope, links, self._genesis_hash(scope))

    def claim_people(self, scope: str, terms: ScopeTerms, people: People) -> None:
        """Claims the tables of a scope that is to be opened or bound; nothing where it has these people already."""

        def claim(chains: Mapping[str, Sequence[Link]]) -> Claim | None:
            links = chains.get(scope, ())
            named = first_people(links)
            if named == people:
                return None
            if named is not None:
                raise BudgetError(_other_people(scope, links[0].at))
            if links and not terms_of(links[0])[0].same_budget(terms):
                return None  # refused for its budget
            return Claim(scope=scope, step="bind" if links else "open", tables=claimed_by(people), by=terms.by)

        self.claim(scope, claim)

    def bound(self, scope: str, terms: ScopeTerms, people: People) -> ScopeState:
        """The state of a scope that has these people, which are noted now if it was opened without."""
        links = self._chain.read(scope)
        if first_people(links) is None:
            # If it was opened without them since they were claimed for an opening, that claim counts for nothing.
            self.claim_people(scope, terms, people)
            self._chain.get_or_append(
                scope, BIND, lambda link: link.kind == BIND, lambda: (people_body(people, terms.by), None)
            )
            links = self._chain.read(scope)
        if first_people(links) != people:
            raise BudgetError(_other_people(scope, links[0].at))
        return fold(scope, links, self._genesis_hash(scope))

    def claim(self, scope: str, make: Callable[[Mapping[str, Sequence[Link]]], Claim | None]) -> None:
        """Writes a claim unless it stands, on the head of the claims on which nobody else was found to own the tables.

        Args:
            scope: The scope.
            make: The claim, from all chains of the ledger; None where none is due.
        """
        for turn in range(self._retries + 1):
            with self._chain.exclusive():
                chains = self._chain.read_all()
                claim = make(chains)
                if claim is None:
                    return
                refuse_owned(scope, claim.tables, chains)
                if any(same_claim(claim, standing) for standing in standing_claims(chains)):
                    return
                before = chains.get(CLAIMS_KEY, ())
                try:
                    self._chain.append(CLAIMS_KEY, CLAIM, claim_body(claim), None, before[-1] if before else None)
                except HeadMoved:
                    pass
                else:
                    return
            self._sleep(delta.pause(turn))
        raise StoreConflict(
            f"scope '{scope}': other openings came first {self._retries + 1} times; run the same command again"
        )

    def add(self, scope: str, addition: Addition) -> ScopeState:
        """Add a derived table, or the list of opt-outs, to a scope; the same one again changes nothing.

        Args:
            scope: The scope; it must be bound to people.
            addition: What is added, by whom and why.

        Returns:
            The state; `is_new` tells whether this call added it.

        Raises:
            BudgetError: The scope is not open, has no people or another list of opt-outs; another scope owns the table.
        """
        _refuse_addition(self._state(scope), addition)

        def is_same(link: Link) -> bool:
            return link.kind == OWN and addition_of(link).same(addition)

        def claim(chains: Mapping[str, Sequence[Link]]) -> Claim | None:
            if any(is_same(link) for link in chains.get(scope, ())):
                return None
            return Claim(scope=scope, step="own", tables=addition.claimed, by=addition.by)

        self.claim(scope, claim)
        _, is_new = self._append_addition(scope, addition, is_same)
        return dataclasses.replace(self._state(scope), is_new=is_new)

    def _append_addition(self, scope: str, addition: Addition, is_same: Callable[[Link], bool]) -> tuple[Link, bool]:
        """The link of an addition; decided anew on every head, so that two lists of opt-outs cannot both be added."""
        body = json.loads(canonical_json(addition))
        for turn in range(self._retries + 1):
            with self._chain.exclusive():
                links = self._chain.read(scope)
                there = next((link for link in links if is_same(link)), None)
                if there is not None:
                    return there, False
                _refuse_addition(fold(scope, links, self._genesis_hash(scope)), addition)
                try:
                    return self._chain.append(scope, OWN, body, None, links[-1]), True
                except HeadMoved:
                    pass
            self._sleep(delta.pause(turn))
        raise StoreConflict(
            f"scope '{scope}': other writers came first {self._retries + 1} times; run the same command again"
        )

    def verify(self) -> list[str]:
        """Everything wrong with which scope owns which table; empty when all is well.

        A scope whose own chain is broken is left out: its own check says so.
        """
        chains: dict[str, list[Link]] = {}
        for link in self._chain.store.fetch(None, 0, True):
            chains.setdefault(link.key, []).append(link)
        broken = verify_chain(chains.get(CLAIMS_KEY, []))
        if broken:
            return [f"chain '{CLAIMS_KEY}': {problem}" for problem in broken]
        return verify_claims({key: links for key, links in chains.items() if not verify_chain(links)})


def _other_people(scope: str, at: str) -> str:
    return (
        f"scope '{scope}': is open since {at} for other tables, another key, path, id shape or list of opt-outs; what "
        f"a scope was opened for is never changed. Add a derived table with: synthward budget add {scope} SOURCE ..."
    )


def _refuse_addition(state: ScopeState, addition: Addition) -> None:
    """Refuse what cannot be added to a scope in this state.

    Raises:
        BudgetError: It has no people; or another list of opt-outs, or this source with another way to the patient.
    """
    people = state.people
    if people is None:
        raise BudgetError(
            f"scope '{state.scope}': is bound to no source; open it with its population file first, which binds it: "
            "synthward budget open POPULATION.yaml --by ..."
        )
    if addition.excluded is not None:
        if people.unit == "row":
            raise BudgetError(f"scope '{state.scope}': unit row has no ids, so that nobody can be left out by id")
        if people.excluded not in (None, addition.excluded):
            raise BudgetError(
                f"scope '{state.scope}': has the list of opt-outs {people.excluded.source.location} already; keep all "
                "opt-outs in that one table"
            )
    route = addition.route
    if route is None:
        return
    for known in people.sources:
        same_table = known.source.address == route.source.address
        if same_table and (known.path, people.key_of(known)) != (route.path, people.key_of(route)):
            raise BudgetError(
                f"scope '{state.scope}': owns {route.source.location} with another key or path to the patient; what a "
                "scope owns is never changed"
            )
