"""The privacy unit: whose addition or removal the guarantee hides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

UnitName = Literal["patient", "row"]


@dataclass(frozen=True)
class PrivacyUnit:
    """What neighbouring data sets differ in: one unit with all its rows, added or removed.

    Attributes:
        name: `patient`, or `row` for benchmarks only.
        max_rows: Contribution bound K. A unit with n rows weighs at most min(n, K) rows in every answer; its rows are
            weighted by K / n when n > K (DESIGN 4.5). 1 for rows.

    >>> PrivacyUnit("patient", 4).claim
    'unit: patient'
    """

    name: UnitName
    max_rows: int

    def __post_init__(self) -> None:
        if self.max_rows < 1:
            raise ValueError(f"the contribution bound K must be at least 1, found {self.max_rows}")
        if self.name == "row" and self.max_rows != 1:
            raise ValueError(f"unit row has K = 1, found {self.max_rows}")

    @property
    def claim(self) -> str:
        """How every claim, property and report names the unit."""
        return "unit: patient" if self.name == "patient" else "unit: row, NOT patient"
