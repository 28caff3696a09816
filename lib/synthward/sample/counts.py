"""Counts with error bars: how many rows of the source meet a condition, from a model and its error model.

The share comes from rows drawn from the model. The interval comes from the parametric bootstrap (`evaluate.quality`),
which says how far off the shares of conditions are, in units of the expected distances of their columns. Everything is
post-processing: the same question can be asked any number of times.

Rows are counted with the weights of the contribution bound: a patient with more than K rows counts like K.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from synthward.config.text import shown
from synthward.domain.codes import CodeBook
from synthward.domain.spec import Date, Numeric
from synthward.domain.wanted import wanted_shares
from synthward.errors import IntegrityError, UsageError
from synthward.sample.drawn import DrawnRows
from synthward.sample.model_file import ModelFile
from synthward.sample.wishes import plain_condition

DRAWN = 2**17
"""Rows that are drawn to find a share."""

NORMAL_975 = 1.96
"""A normal variable is within so many standard deviations with a chance of 95 %."""


@dataclass(frozen=True)
class CountErrors:
    """How far off counts of a release are.

    Attributes:
        rows: Noisy number of rows of the source, weighted.
        rows_error: Its standard error.
        distances: Distance that intervals go by (`counting_distance`), by column, or by the two columns of a pair; None
            if nothing is known of the pair.
        factors: Half the 95 % interval of a condition's share in units of `scale`, by number of its columns: 1, 2, 3 or
            more.
    """

    rows: float
    rows_error: float
    distances: Mapping[tuple[str, ...], float | None]
    factors: tuple[float, ...]

    def rounded(self) -> CountErrors:
        """With as many digits as are kept."""
        return CountErrors(
            round(self.rows, 1),
            round(self.rows_error, 2),
            {c: None if distance is None else round(distance, 6) for c, distance in self.distances.items()},
            tuple(round(factor, 4) for factor in self.factors),
        )

    def to_json(self) -> dict[str, Any]:
        """For the model file; numbers rounded."""
        kept = self.rounded()
        return {
            "rows": kept.rows,
            "rows_error": kept.rows_error,
            "factors": list(kept.factors),
            "distances": [
                {"columns": list(columns), "distance": distance} for columns, distance in kept.distances.items()
            ],
        }

    @classmethod
    def parse(cls, body: object) -> CountErrors:
        """Inverse of `to_json`.

        Raises:
            IntegrityError: It is something else.
        """
        try:
            if not isinstance(body, dict):
                raise TypeError("not a JSON object")
            distances = {
                tuple(str(name) for name in entry["columns"]): None
                if entry["distance"] is None
                else _number(entry["distance"])
                for entry in body["distances"]
            }
            factors = tuple(_number(factor) for factor in body["factors"])
            if not factors:
                raise ValueError("no factors")
            return cls(_number(body["rows"]), _number(body["rows_error"]), distances, factors)
        except (KeyError, TypeError, ValueError):
            raise IntegrityError("the error model of counts is damaged; do not use its intervals") from None


def _number(value: object) -> float:
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValueError("not a number of at least 0")
    return number


@dataclass(frozen=True)
class Count:
    """An estimated count.

    Attributes:
        estimate: Rows of the source that meet the condition.
        low: Lower end of the 95 % interval.
        high: Upper end.
        known: False if nothing is known of a pair of the condition's columns. The interval then is what the single
            columns allow (Frechet's bounds).
    """

    estimate: int
    low: int
    high: int
    known: bool

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return {"estimate": self.estimate, "low": self.low, "high": self.high, "known": self.known}


class Counts:
    """Counts of one release; rows are drawn once."""

    def __init__(self, file: ModelFile, errors: CountErrors) -> None:
        self._file = file
        self._errors = errors

    @classmethod
    def of(cls, file: ModelFile) -> Counts:
        """Counts of a model file that has an error model.

        Raises:
            UsageError: It has none.
            IntegrityError: It is damaged.
        """
        if file.counts is None:
            raise UsageError(
                "the model file has no error model of counts: the release was made by an earlier version, or with "
                "utility.replicates: 0. Use the model.json of a later release"
            )
        return cls(file, CountErrors.parse(file.counts))

    @cached_property
    def _drawn(self) -> DrawnRows:
        return DrawnRows.of(self._file.model, self._file.books, DRAWN, 1)

    def count(self, where: Mapping[str, Any]) -> Count:
        """Estimate how many rows of the source meet all conditions, with a 95 % interval.

        Args:
            where: For each column a value as written in the source (None for missing), a list of values, or
                `{"from": ..., "to": ...}` with both ends included, for numbers and dates. Without a condition the
                count is that of all rows.

        Raises:
            UsageError: A column or a value is not declared.
        """
        conditions = plain_condition(where)
        unknown = [name for name in conditions if name not in self._file.books]
        if unknown:
            raise UsageError(
                f"where: '{shown(unknown[0], 60)}' is no column of the model; its columns: "
                f"{', '.join(self._file.books)}"
            )
        columns = tuple(name for name in self._file.books if name in conditions)
        meets = {name: _meets(self._file.books[name], self._drawn.places[name], conditions[name]) for name in columns}
        together = np.ones(self._drawn.rows, dtype=bool)
        for each in meets.values():
            together &= each
        share, rows = float(together.mean()), self._errors.rows
        half = half_width(self._errors.distances, self._errors.factors, columns, share)
        if half is None:
            low, high = self._bounds({name: float(each.mean()) for name, each in meets.items()})
            return Count(round(rows * share), math.floor(rows * low), math.ceil(rows * high), known=False)
        estimate = rows * share
        width = math.hypot(rows * half, NORMAL_975 * share * self._errors.rows_error)
        return Count(round(estimate), max(0, math.floor(estimate - width)), math.ceil(estimate + width), known=True)

    def _bounds(self, alone: Mapping[str, float]) -> tuple[float, float]:
        """Frechet's bounds of a share, from the intervals of the single columns' shares."""
        errors, factors = self._errors.distances, self._errors.factors
        halves = [half_width(errors, factors, (name,), share) or 0.0 for name, share in alone.items()]
        low = sum(share - half for share, half in zip(alone.values(), halves, strict=True)) - (len(alone) - 1)
        high = min(share + half for share, half in zip(alone.values(), halves, strict=True))
        return max(0.0, low), min(1.0, high)


def scale(distance: float, share: float) -> float:
    """Unit of the error of a condition's share, given the expected distance of its columns.

    The distance is the largest error that any condition on these columns can have. A condition that few rows meet, or
    nearly all, has a smaller one.

    >>> round(scale(0.02, 0.5), 4), round(scale(0.02, 0.01), 4)
    (0.0208, 0.007)
    """
    return 2 * distance * math.sqrt((share + distance) * (1 - share + distance))


def counting_distance(distance: float | None, high: float | None) -> float | None:
    """The distance that intervals go by, given the expected one and the upper end of its range; None if unknown.

    It is halfway between them, on a scale of factors, because few simulated releases know the expected one badly.

    >>> counting_distance(0.01, 0.04)
    0.02
    """
    return None if distance is None or high is None else math.sqrt(distance * high)


def half_width(
    distances: Mapping[tuple[str, ...], float | None],
    factors: tuple[float, ...],
    columns: tuple[str, ...],
    share: float,
) -> float | None:
    """Half the 95 % interval of a share; None if nothing is known of a pair of the columns.

    Args:
        distances: See `CountErrors`.
        factors: See `CountErrors`.
        columns: Columns of the condition, in the order of the domain.
        share: Share of the rows that meet it.
    """
    if not columns:
        return 0.0
    found = condition_distance(distances, columns)
    if found is None:
        return None
    beyond = max(1.0, len(columns) / len(factors))
    return factors[min(len(columns), len(factors)) - 1] * beyond * scale(found, share)


def condition_distance(distances: Mapping[tuple[str, ...], float | None], columns: tuple[str, ...]) -> float | None:
    """The expected distance that a condition goes by: its column's, its pair's, or that of its worst pair."""
    if len(columns) == 1:
        return distances.get(columns)
    found = [distances.get(pair) for pair in combinations(columns, 2)]
    known = [distance for distance in found if distance is not None]
    return max(known) if len(known) == len(found) else None


def _meets(book: CodeBook, places: npt.NDArray[np.int32], condition: object) -> npt.NDArray[np.bool_]:
    """Which rows meet a condition on their column."""
    try:
        if isinstance(condition, Mapping):
            return _in_range(book, places, condition)
        wanted = condition if isinstance(condition, list) else [condition]
        if not wanted:
            raise ValueError(f"the list of values of column '{book.name}' is empty; give at least one")
        return np.isin(places, [place for value in wanted for place in wanted_shares(book, value)])
    except ValueError as error:
        raise UsageError(f"where: {error}") from None


def _in_range(book: CodeBook, places: npt.NDArray[np.int32], condition: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    if not isinstance(book.attribute, Numeric | Date) or not condition or set(condition) - {"from", "to"}:
        raise ValueError(
            f"the condition on column '{book.name}' is a value, a list of values, or, of a number or date, "
            "{from: ..., to: ...}"
        )
    low, high = 0, book.attribute.grid.count - 1
    if "from" in condition:
        [low] = wanted_shares(book, condition["from"])
    if "to" in condition:
        [high] = wanted_shares(book, condition["to"])
    if low < 0 or high < 0:
        raise ValueError(f"the ends of a range of column '{book.name}' are values, not missing")
    return (places >= low) & (places <= high)
