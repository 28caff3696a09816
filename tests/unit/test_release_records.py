"""What registry, table and MLflow say of a release follows from its manifest, also from one of an earlier version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synthward.release.manifest import Manifest
from synthward.run.records import (
    count_errors_of,
    publishable_metrics,
    registry_row,
    table_properties,
    tracked_parameters,
)
from synthward.sample.counts import CountErrors

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


def test_what_is_expected_goes_to_mlflow(body: dict[str, Any]) -> None:
    found = publishable_metrics(Manifest(body))
    expected = body["quality"]["expected"]
    assert found["expected_column_mean"] == expected["summary"]["expected_column_mean"]
    assert found["pairs_do_not_use"] == expected["summary"]["pairs_do_not_use"]
    [age] = [entry["distance"] for entry in expected["entries"] if entry["columns"] == ["age"]]
    assert found["expected.age"] == age


def test_the_model_file_gets_its_error_model_from_the_manifest(body: dict[str, Any]) -> None:
    found = CountErrors.parse(count_errors_of(Manifest(body)))
    assert found.rows == body["quality"]["counts"]["rows"]
    assert len(found.distances) == len(body["quality"]["expected"]["entries"])
    assert None in found.distances.values()
    [age] = [entry for entry in body["quality"]["expected"]["entries"] if entry["columns"] == ["age"]]
    assert age["distance"] < (found.distances["age",] or 0) < age["high"]


def test_a_manifest_without_simulated_releases_has_no_error_model(body: dict[str, Any]) -> None:
    del body["quality"]["expected"], body["quality"]["counts"]
    assert count_errors_of(Manifest(body)) is None
    assert not [name for name in publishable_metrics(Manifest(body)) if name.startswith("expected")]


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
