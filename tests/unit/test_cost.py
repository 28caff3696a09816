"""The predicted cost follows from public numbers, and grows with what makes a run longer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthward.pipeline.cost import Cost
from trial import TestSite, plan_of

JOIN = {"path": [{"source": {"format": "delta", "path": "data/stays"}, "on": {"stay": "stay"}}]}


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    return TestSite(tmp_path, policy={"allow_other_unit": True})


def cost(site: TestSite, **changes: Any) -> Cost:
    return Cost.of(plan_of(site, site.request(**changes)))


def test_passes_and_shuffles(site: TestSite) -> None:
    by_row = {"_whole": True, "unit": "row", "max_rows_per_patient": 1}
    plain, joined, row = cost(site), cost(site, patient=JOIN), cost(site, patient=by_row)
    assert [(c.passes, c.shuffles) for c in (plain, joined, row)] == [(1, 1), (1, 3), (1, 0)]
    assert cost(site, source={"snapshot": "materialize"}).passes == 2


def test_time_grows_with_rows_and_shrinks_with_cores(site: TestSite) -> None:
    small = cost(site)
    large = cost(site, population={"declared_rows": 10**9, "declared_patients": 10**7}, output={"rows": 10**7})
    assert small.time_class(1) == small.time_class(100) == "a minute or two"
    assert (large.time_class(2), large.time_class(128)) == ("up to two hours", "a minute or two")
    assert large.core_seconds == 4050
    assert any("1,000,000,000 declared rows in 1 pass" in line for line in large.describe())
