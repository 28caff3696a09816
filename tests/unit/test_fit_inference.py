"""Inference against brute force on every cell of small joints, and against `mbi` where it is installed."""

from __future__ import annotations

import importlib.metadata
import os
import random
import sys
from typing import Any

import numpy as np
import pytest

from synthward.fit.inference import Inference
from synthward.fit.junction import tree_of

Cliques = list[tuple[str, ...]]


def problem(seed: int) -> tuple[dict[str, int], Cliques, list[np.ndarray]]:
    chance, noise = random.Random(seed), np.random.default_rng(seed)
    sizes = {name: chance.randint(2, 4) for name in "abcdefg"}
    cliques = [tuple(chance.sample(list(sizes), chance.choice([1, 2, 2, 3]))) for _ in range(6)]
    return sizes, cliques, [noise.normal(size=[sizes[name] for name in clique]) * 2 for clique in cliques]


def spread(table: np.ndarray, clique: tuple[str, ...], sizes: dict[str, int]) -> np.ndarray:
    order = [clique.index(name) for name in sizes if name in clique]
    return table.transpose(order).reshape([sizes[name] if name in clique else 1 for name in sizes])


def brute_force(sizes: dict[str, int], cliques: Cliques, potentials: list[np.ndarray]) -> tuple[float, np.ndarray]:
    joint = np.zeros(list(sizes.values()))
    for clique, table in zip(cliques, potentials, strict=True):
        joint = joint + spread(table, clique, sizes)
    mass = np.exp(joint)
    return float(np.log(mass.sum())), mass / mass.sum()


def summed(joint: np.ndarray, clique: tuple[str, ...], sizes: dict[str, int]) -> np.ndarray:
    names = list(sizes)
    kept = [name for name in names if name in clique]
    table = joint.sum(axis=tuple(place for place, name in enumerate(names) if name not in clique))
    return table.transpose([kept.index(name) for name in clique])


@pytest.mark.parametrize("seed", range(25))
def test_marginals_are_those_of_the_joint(seed: int) -> None:
    sizes, cliques, potentials = problem(seed)
    log_z, joint = brute_force(sizes, cliques, potentials)
    inference = Inference(tree_of(sizes, cliques), sizes, cliques)
    found_log_z, found = inference.marginals(potentials)
    assert found_log_z == pytest.approx(log_z, abs=1e-9)
    for clique, table in zip(cliques, found, strict=True):
        np.testing.assert_allclose(table, summed(joint, clique, sizes), atol=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_any_columns_together(seed: int) -> None:
    """Columns of different tables, of different components, and all at once."""
    sizes, cliques, potentials = problem(seed)
    _, joint = brute_force(sizes, cliques, potentials)
    inference = Inference(tree_of(sizes, cliques), sizes, cliques)
    _, beliefs = inference.beliefs(potentials)
    chance = random.Random(seed)
    for count in (1, 2, 2, 3, 4, 7):
        wanted = tuple(chance.sample(list(sizes), count))
        np.testing.assert_allclose(inference.joint(beliefs, wanted), summed(joint, wanted, sizes), atol=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_zeros_stay_zeros(seed: int) -> None:
    sizes, cliques, potentials = problem(seed)
    place = next(place for place, clique in enumerate(cliques) if len(clique) > 1)
    potentials[place][0] = -np.inf
    _, joint = brute_force(sizes, cliques, potentials)
    inference = Inference(tree_of(sizes, cliques), sizes, cliques)
    _, found = inference.marginals(potentials)
    assert not found[place][0].any()
    for clique, table in zip(cliques, found, strict=True):
        np.testing.assert_allclose(table, summed(joint, clique, sizes), atol=1e-12)


def test_no_row_possible() -> None:
    sizes, cliques = {"a": 2, "b": 2}, [("a",), ("a", "b")]
    potentials = [np.array([-np.inf, 0.0]), np.array([[0.0, 0.0], [-np.inf, -np.inf]])]
    assert Inference(tree_of(sizes, cliques), sizes, cliques).beliefs(potentials)[0] == -np.inf


def test_large_potentials_do_not_overflow() -> None:
    sizes, cliques = {"a": 3, "b": 3, "c": 2}, [("a", "b"), ("b", "c")]
    potentials = [np.full((3, 3), 5000.0), np.full((3, 2), -9000.0)]
    potentials[0][1, 2] += 700
    log_z, found = Inference(tree_of(sizes, cliques), sizes, cliques).marginals(potentials)
    assert log_z == pytest.approx(5000 - 9000 + 700 + np.log(2))
    assert found[0][1, 2] == pytest.approx(1)
    np.testing.assert_allclose(found[1].sum(), 1)


def test_independence_given_a_column_is_kept() -> None:
    """Y and Z independent given X in the potentials are so in the model."""
    sizes, cliques = {"x": 3, "y": 4, "z": 5}, [("x", "y"), ("x", "z")]
    noise = np.random.default_rng(1)
    potentials = [noise.normal(size=(3, 4)), noise.normal(size=(3, 5))]
    inference = Inference(tree_of(sizes, cliques), sizes, cliques)
    joint = inference.joint(inference.beliefs(potentials)[1], ("x", "y", "z"))
    alone = joint.sum(axis=(1, 2))
    product = joint.sum(axis=2)[:, :, None] * joint.sum(axis=1)[:, None, :] / alone[:, None, None]
    np.testing.assert_allclose(joint, product, atol=1e-14)


def test_a_clique_outside_of_the_tree_is_refused() -> None:
    sizes = {"a": 2, "b": 2, "c": 2}
    with pytest.raises(ValueError, match="no table with a, c"):
        Inference(tree_of(sizes, [("a", "b")]), sizes, [("a", "c")])


@pytest.fixture
def mbi(monkeypatch: pytest.MonkeyPatch) -> Any:
    """private-pgm, from the folder SYNTHWARD_MBI, behind everything that is installed here."""
    folder = os.environ.get("SYNTHWARD_MBI")
    if folder is not None:
        monkeypatch.setattr(sys, "path", [*sys.path, folder])
    return pytest.importorskip("mbi", reason="no mbi>=2; `make extras`, then set SYNTHWARD_MBI to .extras/mbi")


@pytest.mark.parametrize("seed", range(3))
def test_mbi_agrees(mbi: Any, seed: int) -> None:
    """The reference implementation of graphical models for private marginals."""
    assert int(importlib.metadata.version("mbi").split(".")[0]) >= 2
    sizes, cliques, potentials = problem(seed)
    domain = mbi.Domain(tuple(sizes), tuple(sizes.values()))
    factors = {}
    for clique, table in zip(cliques, potentials, strict=True):
        order = tuple(name for name in sizes if name in clique)
        aligned = table.transpose([clique.index(name) for name in order])
        factors[order] = factors.get(order, 0) + aligned
    vector = mbi.CliqueVector(
        domain, list(factors), {key: mbi.Factor(domain.project(key), table) for key, table in factors.items()}
    )
    theirs = mbi.marginal_oracles.message_passing_stable(vector, total=1.0)
    _, ours = Inference(tree_of(sizes, cliques), sizes, cliques).marginals(potentials)
    for clique, table in zip(cliques, ours, strict=True):
        np.testing.assert_allclose(np.asarray(theirs.project(clique).datavector(flatten=False)), table, atol=1e-6)
