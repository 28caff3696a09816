"""The counting worker alone, without a JVM: batches of any size, spilled groups, tiny chunks, many kinds of id."""

from __future__ import annotations

import random
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from types import SimpleNamespace
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from synthward.domain.cells import Packing, table_fault, tables
from synthward.domain.codes import CodeBook
from synthward.domain.spec import Numeric
from synthward.kernels import _worker
from synthward.kernels.marginals import count_plan, first_cell

S = 2**16
PLAN = _worker.CountPlan(
    # Two columns in word 0 (3 and 2 bits, one in the second lane), one in word 1 (4 bits).
    slots=((0, 0, 3), (0, 17, 2), (1, 0, 4)),
    # (a), (a, b), (c, b, a): the first two out of blocks with further columns, the last with its axes turned around.
    blocks=(((0, 5), (1, 4)), ((0, 5), (1, 4), (2, 10))),
    tables=((0, 0, (0,)), (5, 0, (0, 1)), (25, 1, (2, 1, 0))),
    cells=225,
    max_rows=3,
    weight_unit=S,
)
Case = list[tuple[object, tuple[int, int, int]]]


def expected(rows: Case, by_unit: bool = True) -> np.ndarray:
    owned = Counter(unit for unit, _ in rows)
    vector = np.zeros(PLAN.cells, dtype=np.int64)
    for unit, (a, b, c) in rows:
        n = owned[unit] if by_unit else 1
        weight = S if n <= PLAN.max_rows else PLAN.max_rows * S // n
        for cell in (a, 5 + 4 * a + b, 25 + 20 * c + 5 * b + a):
            vector[cell] += weight
    return vector


def batches(rows: Case, size: int, kind: pa.DataType) -> list[pa.RecordBatch]:
    made = []
    for start in range(0, max(len(rows), 1), size):
        part = rows[start : start + size]
        columns = [
            pa.array([unit for unit, _ in part], type=kind),
            pa.array([a | b << 17 for _, (a, b, _) in part], type=pa.int64()),
            pa.array([c for _, (_, _, c) in part], type=pa.int64()),
        ]
        made.append(pa.RecordBatch.from_arrays(columns, names=["unit", "w0", "w1"]))
    return made


def some_rows(seed: int, units: Sequence[object], heavy: int = 0) -> Case:
    rng = random.Random(seed)
    chosen = [*rng.choices(units, k=60), *[units[0]] * heavy]
    rng.shuffle(chosen)
    return [(unit, (rng.randrange(5), rng.randrange(4), rng.randrange(10))) for unit in chosen]


def counted(made: list[pa.RecordBatch]) -> np.ndarray:
    (out,) = list(_worker.count_units(PLAN)(iter(made)))
    assert out.column("cell").to_pylist() == list(range(PLAN.cells))
    return out.column("value").to_numpy()


TEXTS = [text.encode() for text in ("", "a", "A", "é", "e\u0301", "p\x00", "p", "患者")]
LONGS = [0, -1, 2**63 - 1, -(2**63), 2**53, 2**53 + 1, 2**32, 1]


@pytest.mark.parametrize("kind", ["binary", "long"])
@pytest.mark.parametrize("size", [1, 3, 7, 10_000])
@pytest.mark.parametrize(("group_rows", "chunk_rows"), [(1, 1), (2, 3), (16, 5), (50, 7), (1 << 21, 1 << 14)])
def test_any_batching_grouping_and_chunking(
    monkeypatch: pytest.MonkeyPatch, kind: str, size: int, group_rows: int, chunk_rows: int
) -> None:
    """One unit owns far more rows than a batch, a chunk and a group hold; its n is that of the whole partition."""
    monkeypatch.setattr(_worker, "GROUP_ROWS", group_rows)
    monkeypatch.setattr(_worker, "CHUNK_ROWS", chunk_rows)
    rows = some_rows(size, TEXTS if kind == "binary" else LONGS, heavy=100)
    made = batches(rows, size, pa.binary() if kind == "binary" else pa.int64())
    np.testing.assert_array_equal(counted(made), expected(rows))


def test_no_rows_no_batches_and_empty_batches() -> None:
    empty = np.zeros(PLAN.cells, dtype=np.int64)
    np.testing.assert_array_equal(counted([]), empty)
    np.testing.assert_array_equal(counted(batches([], 5, pa.int64())), empty)
    rows = some_rows(1, LONGS)
    made = batches(rows, 7, pa.int64())
    blank = batches([], 1, pa.int64())
    np.testing.assert_array_equal(counted([*blank, *made[:3], *blank, *made[3:], *blank]), expected(rows))


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 1000, 3 * S, 3 * S + 1])
def test_the_weight_of_a_unit(n: int) -> None:
    """n <= K rows weigh S each, more weigh (K S) div n: in all never more than K S, and K S exactly where n divides."""
    bits = np.zeros(n, dtype=np.int64)
    batch = pa.RecordBatch.from_arrays([pa.array(np.full(n, 7)), pa.array(bits), pa.array(bits)], ["unit", "w0", "w1"])
    total = int(counted([batch])[0])
    assert total == (n * S if n <= 3 else n * (3 * S // n))
    assert total <= 3 * S
    if (3 * S) % n == 0:
        assert total == min(n, 3) * S


def test_two_units_are_never_one() -> None:
    """Ids that a 32-bit hash, a float or a collation would merge stay apart: each has n = K here."""
    ids = [5, 5 + 2**32, 5 - 2**32, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
    rows: Case = [(unit, (1, 1, 1)) for unit in ids * 3]
    assert int(counted(batches(rows, 4, pa.int64()))[1]) == len(ids) * 3 * S
    texts: Case = [(text.encode(), (1, 1, 1)) for text in ["ab1", "AB1", "ab1 ", "0", "00", "é", "e\u0301"] * 3]
    assert int(counted(batches(texts, 4, pa.binary()))[1]) == 7 * 3 * S


def test_rows_as_units_weigh_s() -> None:
    rows = some_rows(3, LONGS, heavy=20)
    words = [pa.RecordBatch.from_arrays(batch.columns[1:], ["w0", "w1"]) for batch in batches(rows, 7, pa.int64())]
    (out,) = list(_worker.count_rows(PLAN)(iter(words)))
    np.testing.assert_array_equal(out.column("value").to_numpy(), expected(rows, by_unit=False))


def test_counts_and_weights_are_integers_beyond_what_doubles_hold() -> None:
    counter = _worker.Counter(PLAN)
    words = [np.zeros(_worker.CHUNK_ROWS * 2, dtype=np.int64)] * 2
    counter.counts[0][0] = 2**60 + 1
    counter.add(words, np.full(_worker.CHUNK_ROWS * 2, S - 1, dtype=np.int64))
    (out,) = counter.batches()
    assert out.column("value")[0].as_py() == 2**60 + 1 + _worker.CHUNK_ROWS * 2 * (S - 1)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 1000, 3 * S, 3 * S + 1, 2**36])
def test_weights_of_units(n: int) -> None:
    (weight,) = _worker.unit_weights(np.array([n], dtype=np.int64), 3, S).tolist()
    assert weight == (S if n <= 3 else 3 * S // n)
    assert weight * n <= 3 * S


@given(st.data())
def test_any_plan_counts_what_a_row_by_row_count_counts(data: st.DataObject) -> None:
    """Columns of any width in several words, cliques of one to four columns, wide ones included, any chunk."""
    sizes = data.draw(st.lists(st.sampled_from([1, 2, 5, 30, 300, 70_000]), min_size=1, max_size=6))
    books = {
        f"x{k}": CodeBook(f"x{k}", Numeric(bounds=(Decimal(0), Decimal(size)), integer=True, bins=size))
        for k, size in enumerate(sizes)
    }
    packing = Packing.of(books)
    names = st.lists(st.sampled_from(list(books)), min_size=1, max_size=3, unique=True).map(tuple)
    laid = tables(books, data.draw(st.lists(names, min_size=1, max_size=5, unique=True)))
    assume(table_fault(laid) is None)
    seed, rows = data.draw(st.integers(0, 2**32)), data.draw(st.integers(0, 40))
    rng = np.random.default_rng(seed)
    codes = {name: rng.integers(0, book.cells, rows) for name, book in books.items()}
    words = [np.zeros(rows, dtype=np.int64) for _ in range(packing.words)]
    for slot in packing.slots:
        words[slot.word] |= codes[slot.name] << slot.shift
    weights = rng.integers(0, S, rows)
    expected = np.zeros(sum(table.cells for table in laid), dtype=np.int64)
    for table in laid:
        cells = np.zeros(rows, dtype=np.int64) + table.offset
        for name, stride in zip(table.clique, table.strides, strict=True):
            cells += codes[name] * stride
        np.add.at(expected, cells, weights)
    plan = count_plan(packing, laid, 3, S)
    counter = _worker.Counter(plan)
    before, _worker.CHUNK_ROWS = _worker.CHUNK_ROWS, data.draw(st.sampled_from([1, 3, 7, 1 << 14]))
    try:
        counter.add(words, weights)
    finally:
        _worker.CHUNK_ROWS = before
    answer = pa.Table.from_batches(list(counter.batches()))
    assert answer["cell"].to_pylist() == list(range(len(expected)))
    np.testing.assert_array_equal(answer["value"].to_numpy(), expected)


def test_the_temporary_files_are_gone_after_an_error_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the source fails, the task is stopped in the middle, or all is read."""
    monkeypatch.setattr(_worker, "GROUP_ROWS", 2)
    files: list[IO[bytes]] = []

    def listed(**options: Any) -> IO[bytes]:
        files.append(tempfile.TemporaryFile(**options))  # noqa: SIM115 - the worker closes it
        return files[-1]

    monkeypatch.setattr(_worker, "tempfile", SimpleNamespace(TemporaryFile=listed))
    made = batches(some_rows(1, LONGS), 7, pa.int64())

    def failing() -> Iterator[pa.RecordBatch]:
        yield from made
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        list(_worker.count_units(PLAN)(failing()))
    stopped = _worker.Waiting().rows(made)
    next(stopped)
    stopped.close()
    counted(made)
    assert len(files) > 3
    assert all(file.closed for file in files)


def held_at_most(monkeypatch: pytest.MonkeyPatch, ids: Callable[[int], list[object]], groups: int) -> int:
    """Bytes at most while so many groups of 2048 rows wait: numpy's at all times, Arrow's when rows go in or out."""
    monkeypatch.setattr(_worker, "GROUP_ROWS", 2048)
    monkeypatch.setattr(_worker, "SPLIT_BITS", 1)  # so that files are split again
    before, arrow = pa.total_allocated_bytes(), [0]

    def source() -> Iterator[pa.RecordBatch]:
        for number in range(groups * 2):
            arrow.append(pa.total_allocated_bytes() - before)
            zeros = pa.array(np.zeros(1024, dtype=np.int64))
            yield pa.RecordBatch.from_arrays([pa.array(ids(number)), zeros, zeros], ["unit", "w0", "w1"])

    tracemalloc.start()
    try:
        waiting, rows = _worker.Waiting(), 0
        for _, codes, _ in waiting.rows(source()):
            arrow.append(pa.total_allocated_bytes() - before)
            rows += len(codes)
        numpy_peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert rows == groups * 2048
    assert waiting.units == len({unit for number in range(groups * 2) for unit in ids(number)})
    return numpy_peak + max(arrow)


@pytest.mark.parametrize("kind", ["one row each", "four rows each, far apart", "one unit"])
def test_memory_is_bounded_for_any_partition(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Ids of 200 bytes, whoever owns the rows: of 40 groups, 16 MB, no more is held than a few groups."""

    def ids(number: int) -> list[object]:
        if kind == "one unit":
            return [b"x" * 200] * 1024
        first = number * 1024 if kind == "one row each" else number * 1024 % (20 * 1024)
        return [f"{first + k:0200d}".encode() for k in range(1024)]

    held_at_most(monkeypatch, ids, 2)  # what is loaded once
    little = held_at_most(monkeypatch, ids, 8)
    much = held_at_most(monkeypatch, ids, 40)
    assert much < 2 * little
    assert much < 7_000_000


def test_long_ids_go_to_files_before_many_rows_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "GROUP_BYTES", 2000)
    groups = list(_worker._groups(batches([(b"x" * 500, (1, 1, 1))] * 60, 2, pa.binary())))
    assert [group.num_rows for group in groups] == [4] * 15
    rows: Case = [(bytes([k]) * 500, (1, 1, 1)) for k in range(20)] * 5
    np.testing.assert_array_equal(counted(batches(rows, 3, pa.binary())), expected(rows))


@pytest.mark.parametrize("kind", ["binary", "long"])
@pytest.mark.parametrize("hashes", ["equal", "equal in the first bits", "as they are"])
def test_hashes_decide_where_rows_wait_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, kind: str, hashes: str
) -> None:
    """Units whose hashes are equal, or equal as far as the files are split, are counted apart all the same."""
    monkeypatch.setattr(_worker, "GROUP_ROWS", 3)
    exact = _worker._hashes
    if hashes != "as they are":
        kept = 0 if hashes == "equal" else 0xFF << 40
        monkeypatch.setattr(_worker, "_hashes", lambda names: exact(names) & np.uint64(kept))
    ids = [f"p{k}".encode() if kind == "binary" else k * 2**40 for k in range(50)]
    rows = some_rows(5, ids, heavy=30)
    made = batches(rows, 4, pa.binary() if kind == "binary" else pa.int64())
    np.testing.assert_array_equal(counted(made), expected(rows))


def test_hashes_spread_ids() -> None:
    """Consecutive and strided numbers, and texts: no file gets more than thrice its share, by any six bits."""
    for names in (
        pa.array(np.arange(20_000)),
        pa.array(np.arange(20_000) * 2**32 - 2**40),
        pa.array([f"p{k:09d}".encode() for k in range(20_000)], type=pa.large_binary()),
    ):
        found = _worker._hashes(names)
        for level in range(_worker.SPLITS):
            shares = np.bincount(((found >> np.uint64(level * 6)) & np.uint64(63)).astype(int), minlength=64)
            assert shares.max() < 3 * 20_000 / 64


COUNTED = replace(PLAN, cells=226, population=225)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("group_rows", [1, 2, 16, 1 << 21])
def test_the_population_is_every_unit_once(monkeypatch: pytest.MonkeyPatch, size: int, group_rows: int) -> None:
    """However many batches, groups and files its rows are in; the marginals beside it are what they are without."""
    monkeypatch.setattr(_worker, "GROUP_ROWS", group_rows)
    for ids, kind in ((TEXTS, pa.binary()), (LONGS, pa.int64())):
        rows = some_rows(size, ids, heavy=100)
        (out,) = list(_worker.count_units(COUNTED)(iter(batches(rows, size, kind))))
        assert out.column("value")[225].as_py() == len({unit for unit, _ in rows}) * S
        np.testing.assert_array_equal(out.column("value").to_numpy()[:225], expected(rows))


def test_the_population_of_rows_and_of_nobody() -> None:
    rows = some_rows(3, LONGS, heavy=20)
    words = [pa.RecordBatch.from_arrays(batch.columns[1:], ["w0", "w1"]) for batch in batches(rows, 7, pa.int64())]
    (out,) = list(_worker.count_rows(COUNTED)(iter(words)))
    assert out.column("value")[225].as_py() == len(rows) * S
    for empty in ([], batches([], 5, pa.int64())):
        (out,) = list(_worker.count_units(COUNTED)(iter(empty)))
        assert not any(out.column("value").to_pylist())


@pytest.mark.parametrize(("population", "first"), [(None, 7), (6, 6), (3, 3), (11, 7)])
def test_the_population_has_a_cell_of_the_vector(population: int | None, first: int) -> None:
    """Before or after the tables; cells that nobody asked for would be zero."""
    books = {"a": CodeBook("a", Numeric(bounds=(Decimal(0), Decimal(1)), integer=True, bins=2, outside="missing"))}
    laid = tables(books, [("a",)], 7)
    plan = count_plan(Packing.of(books), laid, 3, S, population)
    assert first_cell(laid, population) == first
    assert plan.population == (None if population is None else population - first)
    assert plan.tables[0][0] == 7 - first
    assert plan.cells == max(11, 0 if population is None else population + 1) - first
