"""The journal of a run: what has been done, durably and once, so that any driver can go on where another stopped.

One hash chain a run in the protected zone, with the links `opened` (request, pinned source), `copied` (versions of the
copies of what has no versions, if anything), one `sealed` for each step, `fitted` (the model), `validated` (gates and
manifest) and `published`. A run that is finished with another output section has a link `repaired` for each section,
after which `validated` and `published` stand once more. Each is appended by compare-and-append. Which of them count is
for `run.committed` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from synthward.errors import IntegrityError
from synthward.records.codec import RecordFault, decode
from synthward.records.journal import (
    COPIED,
    FITTED,
    OPENED,
    PUBLISHED,
    REPAIRED,
    SEALED,
    VALIDATED,
    Stage,
    fold,
    is_seal_of,
    publishes,
)
from synthward.run.plan import ATTEMPT
from synthward.store.chain import Chain, Followed
from synthward.store.links import Link

__all__ = ["COPIED", "FITTED", "OPENED", "PUBLISHED", "REPAIRED", "SEALED", "VALIDATED", "Journal", "advice", "entry"]

T = TypeVar("T")


def entry(link: Link, cls: type[T]) -> T:
    """The body of a journal's link as a record.

    Raises:
        IntegrityError: It is no such record.
    """
    try:
        return decode(cls, link.facts)
    except (RecordFault, ValueError) as error:
        raise IntegrityError(
            f"run {link.key}: link {link.seq} of its journal is no '{link.kind}' that this version can read ({error}); "
            "go on with the version that began the run, or start a run with a new key"
        ) from error


class Journal:
    """The chain of one run. Links that were read stay in memory, so that a step does not read them all again."""

    def __init__(self, chain: Chain, run_id: str) -> None:
        self._chain = Followed(chain, run_id)
        self.run_id = run_id

    def links(self) -> tuple[Link, ...]:
        """All links as they stand now, verified."""
        return self._chain.links()

    @property
    def known(self) -> tuple[Link, ...]:
        """The links that were read so far; nothing is fetched."""
        return self._chain.known

    def find(self, kind: str) -> Link | None:
        """The link of a kind that stands once in a run."""
        return self._chain.find(lambda link: link.kind == kind)

    def once(self, kind: str, make: Callable[[], tuple[Mapping[str, Any], bytes | None]]) -> tuple[Link, bool]:
        """The link of a kind, made and appended if it is not there; and whether this call did it."""
        return self._chain.get_or_append(kind, lambda link: link.kind == kind, make)

    def at(self, digest: str) -> Link | None:
        """The link with this hash."""
        return self._chain.find(lambda link: link.hash == digest)

    def append(
        self, kind: str, settled: Callable[[Link], bool], make: Callable[[], tuple[Mapping[str, Any], bytes | None]]
    ) -> Link:
        """A new link of a kind at the head, unless a link is found that settles the matter.

        Args:
            kind: Its kind.
            settled: Tells whether a link makes another one needless; asked again whenever the head has moved.
            make: Makes facts and payload.
        """
        return self._chain.get_or_append(kind, settled, make)[0]

    def has_published(self, manifest: str) -> bool:
        """Whether a link says that the manifest with this digest was published."""
        return self._chain.find(lambda link: is_publication(link, manifest)) is not None

    def newest(self, kind: str) -> Link | None:
        """The last link of a kind as the chain stands now."""
        return next((link for link in reversed(self.links()) if link.kind == kind), None)

    def once_more(
        self, kind: str, last: Link | None, make: Callable[[], tuple[Mapping[str, Any], bytes | None]]
    ) -> Link:
        """The first link of a kind after `last`, made and appended if there is none."""
        after = -1 if last is None else last.seq
        link, _ = self._chain.get_or_append(kind, lambda found: found.kind == kind and found.seq > after, make)
        return link

    def find_seal(self, step: str) -> Link | None:
        """The seal of a step."""
        return self._chain.find(lambda link: _is_seal(link, step))

    def seal(self, step: str, facts: Mapping[str, Any], payload: bytes) -> Link:
        """Seals a step unless it is sealed; the seal as it was read back, ours or another driver's."""
        link, _ = self._chain.get_or_append(SEALED, lambda found: _is_seal(found, step), lambda: (facts, payload))
        return link

    def last_seal(self) -> Link:
        """The newest seal; its time is the release's.

        Raises:
            IntegrityError: Nothing is sealed.
        """
        seal = self.newest(SEALED)
        if seal is None:
            raise IntegrityError(f"run {self.run_id} has no seal; its journal is not that of a finished measurement")
        return seal


def is_publication(link: Link, manifest: str) -> bool:
    """Whether a link says that the manifest with this digest was published."""
    return link.kind == PUBLISHED and publishes(link.facts, manifest)


def _is_seal(link: Link, step: str) -> bool:
    return link.kind == SEALED and is_seal_of(link.facts, step, ATTEMPT)


REPEATS = (
    "the last try failed in a way that repeats, so that running the same command again fails again: stop the schedule. "
    "What is sealed is durable and a charge stands; nothing further is spent. Mend what the message of that try names, "
    "and run the same command again"
)
_REPAIR = (
    "Or write another output section (name, rows, keys, types, where), have it approved by `synthward approve REQUEST "
    "--repair FILE`, and finish the run by `synthward run REQUEST --repair FILE`, without a new charge"
)
"""What to do with a run whose last try failed for good; the latter where only the release is left to be made."""


def advice(links: Sequence[Link], *, charged: bool, repeats: bool = False) -> str:
    """What a run's state means and what to do about it, for people.

    Args:
        links: The journal, as far as it goes.
        charged: Whether the ledger holds the run's charge.
        repeats: Whether the last try failed, and not in a way that passes.
    """
    stage = fold((link.kind, link.facts) for link in links).stage
    if repeats and stage in ("fitted", "repaired", "validated"):
        return f"{stage}: {REPEATS}. {_REPAIR}"
    if repeats and stage in ("opened", "copied", "sealed"):
        return f"{stage}: {REPEATS}"
    if stage == "opened":
        paid = (
            "and charged; run the same command again: it measures the pinned state under the same charge. If that "
            "state of the source is gone, the charge is forfeit and a new run key is needed"
            if charged
            else "and nothing is spent yet; run the same command again"
        )
        return f"opened: the source is pinned {paid}"
    return _ADVICE[stage]


_ADVICE: dict[Stage, str] = {
    "nothing": "nothing is recorded: the run was refused, failed before its source was pinned, or never began. Nothing "
    "is spent. Run it, or see what its request is missing with --dry-run",
    "copied": "copied: a copy of the source is in the protected zone, the charge is made; run the same command again: "
    "it measures the copy, or makes another where that one is gone, and drops it when everything is sealed",
    "sealed": "sealed: noisy answers are durable and protected data are not read for them again. Run the same command "
    "again: it asks what is left, if anything, and goes on to sampling and gates; nothing is spent",
    "fitted": "fitted: the model is durable, rows are left to be drawn and tested. Run the same command again; nothing "
    "is spent",
    "repaired": "repaired: another output section was approved, rows are left to be drawn and tested. Run the same "
    "command again, with --repair; nothing is spent",
    "quarantined": "quarantined: a gate failed, the staged rows stay in the protected zone and nothing is published. "
    "Running again gives the same; the charge stands. What the gate says tells whether another output section is "
    "enough (`--repair`, without a new charge) or an edited request is needed, which is a new run and charged",
    "validated": "validated: all gates passed, publication is left. Run the same command again; nothing is spent",
    "published": "published: nothing is left to do. Running again recognises the release and changes nothing",
}
