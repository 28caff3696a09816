"""The curator: the only holder of exact numbers, in driver memory, between aggregate and seal.

For each round it checks the queries against the charge, looks for a seal, and only if there is none runs one pass over
the pinned source, adds noise and seals the result. What it returns is always what was read back from the seal
(DESIGN 4.7). Nothing between draw and seal branches on a value, and no exact number is logged, raised or stored.

Guarantee: the noisy answers of all rounds together cost at most the charge given to the constructor, because every
call carries the query's sensitivity bound (PROOFS.md, sections 1 to 4), charges are what the privacy map says, and a
round that would exceed the charge is refused before any data is read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from synthward.domain.cells import tables
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.errors import IntegrityError
from synthward.measure.layout import Layout, collect_vector, exact_vector_frame
from synthward.privacy.accounting import Charge, total
from synthward.privacy.measurement import Asked, Measurement, Round, pack, unpack
from synthward.privacy.noise import NoiseSource
from synthward.privacy.queries import Marginal
from synthward.privacy.sensitivity import bound
from synthward.privacy.unit import PrivacyUnit

if TYPE_CHECKING:
    import numpy as np
    from pyspark.sql import DataFrame

logger = logging.getLogger(__name__)

ROWS_PER_TASK = 2**19
"""Declared rows for each task of the pass: tasks hold their rows as words and codes, about 20 bytes a row."""


class SealStore(Protocol):
    """Durable, first-wins storage of a run's sealed rounds."""

    def find(self, step: str) -> tuple[dict[str, Any], bytes] | None:
        """Body and payload of a sealed step, or None."""
        ...

    def put(self, step: str, body: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
        """Seals a step unless somebody else has; returns what is stored, ours or theirs."""
        ...


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
        check_source: Callable[[], None],
        on_step: Callable[[str], None],
    ) -> None:
        """Holds no data yet.

        Args:
            rows: Opens the pinned source: columns `c0`, ... and `unit`.
            domain: The requested attributes.
            unit: Privacy unit.
            charge: What the ledger has been charged for this run.
            seals: Where rounds are sealed.
            noise: Noise source; tests inject theirs here.
            tasks: Partitions by unit, a public number.
            check_source: Raises if the source has changed since it was pinned.
            on_step: Called with a step's name after it; tests stop the run there.
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
        self._on_step = on_step
        self._spent: list[Charge] = []

    def answer(self, asked: Round) -> tuple[Measurement, ...]:
        """Sealed noisy answers of a round, in its order.

        Raises:
            IntegrityError: The round is outside of the charge, understates a sensitivity, or contradicts its seal.
            SourceError: The source changed.
        """
        self._admit(asked)
        cells = self._cells(asked)
        sealed = self._seals.find(asked.step)
        if sealed is None:
            exact = self._aggregate(asked)
            self._on_step("aggregate")
            payload = pack(self._draw(asked, exact))
            del exact
            self._on_step("draw")
            body = {"digest": asked.digest, "asked": [item.to_json() for item in asked.asked], "cells": cells}
            sealed = self._seals.put(asked.step, body, payload)
            self._on_step("seal")
        body, payload = sealed
        if body["digest"] != asked.digest or body["cells"] != cells:
            raise IntegrityError(
                f"step '{asked.step}' is sealed with other queries than this version of Synthward asks; resume the run "
                "with the version that started it, or start a run with a new key"
            )
        return unpack(asked.asked, cells, payload)

    def _admit(self, asked: Round) -> None:
        """Refuses, before any data is read, a round that its charge or its sensitivities do not cover."""
        for item in asked.asked:
            needed = bound(item.query, self._unit, self._domain)
            if item.call.sensitivity != needed:
                raise IntegrityError(
                    f"{item.query.label} has sensitivity {needed}, but its noise was calibrated for "
                    f"{item.call.sensitivity}; this is a defect of the synthesizer"
                )
        spent = total([*self._spent, asked.charge])
        covered = spent.nano_rho <= self._charge.nano_rho and spent.atto_delta <= self._charge.atto_delta
        if self._charge.nano_epsilon is not None:
            covered = covered and spent.nano_epsilon is not None and spent.nano_epsilon <= self._charge.nano_epsilon
        if not covered:
            raise IntegrityError(
                f"step '{asked.step}' would spend more than the run was charged; this is a defect of the synthesizer"
            )
        self._spent.append(asked.charge)

    def _cells(self, asked: Round) -> list[int]:
        queries = [item.query for item in asked.asked]
        return [tables(self._books, [query.clique])[0].cells if isinstance(query, Marginal) else 1 for query in queries]

    def _aggregate(self, asked: Round) -> Mapping[Asked, np.ndarray]:
        layout = Layout.of([item.query for item in asked.asked], self._books)
        logger.info("step %s: one pass over the source for %d queries", asked.step, len(asked.asked))
        frame = exact_vector_frame(self._rows(), self._books, layout, self._unit, self._tasks)
        vector = collect_vector(frame, layout.cells)
        self._check_source()
        return {item: vector[layout.part(item.query)] for item in asked.asked}

    def _draw(self, asked: Round, exact: Mapping[Asked, np.ndarray]) -> list[Measurement]:
        return [Measurement(item, self._noise.draw(item.query.label, exact[item], item.call)) for item in asked.asked]


def public_tasks(declared_rows: int) -> int:
    """Partitions by unit: a function of the declared size only, so that nothing about it depends on data."""
    return max(2, min(8192, -(-declared_rows // ROWS_PER_TASK)))
