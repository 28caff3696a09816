"""The generative model: plain arrays, no pickle, stamped with a digest, loadable without Spark.

A model is publishable: it is a function of sealed noisy measurements and public constants only. Its columns are drawn
one after the other, each given columns drawn before it; a junction tree takes this form by drawing every column given
the part of its clique that is there already.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from synthward.errors import IntegrityError

FORMAT = 3
"""Version of the text. Format 1 knew independent columns only, format 2 no cells of clipped values; a model without
such cells is still written as format 2, whose digest is then what it was."""

UNCLIPPED_FORMAT = 2

MAX_CELLS = 2**23
"""Public cap on the probabilities of a model in all: 64 MiB, which every sampling task receives."""

TOLERANCE = 1e-6
"""How far a distribution may be from summing to 1; sampling divides by the sum."""


@dataclass(frozen=True, eq=False)
class ColumnModel:
    """Distribution of one column given its parents.

    Attributes:
        name: Column.
        probabilities: Shape (cells,) without parents, else (product of the parents' groups, cells), row-major over the
            parents in their order. Cells are declared codes, or runs of the grid and perhaps what is clipped to its
            first and to its last value (`clipped`), then `other` and `missing`. Every row sums to 1, also that of a
            combination of parents which has probability 0.
        starts: For graded columns the grid index at which each run starts, shape (runs,), the first one 0; values
            are uniform inside a run. Of a column with parents or children the runs are the attribute's bins, or
            parts of them that share the bin's group. None for codes.
        count: Grid length of graded columns, else 0.
        parents: Columns that this one depends on.
        groups: Group of each cell, shape (cells,), numbered from 0: all that a child can tell of this column. Cells
            that too few rows have share a group, which keeps tables of several parents small. None where every cell
            is its own group.
    """

    name: str
    probabilities: npt.NDArray[np.float64]
    starts: npt.NDArray[np.int64] | None = None
    count: int = 0
    parents: tuple[str, ...] = ()
    groups: npt.NDArray[np.int64] | None = None

    @property
    def cells(self) -> int:
        """Number of cells of the column itself."""
        return int(self.probabilities.shape[-1])

    @property
    def clipped(self) -> bool:
        """Whether two cells, after the runs, are values beyond the bounds: they are drawn as the bounds."""
        return self.starts is not None and self.cells == len(self.starts) + 4

    @property
    def group_count(self) -> int:
        """Number of groups that children tell apart."""
        return self.cells if self.groups is None else int(self.groups.max()) + 1


@dataclass(frozen=True, eq=False)
class Model:
    """Columns in release order, and the order in which they are drawn.

    Attributes:
        synthesizer: What fitted it.
        domain_digest: The domain whose codes it speaks of.
        columns: One model a column.
        order: The same names, parents before their children.
    """

    synthesizer: str
    domain_digest: str
    columns: tuple[ColumnModel, ...]
    order: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks that the parts fit together.

        Raises:
            ValueError: They do not; the message names the column.
        """
        groups = {column.name: column.group_count for column in self.columns}
        if sorted(groups) != sorted(self.order) or len(groups) != len(self.columns):
            raise ValueError("a model's order must name each of its columns once")
        drawn: set[str] = set()
        for name in self.order:
            column = self.column(name)
            if not drawn.issuperset(column.parents) or len(set(column.parents)) != len(column.parents):
                raise ValueError(f"column '{name}' depends on a column that is not drawn before it, or on one twice")
            _check_column(column, groups)
            drawn.add(name)

    def column(self, name: str) -> ColumnModel:
        """The model of one column."""
        return next(column for column in self.columns if column.name == name)

    @property
    def cells(self) -> int:
        """Number of probabilities in all, to be compared with `MAX_CELLS`."""
        return sum(column.probabilities.size for column in self.columns)

    @cached_property
    def body(self) -> dict[str, Any]:
        """The model as plain JSON values; arrays are base64 of little-endian bytes."""
        return {
            "format": FORMAT if any(column.clipped for column in self.columns) else UNCLIPPED_FORMAT,
            "synthesizer": self.synthesizer,
            "domain_digest": self.domain_digest,
            "order": list(self.order),
            "columns": [
                {
                    "name": column.name,
                    "cells": column.cells,
                    "parents": list(column.parents),
                    "probabilities": _encode(column.probabilities, "<f8"),
                    "starts": None if column.starts is None else _encode(column.starts, "<i8"),
                    "count": column.count,
                    "groups": None if column.groups is None else _encode(column.groups, "<i8"),
                }
                for column in self.columns
            ],
        }

    @cached_property
    def text(self) -> str:
        """Canonical JSON: equal models are equal texts."""
        return json.dumps(self.body, sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def parse(cls, text: str, expected_digest: str | None = None) -> Model:
        """Inverse of `text`.

        Raises:
            IntegrityError: The digest does not fit, the format is unknown, or the parts do not fit together.
        """
        if expected_digest is not None and hashlib.sha256(text.encode()).hexdigest() != expected_digest:
            raise IntegrityError("the stored model does not have the digest of its manifest; do not use it")
        try:
            return cls.from_body(dict(json.loads(text)))
        except (TypeError, ValueError):
            raise IntegrityError("the stored model is not a JSON object; do not use it") from None

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Model:
        """Inverse of `body`.

        Raises:
            IntegrityError: The format is unknown, or the parts do not fit together.
        """
        found = body.get("format")
        if found not in (UNCLIPPED_FORMAT, FORMAT):
            known = f"{UNCLIPPED_FORMAT} and {FORMAT}"
            raise IntegrityError(f"model format {found} is unknown; this version reads formats {known}")
        try:
            columns = tuple(_column(part) for part in body["columns"])
            return cls(body["synthesizer"], body["domain_digest"], columns, tuple(body["order"]))
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(f"the stored model is damaged ({error}); do not use it") from None


def _check_column(column: ColumnModel, groups: Mapping[str, int]) -> None:
    given = int(np.prod([groups[parent] for parent in column.parents], dtype=np.int64))
    expected = (given, column.cells) if column.parents else (column.cells,)
    if column.probabilities.shape != expected or column.cells < 3:
        raise ValueError(f"column '{column.name}' has probabilities of shape {column.probabilities.shape}")
    sums = column.probabilities.sum(axis=-1)
    # Written so that NaN fails as well.
    if not (bool((column.probabilities >= 0).all()) and bool((np.abs(sums - 1) <= TOLERANCE).all())):
        raise ValueError(f"column '{column.name}' has probabilities that are negative or do not sum to 1")
    own = column.groups
    if own is not None and (own.shape != (column.cells,) or set(own.tolist()) != set(range(column.group_count))):
        raise ValueError(f"column '{column.name}' has groups that are not numbered from 0 without gaps")
    starts = column.starts
    if starts is None:
        return
    runs = (column.cells - 4,) if column.clipped else (column.cells - 2,)
    if starts.shape != runs or starts[0] != 0 or np.any(np.diff(starts, append=column.count) < 1):
        raise ValueError(f"column '{column.name}' has runs that are not ascending from 0 to {column.count - 1}")


def _column(part: Mapping[str, Any]) -> ColumnModel:
    parents = tuple(part["parents"])
    flat = _decode(part["probabilities"], "<f8")
    return ColumnModel(
        name=part["name"],
        probabilities=flat.reshape(-1, part["cells"]) if parents else flat,
        starts=None if part["starts"] is None else _decode(part["starts"], "<i8"),
        count=part["count"],
        parents=parents,
        groups=None if part["groups"] is None else _decode(part["groups"], "<i8"),
    )


def _encode(array: npt.NDArray[Any], kind: str) -> str:
    return base64.b64encode(array.astype(kind).tobytes()).decode("ascii")


def _decode(text: str, kind: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype=kind).astype(kind[1:])
