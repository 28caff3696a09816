"""What journals and releases know of a ledger, gathered so that `budget verify` can hold the two against each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthward.records.journal import OPENED, receipt_in, scope_in
from synthward.store.links import Link, verify_times

Receipt = tuple[int, str, str]
"""Position of a ledger's link, its hash, and the hash of the ledger's genesis."""


@dataclass(frozen=True)
class Evidence:
    """What is known elsewhere of the links of a ledger.

    Attributes:
        receipts: By scope, of every charge and commitment that a link of a journal or a release mentions. A scope that
            a run was opened for has an entry, if only an empty one.
        journals: Hashes of the links of each run's journal, and of what happened to its releases, by run.
        faults: By scope, what is wrong with its runs' journals in themselves.
    """

    receipts: Mapping[str, Sequence[Receipt]]
    journals: Mapping[str, Collection[str]]
    faults: Mapping[str, Sequence[str]]


def evidence_of(
    journals: Mapping[str, Sequence[Link]],
    releases: Iterable[tuple[str, Receipt]],
    events: Mapping[str, Sequence[Link]] | None = None,
) -> Evidence:
    """Gathers it.

    Args:
        journals: The links of each run, by run, verified.
        releases: Scope and receipt of each release.
        events: The links of what happened to the releases of each run, by run; None for nothing.
    """
    later = {} if events is None else events
    receipts: dict[str, set[Receipt]] = {}
    faults: dict[str, list[str]] = {}
    for run_id, links in journals.items():
        scope = next((scope_in(link.facts) for link in links if link.kind == OPENED), None)
        if scope is None:
            continue
        here = receipts.setdefault(scope, set())
        for link in links:
            kept = receipt_in(link.facts)
            if kept is not None:
                here.add((kept.seq, kept.head, kept.genesis))
        faults.setdefault(scope, []).extend(f"journal of run {run_id}: {fault}" for fault in verify_times(links))
    for scope, receipt in releases:
        receipts.setdefault(scope, set()).add(receipt)
    return Evidence(
        receipts={scope: sorted(found) for scope, found in receipts.items()},
        journals={
            run_id: frozenset(link.hash for link in (*journals.get(run_id, ()), *later.get(run_id, ())))
            for run_id in {*journals, *later}
        },
        faults=faults,
    )
