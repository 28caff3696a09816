"""The error model of counts, from the conditions that replicates were asked about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from synthward.evaluate.quality.bootstrap import Replicate
from synthward.evaluate.quality.distances import Expected
from synthward.evaluate.quality.questions import MOST_COLUMNS
from synthward.privacy.queries import Clique
from synthward.sample.counts import CountErrors, condition_distance, scale

COVERED = 0.95
"""Share of the conditions whose true count lies in the interval."""


def count_errors(
    found: Sequence[Replicate], expected: Mapping[Clique, Expected], rows: float, rows_error: float
) -> CountErrors:
    """Make the error model.

    Args:
        found: Replicates.
        expected: Expected distances to the real rows.
        rows: Noisy number of rows of the source.
        rows_error: Its standard error.
    """
    return CountErrors(rows, rows_error, {c: each.distance for c, each in expected.items()}, factors(found))


def factors(found: Sequence[Replicate]) -> tuple[float, ...]:
    """Half a 95 % interval in units of `counts.scale`, by number of columns: what covered so many simulated counts.

    The unit of a replicate's errors is the distance in the other replicates: its own holds the same errors, and would make
    them look alike. It is the replicates' distance, because they have no pair that the model did not see.
    """
    result = []
    for width in range(1, MOST_COLUMNS + 1):
        errors = [error for number in range(len(found)) for error in _errors(found, number, width)]
        if errors:
            result.append(float(np.quantile(errors, COVERED)))
    return tuple(result) or (1.0,)


def _errors(found: Sequence[Replicate], number: int, width: int) -> Iterator[float]:
    """Errors of one replicate's conditions on so many columns, in units that the other replicates give."""
    others = [each for place, each in enumerate(found) if place != number]
    mean: dict[Clique, float | None] = {
        clique: float(np.mean([each.distances[clique] for each in others])) for clique in found[0].distances
    }
    for trial in found[number].trials:
        if len(trial.columns) == width:
            distance = condition_distance(mean, trial.columns)
            if distance:
                yield abs(trial.released - trial.real) / scale(distance, trial.released)
