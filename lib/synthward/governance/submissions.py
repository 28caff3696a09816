"""The history of a submitted request, as a pure fold over its records. Moves that are not allowed have names.

The same rules are asked before a record is written and when records are read: a chain that holds an illegal move was
not written by this program.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from synthward.governance.reasons import Reason
from synthward.records.requests import Submission, Withdrawal

Event = Submission | Withdrawal


class IllegalMove(ValueError):
    """An event that cannot follow the events before it."""

    def __init__(self, reason: Reason) -> None:
        """Keep the reason."""
        super().__init__(str(reason))
        self.reason = reason


@dataclass(frozen=True)
class RequestHistory:
    """What the records say about a request.

    Attributes:
        id: Id of the request.
        versions: Its versions, oldest first.
        withdrawn: The withdrawal that ended it; None while it is open.
    """

    id: str
    versions: tuple[Submission, ...] = ()
    withdrawn: Withdrawal | None = None

    @property
    def newest(self) -> Submission | None:
        """The newest version; None before the first one."""
        return self.versions[-1] if self.versions else None

    @property
    def is_open(self) -> bool:
        """Whether there is a version and it was not withdrawn."""
        return bool(self.versions) and self.withdrawn is None

    def after(self, event: Event) -> RequestHistory:
        """The history with one more event.

        Raises:
            IllegalMove: The event cannot follow.
        """
        reason = self._fault(event)
        if reason is not None:
            raise IllegalMove(reason)
        if isinstance(event, Withdrawal):
            return replace(self, withdrawn=event)
        return replace(self, versions=(*self.versions, event), withdrawn=None)

    def _fault(self, event: Event) -> Reason | None:
        newest = self.newest
        if event.id != self.id:
            return Reason.of("other_request", f"found an event of request '{event.id}', expected one of '{self.id}'")
        if newest is not None and event.scope != newest.scope:
            text = f"found scope '{event.scope}', but the request '{self.id}' belongs to scope '{newest.scope}'"
            return Reason.of("other_scope", f"{text}; give the output another name")
        if isinstance(event, Submission):
            expected = len(self.versions) + 1
            text = f"found version {event.version}, expected version {expected}"
            return None if event.version == expected else Reason.of("version_gap", text)
        if newest is None:
            return Reason.of("nothing_submitted", "nothing was submitted, so that nothing can be withdrawn")
        if self.withdrawn is not None:
            return Reason.of("already_withdrawn", f"the request was withdrawn on {self.withdrawn.at[:10]}")
        if event.version != newest.version:
            return Reason.of("not_newest", f"found version {event.version}, the newest one is {newest.version}")
        return None


def history(identifier: str, events: Iterable[Event]) -> RequestHistory:
    """The history of a request.

    Raises:
        IllegalMove: An event cannot follow those before it.
    """
    made = RequestHistory(identifier)
    for event in events:
        made = made.after(event)
    return made
