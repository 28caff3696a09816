"""Publishable quality: how far the synthetic marginals are from the sealed noisy ones, with analytic error bars.

Everything here is computed from synthetic rows and sealed measurements, so it is post-processing and may be published
(DESIGN 4.11). The distance to the real data is not known and never printed; it is at most the distance shown plus the
noise, whose expected size is known from the public scale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import CodeBook
from synthward.evaluate.tables import NoisyTable, compared, compared_labels, noise_cells
from synthward.records.manifest import ColumnEntry

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ColumnQuality:
    """One column of a release against its sealed marginal.

    Attributes:
        name: Column.
        kind: Its type in the domain.
        labels: A text for each cell.
        noisy: Shares by the sealed marginal, shape (cells,); `other` is in `missing` where the release has no label,
            and what is clipped is in the bin of its bound.
        synthetic: Shares in the release, same shape.
        error: Standard error of each noisy share, from the noise scale.
        distance: Total variation distance of the two.
        noise_distance: Total variation distance that the noise alone is expected to cause.
        out_of_domain: Noisy share of what was present but undeclared in the source.
        out_of_domain_error: Its standard error.
        below: Noisy share of values below the bounds, which are clipped; 0 where nothing is clipped.
        above: Noisy share of those above the bounds.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    noisy: Floats
    synthetic: Floats
    error: float
    distance: float
    noise_distance: float
    out_of_domain: float
    out_of_domain_error: float
    below: float = 0.0
    above: float = 0.0

    @property
    def clipped(self) -> float:
        """Noisy share of values beyond the bounds."""
        return self.below + self.above

    @property
    def clipped_error(self) -> float:
        """Its standard error: that of two cells."""
        return math.sqrt(2) * self.out_of_domain_error

    def entry(self) -> ColumnEntry:
        """For the manifest; numbers rounded to six digits."""
        return ColumnEntry(
            column=self.name,
            kind=self.kind,
            cells=len(self.labels),
            tvd=round(self.distance, 6),
            noise_tvd=round(self.noise_distance, 6),
            share_error=round(self.error, 6),
            out_of_domain=round(self.out_of_domain, 6),
            out_of_domain_error=round(self.out_of_domain_error, 6),
            below=round(self.below, 6),
            above=round(self.above, 6),
            labels=tuple(self.labels),
            noisy=tuple(round(float(share), 6) for share in self.noisy),
            synthetic=tuple(round(float(share), 6) for share in self.synthetic),
        )


def column_quality(book: CodeBook, sealed: NoisyTable, synthetic: npt.NDArray[np.int64]) -> ColumnQuality:
    """Compares one column.

    Args:
        book: The column's code book in the source's domain.
        sealed: Its noisy marginal, cells as in the code book.
        synthetic: Exact counts of the same cells in the release.
    """
    noisy = np.maximum(sealed.counts, 0.0)
    whole = max(float(noisy.sum()), 1.0)
    drawn = compared(synthetic.astype(np.float64), 0, book)
    # Cut off at 0 as they are compared: empty cells of clipped values would add only their positive noise otherwise.
    noisy_shares = np.maximum(compared(sealed.counts if book.clips else noisy, 0, book), 0.0) / whole
    drawn_shares = drawn / max(float(drawn.sum()), 1.0)
    error = sealed.deviation / whole
    return ColumnQuality(
        name=book.name,
        kind=book.attribute.TAG,
        labels=compared_labels(book),
        noisy=noisy_shares,
        synthetic=drawn_shares,
        error=error,
        distance=float(np.abs(noisy_shares - drawn_shares).sum()) / 2,
        noise_distance=min(1.0, sealed.mean_absolute / whole * noise_cells(book) / 2),
        out_of_domain=float(noisy[book.other]) / whole,
        out_of_domain_error=error,
        # Not cut off at 0: two cells of positive noise would look like clipped values.
        below=float(sealed.counts[book.below]) / whole if book.clips else 0.0,
        above=float(sealed.counts[book.above]) / whole if book.clips else 0.0,
    )


def summary(columns: Mapping[str, ColumnQuality]) -> dict[str, float]:
    """Headline numbers: mean and worst distance, mean expected noise distance."""
    distances = [column.distance for column in columns.values()]
    noise = [column.noise_distance for column in columns.values()]
    return {
        "tvd_mean": round(float(np.mean(distances)), 6),
        "tvd_max": round(float(np.max(distances)), 6),
        "noise_tvd_mean": round(float(np.mean(noise)), 6),
    }
