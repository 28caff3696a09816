"""The questions that may be asked of protected data, as public values.

A query class carries all public facts about its kind: label, columns, unit, number of cells, description. How much one
privacy unit can change the exact answer and how the answer is computed are in `sensitivity`, `kernels` and `measure`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from synthward.config.canonical import canonical_json

Clique = tuple[str, ...]
Predictions = tuple[npt.NDArray[np.int64], ...]

MAX_PREDICTED = 2**61
"""Bound of the summed absolute predictions of one clique: with counts of at most 2^60 no error can leave 62 bits."""


class _Facts:
    """What every query says of itself; here as it is for one number about all units.

    Attributes:
        KIND: Name of the kind in descriptions, records and reports.
        IN_WEIGHTS: Whether the integers of the answer are in units of 1/S: of a row, or of a privacy unit for the
            population. If not, they are in the unit of an attribute, or an index.
    """

    KIND: ClassVar[str]
    IN_WEIGHTS: ClassVar[bool] = True

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the answer is about; none for the population and for answers about many cliques."""
        return ()

    @property
    def subject(self) -> Any:
        """What the query is about, in the canonical description; predictions by the digest of their content."""
        return None

    def cells(self, sizes: Mapping[str, int]) -> int:  # noqa: ARG002 - other kinds look at it
        """Number of integers in the answer.

        >>> Marginal(("sex", "age")).cells({"sex": 4, "age": 6})
        24

        Args:
            sizes: Number of codes of each of `columns`.
        """
        return 1

    def movable(self, sizes: Mapping[str, int]) -> int:
        """Number of integers of the answer that one privacy unit can change.

        Args:
            sizes: See `cells`.
        """
        return self.cells(sizes)


class _OfAttribute(_Facts):
    """Facts of a query that is about one graded attribute."""

    attribute: str

    @property
    def columns(self) -> tuple[str, ...]:
        """See `_Facts`."""
        return (self.attribute,)

    @property
    def subject(self) -> Any:
        """See `_Facts`."""
        return self.attribute


class _OfPredictions(_Facts):
    """Facts of a query that compares predictions of many cliques with the exact answers."""

    cliques: tuple[Clique, ...]
    digest: Any

    @property
    def subject(self) -> Any:
        """See `_Facts`."""
        return {"cliques": [list(clique) for clique in self.cliques], "digest": self.digest}


@dataclass(frozen=True)
class Population(_Facts):
    """Number of privacy units with at least one row, in units of 1/S: S times that number."""

    KIND: ClassVar[str] = "population"

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return "population"


@dataclass(frozen=True)
class Marginal(_Facts):
    """Weighted counts of the cells of a clique of columns, in units of 1/S."""

    clique: Clique
    KIND: ClassVar[str] = "marginal"

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"marginal({', '.join(self.clique)})"

    @property
    def columns(self) -> tuple[str, ...]:
        """See `_Facts`."""
        return self.clique

    @property
    def subject(self) -> Any:
        """See `_Facts`."""
        return list(self.clique)

    def cells(self, sizes: Mapping[str, int]) -> int:
        """See `_Facts`."""
        return prod(sizes[name] for name in self.clique)


@dataclass(frozen=True)
class Presence(_OfAttribute):
    """Weighted count of rows that have a value of a graded attribute, in units of 1/S."""

    attribute: str
    KIND: ClassVar[str] = "presence"

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"presence({self.attribute})"


@dataclass(frozen=True)
class Sum(_OfAttribute):
    """Weighted sum of the centred fixed-point values of a graded attribute."""

    attribute: str
    KIND: ClassVar[str] = "sum"
    IN_WEIGHTS: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"sum({self.attribute})"


@dataclass(frozen=True)
class SquareSum(_OfAttribute):
    """Weighted sum of the integer squares of the centred fixed-point values of a graded attribute."""

    attribute: str
    KIND: ClassVar[str] = "square_sum"
    IN_WEIGHTS: ClassVar[bool] = False

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"square_sum({self.attribute})"


@dataclass(frozen=True, eq=False)
class Scores(_OfPredictions):
    """How far predictions are from the weighted counts: the L1 error of each clique, in units of 1/S.

    Entry i of the answer is the sum over the cells of clique i of `|exact - prediction|`. Predictions are public: a
    function of sealed answers. A driver with another kind of processor may come to slightly others when it resumes a
    run; what is sealed is not asked again for that.

    Attributes:
        cliques: The candidates, each with its prediction.
        predictions: One vector of integers in 1/S for each clique, row-major like a marginal's cells; kept as
            read-only copies.
    """

    cliques: tuple[Clique, ...]
    predictions: Predictions
    KIND: ClassVar[str] = "scores"

    def __post_init__(self) -> None:
        object.__setattr__(self, "predictions", _frozen(self.cliques, self.predictions))

    @cached_property
    def digest(self) -> str:
        """sha256 of cliques and predictions; what equality and hash rest on."""
        return _digest(self.KIND, self.cliques, self.predictions)

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"scores({len(self.cliques)} cliques, {self.digest[:16]})"

    def cells(self, sizes: Mapping[str, int]) -> int:  # noqa: ARG002 - one score for each clique
        """See `_Facts`."""
        return len(self.cliques)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scores) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True, eq=False)
class Selection(_OfPredictions):
    """Which clique is predicted worst: the index of one, drawn by the exponential mechanism.

    The score of clique i is `weights[i]` times its L1 error as in `Scores`, plus `offsets[i]`. The answer is one
    integer, the index.

    Attributes:
        cliques: The candidates.
        predictions: See `Scores`.
        weights: Public, at least 1; one unit changes score i by at most `weights[i] * K * S`.
        offsets: Public integers in 1/S, of either sign: what a score has beside its error. They move with no data.
    """

    cliques: tuple[Clique, ...]
    predictions: Predictions
    weights: tuple[int, ...]
    offsets: tuple[int, ...]
    KIND: ClassVar[str] = "selection"
    IN_WEIGHTS: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "predictions", _frozen(self.cliques, self.predictions))
        if len(self.weights) != len(self.cliques) or any(type(w) is not int or w < 1 for w in self.weights):
            raise ValueError("a selection needs one integer weight of at least 1 for each clique")
        if len(self.offsets) != len(self.cliques) or any(type(offset) is not int for offset in self.offsets):
            raise ValueError("a selection needs one integer offset for each clique")

    @cached_property
    def digest(self) -> str:
        """sha256 of cliques, predictions, weights and offsets; what equality and hash rest on."""
        return _digest(self.KIND, self.cliques, self.predictions, self.weights, self.offsets)

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"selection({len(self.cliques)} cliques, {self.digest[:16]})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Selection) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)


@dataclass(frozen=True)
class Categories(_Facts):
    """Number of privacy units that keep each text of a column, in units of 1/S; no public list names the texts.

    A unit keeps at most `per_patient` of its texts. The answer is thresholded, so it names `at_most` texts or fewer.

    Attributes:
        column: The column.
        pattern: What such a text looks like as a whole, in the language of `domain.patterns`.
        listed: Texts that are known already. They are not counted.
        at_most: Largest number of texts in the answer.
        per_patient: K0, the largest number of texts that one unit keeps.
    """

    column: str
    pattern: str
    listed: tuple[str, ...]
    at_most: int
    per_patient: int
    KIND: ClassVar[str] = "categories"

    @property
    def label(self) -> str:
        """Unique, readable name."""
        return f"categories({self.column})"

    @property
    def columns(self) -> tuple[str, ...]:
        """See `_Facts`."""
        return (self.column,)

    @property
    def subject(self) -> Any:
        """See `_Facts`."""
        return self.column

    def cells(self, sizes: Mapping[str, int]) -> int:  # noqa: ARG002 - texts have no codes
        """Largest number of integers in the answer; the number that comes out depends on the draw."""
        return self.at_most

    def movable(self, sizes: Mapping[str, int]) -> int:  # noqa: ARG002 - a unit keeps texts, whatever their number
        """See `_Facts`. The rule is about exact counts, before the threshold (PROOFS.md, section 8.7)."""
        return self.per_patient


Base = Population | Marginal | Presence | Sum | SquareSum
"""Queries that a pass over the source answers with a vector; predictions and choices are functions of vectors."""

Query = Base | Scores | Selection | Categories


def needs(query: Query) -> tuple[Base, ...]:
    """The vectors of a pass that a query is computed from; none for texts, which have a pass of their own."""
    if isinstance(query, Scores | Selection):
        return tuple(Marginal(clique) for clique in query.cliques)
    return () if isinstance(query, Categories) else (query,)


def _frozen(cliques: Sequence[Clique], predictions: Sequence[npt.NDArray[np.int64]]) -> Predictions:
    if not cliques or len(cliques) != len(predictions):
        raise ValueError(f"{len(cliques)} cliques with {len(predictions)} predictions; each needs one")
    copies = []
    for clique, prediction in zip(cliques, predictions, strict=True):
        if prediction.dtype != np.int64 or prediction.ndim != 1:
            raise ValueError(f"the prediction of {clique} must be a vector of int64, found {prediction.dtype}")
        # In doubles, since a sum of int64 could wrap around and pass.
        if float(np.abs(prediction.astype(np.float64)).sum()) >= MAX_PREDICTED:
            raise ValueError(f"the prediction of {clique} is 2^61 or more in sum; predictions are in 1/S of a row")
        copy = prediction.copy()
        copy.flags.writeable = False
        copies.append(copy)
    return tuple(copies)


def _digest(kind: str, cliques: Sequence[Clique], predictions: Predictions, *numbers: Sequence[int]) -> str:
    shape = [[list(clique), len(vector)] for clique, vector in zip(cliques, predictions, strict=True)]
    listed = [list(each) for each in numbers]
    state = hashlib.sha256(canonical_json({"kind": kind, "shape": shape, "numbers": listed}).encode())
    for vector in predictions:
        state.update(vector.astype("<i8").tobytes())
    return state.hexdigest()
