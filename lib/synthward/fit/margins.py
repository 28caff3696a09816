"""Tables brought to common margins: so a table's noise, which is never below zero in rows, cannot move its columns.

A noisy table has negative cells, rows have none. Where most cells are empty, as between a code and its name, a fit to
such a table puts rows into the cells with positive noise and takes them from all others: single columns move. `nearest`
gives the nearest table without negative cells and with the margins of the columns' own tables, in units of the noise
(non-negative least squares). The margins are the columns' own tables averaged with what the joint tables say of them
(`reconciled`). Both are post-processing of sealed numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synthward.fit.estimate import Target

Floats = npt.NDArray[np.float64]

ROUNDS = 40
"""Number of passes over the axes."""


def nearest(counts: Floats, variance: Floats, possible: npt.NDArray[np.bool_], margins: Sequence[Floats]) -> Floats:
    """Return the non-negative table with the given margins that is nearest to noisy counts.

    It minimises the sum of (T - y)^2 / v. The dual has one number for each group of each column; every pass takes a
    Newton step in each of them.

    Args:
        counts: Noisy rows.
        variance: Variance of the noise of each cell.
        possible: False for cells that structural zeros exclude; they stay 0.
        margins: Rows of each group, by axis; each sums to the same total.

    >>> noisy = np.array([[52.0, -4.0], [6.0, 46.0]])
    >>> table = nearest(noisy, np.ones((2, 2)), np.ones((2, 2), dtype=bool), [np.array([50.0, 50.0])] * 2)
    >>> table.round(1).tolist()
    [[49.0, 1.0], [1.0, 49.0]]
    """
    shifted = counts.copy()
    for _ in range(ROUNDS):
        for axis, margin in enumerate(margins):
            others = tuple(other for other in range(counts.ndim) if other != axis)
            held = possible & (shifted > 0)
            missing = margin - np.where(held, shifted, 0.0).sum(axis=others)
            weight = np.where(held, variance, 0.0).sum(axis=others)
            # A group without a held cell takes what it misses in all its cells.
            weight = np.where(weight > 0, weight, np.where(possible, variance, 0.0).sum(axis=others))
            step = np.divide(missing, weight, out=np.zeros_like(missing), where=weight > 0)
            shifted = shifted + variance * step.reshape([-1 if other == axis else 1 for other in range(counts.ndim)])
    return np.where(possible, np.maximum(shifted, 0.0), 0.0)


def reconciled(single: Target, tables: Sequence[Target]) -> Target:
    """Return a column's own table averaged with the margins of its joint tables, by inverse variance.

    Args:
        single: The column's own table.
        tables: Joint tables; those without the column are ignored.
    """
    [name] = single.clique
    weight = 1 / single.variance
    rows = single.counts * weight
    for table in tables:
        if name in table.clique:
            others = tuple(axis for axis, other in enumerate(table.clique) if other != name)
            own = 1 / table.variance.sum(axis=others)
            weight = weight + own
            rows = rows + table.counts.sum(axis=others) * own
    return Target(single.clique, rows / weight, 1 / weight)
