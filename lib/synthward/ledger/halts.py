"""Stops of a scope: while one is in force, no run of the scope begins, goes on or is charged. Pure: no Spark.

A stop is a link of the scope's own chain, so that a charge and a stop cannot pass each other: both are appended to the
same head. Whether a resumption counts is also a question of its signature, which `run.halts` answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from synthward.errors import LedgerCorrupt, PolicyRefused
from synthward.governance.reasons import Reason
from synthward.records.codec import RecordFault, decode
from synthward.records.ledger import Halt
from synthward.store.links import Link

HaltKind = Literal["stop", "resume"]

STOP: HaltKind = "stop"
RESUME: HaltKind = "resume"


@dataclass(frozen=True)
class HaltRecord:
    """A stop or a resumption as it stands in the ledger.

    Attributes:
        seq: Position in the scope's chain.
        kind: Which of the two.
        halt: Who, when and why.
    """

    seq: int
    kind: HaltKind
    halt: Halt


def halts_at(scope: str, links: Sequence[Link]) -> tuple[HaltRecord, ...]:
    """Stops and resumptions of a scope, in order.

    Raises:
        LedgerCorrupt: One cannot be read, or is about another scope.
    """
    found: list[HaltRecord] = []
    for link in links:
        if link.kind not in (STOP, RESUME):
            continue
        try:
            halt = decode(Halt, link.facts)
        except RecordFault as error:
            text = f"link {link.seq} is not a stop or resumption this version can read"
            raise LedgerCorrupt(f"scope '{scope}': {text}") from error
        kind = STOP if link.kind == STOP else RESUME
        if halt.scope != scope:
            raise LedgerCorrupt(f"scope '{scope}': frozen, link {link.seq} stops or resumes another scope")
        found.append(HaltRecord(link.seq, kind, halt))
    return tuple(found)


def refuse_stopped(scope: str, stop: HaltRecord | None) -> None:
    """Check that no stop is in force.

    Raises:
        PolicyRefused: One is.
    """
    if stop is not None:
        raise PolicyRefused([stopped(scope, stop)])


def stopped(scope: str, stop: HaltRecord) -> Reason:
    """Why nothing of a scope runs while a stop is in force."""
    halt = stop.halt
    text = f"scope '{scope}' was stopped on {halt.at[:10]} by {halt.by} as {halt.role}: {halt.reason}"
    return Reason.of("stopped", f"{text}. Nothing was read or spent; `synthward resume {scope}` ends the stop")
