"""Parametric bootstrap: how far a release is from the real rows, without touching them again.

The published model plays the truth. A table is drawn from it. The product measures this table with noise of the same
scales, fits a model again, and draws a release from it. The distance between the two tables is known. It is what the
distance between the release and the real rows is expected to be.

Guarantee: post-processing. The model and the sealed answers are the only inputs that depend on patients. Chance comes
from a public seed. Nothing that reads a source is imported (`tool.importlinter`, contract "quality"). So nothing is
charged. PROOFS.md, section 6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from synthward.domain.codes import codebooks
from synthward.evaluate.quality.questions import Trial, trials
from synthward.evaluate.quality.simulated import SimulatedNoise, SimulatedSource
from synthward.evaluate.quality.tables import effective_cells, judged, shown_codes, total_variation
from synthward.fit.base import Synthesizer, Task, driven
from synthward.fit.model import Model
from synthward.privacy.measurement import Measurement
from synthward.privacy.queries import Clique
from synthward.sample.drawn import DrawnRows

MOST_ROWS = 2**16
"""Rows of a simulated table, and of a simulated release, at most. Each row then weighs more, so that noise is as large
beside the counts as it is in the source."""

_STREAM = 0xB007
"""Keeps the chance of replicates apart from that of the release, which has the same public seed."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What plays the real rows.

    Attributes:
        model: The published model.
        weighted_rows: Noisy number of rows of the source, with the weights of the contribution bound.
        units: Noisy number of privacy units.
    """

    model: Model
    weighted_rows: float
    units: float


@dataclass(frozen=True, eq=False)
class Replicate:
    """One simulated release against the rows that it was made from.

    Attributes:
        distances: Total variation distance of every column and pair.
        trials: Counts of some conditions in both.
        cells: Effective number of cells that differ, of every column and pair.
    """

    distances: Mapping[Clique, float]
    trials: Sequence[Trial]
    cells: Mapping[Clique, float]


def replicates(
    synthesizer: Synthesizer, task: Task, truth: Truth, *, release_rows: int, seed: int, count: int
) -> tuple[Replicate, ...]:
    """Simulates releases.

    Args:
        synthesizer: The synthesizer of the release.
        task: What it was asked.
        truth: What plays the real rows.
        release_rows: Rows of the release.
        seed: Public seed.
        count: Number of replicates; each takes about as long as the fit.
    """
    chances = [np.random.SeedSequence(seed, spawn_key=(_STREAM, number)) for number in range(count)]
    return tuple(_replicate(synthesizer, task, truth, _capped(release_rows), chance) for chance in chances)


def _replicate(
    synthesizer: Synthesizer, task: Task, truth: Truth, release_rows: int, chance: np.random.SeedSequence
) -> Replicate:
    books = codebooks(task.domain)
    first, second, third = (int(word) for word in chance.generate_state(3))
    real = DrawnRows.of(truth.model, books, _capped(truth.weighted_rows), first)
    noise = SimulatedNoise(chance.spawn(1)[0])
    fitted, _ = refitted(synthesizer, task, SimulatedSource(real, truth.weighted_rows, truth.units, noise))
    released = DrawnRows.of(fitted, books, release_rows, second)
    one, two = shown_codes(real), shown_codes(released)
    distances, cells = {}, {}
    for clique in judged(books):
        shares = real.table(clique, one) / real.rows, released.table(clique, two) / released.rows
        distances[clique], cells[clique] = total_variation(*shares), effective_cells(*shares)
    return Replicate(distances, trials(books, one, two, np.random.Generator(np.random.PCG64(third))), cells)


def refitted(synthesizer: Synthesizer, task: Task, source: SimulatedSource) -> tuple[Model, tuple[Measurement, ...]]:
    """The product's own rounds and fit on simulated answers; the model, and the answers."""
    return driven(synthesizer.rounds(task), source.answer)


def _capped(rows: float) -> int:
    return max(1, min(MOST_ROWS, round(rows)))
