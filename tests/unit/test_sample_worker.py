"""Sampling without a JVM: exact expectations, independence given the parents, determinism."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest

from synthward.domain.codes import MISSING, OTHER, CodeBook
from synthward.domain.spec import Boolean, Categorical, Numeric
from synthward.errors import UsageError
from synthward.fit import model as model_module
from synthward.fit.model import ColumnModel, Model
from synthward.sample import _worker, blocks
from synthward.sample.blocks import sample_plan, task_count

COLOURS = Categorical(values=("r", "g", "b"))
FLAG = Boolean()
GRADE = Numeric(bounds=(Decimal(0), Decimal(19)), integer=True, bins=4)


def books(**attributes: object) -> dict[str, CodeBook]:
    return {name: CodeBook(name, attribute) for name, attribute in attributes.items()}  # type: ignore[arg-type]


def conditional(rng: np.random.Generator, groups: int, cells: int) -> np.ndarray:
    """Random distributions, some with cells of probability 0."""
    table = rng.dirichlet(np.full(cells, 0.7), groups)
    table[rng.random(table.shape) < 0.15] = 0
    table[:, 0] += 1e-3
    return table / table.sum(axis=1, keepdims=True)


def rows_of(plan: _worker.SamplePlan) -> np.ndarray:
    """All rows as places, shape (columns, rows)."""
    sampler = _worker.Sampler(plan)
    drawn = [part for block in range(-(-plan.rows // plan.block_rows)) for part in sampler.batches(block)]
    return np.concatenate([np.stack(part) for part in drawn], axis=1)


def joint(first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.bincount(first * shape[1] + second, minlength=shape[0] * shape[1]).reshape(shape) / len(first)


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).sum()) / 2


def tree(rng: np.random.Generator) -> Model:
    """Y and Z depend on X, which is drawn in the middle of the release order."""
    x = rng.dirichlet(np.ones(5))
    return Model(
        "test",
        "",
        (
            ColumnModel("y", conditional(rng, 5, 5), parents=("x",)),
            ColumnModel("x", x),
            ColumnModel("z", conditional(rng, 5, 5), parents=("x",)),
        ),
        ("x", "y", "z"),
    )


def codes(places: np.ndarray) -> np.ndarray:
    """Cells of places of a column of three codes."""
    return np.where(places == OTHER, 3, np.where(places == MISSING, 4, places))


@pytest.mark.parametrize("seed", range(5))
def test_children_of_one_parent_are_independent_given_it(seed: int) -> None:
    model = tree(np.random.default_rng(seed))
    declared = books(**dict.fromkeys("yxz", COLOURS))
    y, x, z = (codes(part) for part in rows_of(sample_plan(model, declared, 100_000, seed)))
    px, py, pz = (model.column(name).probabilities for name in "xyz")
    assert distance(joint(y, z, (5, 5)), np.einsum("x,xy,xz->yz", px, py, pz)) <= 0.01
    for code in range(5):  # given each value of the parent as well
        given = x == code
        if given.sum() > 5_000:
            assert distance(joint(y[given], z[given], (5, 5)), np.outer(py[code], pz[code])) <= 0.025


@pytest.mark.parametrize("seed", range(5))
def test_a_loop_with_its_chord(seed: int) -> None:
    """A, B, C, D in a loop with the chord B-D: A independent of C given (B, D), every measured pair as in the model."""
    rng = np.random.default_rng(seed)
    b = rng.dirichlet(np.ones(5))
    d = conditional(rng, 5, 5)
    a, c = conditional(rng, 25, 5), conditional(rng, 25, 5)
    columns = (
        ColumnModel("a", a, parents=("d", "b")),
        ColumnModel("b", b),
        ColumnModel("c", c, parents=("b", "d")),
        ColumnModel("d", d, parents=("b",)),
    )
    model = Model("test", "", columns, ("b", "d", "a", "c"))
    declared = books(**dict.fromkeys("abcd", COLOURS))
    A, B, C, D = (codes(part) for part in rows_of(sample_plan(model, declared, 100_000, seed)))
    whole = np.einsum("b,bd,dba,bdc->abcd", b, d, a.reshape(5, 5, 5), c.reshape(5, 5, 5))
    assert distance(joint(A, C, (5, 5)), whole.sum(axis=(1, 3))) <= 0.01
    for ours, theirs, kept in ((A, B, (2, 3)), (B, C, (0, 3)), (C, D, (0, 1)), (B, D, (0, 2))):
        assert distance(joint(ours, theirs, (5, 5)), whole.sum(axis=kept)) <= 0.002
    assert distance(joint(D, A, (5, 5)), whole.sum(axis=(1, 2)).T) <= 0.002
    triple = np.bincount(A * 25 + B * 5 + D, minlength=125).reshape(5, 5, 5) / 100_000
    assert distance(triple, whole.sum(axis=2)) <= 0.004


def chain_of(columns: int, rng: np.random.Generator) -> tuple[Model, dict[str, CodeBook]]:
    names = [f"k{place}" for place in range(columns)]
    values = Categorical(values=tuple("0123456789"))
    made = [ColumnModel(names[0], rng.dirichlet(np.ones(12)))]
    made += [ColumnModel(child, conditional(rng, 12, 12), parents=(parent,)) for parent, child in pairwise(names)]
    return Model("test", "", tuple(made), tuple(names)), books(**dict.fromkeys(names, values))


def test_pairs_of_a_block_are_close_to_the_model() -> None:
    """2^18 rows: a parent and its child are within a thousandth of the model."""
    model, declared = chain_of(4, np.random.default_rng(1))
    rows = rows_of(sample_plan(model, declared, 2**18, 3))
    cells = [np.where(part < 0, 9 - part, part) for part in rows]  # OTHER is 10, MISSING is 11
    share = model.columns[0].probabilities
    for place in range(1, 4):
        pair = share[:, None] * model.columns[place].probabilities
        assert distance(joint(cells[place - 1], cells[place], (12, 12)), pair) <= 0.001
        share = pair.sum(axis=0)


def test_every_cell_of_a_group_gets_its_expected_count_up_to_one() -> None:
    rng = np.random.default_rng(2)
    probabilities = np.array([0.0, 0.3, 1e-9, 0.2, 0.0, 0.5 - 1e-9, 0.0])
    attribute = Categorical(values=tuple("abcde"))
    for rows in (1, 2, 3, 1000, 2**18):
        model = Model("test", "", (ColumnModel("c", probabilities),), ("c",))
        (cells,) = rows_of(sample_plan(model, books(c=attribute), rows, int(rng.integers(2**62))))
        found = np.bincount(np.where(cells < 0, 4 - cells, cells), minlength=7)
        assert np.all(np.abs(found - probabilities * rows) < 1)
        assert not found[probabilities == 0].any()


def test_a_group_of_probability_0_draws_nothing_and_harms_nothing() -> None:
    columns = (
        ColumnModel("x", np.array([0.5, 0.0, 0.5, 0.0, 0.0])),
        ColumnModel("y", np.eye(5), parents=("x",)),
    )
    x, y = rows_of(sample_plan(Model("test", "", columns, ("x", "y")), books(x=COLOURS, y=COLOURS), 1001, 1))
    np.testing.assert_array_equal(x, y)
    assert set(x.tolist()) == {0, 2}


def test_values_are_uniform_inside_their_bin() -> None:
    declared = books(g=GRADE, f=FLAG)
    starts = np.array(GRADE.grid.starts)
    grade = ColumnModel("g", np.array([0.4, 0.1, 0.0, 0.3, 0.1, 0.1]), starts, 20)
    flag = ColumnModel("f", conditional(np.random.default_rng(1), 6, 4), parents=("g",))
    g, f = rows_of(sample_plan(Model("test", "", (grade, flag), ("g", "f")), declared, 100_000, 4))
    found = np.bincount(np.where(g < 0, 19 - g, g), minlength=22) / 100_000
    expected = np.append(np.repeat([0.08, 0.02, 0.0, 0.06], 5), [0.1, 0.1])
    np.testing.assert_allclose(found, expected, atol=0.004)
    assert not found[10:15].any()
    # The child depends on the bin, so inside a bin it is independent of the value.
    for low in (0, 15):
        inside = [f[g == place] for place in range(low, low + 5)]
        for part in inside[1:]:
            assert abs(np.mean(part == 1) - np.mean(inside[0] == 1)) < 0.04


def test_rows_depend_on_seed_and_number_only() -> None:
    model, declared = chain_of(3, np.random.default_rng(5))
    plan = replace(sample_plan(model, declared, 1000, 7), block_rows=300)
    whole = rows_of(plan)
    np.testing.assert_array_equal(whole, rows_of(plan))
    for first, second in pairwise([rows_of(replace(plan, seed=seed)) for seed in (6, 7, 8)]):
        assert np.mean(first == second) < 0.5
    # Any order of blocks, any split into tasks, with a sampler that was used before.
    run = _worker.sample_blocks(plan)
    ids = [pa.RecordBatch.from_arrays([pa.array(part)], names=["id"]) for part in ([3], [1, 0], [2])]
    found = pa.Table.from_batches(list(run(iter(ids)))).sort_by("_row")
    assert found["_row"].to_pylist() == list(range(1000))
    for place in range(3):
        np.testing.assert_array_equal(found[f"c{place}"].to_numpy(), whole[place])


@pytest.mark.parametrize("groups", [1, 3, 100, 2**20])
@pytest.mark.parametrize("rows", [1, 2, 1000, 50_000])
def test_keys_are_sorted_whatever_their_groups(groups: int, rows: int) -> None:
    rng = np.random.default_rng(groups + rows)
    group_bits = (groups - 1).bit_length()
    keys = rng.integers(0, 2**63, rows).astype(np.uint64) * np.uint64(2)
    if group_bits:
        mine = np.minimum(rng.geometric(0.3, rows), groups) - 1  # most groups empty, a few crowded
        keys = keys >> np.uint64(group_bits) | mine.astype(np.uint64) << np.uint64(64 - group_bits)
    keys = keys & ~np.uint64(2**16 - 1) | np.arange(rows, dtype=np.uint64)
    sampler = _worker.Sampler(_worker.SamplePlan((), (), 1, rows, rows))
    np.testing.assert_array_equal(sampler._sorted(keys.copy()), np.sort(keys))


def test_blocks_and_columns_have_streams_of_their_own() -> None:
    """Columns with one distribution are independent, and so are the blocks of one column."""
    even = np.append(np.full(10, 0.1), [0, 0])
    declared = books(**dict.fromkeys("abc", Categorical(values=tuple("0123456789"))))
    model = Model("test", "", tuple(ColumnModel(name, even) for name in "abc"), ("a", "b", "c"))
    plan = replace(sample_plan(model, declared, 40_000, 1), block_rows=20_000)
    rows = rows_of(plan)
    flat = np.full((10, 10), 0.01)
    for first, second in ((0, 1), (1, 2), (0, 2)):
        assert distance(joint(rows[first], rows[second], (10, 10)), flat) < 0.03
    assert distance(joint(rows[0][:20_000], rows[0][20_000:], (10, 10)), flat) < 0.03


def test_the_rows_of_a_format_stay_the_same() -> None:
    """Other rows from the same seed would be another format of the model."""
    grade = ColumnModel("g", np.array([0.25, 0.0, 0.5, 0.125, 0.125, 0.0]), np.array(GRADE.grid.starts), 20)
    halves = [[1, 0, 0, 0, 1], [0, 2, 0, 0, 0], [0, 0, 1, 1, 0], [1, 1, 0, 0, 0], [0, 2, 0, 0, 0], [2, 0, 0, 0, 0]]
    flag = np.tile(np.array([0.5, 0.25, 0.0, 0.25]), (30, 1))
    columns = (
        ColumnModel("f", flag, parents=("g", "c")),
        ColumnModel("c", np.array(halves) / 2, parents=("g",)),
        grade,
    )
    plan = sample_plan(Model("test", "", columns, ("g", "c", "f")), books(f=FLAG, c=COLOURS, g=GRADE), 12, 2026)
    assert rows_of(plan).tolist() == FORMAT_2_ROWS


FORMAT_2_ROWS = [
    [-2, 0, -2, -2, -2, 0, 0, 0, 0, 0, -2, 0],
    [0, 1, 1, -1, 0, 2, -1, -2, 2, 0, 2, -1],
    [18, 16, -1, 12, 1, 12, 10, 1, 11, 4, 11, 12],
]


def test_a_model_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model, declared = chain_of(2, np.random.default_rng(1))
    monkeypatch.setattr(blocks, "MAX_CELLS", model.cells)
    sample_plan(model, declared, 10, 1)
    monkeypatch.setattr(blocks, "MAX_CELLS", model.cells - 1)
    with pytest.raises(UsageError, match=f"{model.cells} probabilities.*at most {model.cells - 1}"):
        sample_plan(model, declared, 10, 1)
    assert model_module.MAX_CELLS * 8 <= 2**26


@pytest.mark.parametrize(
    ("rows", "rows_per_task", "tasks"),
    [(1, 2**21, 1), (2**18, 2**21, 1), (2**21, 2**21, 1), (2**21 + 1, 2**21, 2), (10**7, 2**21, 5), (10**6, 1024, 4)],
)
def test_tasks_and_files_follow_from_public_numbers(rows: int, rows_per_task: int, tasks: int) -> None:
    """Files have whole blocks, and about the rows that the site asks for."""
    assert task_count(rows, 2**18, rows_per_task) == tasks
    assert tasks <= -(-rows // 2**18)
