"""What stands in a ledger: the bodies of the links of its chains, as records.

A ledger's own chain has one `Genesis`; a scope's chain an `Opening`, then `Charged`, `Commitment`, `Binding`, and
additions of tables, which `ledger.ownership` defines. The place of a signature is kept: decisions are recorded as
entered until people sign them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Receipt:
    """A link of the ledger as somebody else keeps it: who has it can tell a ledger that was cut or written again.

    Attributes:
        seq: Its position in its scope's chain.
        head: Its hash.
        genesis: Hash of the first link of the ledger.
    """

    seq: int
    head: str
    genesis: str


@dataclass(frozen=True)
class Genesis:
    """Body of a `genesis` link.

    Attributes:
        id: Random, 128 bits.
    """

    id: str


@dataclass(frozen=True)
class Opening:
    """Body of an `open` link: a scope with its budget.

    Attributes:
        scope: The scope.
        max_epsilon: Cap on the epsilon of everything charged to it, at `max_delta`.
        max_delta: The delta of that statement.
        declared_patients: Declared size of the population.
        unit: The privacy unit.
        by: Who opened it, as entered.
        policy_digest: Digest of the policy in force.
        site_digest: Digest of the site configuration in force.
        note: Free text.
        genesis: Hash of the ledger's genesis.
        single_writer: Whether the site had promised one writer instead of a safe log store.
        people: Whose budget it is, as `spec.population.People` writes it; None for a scope that is bound to no source.
            Missing in ledgers from before populations.
        signature: None. Missing likewise.
    """

    scope: str
    max_epsilon: Decimal
    max_delta: Decimal
    declared_patients: int
    unit: str
    by: str
    policy_digest: str
    site_digest: str
    note: str
    genesis: str
    single_writer: bool
    people: Any = None
    signature: str | None = None


@dataclass(frozen=True)
class Binding:
    """Body of a `bind` link: the people of a scope that was opened without.

    Attributes:
        people: As in `Opening`.
        by: Who did it, as entered.
        signature: None.
    """

    people: Any
    by: str
    signature: str | None = None


@dataclass(frozen=True)
class Charged:
    """Body of a `charge` link.

    Attributes:
        run_id: The run that paid.
        attempt: Its attempt; a retry of the same attempt pays nothing.
        request_digest: Digest of the request.
        policy_digest: Digest of the policy.
        site_digest: Digest of the site configuration.
        journal_id: Random id of the journal that has the run's seals.
        nano_epsilon: Pure epsilon in 1e-9, rounded up; None where the mechanism is not pure.
        nano_rho: Rho in 1e-9, rounded up.
        atto_delta: Additive delta in 1e-18, rounded up.
        release_id: The release it pays for.
        delta_report: The delta at which that release states its epsilon.
        single_writer: As in `Opening`.
        opened: Hash of the journal's `opened` link. Missing in charges from before commitments.
    """

    run_id: str
    attempt: int
    request_digest: str
    policy_digest: str
    site_digest: str
    journal_id: str
    nano_epsilon: int | None
    nano_rho: int
    atto_delta: int
    release_id: str
    delta_report: Decimal
    single_writer: bool
    opened: str | None = None


@dataclass(frozen=True)
class Commitment:
    """Body of a `commit` link: what a run commits to, one step and the link of the journal that holds it.

    Attributes:
        run_id: The run.
        attempt: Its attempt.
        step: The step: `sealed.` and the name of a round, `fitted`, `validated`, `copied.` and a number; of a repair
            `repaired.` and a number, and `validated.` and the same number. Of a release that is taken back: `recalled.`
            or `expired.` and its id; the link is one of the release's own chain.
        digest: Hash of the journal's link, 64 hexadecimal digits.
        seal_key: The key, 64 hexadecimal digits, that opens the payload of a seal; None for other links. It is known to
            nobody before it stands here.
    """

    run_id: str
    attempt: int
    step: str
    digest: str
    seal_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Halt:
    """Body of a `stop` or `resume` link.

    Attributes:
        scope: The scope.
        by: Who did it.
        role: Role in which the person acted.
        at: When: UTC, ISO 8601.
        reason: Why, one line.
        envelope: The person's signature, a DSSE envelope; empty where none was given.
    """

    scope: str
    by: str
    role: str
    at: str
    reason: str
    envelope: str = ""
