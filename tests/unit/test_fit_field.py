"""Fields: chains count what they hold, a fit meets its tables, refinement meets them better, zeros stay empty."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from benchmarks.fidelity_numpy import drawn_codes
from joint_fits import BOOKS, DOMAIN, data, run, task
from synthward.errors import IntegrityError, UsageError
from synthward.fit.estimate import Target
from synthward.fit.field import Chains, Field, fit_field
from synthward.fit.model import Model
from synthward.fit.prototypes import MANY, MOST_EXACT, prototype_count, prototypes
from synthward.fit.refine import Goal, refine
from synthward.privacy.queries import Scores
from synthward.sample._worker import SamplePlan, Sampler, sample_blocks
from synthward.sample.blocks import sample_plan
from synthward.sample.model_file import ModelFile
from synthward.sample.where import plan_where

SIZES = (3, 4, 5)
PAIRS = ((0, 1), (1, 2), (0, 2))
ALL_PAIRS = tuple(combinations(DOMAIN.attributes, 2))


@cache
def fitted(epsilon: str = "10") -> Model:
    return run(task("few_round", epsilon))[0]


def rows_of(seed: int, count: int = 4000) -> np.ndarray:
    random = np.random.default_rng(seed)
    first = random.integers(0, 3, count)
    second = np.where(random.random(count) < 0.6, first, random.integers(0, 4, count))
    third = np.where(random.random(count) < 0.5, 4 - first, random.integers(0, 5, count))
    return np.stack([first, second, third])


def table(rows: np.ndarray, clique: tuple[int, ...]) -> np.ndarray:
    counted = np.zeros([SIZES[column] for column in clique])
    np.add.at(counted, tuple(rows[column] for column in clique), 1)
    return counted


def distance(model: Model, pair: tuple[str, str], real: pd.DataFrame | None = None) -> float:
    real = data() if real is None else real
    return pair_distance(drawn_codes(model, BOOKS, len(real), 5), real, pair)


def pair_distance(drawn: pd.DataFrame, real: pd.DataFrame, pair: tuple[str, str]) -> float:
    shape = [BOOKS[name].cells for name in pair]
    tables = []
    for frame in (drawn, real):
        codes = [frame[name].to_numpy() for name in pair]
        codes = [np.where(code < 0, BOOKS[name].cells - 3 - code, code) for code, name in zip(codes, pair, strict=True)]
        tables.append(np.bincount(np.ravel_multi_index(codes, shape), minlength=int(np.prod(shape))) / len(frame))
    return float(np.abs(tables[0] - tables[1]).sum()) / 2


def test_chains_count_what_they_hold_whatever_is_put_into_them() -> None:
    rows = rows_of(1)
    cliques = (*PAIRS, (0, 1, 2))
    chains = Chains(rows, SIZES, cliques, 3)
    random = np.random.default_rng(2)
    for column in (0, 2, 1):
        part = random.permutation(4000)[:700]
        chains.put(column, part, random.integers(0, SIZES[column], 700))
    for column in range(3):
        for number, counted in zip(chains.tables_of[column], chains.counts(column), strict=True):
            assert np.array_equal(counted, table(chains.rows, cliques[number]))


def test_lookups_add_up_to_the_potentials_of_a_column() -> None:
    rows, cliques = rows_of(1), (*PAIRS, (0, 1, 2))
    chains = Chains(rows, SIZES, cliques, 3)
    random = np.random.default_rng(4)
    tables = [random.normal(size=[SIZES[column] for column in clique]) for clique in cliques]
    for column in range(3):
        found = sum(values[codes] for codes, values in chains.lookups(column, tables))
        direct = np.zeros((4000, SIZES[column]))
        for clique, values in zip(cliques, tables, strict=True):
            if column in clique:
                place = [rows[other] if other != column else slice(None) for other in clique]
                for row in range(0, 4000, 97):
                    direct[row] += values[
                        tuple(each[row] if other != column else each for other, each in zip(clique, place, strict=True))
                    ]
        assert np.allclose(np.asarray(found)[::97], direct[::97])


def test_a_fit_meets_tables_without_noise() -> None:
    real = rows_of(1, 60_000)
    tables = [
        Target(tuple("abc"[c] for c in pair), table(real, pair), np.ones([SIZES[c] for c in pair])) for pair in PAIRS
    ]
    singles = [Target(("abc"[c],), table(real, (c,)), np.ones(SIZES[c])) for c in range(3)]
    start = Field(
        ("a", "b", "c"),
        tuple(np.log(single.counts / single.counts.sum()) for single in singles),
        {each.clique: np.zeros(each.counts.shape) for each in tables},
    )
    random = np.random.default_rng(1)
    rows = np.stack([random.permutation(column)[: 2**14] for column in real])
    found = fit_field(start, rows, singles, tables, [1e-6] * 3, 60_000.0, 60, 1)
    for each in tables:
        assert np.abs(found.expected[each.clique] - each.counts).sum() / 2 / 60_000 < 0.007
    assert max(found.gaps.values()) < 0.007
    again = fit_field(
        start,
        np.stack([np.random.default_rng(1).permutation(c)[: 2**14] for c in real]),
        singles,
        tables,
        [1e-6] * 3,
        60_000.0,
        2,
        1,
    )
    assert again.sweeps == 2


def test_a_fit_shrinks_cells_that_are_mostly_noise() -> None:
    even = [np.full(SIZES[c], 4000.0 / SIZES[c]) for c in range(2)]
    noisy = np.outer(even[0], even[1]) / 4000.0 + np.where(np.add.outer(range(3), range(4)) % 2, 150.0, -150.0)
    noisy -= noisy.sum(axis=1, keepdims=True) / 4 - 4000 / 3 / 4
    noisy -= noisy.sum(axis=0, keepdims=True) / 3 - 4000 / 4 / 3
    start = Field(("a", "b"), tuple(np.zeros(SIZES[c]) for c in range(2)), {("a", "b"): np.zeros((3, 4))})
    random = np.random.default_rng(1)

    def strength(ridge: float) -> float:
        rows = np.stack([random.integers(0, SIZES[c], 2**13) for c in range(2)])
        singles = [Target((name,), even[place], np.ones(len(even[place]))) for place, name in enumerate("ab")]
        target = Target(("a", "b"), noisy, np.full((3, 4), 150.0**2))
        found = fit_field(start, rows, singles, [target], [ridge], 4000.0, 40, 1).expected["a", "b"]
        return float(np.abs(found - 4000 / 12).sum())

    assert strength(0.1) < 0.4 * strength(1e-9)


def test_refinement_brings_rows_to_their_targets_and_only_where_there_are_some() -> None:
    wanted, rows = rows_of(1), rows_of(9).copy()
    chains = Chains(rows, SIZES, PAIRS, 5)
    goal = Goal([table(wanted, (c,)) for c in range(3)], [table(wanted, pair) for pair in PAIRS], 4000.0)
    flat = [np.zeros(size) for size in SIZES]
    none = [np.zeros([SIZES[c] for c in pair]) for pair in PAIRS]
    before = [np.abs(table(chains.rows, pair) - table(wanted, pair)).sum() / 8000 for pair in PAIRS]
    refine(chains, flat, none, goal, 7)
    after = [np.abs(table(chains.rows, pair) - table(wanted, pair)).sum() / 8000 for pair in PAIRS]
    assert max(before) > 0.02
    assert max(after) < 0.005
    held = chains.rows.copy()
    refine(chains, flat, none, Goal([None] * 3, [None] * 3, 4000.0), 8)
    assert np.array_equal(held, chains.rows)


@pytest.mark.parametrize("pair", ALL_PAIRS)
def test_every_pair_is_kept_also_those_that_no_tree_under_the_cap_holds(pair: tuple[str, str]) -> None:
    assert distance(fitted(), pair) < 0.02


def test_more_budget_is_never_worse() -> None:
    # Four thousand rows, which a fit has the fewest chains for; noise and budgets are those of five times as many.
    real = data().iloc[:4000].reset_index(drop=True)

    def error(epsilon: str, seed: int) -> float:
        asked = replace(task("few_round", epsilon), declared_rows=len(real))
        drawn = drawn_codes(run(asked, seed, real)[0], BOOKS, len(real), 5)
        return float(np.mean([pair_distance(drawn, real, pair) for pair in ALL_PAIRS]))

    medians = [float(np.median([error(epsilon, seed) for seed in range(3)])) for epsilon in ("2.5", "10", "40")]
    assert all(more < less for less, more in pairwise(medians))


def test_scores_are_asked_for_only_where_tables_would_be_noisy() -> None:
    def asks(epsilon: str) -> bool:
        return any(isinstance(item.query, Scores) for each in run(task("few_round", epsilon))[1] for item in each.asked)

    assert asks("0.1")
    assert not asks("10")


def test_structural_zeros_stay_empty_in_rows_of_any_number() -> None:
    zeros = ({"x": ("A",), "y": ("A", "B")}, {"age": ("95",), "z": ("B",)})
    model = run(task("few_round", "1", zeros=zeros))[0]
    for rows in (500, 30_000):
        drawn = drawn_codes(model, BOOKS, rows, 2)
        assert not ((drawn["x"] == 0) & drawn["y"].isin([0, 1])).any()
        assert not ((drawn["age"] == 9) & (drawn["z"] == 1)).any()


def test_prototypes_are_a_function_of_model_number_and_seed() -> None:
    model = fitted()
    assert np.array_equal(prototypes(model, 3000, 1), prototypes(model, 3000, 1))
    assert not np.array_equal(prototypes(model, 3000, 1), prototypes(model, 3000, 2))
    assert prototypes(model, 3000, 1).shape == (4, 3000)
    assert [prototype_count(rows) for rows in (7, MOST_EXACT, MOST_EXACT + 1)] == [7, MOST_EXACT, MANY]


def test_every_block_of_a_large_sample_holds_every_prototype() -> None:
    plan = sample_plan(fitted(), BOOKS, MOST_EXACT + MANY // 2, 1)
    assert plan.block_rows == MANY
    assert plan.prototypes is not None
    blocks = [
        [
            np.concatenate(parts)
            for parts in zip(*([c.copy() for c in b] for b in Sampler(plan).batches(n)), strict=True)
        ]
        for n in range(3)
    ]
    assert [len(block[0]) for block in blocks] == [MANY, MANY, MANY // 2]
    ages = [np.bincount(block[0] + 2, minlength=8) for block in blocks[:2]]
    assert np.array_equal(*ages)
    assert not np.array_equal(blocks[0][0], blocks[1][0])


@pytest.mark.parametrize("partitions", [1, 2, 7, 64])
def test_a_release_is_the_same_for_any_number_of_partitions(partitions: int) -> None:
    plan = sample_plan(fitted(), BOOKS, MANY * 4 + 100, 1)
    whole = pa.Table.from_batches(drawn_by(plan, range(5)))
    blocks = np.array_split(np.random.default_rng(partitions).permutation(5), partitions)
    parts = [batch for part in blocks for batch in drawn_by(plan, part.tolist())]
    assert pa.Table.from_batches(parts).sort_by("_row").equals(whole)


def drawn_by(plan: SamplePlan, blocks: Iterable[int]) -> list[pa.RecordBatch]:
    """What a task draws that has these blocks; each task has a plan of its own, as after a journey."""
    numbers = pa.RecordBatch.from_arrays([pa.array(list(blocks), pa.int64())], names=["id"])
    return list(sample_blocks(copy.deepcopy(plan))(iter([numbers])))


def test_wanted_values_are_met_and_the_rest_follows() -> None:
    file = ModelFile(fitted(), DOMAIN)
    plan = plan_where(file, 20_000, 1, {"x": {"A": 0.1, "C": 0.9}})
    columns = [
        np.concatenate(parts) for parts in zip(*([c.copy() for c in b] for b in Sampler(plan).batches(0)), strict=True)
    ]
    x, y = columns[0], columns[1]
    assert np.bincount(x, minlength=3)[:3] / len(x) == pytest.approx([0.1, 0.0, 0.9], abs=0.002)
    real = data()
    shares = np.bincount(real["y"][real["x"] == 2], minlength=4)[:4] / (real["x"] == 2).sum()
    assert np.bincount(y[x == 2], minlength=4)[:4] / (x == 2).sum() == pytest.approx(shares, abs=0.03)


def test_wanted_values_that_zeros_exclude_are_refused() -> None:
    model = run(task("few_round", "1", zeros=({"x": ("A",), "y": ("A",)},)))[0]
    with pytest.raises(UsageError, match="gives no row what is wanted"):
        plan_where(ModelFile(model, DOMAIN), 100, 1, {"x": "A", "y": "A"})


def test_a_model_with_a_field_is_one_text_and_comes_back_from_it() -> None:
    file = ModelFile(fitted(), DOMAIN)
    again = ModelFile.parse(file.text, file.model.digest)
    assert again.model.digest == file.model.digest
    assert again.model.body["format"] == 4  # columns that clip; without them it is 3
    assert np.array_equal(prototypes(again.model, 500, 1), prototypes(file.model, 500, 1))


@pytest.mark.parametrize(
    "harm",
    [
        lambda field: field["tables"][0].update(shape=[1, 2]),
        lambda field: field["tables"][0].update(shape=[-3, -4]),
        lambda field: field["tables"][0].update(columns=["x", "nobody"]),
        lambda field: field.update(total=-1),
        lambda field: field.update(total=float("nan")),
        lambda field: field.update(rows=field["rows"][:8]),
        lambda field: field["columns"].pop(),
        lambda field: field["columns"][0].update(targets=field["columns"][1]["potentials"]),
        lambda field: field.pop("rows"),
    ],
)
def test_a_damaged_field_is_refused(harm: object) -> None:
    body = json.loads(json.dumps(fitted().body))
    harm(body["field"])  # type: ignore[operator]
    with pytest.raises(IntegrityError, match="damaged"):
        Model.from_body(body)


def test_a_model_with_a_field_has_no_columns_with_parents() -> None:
    model = fitted()
    child = replace(
        model.columns[1],
        parents=(model.columns[0].name,),
        probabilities=np.tile(model.columns[1].probabilities, (model.columns[0].group_count, 1)),
    )
    with pytest.raises(ValueError, match="no columns with parents"):
        replace(model, columns=(model.columns[0], child, *model.columns[2:]))
