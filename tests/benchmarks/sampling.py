"""Sampling: dependent columns drawn on executors, their distance to the model, and a release written to Delta."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
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

Floats = npt.NDArray[np.float64]

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
    distances = pair_distances(spark, model, books)
    adjacent = [distances[place - 1, place] for place in range(1, COLUMNS)]
    figure("sample_pair_tvd", float(np.mean(adjacent)), "mean TVD of a column and its nearest parent, 2^18 rows")
    figure("sample_all_pairs_tvd", float(np.mean(list(distances.values()))), "mean TVD of all pairs, 2^18 rows")


def pair_distances(spark: SparkSession, model: Model, books: dict[str, CodeBook]) -> dict[tuple[int, int], float]:
    """TVD of one block's rows to the model, by pair of columns.

    Pairs of a column and its parents are drawn to the nearest row; all others follow from them and carry the noise of
    sampling, about .006 at ten values a column.
    """
    places = sample_places(spark, sample_plan(model, books, BLOCK_ROWS, 2), 2**21).toArrow()
    cells = []
    for place, column in enumerate(model.columns):
        found = places[f"c{place}"].to_numpy()
        cells.append(np.where(found < 0, column.cells - 3 - found, found))
    distances = {}
    for earlier in range(COLUMNS - 1):
        for later, joint in _joints(model, earlier):
            counted = np.bincount(cells[earlier] * joint.shape[1] + cells[later], minlength=joint.size)
            distances[earlier, later] = float(np.abs(counted / BLOCK_ROWS - joint.ravel()).sum()) / 2
    return distances


def _joints(model: Model, earlier: int) -> Iterator[tuple[int, Floats]]:
    """The model's joint distribution of column `earlier` with every later one.

    A walk along the columns with the joint of (column `earlier`, the column before the last, the last one).
    """
    first = model.columns[0].probabilities
    walked = np.zeros((1, 1, len(first)))
    walked[0, 0] = first
    if earlier == 0:
        walked = _held(walked)
    for place in range(1, COLUMNS):
        column = model.columns[place]
        given = column.probabilities
        if len(column.parents) == 2:
            given = given.reshape(walked.shape[1], walked.shape[2], column.cells)
            walked = np.einsum("apc,pcn->acn", walked, given)
        else:
            walked = np.einsum("apc,cn->acn", walked, given)
        if place == earlier:
            walked = _held(walked)
        elif place > earlier:
            yield place, walked.sum(axis=1)


def _held(walked: Floats) -> Floats:
    """The last column also as the one that is held."""
    last = walked.sum(axis=0)
    return np.einsum("pc,ac->apc", last, np.eye(last.shape[1]))


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
