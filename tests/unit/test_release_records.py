"""What registry, table and MLflow say of a release follows from its manifest, also from one of an earlier version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthward.release.manifest import Manifest
from synthward.run.records import publishable_metrics, registry_row, table_properties, tracked_parameters

WORDS = "patient, by admissions.subject_id via hadm_id"


@pytest.fixture
def body() -> dict[str, Any]:
    text = (Path(__file__).parent / "manifest_example.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def test_key_and_path_stand_in_every_record(body: dict[str, Any]) -> None:
    manifest = Manifest(body)
    assert registry_row(manifest)["unit_by"] == WORDS
    assert table_properties(manifest)["privacy_unit"] == f"unit: {WORDS}"
    assert tracked_parameters(manifest)["unit_by"] == WORDS
    assert registry_row(manifest)["unit"] == "patient"


def test_a_manifest_of_an_earlier_version_gives_the_records_of_that_version(body: dict[str, Any]) -> None:
    for name in ("key", "path", "statements"):
        del body["guarantee"][name]
    body["guarantee"]["claim"] = "unit: patient"
    manifest = Manifest(body)
    assert registry_row(manifest)["unit_by"] is None
    assert "unit_by" not in tracked_parameters(manifest)
    assert table_properties(manifest)["privacy_unit"] == "unit: patient"


def test_how_the_fit_ended_is_among_the_metrics(body: dict[str, Any]) -> None:
    numbers = publishable_metrics(Manifest(body))
    assert numbers["fit.steps"] == 31
    assert numbers["fit.reached"] == 1
    assert (numbers["fit.distance"], numbers["fit.worst_distance"]) == (0.000412, 0.003174)
    body["model"]["convergence"]["reached"] = False
    assert publishable_metrics(Manifest(body))["fit.reached"] == 0
    for earlier in (None, ...):
        body["model"]["convergence"] = earlier
        if earlier is ...:
            del body["model"]["convergence"]
        assert not [name for name in publishable_metrics(Manifest(body)) if name.startswith("fit.")]
