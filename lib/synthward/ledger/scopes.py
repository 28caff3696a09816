"""Scopes: what was agreed, what is spent, whether a charge fits, whether the record is whole. Pure: no Spark.

A scope is a population that owns a budget; tables derived from it share that budget. Its chain is one `open` link with
the terms and the people, then `charge` links, behind each the commitments of its run, and links by which it comes to
own further tables (`ledger.ownership`). Nothing is ever refunded, edited or removed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from synthward.errors import BudgetError, BudgetExceeded, IntegrityError, LedgerCorrupt, PolicyRefused
from synthward.ledger.charges import CHARGE, ChargeRecord, record_of
from synthward.ledger.commitments import COMMIT, WITHDRAWN, CommitmentRecord, commitments_at
from synthward.ledger.halts import RESUME, STOP, HaltRecord, halts_at
from synthward.ledger.ownership import BIND, OWN, people_at, people_of_link
from synthward.privacy import accounting
from synthward.privacy.accounting import Charge
from synthward.records.codec import RecordFault, decode, encode
from synthward.records.ledger import Opening
from synthward.spec.population import People
from synthward.store.links import Link, verify_chain, verify_times

OPEN = "open"
"""Kind of the link that opens a scope."""


@dataclass(frozen=True)
class ScopeTerms:
    """What a scope was opened with.

    Attributes:
        max_epsilon: Cap on the epsilon of everything charged to the scope, at `max_delta`.
        max_delta: The delta of that statement; additive deltas of charges come out of it.
        declared_patients: Size of the population as declared, never as counted.
        unit: The privacy unit, `patient` unless policy allowed another.
        by: Who opened it.
        policy_digest: Digest of the policy in force.
        site_digest: Digest of the site configuration in force.
        note: Free text.
        people: Whose budget it is; None for a scope that is bound to no source.
    """

    max_epsilon: Decimal
    max_delta: Decimal
    declared_patients: int
    unit: str
    by: str
    policy_digest: str
    site_digest: str
    note: str = ""
    people: People | None = None

    def same_budget(self, other: ScopeTerms) -> bool:
        """Whether caps, declared size and unit are equal; who opened it, notes and digests may change."""
        return self._budget() == other._budget()

    def _budget(self) -> tuple[Decimal, Decimal, int, str]:
        return self.max_epsilon, self.max_delta, self.declared_patients, self.unit


@dataclass(frozen=True)
class ScopeState:
    """A scope, folded from its chain.

    Attributes:
        scope: Name of the population that owns the budget.
        terms: What it was opened with.
        charges: In the order in which they were made.
        spent: Their sum.
        head: Last link of the chain.
        genesis_hash: Hash of the genesis of the ledger that the scope belongs to.
        people: Whose budget it is, with all tables that were added; None for a scope that is bound to no source.
        is_new: True only in the answer of the call that opened the scope.
        commitments: What runs have committed, in order.
        halts: Stops and resumptions, in order.
    """

    scope: str
    terms: ScopeTerms
    charges: tuple[ChargeRecord, ...]
    spent: Charge
    head: Link
    genesis_hash: str
    people: People | None = None
    is_new: bool = False
    commitments: tuple[CommitmentRecord, ...] = ()
    halts: tuple[HaltRecord, ...] = ()

    @property
    def stopped(self) -> HaltRecord | None:
        """The stop behind which nothing was resumed; None if there is none. Signatures are not looked at."""
        return self.halts[-1] if self.halts and self.halts[-1].kind == STOP else None

    @property
    def epsilon_spent(self) -> Decimal:
        """Epsilon of everything charged, at the scope's delta, rounded up; infinite when delta is used up."""
        return accounting.epsilon_of(self.spent, self.terms.max_delta)

    @property
    def remaining(self) -> Decimal:
        """Cap minus epsilon spent; under zCDP a next release may cost less than its own epsilon."""
        return accounting.remaining_epsilon(self.spent, self.terms.max_epsilon, self.terms.max_delta)

    def more_like(self, cost: Charge, most: int = 100) -> int:
        """How many more charges like this one fit under the scope's cap; see `runs_left`."""
        return runs_left(self, cost, most=most)


@dataclass(frozen=True)
class TierCap:
    """What policy allows a scope in all when a release of one tier is charged to it; the scope's own cap stays as well.

    Attributes:
        tier: Name of the tier.
        max_epsilon: Cap on the epsilon of everything charged to the scope, at `max_delta`.
        max_delta: The delta of that statement.
    """

    tier: str
    max_epsilon: Decimal
    max_delta: Decimal


@dataclass(frozen=True)
class HistoryLine:
    """One charge with the scope's account after it.

    Attributes:
        charge: The charge.
        spent: Sum of all charges up to it.
        epsilon: Epsilon of that sum at the scope's delta.
        remaining: What was left of the cap.
    """

    charge: ChargeRecord
    spent: Charge
    epsilon: Decimal
    remaining: Decimal


def terms_body(scope: str, terms: ScopeTerms, genesis_hash: str, single_writer: bool) -> dict[str, Any]:
    """Body of an `open` link."""
    return encode(
        Opening(
            scope=scope,
            max_epsilon=terms.max_epsilon,
            max_delta=terms.max_delta,
            declared_patients=terms.declared_patients,
            unit=terms.unit,
            by=terms.by,
            policy_digest=terms.policy_digest,
            site_digest=terms.site_digest,
            note=terms.note,
            genesis=genesis_hash,
            single_writer=single_writer,
            people=None if terms.people is None else terms.people.body,
        )
    )


def terms_of(link: Link) -> tuple[ScopeTerms, str]:
    """Terms and genesis hash of an `open` link.

    Raises:
        LedgerCorrupt: The body does not have what an opening has.
    """
    try:
        found = decode(Opening, link.facts)
    except (RecordFault, ValueError) as error:
        raise LedgerCorrupt(f"scope '{link.key}': link {link.seq} is not an opening this version can read") from error
    terms = ScopeTerms(
        max_epsilon=found.max_epsilon,
        max_delta=found.max_delta,
        declared_patients=found.declared_patients,
        unit=found.unit,
        by=found.by,
        policy_digest=found.policy_digest,
        site_digest=found.site_digest,
        note=found.note,
        people=people_of_link(link),
    )
    return terms, found.genesis


_LATER = frozenset({CHARGE, COMMIT, BIND, OWN, STOP, RESUME})
"""Kinds of links that follow the opening."""


def fold(scope: str, links: Sequence[Link], genesis_hash: str) -> ScopeState:
    """State of a scope from its verified chain.

    Raises:
        LedgerCorrupt: The scope was copied from another ledger, its links are not one opening and then charges,
            commitments and additions, or a step is committed twice.
    """
    terms, genesis = terms_of(links[0])
    if links[0].kind != OPEN or any(link.kind not in _LATER for link in links[1:]):
        raise LedgerCorrupt(f"scope '{scope}': frozen, its links are not one opening followed by charges")
    if genesis != genesis_hash:
        raise LedgerCorrupt(
            f"scope '{scope}': frozen, it belongs to another ledger (genesis {genesis[:12]}, "
            f"here {genesis_hash[:12]}); point site.yaml at the ledger in which it was opened"
        )
    charges = tuple(record_of(link) for link in links[1:] if link.kind == CHARGE)
    spent = accounting.total(charge.cost for charge in charges)
    return ScopeState(
        scope,
        terms,
        charges,
        spent,
        links[-1],
        genesis_hash,
        people=people_at(scope, links),
        commitments=commitments_at(scope, links, CHARGE),
        halts=halts_at(scope, links),
    )


def find(
    state: ScopeState, run_id: str, attempt: int, request_digest: str, cost: Charge, journal_id: str, opened: str
) -> ChargeRecord | None:
    """The charge of (run, attempt), if it was made.

    A charge pays for one draw of each step, and what was drawn is known from the seals in the run's journal. Under
    another journal every step would be drawn again, so that averaging would take the noise away. It pays for one source
    as it was pinned: that is what the journal's `opened` link says, whose hash the charge holds.

    Raises:
        IntegrityError: It was made for another request or another cost, under another journal, or for another opening.
    """
    for charge in state.charges:
        if (charge.run_id, charge.attempt) == (run_id, attempt):
            if charge.request_digest != request_digest or not _pays(charge.cost, cost):
                what = "request" if charge.request_digest != request_digest else "cost"
                raise IntegrityError(
                    f"scope '{state.scope}': run {run_id}, attempt {attempt} was charged for another {what}; "
                    "an edited request is another run, give it its own run id"
                )
            if charge.journal_id != journal_id:
                raise IntegrityError(
                    f"scope '{state.scope}': run {run_id} was charged under another journal, which holds its seals; go "
                    "on with the protected zone that it began in, as site.yaml named it. If that journal is lost, so "
                    "is the charge: a new run key is a new run"
                )
            if charge.opened not in (None, opened):
                raise IntegrityError(
                    f"scope '{state.scope}': run {run_id} was charged for another opening than its journal holds now; "
                    "the journal was altered, and nothing in it is obeyed. The charge is forfeit: find out who writes "
                    "to the protected zone, then start a run with a new key"
                )
            return charge
    return None


def _pays(recorded: Charge, cost: Charge) -> bool:
    """Whether a recorded cost is that of the same run as it is computed today.

    Versions before the exact rho of Laplace noise recorded epsilon^2 / 2, which is more. Such a charge stays as it is
    and pays for its run; nothing is recorded again and nothing given back.
    """
    if recorded == cost:
        return True
    same = recorded.is_pure and (recorded.nano_epsilon, recorded.atto_delta) == (cost.nano_epsilon, cost.atto_delta)
    return same and recorded.nano_rho > cost.nano_rho


def refuse_overspending(state: ScopeState, cost: Charge) -> None:
    """Check that the scope's total with `cost` stays within its cap.

    Raises:
        BudgetExceeded: It does not; nothing was spent. The message has asked, spent, cap and left.
    """
    terms = state.terms
    after = state.spent + cost
    if accounting.fits(after, terms.max_epsilon, terms.max_delta):
        return
    raise BudgetExceeded(
        f"scope '{state.scope}': the charge does not fit. Asked: epsilon "
        f"{_shown(accounting.epsilon_of(cost, terms.max_delta))} on its own, as a scope counts it; "
        f"spent: {_shown(state.epsilon_spent)}; "
        f"together: {_shown(accounting.epsilon_of(after, terms.max_delta))}; cap: {_shown(terms.max_epsilon)}; "
        f"left: {_shown(state.remaining)} (all at delta {terms.max_delta}). Nothing was spent. Ask for a smaller "
        "epsilon, or have the privacy officer decide on a scope for another population; spent budget does not come back"
    )


def refuse_beyond_tier(state: ScopeState, cost: Charge, cap: TierCap | None) -> None:
    """Check that the scope's total with `cost` stays within what policy allows for the tier of the release.

    Raises:
        BudgetExceeded: It does not; nothing was spent. The message has spent, together and cap.
    """
    if cap is None or accounting.fits(state.spent + cost, cap.max_epsilon, cap.max_delta):
        return
    raise BudgetExceeded(
        f"scope '{state.scope}': tier {cap.tier} allows epsilon {_shown(cap.max_epsilon)} for all releases of a scope "
        f"together; spent: {_shown(accounting.epsilon_of(state.spent, cap.max_delta))}; with this charge: "
        f"{_shown(accounting.epsilon_of(state.spent + cost, cap.max_delta))} (all at delta {cap.max_delta}). "
        "Nothing was spent. Ask for a smaller epsilon"
    )


MANY_RUNS = 10_000
"""Runs beyond which nobody counts on."""


def runs_left(state: ScopeState, cost: Charge, cap: TierCap | None = None, most: int = MANY_RUNS) -> int:
    """How often the same charge still fits, found by bisection.

    Args:
        state: The scope's account.
        cost: A charge; one that costs nothing fits any number of times.
        cap: The tier's cap, which has to hold beside the scope's own; None for the scope's own alone.
        most: Where counting ends.
    """
    caps = [(state.terms.max_epsilon, state.terms.max_delta)]
    if cap is not None:
        caps.append((cap.max_epsilon, cap.max_delta))
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        each = None if cost.nano_epsilon is None else middle * cost.nano_epsilon
        after = state.spent + Charge(each, middle * cost.nano_rho, middle * cost.atto_delta)
        if all(accounting.fits(after, epsilon, delta) for epsilon, delta in caps):
            low = middle
        else:
            high = middle - 1
    return low


def refuse_extra_run(state: ScopeState, request_digest: str, runs_allowed: int | None) -> None:
    """Check that the approvals of a request cover one more run of it.

    Decided on the chain that the charge is appended to, so that two drivers cannot both take the last covered run.

    Raises:
        PolicyRefused: They do not.
    """
    done = sum(charge.request_digest == request_digest for charge in state.charges)
    if runs_allowed is not None and done >= runs_allowed:
        reason = (
            f"the approvals of this request cover {runs_allowed} run(s), and {done} are charged to scope "
            f"'{state.scope}'; have it approved for more runs (synthward approve ... --runs N). Nothing was spent"
        )
        raise PolicyRefused([reason])


def _shown(epsilon: Decimal) -> str:
    return "more than delta allows" if epsilon.is_infinite() else f"{epsilon.normalize():f}"


def history(state: ScopeState) -> tuple[HistoryLine, ...]:
    """Every charge with the running account."""
    lines = []
    spent = accounting.ZERO
    for charge in state.charges:
        spent = spent + charge.cost
        terms = state.terms
        epsilon = accounting.epsilon_of(spent, terms.max_delta)
        left = accounting.remaining_epsilon(spent, terms.max_epsilon, terms.max_delta)
        lines.append(HistoryLine(charge, spent, epsilon, left))
    return tuple(lines)


def verify_scope(
    scope: str,
    links: Sequence[Link],
    genesis: Sequence[Link],
    receipts: Iterable[tuple[int, str, str]],
    journals: Mapping[str, Collection[str]] | None = None,
) -> list[str]:
    """Everything wrong with a scope's chain, and with the chain against receipts and journals kept elsewhere.

    Args:
        scope: Its name.
        links: Its chain as it stands, unverified.
        genesis: The ledger's own chain as it stands, unverified.
        receipts: (seq, hash of the link, genesis hash) of charges and commitments, as noted by runs and releases.
        journals: Hashes of the links of each run's journal, by run; None leaves commitments uncompared.

    Returns:
        Problems; empty when the ledger is sound, has every receipt, and every commitment has its link.
    """
    problems = [f"genesis: {problem}" for problem in verify_chain(genesis)]
    if len(genesis) != 1:
        problems.append(f"genesis: one link is due, {len(genesis)} found")
    problems += verify_chain(links)
    if not links:
        problems.append(f"scope '{scope}': has no links; it was never opened here, or the table was replaced")
    if links and not problems:
        problems += _verify_contents(scope, links, genesis[0].hash, journals)
    problems += verify_times(links)
    by_seq = {link.seq: link for link in links}
    for seq, head_hash, genesis_hash in receipts:
        if not genesis or genesis_hash != genesis[0].hash:
            problems.append(f"receipt {seq}: was issued by another ledger (genesis {genesis_hash[:12]})")
        elif seq not in by_seq:
            problems.append(
                f"receipt {seq}: the charge is missing (or the commitment); the ledger was cut or restored to an older "
                "state"
            )
        elif by_seq[seq].hash != head_hash:
            problems.append(
                f"receipt {seq}: another charge or commitment stands there; the ledger was cut and written again"
            )
    return problems


def _verify_contents(
    scope: str, links: Sequence[Link], genesis_hash: str, journals: Mapping[str, Collection[str]] | None
) -> list[str]:
    try:
        state = fold(scope, links, genesis_hash)
    except BudgetError as error:
        return [str(error)]
    problems = []
    paid: dict[tuple[str, int], int] = {}
    for line in history(state):
        key = (line.charge.run_id, line.charge.attempt)
        if key in paid:
            problems.append(f"link {line.charge.seq}: the same run and attempt were charged at link {paid[key]}")
        paid.setdefault(key, line.charge.seq)
        if line.epsilon > state.terms.max_epsilon:
            problems.append(f"link {line.charge.seq}: brings the scope above its cap of {state.terms.max_epsilon}")
    return problems if journals is None else problems + _verify_journals(state, journals)


def _verify_journals(state: ScopeState, journals: Mapping[str, Collection[str]]) -> list[str]:
    """What the ledger names and the journals do not hold."""
    cut = "its journal was cut back, restored or replaced, and what was drawn there could be drawn again"
    problems = [
        f"link {charge.seq}: run {charge.run_id} was charged for an opening that is not in its journal; {cut}"
        for charge in state.charges
        if charge.opened is not None and charge.opened not in journals.get(charge.run_id, ())
    ]
    for record in state.commitments:
        run_id, step = record.commitment.run_id, record.commitment.step
        if record.digest not in journals.get(run_id, ()):
            problems.append(f"link {record.seq}: {_missing(run_id, step, cut)}")
    return problems


def _missing(run_id: str, step: str, cut: str) -> str:
    """What it means that a committed step is gone."""
    if not step.startswith(WITHDRAWN):
        return f"run {run_id} committed its step '{step}', which is missing; {cut}"
    what, _, release_id = step.partition(".")
    return (
        f"release {release_id} was {what}, and the event is missing; its chain was cut back, and the release could be "
        "read again"
    )


def scope_states(chains: Mapping[str, Sequence[Link]], genesis_hash: str) -> tuple[ScopeState, ...]:
    """States of all scopes, by name; keys that begin with `_` are the ledger's own."""
    return tuple(
        fold(key, links, genesis_hash) for key, links in sorted(chains.items()) if not key.startswith("_") and links
    )
