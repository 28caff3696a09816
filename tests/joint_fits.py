"""Four related columns as codes, and runs of synthesizers on them without Spark."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.fidelity_numpy import CodeCurator
from synthward.config.loader import bind
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.fit.base import Task
from synthward.fit.catalog import synthesizer
from synthward.fit.model import Model
from synthward.privacy.measurement import Round
from synthward.privacy.noise import NoiseCall
from synthward.privacy.unit import PrivacyUnit
from synthward.spec.request import Synthesizer, WorkloadEntry

DOMAIN = bind(
    """\
version: 1
attributes:
  x: {type: categorical, required: true, values: [A, B, C]}
  y: {type: categorical, required: true, values: [A, B, C, D]}
  z: {type: categorical, values: [A, B, C, D]}
  age: {type: numeric, integer: true, bounds: [0, 99], bins: 10}
""",
    Domain,
)
BOOKS = codebooks(DOMAIN)
ROWS = 20_000
PAIRS = (("x", "y"), ("x", "z"), ("z", "age"))


@dataclass
class SeededNoise:
    """Rounded Gaussian noise of the call's scale; the arg max of noisy scores for selections."""

    seed: int = 0
    calls: list[str] = field(default_factory=list)

    def draw(self, label: str, exact: np.ndarray, call: NoiseCall) -> np.ndarray:
        random = np.random.default_rng([self.seed, len(self.calls)])
        self.calls.append(label)
        if call.mechanism == "exponential":
            return np.array([int(np.argmax(exact / call.scale + random.gumbel(size=len(exact))))])
        return exact + np.rint(random.normal(0, call.deviation, len(exact))).astype(np.int64)


def data(seed: int = 1) -> pd.DataFrame:
    """Y and z depend on x and not on each other given x; age depends on z; some z is missing."""
    random = np.random.default_rng(seed)
    x = random.choice(3, ROWS, p=[0.5, 0.3, 0.2])
    y = np.where(random.random(ROWS) < 0.7, x, random.integers(0, 4, ROWS))
    z = np.where(random.random(ROWS) < 0.6, 3 - x, random.integers(0, 4, ROWS))
    age = np.clip(random.normal(2 + 2 * z, 1.5), 0, 9.99).astype(int)
    return pd.DataFrame({"x": x, "y": y, "z": np.where(random.random(ROWS) < 0.05, 5, z), "age": age})


def task(name: str, epsilon: str = "1", mechanism: Any = "gaussian", **settings: Any) -> Task:
    if name == "few_round":
        settings.setdefault("max_iterations", 12)
    if name == "fixed" and "cliques" not in settings:
        settings["cliques"] = PAIRS
    delta = Decimal("1e-9") if mechanism == "gaussian" else Decimal(0)
    options = Synthesizer(name=name, **settings)
    return Task(DOMAIN, PrivacyUnit("row", 1), mechanism, Decimal(epsilon), delta, ROWS, options)


def weigh(*columns: str, weight: int = 1) -> WorkloadEntry:
    """An entry of the workload."""
    return WorkloadEntry(columns=columns, weight=weight)


def run(asked: Task, seed: int = 0, rows: pd.DataFrame | None = None) -> tuple[Model, list[Round], list[Any]]:
    """Model, rounds and sealed answers."""
    chosen = synthesizer(asked.options.name)
    assert chosen.check(asked) == []
    curator = CodeCurator(asked, data() if rows is None else rows, SeededNoise(seed))
    rounds, answers, asked_rounds, sealed = chosen.rounds(asked), None, [], []
    while True:
        try:
            asked_rounds.append(rounds.send(answers))
        except StopIteration as stop:
            return stop.value, asked_rounds, sealed
        answers = curator.answer(asked_rounds[-1])
        sealed.append(answers)
