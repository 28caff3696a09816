"""A release without Spark, for tests of what happens to it: a registry of one row, effects that are written down."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from store_doubles import MemoryLinks
from synthward.governance.acts import Acts
from synthward.governance.policy import Policy
from synthward.governance.roster import Roster
from synthward.ledger.ledger import Ledger
from synthward.privacy.accounting import Charge
from synthward.records.ledger import Commitment
from synthward.records.releases import Granted, Step
from synthward.release.manifest import Manifest
from synthward.release.registry import Listed
from synthward.run.plan import ATTEMPT
from synthward.run.releases import Actor, Releases, Wish
from synthward.store.chain import Chain
from synthward.store.places import TableRef, Zone
from trial import SCOPE, Clock

EXAMPLE = Path(__file__).parent / "unit" / "manifest_example.json"
OPENED = "1" * 64
"""Hash of the opening that the run was charged for."""

RELEASE, RUN = "r0123456789abcdef0123", "0123456789abcdef0123456789abcdef"

LISTED = Listed(
    release_id=RELEASE,
    run_id=RUN,
    title="Trial",
    purpose="prototyping",
    audience="enclave",
    tier="T0",
    scope=SCOPE,
    epsilon="1",
    delta="0",
    rows=200,
    manifest_digest="a" * 64,
    policy_digest="b" * 64,
    site_digest="c" * 64,
    ledger_seq=1,
    ledger_genesis="d" * 64,
    generated_at="2026-01-10T08:00:00Z",
    release_table="/zones/releases/visits__r",
)

LEE = Actor("lee", "privacy_officer", "rows do not follow their answers")
WISH = Wish("analysts", b"No linkage. No attempt to find a person.", "terms.txt", "Bo", dt.date(2026, 1, 14))


@dataclass
class Recorded:
    """Effects that are written down. What is in `broken` fails."""

    done: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    ledger: Ledger | None = None

    def _step(self, name: str) -> Step:
        self.done.append(name)
        return Step(name, name not in self.broken, "as told")

    def granted(self, listed: Listed, grant: Granted) -> list[Step]:
        """See `Effects.granted`."""
        return [self._step(f"grant {grant.recipient}")]

    def revoked(self, listed: Listed, grant: Granted) -> list[Step]:
        """See `Effects.revoked`."""
        return [self._step(f"revoke {grant.recipient}")]

    def withdrawn(self, listed: Listed, grants: Sequence[Granted], status: str, event: str) -> list[Step]:
        """See `Effects.withdrawn`."""
        steps = [step for grant in grants for step in self.revoked(listed, grant)]
        if self.ledger is not None:
            step = f"{status}.{listed.release_id}"
            self.ledger.commit(listed.scope, Commitment(listed.run_id, ATTEMPT, step, event))
        return [*steps, self._step(f"table {status}")]

    def reader_view(self, listed: Listed) -> str:
        """See `Effects.reader_view`."""
        return f"{listed.release_table}_for_readers"


class OneRegistry:
    """A registry of the given rows."""

    def __init__(self, *rows: Listed) -> None:
        self._rows = rows

    def listed(self, release_id: str | None = None) -> tuple[Listed, ...]:
        """See `Registry.listed`."""
        return tuple(row for row in self._rows if release_id in (None, row.release_id))


def manifest_of(**changes: Any) -> Manifest:
    """The example manifest."""
    record = Manifest(json.loads(EXAMPLE.read_text(encoding="utf-8"))).record
    return Manifest.of(replace(record, request=replace(record.request, requester="ada"), **changes))


@dataclass
class House:
    """A site's releases in memory.

    Attributes:
        policy: The policy.
        rows: The releases.
        roster: People and keys; None for none.
        links: The events.
        clock: Time.
        effects: What was carried out.
    """

    policy: Policy
    rows: tuple[Listed, ...] = (LISTED,)
    roster: Roster | None = None
    links: MemoryLinks = field(default_factory=MemoryLinks)
    clock: Clock = field(default_factory=Clock)
    effects: Recorded = field(default_factory=Recorded)
    store: MemoryLinks = field(default_factory=MemoryLinks)

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return Ledger(None, Zone("memory/ledger"), store=self.store, clock=self.clock)

    def open(self) -> Releases:
        """The releases, as a new process sees them."""
        chain = Chain(None, TableRef(parts=("events",)), store=self.links, clock=self.clock)
        return Releases(
            registry=OneRegistry(*self.rows),  # type: ignore[arg-type]
            chain=lambda: chain,
            acts=Acts(self.policy, self.roster),
            site="e" * 64,
            ledger=self.ledger,
            manifest=lambda _: manifest_of(),
            effects=self.effects,
            clock=self.clock,
        )

    def charge(self) -> None:
        """Charge the run of `LISTED`, so that its ledger takes commitments."""
        terms = {"max_epsilon": Decimal(10), "max_delta": Decimal("1e-6"), "declared_patients": 50, "unit": "patient"}
        self.ledger.open_scope(SCOPE, **terms, by="lee", policy_digest="p", site_digest="s")  # type: ignore[arg-type]
        self.ledger.charge(
            SCOPE,
            run_id=RUN,
            attempt=ATTEMPT,
            request_digest="r",
            policy_digest="p",
            site_digest="s",
            journal_id="j",
            cost=Charge.pure(Decimal(1)),
            release_id=RELEASE,
            delta_report=Decimal("1e-6"),
            opened=OPENED,
        )
        self.effects.ledger = self.ledger
