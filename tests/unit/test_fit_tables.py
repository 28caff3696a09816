"""How a round shares its budget out over tables of different sizes."""

from __future__ import annotations

from decimal import Decimal
from math import prod
from typing import Literal

import pytest

from synthward.config.loader import bind
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.fit import tables
from synthward.fit.base import Task
from synthward.fit.tables import POPULATION, joint_noise, noise_of, one_way_round, tables_round
from synthward.privacy.queries import Marginal, Population
from synthward.privacy.unit import PrivacyUnit
from synthward.spec.request import Synthesizer

DOMAIN = bind(
    "version: 1\nattributes:\n  flag: {type: boolean}\n"
    "  grade: {type: numeric, integer: true, bounds: [0, 39], bins: 40}\n"
    "  age: {type: numeric, integer: true, bounds: [0, 399], bins: 400, required: true}\n",
    Domain,
)
BOOKS = codebooks(DOMAIN)


def task(mechanism: Literal["laplace", "gaussian"]) -> Task:
    delta = Decimal("1e-9") if mechanism == "gaussian" else Decimal(0)
    return Task(DOMAIN, PrivacyUnit("row", 1), mechanism, Decimal(1), delta, 10_000, Synthesizer(name="fixed"))


def summed(asked_task: Task) -> float:
    """Expected absolute noise of all cells of all marginals, in rows."""
    asked = one_way_round(asked_task, named={("flag", "grade"): 1.0})
    return sum(
        noise_of(item) * prod(BOOKS[name].cells for name in item.query.clique)
        for item in asked.asked
        if isinstance(item.query, Marginal)
    )


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_shares_give_the_least_noise_in_all(
    mechanism: Literal["laplace", "gaussian"], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tables.POWERS[mechanism]
    least = summed(task(mechanism))
    for other in (0, own - 0.1, own + 0.1, 1):
        monkeypatch.setitem(tables.POWERS, mechanism, other)
        assert summed(task(mechanism)) > least


def test_the_population_has_its_part_of_the_first_round() -> None:
    asked = one_way_round(task("gaussian"))
    spent = {item.query: item.call.charge.nano_rho for item in asked.asked}
    assert spent[Population()] == pytest.approx(POPULATION * sum(spent.values()), rel=0.01)
    assert set(spent) == {Population(), *(Marginal((name,)) for name in DOMAIN.attributes)}


def test_the_outlook_counts_cells_that_a_release_can_have() -> None:
    """A required column is never missing or undeclared, so that its noise there moves nothing."""
    asked = tables_round(task("gaussian"), {("flag", "age"): 1.0, ("flag", "grade"): 1.0}, 10**7)
    assert [cells for cells, _ in joint_noise(task("gaussian"), asked)] == [4 * 402, 4 * 44]
