"""The questions that may be asked of protected data, as public values.

A query names columns only; what its exact answer is, how much one privacy unit can change it and how it is computed
live in `sensitivity`, `kernels` and `measure`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Population:
    """Number of privacy units with at least one row."""

    KIND: ClassVar[str] = "population"

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return "population"


@dataclass(frozen=True)
class Marginal:
    """Weighted counts of the cells of a clique of columns, in units of 1/S."""

    clique: tuple[str, ...]
    KIND: ClassVar[str] = "marginal"

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"marginal({', '.join(self.clique)})"


@dataclass(frozen=True)
class Presence:
    """Weighted count of rows that have a value of a graded attribute, in units of 1/S."""

    attribute: str
    KIND: ClassVar[str] = "presence"

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"presence({self.attribute})"


@dataclass(frozen=True)
class Sum:
    """Weighted sum of the centred fixed-point values of a graded attribute."""

    attribute: str
    KIND: ClassVar[str] = "sum"

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"sum({self.attribute})"


@dataclass(frozen=True)
class SquareSum:
    """Weighted sum of the integer squares of the centred fixed-point values of a graded attribute."""

    attribute: str
    KIND: ClassVar[str] = "square_sum"

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"square_sum({self.attribute})"


Query = Population | Marginal | Presence | Sum | SquareSum
