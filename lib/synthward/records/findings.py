"""What monitoring found, as records: one `watched` link for each execution, in a chain of the protected zone.

Drills stand in the same chain, as `drilled` links.

A finding is publishable text about public facts: budgets, dates, ids of releases and runs, names and types of columns.
It never holds a value, a count of the source, or the text of an unexpected error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synthward.records.releases import Step

Severity = Literal["note", "warning", "alarm"]
SEVERITIES: tuple[Severity, ...] = ("note", "warning", "alarm")
"""From the mildest to the worst."""

WATCHED, DRILLED = "watched", "drilled"
"""Kinds of links."""


@dataclass(frozen=True)
class Finding:
    """One thing that somebody should know.

    Attributes:
        kind: records, budget, runs, retention, grant, recall, incident, events, revalidation or schema.
        severity: How bad it is.
        subject: Scope, release, run or source.
        message: What was found, what is allowed, what to do.
    """

    kind: str
    severity: Severity
    subject: str
    message: str


@dataclass(frozen=True)
class SeenColumn:
    """Name and type of a column, as Spark names it."""

    name: str
    type: str


@dataclass(frozen=True)
class SeenSchema:
    """The schema of a source as it was found; no row was read for it.

    Attributes:
        scope: The scope that owns the source.
        location: Where the source is.
        columns: Its columns in order; empty if it could not be opened.
    """

    scope: str
    location: str
    columns: tuple[SeenColumn, ...]


@dataclass(frozen=True)
class Watched:
    """Body of a `watched` link.

    Attributes:
        at: When, UTC, ISO 8601.
        policy: Digest of the policy in force.
        findings: What was found, the worst first.
        schemas: Schemas of the sources, which the next execution compares with.
    """

    at: str
    policy: str
    findings: tuple[Finding, ...]
    schemas: tuple[SeenSchema, ...] = ()

    @property
    def worst(self) -> Severity | None:
        """The worst severity; None if nothing was found."""
        found = {finding.severity for finding in self.findings}
        return next((one for one in reversed(SEVERITIES) if one in found), None)


@dataclass(frozen=True)
class Drilled:
    """Body of a `drilled` link: a recall that was practised on a copy.

    Attributes:
        at: When it ended, UTC, ISO 8601.
        release: The release that was copied.
        severity: Severity of the incident that was played.
        hours: Hours that policy allows for it; None without a clock.
        seconds: How long the drill took.
        steps: What was done and checked.
    """

    at: str
    release: str
    severity: str
    hours: int | None
    seconds: float
    steps: tuple[Step, ...]

    @property
    def passed(self) -> bool:
        """Whether every step succeeded, in the time that policy allows."""
        in_time = self.hours is None or self.seconds <= 3600 * self.hours
        return in_time and all(step.done for step in self.steps)
