"""The curator: the only holder of exact numbers, in driver memory, from its first pass until it is closed.

For each round, it checks the queries against the charge and looks for a seal. If there is no seal, it computes the
exact answers, adds noise and seals the result. It always returns what was read back from the seal (DESIGN 4.7). Nothing
between draw and seal branches on a value. No exact number is logged, raised or stored.

The first pass over the pinned source counts every clique that the synthesizer has announced. So later rounds are
answered from memory. A query that was not announced costs another pass, and so does a round about texts (`texts`).
A run that is resumed between two rounds reads the sealed rounds and makes one pass for the rest, under the same charge.

Guarantee: the noisy answers of all rounds together cost at most the charge given to the constructor. The reasons are:
every call carries the query's sensitivity bound (PROOFS.md, sections 1 to 4); charges come from the privacy map; and a
round that would exceed the charge is refused before any data is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.spec import Domain
from synthward.errors import IntegrityError
from synthward.measure.answers import cells_of, movable_of, refuse_too_many_cells
from synthward.measure.layout import Layout, collect_vector, exact_vector_frame
from synthward.measure.texts import released_texts
from synthward.privacy import discovery
from synthward.privacy.accounting import Charge, total
from synthward.privacy.answers import exact_answer
from synthward.privacy.discovery import AskedCategories
from synthward.privacy.measurement import Asked, Measurement, Round, pack, unpack
from synthward.privacy.noise import NoiseSource
from synthward.privacy.queries import Base, Clique, Marginal, Scores, Selection, needs
from synthward.privacy.sensitivity import bound
from synthward.privacy.unit import PrivacyUnit
from synthward.records.codec import recordable
from synthward.sources.reading import compared_after

if TYPE_CHECKING:
    import numpy as np
    from pyspark.sql import DataFrame

logger = logging.getLogger(__name__)
T = TypeVar("T")

ROWS_PER_TASK = 2**19
"""Declared rows for each task of the pass. A task holds its rows as words and codes, about 20 bytes for each row."""


class ExactVector(Protocol):
    """Makes one pass over the rows. See `exact_vector`."""

    def __call__(
        self, rows: DataFrame, books: Mapping[str, CodeBook], layout: Layout, unit: PrivacyUnit, tasks: int, /
    ) -> np.ndarray:
        """Return the exact vector. Its errors are passed on."""
        ...


class SealStore(Protocol):
    """Durable storage of a run's sealed rounds. The first seal of a step wins."""

    def find(self, step: str) -> tuple[dict[str, Any], bytes] | None:
        """Return body and payload of a sealed step; None if the step is not sealed."""
        ...

    def put(self, step: str, body: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Seal a step unless another driver has sealed it. Return the stored seal, ours or theirs."""
        ...


class RunStep(Protocol):
    """Runs a named part of a round and logs it. A test can stop the run after it."""

    def __call__(self, name: str, action: Callable[[], T], /) -> T:
        """Return the result of the action. Its errors are passed on."""
        ...


@dataclass(frozen=True)
class _Answers:
    """How the answers of a round are drawn, and what their seal holds; the two forms are vectors and texts.

    Attributes:
        facts: Public facts that the seal holds beside the queries.
        measure: Brings exact answers into memory, if they have to be there.
        draw: Draws the noisy answers and returns the payload of the seal.
        unpack: Reads the answers from the payload.
    """

    facts: dict[str, Any]
    measure: Callable[[], None]
    draw: Callable[[], bytes]
    unpack: Callable[[bytes], tuple[Measurement, ...]]


class Curator:
    """Answers rounds of queries about one pinned source under one charge."""

    def __init__(
        self,
        rows: Callable[[], DataFrame],
        domain: Domain,
        unit: PrivacyUnit,
        charge: Charge,
        seals: SealStore,
        noise: NoiseSource,
        *,
        tasks: int,
        check_source: Callable[[Exception | None], None],
        step: RunStep,
        cliques: Sequence[Clique] = (),
        curve_cells: int | None = None,
        exact_vector: ExactVector | None = None,
    ) -> None:
        """Remember the settings. The curator holds no data yet.

        Args:
            rows: Opens the pinned source: columns `c0`, ... in the order of the domain, and `unit`.
            domain: The requested attributes.
            unit: Privacy unit.
            charge: The run's charge in the ledger.
            seals: Stores the seals.
            noise: Noise source. Tests inject their own here.
            tasks: Number of partitions by unit. It is public.
            check_source: Raises an error if the source has changed since it was pinned, or is gone. See
                `compared_after`.
            step: Runs the parts of a round: aggregate, draw, seal.
            cliques: The announced cliques. Later rounds may ask about their marginals.
            curve_cells: Number of integers in the largest answer, if the exact Gaussian curve accounts for the run.
                Then every call must meet its conditions (PROOFS.md, section 4.8).
            exact_vector: Makes a pass; `exact_vector` of this module if left out.

        Raises:
            ConfigError: The announced marginals are too large to be counted or held.
        """
        self._rows = rows
        self._domain = domain
        self._books = codebooks(domain)
        self._unit = unit
        self._charge = charge
        self._seals = seals
        self._noise = noise
        self._tasks = tasks
        self._check_source = check_source
        self._step = step
        self._spent: list[Charge] = []
        self._announced = dict.fromkeys(Marginal(clique) for clique in cliques)
        self._curve_cells = curve_cells
        self._exact_vector = exact_vector
        self._exact: dict[Base, np.ndarray] = {}
        refuse_too_many_cells([query.clique for query in self._announced], self._books)

    def answer(self, asked: Round) -> tuple[Measurement, ...]:
        """Return the sealed noisy answers of a round, in its order.

        Raises:
            ConfigError: Marginals that were not announced make the exact vectors too large to be counted or held.
            IntegrityError: The charge does not cover the round, a sensitivity is too small, or the round contradicts
                its seal.
            SourceError: The source changed.
        """
        self._admit(asked)
        answers = self._answers_of(asked)
        sealed = self._seals.find(asked.step)
        if sealed is None:
            answers.measure()
            drawn = self._step("draw", answers.draw)
            facts = {"digest": asked.digest, "asked": [item.to_json() for item in asked.asked], **answers.facts}
            sealed = self._step("seal", lambda: self._seals.put(asked.step, facts, drawn))
        body, payload = sealed
        sizes = {key: body[key] for key in answers.facts}
        expected = recordable([item.to_json() for item in asked.asked])
        if _shape(body["asked"]) != _shape(expected) or sizes != answers.facts:
            raise IntegrityError(
                f"step '{asked.step}': its seal has other queries than this version of Synthward asks; resume the run "
                "with the version that started it, or start a run with a new key"
            )
        return answers.unpack(payload)

    def close(self) -> None:
        """Forget every exact number. A later round that is not sealed would cost another pass."""
        self._exact.clear()

    def _answers_of(self, asked: Round) -> _Answers:
        """Return how the answers of a round are drawn and what their seal holds.

        Raises:
            IntegrityError: The round mixes vectors and texts, or asks about texts of other columns than its table has.
        """
        items = asked.asked
        texts = [item for item in items if isinstance(item, AskedCategories)]
        if not texts:
            cells = [cells_of(item.query, self._books) for item in items]
            return _Answers(
                {"cells": cells},
                measure=lambda: self._measure(asked),
                draw=lambda: pack([self._draw(item) for item in items]),
                unpack=lambda payload: unpack(items, cells, payload),
            )
        if [item.query.column for item in texts] != list(self._books) or len(texts) != len(items):
            raise IntegrityError(
                f"step '{asked.step}' asks about texts beside other queries, or about other columns than its table "
                "has; this is a defect of the program of rounds"
            )
        return _Answers(
            {},
            # Counts of texts are never all in memory: each chunk is drawn as it comes.
            measure=lambda: logger.info("step %s: one pass for texts of %d columns", asked.step, len(texts)),
            draw=lambda: self._draw_texts(texts),
            unpack=lambda payload: discovery.unpack(texts, payload),
        )

    def _admit(self, asked: Round) -> None:
        """Refuse a round that its charge or its sensitivities do not cover, before any data is read."""
        for item in asked.asked:
            self._admit_query(item)
        spent = total([*self._spent, asked.charge])
        if not self._charge.covers(spent):
            raise IntegrityError(
                f"step '{asked.step}' would spend more than the run was charged; this is a defect of the synthesizer"
            )
        self._spent.append(asked.charge)

    def _admit_query(self, item: Asked) -> None:
        query, call = item.query, item.call
        if (call.mechanism == "exponential") != isinstance(query, Selection):
            raise IntegrityError(
                f"{query.label} cannot be answered by the mechanism {call.mechanism}; this is a defect of the "
                "synthesizer"
            )
        needed = bound(query, self._unit, self._domain, call.mechanism)
        if call.sensitivity != needed:
            raise IntegrityError(
                f"{query.label} has sensitivity {needed}, but its noise was calibrated for {call.sensitivity}; this is "
                "a defect of the synthesizer"
            )
        if self._curve_cells is not None and not self._on_curve(item, self._curve_cells):
            raise IntegrityError(
                f"{query.label} does not meet the conditions of the exact Gaussian curve; this is a defect of the "
                "synthesizer"
            )
        if isinstance(query, Scores | Selection):
            expected = [cells_of(base, self._books) for base in needs(query)]
            if [len(prediction) for prediction in query.predictions] != expected:
                raise IntegrityError(
                    f"{query.label} has predictions with other numbers of cells than its cliques; this is a defect of "
                    "the synthesizer"
                )

    def _on_curve(self, item: Asked, largest: int) -> bool:
        fits = item.call.mechanism == "gaussian" and item.query.IN_WEIGHTS
        return fits and movable_of(item.query, self._books) <= largest

    def _measure(self, asked: Round) -> None:
        """Make at most one pass over the source, so that all exact vectors of the round are in memory."""
        wanted = dict.fromkeys(base for item in asked.asked for base in needs(item.query))
        if all(base in self._exact for base in wanted):
            return
        missing = [base for base in wanted | self._announced if base not in self._exact]
        held = {base.clique for base in [*self._exact, *missing] if isinstance(base, Marginal)}
        refuse_too_many_cells(held, self._books)
        layout = Layout.of(missing, self._books)
        logger.info("step %s: one pass over the source for %d exact answers", asked.step, len(missing))
        vector = self._step("aggregate", lambda: self._aggregate(layout))
        vector.flags.writeable = False  # several rounds read it
        self._exact |= {base: vector[layout.part(base)] for base in missing}

    def _aggregate(self, layout: Layout) -> np.ndarray:
        with compared_after(self._check_source):
            make = exact_vector if self._exact_vector is None else self._exact_vector
            return make(self._rows(), self._books, layout, self._unit, self._tasks)

    def _draw_texts(self, asked: Sequence[AskedCategories]) -> bytes:
        with compared_after(self._check_source):
            return discovery.pack(asked, released_texts(self._rows(), asked, self._noise))

    def _draw(self, item: Asked) -> Measurement:
        exact = exact_answer(item.query, self._exact)
        return Measurement(item, self._noise.draw(item.query.label, exact, item.call))


def exact_vector(
    rows: DataFrame, books: Mapping[str, CodeBook], layout: Layout, unit: PrivacyUnit, tasks: int
) -> np.ndarray:
    """Make one pass over the rows. Return the exact vector. See `layout.exact_vector_frame` for the arguments."""
    return collect_vector(exact_vector_frame(rows, books, layout, unit, tasks), layout.cells)


def _shape(asked: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return queries and noise without the content of predictions.

    Predictions come from a fit, and its floats differ between kinds of processors. A sealed answer belongs to the
    predictions in its seal. A driver with slightly different predictions uses the sealed answer too, because a step is
    never drawn again.
    """
    return [_without_predictions(item) for item in asked]


def _without_predictions(item: dict[str, Any]) -> dict[str, Any]:
    subject = item["subject"]
    return item | {"subject": subject["cliques"]} if isinstance(subject, dict) else item


def public_tasks(declared_rows: int) -> int:
    """Return the number of partitions by unit. It depends on the declared size only, never on data."""
    return max(2, min(8192, -(-declared_rows // ROWS_PER_TASK)))
