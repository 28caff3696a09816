"""`moments`: the simplest honest synthesizer.

One round: a noisy one-way marginal of every column, and for every graded column a noisy clipped sum, sum of squares and
presence count. A categorical column is drawn from its marginal. A graded column is drawn from the truncated normal with
its mean and spread; its marginal gives the shares of `other` and `missing`. Columns are independent of each other.

Guarantee: that of the round's noise calls, composed by addition (see `privacy.accounting`); everything else here is
post-processing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.grid import Grid
from synthward.domain.spec import Attribute, Date, Graded, Numeric
from synthward.fit.base import Rounds, Task, share_out
from synthward.fit.forecast import Forecast
from synthward.fit.model import ColumnModel, Model
from synthward.fit.normal import truncated_normal
from synthward.fit.settings import unused
from synthward.privacy.accounting import Charge
from synthward.privacy.measurement import Asked, Measurement, Round
from synthward.privacy.queries import Clique, Marginal, Population, Presence, Query, SquareSum, Sum
from synthward.privacy.sensitivity import WEIGHT_UNIT

RUNS = 1024
"""Runs into which a graded column's density is cut; values are uniform inside a run."""

WEIGHTS: dict[type[Query], float] = {Population: 0.1, Marginal: 1.0, Presence: 0.25, Sum: 0.5, SquareSum: 1.0}
"""Shares of the budget. The spread is a difference of two large sums, so squares need the most precise number."""

GRADED_MARGINAL = 0.5
"""Share of a graded column's marginal. It gives the missing and undeclared shares, and the shape in the report."""

Floats = npt.NDArray[np.float64]
Indexes = npt.NDArray[np.int64]


class Moments:
    """See the module."""

    name = "moments"
    uses_bins = False
    exact_curve = False

    def check(self, task: Task) -> list[str]:
        """Refuse settings: moments has none."""
        return unused(task, ())

    def charge(self, task: Task) -> Charge:
        """Return the cost of the one round."""
        return _round(task).charge

    def cliques(self, task: Task) -> tuple[Clique, ...]:  # noqa: ARG002 - the protocol's
        """None: there is no later round."""
        return ()

    def rounds(self, task: Task) -> Rounds:
        """Ask one round, then fit."""
        sealed = yield _round(task)
        answers = {measurement.asked.query: measurement for measurement in sealed}
        columns = tuple(_column(book, answers) for book in codebooks(task.domain).values())
        return Model(self.name, task.domain.digest, columns, tuple(column.name for column in columns))

    def forecast(self, task: Task) -> dict[str, float]:
        """Return the noise distance of each marginal, at the declared number of rows."""
        asked = {item.query: item.call for item in _round(task).asked}
        books = codebooks(task.domain)
        result = {}
        for name, book in books.items():
            call = asked[Marginal((name,))]
            noise = call.mean_absolute / WEIGHT_UNIT
            # Half the summed mean absolute noise over the rows, and never more than 1.
            result[name] = min(1.0, book.cells * noise / 2 / max(task.declared_rows, 1))
        return result

    def joint_forecast(self, task: Task) -> float | None:  # noqa: ARG002 - the protocol's
        """None: no joint table is measured."""
        return None

    def warnings(self, task: Task) -> list[str]:
        """See `fit.forecast`."""
        return Forecast(self.forecast(task), None).warnings()


def _round(task: Task) -> Round:
    graded = task.domain.graded
    weights: dict[Query, float] = {Population(): WEIGHTS[Population]}
    for name in task.domain.attributes:
        weights[Marginal((name,))] = GRADED_MARGINAL if name in graded else WEIGHTS[Marginal]
    for name in graded:
        weights |= {query: WEIGHTS[type(query)] for query in (Presence(name), Sum(name), SquareSum(name))}
    calls = share_out(task, weights)
    return Round("moments", tuple(Asked(query, call) for query, call in calls.items()))


def _column(book: CodeBook, answers: dict[Query, Measurement]) -> ColumnModel:
    attribute, name = book.attribute, book.name
    shares = shares_of(answers[Marginal((name,))].counts)
    if not isinstance(attribute, Numeric | Date):
        return ColumnModel(name, _required(shares, attribute, keep_other=getattr(attribute, "other", None) is not None))
    starts = _run_starts(attribute.grid)
    density = _density(book, attribute, starts, answers)
    special = shares[-2:]
    spread = np.concatenate([density * (1 - special.sum()), special])
    return ColumnModel(name, _required(spread, attribute), starts, attribute.grid.count)


def shares_of(counts: Floats) -> Floats:
    """Turn noisy counts into probabilities: negative counts become zero; if nothing is left, the result is uniform.

    >>> shares_of(np.array([6.0, -1.0, 2.0])).tolist()
    [0.75, 0.0, 0.25]
    """
    positive = np.maximum(counts, 0.0)
    whole = positive.sum()
    if whole <= 0:
        return np.full(len(counts), 1 / len(counts))
    shares: Floats = positive / whole
    return shares


def _required(shares: Floats, attribute: Attribute, *, keep_other: bool = False) -> Floats:
    """Spread `missing`, and an `other` without a label, over the declared values of a required column."""
    if not attribute.required:
        return shares
    kept = shares.copy()
    kept[-1] = 0.0
    if not keep_other:
        kept[-2] = 0.0
    whole = kept.sum()
    if whole > 0:
        kept /= whole
    else:
        kept[:-2] = 1 / (len(kept) - 2)
    return kept


def _run_starts(grid: Grid) -> Indexes:
    width = -(-grid.count // min(RUNS, grid.count))
    return np.arange(0, grid.count, width, dtype=np.int64)


def _density(book: CodeBook, attribute: Graded, starts: Indexes, answers: dict[Query, Measurement]) -> Floats:
    grid, scale = attribute.grid, attribute.fixed_point
    rows = max(float(answers[Presence(book.name)].counts[0]), 1.0)
    first = float(answers[Sum(book.name)].values[0]) * scale.unit / rows
    second = float(answers[SquareSum(book.name)].values[0]) * scale.square_unit / rows
    ends = np.append(starts[1:], grid.count)
    step = grid.step / grid.denominator
    points = float(grid.value(0)) + step * (starts + ends - 1) / 2
    spread = math.sqrt(max(second - first * first, 0.0))
    return truncated_normal(points, (ends - starts).astype(np.float64), scale.centre + first, spread)
