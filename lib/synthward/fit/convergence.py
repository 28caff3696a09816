"""How a fit ended: the record that model, manifest, report and MLflow share.

Everything is post-processing: distances compare the model with sealed noisy tables.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from synthward.privacy.queries import Clique

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

Kind = Literal["tree", "field"]
KINDS: tuple[Kind, ...] = ("tree", "field")

MOST_STEPS = 10**9
MOST_NAMES = 100
"""Limits on what a stored record may hold."""


@dataclass(frozen=True)
class Misfit:
    """How far a model is from one table that it was fitted to.

    Attributes:
        columns: Columns of the table.
        distance: Total variation distance of the model to the noisy table, less what its noise is expected to cause;
            0 if noise explains it.
    """

    columns: Clique
    distance: float


@dataclass(frozen=True)
class Convergence:
    """How a fit ended.

    Attributes:
        kind: What was fitted: a junction tree by L-BFGS steps, or a field by sweeps of chains.
        steps: Steps or sweeps that were done.
        at_most: Steps or sweeps that were allowed.
        reached: True if the fit reached its tolerance.
        tables: Number of tables that it was fitted to, single columns included.
        distance: Mean of the tables' misfits.
        worst: The table with the largest misfit.
    """

    kind: Kind
    steps: int
    at_most: int
    reached: bool
    tables: int
    distance: float
    worst: Misfit

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: One is beyond its limits.
        """
        if self.kind not in KINDS:
            raise ValueError(f"a fit is one of {', '.join(KINDS)}")
        for number in (self.steps, self.at_most, self.tables):
            if type(number) is not int or not 0 <= number <= MOST_STEPS:
                raise ValueError("a fit has a number of steps or tables that is not possible")
        # Written so that NaN fails as well.
        if not (0 <= self.distance <= self.worst.distance <= 1) or type(self.reached) is not bool:
            raise ValueError("a fit has a distance that is not between 0 and that of its worst table, at most 1")
        if not 0 < len(self.worst.columns) <= MOST_NAMES:
            raise ValueError("a fit names no worst table")

    def to_json(self) -> dict[str, Any]:
        """Return the record for model and manifest; distances rounded to six digits."""
        return {
            "kind": self.kind,
            "steps": self.steps,
            "at_most": self.at_most,
            "reached": self.reached,
            "tables": self.tables,
            "distance": self.distance,
            "worst": {"columns": list(self.worst.columns), "distance": self.worst.distance},
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Convergence:
        """Return the inverse of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: The body is damaged.
        """
        worst = body["worst"]
        columns = tuple(str(name) for name in worst["columns"])
        found = Misfit(columns, float(worst["distance"]))
        kind, steps, at_most = body["kind"], body["steps"], body["at_most"]
        return cls(kind, steps, at_most, body["reached"], body["tables"], float(body["distance"]), found)


def convergence(
    kind: Kind, steps: int, at_most: int, misfits: Sequence[Misfit], *, reached: bool, guess: bool = False
) -> Convergence:
    """Make the record of a fit, and log one line: a warning if it stopped short.

    Args:
        kind: What was fitted.
        steps: Steps that were done.
        at_most: Steps that were allowed.
        misfits: One for each table, at least one.
        reached: True if the fit reached its tolerance.
        guess: True if another fit follows; then stopping short is no reason to warn.
    """
    worst = max(misfits, key=lambda misfit: misfit.distance)
    mean = round(min(sum(misfit.distance for misfit in misfits) / len(misfits), worst.distance), 6)
    rounded = Misfit(worst.columns, max(round(worst.distance, 6), mean))
    found = Convergence(kind, steps, at_most, reached, len(misfits), mean, rounded)
    logger.log(
        logging.INFO if reached or guess else logging.WARNING,
        "fit: %s, %d of at most %d steps, %d tables, distance to them beyond their noise %.4f on average, worst %.4f%s",
        kind,
        steps,
        at_most,
        len(misfits),
        found.distance,
        found.worst.distance,
        "" if reached else "; stopped short of the tolerance",
    )
    return found


def misfit(columns: Clique, model: Floats, noisy: Floats, variance: Floats, total: float) -> Misfit:
    """Compare a model's table with the noisy one.

    Args:
        columns: Columns of the table.
        model: The model's rows in each cell.
        noisy: Noisy rows in each cell.
        variance: Variance of the noise of each cell.
        total: Number of rows.

    >>> rows, noise = np.array([60.0, 40.0]), np.array([0.0, 0.0])
    >>> misfit(("sex",), rows, np.array([50.0, 50.0]), noise, 100.0).distance
    0.1
    """
    found = float(np.abs(model - noisy).sum()) / 2 / total
    return Misfit(columns, min(1.0, max(0.0, found - noise_distance(variance, total))))


def noise_distance(variance: Floats, total: float) -> float:
    """Return the expected total variation distance that the noise of a table causes by itself."""
    return math.sqrt(2 / math.pi) * float(np.sqrt(variance).sum()) / 2 / total
