"""The counting worker alone, without a JVM: batches of any size, spilled groups, tiny chunks, many kinds of id."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from synthward.domain.cells import Packing, table_fault, tables
from synthward.domain.codes import CodeBook
from synthward.domain.spec import Numeric
from synthward.kernels import _worker
from synthward.kernels.marginals import count_plan

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


def test_the_temporary_file_is_gone_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "GROUP_ROWS", 2)
    waiting = _worker.Waiting()

    def failing() -> None:
        with waiting:
            waiting.add(batches(some_rows(1, LONGS), 7, pa.int64())[0])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        failing()
    assert waiting._file is not None
    assert waiting._file.closed
