"""From a fitted tree to rows: what is measured is kept, and nothing depends on anything else."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from benchmarks.fidelity_numpy import CodeCurator, drawn_codes, driven
from joint_fits import SeededNoise
from synthward.config.loader import bind
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.fit.base import Task
from synthward.fit.catalog import synthesizer
from synthward.fit.model import Model
from synthward.privacy.unit import PrivacyUnit
from synthward.spec.request import Synthesizer

ROWS = 100_000
VALUES = 3
DOMAIN = bind(
    "version: 1\nattributes:\n"
    + "".join(f"  {name}: {{type: categorical, required: true, values: [p, q, r]}}\n" for name in "abcd"),
    Domain,
)
CYCLE = (("a", "b"), ("b", "c"), ("c", "d"), ("a", "d"))


def fitted(rows: pd.DataFrame, *cliques: tuple[str, ...]) -> tuple[Model, pd.DataFrame]:
    """The directed model of some tables, measured with next to no noise, and rows drawn from it."""
    options = Synthesizer(name="fixed", cliques=cliques)
    unit = PrivacyUnit("row", 1)
    task = Task(DOMAIN, unit, "gaussian", Decimal(1000), Decimal("1e-9"), ROWS, options)
    model, _ = driven(synthesizer("fixed").rounds(task), CodeCurator(task, rows, SeededNoise()))
    return model, drawn_codes(model, codebooks(DOMAIN), ROWS, 1)


def table(rows: pd.DataFrame, *names: str) -> np.ndarray:
    """Shares, one axis a column."""
    shape = (VALUES,) * len(names)
    places = np.ravel_multi_index([rows[name].to_numpy() for name in names], shape)
    return np.bincount(places, minlength=VALUES ** len(names)).reshape(shape) / len(rows)


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float(np.abs(ours - theirs).sum()) / 2


def loop(seed: int) -> pd.DataFrame:
    """Neighbours in the loop a-b-c-d-a depend on each other, so that opposite columns are far from independent, too."""
    random = np.random.default_rng(seed)

    def like(other: np.ndarray, share: float) -> np.ndarray:
        return np.where(random.random(ROWS) < share, other, random.integers(0, VALUES, ROWS))

    a = random.choice(VALUES, ROWS, p=[0.5, 0.3, 0.2])
    b = like(a, 0.6)
    c = like(b, 0.6)
    return pd.DataFrame({"a": a, "b": b, "c": c, "d": np.where(random.random(ROWS) < 0.5, c, like(a, 0.5))})


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_a_fitted_loop_are_independent_across_it(seed: int) -> None:
    """Of a loop, opposite columns are independent given the other two, whichever chord the tree has."""
    rows = loop(seed)
    model, drawn = fitted(rows, *CYCLE)
    assert max(len(column.parents) for column in model.columns) == 2
    for names in CYCLE:
        assert distance(table(drawn, *names), table(rows, *names)) <= 0.003
    for first, second, given in (("a", "c", ("b", "d")), ("b", "d", ("a", "c"))):
        marginal = table(drawn, first, second)
        assert distance(marginal, np.outer(marginal.sum(axis=1), marginal.sum(axis=0))) > 0.1
        whole = table(drawn, *given, first, second)
        mass = whole.sum(axis=(2, 3), keepdims=True)
        apart = whole.sum(axis=3, keepdims=True) * whole.sum(axis=2, keepdims=True) / np.where(mass > 0, mass, 1)
        assert distance(whole, apart) <= 0.01


def test_a_relation_of_three_columns_is_kept_where_its_table_is_named() -> None:
    """C is a + b modulo 3: every pair is independent, so that only the joint table of all three tells."""
    random = np.random.default_rng(1)
    a, b, d = (random.integers(0, VALUES, ROWS) for _ in range(3))
    rows = pd.DataFrame({"a": a, "b": b, "c": (a + b) % VALUES, "d": d})
    _, kept = fitted(rows, ("a", "b", "c"))
    assert (kept["c"] == (kept["a"] + kept["b"]) % VALUES).mean() > 0.99
    _, lost = fitted(rows, *pairwise("abcd"))
    assert (lost["c"] == (lost["a"] + lost["b"]) % VALUES).mean() == pytest.approx(1 / VALUES, abs=0.02)
