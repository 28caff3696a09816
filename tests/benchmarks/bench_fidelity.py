"""Fidelity at equal privacy on diabetes130: the synthesizers against the protocol's scorer.

    python tests/benchmarks/bench_fidelity.py [--epsilon 1 3 10] [--synthesizer few_round ...] [--target readmitted]
                                              [--runs 3] [--no-ml]

Privacy unit: one row (the convention of the published figures), delta 1e-9. Noise is OpenDP's and cannot be seeded, so
each configuration is run several times; one JSON line a run, then one with the medians. `fit_cpu_s` is the driver's CPU
time in the synthesizer alone, `peak_mb` the process's peak memory meanwhile.

Needs scikit-learn, and the protocol: the folder `fidelity` beside the public data sets (SYNTHWARD_DATA).
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from fidelity_numpy import CodeCurator, drawn_codes

from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain, load_domain
from synthward.fit.base import Rounds, Task
from synthward.fit.catalog import SYNTHESIZERS, synthesizer
from synthward.fit.model import Model
from synthward.governance.request import Synthesizer
from synthward.pipeline.plan import with_curve
from synthward.privacy.unit import PrivacyUnit

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SYNTHWARD_DATA", ROOT.parent / "shared" / "data"))
DELTA = Decimal("1e-9")
DECLARED_ROWS = 80_000
DATASET = "diabetes130"
FIGURES = ("tvd1", "tvd2", "tvd3", "tvd2max", "auc_hgb", "auc_lr", "fit_cpu_s", "peak_mb")


def protocol() -> tuple[Any, Any]:
    """The protocol's modules: preparation and scorer."""
    sys.path.insert(0, str(DATA.parent / "fidelity"))
    return importlib.import_module("prep"), importlib.import_module("score")


def task_of(domain: Domain, epsilon: Decimal, settings: Synthesizer) -> Task:
    """What the synthesizer is asked for."""
    mechanism = "laplace" if settings.name == "moments" else "gaussian"
    delta = Decimal(0) if mechanism == "laplace" else DELTA
    task = Task(domain, PrivacyUnit("row", 1), mechanism, epsilon, delta, DECLARED_ROWS, settings)
    return with_curve(task, synthesizer(settings.name))


def reset_peak() -> None:
    """Forgets the peak of resident memory so far (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_mb() -> float:
    """Peak resident memory since the last reset."""
    [line] = [row for row in Path("/proc/self/status").read_text().splitlines() if row.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def fitted(rounds: Rounds, curator: CodeCurator) -> tuple[Model, float, float]:
    """Drives a synthesizer; returns its model, its CPU seconds and the peak of memory in it."""
    spent, peak, answers = 0.0, 0.0, None
    while True:
        reset_peak()
        started = time.process_time()
        try:
            asked = rounds.send(answers)
        except StopIteration as stop:
            return stop.value, spent + time.process_time() - started, max(peak, peak_mb())
        spent += time.process_time() - started
        peak = max(peak, peak_mb())
        answers = curator.answer(asked)


def run(task: Task, data: tuple[pd.DataFrame, pd.DataFrame], scorer: Any, seed: int, *, ml: bool) -> dict[str, float]:
    """One release and its figures."""
    chosen = synthesizer(task.options.name)
    problems = chosen.check(task)
    if problems:
        raise SystemExit("; ".join(problems))
    train, test = data
    model, cpu, peak = fitted(chosen.rounds(task), CodeCurator(task, train))
    rows = drawn_codes(model, codebooks(task.domain), len(train), seed)
    found = scorer.score(train, test, rows, DATASET, ml=ml)
    found |= {"tvd2max": found["tvd2_max"], "fit_cpu_s": round(cpu, 1), "peak_mb": round(peak)}
    return {name: found[name] for name in FIGURES if name in found}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fidelity of the synthesizers on diabetes130.")
    parser.add_argument("--epsilon", nargs="+", type=Decimal, default=[Decimal(1), Decimal(3), Decimal(10)])
    parser.add_argument("--synthesizer", nargs="+", choices=sorted(SYNTHESIZERS), default=["few_round"])
    parser.add_argument("--target", help="column to predict; default none")
    parser.add_argument("--max-cells", type=int, default=Synthesizer().max_cells)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-ml", action="store_true", help="skip the classifiers")
    options = parser.parse_args(arguments)
    prep, scorer = protocol()
    data = prep.prepare(DATASET, DATA / DATASET / "diabetic_data.csv.gz")
    domain = load_domain(ROOT / "conf" / "domains" / "diabetes130_fidelity.yaml")
    for epsilon in options.epsilon:
        for name in options.synthesizer:
            settings = Synthesizer(name=name, target=options.target, max_cells=options.max_cells)
            task = task_of(domain, epsilon, settings)
            about = {"epsilon": float(epsilon), "synthesizer": name, "target": options.target}
            found = []
            for number in range(options.runs):
                found.append(run(task, data, scorer, number, ml=not options.no_ml))
                print(json.dumps({**about, "stat": number, **found[-1]}), flush=True)
            medians = {figure: round(statistics.median(each[figure] for each in found), 5) for figure in found[0]}
            print(json.dumps({**about, "stat": "median", **medians}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
