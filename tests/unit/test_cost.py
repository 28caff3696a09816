"""The predicted cost follows from public numbers, and agrees with what runs have taken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthward.run.cost import Cost, fit_seconds
from trial import TestSite, plan_of

JOIN = {"path": [{"source": {"format": "delta", "path": "data/stays"}, "on": {"stay": "stay"}}]}


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    return TestSite(tmp_path, policy={"allow_other_unit": True})


def cost(site: TestSite, **changes: Any) -> Cost:
    return Cost.of(plan_of(site, site.request(**changes)))


def fitting(site: TestSite, **changes: Any) -> Cost:
    """Of a joint release on pairs."""
    return cost(site, synthesizer={"name": "few_round"}, privacy={"mechanism": "gaussian", "delta": 1e-7}, **changes)


def work(found: Cost) -> tuple[int, int, int]:
    return found.passes, found.scans, found.shuffles


BY_ROW = {"_whole": True, "unit": "row", "max_rows_per_patient": 1}


def test_scans_and_shuffles_are_those_of_the_kernels(site: TestSite) -> None:
    """Sums are a scan and a shuffle beside the marginals'; without sums one of each, a join repeated in each."""
    assert [work(cost(site, **changes)) for changes in ({}, {"patient": JOIN}, {"patient": BY_ROW})] == [
        (1, 2, 2),
        (1, 2, 6),
        (1, 2, 0),
    ]
    assert [work(fitting(site, **changes)) for changes in ({}, {"patient": JOIN}, {"patient": BY_ROW})] == [
        (1, 1, 1),
        (1, 1, 3),
        (1, 1, 0),
    ]
    assert work(cost(site, columns=["sex"])) == (1, 1, 1)
    assert work(cost(site, source={"snapshot": "materialize"})) == (2, 3, 2)
    texts = {"sex": {"pattern": "[A-Z]", "at_most": 4, "per_patient": 1}}
    assert work(fitting(site, learn={"quantiles": {"age": 4}})) == (2, 2, 2)
    assert work(fitting(site, learn={"quantiles": {"age": 4}, "categories": texts})) == (3, 3, 4)
    assert work(fitting(site, learn={"categories": texts}, patient=JOIN)) == (2, 2, 7)


def test_cells_that_tasks_hand_on(site: TestSite) -> None:
    """Population, two columns and their pair; of moments three sums instead of the pair."""
    sex, age = 4, 8
    assert fitting(site).announced_cells == 1 + sex + age + sex * age
    assert cost(site).announced_cells == 1 + sex + age + 3
    large = fitting(site, population={"declared_rows": 10**9, "declared_patients": 10**7})
    assert any("1,000,000,000 declared rows in 1 pass: 1 scan, 1 shuffle" in line for line in large.describe())


def wide(site: TestSite, texts: int, numbers: int, rows: int) -> Cost:
    """As in `bench_scale.py`: columns of ten texts and of 16 bins, four rows a patient, as many rows out as in."""
    listed: dict[str, Any] = {
        f"s{k}": {"type": "categorical", "values": [f"v{value}" for value in range(10)]} for k in range(texts)
    } | {f"x{k}": {"type": "numeric", "bounds": [0, 200], "resolution": 0.1, "bins": 16} for k in range(numbers)}
    site.domain(listed)
    return cost(
        site,
        columns=list(listed),
        population={"declared_patients": rows // 4, "declared_rows": rows},
        patient={"max_rows_per_patient": 4},
        output={"rows": rows},
    )


MEASURED = [
    # text columns, numeric columns, rows, seconds on two cores, CPU-seconds: docs/performance.md
    (10, 10, 1_000_000, 31, 48, "a minute or two"),
    (10, 10, 10_000_000, 115, 167, "a minute or two"),
    (10, 10, 100_000_000, 770, 1449, "minutes"),
    (150, 150, 100_000, 148, 205, "minutes"),
]


@pytest.mark.parametrize(("texts", "numbers", "rows", "seconds", "cpu", "words"), MEASURED)
def test_what_was_measured_is_predicted_within_a_factor_of_two(
    site: TestSite, texts: int, numbers: int, rows: int, seconds: float, cpu: float, words: str
) -> None:
    predicted = wide(site, texts, numbers, rows)
    assert 1 / 2 < predicted.core_seconds / cpu < 2
    assert 1 / 2 < predicted.seconds(2) / seconds < 2
    assert predicted.time_class(2) == words


@pytest.mark.parametrize(
    ("columns", "name", "cpu"),
    [(17, "few_round", 25), (100, "few_round", 78), (17, "tree", 14), (100, "tree", 27), (17, "aim", 57)],
)
def test_fits_that_were_measured_are_predicted_within_a_factor_of_two(columns: int, name: str, cpu: float) -> None:
    assert 1 / 2 < fit_seconds(columns, name) / cpu < 2


def test_work_grows_with_rows_columns_cells_and_fits(site: TestSite) -> None:
    """Each term by itself; only rows and columns are shared out over cores."""
    base = cost(site)
    assert fitting(site).core_seconds > base.core_seconds + 10
    assert fitting(site).serial_seconds > base.serial_seconds + 10
    rows = {"declared_rows": 10**9, "declared_patients": 10**7}
    large = cost(site, population=rows, output={"rows": 10**7})
    assert base.time_class(1) == base.time_class(100) == "a minute or two"
    assert (large.time_class(2), large.time_class(128)) == ("up to two hours", "a minute or two")
    narrow, broad = wide(site, 10, 10, 10**7), wide(site, 20, 20, 10**7)
    assert 1.7 < (broad.core_seconds - 23) / (narrow.core_seconds - 23) < 2.1
    coarse, fine = (_pairs(site, bins, rows) for bins in (10, 200))
    assert coarse.announced_cells < 10_000 < 1_000_000 < fine.announced_cells
    assert fine.core_seconds > coarse.core_seconds + 500


def _pairs(site: TestSite, bins: int, rows: dict[str, int]) -> Cost:
    names = [f"x{k}" for k in range(10)]
    site.domain({key: {"type": "numeric", "integer": True, "bounds": [0, bins - 1], "bins": bins} for key in names})
    return fitting(site, columns=names, population=rows)
