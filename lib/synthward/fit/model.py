"""The generative model: plain arrays, no pickle, stamped with a digest, loadable without Spark.

A model is publishable: it is a function of sealed noisy measurements and public constants only. Columns are drawn one
after the other, each given some of the columns before it. A junction tree takes this form: every column is drawn given
the columns of its clique that are drawn already.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from synthward.errors import IntegrityError
from synthward.fit.convergence import Convergence
from synthward.fit.field_model import FieldModel, encoded

FORMATS = (2, 3, 4)
"""Versions of the text: 2 for independent columns and trees, 3 with a field, 4 where columns have cells of clipped
values, with or without a field. A model without such cells is written as before, so that its digest is what it was."""

WITHOUT_FIELD, WITH_FIELD, CLIPPED = FORMATS

MAX_CELLS = 2**23
"""Largest number of probabilities of a model: 64 MiB, which every sampling task receives."""

MAX_COUNT = 2**31
"""Longest grid of a column; places are 32-bit numbers."""

MAX_COLUMNS = 10_000
"""Columns of a model that is read."""

MAX_NAME = 1000
"""Characters of a name in a model that is read."""

TOLERANCE = 1e-6
"""The sum of a distribution may differ from 1 by this much; sampling divides by the sum."""


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
        groups: Group of each cell, shape (cells,), numbered from 0. A child depends on the group only. Rare cells share
            a group, which keeps tables of several parents small. None if every cell is its own group.
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
        synthesizer: Name of the synthesizer.
        domain_digest: Digest of the domain that its codes belong to.
        columns: One model a column.
        order: The same names, parents before their children.
        field: The joint part of a model without a tree. Then columns have no parents; `probabilities` are their shares
            by themselves. None for other models.
        convergence: How the fit ended; None where nothing was fitted by steps, and for models of earlier versions.
    """

    synthesizer: str
    domain_digest: str
    columns: tuple[ColumnModel, ...]
    order: tuple[str, ...]
    field: FieldModel | None = None
    convergence: Convergence | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit together.

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
        if self.field is not None:
            if any(column.parents for column in self.columns):
                raise ValueError("a model with a field has no columns with parents")
            self.field.check(groups)

    def column(self, name: str) -> ColumnModel:
        """The model of one column."""
        return next(column for column in self.columns if column.name == name)

    @property
    def cells(self) -> int:
        """Total number of probabilities and potentials; `MAX_CELLS` is the limit."""
        joint = 0 if self.field is None else self.field.cells
        return joint + sum(column.probabilities.size for column in self.columns)

    @property
    def _format(self) -> int:
        if any(column.clipped for column in self.columns):
            return CLIPPED
        return WITHOUT_FIELD if self.field is None else WITH_FIELD

    @cached_property
    def body(self) -> dict[str, Any]:
        """The model as plain JSON values; arrays are base64 of little-endian bytes."""
        columns = {
            "format": self._format,
            "synthesizer": self.synthesizer,
            "domain_digest": self.domain_digest,
            "order": list(self.order),
            "columns": [
                {
                    "name": column.name,
                    "cells": column.cells,
                    "parents": list(column.parents),
                    "probabilities": encoded(column.probabilities, "<f8"),
                    "starts": None if column.starts is None else encoded(column.starts, "<i8"),
                    "count": column.count,
                    "groups": None if column.groups is None else encoded(column.groups, "<i8"),
                }
                for column in self.columns
            ],
        }
        ended = {} if self.convergence is None else {"convergence": self.convergence.to_json()}
        return columns | ended | ({} if self.field is None else {"field": self.field.body()})

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
        return cls.from_body(json_object(text, "the stored model"))

    @classmethod
    def from_body(cls, body: object) -> Model:
        """Inverse of `body`; every number is compared with its limits before anything of its size is made.

        Args:
            body: What JSON gave, of any type.

        Raises:
            IntegrityError: The format is unknown, a part has another type or is beyond its limits, or the parts do not
                fit together.
        """
        try:
            body = _mapping(body, "model")
            found = require_format(body.get("format"), FORMATS, "model format")
            parts = _list(body, "columns", MAX_COLUMNS)
            order = _names(body, "order")
            room = MAX_CELLS
            columns = []
            for part in parts:
                column = _column(_mapping(part, "column"), room)
                room -= column.probabilities.size
                columns.append(column)
            has_field = found == WITH_FIELD or (found == CLIPPED and "field" in body)
            field = FieldModel.from_body(_mapping(body["field"], "field")) if has_field else None
            ended = body.get("convergence")
            record = None if ended is None else Convergence.from_json(_mapping(ended, "record of the fit"))
            return cls(_name(body, "synthesizer"), _name(body, "domain_digest"), tuple(columns), order, field, record)
        except (KeyError, TypeError, ValueError) as error:
            why = f"the key {error} is missing" if isinstance(error, KeyError) else str(error)
            raise IntegrityError(f"the stored model is damaged ({why}); do not use it") from None


def json_object(text: str, what: str) -> dict[str, Any]:
    """The JSON object of a text.

    Raises:
        IntegrityError: The text is not JSON, no object, or nested too deeply.
    """
    try:
        found = json.loads(text)
    except RecursionError:
        raise IntegrityError(f"{what} is nested too deeply; do not use it") from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise IntegrityError(f"{what} is not a JSON object; do not use it")
    return found


def require_format(found: object, known: tuple[int, ...], what: str) -> int:
    """Return a format that this version reads.

    Raises:
        IntegrityError: It is another one, or none.
    """
    if type(found) is int and found in known:
        return found
    shown = str(found) if type(found) is int and abs(found) < MAX_CELLS else "of the file"
    formats = f"format{'s' if len(known) > 1 else ''} {' and '.join(map(str, known))}"
    raise IntegrityError(f"{what} {shown} is unknown; this version reads {formats}")


def _check_column(column: ColumnModel, groups: Mapping[str, int]) -> None:
    given = math.prod(groups[parent] for parent in column.parents)
    expected = (given, column.cells) if column.parents else (column.cells,)
    if column.probabilities.shape != expected or column.cells < 3:
        raise ValueError(f"column '{column.name}' has probabilities of shape {column.probabilities.shape}")
    sums = column.probabilities.sum(axis=-1)
    # Written so that NaN fails as well.
    if not (bool((column.probabilities >= 0).all()) and bool((np.abs(sums - 1) <= TOLERANCE).all())):
        raise ValueError(f"column '{column.name}' has probabilities that are negative or do not sum to 1")
    own = column.groups
    if own is not None and own.size and (int(own.min()) < 0 or int(own.max()) >= column.cells):
        raise ValueError(f"column '{column.name}' has groups that are not numbered from 0 without gaps")
    if own is not None and (own.shape != (column.cells,) or set(own.tolist()) != set(range(column.group_count))):
        raise ValueError(f"column '{column.name}' has groups that are not numbered from 0 without gaps")
    starts = column.starts
    if starts is None:
        return
    # Looked at before their differences, which would pass through zero at the ends of 64 bits.
    if starts.size and (int(starts.min()) < 0 or int(starts.max()) >= column.count):
        raise ValueError(f"column '{column.name}' has runs that are not ascending from 0 to {column.count - 1}")
    runs = (column.cells - 4,) if column.clipped else (column.cells - 2,)
    if not starts.size or starts.shape != runs or starts[0] != 0 or np.any(np.diff(starts, append=column.count) < 1):
        raise ValueError(f"column '{column.name}' has runs that are not ascending from 0 to {column.count - 1}")


def _column(part: Mapping[str, Any], room: int) -> ColumnModel:
    """A column of a stored model.

    Args:
        part: Its JSON object.
        room: Probabilities that it may have.

    Raises:
        KeyError: A key is missing.
        ValueError: A value has another type or is beyond its limits.
    """
    name, parents = _name(part, "name"), _names(part, "parents")
    cells = _whole(part, "cells", 3, MAX_CELLS)
    flat = _decode(part, "probabilities", "<f8", room)
    if flat.size % cells:
        raise ValueError(f"column '{name[:60]}' has probabilities that are no whole number of its cells")
    starts = None if part["starts"] is None else _decode(part, "starts", "<i8", cells)
    groups = None if part["groups"] is None else _decode(part, "groups", "<i8", cells)
    return ColumnModel(
        name=name,
        probabilities=flat.reshape(-1, cells) if parents else flat,
        starts=starts,
        count=_whole(part, "count", 0 if starts is None else 1, 0 if starts is None else MAX_COUNT),
        parents=parents,
        groups=groups,
    )


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"the {what} is not a JSON object")
    return value


def _list(part: Mapping[str, Any], key: str, most: int) -> list[Any]:
    value = part[key]
    if not isinstance(value, list) or len(value) > most:
        raise ValueError(f"'{key}' is not a list of at most {most} entries")
    return value


def _name(part: Mapping[str, Any], key: str) -> str:
    value = part[key]
    if not isinstance(value, str) or len(value) > MAX_NAME:
        raise ValueError(f"'{key}' is not a text of at most {MAX_NAME} characters")
    return value


def _names(part: Mapping[str, Any], key: str) -> tuple[str, ...]:
    listed = _list(part, key, MAX_COLUMNS)
    return tuple(_name({key: one}, key) for one in listed)


def _whole(part: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = part[key]
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"'{key}' is not a whole number from {least} to {most}")
    return value


def _decode(part: Mapping[str, Any], key: str, kind: str, most: int) -> npt.NDArray[Any]:
    """An array of 8-byte numbers.

    Raises:
        KeyError: The key is missing.
        ValueError: It is not base64 of whole numbers of 8 bytes, or has more than `most`.
    """
    text = part[key]
    if not isinstance(text, str) or len(text) > -(-8 * most // 3) * 4:
        raise ValueError(f"'{key}' is not a base64 text of at most {most} numbers")
    content = base64.b64decode(text, validate=True)
    if len(content) % 8 or len(content) > 8 * most:
        raise ValueError(f"'{key}' is not a base64 text of at most {most} numbers")
    return np.frombuffer(content, dtype=kind).astype(kind[1:])
