"""`aim`: candidates, weights, scores, the cap and the length of steps, as published."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from benchmarks.fidelity_numpy import CodeCurator
from joint_fits import BOOKS, DOMAIN, SeededNoise, data, run, task, weigh
from synthward.fit.aim import _open as open_candidates
from synthward.fit.aim import candidates
from synthward.fit.catalog import synthesizer
from synthward.fit.joint import Joint
from synthward.fit.structure import weights_of
from synthward.privacy.measurement import Round
from synthward.privacy.queries import Marginal, Selection
from synthward.privacy.sensitivity import WEIGHT_UNIT


def test_the_scores_of_aim_are_less_the_noise_of_measuring() -> None:
    asked = task("aim", target="y")
    weights, (_, rounds, _) = candidates(asked), run(asked)
    for selecting, measuring in itertools.pairwise(rounds[1:]):
        query = selecting.asked[0].query
        if not isinstance(query, Selection):
            continue
        noise = measuring.asked[0].call.mean_absolute
        for clique, weight, offset in zip(query.cliques, query.weights, query.offsets, strict=True):
            assert weight == weights[clique]
            cells = math.prod(BOOKS[name].cells - 2 * BOOKS[name].attribute.required for name in clique)
            assert offset % WEIGHT_UNIT == 0
            assert offset == pytest.approx(-weight * cells * noise, rel=0.02, abs=weight * WEIGHT_UNIT)


def test_candidates_of_aim_are_all_parts_of_the_workload() -> None:
    """As published: columns by themselves, too; each weighs as much as the workload's tables have in common with it."""
    asked = task("aim", target="x", workload=(weigh("x", "y", "age", weight=20), weigh("z", "age", weight=2)))
    workload = weights_of(asked)
    found = candidates(asked)
    parts = {*workload, *((name,) for name in DOMAIN.attributes)}
    assert set(found) == set(synthesizer("aim").cliques(asked)) == parts
    for part, weight in found.items():
        assert weight == sum(own * len(set(part) & set(clique)) for clique, own in workload.items())
    large = candidates(task("aim", "10", workload=(weigh(*DOMAIN.attributes),)))
    assert len(large) == 2 ** len(DOMAIN.attributes) - 1


def offered(rounds: list[Round]) -> list[set[tuple[str, ...]]]:
    """Candidates of each selection."""
    queries = [each.asked[0].query for each in rounds]
    return [set(query.cliques) for query in queries if isinstance(query, Selection)]


def test_the_cap_of_aim_opens_as_the_budget_is_spent() -> None:
    """Columns by themselves and what the model holds are open from the start, larger trees later."""
    asked = task("aim", "10", max_cells=400)
    _, rounds, _ = run(asked)
    sets = offered(rounds)
    assert {(name,) for name in DOMAIN.attributes} <= set.intersection(*sets)
    assert ("z", "age") not in sets[0]
    assert ("z", "age") in sets[-1]
    measured: set[tuple[str, ...]] = set()
    for each in rounds[1:]:
        query = each.asked[0].query
        if isinstance(query, Marginal):
            measured.add(query.clique)
        else:
            assert isinstance(query, Selection)
            assert measured <= set(query.cliques)
    tight = task("aim", "10", max_cells=150)
    sealed = CodeCurator(tight, data(), SeededNoise(1)).answer(synthesizer("aim").rounds(tight).send(None))
    joint = Joint(tight, sealed)
    graph = joint.graph().with_clique(("z", "age"))
    assert set(open_candidates(graph, joint, candidates(tight), 0.0)) == {
        ("x",),
        ("y",),
        ("z",),
        ("age",),
        ("z", "age"),
    }


def test_steps_of_aim_grow_when_a_table_taught_nothing() -> None:
    """Then the next one has half the noise; while there is much to learn, steps stay small."""

    def deviations(rows: pd.DataFrame) -> list[float]:
        _, rounds, _ = run(task("aim"), rows=rows)
        return [each.asked[0].call.scale for each in rounds[1:] if isinstance(each.asked[0].query, Marginal)]

    much = deviations(data())
    nothing = deviations(data().apply(np.random.default_rng(1).permutation))
    assert much[:3] == [nothing[0]] * 3
    assert nothing[1:3] == pytest.approx([nothing[0] / 2, nothing[0] / 4], rel=0.01)
