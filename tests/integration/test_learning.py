"""Runs that learn a part of their domain: resumed in the middle, on neighbours, and what is published of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from recorded import Call, RecordingNoise, ReplayNoise
from store_doubles import MemoryLinks
from synthward.domain.spec import Categorical, Numeric
from synthward.errors import SourceError
from synthward.fit.program import Fit
from synthward.governance.policy import load_policy
from synthward.ledger.charges import ChargeReceipt
from synthward.ledger.ledger import Ledger
from synthward.run.environment import Environment
from synthward.run.main_job import MainJob
from synthward.run.stages import Measure
from synthward.sample.model_file import ModelFile
from synthward.sources import reading as source
from synthward.sources.reading import PinnedSource
from synthward.spec.site import load_site
from synthward.store.chain import Chain
from synthward.store.places import TableRef, Zone
from trial import (
    VISITS,
    Clock,
    CountingNoise,
    Stopped,
    TestSite,
    committed_journal,
    heard,
    plan_of,
    run,
    stop_after,
    visits,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.privacy.noise import Integers, NoiseCall, NoiseSource

LEARNED: dict[str, Any] = {
    "privacy": {"mechanism": "gaussian", "epsilon": 90, "delta": 1e-7},
    "learn": {
        "share": 0.3,
        "quantiles": {"age": 5},
        "categories": {"sex": {"pattern": "[A-Z]{1,20}", "per_patient": 2, "at_most": 4}},
    },
    "synthesizer": {"name": "fixed", "cliques": [["sex", "age"]]},
}
HEAVY = 1005
PLANTED = "ONLYONEHASTHIS"
CROWDED = [(pid, "U" if pid % 4 == 1 else sex, 30 + age % 20) for pid, sex, age in visits(30)]
CROWDED += [(HEAVY, PLANTED, 40), (HEAVY, "U", 41), (1006, "free text", 30), (None, "V", 30)]
"""Ages of 30 to 49 only, of 0 to 100 that are declared; a value that many have and is not declared, and a rare one."""

RECEIPT = ChargeReceipt(1, "head", "genesis", is_new=True)
"""A charge of a version before commitments, whose seals stand in the journal as they are."""


@pytest.mark.slow
def test_a_learned_release(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark, CROWDED, VISITS)
    ward = site.open(spark)
    with heard() as messages:
        release = run(ward, site.request(**LEARNED))
    body = release.manifest.body
    assert [(entry["query"], entry["learns"], entry["cells"]) for entry in body["measurements"][:3]] == [
        ("marginal(age)", "bins", 105),
        ("categories(sex)", "categories", 1),
        ("population", None, 1),
    ]
    assert {a["column"]: a["learned"] for a in body["domain"]["attributes"]} == {"sex": "categories", "age": "bins"}
    for unit in ("nano_rho", "atto_delta"):
        assert sum(entry[unit] for entry in body["measurements"]) <= body["guarantee"][unit]
    [charge] = ward.budget("clinic").charges
    assert charge.cost.atto_delta == body["guarantee"]["atto_delta"] > 0
    file = ModelFile.parse(ward.registry.artifact(release.release_id, "model.json").decode(), body["model"]["digest"])
    age = file.domain.attributes["age"]
    assert isinstance(age, Numeric)
    assert file.domain.digest == body["domain"]["digest"]
    # Where the rows crowd there are cuts, and none beyond it.
    assert len(age.edges) >= 2
    assert all(25 <= edge <= 60 for edge in age.edges)
    # Values inside of bins follow the histogram: a run for every value.
    assert file.model.column("age").cells == 105
    sex = file.domain.attributes["sex"]
    assert isinstance(sex, Categorical)
    assert sex.values == ("F", "M", "U")
    assert {row["sex"] for row in ward.rows(release.release_id).select("sex").distinct().collect()} >= {"F", "M", "U"}
    for words in (
        "where to cut bins",
        "cut into bins as learned",
        "further values that many have",
        "some of them learned",
    ):
        assert words in release.report
    # What one patient has is nowhere, not even in the protected zone.
    shown = [*messages, release.report, release.manifest.text, file.text]
    shown += [path.read_text() for path in (tmp_path / "zones").rglob("*.json")]
    links = ward._journal.read(body["run_id"])
    shown += [str(link.body) + str(link.payload) for link in links]
    committed = committed_journal(ward, body["run_id"])
    seals = [committed.find_seal(link.facts["step"]) for link in links if link.kind == "sealed"]
    assert seals
    shown += [str(seal) for seal in seals]
    assert not [text for text in shown if PLANTED in text or "free text" in text]


class Driver:
    """Rounds of the main job on a real source, with a journal in memory."""

    def __init__(self, spark: SparkSession, root: Path, rows: list[tuple], **source: Any) -> None:
        self.spark, self.site, self.links = spark, TestSite(root), MemoryLinks()
        self.site.write(spark, rows, VISITS, **source)
        asked = {"source": {"format": source["format"]}} if source else {}
        self.plan = plan_of(self.site, self.site.request(**LEARNED, **asked))

    def measure(
        self, noise: NoiseSource, on_step: Callable[[str], None] = lambda _: None, pinned: PinnedSource | None = None
    ) -> Fit:
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
            require_standing=lambda *_: None,
            require_approved=lambda *_: None,
        )
        state = source.pin(self.spark, self.plan.file) if pinned is None else pinned
        job = MainJob(env, self.plan, (), 1)
        job._run.pinned = state
        job._run.charged(RECEIPT)
        job._pass([Measure()])
        assert job._run.fit is not None
        return job._run.fit

    def seals(self) -> list[tuple[Any, ...]]:
        """What is sealed."""
        return [
            (link.facts["step"], link.facts["digest"], link.payload)
            for link in self.links.links
            if link.kind == "sealed"
        ]


class Replay(ReplayNoise):
    """Like `ReplayNoise`; the texts of D' are looked up among those of D, as the seal would have told them."""

    def __init__(self, calls: list[Call], ours: list[str], theirs: list[str]) -> None:
        super().__init__(calls)
        self.ours, self.theirs = ours, theirs

    def draw(self, label: str, exact: Integers, call: NoiseCall) -> Integers:
        """See `NoiseSource.draw`."""
        if not label.startswith("categories"):
            return super().draw(label, exact, call)
        before = self.calls[self.place]
        self.place += 1
        assert (label, call) == (before.label, before.call)
        counts, whole = dict(zip(self.ours, exact, strict=True)), dict(zip(self.theirs, before.exact, strict=True))
        steps = [int(counts.get(text, 0)) - whole.get(text, 0) for text in {*counts, *whole}]
        assert 0 < sum(step * step for step in steps) <= call.sensitivity**2
        self.moved += 1
        noisy = dict(zip(self.theirs, before.noisy, strict=True))
        return np.array([noisy[text] for text in self.ours])


def kept_texts(rows: list[tuple]) -> list[str]:
    """Candidates of the column `sex` in the order in which they get noise; nobody here has more than K0."""
    return sorted({sex for pid, sex, _ in rows if pid is not None and re.fullmatch("[A-Z]{1,20}", sex)} - {"F", "M"})


@pytest.mark.connect
def test_learned_rounds_replayed_on_a_neighbour_and_resumed(spark: SparkSession, tmp_path: Path) -> None:
    """The same questions on the same learned bins, every difference within its bound; the heaviest patient, who
    alone had one text, is gone. That it was not released is the chance that delta stands for."""
    noise = RecordingNoise()
    whole = Driver(spark, tmp_path / "whole", CROWDED)
    expected = whole.measure(noise)
    assert [step for step, *_ in whole.seals()] == ["learn_bins", "learn_categories", "one_way"]
    rows = [row for row in CROWDED if row[0] != HEAVY]
    assert len(CROWDED) - len(rows) == 5
    assert kept_texts(CROWDED) == [PLANTED, "U"]
    replayed = Replay(noise.calls, kept_texts(rows), kept_texts(CROWDED))
    less = Driver(spark, tmp_path / "less", rows)
    with pytest.raises(Stopped):
        less.measure(replayed, stop_after("measure learn_categories"))
    assert replayed.place == 2
    found = less.measure(replayed)
    assert less.seals() == whole.seals()
    assert replayed.place == replayed.moved == len(noise.calls) == 6
    assert found.model.digest == expected.model.digest
    assert found.domain.digest == expected.domain.digest != whole.plan.domain.digest
    last = CountingNoise()
    assert less.measure(last).model.digest == expected.model.digest
    assert last.drawn == []


@pytest.mark.connect
@pytest.mark.slow_on_connect
@pytest.mark.parametrize(("step", "sealed"), [("measure learn_bins", 1), ("measure learn_categories", 2)])
def test_a_source_that_changes_between_two_passes_is_measured_no_further(
    spark: SparkSession, tmp_path: Path, step: str, sealed: int
) -> None:
    """What was sealed before stays, nothing of the changed files is sealed, and a retry is refused as well."""
    driver = Driver(spark, tmp_path, CROWDED, format="parquet")
    pinned, noise = source.pin(spark, driver.plan.file), CountingNoise()

    changed: list[str] = []

    def change(name: str) -> None:
        if name == step and not changed:
            changed.append(name)
            driver.site.write(spark, [(9000, "F", 50)], VISITS, format="parquet", mode="append")

    for _ in range(2):
        with pytest.raises(SourceError, match="changed after it was pinned"):
            driver.measure(noise, change, pinned)
        assert [name for name, *_ in driver.seals()] == ["learn_bins", "learn_categories"][:sealed]
        assert "population" not in noise.drawn
