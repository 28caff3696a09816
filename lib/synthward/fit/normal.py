"""The truncated normal with a given mean and spread, on a public grid.

On an interval the density that is proportional to `exp(a x + b x^2)` is the truncated normal when b < 0; it is the
maximum entropy distribution with its first two moments, so (a, b) solve a convex problem (Cover and Thomas 2006,
Theorem 12.1.1). Newton's method with step halving on the dual finds them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

MAX_STEPS = 200
TOLERANCE = 1e-9


def truncated_normal(points: Floats, widths: Floats, mean: float, deviation: float) -> Floats:
    """Return the probabilities of runs of a grid.

    Args:
        points: Midpoints of the runs, ascending, shape (runs,).
        widths: Number of grid values in each run, shape (runs,).
        mean: Wanted mean; it is clipped into the range of the points.
        deviation: Wanted standard deviation, at least a fifth of the smallest distance between points.

    Returns:
        Probabilities, shape (runs,), with sum 1. If no truncated normal on the grid has both moments (noise may ask for
        too much spread), the exponential density with this mean.

    >>> truncated_normal(np.arange(5.0), np.ones(5), mean=2.0, deviation=1.0).round(3).tolist()
    [0.064, 0.245, 0.383, 0.245, 0.064]
    """
    if len(points) == 1:
        return np.ones(1)
    middle, half = (points[0] + points[-1]) / 2, (points[-1] - points[0]) / 2
    x = (points - middle) / half
    step = float(np.min(np.diff(x)))
    margin, least = 0.02 * step, 0.2 * step
    target_mean = min(max((mean - middle) / half, -1 + margin), 1 - margin)
    target_square = max(deviation / half, least) ** 2 + target_mean**2
    base = np.log(widths)
    theta, mass = _newton(np.stack([x, x * x]), base, np.array([target_mean, target_square]))
    if theta[1] > 0:
        _, mass = _newton(x[None, :], base, np.array([target_mean]))
    return mass


def _newton(features: Floats, base: Floats, goal: Floats) -> tuple[Floats, Floats]:
    """Minimise the convex dual; return the natural parameters and the probabilities."""
    theta = np.zeros(len(goal))
    value, mass = _dual(theta, features, base, goal)
    for _ in range(MAX_STEPS):
        expected = features @ mass
        gradient = expected - goal
        if float(np.abs(gradient).max()) < TOLERANCE:
            break
        centred = features - expected[:, None]
        curvature = (centred * mass) @ centred.T + 1e-12 * np.eye(len(goal))
        direction = -np.linalg.solve(curvature, gradient)
        stride = 1.0
        while stride > 1e-12:
            candidate_value, candidate_mass = _dual(theta + stride * direction, features, base, goal)
            if candidate_value <= value + 1e-4 * stride * float(gradient @ direction):
                break
            stride /= 2
        else:
            break
        theta, value, mass = theta + stride * direction, candidate_value, candidate_mass
    return theta, mass


def _dual(theta: Floats, features: Floats, base: Floats, goal: Floats) -> tuple[float, Floats]:
    """Return the log-partition minus theta . goal, and the probabilities at theta."""
    exponent = base + theta @ features
    top = float(exponent.max())
    weights = np.exp(exponent - top)
    total = float(weights.sum())
    return top + float(np.log(total)) - float(theta @ goal), weights / total
