"""Fidelity at equal privacy on public sets: the synthesizers against the protocol's scorer.

    python tests/benchmarks/bench_fidelity.py [--set diabetes130 ...] [--epsilon 1 3 10] [--synthesizer few_round ...]
                                              [--target readmitted] [--unit row patient] [--path spark|numpy]
                                              [--runs 3] [--no-ml]
    python tests/benchmarks/bench_fidelity.py --wide

Sets: diabetes130 (the protocol's), synthea_conditions (conditions with their patients), mimic3_labs (lab results of the
MIMIC-III demo with their admissions); on request diabetes130_wide (42 columns) and diabetes130_codes (two columns of
1,290 codes). Of each set, the first line is what resampling the real rows gives, which protects nobody.

Privacy unit: one row (the convention of the published figures) or one patient, delta 1e-9. By default the product does
it all on Spark: charge, pass, seals, fit, sampling; what is scored is the published Delta table. `--path numpy` runs
the same synthesizers, noise and sampler on counts of codes, for quick comparisons. OpenDP's noise has no seed, so each
configuration is run several times; one JSON line a run, then one with the medians and one with the spread, largest less
smallest. `fit_cpu_s` is the driver's
CPU time in the synthesizer alone, `peak_mb` the peak memory of its Python process meanwhile.

Needs scikit-learn, and the protocol: the folder `fidelity` beside the public data sets (SYNTHWARD_DATA).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Protocol as TypingProtocol

import numpy as np
from fidelity_numpy import CodeCurator, drawn_codes, driven
from fidelity_protocol import DATASET, Configuration, Metered, Protocol
from fidelity_sets import SETS
from fidelity_wide import wide

from synthward.domain.codes import codebooks
from synthward.fit.catalog import SYNTHESIZERS, synthesizer
from synthward.run.plan import with_curve
from synthward.spec.request import Synthesizer

DEFAULT_SETS = (DATASET, "synthea_conditions", "mimic3_labs")


class Bench(TypingProtocol):
    """One configuration, ready to run."""

    def run(self, number: int, *, ml: bool) -> dict[str, float]:
        """One release and its figures."""
        ...


class NumpyBench:
    """Synthesizer, noise and sampler on counts of codes."""

    def __init__(self, chosen: Configuration, protocol: Protocol) -> None:
        """Checks the task as the product does."""
        self._protocol = protocol
        task = chosen.task(protocol)
        self._synthesizer = synthesizer(chosen.synthesizer)
        problems = self._synthesizer.check(task)
        if problems:
            raise SystemExit("; ".join(problems))
        self._task = with_curve(task, self._synthesizer)
        units = None if chosen.unit == "row" else np.unique(protocol.raw[protocol.key], return_inverse=True)[1]
        self._curator = CodeCurator(self._task, protocol.train, units=units)

    def run(self, number: int, *, ml: bool) -> dict[str, float]:
        """See `Bench`."""
        metered = Metered(self._synthesizer)
        model, _ = driven(metered.rounds(self._task), self._curator)
        books = codebooks(self._task.domain)
        codes = drawn_codes(model, books, len(self._protocol.train), number)
        # OTHER and MISSING are negative; `other` is the scorer's last code.
        codes = codes.apply(lambda code: np.where(code < 0, books[str(code.name)].cells - 3 - code, code))
        return self._protocol.score(codes, ml=ml) | metered.figures()


@contextlib.contextmanager
def _opener(path: str, runs: int) -> Iterator[Callable[[Configuration, Protocol], Bench]]:
    """How a configuration is made ready; holds a Spark session where that is the product's job."""
    if path == "numpy":
        yield NumpyBench
        return
    from fidelity_spark import SparkBench

    from synthward.spark.session import build_session, stop_session

    spark = build_session("synthward bench-fidelity", master="local[2]", conf={"spark.driver.memory": "2g"})
    try:
        with tempfile.TemporaryDirectory(prefix="synthward-bench-") as name:
            folders = (Path(name) / f"{number}" for number in itertools.count())
            yield lambda chosen, protocol: SparkBench(spark, next(folders), chosen, protocol, runs)
    finally:
        stop_session(spark)


def _line(about: dict[str, object], stat: int | str, figures: dict[str, float]) -> None:
    print(json.dumps({**about, "stat": stat, **figures}), flush=True)


def _lines(about: dict[str, object], runs: int, run: Callable[[int], dict[str, float]]) -> None:
    """Several runs, then their medians and spreads."""
    found: list[dict[str, float]] = []
    for number in range(runs):
        found.append(run(number))
        _line(about, number, found[-1])
    columns = {name: [figures[name] for figures in found] for name in found[0]}
    _line(about, "median", {name: round(statistics.median(column), 5) for name, column in columns.items()})
    _line(about, "spread", {name: round(max(column) - min(column), 5) for name, column in columns.items()})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fidelity of the synthesizers on public sets.")
    parser.add_argument("--set", nargs="+", choices=[DATASET, *SETS], default=list(DEFAULT_SETS))
    parser.add_argument("--epsilon", nargs="+", type=Decimal, default=[Decimal(1), Decimal(3), Decimal(10)])
    parser.add_argument("--synthesizer", nargs="+", choices=sorted(SYNTHESIZERS), default=["few_round", "tree"])
    parser.add_argument("--target", help="column to predict; default none")
    parser.add_argument("--unit", nargs="+", choices=["row", "patient"], default=["row"])
    parser.add_argument("--max-rows", type=int, default=4, help="contribution bound of a patient")
    parser.add_argument("--max-cells", type=int, default=Synthesizer().max_cells)
    parser.add_argument("--path", choices=["spark", "numpy"], default="spark")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--no-ml", action="store_true", help="skip the classifiers")
    parser.add_argument("--wide", action="store_true", help="a hundred columns of ten values instead, without Spark")
    options = parser.parse_args(arguments)
    if options.wide:
        print(json.dumps(wide()), flush=True)
        return 0
    ml = not options.no_ml
    with _opener(options.path, options.runs) as opened:
        for name in options.set:
            protocol = Protocol.load(name)
            about: dict[str, object] = {"set": name, "synthesizer": "resampled", "rows": len(protocol.train)}
            _lines(about, options.runs, functools.partial(protocol.resampled, ml=ml))
            for unit, epsilon, chosen_name in itertools.product(options.unit, options.epsilon, options.synthesizer):
                chosen = Configuration(
                    path=options.path,
                    unit=unit,
                    max_rows=1 if unit == "row" else options.max_rows,
                    synthesizer=chosen_name,
                    epsilon=epsilon,
                    target=options.target,
                    max_cells=options.max_cells,
                    dataset=name,
                )
                bench = opened(chosen, protocol)
                _lines(chosen.about(), options.runs, functools.partial(bench.run, ml=ml))
    return 0


if __name__ == "__main__":
    sys.exit(main())
