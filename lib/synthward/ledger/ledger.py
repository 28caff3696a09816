"""The ledger: opens scopes, charges them at most once per run and attempt, and finds what was tampered with.

Two drivers that charge one scope at the same time cannot overspend it: a charge is a compare-and-append on the head
that the decision was based on; whoever loses reads again and decides again.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import secrets
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from synthward.config.instants import now
from synthward.config.names import SCOPE_NAME, SCOPE_RULE
from synthward.errors import BudgetError, IntegrityError, LedgerCorrupt, StoreConflict, UsageError
from synthward.ledger.charges import CHARGE, ChargeReceipt, charge_body, pays_for, record_of
from synthward.ledger.commitments import COMMIT, CommitmentRecord, commitment_body, commitment_of, is_for
from synthward.ledger.halts import HaltKind, HaltRecord, refuse_stopped
from synthward.ledger.owners import Owners
from synthward.ledger.ownership import Addition
from synthward.ledger.scopes import (
    OPEN,
    HistoryLine,
    ScopeState,
    ScopeTerms,
    TierCap,
    find,
    fold,
    history,
    refuse_beyond_tier,
    refuse_extra_run,
    refuse_overspending,
    scope_states,
    terms_body,
    verify_scope,
)
from synthward.privacy.accounting import Charge
from synthward.records.codec import encode
from synthward.records.ledger import Commitment, Genesis, Halt
from synthward.spec.population import People
from synthward.store import delta
from synthward.store.chain import Chain, Followed, HeadMoved
from synthward.store.link_table import DeltaLinks, LinkStore
from synthward.store.links import Link
from synthward.store.lock import lock_for
from synthward.store.places import Zone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GENESIS_KEY = "_ledger"
"""Chain with the random identity of the ledger."""


class Ledger:
    """The budgets of all scopes of a site, in the table `charges` of the ledger zone."""

    def __init__(
        self,
        spark: SparkSession | None,
        zone: Zone,
        *,
        single_writer: bool = False,
        clock: Callable[[], dt.datetime] = now,
        retries: int = delta.RETRIES,
        sleep: Callable[[float], None] = time.sleep,
        store: LinkStore | None = None,
    ) -> None:
        """Nothing is read or made before the first use.

        Args:
            spark: The session; only a ledger with its own `store` does without.
            zone: Where the table is.
            single_writer: The site's promise for object stores without a safe log store; recorded in every link.
            clock: The time that links carry.
            retries: Bound on retries against other writers.
            sleep: For tests.
            store: Where links are kept instead of the Delta table.

        Raises:
            EnvironmentProblem: The zone is not safe for several drivers.
        """
        ref = zone.table("charges")
        self._single_writer = single_writer
        self._retries = retries
        self._sleep = sleep
        self._chain = Chain(
            spark,
            ref,
            lock=lock_for(ref),
            single_writer=single_writer,
            clock=clock,
            retries=retries,
            sleep=sleep,
            store=store,
        )
        self._genesis: Link | None = None
        self._followed: dict[str, Followed] = {}
        self._owners = Owners(self._chain, self._genesis_hash, retries=retries, sleep=sleep)

    def _prepare(self) -> None:
        """Before the first write: the table is there with its safety properties, in a place that is safe."""
        if isinstance(self._chain.store, DeltaLinks):
            self._chain.store.prepare()

    def genesis(self) -> Link:
        """The ledger's first record, with a random 128-bit id; made on first use.

        Raises:
            LedgerCorrupt: There is more than one.
        """
        if self._genesis is None:
            self._prepare()
            link, _ = self._chain.get_or_append(
                GENESIS_KEY,
                "genesis",
                lambda link: link.seq == 0,
                lambda: (encode(Genesis(secrets.token_hex(16))), None),
            )
            self._genesis = link
        return self._genesis

    def genesis_hash(self) -> str | None:
        """Hash of the ledger's first record, None where it has none yet; nothing is written.

        Raises:
            LedgerCorrupt: The record is broken.
        """
        if self._genesis is None:
            found = self._chain.read(GENESIS_KEY)
            self._genesis = found[0] if found else None
        return None if self._genesis is None else self._genesis.hash

    def open_scope(
        self,
        scope: str,
        *,
        max_epsilon: Decimal,
        max_delta: Decimal,
        declared_patients: int,
        unit: str,
        by: str,
        policy_digest: str,
        site_digest: str,
        note: str = "",
        people: People | None = None,
    ) -> ScopeState:
        """Open a scope with a budget, or find it open with the same one.

        A scope that was opened without people is bound to those given now, once; what it has spent stays spent.

        Args:
            scope: Name of the population (see `config.names`).
            max_epsilon: Cap on the scope's epsilon.
            max_delta: The delta at which that cap is stated.
            declared_patients: Declared size of the population.
            unit: The privacy unit.
            by: Who opens it.
            policy_digest: Digest of the policy in force.
            site_digest: Digest of the site configuration in force.
            note: Free text for the record.
            people: Whose budget it is: tables, key, paths, id shape. Without them the scope is bound to no source.

        Returns:
            The state; `is_new` tells whether this call opened it.

        Raises:
            BudgetError: The scope is open with another budget or for other people; another scope owns a table.
            UsageError: The name or a number makes no sense.
        """
        _check_scope(scope)
        terms = ScopeTerms(
            max_epsilon, max_delta, declared_patients, unit, by, policy_digest, site_digest, note, people
        )
        _check_terms(scope, terms)
        genesis = self.genesis().hash
        if people is not None:
            self._owners.claim_people(scope, terms, people)
        link, is_new = self._chain.get_or_append(
            scope,
            OPEN,
            lambda link: link.seq == 0,
            lambda: (terms_body(scope, terms, genesis, self._single_writer), None),
        )
        state = fold(scope, [link], genesis) if is_new else self.state(scope)
        if not state.terms.same_budget(terms):
            was = state.terms
            raise BudgetError(
                f"scope '{scope}': is open since {link.at} with max_epsilon {was.max_epsilon}, max_delta "
                f"{was.max_delta}, {was.declared_patients} declared patients, unit {was.unit}; asked for "
                f"{max_epsilon}, {max_delta}, {declared_patients}, {unit}. A budget is never changed: use these terms, "
                "or open a scope under another name for another population"
            )
        if people is not None:
            state = self._owners.bound(scope, terms, people)
        return dataclasses.replace(state, is_new=is_new)

    def add(self, scope: str, addition: Addition) -> ScopeState:
        """Add a derived table, or the list of opt-outs, to a scope (see `Owners.add`)."""
        return self._owners.add(scope, addition)

    def scopes(self) -> tuple[ScopeState, ...]:
        """All scopes by name, each verified.

        Raises:
            LedgerCorrupt: A chain is broken.
        """
        chains = self._chain.read_all()
        genesis = chains.get(GENESIS_KEY)
        return scope_states(chains, genesis[0].hash) if genesis else ()

    def sound_scopes(self) -> tuple[tuple[ScopeState, ...], dict[str, str]]:
        """All scopes that can be trusted, and why the others cannot, by name; for pages that have to show both."""
        try:
            return self.scopes(), {}
        except LedgerCorrupt:
            pass  # one broken chain does not hide the others
        states, problems = [], {}
        for name in self.names():
            try:
                states.append(self.state(name))
            except BudgetError as error:
                problems[name] = str(error)
        return tuple(states), problems

    def names(self) -> tuple[str, ...]:
        """Names of all scopes that stand in the ledger, unverified: also those whose chain is broken."""
        return tuple(key for key in self._chain.all_keys() if not key.startswith("_"))

    def state(self, scope: str) -> ScopeState:
        """One scope, verified.

        Raises:
            BudgetError: The scope is not open in this ledger.
            LedgerCorrupt: Its chain is broken, or it belongs to another ledger.
        """
        _check_scope(scope)
        links = self._chain.read(scope)
        if not links:
            raise BudgetError(
                f"scope '{scope}': is not open in the ledger at {self._chain.ref}; a privacy officer opens it once: "
                f"synthward budget open POPULATION.yaml --by ..., with `scope: {scope}` in that file"
            )
        return fold(scope, links, self._genesis_hash(scope))

    def _genesis_hash(self, scope: str) -> str:
        found = self.genesis_hash()
        if found is None:
            raise LedgerCorrupt(
                f"scope '{scope}': frozen, the ledger at {self._chain.ref} has no genesis; the scope was copied in"
            )
        return found

    def charge(
        self,
        scope: str,
        *,
        run_id: str,
        attempt: int,
        request_digest: str,
        policy_digest: str,
        site_digest: str,
        journal_id: str,
        cost: Charge,
        release_id: str,
        delta_report: Decimal,
        opened: str,
        runs_allowed: int | None = None,
        tier_cap: TierCap | None = None,
    ) -> ChargeReceipt:
        """Charge a scope, once per (run, attempt): a retry gets the receipt again and spends nothing.

        When it returns, the charge is durable and was read back. Nothing is ever refunded.

        Args:
            scope: The population that pays.
            run_id: The run.
            attempt: The run's attempt.
            request_digest: Digest of the request.
            policy_digest: Digest of the policy.
            site_digest: Digest of the site configuration.
            journal_id: Random id of the run's journal. A charge pays for the seals of one journal.
            cost: What the run will spend, rounded up.
            release_id: The release it pays for.
            delta_report: The delta at which the release states its epsilon.
            opened: Hash of the journal's `opened` link. A charge pays for the source as it was pinned there.
            runs_allowed: How many runs of the request the approvals cover; None for any number.
            tier_cap: What policy allows the scope for a release of this tier; None leaves the scope's own cap alone.

        Raises:
            PolicyRefused: The scope is stopped, or the approvals do not cover one more run of the request; nothing was
                spent.
            BudgetExceeded: The scope's total would be above its cap or the tier's; nothing was spent.
            BudgetError: The scope is not open.
            IntegrityError: The same run and attempt were charged for another request, cost or opening, or under another
                journal.
            LedgerCorrupt: The scope's chain is broken.
            StoreConflict: Other writers won every time; running again is safe.
        """
        _check_scope(scope)
        self._prepare()
        body = charge_body(
            run_id=run_id,
            attempt=attempt,
            request_digest=request_digest,
            policy_digest=policy_digest,
            site_digest=site_digest,
            journal_id=journal_id,
            cost=cost,
            release_id=release_id,
            delta_report=delta_report,
            single_writer=self._single_writer,
            opened=opened,
        )
        for turn in range(self._retries + 1):
            with self._chain.exclusive():
                state = self.state(scope)
                refuse_stopped(scope, state.stopped)
                made = find(state, run_id, attempt, request_digest, cost, journal_id, opened)
                if made is not None:
                    return made.receipt(state.genesis_hash, is_new=False)
                refuse_extra_run(state, request_digest, runs_allowed)
                refuse_overspending(state, cost)
                refuse_beyond_tier(state, cost, tier_cap)
                try:
                    link = self._chain.append(scope, CHARGE, body, None, state.head)
                except HeadMoved:
                    link = None
            if link is not None:
                return record_of(link).receipt(state.genesis_hash, is_new=True)
            self._sleep(delta.pause(turn))
        raise StoreConflict(
            f"scope '{scope}': other charges came first {self._retries + 1} times; run the same command again"
        )

    def halt(self, scope: str, kind: HaltKind, halt: Halt) -> HaltRecord:
        """Stop or resume a scope. Charges of the scope are refused from the moment the stop is durable.

        A resumption that follows no stop, or one that does not count, does not end it: `run.halts` says which counts.

        Raises:
            BudgetError: The scope is not open.
            LedgerCorrupt: The scope's chain is broken.
            StoreConflict: Other writers won every time; running again is safe.
        """
        _check_scope(scope)
        self.state(scope)
        body = encode(halt)
        link, _ = self._chain.get_or_append(
            scope, kind, lambda link: link.kind == kind and link.facts == body, lambda: (body, None)
        )
        return HaltRecord(link.seq, kind, halt)

    def commit(self, scope: str, commitment: Commitment) -> CommitmentRecord:
        """Commit a step of a charged run, once: of two drivers the first one wins, and both get its commitment.

        When it returns, the commitment is durable and was read back.

        Raises:
            IntegrityError: The scope was not charged for the run.
            LedgerCorrupt: The scope's chain is broken.
            StoreConflict: Other writers won every time; running again is safe.
        """
        _check_scope(scope)
        run_id, attempt, step = commitment.run_id, commitment.attempt, commitment.step
        chain = self._follow(scope)
        if chain.find(lambda link: pays_for(link, run_id, attempt)) is None:
            raise IntegrityError(f"scope '{scope}': run {run_id} was not charged, so that it can commit nothing")
        link, _ = chain.get_or_append(
            COMMIT, lambda link: is_for(link, run_id, attempt, step), lambda: (commitment_body(commitment), None)
        )
        return commitment_of(link)

    def committed(self, scope: str, run_id: str, attempt: int, step: str) -> CommitmentRecord | None:
        """The commitment of a step as the ledger stands now; None where there is none.

        Raises:
            LedgerCorrupt: The scope's chain is broken, or lost links that were read before.
        """
        _check_scope(scope)
        link = self._follow(scope).find(lambda link: is_for(link, run_id, attempt, step))
        return None if link is None else commitment_of(link)

    def commitments(self, scope: str, run_id: str) -> tuple[CommitmentRecord, ...]:
        """Every commitment of a run as the ledger stands now, oldest first.

        Raises:
            LedgerCorrupt: As for `committed`.
        """
        _check_scope(scope)
        records = (commitment_of(link) for link in self._follow(scope).links() if link.kind == COMMIT)
        return tuple(record for record in records if record.commitment.run_id == run_id)

    def holds(self, scope: str, seq: int, digest: str) -> bool:
        """Whether the scope's chain has a link of this hash at this position.

        Raises:
            LedgerCorrupt: As for `committed`.
        """
        _check_scope(scope)
        return self._follow(scope).find(lambda link: (link.seq, link.hash) == (seq, digest)) is not None

    def _follow(self, scope: str) -> Followed:
        """The chain of a scope, of which only what is new is fetched."""
        return self._followed.setdefault(scope, Followed(self._chain, scope))

    def history(self, scope: str) -> tuple[HistoryLine, ...]:
        """Every charge of a scope with the running account.

        Raises:
            BudgetError: The scope is not open.
            LedgerCorrupt: Its chain is broken.
        """
        return history(self.state(scope))

    def verify(
        self,
        scope: str,
        receipts: Iterable[tuple[int, str, str]] = (),
        journals: Mapping[str, Collection[str]] | None = None,
    ) -> list[str]:
        """Everything wrong with a scope: broken chain, cut, doubled charge, above its cap, foreign genesis, lost seals.

        Args:
            scope: Its name.
            receipts: (seq, hash, genesis hash) that runs and releases have kept; only they show a cut at the end.
            journals: Hashes of the links of each run's journal, by run; None leaves commitments uncompared.

        Returns:
            Problems, empty when all is well.
        """
        if scope.startswith("_"):
            raise UsageError(f"scope '{scope}': names that begin with '_' are chains of the ledger itself")
        return verify_scope(scope, self._chain.rows(scope), self._chain.rows(GENESIS_KEY), receipts, journals)

    def verify_ownership(self) -> list[str]:
        """Everything wrong with which scope owns which table; empty when all is well."""
        return self._owners.verify()


def _check_scope(scope: str) -> None:
    if not SCOPE_NAME.fullmatch(scope):
        raise UsageError(f"scope '{scope}': a name has {SCOPE_RULE}")


def _check_terms(scope: str, terms: ScopeTerms) -> None:
    if not terms.max_epsilon.is_finite() or terms.max_epsilon <= 0:
        raise UsageError(f"scope '{scope}': max_epsilon must be a positive number, found {terms.max_epsilon}")
    if not terms.max_delta.is_finite() or not 0 <= terms.max_delta < 1:
        raise UsageError(f"scope '{scope}': max_delta must be at least 0 and below 1, found {terms.max_delta}")
    if terms.declared_patients < 1:
        raise UsageError(f"scope '{scope}': declared_patients must be at least 1, found {terms.declared_patients}")
