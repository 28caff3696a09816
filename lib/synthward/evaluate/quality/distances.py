"""The expected distance of a release to the real rows, with a 90 % range, for every column and pair.

It comes from the replicates of `quality.bootstrap`, with two corrections:

* A pair that no table measured cannot be seen by the model, so its relation is missing in the simulated rows, too. Its
  distance is multiplied by `UNSEEN`, the one calibrated factor.
* A release that is further from its sealed answers than noise explains is at least that far from the real rows (by the
  triangle inequality). The model is then wrong, and a simulation with a wrong model is too kind.

Nothing is known of a pair that no answer speaks of, neither a table nor a score: it has no expected distance.

The real rows are meant with the weights of the contribution bound: a patient with more than K rows counts like K.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean
from typing import Literal

import numpy as np

from synthward.evaluate.quality.bootstrap import Replicate
from synthward.privacy.measurement import Measurement
from synthward.privacy.queries import Clique, Marginal, Scores, Selection

UNSEEN = 1.5
"""How much larger the distance of a pair without a table of its own is than simulations say. Calibrated on diabetes130:
1.4 with rows as units, 1.6 with patients of four rows, both at epsilon 1 (`tests/benchmarks/bench_quality.py`)."""

MODEL_SPREAD = {1: 0.3, 2: 0.15}
"""Deviation of the logarithm of a distance that comes from the model not being the truth, beside chance; by number of
columns. With it, ranges cover 85 to 95 % of the true distances on diabetes130."""

NORMAL_95 = 1.645
"""The 95th percentile of a normal variable: a range of 90 % has 5 % on each side."""

PRIOR_REPLICATES = 4
"""A column's own spread over few replicates counts as much as so many replicates of the spread of all."""

ABSOLUTE_VARIANCE = math.pi / 2 - 1
"""Relative variance of the absolute value of a normal variable."""

SMALLEST = 1e-6
"""Distances below this are taken for it: their logarithm is needed."""

Basis = Literal["measured", "scored", "none"]


@dataclass(frozen=True)
class Expected:
    """How far one column, or one pair, is expected to be from the real rows.

    Attributes:
        columns: One or two columns, in the order of the domain.
        basis: What the statement rests on: a measured table, only a score of the pair, or nothing.
        distance: Expected total variation distance; None if nothing is known.
        low: Lower end of the 90 % range; None likewise.
        high: Upper end; None likewise.
    """

    columns: Clique
    basis: Basis
    distance: float | None
    low: float | None
    high: float | None


def expected_distances(
    found: Sequence[Replicate], basis: Mapping[Clique, Basis], at_least: Mapping[Clique, float]
) -> dict[Clique, Expected]:
    """Expected distances from replicates.

    Args:
        found: At least two replicates.
        basis: What is known of every column and pair; see `basis_of`.
        at_least: Distance to the sealed answers that noise does not explain, by measured column and pair.
    """
    cliques = list(found[0].distances)
    logs = np.log(np.maximum([[each.distances[clique] for clique in cliques] for each in found], SMALLEST))
    count = len(found)
    own = logs.var(axis=0, ddof=1)
    # The sum of the absolute values of so many normal variables has this relative variance, or more.
    least = np.array([ABSOLUTE_VARIANCE / fmean(each.cells[clique] for each in found) for clique in cliques])
    result = {}
    for width in (1, 2):
        places = [place for place, clique in enumerate(cliques) if len(clique) == width]
        common = float(own[places].mean()) if places else 0.0
        for place in places:
            clique = cliques[place]
            shrunk = ((count - 1) * own[place] + PRIOR_REPLICATES * common) / (count - 1 + PRIOR_REPLICATES)
            variance = max(shrunk, float(least[place]))
            mean = float(np.exp(logs[:, place]).mean())
            spread = math.sqrt(variance * (1 + 1 / count) + MODEL_SPREAD[width] ** 2)
            result[clique] = _expected(clique, basis[clique], mean, spread, at_least.get(clique, 0.0))
    return {clique: result[clique] for clique in cliques}


def _expected(clique: Clique, basis: Basis, mean: float, spread: float, at_least: float) -> Expected:
    if basis == "none":
        return Expected(clique, basis, None, None, None)
    if basis == "scored":
        mean, spread = mean * UNSEEN, math.hypot(spread, math.log(UNSEEN))
    factor = math.exp(NORMAL_95 * spread)
    middle = max(mean, at_least)
    return Expected(clique, basis, min(1.0, middle), min(1.0, max(mean / factor, at_least)), min(1.0, middle * factor))


def basis_of(sealed: Iterable[Measurement], cliques: Iterable[Clique]) -> dict[Clique, Basis]:
    """What sealed answers say of every column and pair.

    Args:
        sealed: Sealed answers of the synthesizer's rounds.
        cliques: Columns and pairs.
    """
    measured, scored = set[frozenset[str]](), set[frozenset[str]]()
    for measurement in sealed:
        query = measurement.asked.query
        if isinstance(query, Marginal):
            measured.update(frozenset(part) for width in (1, 2) for part in combinations(query.clique, width))
        elif isinstance(query, Scores | Selection):
            scored.update(frozenset(part) for clique in query.cliques for part in combinations(clique, 2))
    return {
        clique: "measured" if frozenset(clique) in measured else "scored" if frozenset(clique) in scored else "none"
        for clique in cliques
    }
