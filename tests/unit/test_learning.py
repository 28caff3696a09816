"""Learned domains: what is refused, what is planned and charged, and what follows from sealed answers."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthward.domain.codes import codebooks
from synthward.domain.spec import Categorical, Numeric
from synthward.errors import ConfigError
from synthward.fit.base import budget_of, whole_budget
from synthward.fit.learning import BINS_STEP, ceiling
from synthward.fit.program import learned_task
from synthward.measure.answers import cells_of
from synthward.privacy.accounting import NANO, Charge, total
from synthward.privacy.discovery import Found
from synthward.privacy.measurement import Measurement
from synthward.privacy.queries import Marginal
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.run.cost import Cost
from synthward.run.plan import Plan, reported
from trial import TestSite, plan_of

GAUSS = {"mechanism": "gaussian", "epsilon": 20, "delta": 1e-7}
LEARN = {"share": 0.25, "quantiles": {"age": 5}}
NAMES = ("independent", "fixed", "few_round", "aim")


def planned(root: Path, **changes: Any) -> Plan:
    site = TestSite(root)
    given = {"learn": LEARN, "privacy": GAUSS, "synthesizer": {"name": "few_round"}, **changes}
    if given["synthesizer"]["name"] == "fixed":
        given["synthesizer"] = {"name": "fixed", "cliques": [["sex", "age"]]}
    return plan_of(site, site.request(**given))


REFUSED = [
    ({"share": 0, "quantiles": {"age": 5}}, "learn.share", "allowed is more than 0"),
    ({"share": 1, "quantiles": {"age": 5}}, "learn.share", "allowed is 0.9 or less"),
    ({"share": 0.1}, "learn.quantiles", "name a column here"),
    ({"quantiles": {"age": 1}}, "learn.quantiles.age", "allowed is 2 or more"),
    ({"quantiles": {"age": 101}}, "learn.quantiles.age", "the public grid of 'age' has 101 cells"),
    ({"quantiles": {"sex": 5}}, "learn.quantiles.sex", "'sex' is categorical"),
    ({"quantiles": {"weight": 5}}, "learn.quantiles.weight", "'weight' is not requested"),
    ({"quantile": {"age": 5}}, "learn.quantile", "did you mean 'quantiles'"),
]


SEX = {"pattern": "[A-Z]{1,9}", "per_patient": 2, "at_most": 3}
REFUSED_CATEGORIES = [
    ({"sex": {**SEX, "pattern": ".*"}}, "sex.pattern", "'.' has no meaning here"),
    ({"sex": {**SEX, "pattern": "[A-Z"}}, "sex.pattern", "in the middle of a class"),
    ({"sex": {**SEX, "per_patient": 0}}, "sex.per_patient", "allowed is 1 or more"),
    ({"sex": {**SEX, "at_most": 0}}, "sex.at_most", "allowed is 1 or more"),
    ({"sex": {**SEX, "at_most": 10_001}}, "sex.at_most", "allowed is 10000 or less"),
    ({"sex": {"pattern": "[A-Z]{1,9}"}}, "sex.per_patient", "the key is missing"),
    ({"age": SEX}, "age", "'age' is numeric; values are learned of categorical columns only"),
    ({"ward": SEX}, "ward", "'ward' is not requested"),
]


@pytest.mark.parametrize(("wanted", "place", "text"), REFUSED_CATEGORIES)
def test_categories_that_cannot_be_learned_are_refused_by_line(
    tmp_path: Path, wanted: dict, place: str, text: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        planned(tmp_path, learn={"_whole": True, "categories": wanted})
    found = {problem.path: problem for problem in refused.value.problems}
    assert text in found[f"learn.categories.{place}"].message
    assert found[f"learn.categories.{place}"].line is not None


def test_categories_need_a_delta(tmp_path: Path) -> None:
    pure = {"_whole": True, "mechanism": "laplace", "epsilon": 5}
    for privacy, text in ((pure, "found laplace, which is pure"), ({**GAUSS, "delta": "9e-18"}, "9E-18 is too small")):
        with pytest.raises(ConfigError, match=rf"request.yaml:\d+: learn.categories.sex: .*{text}"):
            planned(tmp_path, learn={"_whole": True, "categories": {"sex": SEX}}, privacy=privacy)


def test_a_row_has_one_text(tmp_path: Path) -> None:
    row = {"_whole": True, "unit": "row", "max_rows_per_patient": 1}
    with pytest.raises(ConfigError, match=r"learn.categories.sex.per_patient: found 2, but unit row allows 1 only"):
        planned(tmp_path, learn={"categories": {"sex": SEX}}, patient=row)
    assert planned(tmp_path, learn={"categories": {"sex": {**SEX, "per_patient": 1}}}, patient=row).learning


@pytest.mark.parametrize("name", [*NAMES, "moments"])
def test_thresholds_are_paid_for_in_rho_and_delta(tmp_path: Path, name: str) -> None:
    quantiles = {} if name == "moments" else {"age": 5}
    plan = planned(
        tmp_path,
        learn={"share": 0.25, "quantiles": quantiles, "categories": {"sex": SEX}},
        synthesizer={"name": name},
    )
    assert plan.learning is not None
    assert plan.learning.categories is not None
    [item] = plan.learning.questions
    assert 0 < plan.charge.atto_delta == item.threshold.charge.atto_delta <= 10**10
    assert plan.charge.atto_delta > 0.9 * 10**10
    assert plan.delta == Decimal("1e-7")
    assert Decimal("19.9") < plan.epsilon <= 20
    # Neither bound forgets what the thresholds have used up.
    left = replace(plan.charge, atto_delta=0)
    assert reported(left, Decimal("9e-8"), plan.task.curve_cells)[0] >= plan.epsilon
    assert reported(left, Decimal("1e-7"), plan.task.curve_cells)[0] < plan.epsilon
    assert (plan.accounting == "exact Gaussian curve") == (name not in ("aim", "moments"))
    assert item.query.listed == ("F", "M", "?")
    assert plan.domain.attributes["sex"].size == 5
    assert Cost.of(plan).passes == (3 if quantiles else 2)


def test_the_curve_counts_with_the_texts_of_a_patient(tmp_path: Path) -> None:
    plan = planned(tmp_path, learn={"categories": {"sex": {**SEX, "per_patient": 900}}})
    assert plan.task.curve_cells == 900


def test_the_label_of_other_is_no_candidate(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.domain({"sex": {"type": "categorical", "values": ["F"], "missing": ["?"], "other": "X"}})
    changes = {"learn": {"categories": {"sex": SEX}}, "privacy": GAUSS, "columns": ["sex"]}
    plan = plan_of(site, site.request(synthesizer={"name": "independent"}, **changes))
    assert plan.learning is not None
    assert plan.learning.categories is not None
    assert plan.learning.questions[0].query.listed == ("F", "?", "X")


def test_found_values_come_after_the_declared_ones(tmp_path: Path) -> None:
    plan = planned(tmp_path, learn={"categories": {"sex": SEX}})
    assert plan.learning is not None
    assert plan.learning.categories is not None
    [item] = plan.learning.questions
    learned = learned_task(plan.task, plan.learning.learned((), (Found.of(item, {"D": 10, "U": 20}),)))
    sex = learned.domain.attributes["sex"]
    assert isinstance(sex, Categorical)
    assert sex.values == ("F", "M", "D", "U")
    assert not list(sex.problems())
    lines = plan.learning.describe(whole_budget(plan.task))
    assert any("further values of sex (at most 3, of about" in line for line in lines)
    assert any("of the budget and delta" in line for line in lines)


def test_a_threshold_that_few_values_pass_is_a_warning(tmp_path: Path) -> None:
    plan = planned(tmp_path, learn={"categories": {"sex": SEX}})  # of fifty declared patients
    assert [text for text in plan.warnings if "only values of 'sex' that about" in text]


@pytest.mark.parametrize(("learn", "place", "text"), REFUSED)
def test_what_cannot_be_learned_is_refused_by_line(tmp_path: Path, learn: dict, place: str, text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        planned(tmp_path, learn={**learn, "_whole": True})
    [problem] = refused.value.problems
    assert problem.path == place
    assert text in problem.message
    assert problem.line is not None
    assert problem.file is not None


def test_a_zero_on_bins_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    zeros = [{"sex": ["M"], "age": ["10"]}]
    with pytest.raises(ConfigError, match="a structural zero names 'age'"):
        planned(tmp_path, synthesizer={"name": "few_round", "zeros": zeros})


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_moments_has_no_use_for_bins(tmp_path: Path, mechanism: str) -> None:
    privacy = GAUSS if mechanism == "gaussian" else {"mechanism": "laplace", "epsilon": 5}
    with pytest.raises(ConfigError, match=r"learn.quantiles: moments draws numbers by mean and spread"):
        planned(tmp_path, synthesizer={"name": "moments"}, privacy=privacy)


@pytest.mark.parametrize("name", NAMES)
def test_learning_has_its_share_and_the_whole_is_within_epsilon(tmp_path: Path, name: str) -> None:
    plan = planned(tmp_path, synthesizer={"name": name})
    assert plan.learning is not None
    learned = plan.learning.charge.nano_rho
    # A quarter, rounded up to whole 1e-9 because the synthesizer's part is rounded down.
    assert 0.249 * whole_budget(plan.task) < learned <= math.ceil(Fraction(whole_budget(plan.task), 4))
    assert plan.charge == plan.learning.charge + plan.synthesis
    assert plan.charge.nano_rho <= whole_budget(plan.task)
    assert Decimal("19.9") < plan.epsilon <= 20
    assert (plan.accounting == "exact Gaussian curve") == (name != "aim")
    # The histogram is an answer like all others: the curve must have been computed for its cells.
    [fine] = plan.learning.bins.asked
    if plan.task.curve_cells is not None:
        assert cells_of(fine.query, codebooks(plan.learning.fine)) == 105 <= plan.task.curve_cells


def test_without_learning_nothing_is_set_aside(tmp_path: Path) -> None:
    plan = planned(tmp_path, learn=None)
    assert plan.learning is None
    assert budget_of(plan.task) == whole_budget(plan.task)
    assert plan.charge == plan.synthesis
    assert Cost.of(plan).passes == 1
    assert Cost.of(planned(tmp_path)).passes == 2


@pytest.mark.parametrize("name", ["independent", "fixed"])
@pytest.mark.parametrize("epsilon", ["5", "0.000001"])
def test_a_pure_run_stays_pure(tmp_path: Path, name: str, epsilon: str) -> None:
    """And any rounds that share out the synthesizer's part are within what is charged for it."""
    large = {"declared_rows": 2**36}
    plan = planned(
        tmp_path,
        synthesizer={"name": name},
        privacy={"_whole": True, "mechanism": "laplace", "epsilon": epsilon},
        population=large,
    )
    assert plan.learning is not None
    assert plan.accounting == "sum of epsilons"
    assert plan.charge.nano_epsilon is not None
    assert plan.charge.nano_epsilon <= Decimal(epsilon) * NANO
    found = plan.synthesizer.charge(plan.task)
    assert found.nano_epsilon is not None
    assert found.nano_epsilon <= (plan.synthesis.nano_epsilon or 0)
    assert found.nano_rho <= plan.synthesis.nano_rho


def test_the_ceiling_covers_one_call_with_everything(tmp_path: Path) -> None:
    plan = planned(
        tmp_path, privacy={"_whole": True, "mechanism": "laplace", "epsilon": 3}, synthesizer={"name": "fixed"}
    )
    task = replace(plan.task, budget_share=Fraction(1))
    assert ceiling(task, 0) == Charge.pure(3)
    assert ceiling(task, 7).nano_rho == Charge.pure(3).nano_rho + 7


def sealed(plan: Plan, counts: np.ndarray) -> list[Measurement]:
    assert plan.learning is not None
    [asked] = plan.learning.bins.asked
    return [Measurement(asked, (counts * WEIGHT_UNIT).astype(np.int64))]


def test_bins_are_cut_where_rows_crowd(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert plan.learning is not None
    assert plan.learning.bins.step == BINS_STEP
    counts = np.zeros(105)
    counts[40:60] = 100
    counts[-4:] = 10**6  # rows that are clipped, undeclared or missing cut nothing
    domain = plan.learning.learned(sealed(plan, counts), ())
    age = domain.attributes["age"]
    assert isinstance(age, Numeric)
    assert age.grid.starts == (0, 44, 48, 52, 56)
    assert age.bounds == (0, 100)
    assert domain.attributes["sex"] == plan.domain.attributes["sex"]
    assert plan.domain.attributes["age"].size == 5


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_holds_for_every_domain_that_can_be_learned(tmp_path: Path, name: str) -> None:
    """All rounds of the synthesizer on few bins: within the charge, the candidates and the cells that were planned."""
    plan = planned(tmp_path, synthesizer={"name": name})
    assert plan.learning is not None
    for counts in (np.zeros(105), np.full(105, -5.0), np.eye(105)[7] * 1000, np.full(105, 8.0)):
        learned = learned_task(plan.task, plan.learning.learned(sealed(plan, counts), ()))
        books = codebooks(learned.domain)
        assert learned.domain.attributes["age"].size <= 5
        assert budget_of(learned) == budget_of(plan.task)
        announced = plan.synthesizer.cliques(learned)
        assert announced == plan.synthesizer.cliques(plan.task)
        rounds, asked, charges = plan.synthesizer.rounds(learned), None, []
        asked = next(rounds)
        for _ in range(3):
            charges.append(asked.charge)
            if plan.task.curve_cells is not None:
                assert all(cells_of(item.query, books) <= plan.task.curve_cells for item in asked.asked)
            answers = tuple(
                Measurement(item, np.arange(cells_of(item.query, books), dtype=np.int64) % 7 * 10 * WEIGHT_UNIT)
                if item.query.KIND != "selection"
                else Measurement(item, np.zeros(1, dtype=np.int64))
                for item in asked.asked
            )
            try:
                asked = rounds.send(answers)
            except StopIteration:
                break
        assert total(charges).nano_rho <= plan.synthesis.nano_rho


def test_a_table_that_was_not_planned_is_no_candidate(tmp_path: Path) -> None:
    """On two bins the pair would be worth asking about; the plan, on sixty, did not count on it."""
    plan = planned(tmp_path, learn={"quantiles": {"age": 60}}, population={"declared_rows": 10**4})
    assert plan.learning is not None
    few = learned_task(plan.task, plan.learning.learned(sealed(plan, np.eye(105)[7] * 1000), ()))
    rows = next(n for n in range(10**4) if plan.synthesizer.cliques(replace(few, planned_domain=None, declared_rows=n)))
    assert plan.synthesizer.cliques(replace(plan.task, declared_rows=rows)) == ()
    assert plan.synthesizer.cliques(replace(few, declared_rows=rows)) == ()


def test_the_dry_run_names_columns_and_price(tmp_path: Path) -> None:
    plan = planned(tmp_path)
    assert plan.learning is not None
    [line] = plan.learning.describe(whole_budget(plan.task))
    assert "age (5 bins)" in line
    assert "25.0% of the budget" in line


def test_noise_that_drowns_the_cuts_is_a_warning(tmp_path: Path) -> None:
    weak = planned(tmp_path, learn={**LEARN, "share": "0.000001"}, population={"declared_rows": 1000})
    assert [text for text in weak.warnings if "moves cuts between bins of 'age'" in text]
    strong = planned(tmp_path, population={"declared_rows": 10**6})
    assert not [text for text in strong.warnings if "cuts" in text]


def test_another_section_is_another_request(tmp_path: Path) -> None:
    digests = {planned(tmp_path, learn={**LEARN, "share": share}).file.digest for share in (0.1, 0.2)}
    assert len(digests | {planned(tmp_path, learn=None).file.digest}) == 3
    assert Marginal(("age",)) in {item.query for item in planned(tmp_path).learning.bins.asked}  # type: ignore[union-attr]
