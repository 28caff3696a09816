"""Synthesizers of joint structure on small data: budget, settings, determinism, zeros, and what the model keeps."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.fidelity_numpy import CodeCurator, drawn_codes
from joint_fits import BOOKS, DOMAIN, PAIRS, ROWS, SeededNoise, data, run, task, weigh
from synthward.config.loader import bind
from synthward.domain.spec import Domain
from synthward.fit.adaptive import AdaptiveSynthesizer
from synthward.fit.base import Task, budget_of
from synthward.fit.catalog import SYNTHESIZERS, synthesizer
from synthward.fit.forecast import FIELD_BIAS, INDEPENDENT, TREE_BIAS, Forecast
from synthward.fit.joint import Joint
from synthward.fit.model import Model
from synthward.fit.structure import weights_of
from synthward.privacy.accounting import total
from synthward.privacy.measurement import Measurement
from synthward.privacy.queries import Marginal, Population, Scores, Selection
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.unit import PrivacyUnit
from synthward.spec.request import Synthesizer, WorkloadEntry

JOINT = ["independent", "fixed", "few_round", "tree", "aim"]


def distance(model: Model, clique: tuple[str, ...], rows: pd.DataFrame) -> float:
    drawn = drawn_codes(model, BOOKS, ROWS, 1)
    shapes = [BOOKS[name].cells for name in clique]
    tables = []
    for frame in (drawn, rows):
        # A drawn place is a code, or negative for other and missing.
        codes = [np.where(frame[c] < 0, BOOKS[c].other - 1 - frame[c], frame[c]) for c in clique]
        tables.append(np.bincount(np.ravel_multi_index(codes, shapes), minlength=int(np.prod(shapes))) / len(frame))
    return float(np.abs(tables[0] - tables[1]).sum() / 2)


@pytest.mark.parametrize("name", JOINT)
def test_rounds_cost_no_more_than_the_charge(name: str) -> None:
    asked = task(name)
    _, rounds, _ = run(asked)
    charged = synthesizer(name).charge(asked)
    spent = total(each.charge for each in rounds)
    assert charged.nano_rho <= budget_of(asked)
    assert 0.98 * charged.nano_rho <= spent.nano_rho <= charged.nano_rho


@pytest.mark.parametrize("name", ["independent", "fixed"])
def test_pure_epsilon(name: str) -> None:
    asked = task(name, mechanism="laplace")
    model, rounds, _ = run(asked)
    spent = total(each.charge for each in rounds)
    assert spent.nano_epsilon is not None
    assert 0.99e9 <= spent.nano_epsilon <= 1e9
    assert distance(model, ("x",), data()) < 0.02


@pytest.mark.parametrize("name", JOINT)
def test_the_first_round_has_population_and_every_column(name: str) -> None:
    _, rounds, _ = run(task(name))
    queries = {item.query for item in rounds[0].asked}
    assert {Population(), *(Marginal((column,)) for column in DOMAIN.attributes)} <= queries
    assert len({each.step for each in rounds}) == len(rounds)


@pytest.mark.parametrize("name", JOINT)
def test_later_rounds_ask_about_announced_cliques_only(name: str) -> None:
    asked = task(name)
    announced = set(synthesizer(name).cliques(asked))
    for later in run(asked)[1][1:]:
        for item in later.asked:
            query = item.query
            assert isinstance(query, Marginal | Scores | Selection)
            assert {query.clique} <= announced if isinstance(query, Marginal) else set(query.cliques) <= announced


@pytest.mark.parametrize("name", JOINT)
def test_the_model_is_a_function_of_the_seals(name: str) -> None:
    """A resumed run asks the same questions and ends with the same model."""
    asked = task(name)
    model, rounds, sealed = run(asked)
    replay, answers = synthesizer(name).rounds(asked), None
    for round_, seal in zip(rounds, sealed, strict=True):
        again = replay.send(answers)
        assert again.digest == round_.digest
        answers = tuple(Measurement(item, m.values.copy()) for item, m in zip(again.asked, seal, strict=True))
    with pytest.raises(StopIteration) as stop:
        replay.send(answers)
    assert stop.value.value.digest == model.digest
    assert model.synthesizer == name


@pytest.mark.parametrize("name", ["fixed", "few_round", "tree", "aim"])
def test_pairs_are_kept(name: str) -> None:
    model, _, _ = run(task(name, "3"))
    for clique in PAIRS:
        assert distance(model, clique, data()) < 0.03
    independent, _, _ = run(task("independent", "3"))
    assert distance(independent, ("x", "y"), data()) > 0.2


def test_columns_that_are_independent_given_another_stay_so() -> None:
    """The model holds x-y and x-z only: y and z drawn from it are independent given x."""
    model, _, _ = run(task("fixed", "10", cliques=(("x", "y"), ("x", "z"))))
    drawn = drawn_codes(model, BOOKS, 200_000, 3)
    for _, part in drawn[drawn["z"] >= 0].groupby("x"):
        table = pd.crosstab(part["y"], part["z"]).to_numpy() / len(part)
        assert np.abs(table - np.outer(table.sum(axis=1), table.sum(axis=0))).sum() / 2 < 0.012


@pytest.mark.parametrize("name", JOINT)
def test_structural_zeros_never_appear(name: str) -> None:
    zeros = ({"x": ("A",), "y": ("A", "B")}, {"age": ("95",), "z": ("B",)})
    model, _, _ = run(task(name, zeros=zeros))
    drawn = drawn_codes(model, BOOKS, 50_000, 2)
    assert not ((drawn["x"] == 0) & drawn["y"].isin([0, 1])).any()
    assert not ((drawn["age"] == 9) & (drawn["z"] == 1)).any()
    assert ((drawn["x"] == 0) & (drawn["y"] == 2)).any()


def test_a_zero_on_a_rare_value_leaves_the_others_alone() -> None:
    """A value too rare for a group of its own gets one because a zero names it."""
    rows = data()
    rows.loc[rows["y"] == 3, "y"] = 2
    rows.loc[:20, "y"] = 3
    model, _, _ = run(task("independent", zeros=({"x": ("A",), "y": ("D",)},)), rows=rows)
    drawn = drawn_codes(model, BOOKS, 20_000, 2)
    assert all(((drawn["x"] == 0) & (drawn["y"] == other)).sum() > 1000 for other in range(3))
    assert not ((drawn["x"] == 0) & (drawn["y"] == 3)).any()


@pytest.mark.parametrize("name", JOINT)
def test_a_required_column_is_never_missing(name: str) -> None:
    rows = data()
    rows.loc[:4000, "y"] = BOOKS["y"].missing
    model, _, _ = run(task(name), rows=rows)
    drawn = drawn_codes(model, BOOKS, 20_000, 2)
    assert (drawn[["x", "y"]] >= 0).all(axis=None)
    assert 0.02 < (drawn["z"] < 0).mean() < 0.08
    left = rows["y"][rows["y"] < 4].value_counts(normalize=True).sort_index()
    np.testing.assert_allclose(drawn["y"].value_counts(normalize=True).sort_index(), left, atol=0.03)


def tree_cells(model: Model) -> int:
    """Cells of the tables that the columns are drawn from, each with its parents."""
    groups = {column.name: column.group_count for column in model.columns}
    return max(math.prod(groups[name] for name in (column.name, *column.parents)) for column in model.columns)


@pytest.mark.parametrize("name", ["tree", "aim"])
def test_the_cap_bounds_the_tree(name: str) -> None:
    free, _, _ = run(task(name, "10"))
    tight, _, _ = run(task(name, "10", max_cells=150))
    assert tree_cells(free) > 150
    assert tree_cells(tight) <= 150


def test_a_cap_too_small_for_the_columns_is_refused() -> None:
    options = Synthesizer(name="few_round", max_cells=1000)
    wide = replace(task("few_round"), domain=bind(wide_domain(40), Domain), options=options)
    [problem] = synthesizer("few_round").check(wide)
    assert problem == "max_cells is 1000, but the columns by themselves have 1280 cells already"


def test_predictions_are_whole_rows_of_the_model() -> None:
    """Also where cells are excluded: there the observed shares stand, as if columns were independent."""
    rows = data()
    rows.loc[:4000, "y"] = BOOKS["y"].missing
    asked = task("fixed", "10")
    curator, chosen = CodeCurator(asked, rows, SeededNoise(1)), synthesizer("fixed")
    sealed = curator.answer(next(chosen.rounds(asked)))
    joint = Joint(asked, sealed)
    fitted = joint.fit(joint.graph().tree(), (), 200, None)
    cliques = (("x", "y"), ("age", "z"))
    for without, with_model in zip(joint.predictions(cliques, None), joint.predictions(cliques, fitted), strict=True):
        assert without.dtype == np.int64
        assert not (without % WEIGHT_UNIT).any()
        assert not (with_model % WEIGHT_UNIT).any()
        assert without.sum() / WEIGHT_UNIT == pytest.approx(ROWS, rel=0.01)
        assert np.abs(without - with_model).sum() / WEIGHT_UNIT < 0.01 * ROWS
    exact = np.bincount(rows["y"], minlength=6)
    np.testing.assert_allclose(
        joint.predictions([("x", "y")], fitted)[0].reshape(5, 6).sum(axis=0) / WEIGHT_UNIT, exact, atol=0.005 * ROWS
    )


def wide_domain(columns: int) -> str:
    lines = [
        f"  c{k}: {{type: categorical, values: [{', '.join(f'v{v}' for v in range(30))}]}}" for k in range(columns)
    ]
    return "version: 1\nattributes:\n" + "\n".join(lines) + "\n"


def test_weights_and_the_target_get_more_of_the_budget() -> None:
    def deviation(asked: Task, clique: tuple[str, ...]) -> float:
        _, rounds, _ = run(asked)
        return next(i.call.scale for i in rounds[-1].asked if i.query == Marginal(clique))

    plain = deviation(task("few_round", "10"), ("x", "y"))
    assert deviation(task("few_round", "10", target="y"), ("x", "y")) < plain
    heavy = task("few_round", "10", workload=(WorkloadEntry(columns=("y", "x"), weight=50),))
    assert deviation(heavy, ("x", "y")) < plain


def test_the_target_multiplies_what_a_pair_weighs() -> None:
    """Larger tables weigh what their entries say; the order of an entry's columns does not matter."""
    own = (weigh("z", "x", weight=5), weigh("age", "z", weight=7), weigh("z", "y", "x", weight=2))
    assert weights_of(task("few_round", target="x", workload=own)) == {
        ("x", "y"): 3,
        ("x", "z"): 15,
        ("x", "age"): 3,
        ("y", "z"): 1,
        ("y", "age"): 1,
        ("z", "age"): 7,
        ("x", "y", "z"): 2,
    }


@pytest.mark.parametrize("name", ["few_round", "aim"])
def test_a_table_of_the_workload_that_noise_drowns_is_named(name: str) -> None:
    columns = ("age", "x", "y", "z")
    asked = task(name, "0.1", workload=(weigh("x", "y"), weigh(*columns)))
    chosen = synthesizer(name)
    assert chosen.check(asked) == []
    [text] = [each for each in chosen.warnings(asked) if "workload" in each]
    assert text.startswith("workload[1], (age, x, y, z), will not be measured: at epsilon 0.1 its noise")
    assert tuple(DOMAIN.attributes) not in chosen.cliques(asked)
    enough = replace(asked, epsilon=Decimal(1))
    assert tuple(DOMAIN.attributes) in chosen.cliques(enough)
    assert not any("workload" in each for each in chosen.warnings(enough))


def test_the_scores_decide_what_few_round_measures() -> None:
    """Whichever pair is related, its table comes first; where noise hides the others, they are left out."""
    related = data()
    for pair in (("x", "y"), ("z", "age")):
        rows = related.apply(np.random.default_rng(1).permutation)
        rows[list(pair)] = related[list(pair)]
        _, rounds, _ = run(task("few_round", "0.3"), rows=rows)
        measured = [item.query for item in rounds[-1].asked]
        assert measured[0] == Marginal(pair)
        assert len(measured) <= 3


def test_larger_tables_of_the_workload_are_candidates() -> None:
    asked = task("few_round", "10", workload=(WorkloadEntry(columns=("z", "x", "y"), weight=20),))
    assert ("x", "y", "z") in synthesizer("few_round").cliques(asked)
    _, rounds, _ = run(asked)
    assert Marginal(("x", "y", "z")) in {item.query for item in rounds[-1].asked}


def test_one_column() -> None:
    domain = bind("version: 1\nattributes:\n  x: {type: categorical, values: [A, B, C]}\n", Domain)
    for name in ("independent", "few_round", "aim"):
        model, rounds, _ = run(replace(task(name), domain=domain), rows=data()[["x"]])
        assert len(rounds) == 1
        assert model.order == ("x",)


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("few_round", {"mechanism": "laplace"}, "few_round needs `mechanism: gaussian`, found laplace"),
    ("aim", {"mechanism": "laplace"}, "aim needs `mechanism: gaussian`"),
    ("few_round", {"target": "sex"}, "target names column 'sex', which is not requested"),
    ("fixed", {"cliques": (("x", "w"),)}, "cliques[0] names column 'w', which is not requested"),
    ("fixed", {"cliques": ()}, "fixed needs `cliques`"),
    ("fixed", {"cliques": (("x", "y"), ("y", "x"))}, "cliques names the same columns twice"),
    ("few_round", {"cliques": PAIRS}, "synthesizer few_round has no setting 'cliques'; remove it"),
    ("fixed", {"target": "x"}, "synthesizer fixed has no setting 'target'"),
    ("moments", {"max_cells": 5000}, "synthesizer moments has no setting 'max_cells'"),
    ("independent", {"workload": (WorkloadEntry(columns=("x", "y")),)}, "has no setting 'workload'"),
    ("few_round", {"workload": (WorkloadEntry(columns=("x", "w")),)}, "workload[0] names column 'w'"),
    ("few_round", {"workload": (weigh("x", "y"), weigh("y", "x", weight=5))}, "the same columns twice"),
    (
        "aim",
        {"workload": (weigh("x", "y"), weigh(*DOMAIN.attributes)), "max_cells": 1007},
        "workload[1], (x, y, z, age), has 1008 cells, max_cells is 1007",
    ),
    ("few_round", {"zeros": ({"x": ("Q",)},)}, "zeros[0] names 'Q', which is not a declared value of 'x'"),
    ("independent", {"zeros": ({"x": ("A", "B")}, {"x": ("C",)})}, "contradict each other"),
    ("fixed", {"cliques": (("x", "y", "z", "age"),), "max_cells": 500}, "need a junction tree of 1008 cells"),
]


@pytest.mark.parametrize(("name", "changes", "text"), REFUSED)
def test_wrong_settings_are_refused_before_anything_is_spent(name: str, changes: dict[str, Any], text: str) -> None:
    mechanism = changes.pop("mechanism", "laplace" if name == "moments" else "gaussian")
    problems = synthesizer(name).check(task(name, mechanism=mechanism, **changes))
    assert any(text in problem for problem in problems), problems


def test_a_useless_release_is_refused() -> None:
    """A thousand patients at epsilon 1, 17 columns and their 136 pairs."""
    domain = bind(wide_domain(17), Domain)
    asked = replace(task("few_round"), domain=domain, declared_rows=1000, unit=PrivacyUnit("patient", 2))
    [problem] = synthesizer("few_round").check(asked)
    assert "1000 declared rows" in problem
    enough = replace(asked, declared_rows=10_000_000)
    assert synthesizer("few_round").check(enough) == []
    assert synthesizer("few_round").warnings(enough) == []
    assert any(
        "joint tables" in text for text in synthesizer("few_round").warnings(replace(asked, declared_rows=200_000))
    )
    tiny = replace(asked, epsilon=Decimal("1e-7"))
    assert "too small to share out" in synthesizer("few_round").check(tiny)[0]


def test_the_forecast_falls_with_epsilon() -> None:
    for name, (low, high) in itertools.product(JOINT, [("0.5", "5")]):
        chosen = synthesizer(name)
        first, second = chosen.forecast(task(name, low)), chosen.forecast(task(name, high))
        assert set(first) == set(DOMAIN.attributes)
        assert all(second[column] < first[column] for column in first)


def test_the_joint_forecast_falls_with_epsilon_and_never_to_nothing() -> None:
    for name in ("fixed", "few_round", "tree", "aim"):
        chosen = synthesizer(name)
        low, high, most = (chosen.joint_forecast(task(name, epsilon)) for epsilon in ("0.5", "5", "1000"))
        assert low is not None
        assert high is not None
        bias = FIELD_BIAS if name == "few_round" else TREE_BIAS
        assert low > high > bias
        assert most == pytest.approx(bias, rel=0.01)
    assert synthesizer("independent").joint_forecast(task("independent")) is None
    assert synthesizer("moments").joint_forecast(task("moments", mechanism="laplace")) is None


def test_a_release_is_forecast_hardly_further_off_than_independent_columns() -> None:
    far, near = (Forecast({"x": 0.01}, tables, has_field=True).expected for tables in (0.4, 0.01))
    assert far is not None
    assert near is not None
    assert INDEPENDENT * 0.9 < far < INDEPENDENT * 1.1
    assert near == pytest.approx(0.0055, abs=0.001)


def test_an_outlook_refuses_by_the_noise_and_warns_by_what_is_left_of_it() -> None:
    drowned, warned, good = (Forecast({"x": 0.01}, tables) for tables in (0.6, 0.45, 0.2))
    [problem] = drowned.refusals(task("few_round"))
    assert "mean distance 0.60 of at most 1" in problem
    assert warned.refusals(task("few_round")) == good.refusals(task("few_round")) == good.warnings() == []
    [warning] = warned.warnings()
    assert warning.startswith("joint tables are mostly noise (mean distance 0.45 of at most 1)")
    assert Forecast({"x": 0.01}, None).expected is None


@pytest.mark.parametrize("name", ["few_round", "tree", "aim"])
def test_the_outlook_knows_what_tables_get(name: str) -> None:
    """For every epsilon: where columns need more, tables get less."""
    for epsilon in ("0.05", "1"):
        asked = task(name, epsilon)
        chosen = synthesizer(name)
        assert isinstance(chosen, AdaptiveSynthesizer)
        _, rounds, _ = run(asked)
        joint = [each for each in rounds[1:] if isinstance(each.asked[0].query, Marginal)]
        spent = total(each.charge for each in joint).nano_rho
        assert spent == pytest.approx(chosen.for_tables(asked, chosen.columns(asked)), rel=0.02)
        assert rounds[0].digest == chosen.columns(asked).digest


def test_every_synthesizer_is_in_the_catalogue() -> None:
    assert set(SYNTHESIZERS) == {*JOINT, "moments"}
