"""The error model of counts, from the conditions that replicates were asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from synthward.evaluate.quality.bootstrap import Replicate
from synthward.evaluate.quality.distances import Expected
from synthward.evaluate.quality.questions import MOST_COLUMNS
from synthward.privacy.queries import Clique
from synthward.sample.counts import CountErrors, condition_distance, counting_distance, scale

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
    units = {columns: counting_distance(each.distance, each.high) for columns, each in expected.items()}
    return CountErrors(rows, rows_error, units, factors(found))


def factors(found: Sequence[Replicate]) -> tuple[float, ...]:
    """Half a 95 % interval in units of `counts.scale`, by number of columns: what covered so many simulated counts.

    The replicates' own mean distances are the unit here, because they have no pair that the model did not see.
    """
    mean: dict[Clique, float | None] = {
        clique: float(np.mean([each.distances[clique] for each in found])) for clique in found[0].distances
    }
    result = []
    for width in range(1, MOST_COLUMNS + 1):
        errors = []
        for trial in (trial for each in found for trial in each.trials if len(trial.columns) == width):
            distance = condition_distance(mean, trial.columns)
            if distance:
                errors.append(abs(trial.released - trial.real) / scale(distance, trial.released))
        if errors:
            result.append(float(np.quantile(errors, COVERED)))
    return tuple(result) or (1.0,)
