"""The joint part of a model without a tree: a Markov field, the tables that rows shall meet, and rows to start from."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthward.privacy.queries import Clique

Floats = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]

MAX_FIELD_CELLS = 2**22
"""Largest number of cells of all tables of a field: 32 MiB."""


@dataclass(frozen=True, eq=False)
class FieldModel:
    """A field over the groups of a model's columns.

    Attributes:
        cliques: Columns of each table.
        potentials: Potential of each cell of each table; -inf for impossible cells.
        targets: Rows that each cell of a table shall have; None for a table that only holds impossible cells.
        singles: Potential of each group of each column, in release order.
        single_targets: Rows that each group of each column shall have, in release order; None for columns without a
            target.
        total: Sum of every target.
        rows: Groups of the rows to start from, shape (columns, rows). No row lies in an impossible cell.
    """

    cliques: tuple[Clique, ...]
    potentials: tuple[Floats, ...]
    targets: tuple[Floats | None, ...]
    singles: tuple[Floats, ...]
    single_targets: tuple[Floats | None, ...]
    total: float
    rows: Groups

    @property
    def cells(self) -> int:
        """Number of cells of all tables."""
        return sum(table.size for table in self.potentials)

    def check(self, groups: Mapping[str, int]) -> None:
        """Check that the parts fit together and fit the columns.

        Args:
            groups: Number of groups of each column, in release order.

        Raises:
            ValueError: They do not fit; the message names the table or the column.
        """
        names = tuple(groups)
        if len(self.cliques) != len(self.potentials) or len(self.cliques) != len(self.targets):
            raise ValueError("a field needs one table of potentials and one of targets for each clique")
        for clique, table, target in zip(self.cliques, self.potentials, self.targets, strict=True):
            shape = tuple(groups.get(name, 0) for name in clique)
            if len(clique) < 2 or len(set(clique)) < len(clique) or 0 in shape or table.shape != shape:
                raise ValueError(f"the field's table of {', '.join(clique)} does not fit its columns")
            if np.isnan(table).any() or (table == np.inf).any():
                raise ValueError(f"the field's table of {', '.join(clique)} has potentials that are no numbers")
            if target is not None:
                _check_target(f"table of {', '.join(clique)}", target, shape)
        if len(self.singles) != len(names) or len(self.single_targets) != len(names):
            raise ValueError("a field needs potentials and targets of every column")
        for name, single, target in zip(names, self.singles, self.single_targets, strict=True):
            if single.shape != (groups[name],) or not np.isfinite(single[single > -np.inf]).all():
                raise ValueError(f"the field's potentials of column '{name}' do not fit it")
            if target is not None:
                _check_target(f"column '{name}'", target, (groups[name],))
        if not 0 < self.total < np.inf or self.cells > MAX_FIELD_CELLS:
            raise ValueError("the field has no rows, or more cells than are possible")
        limits = np.array(list(groups.values()))[:, None]
        if self.rows.ndim != 2 or len(self.rows) != len(names) or not self.rows.shape[1]:
            raise ValueError("the field's rows do not fit its columns")
        if (self.rows < 0).any() or (self.rows >= limits).any():
            raise ValueError("the field's rows hold groups that are not there")

    def body(self) -> dict[str, Any]:
        """Return the field as plain JSON values; arrays are base64 of little-endian bytes."""
        return {
            "tables": [
                {
                    "columns": list(clique),
                    "shape": list(table.shape),
                    "potentials": encoded(table, "<f8"),
                    "targets": None if target is None else encoded(target, "<f8"),
                }
                for clique, table, target in zip(self.cliques, self.potentials, self.targets, strict=True)
            ],
            "columns": [
                {
                    "potentials": encoded(single, "<f8"),
                    "targets": None if target is None else encoded(target, "<f8"),
                }
                for single, target in zip(self.singles, self.single_targets, strict=True)
            ],
            "total": self.total,
            "rows": encoded(self.rows, "<u2"),
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> FieldModel:
        """Return the inverse of `body`; `check` tells whether it fits the model's columns.

        Raises:
            KeyError, TypeError, ValueError: The body is damaged.
        """
        tables, columns = body["tables"], body["columns"]
        rows = _decode(body["rows"], "<u2").astype(np.int64)
        return cls(
            cliques=tuple(tuple(str(name) for name in part["columns"]) for part in tables),
            potentials=tuple(_decode(part["potentials"], "<f8").reshape(_shape(part)) for part in tables),
            targets=tuple(
                None if part["targets"] is None else _decode(part["targets"], "<f8").reshape(_shape(part))
                for part in tables
            ),
            singles=tuple(_decode(part["potentials"], "<f8") for part in columns),
            single_targets=tuple(
                None if part["targets"] is None else _decode(part["targets"], "<f8") for part in columns
            ),
            total=float(body["total"]),
            rows=rows.reshape(len(columns), -1),
        )


def _check_target(what: str, target: Floats, shape: Sequence[int]) -> None:
    if target.shape != tuple(shape) or not np.isfinite(target).all() or (target < 0).any():
        raise ValueError(f"the field's targets of the {what} do not fit, or are no numbers of rows")


def _shape(part: Mapping[str, Any]) -> tuple[int, ...]:
    shape = tuple(int(size) for size in part["shape"])
    if any(size < 1 for size in shape) or int(np.prod(shape, dtype=np.float64)) > MAX_FIELD_CELLS:
        raise ValueError("a table of the field has no possible shape")
    return shape


def encoded(array: npt.NDArray[Any], kind: str) -> str:
    """Return an array as base64 of little-endian numbers, as models keep it."""
    return base64.b64encode(array.astype(kind).tobytes()).decode("ascii")


def _decode(text: str, kind: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype=kind).astype(kind[1:])
