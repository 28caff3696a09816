"""Coverage of the expected distances and of counts with error bars, on diabetes130.

    python tests/benchmarks/bench_quality.py [--unit row patient] [--epsilon 1 3] [--synthesizer few_round ...]
                                             [--replicates 2] [--counts 100]

For each configuration: a release without Spark, its parametric bootstrap, and the true distances to the real rows, with
the weights of the contribution bound. One JSON line each: share of columns and pairs whose 90 % range covers the true
distance, ratio of means, rank correlation, worst pair, and how many random counts lie in their 95 % interval.

The aim: 90 % ranges cover at least 85 %, ratio of means .75 to 1.3, rank correlation over .6, counts 93 to 97 %.
Needs the protocol: the folder `fidelity` beside the public data sets (SYNTHWARD_DATA).
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
from fidelity_numpy import CodeCurator
from fidelity_protocol import KEY, Configuration, Protocol

from synthward.domain.codes import codebooks
from synthward.evaluate.quality.assessed import Release, assess
from synthward.evaluate.quality.bootstrap import refitted
from synthward.evaluate.quality.distances import Expected
from synthward.evaluate.quality.questions import conditions
from synthward.evaluate.quality.tables import shown_codes, total_variation
from synthward.evaluate.tables import has_label
from synthward.fit.catalog import SYNTHESIZERS, synthesizer
from synthward.run.plan import with_curve
from synthward.sample.counts import half_width
from synthward.sample.drawn import DrawnRows
from synthward.spec.request import Synthesizer

Floats = np.ndarray


class Real:
    """The real rows as a reader of a release would see them, with their weights."""

    def __init__(self, curator: CodeCurator) -> None:
        """Takes codes and weights from the benchmark's curator."""
        self.books = curator.books
        self.weights = curator.weights / curator.weights.sum()
        self.codes = {
            name: codes if has_label(self.books[name]) else np.where(
                codes == self.books[name].other, self.books[name].missing, codes
            )
            for name, codes in curator.codes.items()
        }  # fmt: skip

    def shares(self, columns: tuple[str, ...]) -> Floats:
        """Weighted shares of the cells of some columns."""
        index, cells = np.zeros(len(self.weights), dtype=np.int64), 1
        for name in columns:
            index = index * self.books[name].cells + self.codes[name]
            cells *= self.books[name].cells
        return np.bincount(index, self.weights, minlength=cells)


def measure(chosen: Configuration, protocol: Protocol, replicates: int, seed: int) -> dict[str, Any]:
    """One release, its expected distances and the true ones."""
    task = chosen.task()
    asked = synthesizer(chosen.synthesizer)
    task = with_curve(task, asked)
    units = None if chosen.unit == "row" else np.unique(protocol.raw[KEY], return_inverse=True)[1]
    curator = CodeCurator(task, protocol.train, units=units)
    started = time.process_time()
    model, sealed = refitted(asked, task, curator)
    fit = time.process_time() - started
    started = time.process_time()
    release = Release(asked, task, rows=len(protocol.train), seed=seed, replicates=replicates)
    found = assess(release, model, sealed, {})
    simulated = time.process_time() - started
    real, released = Real(curator), DrawnRows.of(model, codebooks(task.domain), len(protocol.train), seed)
    codes = shown_codes(released)
    true = {
        columns: total_variation(real.shares(columns), released.table(columns, codes).ravel() / released.rows)
        for columns in found.expected
    }
    figures: dict[str, Any] = {"fit_cpu_s": round(fit, 1), "bootstrap_cpu_s": round(simulated, 1)}
    for width, word in ((1, "columns"), (2, "pairs")):
        figures[word] = _agreement([e for e in found.expected.values() if len(e.columns) == width], true)
    figures["counts"] = _counts(found.counts.distances, found.counts.factors, real, codes, seed)
    figures["factors"] = [round(factor, 3) for factor in found.counts.factors]
    return figures


def _agreement(expected: Sequence[Expected], true: Mapping[tuple[str, ...], float]) -> dict[str, Any]:
    known = [each for each in expected if each.distance is not None]
    figures: dict[str, Any] = {"of": len(expected), "known": len(known)}
    if not known:
        return figures | {"true_mean": round(float(np.mean([true[each.columns] for each in expected])), 5)}
    real = np.array([true[each.columns] for each in known])
    numbers = np.array([[each.distance, each.low, each.high] for each in known], dtype=float)
    covered = (numbers[:, 1] <= real) & (real <= numbers[:, 2])
    return figures | {
        "covered": round(float(covered.mean()), 3),
        "true_mean": round(float(real.mean()), 5),
        "expected_mean": round(float(numbers[:, 0].mean()), 5),
        "ratio": round(float(numbers[:, 0].mean() / real.mean()), 3),
        "rank": round(float(np.corrcoef(_ranks(real), _ranks(numbers[:, 0]))[0, 1]), 3),
        "true_worst": round(float(real.max()), 4),
        "expected_worst": round(float(numbers[:, 0].max()), 4),
    }


def _ranks(values: Floats) -> Floats:
    return np.argsort(np.argsort(values))


def _counts(distances: Any, factors: tuple[float, ...], real: Real, codes: Any, seed: int) -> dict[str, float]:
    """Share of random conditions whose true share lies in the interval, by number of columns."""
    random = np.random.default_rng([seed, 95])
    covered: dict[str, list[bool]] = {}
    for asked in conditions(real.books, real.codes, random):
        released = asked.share(codes)
        half = half_width(distances, factors, asked.columns, released)
        if half is not None:
            error = abs(asked.share(real.codes, real.weights) - released)
            covered.setdefault(str(len(asked.columns)), []).append(error <= half)
    every = [one for part in covered.values() for one in part]
    return {name: round(float(np.mean(part)), 3) for name, part in covered.items()} | {
        "all": round(float(np.mean(every)), 3) if every else float("nan")
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Coverage of expected distances and counts on diabetes130.")
    parser.add_argument("--unit", nargs="+", choices=["row", "patient"], default=["row", "patient"])
    parser.add_argument("--epsilon", nargs="+", type=Decimal, default=[Decimal(1), Decimal(3)])
    known = sorted(set(SYNTHESIZERS) - {"moments"})  # the benchmark's curator counts cells only
    parser.add_argument("--synthesizer", nargs="+", choices=known, default=["few_round"])
    parser.add_argument("--replicates", type=int, default=2)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args(arguments)
    protocol = Protocol.load()
    for unit, epsilon, name in itertools.product(options.unit, options.epsilon, options.synthesizer):
        chosen = Configuration(
            path="numpy",
            unit=unit,
            max_rows=1 if unit == "row" else 4,
            synthesizer=name,
            epsilon=epsilon,
            target=None,
            max_cells=Synthesizer().max_cells,
        )
        for run in range(options.runs):
            print(json.dumps({**chosen.about(), **measure(chosen, protocol, options.replicates, run + 1)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
