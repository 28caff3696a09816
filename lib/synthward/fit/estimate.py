"""Estimation: the log-linear model that explains noisy tables, found by regularised maximum entropy.

Of all distributions p on the tree, the one that minimises

    N KL(p, p0) + sum over tables and cells of (N p(cell) - y)^2 / (2 ridge variance)

where y are the noisy counts, N the noisy total and p0 the base (independent columns, structural zeros included). The
dual is smooth and convex in one potential a measured cell, `N log Z - y.t + ridge sum(variance t^2) / 2`, and is
minimised by L-BFGS (Nocedal and Wright 2006, section 7.2). The ridge shrinks every cell towards the base by the factor
`b / (b + ridge variance)`, b its expected count under the base: cells that are mostly noise stay as the base has them
(Dudik, Phillips and Schapire 2004 give the l2-regularised form of maximum entropy). That is the best linear shrinkage
of cells whose distance to the base has variance `b / ridge`. A table that is further from the base than that, beyond
its noise, gets the smaller ridge that its own distance asks for (`own_ridge`), so that a strong relation is kept where
the noise is strong, too.

Tables that no distribution can meet together (structural zeros that the data contradict, above all) would drive
potentials to where the model stands on a few cells, and spoil tables that have nothing to do with it. Beyond
`STRONGEST` a potential pays N a unit: in the primal, a cell that is further off than that costs in proportion to its
distance and no longer to the square (Huber 1964, doi:10.1214/aoms/1177703732), so that the fit gives way there.

Everything is post-processing of sealed numbers: the total comes from the noisy tables, never from the data, and the
result is a deterministic function of its arguments.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthward.fit.inference import Inference
from synthward.fit.junction import JunctionTree
from synthward.privacy.queries import Clique

logger = logging.getLogger(__name__)

Floats = npt.NDArray[np.float64]

MEMORY = 20
"""Pairs of differences that L-BFGS keeps."""

TOLERANCE = 1e-6
"""Stops when the expected decrease of the objective is below this part of the total."""

PROGRESS = 50
"""Steps between two lines of the log."""

SIGNIFICANT = 3.0
"""Standard deviations beyond which rows in impossible cells are taken for more than noise."""

STRONGEST = 100.0
"""Potentials grow hardly beyond this, which tables that agree never ask for; see the module's docstring."""

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
    """One target a set of columns: repeated measurements are averaged by their inverse variances, cell by cell."""
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
    """Total rows that the targets agree on best: their sums averaged by inverse variance, at least one row."""
    weights = [1 / float(target.variance.sum()) for target in targets]
    sums = [float(target.counts.sum()) for target in targets]
    return max(1.0, float(np.dot(weights, sums)) / sum(weights))


def restored(kept: float, lost: float, noise: float) -> float:
    """Factor that gives the rows of cells that cannot be to the others in proportion; 1 where noise explains them.

    Args:
        kept: Rows in the cells that can be.
        lost: Rows in those that cannot, in the same unit.
        noise: Standard deviation of `lost`.
    """
    return (kept + lost) / kept if kept > 0 and lost > SIGNIFICANT * noise else 1.0


def consistent(target: Target, base: Floats, total: float) -> Target:
    """The counts moved to the total, over the cells that structural zeros leave possible.

    Where the impossible cells hold more rows than their noise explains, the data contradict the zeros: those rows go
    to the possible cells in proportion. The rest of the gap is noise and goes to each cell in proportion to its
    variance (the least squares correction). Impossible cells want nothing, so that they pull at no potential.

    Args:
        target: Noisy counts.
        base: Probabilities of the cells under the base, 0 where impossible.
        total: Rows.
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
        inference: Sums on its tree; its cliques are those of the targets, then those of the base.
        potentials: One table a clique of the inference.
        measured: Number of targets.
        total: Noisy number of rows.
        iterations: Steps taken.
        converged: Whether the tolerance was reached within the iterations allowed.
    """

    inference: Inference
    potentials: tuple[Floats, ...]
    measured: int
    total: float
    iterations: int
    converged: bool

    def potential(self, clique: Clique) -> Floats | None:
        """The fitted potentials of a measured clique, for a warm start."""
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
) -> Fitted:
    """Fits the model.

    Args:
        tree: Contains the cliques of base and targets.
        sizes: Cells of each column.
        base: Fixed potentials: logarithms of the columns' shares, and structural zeros as -inf.
        targets: Noisy counts, at least one.
        total: Rows.
        ridge: Strength of the regularisation, above 0, at most: a table far from the base has less (`own_ridge`).
            Near 0 the tables are met as far as they agree.
        max_iterations: Steps at most; a bound on time that does not depend on the clock.
        start: An earlier fit, whose potentials are the first guess.
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
    logger.info(
        "fit: %d tables, %d tree cells, %d steps%s",
        len(aims),
        tree.cells,
        iterations,
        "" if converged else ", stopped short of the tolerance",
    )
    return Fitted(inference, (*problem.split(point), *fixed), len(aims), total, iterations, converged)


def _known(start: Fitted, aim: Target) -> Floats:
    found = start.potential(aim.clique)
    return np.zeros(aim.counts.shape) if found is None else found


class _Dual:
    """The dual objective, its gradient, and the inverse of a diagonal approximation of its curvature."""

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
    """The ridge under which the base expects as much squared distance as a table shows beyond its noise.

    Cells with variance `b / ridge` around the base have squared distances of `total / ridge` in sum; what is seen is
    that plus the variances of the noise (an empirical Bayes estimate, by moments). Infinite where noise explains all.
    """
    seen = float(((aim.counts - base) ** 2).sum() - aim.variance.sum())
    return total / seen if seen > 0 else np.inf


def _flat(tables: Sequence[Floats]) -> Floats:
    return np.concatenate([table.ravel() for table in tables])


def _dot(a: Floats, b: Floats) -> float:
    """Inner product in numpy's own order of summation, which no number of BLAS threads changes."""
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
    """The two-loop recursion, from the scaled diagonal."""
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
