"""One-run audit: many canary patients, each in or out by a fair coin, in a test twin of a public source.

Each canary has a cell of a marginal for itself. The auditor knows the public patients and each canary's rows, and not
the coins. From one noisy release it guesses every coin: a canary is in if its cell is above half of what it would add.

Statistic. Noise of different cells is independent, and so are the coins. So the guesses are independent, and a
one-sided Clopper-Pearson bound on each error rate holds for one run as it holds for many. A release that is mu-GDP
allows no test with Phi^-1(1 - false alarms) - Phi^-1(misses) above mu (Dong, Roth and Su 2022). The bound of both
rates, each at half of alpha, gives a lower bound of mu. It assumes no shape of the noise.

Canaries are made up here and are added to made-up rows only. No command of the product adds canaries to a source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from statistics import NormalDist

import numpy as np
import pyarrow as pa

from synthward.domain.cells import Packing, tables
from synthward.domain.codes import CodeBook
from synthward.domain.spec import Numeric
from synthward.kernels import _worker
from synthward.kernels.marginals import count_plan
from synthward.privacy.noise import NoiseSource, gaussian_for
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.prove.bounds import lower, upper

BATCH = 10_000
Integers = np.ndarray


@dataclass(frozen=True)
class Canaries:
    """What is planted.

    Attributes:
        count: Canary patients; also the number of cells of the audited marginal.
        rows: Rows of each canary, all in its own cell.
        public: Public patients of one row each, spread over all cells.
    """

    count: int
    rows: int
    public: int

    @property
    def book(self) -> CodeBook:
        """The column whose cells the canaries own."""
        bounds = (Decimal(0), Decimal(self.count - 1))
        return CodeBook("place", Numeric(bounds=bounds, integer=True, bins=self.count))

    def extract(self, inside: Integers) -> tuple[Integers, Integers]:
        """Return (patient, cell) of every row: the public patients, and the canaries that are in, in mixed order."""
        members = np.flatnonzero(inside)
        patients = np.concatenate([np.arange(self.public), np.repeat(members, self.rows) + self.public])
        cells = np.concatenate([np.arange(self.public) % self.count, np.repeat(members, self.rows)])
        order = np.random.default_rng(7).permutation(len(patients))
        return patients[order], cells[order]


@dataclass(frozen=True)
class Audited:
    """What one run of the audit has shown.

    Attributes:
        bound: Lower bound of mu at confidence 1 - alpha.
        claimed: The claimed mu.
        alpha: Chance that the bound is wrong.
        detects: The least mu whose median lower bound is above the claim: the power of the audit.
    """

    bound: float
    claimed: float
    alpha: float
    detects: float

    @property
    def words(self) -> str:
        """One line for people."""
        return (
            f"mu >= {self.bound:.3f} at {1 - self.alpha:.4%}, claimed {self.claimed:.3f}; a mu of {self.detects:.3f} "
            "would be detected every second time. An audit can only falsify"
        )


Measure = Callable[[Integers, Integers, CodeBook, int], Integers]
"""(patient and cell of every row, column, K) -> exact answer of the column's marginal."""


def by_worker(patients: Integers, cells: Integers, book: CodeBook, max_rows: int) -> Integers:
    """Return the exact marginal, from the worker that runs inside Spark; no JVM."""
    packing = Packing.of({book.name: book})
    laid = tables({book.name: book}, [(book.name,)], 0)
    [slot] = packing.slots
    words = cells.astype(np.int64) << slot.shift
    batches = [
        pa.RecordBatch.from_arrays(
            [pa.array(patients[start : start + BATCH]), pa.array(words[start : start + BATCH])], names=["unit", "w0"]
        )
        for start in range(0, len(patients), BATCH)
    ]
    run = _worker.count_units(count_plan(packing, laid, max_rows, WEIGHT_UNIT))
    vector = np.zeros(laid[0].cells, dtype=np.int64)
    for batch in run(iter(batches)):
        np.add.at(vector, batch.column("cell").to_numpy(), batch.column("value").to_numpy())
    return vector


def audit(
    canaries: Canaries, inside: Integers, max_rows: int, noise: NoiseSource, alpha: float, measure: Measure = by_worker
) -> Audited:
    """Release one marginal at mu = 1 and audit it.

    Args:
        canaries: What is planted.
        inside: The coin of each canary.
        max_rows: Contribution bound K.
        noise: The noise source.
        alpha: Chance that the bound is wrong.
        measure: The pass over the rows.
    """
    sensitivity = max_rows * WEIGHT_UNIT
    call = gaussian_for(500_000_000, sensitivity)  # rho = mu^2 / 2
    exact = measure(*canaries.extract(inside), canaries.book, max_rows)
    noisy = noise.draw("canaries", exact, call)[: canaries.count]
    known = measure(*canaries.extract(np.zeros_like(inside)), canaries.book, max_rows)[: canaries.count]
    adds = WEIGHT_UNIT * min(canaries.rows, max_rows)
    guessed = noisy - known > adds / 2
    ins, outs = int(inside.sum()), int((~inside).sum())
    hits, alarms = int(guessed[inside].sum()), int(guessed[~inside].sum())
    phi = NormalDist().cdf
    expected = next(
        mu
        for mu in np.arange(call.sensitivity / call.scale, 10, 0.01)
        if mu_bound(round(ins * phi(mu / 2)), ins, round(outs * phi(-mu / 2)), outs, alpha)
        > call.sensitivity / call.scale
    )
    return Audited(mu_bound(hits, ins, alarms, outs, alpha), call.sensitivity / call.scale, alpha, float(expected))


def mu_bound(hits: int, ins: int, alarms: int, outs: int, alpha: float) -> float:
    """Return a lower bound of mu from the canaries that were guessed as in: `hits` of `ins`, `alarms` of `outs`."""
    above, below = lower(hits, ins, alpha / 2), upper(alarms, outs, alpha / 2)
    if not 0 < above < 1 or not 0 < below < 1:
        return 0.0
    return max(NormalDist().inv_cdf(above) - NormalDist().inv_cdf(below), 0.0)
