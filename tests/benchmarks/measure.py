"""Measuring for benchmarks: medians of warm repeats, CPU-seconds of the whole process tree, one JSON line a figure."""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Medians of a measured action.

    Attributes:
        seconds: Wall time.
        cpu: CPU-seconds of this process and all its descendants (JVM and Python workers).
    """

    seconds: float
    cpu: float


def tree_cpu() -> float:
    """CPU-seconds used so far by this process and its descendants, waited-for children included."""
    children: dict[int, list[int]] = {}
    used: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(stat.parent.name)
        children.setdefault(int(fields[1]), []).append(pid)
        used[pid] = sum(int(field) for field in fields[11:15])
    total, waiting = 0, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        total += used.get(pid, 0)
        waiting += children.get(pid, [])
    return total / TICKS


def compare(actions: dict[str, Callable[[], object]], repeats: int) -> dict[str, Cost]:
    """Runs actions in turns, so that noise of the machine hits all alike; the first round only warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    cpu: dict[str, list[float]] = {name: [] for name in actions}
    for turn in range(repeats + 1):
        for name, action in actions.items():
            before, started = tree_cpu(), time.perf_counter()
            action()
            if turn:
                seconds[name].append(time.perf_counter() - started)
                cpu[name].append(tree_cpu() - before)
    return {name: Cost(statistics.median(seconds[name]), statistics.median(cpu[name])) for name in actions}


def figure(name: str, value: float, unit: str) -> None:
    """One JSON line on stdout."""
    rounded = round(value) if abs(value) >= 1000 else float(f"{value:.4g}")
    print(json.dumps({"name": name, "value": rounded, "unit": unit}), flush=True)
