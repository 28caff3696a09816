"""The shipped requests whose patients are behind foreign keys, on the public extracts."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synthward.errors import GateFailed
from synthward.governance.policy import load_policy
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.run.plan import make_plan
from synthward.spec.request_file import load_request
from trial import Clock, TestSite, approve, exact_answers

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.slow, pytest.mark.realdata]

NOW = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)


def rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def shipped_population(site: TestSite, root: Path, name: str, edits: dict[str, str]) -> Path:
    """A shipped population with the places of its files."""
    text = (root / "conf" / "populations" / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in edits.items():
        assert old in text, old
        text = text.replace(old, new)
    path = site.root / f"{name}.population.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def shipped(site: TestSite, root: Path, name: str, edits: dict[str, str]) -> Path:
    """A shipped request with the places of its files, and a smaller release."""
    text = (root / "conf" / "requests" / f"{name}.yaml").read_text(encoding="utf-8")
    for old, new in {"../domains/": f"{root}/conf/domains/", **edits}.items():
        assert old in text, old
        text = text.replace(old, new)
    path = site.root / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_synthea_encounters_to_patients(spark: SparkSession, tmp_path: Path, root: Path, data_dir: Path) -> None:
    data = data_dir / "synthea-mn" / "a"
    site = TestSite(tmp_path, site={"policy": str(root / "conf" / "policy.yaml")})
    path = shipped(
        site,
        root,
        "synthea_encounters",
        {"path: synthea/": f"path: {data}/", "synthetic, rows: 25000": "synthetic, rows: 2000"},
    )
    opened = site.open(spark, clock=Clock(NOW))
    request = opened.request(path)
    people = shipped_population(site, root, "synthea", {"path: ../requests/synthea/": f"path: {data}/"})
    opened.open_population(opened.population(people), by="sam")
    approve(opened, request)
    exact = exact_answers(spark, opened.plan(request))
    known = {row["ID"] for row in rows(data / "patients.csv.gz")}
    seen = {row["PATIENT"] for row in rows(data / "encounters.csv.gz")} & known
    assert exact["population"] == [len(seen) * WEIGHT_UNIT]
    release = opened.run(request)
    assert all(gate["passed"] for gate in release.manifest.body["gates"])
    assert opened.rows(release.release_id).count() == 2000


def test_mimic_laboratory_results_to_admissions_to_patients(
    spark: SparkSession, tmp_path: Path, root: Path, data_dir: Path
) -> None:
    data = data_dir / "mimic3-demo"
    site = TestSite(tmp_path, site={"policy": str(root / "conf" / "policy.yaml")})
    path = shipped(site, root, "mimic3_labevents", {"path: mimic3/": f"path: {data}/", "rows: 100000": "rows: 2000"})
    plan = make_plan(load_request(path), load_policy(root / "conf" / "policy.yaml"), "", NOW.date())
    exact = exact_answers(spark, plan)
    owner = {row["hadm_id"]: row["subject_id"] for row in rows(data / "admissions.csv.gz")}
    seen = {owner[row["hadm_id"]] for row in rows(data / "labevents.csv.gz") if row["hadm_id"] in owner}
    assert 80 < len(seen) <= 100
    assert exact["population"] == [len(seen) * WEIGHT_UNIT]
    # A hundred patients where the tier asks for a thousand: the noisy count says so, and nothing is published.
    opened = site.open(spark, clock=Clock(NOW))
    request = opened.request(path)
    people = shipped_population(site, root, "mimic3", {"path: ../requests/mimic3/": f"path: {data}/"})
    opened.open_population(opened.population(people), by="sam")
    approve(opened, request)
    with pytest.raises(GateFailed, match="gate 'population' failed"):
        opened.run(request)
