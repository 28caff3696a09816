"""A published release with everything that happened to it, and what people are shown of that. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from synthward.governance.acts import key_id_of
from synthward.records.codec import decode_if
from synthward.records.releases import KINDS, Applied, Entry, Event, Judge, ReleaseState, Stage, Step, act_of, fold
from synthward.release.registry import Listed
from synthward.store.links import Link


@dataclass(frozen=True)
class Standing:
    """A release with everything that happened to it.

    Attributes:
        listed: Its row in the registry.
        state: Its state after all events.
        links: Its events, verified.
        broken: Why its events cannot be trusted; None if they can.
    """

    listed: Listed
    state: ReleaseState
    links: tuple[Link, ...]
    broken: str | None = None

    def stage_on(self, today: dt.date) -> Stage:
        """Where it is on a day: a release whose retention is over has expired, recorded or not."""
        if self.broken is not None:
            return "frozen"
        if self.state.stage != "recalled" and self._is_over(today):
            return "expired"
        return self.state.stage

    def _is_over(self, today: dt.date) -> bool:
        last = self.listed.readable_until
        return last is not None and dt.date.fromisoformat(last) < today

    def refusal(self, today: dt.date) -> str | None:
        """Why nobody may read it on a day; None if it may be read."""
        state, name = self.state, f"release '{self.listed.release_id}'"
        if self.broken is not None:
            return f"{name} is given out to nobody, because its events cannot be trusted: {self.broken}"
        kept = "Its report, its manifest and its records stay, and it can still be verified"
        if state.recalled is not None:
            act = state.recalled.act
            return f"{name} was recalled on {act.at[:10]}: {act.reason}. Do not use copies of it. {kept}"
        if state.expired is not None:
            return f"{name} expired on {state.expired.act.at[:10]}: {state.expired.act.reason}. {kept}"
        if self._is_over(today):
            return f"{name} could be read until {self.listed.readable_until}, as its request says. {kept}"
        if state.freezing:
            named = ", ".join(each.opened.incident for each in state.freezing)
            return f"{name} is frozen by incident {named}; wait until it is closed (`synthward release show`)"
        return None


def standing_of(listed: Listed, links: Sequence[Link], judge: Judge) -> Standing:
    """A release from its row and its events.

    Args:
        listed: Its row.
        links: Its chain, verified.
        judge: Says which acts count, of those that let somebody read.
    """
    return Standing(listed, fold(entries(links), judge), tuple(links))


def broken(listed: Listed, reason: str) -> Standing:
    """A release whose chain of events cannot be trusted: nobody reads it."""
    return Standing(listed, fold(()), (), reason)


def entries(links: Sequence[Link]) -> tuple[Entry, ...]:
    """Links as the fold needs them."""
    return tuple(map(entry_of, links))


def entry_of(link: Link) -> Entry:
    """A link as the fold needs it."""
    return Entry(link.seq, link.kind, link.hash, link.facts)


def decoded(entry: Entry) -> Event | None:
    """The event of a link; None if this version cannot read it."""
    cls = KINDS.get(entry.kind)
    return None if cls is None else decode_if(cls, dict(entry.facts))


def carried_out(steps: Sequence[Step]) -> list[str]:
    """One line for each step, for people."""
    lines = []
    for step in steps:
        lines.append(f"{'done' if step.done else 'NOT DONE'}  {step.name}: {step.detail}")
        lines += [f"      trained on it: {one}" for one in step.found]
    return lines


def event_lines(standing: Standing) -> list[str]:
    """One line for each event of a release, for people: when, what, who, why."""
    lines = []
    for link in standing.links:
        event = decoded(entry_of(link))
        act = None if event is None else act_of(event)
        if act is not None:
            signed = "" if event is None or key_id_of(event) is None else ", signed"
            lines.append(f"{link.at[:19]} {link.kind} by {act.by} as {act.role}{signed}: {act.reason}")
        elif isinstance(event, Applied):
            undone = [step.name for step in event.steps if not step.done]
            left = f"; not done: {', '.join(undone)}" if undone else ""
            lines.append(f"{link.at[:19]} carried out, {len(event.steps)} steps{left}")
    return lines
