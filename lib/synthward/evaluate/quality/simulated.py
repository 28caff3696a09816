"""A simulated source: rows of a model that play the real rows, and seeded noise of the product's scales.

Nothing here can reach a patient. Rows come from a model, which is a function of sealed answers. `SimulatedSource`
answers the queries that a curator answers, by the same function (`privacy.answers`), about these rows only.

`SimulatedNoise` is no privacy noise: it has a seed and numpy's floats. It has no method `draw` and is no `NoiseSource`,
so that a curator cannot be given one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import square_of
from synthward.domain.spec import Date, Graded, Numeric
from synthward.privacy.answers import exact_answer
from synthward.privacy.measurement import Measurement, Round
from synthward.privacy.noise import NoiseCall
from synthward.privacy.queries import Base, Marginal, Population, Presence, Sum, needs
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.sample.drawn import DrawnRows

Integers = npt.NDArray[np.int64]


class SimulatedSource:
    """Answers rounds of queries about drawn rows.

    Patients need not be simulated one by one. What is measured are weighted counts, in which a patient with more than
    K rows counts like K, and a model is fitted to these: it is a model of weighted rows. So every drawn row weighs the
    same, all of them together as much as the source, and the number of patients is a number of its own.
    """

    def __init__(self, drawn: DrawnRows, weighted_rows: float, units: float, noise: SimulatedNoise) -> None:
        """Holds the rows.

        Args:
            drawn: Rows that play the real ones.
            weighted_rows: Rows that they stand for.
            units: Privacy units that they stand for.
            noise: Seeded noise.
        """
        self._drawn = drawn
        self._weight = max(1, round(WEIGHT_UNIT * weighted_rows / max(drawn.rows, 1)))
        self._units = max(0, round(units))
        self._noise = noise
        self._known: dict[Base, Integers] = {}

    def answer(self, asked: Round) -> tuple[Measurement, ...]:
        """Simulated noisy answers of a round."""
        found = []
        for item in asked.asked:
            exact = exact_answer(item.query, {base: self._exact(base) for base in needs(item.query)})
            found.append(Measurement(item, self._noise.disturbed(exact, item.call)))
        return tuple(found)

    def _exact(self, base: Base) -> Integers:
        if base not in self._known:
            self._known[base] = self._counted(base)
        return self._known[base]

    def _counted(self, base: Base) -> Integers:
        if isinstance(base, Population):
            return np.array([self._units * WEIGHT_UNIT], dtype=np.int64)
        if isinstance(base, Marginal):
            return self._drawn.table(base.clique).ravel() * self._weight
        places = self._drawn.places[base.attribute]
        present = places[places >= 0]
        if isinstance(base, Presence):
            return np.array([len(present) * self._weight], dtype=np.int64)
        attribute = self._drawn.books[base.attribute].attribute
        assert isinstance(attribute, Numeric | Date), "only graded columns have sums"
        values, shift = _quanta(attribute, present), attribute.fixed_point.shift
        if not isinstance(base, Sum):
            values = square_of(values, shift)
        return np.array([int(values.sum()) * self._weight // WEIGHT_UNIT], dtype=np.int64)


class SimulatedNoise:
    """Noise of a call's scale from a seeded generator: for simulated answers only, never for answers about patients."""

    def __init__(self, seed: np.random.SeedSequence) -> None:
        self._random = np.random.Generator(np.random.PCG64(seed))

    def disturbed(self, exact: Integers, call: NoiseCall) -> Integers:
        """Simulated answers with noise of the call's distribution, rounded; for exponential an index, shape (1,)."""
        if call.mechanism == "exponential":
            # The largest of scores with Gumbel noise is a draw of the exponential mechanism.
            return np.array([int(np.argmax(exact / call.scale + self._random.gumbel(size=exact.shape)))])
        drawn = self._random.laplace if call.mechanism == "laplace" else self._random.normal
        noise: Integers = np.rint(drawn(0.0, call.scale, exact.shape)).astype(np.int64)
        return exact + noise


def _quanta(attribute: Graded, places: npt.NDArray[np.int32]) -> Integers:
    """The fixed-point integer of every grid index; see `CodeBook.quantum_of`."""
    grid, scale = attribute.grid, attribute.fixed_point
    values = (places.astype(np.int64) * grid.step + grid.low) / grid.denominator
    clipped = np.clip(values, grid.low_float, grid.high_float)
    quanta: Integers = np.rint((clipped - scale.centre) * scale.per_unit).astype(np.int64)
    return np.clip(quanta, -scale.limit, scale.limit)
