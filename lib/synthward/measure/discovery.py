"""The other part of the curator: it finds the texts of a column that many patients have.

This is like `Curator.answer`, for questions whose answers have no public cells. It checks a round against the charge
and looks for a seal. If there is no seal, it counts, adds noise, keeps the texts above the threshold, and seals them.
It returns what was read back from the seal.

Exact counts pass through the driver in chunks, and each chunk is forgotten. Every text that a patient keeps gets noise,
because dropping rare texts before the noise would need its own proof. Texts that are not released, and their number,
appear nowhere: not in a log, an error or a seal. The size of the seal is public and does not depend on the result.

Guarantee: the guarantee of the round (PROOFS.md, section 8). Counts are of distinct patients. Each patient keeps at
most K0 texts, chosen by a secret that is drawn for each pass. Noise and thresholds are those of the round. Its charge
is within the charge given to the constructor.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from synthward.errors import IntegrityError
from synthward.kernels.categories import PATIENTS, PLACE, TEXT, TextColumn, kept_counts
from synthward.measure.curator import RunStep, SealStore
from synthward.privacy.accounting import Charge
from synthward.privacy.discovery import AskedCategories, CategoryRound, Found, pack, unpack
from synthward.privacy.noise import NoiseSource
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.unit import PrivacyUnit
from synthward.sources.reading import compared_after

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

logger = logging.getLogger(__name__)

CHUNK = 2**16
"""Number of texts whose exact counts the driver holds at the same time."""

SECRET_BYTES = 32


class Discovery:
    """Answers one round about one pinned source under its part of the run's charge."""

    def __init__(
        self,
        rows: Callable[[], DataFrame],
        unit: PrivacyUnit,
        charge: Charge,
        seals: SealStore,
        noise: NoiseSource,
        *,
        check_source: Callable[[Exception | None], None],
        step: RunStep,
        curve_cells: int | None,
    ) -> None:
        """Remember the settings. The object never holds data.

        Args:
            rows: Opens the pinned source: columns `c0`, ... in the order of the round's questions, and `unit`.
            unit: Privacy unit.
            charge: The round's charge in the ledger.
            seals: Stores the seals.
            noise: Noise source. Tests inject their own here.
            check_source: Raises an error if the source has changed since it was pinned, or is gone. See
                `compared_after`.
            step: Runs the parts of the round: draw (which includes the counting) and seal.
            curve_cells: See `Curator`.
        """
        self._rows = rows
        self._unit = unit
        self._charge = charge
        self._seals = seals
        self._noise = noise
        self._check_source = check_source
        self._step = step
        self._curve_cells = curve_cells

    def answer(self, asked: CategoryRound) -> tuple[Found, ...]:
        """Return the sealed answers of the round, in its order.

        Raises:
            IntegrityError: The charge does not cover the round, or the round contradicts its seal.
            SourceError: The source changed.
        """
        self._admit(asked)
        sealed = self._seals.find(asked.step)
        if sealed is None:
            drawn = self._step("draw", lambda: self._counted(asked))
            body = {"digest": asked.digest, "asked": [item.to_json() for item in asked.asked]}
            sealed = self._step("seal", lambda: self._seals.put(asked.step, body, drawn))
        body, payload = sealed
        if body["digest"] != asked.digest:
            raise IntegrityError(
                f"step '{asked.step}': its seal has other questions than this version of Synthward asks; resume the "
                "run with the version that started it, or start a run with a new key"
            )
        return unpack(asked.asked, payload)

    def _admit(self, asked: CategoryRound) -> None:
        """Refuse a round that its charge or the unit does not cover, before any data is read."""
        if not self._charge.covers(asked.charge):
            raise IntegrityError(f"step '{asked.step}' would spend more than the run was charged for it")
        for item in asked.asked:
            threshold = item.threshold
            if threshold.one != WEIGHT_UNIT or (self._unit.name == "row" and threshold.categories != 1):
                raise IntegrityError(f"{item.query.label} does not count units as they are counted")
            if self._curve_cells is not None and (
                threshold.call.mechanism != "gaussian" or threshold.categories > self._curve_cells
            ):
                raise IntegrityError(f"{item.query.label} does not meet the conditions of the exact Gaussian curve")

    def _counted(self, asked: CategoryRound) -> bytes:
        with compared_after(self._check_source):
            return pack(asked.asked, self._draw(asked))

    def _draw(self, asked: CategoryRound) -> list[dict[str, int]]:
        """Make one pass. Add noise to every text that a patient keeps. Return the texts above the threshold."""
        logger.info("step %s: one pass over the source for texts of %d columns", asked.step, len(asked.asked))
        columns = [TextColumn(item.query.pattern, item.query.listed, item.threshold.categories) for item in asked.asked]
        counted = kept_counts(self._rows(), columns, secrets.token_bytes(SECRET_BYTES))
        released: list[dict[str, int]] = [{} for _ in asked.asked]
        for chunk in _chunks(counted.toLocalIterator()):
            for index, item in enumerate(asked.asked):
                noisy = self._noisy(item, {row[TEXT]: row[PATIENTS] for row in chunk if row[PLACE] == index})
                released[index] = item.released(released[index] | noisy)
        return released

    def _noisy(self, item: AskedCategories, exact: dict[str, int]) -> dict[str, int]:
        if not exact:
            return {}
        texts = sorted(exact)
        counts = np.array([exact[text] for text in texts], dtype=np.int64) * WEIGHT_UNIT
        drawn = self._noise.draw(item.query.label, counts, item.threshold.call)
        return dict(zip(texts, drawn.tolist(), strict=True))


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
