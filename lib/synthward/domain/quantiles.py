"""Bins with about equally many rows each, from a noisy histogram on a public grid.

The histogram is noised first and cumulated afterwards: noise on every cumulated count would need a sensitivity of the
number of cells. Everything here is a function of noisy counts and public constants, hence post-processing.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from synthward.domain.spec import Numeric

Floats = npt.NDArray[np.float64]

FINE_BINS = 1024
"""Cells of the public grid at most: a cut sums the noise of about half of them, so that more hardly help."""


def fine(attribute: Numeric) -> Numeric:
    """The attribute on its public grid: every value at its resolution, or equal runs of values where those are many."""
    return replace(attribute, bins=min(attribute.grid.count, FINE_BINS), edges=())


def fine_bins(attribute: Numeric) -> int:
    """Cells of the public grid."""
    return fine(attribute).grid.bins


def planned_bins(attribute: Numeric, bins: int) -> Numeric:
    """A stand-in with exactly that many bins, for what depends on their number alone.

    Args:
        attribute: The declared attribute.
        bins: At most the number of values at its resolution.
    """
    resolution = attribute.resolution if attribute.resolution is not None else Decimal(1)
    edges = tuple(attribute.bounds[0] + place * resolution for place in range(1, bins))
    return replace(attribute, bins=None if edges else 1, edges=edges)


def quantile_bins(attribute: Numeric, counts: Floats, bins: int) -> Numeric:
    """The attribute with edges at the noisy quantiles, on the edges of its public bins.

    Args:
        attribute: Declared with many public bins, those of the histogram.
        counts: Noisy rows of each of its bins, shape (bins of the attribute,); any numbers, negative ones too.
        bins: How many bins are wanted; there are fewer where one public bin holds several quantiles.

    Raises:
        ValueError: The counts are not those of the attribute's bins, or fewer than one bin is wanted.
    """
    grid = attribute.grid
    if len(counts) != grid.bins or bins < 1:
        raise ValueError(f"{len(counts)} counts for {grid.bins} bins, of which {bins} are wanted")
    resolution = attribute.resolution if attribute.resolution is not None else Decimal(1)
    edges = tuple(attribute.bounds[0] + grid.starts[place] * resolution for place in quantile_places(counts, bins))
    return replace(attribute, bins=None if edges else 1, edges=edges)


def quantile_places(counts: Floats, bins: int) -> tuple[int, ...]:
    """Bins of the histogram at which the second and later quantile bins start, ascending, without repetition."""
    rows = rising(np.cumsum(counts))
    goals = rows[-1] * np.arange(1, bins) / bins
    # The bin in which a quantile lies belongs to the lower side, so that the upper one starts after it.
    places = np.searchsorted(rows, goals, side="left") + 1
    return tuple(int(place) for place in np.unique(places) if 0 < place < len(counts))


def rising(rows: Floats) -> Floats:
    """Cumulated noisy counts made ascending: midway between the largest so far and the least still to come.

    >>> rising(np.array([1.0, 3.0, 2.0, 4.0])).tolist()
    [1.0, 2.5, 2.5, 4.0]
    """
    ahead = np.minimum.accumulate(rows[::-1])[::-1]
    middle: Floats = (np.maximum.accumulate(rows) + ahead) / 2
    return middle
