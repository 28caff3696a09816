"""The curator's pass for rounds about texts: it counts, adds noise and keeps what is above the threshold.

Exact counts pass through the driver in chunks, and each chunk is forgotten. Every text that a patient keeps gets noise,
because dropping rare texts before the noise would need its own proof. Texts that are not released, and their number,
appear nowhere: not in a log, an error or a seal. The size of the seal is public and does not depend on the result.

Guarantee: the guarantee of the round (PROOFS.md, section 8). Counts are of distinct patients. Each patient keeps at
most K0 texts, chosen by a secret that is drawn for each pass. Noise and thresholds are those of the round.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from synthward.kernels.categories import PATIENTS, PLACE, TEXT, TextColumn, kept_counts
from synthward.privacy.discovery import AskedCategories
from synthward.privacy.noise import NoiseSource
from synthward.privacy.sensitivity import WEIGHT_UNIT

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

CHUNK = 2**16
"""Number of texts whose exact counts the driver holds at the same time."""

SECRET_BYTES = 32


def released_texts(rows: DataFrame, asked: Sequence[AskedCategories], noise: NoiseSource) -> list[dict[str, int]]:
    """Make one pass. Add noise to every text that a patient keeps. Return the texts above the threshold.

    Args:
        rows: Columns `c0`, ... in the order of `asked`, and `unit` if units own several rows.
        asked: Queries, one for each column.
        noise: Noise source.

    Returns:
        Noisy count of each released text, in units of 1/S, one mapping for each query.
    """
    columns = [TextColumn(item.query.pattern, item.query.listed, item.query.per_patient) for item in asked]
    counted = kept_counts(rows, columns, secrets.token_bytes(SECRET_BYTES))
    released: list[dict[str, int]] = [{} for _ in asked]
    for chunk in _chunks(counted.toLocalIterator()):
        for index, item in enumerate(asked):
            noisy = _noisy(item, {row[TEXT]: row[PATIENTS] for row in chunk if row[PLACE] == index}, noise)
            released[index] = item.released(released[index] | noisy)
    return released


def _noisy(item: AskedCategories, exact: dict[str, int], noise: NoiseSource) -> dict[str, int]:
    if not exact:
        return {}
    texts = sorted(exact)
    counts = np.array([exact[text] for text in texts], dtype=np.int64) * WEIGHT_UNIT
    drawn = noise.draw(item.query.label, counts, item.call)
    return dict(zip(texts, drawn.tolist(), strict=True))


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
