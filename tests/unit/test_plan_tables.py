"""Tables that no pass could count are refused by the plan, before anything is charged."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from synthward.config.loader import bind
from synthward.domain.cells import MAX_TABLE_CELLS, MAX_VECTOR_CELLS, Packing, tables
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.errors import ConfigError
from synthward.fit.base import Task
from synthward.fit.catalog import synthesizer
from synthward.kernels.marginals import count_plan
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.unit import PrivacyUnit
from synthward.run.plan import with_curve
from synthward.spec.request import Synthesizer, WorkloadEntry
from trial import TestSite, plan_of


def attributes(columns: int, values: int) -> dict[str, Any]:
    """Required columns: two codes more are counted of each than a release can have."""
    column = {"type": "categorical", "required": True, "values": [f"v{value}" for value in range(values)]}
    return {f"c{number}": column for number in range(columns)}


def task(columns: int, values: int, name: str = "fixed", **settings: Any) -> Task:
    lines = [f"  {column}: {declared}" for column, declared in attributes(columns, values).items()]
    domain = bind("version: 1\nattributes:\n" + "\n".join(lines).replace("True", "true"), Domain)
    if name == "fixed":
        settings = {"cliques": (tuple(domain.attributes),)} | settings
    options = Synthesizer(name=name, **settings)
    unit = PrivacyUnit("patient", 2)
    return Task(domain, unit, "gaussian", Decimal(1), Decimal("1e-9"), 10_000_000, options)


@pytest.mark.parametrize(("columns", "values"), [(7, 7), (10, 3), (12, 2)])
def test_a_table_that_no_task_can_count_is_refused(columns: int, values: int) -> None:
    """The cells that a release can have are fewer than `max_cells`; those that are counted are too many."""
    asked = task(columns, values)
    assert synthesizer("fixed").check(asked) == []
    assert values**columns < asked.options.max_cells < MAX_TABLE_CELLS < (values + 2) ** columns
    counted = (values + 2) ** columns
    with pytest.raises(ConfigError, match=rf"\(c0, .*\) has {counted} cells, at most {MAX_TABLE_CELLS}"):
        with_curve(asked, synthesizer("fixed"))


def test_a_table_of_the_workload_that_no_task_can_count_is_refused() -> None:
    asked = task(7, 7, "few_round")
    with_curve(asked, synthesizer("few_round"))
    named = task(7, 7, "few_round", workload=(WorkloadEntry(columns=tuple(asked.domain.attributes)),))
    with pytest.raises(ConfigError, match=f"at most {MAX_TABLE_CELLS} are possible"):
        with_curve(named, synthesizer("few_round"))


def test_the_columns_by_themselves_count_towards_the_pass() -> None:
    """Four tables of 2^22 cells are all that a pass can count, and the columns come on top of them."""
    four = tuple(tuple(f"c{start + place}" for place in range(11)) for start in range(4))
    asked = task(14, 2, cliques=four, max_cells=4_000_000)
    assert MAX_VECTOR_CELLS == 4 * 4**11
    with pytest.raises(ConfigError, match=f"{MAX_VECTOR_CELLS + 14 * 4} cells together, at most {MAX_VECTOR_CELLS}"):
        with_curve(asked, synthesizer("fixed"))


@pytest.mark.parametrize(("columns", "values"), [(11, 2), (6, 7), (9, 3)])
def test_what_the_plan_accepts_can_be_counted(columns: int, values: int) -> None:
    asked = task(columns, values)
    chosen, books = synthesizer("fixed"), codebooks(asked.domain)
    with_curve(asked, chosen)
    cliques = [(name,) for name in books] + list(chosen.cliques(asked))
    assert count_plan(Packing.of(books), tables(books, cliques), 2, WEIGHT_UNIT).cells >= (values + 2) ** columns


def test_a_plan_is_not_made_of_tables_that_no_task_can_count(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.domain(attributes(7, 7))
    columns = [f"c{number}" for number in range(7)]
    request = site.request(
        columns=columns,
        privacy={"mechanism": "gaussian", "epsilon": 1, "delta": "1e-9"},
        synthesizer={"name": "fixed", "cliques": [columns]},
        population={"declared_rows": 10**7, "declared_patients": 10**6},
    )
    with pytest.raises(ConfigError, match="has 4782969 cells"):
        plan_of(site, request)
