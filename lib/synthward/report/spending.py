"""The use of the budget: every noisy answer with its part of the budget, and the answers grouped by kind."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthward.records.manifest import MeasurementEntry

_KINDS = {
    "population": "number of units",
    "presence": "number of rows with a value",
    "sum": "sums",
    "square_sum": "sums of squares",
    "scores": "how far guesses of many tables are off",
    "selection": "choice of the next table",
}
_TABLES = {1: "shares of the values of a column", 2: "tables of two columns", 3: "tables of three columns"}


@dataclass(frozen=True)
class Spending:
    """One noisy answer and its part of the budget.

    Attributes:
        query: Its label.
        group: The kind of answer, in words.
        cells: How many numbers the answer has.
        noise: Standard deviation of the noise of one number, in `unit`; None if the answer is a choice.
        unit: rows, units, or fixed-point units.
        share: Part of the budget, 0 to 1.
    """

    query: str
    group: str
    cells: int
    noise: float | None
    unit: str
    share: float


@dataclass(frozen=True)
class Group:
    """Answers of one kind.

    Attributes:
        name: The kind in words.
        answers: Number of answers.
        cells: How many numbers all answers have together.
        least: Smallest standard deviation of the noise, in `unit`; None if the answers are choices.
        most: Largest standard deviation of the noise, in `unit`.
        unit: rows, units, or fixed-point units.
        share: Part of the budget, 0 to 1.
    """

    name: str
    answers: int
    cells: int
    least: float | None
    most: float | None
    unit: str
    share: float


def spending(measurements: Sequence[MeasurementEntry], *, pure: bool) -> list[Spending]:
    """Return every noisy answer with its part of the budget, the largest first.

    Args:
        measurements: From the manifest.
        pure: True if epsilons add up, False if rho does.
    """
    parts = [(entry.nano_epsilon or 0) if pure else entry.nano_rho for entry in measurements]
    whole = max(sum(parts), 1)
    rows = [
        Spending(
            entry.query,
            _group(entry),
            entry.cells,
            entry.deviation,
            _unit(entry.kind),
            part / whole,
        )
        for entry, part in zip(measurements, parts, strict=True)
    ]
    return sorted(rows, key=lambda row: -row.share)


def groups(answers: Iterable[Spending]) -> list[Group]:
    """Group answers by kind, the largest part of the budget first."""
    members: dict[str, list[Spending]] = {}
    for answer in answers:
        members.setdefault(answer.group, []).append(answer)
    found = []
    for name, rows in members.items():
        noises = [row.noise for row in rows if row.noise is not None]
        found.append(
            Group(
                name,
                len(rows),
                sum(row.cells for row in rows),
                min(noises, default=None),
                max(noises, default=None),
                rows[0].unit,
                sum(row.share for row in rows),
            )
        )
    return sorted(found, key=lambda group: -group.share)


_LEARNED = {"bins": "where to cut bins", "categories": "further values that many have"}


def _group(entry: MeasurementEntry) -> str:
    if entry.learns is not None:
        return _LEARNED[entry.learns]
    if entry.kind == "marginal":
        width = len(entry.columns)
        return _TABLES.get(width, f"tables of {width} columns")
    kind = entry.kind
    return _KINDS.get(kind, kind.replace("_", " "))


def _unit(kind: str) -> str:
    if kind in ("population", "categories"):
        return "units"
    return "fixed-point units" if kind in ("sum", "square_sum") else "rows"
