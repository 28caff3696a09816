"""What the fidelity benchmark measures: the protocol's data, a configuration, and a meter around a synthesizer."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from fidelity_sets import OTHER, SETS, PublicSet

from synthward.domain.spec import Categorical, Domain, load_domain
from synthward.fit.base import Rounds, Synthesizer, Task
from synthward.privacy.measurement import Measurement, Round
from synthward.privacy.unit import PrivacyUnit
from synthward.spec.request import Synthesizer as Settings

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SYNTHWARD_DATA", ROOT.parent / "shared" / "data"))
DATASET = "diabetes130"
KEY = "patient_nbr"
DELTA = Decimal("1e-9")
DECLARED = {"row": 80_000, "patient": 60_000}
"""Publicly declared units: round numbers for four fifths of the extract."""

FIGURES = ("tvd1", "tvd2", "tvd3", "tvd2max", "auc_hgb", "auc_lr", "fit_cpu_s", "peak_mb")


@dataclass(frozen=True)
class Protocol:
    """The protocol's data and scorer.

    Attributes:
        raw: Training rows as in the extract, one text column each, the patient's number included.
        train: The same rows as codes.
        test: Held-out rows as codes.
        prep: The protocol's module of codes and split.
        scorer: The protocol's module of scores.
        dataset: Name of the set: the protocol's own, or one of `SETS`.
        domain: The product's domain, whose codes are the scorer's.
        key: Column with the patient's number.
        declared: Publicly declared units, by kind.
        learns: True if the set has a target for the classifiers.
    """

    raw: pd.DataFrame
    train: pd.DataFrame
    test: pd.DataFrame
    prep: Any
    scorer: Any
    dataset: str
    domain: Domain
    key: str
    declared: Mapping[str, int]
    learns: bool

    @classmethod
    def load(cls, dataset: str = DATASET) -> Protocol:
        """Reads a set and splits it by patient; sets of `SETS` are made known to the protocol."""
        sys.path.insert(0, str(DATA.parent / "fidelity"))
        prep, scorer = importlib.import_module("prep"), importlib.import_module("score")
        if dataset == DATASET:
            raw, key, declared, learns = prep.load_raw(DATA / DATASET / "diabetic_data.csv.gz"), KEY, DECLARED, True
            own = domain()
        else:
            public = SETS[dataset](DATA)
            raw, key, declared, learns = public.rows(DATA), public.key, public.declared, public.target is not None
            own = _domain(public)
            prep.DATASETS[dataset] = _protocol_words(public, prep)
        codes, train = prep.encode(raw, dataset), prep.split(raw, dataset)
        columns = [key, *prep.domain(dataset)]
        return cls(
            raw=raw[train][columns].reset_index(drop=True),
            train=codes[train].reset_index(drop=True),
            test=codes[~train].reset_index(drop=True),
            prep=prep,
            scorer=scorer,
            dataset=dataset,
            domain=own,
            key=key,
            declared=declared,
            learns=learns,
        )

    def score(self, codes: pd.DataFrame, *, ml: bool) -> dict[str, float]:
        """Figures of synthetic rows given as codes."""
        found = self.scorer.score(self.train, self.test, codes, self.dataset, ml=ml and self.learns)
        found["tvd2max"] = found["tvd2_max"]
        return {name: found[name] for name in FIGURES if name in found}

    def resampled(self, number: int, *, ml: bool) -> dict[str, float]:
        """Figures of real rows drawn again with replacement, which protects nobody: what sampling alone costs."""
        chosen = np.random.default_rng(number).integers(0, len(self.train), len(self.train))
        return self.score(self.train.iloc[chosen].reset_index(drop=True), ml=ml)


def _domain(public: PublicSet) -> Domain:
    attributes = {
        name: Categorical(
            required=True,
            values=tuple(value for value in values if value != OTHER),
            other=OTHER if values[-1] == OTHER else None,
        )
        for name, values in public.values.items()
    }
    return Domain(version=1, attributes=dict(attributes))


def _protocol_words(public: PublicSet, prep: Any) -> dict[str, Any]:
    columns = {
        name: prep.cat(*(value for value in values if value != OTHER), other=values[-1] == OTHER)
        for name, values in public.values.items()
    }
    return {"columns": columns, "unit": public.key, "target": public.target, "negative": list(public.negative)}


@dataclass(frozen=True)
class Configuration:
    """One line of the benchmark.

    Attributes:
        path: spark: the whole job, from the request to the published table; numpy: the synthesizer and the sampler
            alone, on counts of codes.
        unit: Privacy unit.
        max_rows: Contribution bound; 1 for rows.
        synthesizer: Name.
        epsilon: At `DELTA`; pure for moments.
        target: Column to predict, or None.
        max_cells: Cap of the junction tree.
        dataset: Name of the set.
    """

    path: Literal["spark", "numpy"]
    unit: Literal["row", "patient"]
    max_rows: int
    synthesizer: str
    epsilon: Decimal
    target: str | None
    max_cells: int
    dataset: str = DATASET

    @property
    def settings(self) -> Settings:
        """Settings of the synthesizer; those it does not use are left as they are."""
        default = Settings(name=self.synthesizer)
        return Settings(
            name=self.synthesizer,
            target=self.target,
            max_cells=default.max_cells if self.synthesizer == "moments" else self.max_cells,
        )

    @property
    def mechanism(self) -> Literal["laplace", "gaussian"]:
        """Gaussian wherever joint structure is kept."""
        return "laplace" if self.synthesizer == "moments" else "gaussian"

    @property
    def delta(self) -> Decimal:
        """0 for the pure mechanism."""
        return Decimal(0) if self.mechanism == "laplace" else DELTA

    def task(self, protocol: Protocol | None = None) -> Task:
        """What the synthesizer is asked for; of the protocol's own set without `protocol`."""
        unit = PrivacyUnit(self.unit, self.max_rows)
        asked, rows = (domain(), DECLARED["row"]) if protocol is None else (protocol.domain, protocol.declared["row"])
        return Task(asked, unit, self.mechanism, self.epsilon, self.delta, rows, self.settings)

    def about(self) -> dict[str, Any]:
        """What a line says of it."""
        return {
            "set": self.dataset,
            "epsilon": float(self.epsilon),
            "synthesizer": self.synthesizer,
            "target": self.target,
            "path": self.path,
            "unit": self.unit if self.unit == "row" else f"patient, {self.max_rows} rows",
        }


def domain() -> Domain:
    """The benchmark's domain, whose codes are the protocol's."""
    return load_domain(ROOT / "conf" / "domains" / "diabetes130_fidelity.yaml")


class Metered:
    """A synthesizer whose own work is measured.

    Attributes:
        cpu: CPU-seconds of this process in its rounds, those of all threads; nothing of the JVM or of workers.
        peak: Peak resident memory of this process meanwhile, in MiB (Linux).
    """

    def __init__(self, inner: Synthesizer) -> None:
        """Nothing is measured yet."""
        self._inner = inner
        self.cpu = 0.0
        self.peak = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def rounds(self, task: Task) -> Rounds:
        """The synthesizer's rounds."""
        return self._rounds(self._inner.rounds(task))

    def _rounds(self, rounds: Rounds) -> Generator[Round, tuple[Measurement, ...], Any]:
        answers: Any = None
        while True:
            Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
            started = time.process_time()
            try:
                asked = rounds.send(answers)
            except StopIteration as stop:
                return stop.value
            finally:
                self.cpu += time.process_time() - started
                self.peak = max(self.peak, _peak_mb())
            answers = yield asked

    def figures(self) -> dict[str, float]:
        """What was measured."""
        return {"fit_cpu_s": round(self.cpu, 1), "peak_mb": round(self.peak)}


def _peak_mb() -> float:
    [line] = [row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM")]
    return int(line.split()[1]) / 1024
