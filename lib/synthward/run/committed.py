"""The links of a run's journal that count: those that its scope's ledger names.

Whoever can write to the protected zone can restore the journal to an older state or write a link before the run does.
So each step is written in an order that neither a crash nor such a writer can turn to a second draw (commitments stand
in the ledger):

    seal:   draw -> enclose under a fresh key -> journal -> commit digest and key -> open what was committed
    other:  make -> journal -> commit digest -> use what was committed

A link without a commitment is ignored: a crash left it, or somebody planted it. A seal without a commitment cannot be
read by anybody, because its key was in the memory of a driver that is gone; the step is drawn again. A commitment
without its link is forfeit: what was drawn was seen, and is not drawn again (PROOFS.md, 5.6).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from synthward.errors import IntegrityError, LedgerCorrupt
from synthward.ledger.charges import ChargeReceipt
from synthward.ledger.commitments import CommitmentRecord
from synthward.ledger.ledger import Ledger
from synthward.records.journal import receipt_in
from synthward.records.ledger import Commitment, Receipt
from synthward.run.journal import COPIED, OPENED, REPAIRED, SEALED, VALIDATED, Journal
from synthward.run.plan import ATTEMPT
from synthward.store.envelope import METHOD, disclose, enclose
from synthward.store.links import Link

Make = Callable[[], tuple[Mapping[str, Any], bytes | None]]


class CommittedJournal:
    """The journal of a charged run, as far as the ledger vouches for it.

    A run whose charge was made by a version before commitments is finished by the rules of that version: its charge
    names no opening, and its links are obeyed as they stand. The ledger decides that, not the journal.
    """

    def __init__(self, journal: Journal, ledger: Ledger, scope: str, receipt: ChargeReceipt) -> None:
        """Reads nothing yet.

        Args:
            journal: The run's journal.
            ledger: The ledger that was charged.
            scope: The scope that paid.
            receipt: The charge.
        """
        self._journal = journal
        self._ledger = ledger
        self._scope = scope
        self._receipt = receipt
        self._last: CommitmentRecord | None = None
        self._repair: tuple[int, Link] | None = None

    @property
    def run_id(self) -> str:
        """The run."""
        return self._journal.run_id

    @property
    def is_bound(self) -> bool:
        """Whether links need commitments; False for a run that an older version charged."""
        return self._receipt.opened is not None

    @property
    def paid(self) -> Receipt:
        """The receipt of the charge, as links of the journal keep it."""
        return self._receipt.kept

    def opening(self) -> Link:
        """The `opened` link that was charged.

        Raises:
            IntegrityError: It is gone or was replaced.
        """
        link = self._journal.find(OPENED)
        if link is None or self._receipt.opened not in (None, link.hash):
            raise self._forfeit(OPENED)
        return link

    def find(self, kind: str) -> Link | None:
        """The link of a kind that stands once in a run; None where that step is still to be done.

        Raises:
            IntegrityError: The step is forfeit.
        """
        if not self.is_bound:
            return self._unbound(kind)
        record = self._record(self._step(kind))
        return None if record is None else self._named(record)

    def once(self, kind: str, make: Make) -> Link:
        """The link of a kind, made, written and committed if that was not done; of two drivers the first one wins.

        Raises:
            IntegrityError: The step is forfeit.
        """
        if not self.is_bound:
            return self._unbound(kind) or self._journal.once_more(kind, self._since(kind), make)
        return self.find(kind) or self._write(kind, self._step(kind), make)

    def latest_receipt(self) -> Receipt:
        """The receipt of the last commitment used here, else of the charge, for the next link of the journal to keep.

        A ledger that is cut behind it is found by it.
        """
        return self.paid if self._last is None else self._last.receipt(self._receipt.genesis_hash)

    def find_seal(self, step: str) -> tuple[dict[str, Any], bytes] | None:
        """Facts and payload of a sealed step, None where it is still to be drawn.

        Raises:
            IntegrityError: The step is forfeit, or its seal does not open.
        """
        if not self.is_bound:
            found = self._journal.find_seal(step)
            return None if found is None else (found.facts, found.payload or b"")
        record = self._record(_seal_step(step))
        return None if record is None else self._opened(record)

    def seal(self, step: str, facts: Mapping[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Seals a step unless it is sealed; what was read back, ours or another driver's.

        Raises:
            IntegrityError: The step is forfeit.
        """
        if not self.is_bound:
            stored = self._journal.seal(step, facts, payload)
            return stored.facts, stored.payload or b""
        key, enclosed = enclose(payload)
        self._write(SEALED, _seal_step(step), lambda: ({**facts, "enclosed": METHOD}, enclosed), key)
        record = self._record(_seal_step(step))
        assert record is not None, "a step that was written is committed"
        return self._opened(record)

    def last_seal(self) -> Link:
        """The newest committed seal; its time is the release's.

        Raises:
            IntegrityError: Nothing is sealed.
        """
        if not self.is_bound:
            return self._journal.last_seal()
        seals = [r for r in self._ledger.commitments(self._scope, self.run_id) if r.commitment.seal_key is not None]
        if not seals:
            raise IntegrityError(f"run {self.run_id} has no seal; its journal is not that of a finished measurement")
        return self._named(seals[-1])

    def is_sealed(self) -> bool:
        """Whether anything was drawn and kept."""
        if not self.is_bound:
            return self._journal.find(SEALED) is not None
        return any(r.commitment.seal_key is not None for r in self._ledger.commitments(self._scope, self.run_id))

    def copies(self) -> list[Link]:
        """The committed `copied` links, oldest first; the last one counts."""
        return self._numbered(COPIED)

    def copy_again(self, copies: int, make: Make) -> Link:
        """The copy after the first `copies` ones, made, written and committed unless another driver was first."""
        return self._once_more(COPIED, copies, make)

    def repairs(self) -> list[Link]:
        """The committed `repaired` links, oldest first; the last one counts."""
        return self._numbered(REPAIRED)

    def repair_again(self, repairs: int, make: Make) -> Link:
        """The repair after the first `repairs` ones, made, written and committed unless another driver was first."""
        return self._once_more(REPAIRED, repairs, make)

    def after_repair(self) -> CommittedJournal:
        """The same journal, in which gates count only after the last repair.

        Raises:
            IntegrityError: There is none.
        """
        there = self.repairs()
        if not there:
            raise IntegrityError(f"run {self.run_id} was never repaired")
        view = copy.copy(self)
        view._repair = (len(there) - 1, there[-1])
        return view

    def is_newest(self) -> bool:
        """Whether no repair was recorded after the one that this view follows, or after none."""
        return len(self.repairs()) == (0 if self._repair is None else self._repair[0] + 1)

    def _numbered(self, kind: str) -> list[Link]:
        """The committed links of a kind that may stand several times, oldest first."""
        if not self.is_bound:
            return [link for link in self._journal.links() if link.kind == kind]
        records = self._ledger.commitments(self._scope, self.run_id)
        return [self._named(record) for record in records if record.commitment.step.startswith(f"{kind}.")]

    def _once_more(self, kind: str, number: int, make: Make) -> Link:
        """The link after the first `number` ones of its kind, made, written and committed if that was not done."""
        if not self.is_bound:
            there = self._numbered(kind)
            return self._journal.once_more(kind, there[number - 1] if number else None, make)
        step = f"{kind}.{number}"
        record = self._record(step)
        return self._named(record) if record is not None else self._write(kind, step, make)

    def _step(self, kind: str) -> str:
        """Name of the commitment of a kind that stands once: gates stand once for each repair."""
        return kind if self._repair is None or kind != VALIDATED else f"{VALIDATED}.{self._repair[0]}"

    def _since(self, kind: str) -> Link | None:
        return None if self._repair is None or kind != VALIDATED else self._repair[1]

    def _unbound(self, kind: str) -> Link | None:
        since = self._since(kind)
        if since is None:
            return self._journal.find(kind)
        return next((link for link in self._journal.links() if link.kind == kind and link.seq > since.seq), None)

    def _write(self, kind: str, step: str, make: Make, key: str | None = None) -> Link:
        """Writes a link and commits it; the committed link, ours or that of a driver that was first."""

        def is_committed(link: Link) -> bool:
            if link.kind != kind:
                return False
            record = self._record(step)
            return record is not None and record.digest == link.hash

        link = self._journal.append(kind, is_committed, make)
        commitment = Commitment(self.run_id, ATTEMPT, step, link.hash, key)
        return self._named(self._newer(self._ledger.commit(self._scope, commitment)))

    def _record(self, step: str) -> CommitmentRecord | None:
        record = self._ledger.committed(self._scope, self.run_id, ATTEMPT, step)
        return None if record is None else self._newer(record)

    def _newer(self, record: CommitmentRecord) -> CommitmentRecord:
        if self._last is None or record.seq > self._last.seq:
            self._last = record
        return record

    def _named(self, record: CommitmentRecord) -> Link:
        link = self._journal.at(record.digest)
        if link is None:
            raise self._forfeit(record.commitment.step)
        return link

    def _opened(self, record: CommitmentRecord) -> tuple[dict[str, Any], bytes]:
        link = self._named(record)
        key = record.commitment.seal_key
        if key is None or link.kind != SEALED:
            raise self._forfeit(record.commitment.step)
        # What is used is what was read back, not what was drawn.
        return link.facts, disclose(key, link.payload or b"")

    def _forfeit(self, step: str) -> IntegrityError:
        return IntegrityError(
            f"run {self.run_id}, step '{step}': the ledger names it, and the run's journal does not hold it any more; "
            "the journal was cut back, restored to an older state or replaced. What was drawn once is not drawn again, "
            "so the rest of the charge is forfeit. Find out who restored the table `journal` of the protected zone, "
            "then start a run with a new key, which is charged anew"
        )


class CommittedSeals:
    """Seals of a run as committed links of its journal; each keeps the receipt of the charge or of the seal before."""

    def __init__(self, committed: CommittedJournal) -> None:
        self._committed = committed

    def find(self, step: str) -> tuple[dict[str, Any], bytes] | None:
        """See `measure.curator.SealStore`."""
        return self._committed.find_seal(step)

    def put(self, step: str, body: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """See `measure.curator.SealStore`."""
        facts = {"step": step, "attempt": ATTEMPT, "ledger": self._committed.latest_receipt(), **body}
        return self._committed.seal(step, facts, payload)


def require_whole_ledger(journal: Journal, ledger: Ledger, scope: str) -> None:
    """Refuse to go on where the ledger lost what the journal mentions: a charge, or the commitment of a step.

    A ledger that was restored to an older state does not name the seals that were drawn since; they would be drawn
    again. Looks at the links of the journal that were read when the run was opened.

    Raises:
        LedgerCorrupt: A link of the ledger is gone or another one.
    """
    for link in journal.known:
        kept = receipt_in(link.facts)
        if kept is not None and not ledger.holds(scope, kept.seq, kept.head):
            raise LedgerCorrupt(
                f"scope '{scope}': the journal of run {journal.run_id} mentions link {kept.seq} of the ledger, "
                "which is not there any more; the ledger was restored to an older state or cut, and what was drawn "
                "since could be drawn again. Nothing is charged or drawn: restore the ledger to its newest state, or "
                "start a run with a new key"
            )


def _seal_step(step: str) -> str:
    return f"{SEALED}.{step}"
