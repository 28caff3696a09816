"""What crosses from the curator to everything else: sealed noisy integers with their public scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthward.config.canonical import digest
from synthward.privacy.accounting import Charge, total
from synthward.privacy.noise import NoiseCall
from synthward.privacy.queries import Query
from synthward.privacy.sensitivity import WEIGHT_UNIT


@dataclass(frozen=True)
class Asked:
    """A query together with the noise it will get; public."""

    query: Query
    call: NoiseCall

    @property
    def charge(self) -> Charge:
        """What the answer costs."""
        return self.call.charge

    def to_json(self) -> dict[str, Any]:
        """Canonical public description, from which digests are taken."""
        return {
            "kind": self.query.KIND,
            "subject": self.query.subject,
            "mechanism": self.call.mechanism,
            "scale": self.call.scale.hex(),
            "sensitivity": self.call.sensitivity,
        }


@dataclass(frozen=True)
class Round:
    """Queries answered together.

    Attributes:
        step: Name of the step inside the run, unique; part of the seal's identity.
        asked: Queries with their noise.
    """

    step: str
    asked: tuple[Asked, ...]

    @property
    def charge(self) -> Charge:
        """What the round costs."""
        return total(item.charge for item in self.asked)

    @property
    def digest(self) -> str:
        """sha256 of the public description; part of the seal's identity."""
        return digest({"step": self.step, "asked": [item.to_json() for item in self.asked]})


@dataclass(frozen=True, eq=False)
class Measurement:
    """A sealed noisy answer.

    Attributes:
        asked: The query and its noise.
        values: Noisy integers, shape (cells,); the chosen index, shape (1,), for a selection.
    """

    asked: Asked
    values: npt.NDArray[np.int64]

    @property
    def counts(self) -> npt.NDArray[np.float64]:
        """Values in rows (marginal, presence, scores) or units (population); integers as they are otherwise."""
        return self.values / self._unit

    @property
    def deviation(self) -> float:
        """Standard deviation of the noise in one cell, in the units of `counts`; a selection has none."""
        return self.asked.call.deviation / self._unit

    @property
    def mean_absolute(self) -> float:
        """Expected absolute noise in one cell, in the units of `counts`; a selection has none."""
        return self.asked.call.mean_absolute / self._unit

    @property
    def _unit(self) -> int:
        """Exact integers in one unit of `counts`."""
        return WEIGHT_UNIT if self.asked.query.IN_WEIGHTS else 1


def pack(measurements: Sequence[Measurement]) -> bytes:
    """Noisy integers of a round as little-endian int64, one measurement after the other."""
    return b"".join(m.values.astype("<i8").tobytes() for m in measurements)


def unpack(asked: Sequence[Asked], cells: Sequence[int], payload: bytes) -> tuple[Measurement, ...]:
    """Inverse of `pack`.

    Raises:
        ValueError: The payload does not have the announced number of cells.
    """
    flat = np.frombuffer(payload, dtype="<i8").astype(np.int64)
    if flat.size != sum(cells):
        raise ValueError(f"a seal of {sum(cells)} cells was announced, its payload holds {flat.size}")
    parts = np.split(flat, np.cumsum(cells)[:-1])
    return tuple(Measurement(item, part) for item, part in zip(asked, parts, strict=True))
