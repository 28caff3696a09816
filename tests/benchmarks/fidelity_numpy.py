"""Answers rounds and draws rows without Spark: exact counts of codes, OpenDP's noise, the sampler's own blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.spec import Date, Numeric
from synthward.fit.base import Rounds, Task
from synthward.fit.model import Model
from synthward.privacy.answers import exact_answer
from synthward.privacy.measurement import Measurement, Round
from synthward.privacy.noise import NoiseSource, SecureNoise
from synthward.privacy.queries import Base, Marginal, Population, needs
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.sample.drawn import DrawnRows


class CodeCurator:
    """A stand-in for the curator; nothing is sealed.

    Attributes:
        books: Code books of the task's domain.
        codes: Codes of every row, by column.
        weights: What each row weighs, in 1/S.
    """

    def __init__(
        self, task: Task, codes: pd.DataFrame, noise: NoiseSource | None = None, units: np.ndarray | None = None
    ) -> None:
        """Holds the codes.

        Args:
            task: The task.
            codes: One column for each attribute.
            noise: OpenDP's unless a test brings its own.
            units: Number of each row's privacy unit, from 0; every row is one of its own unless given.
        """
        self._noise = SecureNoise() if noise is None else noise
        self.books = codebooks(task.domain)
        self.codes = {name: codes[name].to_numpy(np.int64) for name in self.books}
        owned = np.bincount(np.arange(len(codes)) if units is None else units)
        self._units = int(np.count_nonzero(owned))
        bound = task.unit.max_rows
        weights = np.where(owned <= bound, WEIGHT_UNIT, bound * WEIGHT_UNIT // np.maximum(owned, 1))
        # As doubles for `bincount`; sums of these integers stay far below 2^53.
        self.weights = (weights if units is None else weights[units]).astype(np.float64)
        self._known: dict[Base, np.ndarray] = {}

    def answer(self, asked: Round) -> tuple[Measurement, ...]:
        """Noisy answers of a round."""
        found = []
        for item in asked.asked:
            exact = exact_answer(item.query, {base: self._exact(base) for base in needs(item.query)})
            found.append(Measurement(item, self._noise.draw(item.query.label, exact, item.call)))
        return tuple(found)

    def _exact(self, base: Base) -> np.ndarray:
        if base not in self._known:
            self._known[base] = self._counted(base)
        return self._known[base]

    def _counted(self, base: Base) -> np.ndarray:
        if isinstance(base, Population):
            return np.array([self._units * WEIGHT_UNIT], dtype=np.int64)
        if not isinstance(base, Marginal):
            raise TypeError(f"the benchmark counts cells only, found {base.label}")
        place, cells = np.zeros(len(self.weights), dtype=np.int64), 1
        for name in base.clique:
            place = place * self.books[name].cells + self.codes[name]
            cells *= self.books[name].cells
        return np.bincount(place, self.weights, minlength=cells).astype(np.int64)


def driven(rounds: Rounds, curator: CodeCurator) -> tuple[Model, Round]:
    """The model of a synthesizer's rounds, and the last round that was asked."""
    answers: Any = None
    while True:
        try:
            asked = rounds.send(answers)
        except StopIteration as stop:
            model: Model = stop.value
            return model, asked
        answers = curator.answer(asked)


def drawn_codes(model: Model, books: Mapping[str, CodeBook], rows: int, seed: int) -> pd.DataFrame:
    """Rows of the model as codes."""
    columns = {}
    for name, places in DrawnRows.of(model, books, rows, seed).places.items():
        attribute = books[name].attribute
        graded = isinstance(attribute, Numeric | Date)
        columns[name] = np.searchsorted(attribute.grid.starts, places, side="right") - 1 if graded else places
    return pd.DataFrame(columns)
