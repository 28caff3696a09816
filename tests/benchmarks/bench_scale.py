"""`make bench-scale`: whole runs, from the source to the published release, at several sizes and at the edges.

One JSON line a figure on stdout. Options: `--sizes` in millions of rows, `--only` a part, `--memory` of the driver's
JVM, which in local mode is driver and executor at once. `--cluster` gives executors JVMs of their own, so that the
driver's memory can be told from theirs. Python workers are measured apart, the driver's Python as well.

Targets on an idle machine: `cost_per_row_100m_vs_1m` at most 1.2, `overhead_small_s` at most 20.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyspark.sql import Column, SparkSession
from pyspark.sql import functions as F

from synthward.spark.session import build_session, stop_session

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from measure import figure, tree_cpu

from trial import TestSite, approve, open_budget, visits

MILLION = 1_000_000
PARTS = ("small", "sizes", "heavy", "wide", "codebook")
CATEGORIES, NUMBERS = 10, 10


@dataclass
class Peaks:
    """Largest resident memory seen, in MiB.

    Attributes:
        worker: Of the largest Python worker.
        executor: Of the largest executor's JVM, where it is not the driver's.
        jvm: Of the driver's JVM.
        driver: Of this process.
    """

    worker: float = 0.0
    executor: float = 0.0
    jvm: float = 0.0
    driver: float = 0.0

    def look(self) -> None:
        """Looks at all descendants once."""
        page = os.sysconf("SC_PAGE_SIZE") / 2**20
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
                fields = rest.split()
            except OSError:
                continue
            resident, pid = int(fields[21]) * page, int(stat.parent.name)
            if pid == os.getpid():
                self.driver = max(self.driver, resident)
            elif name == "java" and int(fields[1]) == os.getpid():
                self.jvm = max(self.jvm, resident)
            elif name == "java" and _descends(pid):
                self.executor = max(self.executor, resident)
            elif name.startswith("python") and _descends(pid):
                self.worker = max(self.worker, resident)


def _descends(pid: int) -> bool:
    """Whether a process is one of ours."""
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            return False
        if pid == os.getpid():
            return True
    return False


@contextlib.contextmanager
def watched() -> Iterator[Peaks]:
    """Peaks of memory while something runs; looked at five times a second."""
    peaks, over = Peaks(), threading.Event()

    def watch() -> None:
        while not over.wait(0.2):
            peaks.look()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        over.set()
        thread.join()


def attributes(categories: int, numbers: int) -> dict[str, Any]:
    """A domain of so many columns."""
    listed: dict[str, Any] = {
        f"s{k}": {"type": "categorical", "values": [f"v{v}" for v in range(10)]} for k in range(categories)
    }
    listed |= {f"x{k}": {"type": "numeric", "bounds": [0, 200], "resolution": 0.1, "bins": 16} for k in range(numbers)}
    return listed


def columns(categories: int, numbers: int) -> list[Column]:
    """The same columns, made from the row's number."""
    texts = [F.concat(F.lit("v"), F.abs(F.xxhash64("id", F.lit(k)) % 10)).alias(f"s{k}") for k in range(categories)]
    return [*texts, *((F.abs(F.xxhash64("id", F.lit(-1 - k)) % 2000) / 10.0).alias(f"x{k}") for k in range(numbers))]


def whole_run(spark: SparkSession, site: TestSite, rows: int, listed: dict[str, Any], name: str) -> tuple[float, float]:
    """Seconds and CPU-seconds of a run over `data/visits`; prints them with the peaks of memory."""
    site.domain(listed)
    patients = max(rows // 4, 50)
    path = site.request(
        columns=list(listed),
        population={"scope": "clinic", "declared_patients": patients, "declared_rows": rows},
        patient={"key": "patient", "max_rows_per_patient": 4},
        output={"name": "scale", "rows": rows},
    )
    ward = site.open(spark)
    open_budget(ward, declared_patients=patients)
    request = ward.request(path)
    approve(ward, request)
    with watched() as peaks:
        before, started = tree_cpu(), time.perf_counter()
        ward.run(request)
        seconds, cpu = time.perf_counter() - started, tree_cpu() - before
    figure(f"e2e_{name}_s", seconds, "s")
    figure(f"cpu_{name}_s", cpu, "CPU-s")
    for kind, peak in dataclasses.asdict(peaks).items():
        if peak:
            figure(f"peak_{kind}_mb_{name}", peak, "MiB")
    return seconds, cpu


def made(spark: SparkSession, site: TestSite, rows: int, patient: Column, drawn: list[Column]) -> float:
    """Writes a source; then the seconds that Spark takes to read and write it again, which no release can beat."""
    spark.range(0, rows, 1, max(2, rows // MILLION)).select(patient.alias("patient"), *drawn).write.format(
        "delta"
    ).save(str(site.data()))
    started = time.perf_counter()
    spark.read.format("delta").load(str(site.data())).write.format("delta").save(str(site.data("again")))
    return time.perf_counter() - started


def small(spark: SparkSession, folder: Path) -> None:
    """A dozen patients on a warm session: what a run costs beside the rows, and its commits."""
    for turn in ("cold", "warm"):
        site = TestSite(folder / turn)
        spark.createDataFrame(visits(), "patient BIGINT, sex STRING, age INT").write.format("delta").save(
            str(site.data())
        )
        listed = {
            "sex": {"type": "categorical", "values": ["F", "M"]},
            "age": {"type": "numeric", "integer": True, "bounds": [0, 100], "bins": 4},
        }
        before = _commits(site)
        seconds, _ = whole_run(spark, site, 200, listed, f"small_{turn}")
    figure("overhead_small_s", seconds, "s")
    figure("delta_commits_small", _commits(site) - before, "commits")


def _commits(site: TestSite) -> int:
    """Commits of all tables of a site, budget and approvals included."""
    return len(list((site.root / "zones").glob("*/*/_delta_log/*.json")))


def sizes(spark: SparkSession, folder: Path, millions: list[int]) -> None:
    """Twenty columns, four rows a patient, as many rows out as in."""
    cost: dict[int, float] = {}
    for million in millions:
        rows = million * MILLION
        site = TestSite(folder / f"{million}m")
        rewrite = made(spark, site, rows, F.xxhash64("id") % (rows // 4), columns(CATEGORIES, NUMBERS))
        seconds, cpu = whole_run(spark, site, rows, attributes(CATEGORIES, NUMBERS), f"{million}m")
        figure(f"e2e_{million}m_vs_rewrite", seconds / rewrite, "x")
        cost[million] = cpu / rows
    first, last = min(cost), max(cost)
    if first < last:
        figure(f"cost_per_row_{last}m_vs_{first}m", cost[last] / cost[first], "x")


def heavy(spark: SparkSession, folder: Path) -> None:
    """One patient with all five million rows."""
    site = TestSite(folder / "heavy")
    made(spark, site, 5 * MILLION, F.lit(7), columns(CATEGORIES, NUMBERS))
    whole_run(spark, site, 5 * MILLION, attributes(CATEGORIES, NUMBERS), "heavy")


def wide(spark: SparkSession, folder: Path) -> None:
    """Three hundred columns, a hundred thousand rows."""
    site = TestSite(folder / "wide")
    made(spark, site, MILLION // 10, F.col("id") % 25_000, columns(150, 150))
    whole_run(spark, site, MILLION // 10, attributes(150, 150), "wide")


def codebook(spark: SparkSession, folder: Path) -> None:
    """One column with fifty thousand codes, a million rows."""
    site = TestSite(folder / "codebook")
    (site.root / "codes.csv").write_text("code\n" + "".join(f"c{k:05d}\n" for k in range(50_000)), encoding="utf-8")
    code = F.concat(F.lit("c"), F.lpad(F.abs(F.xxhash64("id") % 50_000).cast("string"), 5, "0")).alias("code")
    made(spark, site, MILLION, F.col("id") % 250_000, [code])
    whole_run(spark, site, MILLION, {"code": {"type": "categorical", "codebook": "codes.csv"}}, "codebook")


def main() -> None:
    """Runs all parts, or those asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=lambda text: [int(word) for word in text.split(",")], default=[1, 10])
    parser.add_argument("--only", choices=PARTS, action="append", help="default: all parts")
    parser.add_argument("--memory", default="3g", help="heap of the driver's JVM")
    parser.add_argument("--cluster", action="store_true", help="two executors of one core and 2 GiB each")
    options = parser.parse_args()
    chosen = options.only or PARTS
    master = "local-cluster[2,1,2048]" if options.cluster else "local[2]"
    conf = {"spark.driver.memory": options.memory, "spark.executor.memory": "2g"}
    spark = build_session("synthward bench-scale", master=master, conf=conf)
    try:
        with tempfile.TemporaryDirectory(prefix="synthward-bench-") as name:
            folder = Path(name)
            for part, action in (("small", small), ("heavy", heavy), ("wide", wide), ("codebook", codebook)):
                if part in chosen:
                    action(spark, folder)
            if "sizes" in chosen:
                sizes(spark, folder, options.sizes)
    finally:
        stop_session(spark)


if __name__ == "__main__":
    main()
