"""Public number grids: resolution and bins of an attribute, and the fixed-point scale of its sums.

Everything here is computed from declared constants with exact arithmetic. A grid holds the values
`(low + index * step) / denominator` for `index` in `0 .. count - 1`; bins are runs of neighbouring grid indexes, so
that binning is integer arithmetic on every engine and bin edges never fall between two floats.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

MAX_GRID = 2**31
MAX_EXPONENT = 300
"""Bounds and resolutions lie between 2^-300 and 2^300, so that no product of two of them leaves the doubles."""

LEVEL_BITS = 16
"""Sums are taken on at most 2^16 steps either side of the centre: a rounding error of 2^-18 of the range, far below
any noise, and small enough for `K` up to 1023 under the static overflow check."""


@dataclass(frozen=True)
class Grid:
    """Evenly spaced public values, exactly representable as ratios of integers.

    Attributes:
        low: Numerator of the lowest value.
        step: Numerator of the resolution, positive.
        denominator: Common denominator of bounds and resolution.
        count: Number of values.
        starts: Grid index at which each bin starts, ascending, the first one 0.
    """

    low: int
    step: int
    denominator: int
    count: int
    starts: tuple[int, ...]

    @classmethod
    def of(
        cls,
        low: Decimal,
        high: Decimal,
        resolution: Decimal,
        *,
        bins: int | None = None,
        edges: tuple[Decimal, ...] = (),
    ) -> Grid:
        """Builds the grid of `[low, high]` at `resolution`, cut into equal bins or at the given lower edges.

        Raises:
            ValueError: The numbers do not make a grid; the message says which and what is allowed.
        """
        if not all(number.is_finite() for number in (low, high, resolution, *edges)):
            raise ValueError("bounds, resolution and edges must be finite numbers")
        if high <= low:
            raise ValueError(f"bounds must be ascending, found [{low}, {high}]")
        if resolution <= 0:
            raise ValueError(f"resolution must be positive, found {resolution}")
        exact = [Fraction(low), Fraction(resolution)]
        denominator = math.lcm(*(part.denominator for part in exact))
        start, step = (int(part * denominator) for part in exact)
        steps = (Fraction(high) - exact[0]) / exact[1]
        if steps.denominator != 1:
            raise ValueError(f"bounds [{low}, {high}] are not a whole number of resolutions ({resolution}) apart")
        count = int(steps) + 1
        if count > MAX_GRID:
            raise ValueError(f"{count} values are too many (at most 2^31); give a coarser resolution than {resolution}")
        if not _fits_doubles(Fraction(low), Fraction(high), Fraction(resolution), count):
            raise ValueError(f"[{low}, {high}] at {resolution} needs more digits or exponents than a double has")
        return cls(start, step, denominator, count, _starts(count, bins, edges, exact[0], exact[1]))

    @property
    def bins(self) -> int:
        """Number of bins."""
        return len(self.starts)

    @property
    def bin_step(self) -> int | None:
        """Width of every bin in grid steps where all are equal, the last one at most as wide, else None."""
        width = self.starts[1] if self.bins > 1 else self.count
        even = all(start == width * place for place, start in enumerate(self.starts))
        # A wider last bin, such as [75, 80] after steps of 5, would spill into a code that is not a bin.
        return width if even and self.count <= width * self.bins else None

    def value(self, index: int) -> Fraction:
        """The exact value at a grid index."""
        return Fraction(self.low + index * self.step, self.denominator)

    @property
    def low_float(self) -> float:
        """Lowest value as the nearest double."""
        return float(self.value(0))

    @property
    def high_float(self) -> float:
        """Highest value as the nearest double."""
        return float(self.value(self.count - 1))

    @property
    def per_unit(self) -> float:
        """Grid steps per unit of value, as the nearest double."""
        return float(Fraction(self.denominator, self.step))


def _fits_doubles(low: Fraction, high: Fraction, resolution: Fraction, count: int) -> bool:
    """Whether the engine's `rint((x - low) * per_unit)` has its greatest value, at `high`, on the last grid index.

    Every step of it is monotone in x, so every index of a clipped value is a grid index then (PROOFS.md, section 1).
    """
    largest = Fraction(2) ** MAX_EXPONENT
    if max(abs(low), abs(high), resolution, 1 / resolution) > largest:
        return False
    return round((float(high) - float(low)) * float(1 / resolution)) == count - 1


def _starts(
    count: int, bins: int | None, edges: tuple[Decimal, ...], low: Fraction, resolution: Fraction
) -> tuple[int, ...]:
    if edges:
        places = [(Fraction(edge) - low) / resolution for edge in edges]
        if any(place.denominator != 1 for place in places):
            raise ValueError("every edge must lie on the resolution's grid")
        inner = [int(place) for place in places]
        if inner != sorted(set(inner)) or inner[0] < 1 or inner[-1] >= count:
            raise ValueError("edges must be ascending, above the lower bound and not above the upper bound")
        return (0, *inner)
    width = -(-count // min(bins if bins is not None else 32, count))
    return tuple(range(0, count, width))


@dataclass(frozen=True)
class FixedPoint:
    """How a clipped value becomes the integers that are summed (DESIGN 4.3).

    `q = clip(rint((x - centre) * 2^-exponent), -limit, limit)` and its square on its own integer grid
    `q2 = min((q * q + 2^(shift-1)) >> shift, square_limit)`.

    Attributes:
        centre: Middle of the bounds, a double.
        exponent: The unit of `q` is `2^exponent`.
        limit: Q, the largest |q|.
        shift: Bits dropped from `q * q`.
        square_limit: Q2, the largest `q2`.
    """

    centre: float
    exponent: int
    limit: int
    shift: int
    square_limit: int

    @classmethod
    def of(cls, low: float, high: float) -> FixedPoint:
        """The finest power-of-two unit that spans half the range in at most 2^16 steps."""
        centre = low + (high - low) / 2
        half = max(high - centre, centre - low)
        exponent = math.frexp(half)[1] - LEVEL_BITS
        limit = math.ceil(Fraction(half) / Fraction(2) ** exponent)
        shift = LEVEL_BITS
        return cls(centre, exponent, limit, shift, (limit * limit + (1 << (shift - 1))) >> shift)

    @property
    def unit(self) -> float:
        """Value of one step of `q`."""
        return math.ldexp(1.0, self.exponent)

    @property
    def per_unit(self) -> float:
        """Steps of `q` per unit of value, a power of two."""
        return math.ldexp(1.0, -self.exponent)

    @property
    def square_unit(self) -> float:
        """Value of one step of `q2`, in squared units of the attribute."""
        return math.ldexp(1.0, 2 * self.exponent + self.shift)
