"""Emergency stops of scopes: who may stop and resume one, what they sign, and which stop is in force."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace

from synthward.config.instants import utc_text
from synthward.config.text import PARAGRAPH, text_fault
from synthward.errors import PolicyRefused, UsageError
from synthward.governance.identity import name_fault
from synthward.governance.keys import Signer
from synthward.governance.policy import Policy
from synthward.governance.reasons import Reason
from synthward.governance.roster import Roster, person_of
from synthward.governance.signed import Event, EventSignatures
from synthward.ledger.halts import RESUME, STOP, HaltKind, HaltRecord
from synthward.ledger.ledger import Ledger
from synthward.ledger.scopes import ScopeState
from synthward.records.codec import encode
from synthward.records.ledger import Halt
from synthward.spec.site import Site


@dataclass(frozen=True)
class Halts:
    """The stops of a site's scopes.

    Attributes:
        ledger: Where they are recorded.
        policy: Names the roles that may stop and resume.
        site: The site; signatures name its digest.
        roster: The site's people and keys; None for none.
        clock: Time, with a zone.
    """

    ledger: Ledger
    policy: Policy
    site: Site
    roster: Roster | None
    clock: Callable[[], dt.datetime]

    def record(
        self, kind: HaltKind, scope: str, *, by: str, role: str, reason: str, signer: Signer | None = None
    ) -> HaltRecord:
        """Stop or resume a scope.

        Raises:
            BudgetError: The scope is not open.
            PolicyRefused: The role may not do it, the signature is missing or does not count, or the scope is stopped
                or running already.
            UsageError: Name or reason are empty or not printable.
        """
        fault = name_fault(by) or text_fault(reason, PARAGRAPH, lines=False)
        if fault is not None or not by.strip() or not reason.strip():
            raise UsageError(f"name or reason {fault or 'is empty'}")
        halt = Halt(scope=scope, by=person_of(self.roster, by), role=role, at=utc_text(self.clock()), reason=reason)
        if signer is not None:
            signatures = self._signatures()
            if signatures is None:
                text = "the site names no roster, so that nobody could check a signature; leave the key out"
                raise PolicyRefused([Reason.of("no_roster", text)])
            halt = replace(halt, envelope=signatures.sign(_signable(kind, halt), signer))
        wrong = self.fault(kind, halt)
        if wrong is not None:
            raise PolicyRefused([wrong])
        in_force = self.in_force(self.ledger.state(scope))
        if (in_force is not None) == (kind == STOP):
            state = "stopped already" if kind == STOP else "not stopped"
            raise PolicyRefused([Reason.of(f"not_to_{kind}", f"scope '{scope}' is {state}")])
        return self.ledger.halt(scope, kind, halt)

    def in_force(self, state: ScopeState) -> HaltRecord | None:
        """The stop that is in force in a scope; None if none is.

        A stop counts however it was made, which errs on the safe side. A resumption counts if its role and its
        signature do.
        """
        stop: HaltRecord | None = None
        for record in state.halts:
            if record.kind == STOP:
                stop = record
            elif self.fault(RESUME, record.halt) is None:
                stop = None
        return stop

    def fault(self, kind: HaltKind, halt: Halt) -> Reason | None:
        """Why a stop or a resumption does not count; None if it does."""
        allowed = self.policy.stop_roles or self.policy.roles
        if halt.role not in allowed:
            text = f"{kind}: found the role {halt.role}, policy allows {', '.join(allowed)}"
            return Reason.of("role_not_allowed", text)
        signatures = self._signatures()
        if signatures is None or not (halt.envelope or self._must_sign):
            return None
        today = self.clock().astimezone(dt.UTC).date()
        return signatures.fault(_signable(kind, halt), halt.envelope, today, lasting=kind == STOP)

    @property
    def _must_sign(self) -> bool:
        """Whether a signature is needed: a scope may be of any tier, so the strictest one decides."""
        return any(tier.signed for tier in self.policy.tiers.values())

    def _signatures(self) -> EventSignatures | None:
        if self.roster is None:
            return None
        return EventSignatures(self.roster, self.site.digest, self.ledger.genesis_hash() or "")


def _signable(kind: HaltKind, halt: Halt) -> Event:
    return Event(kind, encode(replace(halt, envelope="")), halt.by, halt.role, halt.at)
