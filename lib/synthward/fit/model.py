"""The generative model: plain arrays, no pickle, stamped with a digest, loadable without Spark.

A model is publishable: it is a function of sealed noisy measurements and public constants only.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from synthward.errors import IntegrityError

FORMAT = 1


@dataclass(frozen=True, eq=False)
class ColumnModel:
    """Distribution of one column.

    Attributes:
        name: Column.
        probabilities: Shape (cells,): declared codes, or runs of the grid, then the shares of `other` and `missing`.
        starts: For graded columns the grid index at which each run starts, shape (cells - 2,); values are uniform
            inside a run. None for codes.
        count: Grid length of graded columns, else 0.
    """

    name: str
    probabilities: npt.NDArray[np.float64]
    starts: npt.NDArray[np.int64] | None = None
    count: int = 0


@dataclass(frozen=True, eq=False)
class Model:
    """Columns in release order.

    Attributes:
        synthesizer: What fitted it.
        domain_digest: The domain whose codes it speaks of.
        columns: One model a column; columns are independent of each other.
    """

    synthesizer: str
    domain_digest: str
    columns: tuple[ColumnModel, ...]

    def column(self, name: str) -> ColumnModel:
        """The model of one column."""
        return next(column for column in self.columns if column.name == name)

    @cached_property
    def text(self) -> str:
        """Canonical JSON; arrays as base64 of little-endian bytes, so that equal models are equal texts."""
        body = {
            "format": FORMAT,
            "synthesizer": self.synthesizer,
            "domain_digest": self.domain_digest,
            "columns": [
                {
                    "name": column.name,
                    "probabilities": _encode(column.probabilities, "<f8"),
                    "starts": None if column.starts is None else _encode(column.starts, "<i8"),
                    "count": column.count,
                }
                for column in self.columns
            ],
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":"))

    @cached_property
    def digest(self) -> str:
        """sha256 of the canonical text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @classmethod
    def parse(cls, text: str, expected_digest: str | None = None) -> Model:
        """Inverse of `text`.

        Raises:
            IntegrityError: The digest does not fit, or the format is unknown.
        """
        if expected_digest is not None and hashlib.sha256(text.encode()).hexdigest() != expected_digest:
            raise IntegrityError("the stored model does not have the digest of its manifest; do not use it")
        body: dict[str, Any] = json.loads(text)
        if body.get("format") != FORMAT:
            raise IntegrityError(f"model format {body.get('format')} is unknown; this version reads format {FORMAT}")
        columns = tuple(
            ColumnModel(
                name=part["name"],
                probabilities=_decode(part["probabilities"], "<f8"),
                starts=None if part["starts"] is None else _decode(part["starts"], "<i8"),
                count=part["count"],
            )
            for part in body["columns"]
        )
        return cls(body["synthesizer"], body["domain_digest"], columns)


def _encode(array: npt.NDArray[Any], kind: str) -> str:
    return base64.b64encode(array.astype(kind).tobytes()).decode("ascii")


def _decode(text: str, kind: str) -> npt.NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype=kind).astype(kind[1:])
