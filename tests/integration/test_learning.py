"""Runs that learn a part of their domain: resumed in the middle, on neighbours, and what is published of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from recorded import RecordingNoise, ReplayNoise
from store_doubles import MemoryLinks
from synthward.config.site import load_site
from synthward.domain.spec import Numeric
from synthward.governance.policy import load_policy
from synthward.ledger.charges import ChargeReceipt
from synthward.ledger.ledger import Ledger
from synthward.measure import source
from synthward.pipeline.environment import Environment
from synthward.pipeline.run import MainJob, Measured
from synthward.sample.model_file import ModelFile
from synthward.store.chain import Chain
from synthward.store.delta import TableRef, Zone
from trial import VISITS, Clock, CountingNoise, Stopped, TestSite, plan_of, run, stop_after, visits

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.privacy.noise import NoiseSource

LEARNED: dict[str, Any] = {
    "privacy": {"mechanism": "gaussian", "epsilon": 90, "delta": 1e-7},
    "learn": {"share": 0.3, "quantiles": {"age": 5}},
    "synthesizer": {"name": "fixed", "cliques": [["sex", "age"]]},
}
CROWDED = [(pid, sex, 30 + age % 20) for pid, sex, age in visits(30)]
"""Ages of 30 to 49 only, of 0 to 100 that are declared."""

RECEIPT = ChargeReceipt(1, "head", "genesis", is_new=True)


def test_a_learned_release(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark, CROWDED, VISITS)
    ward = site.open(spark)
    release = run(ward, site.request(**LEARNED))
    body = release.manifest.body
    assert [(entry["query"], entry["learns"]) for entry in body["measurements"][:2]] == [
        ("marginal(age)", "bins"),
        ("population", None),
    ]
    assert {a["column"]: a["learned"] for a in body["domain"]["attributes"]} == {"sex": None, "age": "bins"}
    assert sum(entry["nano_rho"] for entry in body["measurements"]) <= body["guarantee"]["nano_rho"]
    file = ModelFile.parse(ward.registry.artifact(release.release_id, "model.json").decode(), body["model"]["digest"])
    age = file.domain.attributes["age"]
    assert isinstance(age, Numeric)
    assert file.domain.digest == body["domain"]["digest"]
    # Where the rows crowd there are cuts, and none beyond it.
    assert len(age.edges) >= 2
    assert all(25 <= edge <= 60 for edge in age.edges)
    assert "where to cut bins" in release.report
    assert "cut into bins as learned" in release.report


class Driver:
    """Rounds of the main job on a real source, with a journal in memory."""

    def __init__(self, spark: SparkSession, root: Path, rows: list[tuple]) -> None:
        self.spark, self.site, self.links = spark, TestSite(root), MemoryLinks()
        self.site.write(spark, rows, VISITS)
        self.plan = plan_of(self.site, self.site.request(**LEARNED))

    def measure(self, noise: NoiseSource, on_step: Callable[[str], None] = lambda _: None) -> Measured:
        """All rounds, from wherever an earlier driver left them."""
        clock = Clock()
        env = Environment(
            spark=self.spark,
            site=load_site(self.site.file),
            policy=load_policy(self.site.root / "policy.yaml"),
            ledger=Ledger(None, Zone("memory/ledger"), store=MemoryLinks(), clock=clock),
            journal=Chain(None, TableRef(parts=("journal",)), store=self.links, clock=clock),
            noise=noise,
            clock=clock,
            on_step=on_step,
        )
        return MainJob(env, self.plan, (), 1)._measure(source.pin(self.spark, self.plan.file), RECEIPT)

    def seals(self) -> list[tuple[Any, ...]]:
        """What is sealed."""
        return [(link.facts["step"], link.facts["digest"], link.payload) for link in self.links.links]


@pytest.mark.connect
def test_learned_rounds_replayed_on_a_neighbour_and_resumed(spark: SparkSession, tmp_path: Path) -> None:
    """The same questions on the same learned bins, every difference within its bound; the heaviest patient is gone."""
    noise = RecordingNoise()
    whole = Driver(spark, tmp_path / "whole", CROWDED)
    expected = whole.measure(noise)
    assert [step for step, *_ in whole.seals()] == ["learn_bins", "one_way"]
    replayed = ReplayNoise(noise.calls)
    rows = [row for row in CROWDED if row[0] != 1005]
    assert len(CROWDED) - len(rows) == 3
    less = Driver(spark, tmp_path / "less", rows)
    with pytest.raises(Stopped):
        less.measure(replayed, stop_after("measure learn_bins"))
    assert replayed.place == 1
    found = less.measure(replayed)
    assert less.seals() == whole.seals()
    assert replayed.place == replayed.moved == len(noise.calls) == 5
    assert found.model.digest == expected.model.digest
    assert found.plan.domain.digest == expected.plan.domain.digest != whole.plan.domain.digest
    last = CountingNoise()
    assert less.measure(last).model.digest == expected.model.digest
    assert last.drawn == []
