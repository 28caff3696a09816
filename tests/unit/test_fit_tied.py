"""Columns that determine each other: they are found, move together, and a fit of them ends where it should."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest

from benchmarks.fidelity_numpy import CodeCurator, drawn_codes, driven
from joint_fits import SeededNoise, task
from synthward.domain.codes import codebooks
from synthward.domain.spec import Categorical, Domain
from synthward.errors import IntegrityError
from synthward.fit import refine
from synthward.fit.catalog import synthesizer
from synthward.fit.convergence import Misfit, misfit
from synthward.fit.field import Chains
from synthward.fit.model import Model
from synthward.fit.tied import MOST_COLUMNS, Block, explained, tied_blocks

ROWS = 8000
GRADES = 9
SIZES = (4, 4, 3)
CLIQUES = ((0, 1), (0, 2), (1, 2), (0, 1, 2))


def twins(seed: int = 1, count: int = 3000) -> np.ndarray:
    random = np.random.default_rng(seed)
    first = random.choice(4, count, p=[0.5, 0.3, 0.15, 0.05])
    third = np.where(random.random(count) < 0.5, first % 3, random.integers(0, 3, count))
    return np.stack([first, (first + 1) % 4, third])


def test_a_column_that_another_one_determines_is_tied_to_it() -> None:
    [block] = tied_blocks(Chains(twins(), SIZES, CLIQUES, 2))
    assert block.columns == (0, 1)
    assert sorted(map(tuple, block.states.tolist())) == [(0, 1), (1, 2), (2, 3), (3, 0)]
    apart = np.stack([np.random.default_rng(column).integers(0, 3, 3000) for column in range(3)])
    assert tied_blocks(Chains(apart, (3, 3, 3), CLIQUES, 1)) == ()


def test_a_coarser_column_is_tied_to_the_one_that_determines_it() -> None:
    counts = np.array([[5.0, 0], [5, 0], [0, 5], [0, 5]])
    assert explained(counts.T) == 1
    assert explained(counts) == pytest.approx(1 / 3)
    assert explained(np.array([[0.0, 0], [0, 4]])) == 0


def test_a_block_has_a_limited_number_of_columns() -> None:
    one = np.random.default_rng(1).integers(0, 3, 2000)
    cliques = [(a, b) for a in range(6) for b in range(a + 1, 6)]
    blocks = tied_blocks(Chains(np.stack([one] * 6), [3] * 6, cliques, 1))
    assert max(len(block.columns) for block in blocks) <= MOST_COLUMNS
    assert sum(len(block.columns) for block in blocks) == 6


def test_views_add_up_to_the_potentials_of_a_combination() -> None:
    rows, random = twins(), np.random.default_rng(3)
    chains = Chains(rows, SIZES, CLIQUES, 1)
    block = Block(chains, (0, 1), np.array([(0, 1), (1, 2), (3, 3)]))
    tables = [random.normal(size=[SIZES[column] for column in clique]) for clique in CLIQUES]
    singles = [random.normal(size=size) for size in SIZES]
    found = block.base(singles) + sum(values[codes] for codes, values in block.lookups(tables))
    for row in range(0, 3000, 211):
        for number, (first, second) in enumerate(block.states):
            group = {0: first, 1: second, 2: rows[2, row]}
            direct = singles[0][first] + singles[1][second]
            direct += sum(table[tuple(group[c] for c in clique)] for clique, table in zip(CLIQUES, tables, strict=True))
            assert found[row, number] == pytest.approx(direct, abs=1e-4)


def test_rows_with_a_rare_combination_keep_it_and_counts_stay_true() -> None:
    chains = Chains(twins(), SIZES, CLIQUES, 2)
    block = Block(chains, (0, 1), np.array([(0, 1), (1, 2)]))
    before = chains.rows.copy()
    block.redraw([np.zeros(size) for size in SIZES], [np.zeros([SIZES[c] for c in clique]) for clique in CLIQUES])
    other = ~np.isin(before[0], (0, 1))
    assert np.array_equal(chains.rows[:, other], before[:, other])
    moved = chains.rows[:2, ~other]
    assert set(map(tuple, moved.T.tolist())) == {(0, 1), (1, 2)}
    assert 0.45 < (moved[0] == 0).mean() < 0.55
    for column in range(3):
        for number, counted in zip(chains.tables_of[column], chains.counts(column), strict=True):
            direct = np.zeros(counted.shape)
            np.add.at(direct, tuple(chains.rows[c] for c in CLIQUES[number]), 1)
            assert np.array_equal(counted, direct)


def test_refinement_moves_tied_columns_to_their_targets() -> None:
    wanted, start = twins(5), twins(9)
    start[:2, :90] = np.array([[3], [0]])

    def tables(rows: np.ndarray) -> list[np.ndarray]:
        found = []
        for clique in CLIQUES:
            counted = np.zeros([SIZES[c] for c in clique])
            np.add.at(counted, tuple(rows[c] for c in clique), 1)
            found.append(counted)
        return found

    chains = Chains(start, SIZES, CLIQUES, 1, packed_cells=1)
    goal = refine.Goal([np.bincount(wanted[c], minlength=SIZES[c]) + 0.0 for c in range(3)], tables(wanted), 3000.0)
    flat, deep = [np.zeros(size) for size in SIZES], tables(wanted)
    potentials = [np.where(table > 0, 0.0, -np.inf) for table in deep]
    refine.refine(chains, flat, potentials, goal, 4)
    assert np.abs(np.bincount(chains.rows[0], minlength=4) - np.bincount(wanted[0], minlength=4)).sum() < 30
    assert np.array_equal(chains.rows[1], (chains.rows[0] + 1) % 4)


def redundant() -> tuple[Domain, pd.DataFrame]:
    """A level of education and its number, and two columns that depend on it."""
    random = np.random.default_rng(3)
    level = random.choice(GRADES, ROWS, p=[0.02, 0.05, 0.3, 0.2, 0.05, 0.2, 0.1, 0.05, 0.03])
    columns = {
        "level": level,
        "number": random.permutation(GRADES)[level],
        "job": np.where(random.random(ROWS) < 0.5, level % 5, random.integers(0, 5, ROWS)),
        "pay": (level + random.integers(0, 6, ROWS) > 7).astype(int),
    }
    sizes = {"level": GRADES, "number": GRADES, "job": 5, "pay": 2}
    values = {name: tuple(f"{name} {value}" for value in range(size)) for name, size in sizes.items()}
    attributes = {name: Categorical(required=True, values=listed) for name, listed in values.items()}
    return Domain(version=1, attributes=attributes), pd.DataFrame(columns)


def fitted(epsilon: str = "10", steps: int = 30) -> Model:
    domain, rows = redundant()
    asked = replace(task("few_round", epsilon, max_iterations=steps), domain=domain, declared_rows=ROWS)
    return driven(synthesizer("few_round").rounds(asked), CodeCurator(asked, rows, SeededNoise(1)))[0]


def off(model: Model) -> float:
    """The largest distance of a column of the model's rows to the real ones."""
    domain, real = redundant()
    drawn = drawn_codes(model, codebooks(domain), ROWS, 1)
    return max(
        float(np.abs(np.bincount(drawn[name], minlength=9) - np.bincount(real[name], minlength=9)).sum()) / 2 / ROWS
        for name in real
    )


@cache
def converged() -> Model:
    return fitted()


def test_a_fit_of_redundant_columns_reaches_its_tolerance_and_its_columns() -> None:
    ended = converged().convergence
    assert ended is not None
    assert ended.reached
    assert (ended.kind, ended.steps, ended.at_most) == ("field", 30, 30)
    assert ended.worst.distance < 0.005
    assert off(converged()) < 0.006


def test_a_fit_that_stops_short_says_so(caplog: pytest.LogCaptureFixture) -> None:
    ended = fitted(steps=1).convergence
    assert ended is not None
    assert not ended.reached
    assert (ended.steps, ended.at_most) == (1, 1)
    short = [each for each in caplog.records if "stopped short" in each.getMessage()]
    # The tree that the field starts from is a guess, told at the level of information only.
    [line] = [each for each in short if each.levelname == "WARNING"]
    assert "field, 1 of at most 1 steps" in line.getMessage()


def test_the_record_of_a_fit_is_kept_with_the_model() -> None:
    again = Model.parse(converged().text, converged().digest)
    assert again.convergence == converged().convergence
    assert again.digest == converged().digest
    without = replace(converged(), convergence=None)
    assert "convergence" not in without.body
    assert Model.parse(without.text).convergence is None


@pytest.mark.parametrize(
    "harm",
    [
        {"kind": "forest"},
        {"steps": -1},
        {"steps": 1.5},
        {"reached": 1},
        {"distance": float("nan")},
        {"distance": 0.9},
        {"worst": {"columns": [], "distance": 0.5}},
        {"worst": {"columns": ["level"]}},
    ],
)
def test_a_damaged_record_of_a_fit_is_refused(harm: dict[str, object]) -> None:
    body = json.loads(converged().text)
    body["convergence"] |= harm
    with pytest.raises(IntegrityError, match="damaged"):
        Model.from_body(body)


def test_a_misfit_is_what_noise_does_not_explain() -> None:
    rows, noisy, none = np.array([60.0, 40.0]), np.array([50.0, 50.0]), np.zeros(2)
    assert misfit(("a",), rows, noisy, none, 100.0) == Misfit(("a",), 0.1)
    assert misfit(("a",), rows, noisy, np.full(2, 25.0), 100.0).distance == pytest.approx(0.1 - 0.0399, abs=1e-4)
    assert misfit(("a",), rows, noisy, np.full(2, 1e6), 100.0).distance == 0
