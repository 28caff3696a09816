"""Forecasts of a release's quality from public numbers, before anything is spent.

Take a table of n cells with mean absolute noise a. Noise alone causes a total variation distance of about n a / 2N,
where N is the declared number of rows. Refusals use this number. The model does better than that: it shrinks noise,
leaves tables out, and makes the others agree. It also has an error that no budget removes, because its tree does not
hold every dependence. `Forecast.expected` accounts for both. After a run, `evaluate.quality` says more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from synthward.fit.base import Task

USELESS = 0.5
"""Expected distance above which a table tells more about the noise than about the patients."""

POOR = 0.1

SHRUNK = 1 / 3
"""Share of the tables' noise distance that remains in a fitted model. Calibrated, like `TREE_BIAS`, on the fidelity
benchmark. `docs/synthesizers.md` shows expected and measured distances side by side."""

TREE_BIAS, FIELD_BIAS = 0.0095, 0.002
"""Distance of pairs that remains without any noise, of a tree and of a field."""

CLEAR_PART, CLEAR_NOISE = 1 / 4, 0.03
"""A field shrinks clear tables less: this part is added to `SHRUNK`, and falls off with this noise distance."""


INDEPENDENT = 0.044
"""Mean distance of pairs to independent columns on the fidelity benchmark. A fit shrinks tables that are mostly noise
towards independence, so that a release is hardly further off than this, however large the noise is."""


@dataclass(frozen=True)
class Forecast:
    """Expected distances, and the refusals and warnings that follow from them.

    Attributes:
        columns: Expected noise distance of each column's shares.
        tables: Mean expected noise distance of the joint tables; None if there are none.
        has_field: True if the model is a field over all measured tables, False if it is a tree.
    """

    columns: dict[str, float]
    tables: float | None
    has_field: bool = False

    @property
    def expected(self) -> float | None:
        """Expected mean distance of the release's joint tables; None if there are none."""
        if self.tables is None:
            return None
        if not self.has_field:
            return min(1.0, math.hypot(_bounded(SHRUNK * self.tables), TREE_BIAS))
        left = SHRUNK + CLEAR_PART * math.exp(-self.tables / CLEAR_NOISE)
        return min(1.0, math.hypot(_bounded(left * self.tables), FIELD_BIAS))

    def refusals(self, task: Task) -> list[str]:
        """Return why the release would be useless; an empty list if it would be of use."""
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
        """Return warnings for the approver; an empty list if the forecast is good."""
        found = [
            f"the noise alone is expected to move column '{name}' by {distance:.2f} (of at most 1)"
            for name, distance in self.columns.items()
            if distance > POOR
        ]
        if self.tables is not None and SHRUNK * self.tables > POOR:
            found.append(
                f"joint tables are mostly noise (mean distance {self.tables:.2f} of at most 1): weak relations between "
                "columns will be missing"
            )
        return found


def _bounded(error: float) -> float:
    """The error of noise that is left, or of independence, where noise is larger."""
    return error * INDEPENDENT / math.hypot(error, INDEPENDENT)


def distance(cells: int, mean_absolute: float, rows: int) -> float:
    """Return the expected noise distance of a table, at most 1.

    Args:
        cells: Number of cells of the table.
        mean_absolute: Mean absolute noise of a cell, in rows.
        rows: Declared number of rows.

    >>> distance(cells=100, mean_absolute=20, rows=10_000)
    0.1
    """
    return min(1.0, cells * mean_absolute / 2 / max(rows, 1))


def mean_distance(tables: Iterable[tuple[int, float]], rows: int) -> float | None:
    """Return the mean expected distance of tables, each given as (cells, mean absolute noise); None if there are none.

    >>> mean_distance([(100, 20.0), (10, 20.0)], rows=10_000)
    0.055
    """
    found = [distance(cells, noise, rows) for cells, noise in tables]
    return fmean(found) if found else None
