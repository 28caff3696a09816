"""Sampling: dependent columns drawn on executors, their distance to the model, and a release written to Delta."""

from __future__ import annotations

import numpy as np
from measure import compare, figure
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from synthward.config.loader import bind
from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.spec import Domain
from synthward.fit.model import ColumnModel, Model
from synthward.release import table
from synthward.release.table import Lineage
from synthward.sample import _worker
from synthward.sample.blocks import BLOCK_ROWS, sample_places, sample_plan
from synthward.store.places import TableRef

COLUMNS = 10
CODES = "version: 1\nattributes:\n" + "".join(
    f"  x{k}: {{type: categorical, values: [{', '.join(map(str, range(10)))}]}}\n" for k in range(COLUMNS)
)
RELEASE = (
    "version: 1\nattributes:\n"
    + "".join(
        f"  s{k}: {{type: categorical, values: [{', '.join(f'v{k}_{v}' for v in range(10))}]}}\n" for k in range(6)
    )
    + "".join(f"  d{k}: {{type: numeric, bounds: [0, 200], resolution: 0.1, bins: 20}}\n" for k in range(4))
)


def _dependent(books: dict[str, CodeBook]) -> Model:
    """Every column depends on the one before it, every third one on the two before it."""
    random = np.random.default_rng(0)
    names = list(books)
    columns = []
    for place, (name, book) in enumerate(books.items()):
        parents = tuple(names[max(0, place - (2 if place % 3 == 2 else 1)) : place])
        groups = int(np.prod([books[parent].cells for parent in parents]))
        drawn = random.dirichlet(np.ones(book.cells), groups)
        grid = getattr(book.attribute, "grid", None)
        starts = None if grid is None else np.array(grid.starts)
        probabilities = drawn if parents else drawn[0]
        columns.append(ColumnModel(name, probabilities, starts, 0 if grid is None else grid.count, parents))
    return Model("bench", "", tuple(columns), tuple(names))


def draw(spark: SparkSession, rows: int, repeats: int) -> None:
    """Ten dependent columns as codes, summed natively so that nothing is written."""
    books = codebooks(bind(CODES, Domain))
    model = _dependent(books)
    plan = sample_plan(model, books, rows, 1)

    def drawn() -> object:
        return sample_places(spark, plan, 2**21).agg(*(F.sum(f"c{place}") for place in range(COLUMNS))).collect()

    sampler = _worker.Sampler(plan)

    def in_process() -> None:
        for block in range(-(-rows // plan.block_rows)):
            for _ in sampler.batches(block):
                pass

    found = compare({"sample": in_process, "draw": drawn}, repeats)
    figure("sample_rows_per_cpu_s", rows / found["sample"].cpu, "rows per CPU-second, the worker's code alone")
    figure("draw_rows_per_cpu_s", rows / found["draw"].cpu, "rows per CPU-second, on Spark, summed there")
    figure("draw_rows_per_s", rows / found["draw"].seconds, "rows per second, on Spark, summed there")
    figure("sample_pair_tvd", _pair_distance(spark, model, books), "mean TVD of a column and the next, 2^18 rows")


def _pair_distance(spark: SparkSession, model: Model, books: dict[str, CodeBook]) -> float:
    """Of each column and its nearest parent, in one block."""
    places = sample_places(spark, sample_plan(model, books, BLOCK_ROWS, 2), 2**21).toArrow()
    cells = []
    for place, column in enumerate(model.columns):
        found = places[f"c{place}"].to_numpy()
        cells.append(np.where(found < 0, column.cells - 3 - found, found))
    whole, distances = model.columns[0].probabilities, []
    previous = whole[None, :]  # joint of the column before the last and the last one
    for place in range(1, len(model.columns)):
        column = model.columns[place]
        table_ = column.probabilities.reshape(-1, column.cells, column.cells)
        triple = previous[:, :, None] * table_ if len(column.parents) == 2 else previous[:, :, None] * table_[0]
        previous = triple.sum(axis=0)
        counted = np.bincount(cells[place - 1] * column.cells + cells[place], minlength=previous.size)
        distances.append(float(np.abs(counted / BLOCK_ROWS - previous.ravel()).sum()) / 2)
    return float(np.mean(distances))


def write(spark: SparkSession, folder: str, rows: int, repeats: int) -> None:
    """Ten decoded dependent columns sampled and written to Delta with constraints and lineage."""
    books = codebooks(bind(RELEASE, Domain))
    model = _dependent(books)
    types = table.release_types(books, dict.fromkeys(books))
    plan = sample_plan(model, books, rows, 1)
    lineage = Lineage("r0", model.digest, "2026-01-01T00:00:00.000000Z")

    def written() -> None:
        release = table.release_rows(sample_places(spark, plan, 2**21), books, types, {}, lineage)
        table.stage(release, TableRef(path=f"{folder}/release"), table.constraints(books, types), {"release_id": "r0"})

    cost = compare({"write": written}, max(2, repeats // 2))["write"]
    figure("write_rows_per_cpu_s", rows / cost.cpu, "rows per CPU-second")
    figure("write_rows_per_s", rows / cost.seconds, "rows per second")
