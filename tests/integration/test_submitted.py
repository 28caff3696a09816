"""A submitted request runs from the records, whatever the author's disk holds by then."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synthward.errors import PolicyRefused
from trial import SCOPE, TestSite, approve, charges, open_budget

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_submitted_request_runs_without_its_files(spark: SparkSession, tmp_path: Path) -> None:
    only = {"tiers": {"T0": {"submitted_only": True}, "T1": {"submitted_only": True}}}
    site = TestSite(tmp_path, policy=only)
    site.write(spark)
    ward = site.open(spark)
    open_budget(ward)
    path = site.request()
    made = ward.submit(path)
    loose = ward.request(path)
    approve(ward, loose)
    with pytest.raises(PolicyRefused, match="not_submitted"):
        ward.run(loose)
    assert charges(ward, SCOPE) == 0

    path.unlink()
    (tmp_path / "domain.yaml").unlink()
    fresh = site.open(spark)
    release = fresh.run(fresh.submitted("visits@1"))
    assert release.manifest.record.request.digest == made.request
    assert charges(fresh, SCOPE) == 1
    assert fresh.run(fresh.submitted("visits")).outcome.is_new is False

    fresh.withdraw("visits")
    with pytest.raises(PolicyRefused, match="withdrawn"):
        fresh.submitted("visits")
    assert charges(fresh, SCOPE) == 1
