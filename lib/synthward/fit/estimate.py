"""Estimation: the log-linear model that explains noisy tables, found by regularised maximum entropy.

Of all distributions p on the tree, the one that minimises

    N KL(p, p0) + sum over tables and cells of (N p(cell) - y)^2 / (2 ridge variance)

where y are the noisy counts, N the noisy total and p0 the base (independent columns, structural zeros included). The
dual is smooth and convex in one potential a measured cell, `N log Z - y.t + ridge sum(variance t^2) / 2`, and is
minimised by L-BFGS (Nocedal and Wright 2006, section 7.2). The ridge shrinks every cell towards the base by the factor
`b / (b + ridge variance)`, where b is its expected count under the base. Cells that are mostly noise stay as in the
base (Dudik, Phillips and Schapire 2004 give the l2-regularised form of maximum entropy). That is the best linear
shrinkage of cells whose distance to the base has variance `b / ridge`. If a table is further
from the base than that, beyond its noise, it gets a smaller ridge (`own_ridge`). So a strong relation is kept even
where the noise is strong.

Some tables cannot be met together by any distribution; structural zeros that the data contradict are the main cause.
Such tables would drive potentials to extreme values, until the model has a few cells only, and would spoil unrelated
tables. Therefore a potential beyond `STRONGEST` pays N for each unit. In the primal, a cell that is further away than
that costs in proportion to its distance and no longer to the square (Huber 1964, doi:10.1214/aoms/1177703732): the fit
gives way there.

Everything is post-processing of sealed numbers: the total comes from the noisy tables, never from the data, and the
result is a deterministic function of its arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthward.fit.convergence import Convergence, convergence, misfit
from synthward.fit.inference import Inference
from synthward.fit.junction import JunctionTree
from synthward.privacy.queries import Clique

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

MEMORY = 20
"""Number of pairs of differences that L-BFGS keeps."""

TOLERANCE = 1e-6
"""The fit stops when the expected decrease of the objective is below this share of the total."""

PROGRESS = 50
"""Number of steps between two lines of the log."""

SIGNIFICANT = 3.0
"""Rows in impossible cells count as real if they exceed this many standard deviations of their noise."""

STRONGEST = 100.0
"""Soft limit on a potential. Consistent tables never reach it; see the module's docstring."""

HALVINGS = 30
SUFFICIENT = 1e-4


@dataclass(frozen=True, eq=False)
class Target:
    """Noisy counts of a clique, on the model's cells.

    Attributes:
        clique: Columns.
        counts: Noisy rows, row-major over the clique.
        variance: Variance of the noise of each cell, same shape.
    """

    clique: Clique
    counts: Floats
    variance: Floats


def merged(targets: Sequence[Target]) -> list[Target]:
    """Merge repeated measurements of the same columns: average them by inverse variance, cell by cell."""
    found: dict[frozenset[str], Target] = {}
    for target in targets:
        key = frozenset(target.clique)
        known = found.get(key)
        if known is None:
            found[key] = target
            continue
        order = [target.clique.index(name) for name in known.clique]
        counts, variance = target.counts.transpose(order), target.variance.transpose(order)
        weights = 1 / known.variance, 1 / variance
        whole = weights[0] + weights[1]
        mean = (known.counts * weights[0] + counts * weights[1]) / whole
        found[key] = Target(known.clique, mean, 1 / whole)
    return list(found.values())


def total_of(targets: Sequence[Target]) -> float:
    """Return the total number of rows: the targets' sums averaged by inverse variance, at least one row."""
    weights = [1 / float(target.variance.sum()) for target in targets]
    sums = [float(target.counts.sum()) for target in targets]
    return max(1.0, float(np.dot(weights, sums)) / sum(weights))


def restored(kept: float, lost: float, noise: float) -> float:
    """Return the factor that moves rows found in impossible cells to the possible cells, in proportion.

    The factor is 1 if the rows in impossible cells are within their noise.

    Args:
        kept: Rows in the possible cells.
        lost: Rows in the impossible cells, in the same unit.
        noise: Standard deviation of `lost`.

    >>> restored(kept=800.0, lost=200.0, noise=10.0)
    1.25
    >>> restored(kept=800.0, lost=20.0, noise=10.0)
    1.0
    """
    return (kept + lost) / kept if kept > 0 and lost > SIGNIFICANT * noise else 1.0


def consistent(target: Target, base: Floats, total: float) -> Target:
    """Move the counts to the total, over the cells that structural zeros leave possible.

    If the impossible cells hold more rows than noise explains, the data contradict the zeros. Then those rows go to the
    possible cells in proportion. The rest of the gap is noise. Each cell takes a part in proportion to its variance
    (the least squares correction). An impossible cell gets the count 0, so it pulls at no potential.

    Args:
        target: Noisy counts.
        base: Probabilities of the cells under the base; 0 means impossible.
        total: Number of rows.
    """
    possible = base > 0
    counts, variance = np.where(possible, target.counts, 0.0), target.variance
    lost, noise = target.counts[~possible].sum(), target.variance[~possible].sum() ** 0.5
    factor = restored(counts.sum(), lost, noise)
    counts, variance = counts * factor, variance * factor**2
    free = np.where(possible, variance, 0.0)
    return Target(target.clique, counts + (total - counts.sum()) * free / free.sum(), variance)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted log-linear model.

    Attributes:
        inference: Sums on the tree. Its cliques are those of the targets, then those of the base.
        potentials: One table for each clique of the inference.
        measured: Number of targets.
        total: Noisy number of rows.
        ended: How the fit ended.
    """

    inference: Inference
    potentials: tuple[Floats, ...]
    measured: int
    total: float
    ended: Convergence

    def potential(self, clique: Clique) -> Floats | None:
        """Return the fitted potentials of a measured clique, for a warm start; None if it was not measured."""
        key = frozenset(clique)
        for known, table in zip(self.inference.cliques[: self.measured], self.potentials, strict=False):
            if frozenset(known) == key:
                return table.transpose([known.index(name) for name in clique])
        return None


def estimate(
    tree: JunctionTree,
    sizes: Mapping[str, int],
    base: Mapping[Clique, Floats],
    targets: Sequence[Target],
    total: float,
    *,
    ridge: float,
    max_iterations: int,
    start: Fitted | None = None,
    guess: bool = False,
) -> Fitted:
    """Fit the model.

    Args:
        tree: Contains the cliques of base and targets.
        sizes: Cells of each column.
        base: Fixed potentials: logarithms of the columns' shares, and structural zeros as -inf.
        targets: Noisy counts, at least one.
        total: Rows.
        ridge: Upper limit on the strength of the regularisation, above 0. A table far from the base has less
            (`own_ridge`). Near 0, the fit meets the tables as far as they agree.
        max_iterations: Largest number of steps. It bounds the time without a clock.
        start: An earlier fit, whose potentials are the first guess.
        guess: True if another fit follows, so that nobody has to be warned if this one stops short.
    """
    tables = merged(targets)
    inference = Inference(tree, sizes, [table.clique for table in tables] + list(base))
    fixed = list(base.values())
    _, expected = inference.marginals([np.zeros(table.counts.shape) for table in tables] + fixed)
    under_base = expected[: len(tables)]
    aims = [consistent(table, shares, total) for table, shares in zip(tables, under_base, strict=True)]
    problem = _Dual(inference, fixed, aims, under_base, total, ridge)
    guesses = [np.zeros(aim.counts.shape) if start is None else _known(start, aim) for aim in aims]
    point, iterations, converged = _minimise(problem, _flat(guesses), max_iterations)
    potentials = (*problem.split(point), *fixed)
    _, found = inference.marginals(list(potentials))
    misfits = [
        misfit(aim.clique, total * shares, aim.counts, aim.variance, total)
        for aim, shares in zip(aims, found[: len(aims)], strict=True)
    ]
    ended = convergence("tree", iterations, max_iterations, misfits, reached=converged, guess=guess)
    return Fitted(inference, potentials, len(aims), total, ended)


def _known(start: Fitted, aim: Target) -> Floats:
    found = start.potential(aim.clique)
    return np.zeros(aim.counts.shape) if found is None else found


class _Dual:
    """The dual objective with its gradient, and the inverse of a diagonal approximation of its curvature."""

    def __init__(
        self,
        inference: Inference,
        fixed: list[Floats],
        aims: Sequence[Target],
        under_base: Sequence[Floats],
        total: float,
        ridge: float,
    ) -> None:
        self._inference, self._fixed, self._total = inference, fixed, total
        self._shapes = [aim.counts.shape for aim in aims]
        self._ends = np.cumsum([aim.counts.size for aim in aims])[:-1]
        self._wanted = _flat([aim.counts for aim in aims])
        self._ridge = _flat(
            [
                min(ridge, own_ridge(aim, total * shares, total)) * aim.variance
                for aim, shares in zip(aims, under_base, strict=True)
            ]
        )
        self.scale = 1 / (total * _flat(under_base) + self._ridge)
        self.total = total

    def split(self, flat: Floats) -> list[Floats]:
        return [part.reshape(shape) for part, shape in zip(np.split(flat, self._ends), self._shapes, strict=True)]

    def __call__(self, flat: Floats) -> tuple[float, Floats]:
        log_z, found = self._inference.marginals(self.split(flat) + self._fixed)
        expected = self._total * _flat(found[: len(self._shapes)])
        beyond = flat - np.clip(flat, -STRONGEST, STRONGEST)
        slope = expected - self._wanted + self._ridge * flat + self._total * beyond
        penalty = _dot(self._ridge * flat, flat) + self._total * _dot(beyond, beyond)
        value = self._total * log_z - _dot(self._wanted, flat) + penalty / 2
        return value, slope


def own_ridge(aim: Target, base: Floats, total: float) -> float:
    """Return the ridge at which the base predicts the squared distance that a table shows beyond its noise.

    Cells with variance `b / ridge` around the base have squared distances with the sum `total / ridge`. The observed
    sum is that plus the variances of the noise (an empirical Bayes estimate by moments). Infinite if noise explains
    everything.
    """
    seen = float(((aim.counts - base) ** 2).sum() - aim.variance.sum())
    return total / seen if seen > 0 else np.inf


def _flat(tables: Sequence[Floats]) -> Floats:
    return np.concatenate([table.ravel() for table in tables])


def _dot(a: Floats, b: Floats) -> float:
    """Return the inner product, summed in numpy's own order, which the number of BLAS threads cannot change."""
    return float((a * b).sum())


def _minimise(problem: _Dual, point: Floats, max_iterations: int) -> tuple[Floats, int, bool]:
    value, slope = problem(point)
    steps: list[tuple[Floats, Floats, float]] = []
    for iteration in range(max_iterations):
        direction = _direction(slope, steps, problem.scale)
        descent = _dot(slope, direction)
        if iteration and iteration % PROGRESS == 0:
            logger.info(
                "fit: step %d of at most %d, %.1e of %.0e to go",
                iteration,
                max_iterations,
                -descent / problem.total,
                TOLERANCE,
            )
        if -descent < TOLERANCE * problem.total:
            return point, iteration, True
        length = 1.0
        for _ in range(HALVINGS):
            candidate = point + length * direction
            found, gradient = problem(candidate)
            if found <= value + SUFFICIENT * length * descent:
                break
            length /= 2
        else:
            return point, iteration, False
        moved, turned = candidate - point, gradient - slope
        curvature = _dot(moved, turned)
        if curvature > 0:
            steps = [*steps[-MEMORY + 1 :], (moved, turned, curvature)]
        point, value, slope = candidate, found, gradient
    return point, max_iterations, False


def _direction(slope: Floats, steps: Sequence[tuple[Floats, Floats, float]], scale: Floats) -> Floats:
    """Return the search direction: the two-loop recursion of L-BFGS, started from the scaled diagonal."""
    result = -slope
    shares = []
    for moved, turned, curvature in reversed(steps):
        share = _dot(moved, result) / curvature
        shares.append(share)
        result = result - share * turned
    if steps:
        _, turned, curvature = steps[-1]
        result = result * scale * (curvature / _dot(turned * scale, turned))
    else:
        result = result * scale
    for (moved, turned, curvature), share in zip(steps, reversed(shares), strict=True):
        result = result + (share - _dot(turned, result) / curvature) * moved
    return result
