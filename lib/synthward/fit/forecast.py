"""What a release can be expected to be worth, from public numbers alone, before anything is spent.

The error that noise alone causes in a table of n cells with mean absolute noise a is about n a / 2N of total variation
distance, N the declared number of rows. That is what measuring the tables as they are would give, and what refusals go
by. The model does better, because it shrinks noise, leaves tables out and makes the others agree; and it has an error
that no budget removes, of dependence that its tree does not hold. `Forecast.expected` allows for both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from synthward.fit.base import Task

USELESS = 0.5
"""Expected distance at which a table says more about the noise than about the patients."""

POOR = 0.1

SHRUNK = 1 / 3
"""Part of the tables' noise distance that is left in a fitted model. Calibrated, like `UNTOLD`, on the fidelity
benchmark: `docs/synthesizers.md` has what was expected beside what was measured."""

UNTOLD = 0.0095
"""Distance of pairs that remains without any noise."""


@dataclass(frozen=True)
class Forecast:
    """Expected distances and what follows from them.

    Attributes:
        columns: Expected noise distance of each column's shares.
        tables: Mean expected noise distance of the joint tables, None without any.
    """

    columns: dict[str, float]
    tables: float | None

    @property
    def expected(self) -> float | None:
        """Mean distance of joint tables to expect of the release, None without any."""
        return None if self.tables is None else min(1.0, math.hypot(SHRUNK * self.tables, UNTOLD))

    def refusals(self, task: Task) -> list[str]:
        """Why the release would be useless; empty when it would not."""
        mean = fmean(self.columns.values())
        if mean > USELESS:
            text = (
                f"at epsilon {task.epsilon} the noise on {len(self.columns)} columns is expected to be larger than "
                f"what {task.declared_rows} declared rows can show (mean distance {mean:.2f} of at most 1); request "
                "fewer columns or coarser ones, a larger population or a larger epsilon"
            )
            return [text]
        if self.tables is not None and self.tables > USELESS:
            text = (
                f"at epsilon {task.epsilon} the noise on joint tables is expected to drown how columns go together "
                f"(mean distance {self.tables:.2f} of at most 1, {task.declared_rows} declared rows); use the "
                "synthesizer independent, fewer or coarser columns, or a larger epsilon"
            )
            return [text]
        return []

    def warnings(self) -> list[str]:
        """What to know before approving; empty when the expected_errors is good."""
        found = [
            f"the noise alone is expected to move column '{name}' by {distance:.2f} (of at most 1)"
            for name, distance in self.columns.items()
            if distance > POOR
        ]
        if self.expected is not None and self.expected > POOR:
            found.append(f"joint tables are expected to be off by {self.expected:.2f} on average (of at most 1)")
        return found


def distance(cells: int, mean_absolute: float, rows: int) -> float:
    """Expected noise distance of a table, at most 1.

    Args:
        cells: Cells of the table.
        mean_absolute: Mean absolute noise of a cell, in rows.
        rows: Declared rows.
    """
    return min(1.0, cells * mean_absolute / 2 / max(rows, 1))


def mean_distance(tables: Iterable[tuple[int, float]], rows: int) -> float | None:
    """Mean expected distance of several tables, given as (cells, mean absolute noise); None without any."""
    found = [distance(cells, noise, rows) for cells, noise in tables]
    return fmean(found) if found else None
