"""What stands in a run's journal: the bodies of its links as records, and the state of a run as their fold.

Anybody who can write to the protected zone can write a link. A body that is used is read strictly, by `decode`. Where
links are only looked through, a body that is no such record is passed over, by `decode_if`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from synthward.records.codec import RecordFault, decode, decode_if
from synthward.records.ledger import Receipt
from synthward.records.manifest import RepairEntry

OPENED, COPIED, SEALED = "opened", "copied", "sealed"
FITTED, VALIDATED, PUBLISHED = "fitted", "validated", "published"
REPAIRED = "repaired"

Stage = Literal["nothing", "opened", "copied", "sealed", "fitted", "repaired", "quarantined", "validated", "published"]


@dataclass(frozen=True)
class PinnedTable:
    """One pinned state of a table.

    Attributes:
        location: Path or name.
        version: Version of a Delta table; None for files and for what has no versions.
        fingerprint: Of a list of files; None for Delta.
        table_id: Id of a Delta table; None for others.
    """

    location: str
    version: int | None
    fingerprint: str | None
    table_id: str | None = None


@dataclass(frozen=True)
class Opened:
    """Body of an `opened` link: what was asked, and the source as it was pinned.

    Attributes:
        source: The tables of the request, pinned.
        copies: Where tables without versions are copied to.
        types: Types of the release's columns, in Spark's JSON.
        source_ref: Random reference that is published for the source.
        journal_id: Random id that the charge names.
        table: Where the release is published.
        request_digest: Digest of the request.
        run_key: Key of the run.
        scope: The scope that pays.
        release_id: The release.
        blind: Random and never published, so that nobody can try out what was pinned until the hash of this link comes
            out. Missing in journals from before commitments.
    """

    source: tuple[PinnedTable, ...]
    copies: tuple[str, ...]
    types: Any
    source_ref: str
    journal_id: str
    table: str
    request_digest: str
    run_key: str
    scope: str
    release_id: str
    blind: str = ""


@dataclass(frozen=True)
class Copied:
    """Body of a `copied` link.

    Attributes:
        source: The tables as they are measured: copies in the place of tables without versions.
    """

    source: tuple[PinnedTable, ...]


@dataclass(frozen=True)
class Sealed:
    """Body of a `sealed` link; its payload holds the noisy answers.

    Attributes:
        step: Name of the round.
        attempt: Attempt of the run.
        digest: Digest of the questions.
        asked: The questions with their noise, as `privacy.measurement` writes them.
        cells: Numbers in each answer; None for questions about texts.
        ledger: The newest link of the ledger that the run knew. Missing in journals from before receipts.
        enclosed: How the payload is enclosed. Missing in journals from before commitments.
    """

    step: str
    attempt: int
    digest: str
    asked: tuple[Any, ...]
    cells: tuple[int, ...] | None = None
    ledger: Receipt | None = None
    enclosed: str | None = None


@dataclass(frozen=True)
class Fitted:
    """Body of a `fitted` link; its payload is the model file.

    Attributes:
        model: Digest of the model.
        ledger: As in `Sealed`.
    """

    model: str
    ledger: Receipt | None = None


@dataclass(frozen=True)
class Repaired:
    """Body of a `repaired` link: another output section, under which a sealed run is finished.

    Attributes:
        repair: What was approved, by whom.
        release_id: The release of the repair.
        table: Where it is published.
        section: The output section, as `spec.request.Output` writes it.
        ledger: As in `Sealed`.
    """

    repair: RepairEntry
    release_id: str
    table: str
    section: Any
    ledger: Receipt | None = None


@dataclass(frozen=True)
class Validated:
    """Body of a `validated` link; its payload is the manifest.

    Attributes:
        passed: Whether all gates passed.
        version: Version of the staged table that was looked at.
        manifest: Digest of the manifest.
        ledger: As in `Sealed`.
    """

    passed: bool
    version: int
    manifest: str
    ledger: Receipt | None = None


@dataclass(frozen=True)
class Published:
    """Body of a `published` link.

    Attributes:
        table: The published table.
        manifest: Digest of its manifest.
        ledger: As in `Sealed`.
    """

    table: str
    manifest: str
    ledger: Receipt | None = None


@dataclass(frozen=True)
class RunState:
    """A run after all links of its journal, whether or not the ledger vouches for them.

    Attributes:
        stage: How far it has come; the last link decides.
        scope: The scope that its opening names; None without an opening.
        sealed: Steps that are sealed, in order.
    """

    stage: Stage = "nothing"
    scope: str | None = None
    sealed: tuple[str, ...] = ()


def fold(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> RunState:
    """The state of a run from the kinds and bodies of its links, in order. Pure; it never fails.

    >>> fold([("sealed", {"step": "first"}), ("validated", {"passed": False})])
    RunState(stage='quarantined', scope=None, sealed=('first',))
    """
    state = RunState()
    for kind, facts in entries:
        state = _after(state, kind, facts)
    return state


def _after(state: RunState, kind: str, facts: Mapping[str, Any]) -> RunState:
    if kind == OPENED:
        return replace(state, stage="opened", scope=state.scope or scope_in(facts))
    if kind == COPIED:
        return replace(state, stage="copied")
    if kind == SEALED:
        return replace(state, stage="sealed", sealed=(*state.sealed, str(facts.get("step"))))
    if kind == FITTED:
        return replace(state, stage="fitted")
    if kind == REPAIRED:
        return replace(state, stage="repaired")
    if kind == VALIDATED:
        return replace(state, stage="validated" if facts.get("passed") else "quarantined")
    if kind == PUBLISHED:
        return replace(state, stage="published")
    return state  # a link of a kind that this version does not know says nothing of the stage


def scope_in(facts: Mapping[str, Any]) -> str | None:
    """The scope that an opening names, also one that cannot be read as a whole."""
    scope = facts.get("scope")
    return None if scope is None else str(scope)


def detail_in(facts: Mapping[str, Any]) -> str:
    """What to show people of a link: its step, its table, or that gates passed."""
    return str(facts.get("step") or facts.get("table") or ("passed" if facts.get("passed") else ""))


def receipt_in(facts: Mapping[str, Any]) -> Receipt | None:
    """The receipt that a link of a journal keeps; None where it keeps none.

    A receipt that cannot be read is one that no ledger has.
    """
    kept = facts.get("ledger")
    if not isinstance(kept, dict):
        return None
    try:
        return decode(Receipt, kept)
    except RecordFault:
        return Receipt(-1, "", "")


def is_seal_of(facts: Mapping[str, Any], step: str, attempt: int) -> bool:
    """Whether the body of a seal is that of a step."""
    return facts.get("step") == step and facts.get("attempt") == attempt


def publishes(facts: Mapping[str, Any], manifest: str) -> bool:
    """Whether the body of a `published` link speaks of a manifest."""
    found = decode_if(Published, facts)
    return found is not None and found.manifest == manifest
