"""Several rounds over one real source: one pass, resumed anywhere, and nothing but noise tells a neighbour."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recorded import RecordingNoise, ReplayNoise
from synthward.domain.codes import codebooks
from synthward.measure.answers import cells_of
from synthward.measure.curator import Curator
from synthward.privacy.accounting import total
from synthward.privacy.calibration import calibrated
from synthward.privacy.measurement import Asked, Measurement, Round
from synthward.privacy.noise import NoiseSource
from synthward.privacy.queries import Clique, Marginal, Population, Query, Scores, Selection, Sum
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.run.plan import Plan
from synthward.sources import reading as source
from synthward.sources.patient import source_rows
from trial import VISITS, MemorySeals, NoNoise, TestSite, plan_of, stepping, visits

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect

CLIQUES: tuple[Clique, ...] = (("sex",), ("age",), ("age", "sex"))
SHARE = 10**8
"""nano-rho of each call."""

CALLS = 9

OFFSETS = (0, -5 * WEIGHT_UNIT, 3 * WEIGHT_UNIT)


class Rounds:
    """A synthesizer of three rounds; what the later ones ask depends on what the earlier ones answered."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.books = codebooks(plan.domain)

    def rounds(self) -> Generator[Round, Sequence[Measurement], list[int]]:
        """Columns and a sum; scores against them; a choice by scores, with the table that scored worst."""
        columns = yield self._round("columns", Population(), Marginal(("sex",)), Marginal(("age",)), Sum("age"))
        population = int(columns[0].values[0])
        [errors] = yield self._round("scores", Scores(CLIQUES, self._predicted(population)))
        worst = CLIQUES[int(np.argmax(errors.values))]
        chosen = yield self._round(
            "choice", Selection(CLIQUES, self._predicted(0), (1, 2, 3), OFFSETS), Marginal(worst)
        )
        pairs = yield self._round("pairs", Marginal(CLIQUES[2]), Marginal(CLIQUES[int(chosen[0].values[0])]))
        return [int(value) for measurement in (*columns, errors, *chosen, *pairs) for value in measurement.values]

    def _predicted(self, population: int) -> tuple[np.ndarray, ...]:
        rows = population // WEIGHT_UNIT * WEIGHT_UNIT
        sizes = [cells_of(Marginal(clique), self.books) for clique in CLIQUES]
        return tuple(np.full(size, rows // size // WEIGHT_UNIT * WEIGHT_UNIT, dtype=np.int64) for size in sizes)

    def _round(self, step: str, *queries: Query) -> Round:
        task = self.plan.task
        unique = tuple(dict.fromkeys(queries))
        calls = [calibrated(query, task.unit, task.domain, "gaussian", SHARE) for query in unique]
        return Round(step, tuple(Asked(query, call) for query, call in zip(unique, calls, strict=True)))


class Drive:
    """One driver: a curator over the site's source, and how often it opened the source."""

    def __init__(self, spark: SparkSession, plan: Plan, noise: NoiseSource, seals: MemorySeals) -> None:
        pinned = source.pin(spark, plan.file)
        books = codebooks(plan.domain)
        self.passes = 0
        self.plan = plan

        def rows() -> object:
            self.passes += 1
            return source_rows(spark, pinned, plan.file, books)

        most = calibrated(Population(), plan.task.unit, plan.domain, "gaussian", SHARE).charge
        self.curator = Curator(
            rows=rows,  # type: ignore[arg-type]
            domain=plan.domain,
            unit=plan.task.unit,
            charge=total([most] * (CALLS + 1)),
            seals=seals,
            noise=noise,
            tasks=2,
            check_source=lambda failure: source.check_unchanged(spark, pinned, failure),
            step=stepping(),
            cliques=CLIQUES,
        )

    def run(self, rounds: int = 4) -> tuple[list[str], list[int]]:
        """Digests of the rounds asked, and everything that was answered; stops after that many rounds."""
        asking = Rounds(self.plan).rounds()
        asked, digests = next(asking), []
        while True:
            digests.append(asked.digest)
            answers = self.curator.answer(asked)
            if len(digests) == rounds < 4:
                return digests, []
            try:
                asked = asking.send(answers)
            except StopIteration as finished:
                self.curator.close()
                return digests, finished.value


@pytest.fixture
def drive(spark: SparkSession, tmp_path: Path) -> Callable[..., Drive]:
    """Makes drivers for sources by name; each source is written once."""
    sites: dict[str, TestSite] = {}

    def make(name: str, rows: list[tuple], noise: NoiseSource, seals: MemorySeals | None = None) -> Drive:
        if name not in sites:
            sites[name] = TestSite(tmp_path / name)
            sites[name].write(spark, rows, VISITS)
        site = sites[name]
        plan = plan_of(site, site.request(privacy={"mechanism": "gaussian", "epsilon": 50, "delta": 1e-7}))
        return Drive(spark, plan, noise, MemorySeals() if seals is None else seals)

    return make


@pytest.mark.slow_on_connect
def test_rounds_replayed_on_a_neighbour(drive: Callable[..., Drive]) -> None:
    """Same questions in the same order, every difference within its bound; the heaviest patient is missing."""
    noise = RecordingNoise()
    whole = drive("whole", visits(8), noise)
    digests, answers = whole.run()
    assert whole.passes == 1
    kinds = {call.label.partition("(")[0] for call in noise.calls}
    assert kinds == {"population", "marginal", "sum", "scores", "selection"}
    replayed = ReplayNoise(noise.calls)
    less = drive("less", [row for row in visits(8) if row[0] != 1005], replayed)
    assert less.run() == (digests, answers)
    assert replayed.place == len(noise.calls)
    assert replayed.moved == len(noise.calls)


def test_rounds_resumed_anywhere_give_what_one_driver_gives(drive: Callable[..., Drive]) -> None:
    """Without noise, so that a second pass over the pinned source must find the same numbers."""
    expected = drive("whole", visits(8), NoNoise()).run()
    seals = MemorySeals()
    for rounds in (1, 2, 3, 4):
        driver = drive("whole", visits(8), NoNoise(), seals)
        found = driver.run(rounds)
        assert driver.passes == 1  # for the one round that was not sealed
        assert found[0] == expected[0][:rounds]
    assert found == expected
    last = drive("whole", visits(8), NoNoise(), seals)
    assert last.run() == expected
    assert last.passes == 0
