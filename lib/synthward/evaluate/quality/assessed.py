"""The quality of a release as a statement about the real rows: replicates, distances and the error model of counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthward.domain.codes import codebooks
from synthward.evaluate.quality.bootstrap import Truth, replicates
from synthward.evaluate.quality.counts import count_errors
from synthward.evaluate.quality.distances import Expected, basis_of, expected_distances
from synthward.evaluate.tables import noisy_tables, rows_deviation, total_rows
from synthward.fit.base import Synthesizer, Task
from synthward.fit.model import Model
from synthward.privacy.measurement import Measurement
from synthward.privacy.queries import Clique, Population
from synthward.sample.counts import CountErrors


@dataclass(frozen=True, eq=False)
class Release:
    """A release to assess, in public terms.

    Attributes:
        synthesizer: The synthesizer of the release.
        task: What it was asked.
        rows: Its number of rows.
        seed: The release's public seed.
        replicates: Simulated releases, at least 2.
    """

    synthesizer: Synthesizer
    task: Task
    rows: int
    seed: int
    replicates: int


@dataclass(frozen=True, eq=False)
class Assessed:
    """What is expected of a release.

    Attributes:
        expected: Expected distance to the real rows of every column and pair.
        counts: How far off counts are.
    """

    expected: Mapping[Clique, Expected]
    counts: CountErrors


def assess(release: Release, model: Model, sealed: Sequence[Measurement], at_least: Mapping[Clique, float]) -> Assessed:
    """Simulates releases and says what to expect of this one; reads the model and sealed answers only.

    Args:
        release: The release.
        model: The published model.
        sealed: Sealed answers of the synthesizer's rounds.
        at_least: Distance of the release to sealed answers that noise does not explain, by measured column and pair.
    """
    books = codebooks(release.task.domain)
    noisy = tuple(noisy_tables(sealed, books).values())
    rows = total_rows(noisy)
    units = next(float(m.counts[0]) for m in sealed if isinstance(m.asked.query, Population))
    found = replicates(
        release.synthesizer,
        release.task,
        Truth(model, rows, max(units, 1.0)),
        release_rows=release.rows,
        seed=release.seed,
        count=release.replicates,
    )
    expected = expected_distances(found, basis_of(sealed, found[0].distances), at_least)
    return Assessed(expected, count_errors(found, expected, rows, rows_deviation(noisy)))
