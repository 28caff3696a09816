"""Extracts whose columns are not written as the domain says: refused before the charge, stopped by a gate, or read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.errors import GateFailed, SourceError
from trial import TestSite, charges, ready, run

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PATIENTS = 40


def extract(
    spark: SparkSession, root: Path, kind: str, cells: Sequence[Any], attribute: dict[str, Any], **utility: Any
) -> tuple[TestSite, Path]:
    """One column `x` of a type, its cells repeated over the patients, and the request for it."""
    site = TestSite(root)
    rows = [(patient, cells[patient % len(cells)]) for patient in range(PATIENTS)]
    site.write(spark, rows, f"pid BIGINT, x {kind}", format="parquet")
    site.domain({"x": attribute})
    wanted = {"max_out_of_domain_share": 0.2, "max_clipped_share": 0.1, **utility}
    return site, site.request(source={"format": "parquet"}, columns=["x"], utility=wanted)


@pytest.mark.parametrize(
    ("kind", "cells", "attribute", "said"),
    [
        (
            "INT",
            [1, 2],
            {"type": "categorical", "values": ["01", "02"]},
            r"column 'x': 2 of 2 .* int column .*'01', '02'",
        ),
        ("BOOLEAN", [True, False], {"type": "categorical", "values": ["Y", "N"]}, r"boolean column .*type: boolean"),
        (
            "INT",
            [1, 2],
            {"type": "categorical", "values": ["1", "2"], "other": "Else"},
            r"label 'Else' of undeclared values \(`other`\)",
        ),
        ("INT", [20200101], {"type": "date", "bounds": ["2019-01-01", "2021-12-31"]}, r"format: yyyyMMdd"),
    ],
)
def test_what_can_never_match_costs_nothing(
    spark: SparkSession, tmp_path: Path, kind: str, cells: list[Any], attribute: dict[str, Any], said: str
) -> None:
    site, path = extract(spark, tmp_path, kind, cells, attribute)
    ward = site.open(spark)
    request = ready(ward, path)
    with pytest.raises(SourceError, match=said):
        ward.run(request)
    assert charges(ward) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "cells", "attribute", "gate"),
    [
        ("STRING", ["43831", "44000"], {"type": "date", "bounds": ["2019-01-01", "2021-12-31"]}, "out of domain"),
        ("STRING", ["12D", "12f"], {"type": "numeric", "integer": True, "bounds": [0, 120]}, "out of domain"),
        ("DOUBLE", [97.9, 98.6], {"type": "numeric", "bounds": [34, 43], "resolution": 0.1, "bins": 9}, "clipped"),
    ],
)
def test_another_kind_of_column_is_stopped_by_a_gate(
    spark: SparkSession, tmp_path: Path, kind: str, cells: list[Any], attribute: dict[str, Any], gate: str
) -> None:
    site, path = extract(spark, tmp_path, kind, cells, attribute)
    with pytest.raises(GateFailed, match=f"gate '{gate}' failed: .* in: x"):
        run(site.open(spark), path)


@pytest.mark.parametrize(
    ("kind", "cells", "attribute", "released"),
    [
        ("DOUBLE", [1.0, 2.0], {"type": "categorical", "values": ["1", "2"]}, {1.0, 2.0}),
        (
            "INT",
            [20200101, 20200301],
            {"type": "date", "bounds": ["2020-01-01", "2020-03-01"], "format": "yyyyMMdd", "granularity": "month"},
            {20200101, 20200201, 20200301},
        ),
        (
            "DOUBLE",
            [0.0, 50.0, 900.0, 900.0],
            {"type": "numeric", "bounds": [0, 100], "resolution": 50, "bins": 3},
            {0.0, 50.0, 100.0},
        ),
    ],
)
def test_what_is_declared_is_read_and_written_alike(
    spark: SparkSession, tmp_path: Path, kind: str, cells: list[Any], attribute: dict[str, Any], released: set[Any]
) -> None:
    """The release has the type and form of the source; what was clipped is the bound, and is counted."""
    site, path = extract(spark, tmp_path, kind, cells, attribute, max_clipped_share=0.9)
    ward = site.open(spark)
    release = run(ward, path)
    found = {row["x"] for row in ward.rows(release.release_id).select("x").collect()}
    assert found - {None} <= released
    assert set(cells) & released <= found
    [quality] = release.manifest.record.quality.columns
    assert quality.out_of_domain < 0.15
    assert (quality.above > 0.3) == (900.0 in cells)
    assert abs(quality.below) < 0.15
