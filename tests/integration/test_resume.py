"""Crashes and rivals: a run stopped anywhere goes on where it stopped, and of two live drivers one draw counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synthward.api import Release, Ward
from synthward.errors import SourceError
from synthward.store.delta import version_of
from trial import CSV, VISITS, CountingNoise, Stopped, TestSite, charges, ready, stop_after, visits

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.store.links import Link

pytestmark = [pytest.mark.connect, pytest.mark.slow_on_connect]

STEPS = (
    "preflight",
    "open",
    "charge",
    "aggregate",
    "draw",
    "seal",
    "measure moments",
    "fitted",
    "sample",
    "quality",
    "validate",
    "register",
    "publish",
    "track",
)
QUERIES = 6
"""Population, two marginals, and presence, sum and square sum of the age."""


def kinds(opened: Ward, run_id: str) -> list[str]:
    return [link.kind for link in opened.history(run_id)]


def seal_of(opened: Ward, run_id: str) -> Link:
    [seal] = [link for link in opened.history(run_id) if link.kind == "sealed"]
    return seal


@pytest.mark.slow
def test_a_run_stopped_after_every_step_in_turn(spark: SparkSession, tmp_path: Path) -> None:
    """Fourteen drivers, each but the last stopped one step later than the one before, make one release."""
    site = TestSite(tmp_path)
    site.write(spark)
    path = site.request()
    request = ready(site.open(spark), path)
    noise = CountingNoise()
    sealed: set[str] = set()
    drawn: dict[str, int] = {}
    for step in STEPS:
        opened = site.open(spark, noise=noise, on_step=stop_after(step))
        run_id = opened.plan(request).identity.run_id
        before = len(noise.drawn)
        if step == "track":  # the last driver: everything is published, so there is nothing left to stop in
            again = opened.run(request)
            assert not again.outcome.is_new
        else:
            with pytest.raises(Stopped):
                opened.run(request)
        drawn[step] = len(noise.drawn) - before
        sealed |= {link.hash for link in opened.history(run_id) if link.kind == "sealed"}
        assert charges(opened) == (0 if step in ("preflight", "open") else 1)
    # Drawn before the seal and lost, drawn and sealed, and never again.
    assert {step: count for step, count in drawn.items() if count} == {"draw": QUERIES, "seal": QUERIES}
    assert len(sealed) == 1
    opened = site.open(spark, noise=noise)
    release = opened.run(request)
    assert release.outcome.is_new is False
    assert len(noise.drawn) == 2 * QUERIES
    assert kinds(opened, release.outcome.run_id) == ["opened", "sealed", "fitted", "validated", "published"]
    assert charges(opened) == 1
    rows = opened.rows(release.release_id)
    assert rows.count() == rows.select("_row").distinct().count() == 200
    assert {row[0] for row in rows.select("_generated_at").distinct().collect()} == {
        seal_of(opened, release.outcome.run_id).at
    }
    assert opened.verify("clinic") == []


@pytest.mark.slow
def test_of_two_live_drivers_the_first_seal_counts(spark: SparkSession, tmp_path: Path) -> None:
    """The second driver runs to its end while the first one stands between its draw and its seal."""
    site = TestSite(tmp_path)
    site.write(spark)
    request = ready(site.open(spark), site.request())
    first, second = CountingNoise(), CountingNoise()
    won: list[Release] = []

    def overtake(step: str) -> None:
        if step == "draw" and not won:
            won.append(site.open(spark, noise=second).run(request))

    opened = site.open(spark, noise=first, on_step=overtake)
    late = opened.run(request)
    [early] = won
    assert (early.outcome.is_new, late.outcome.is_new) == (True, False)
    assert Counter(first.drawn) == Counter(second.drawn)
    assert late.manifest == early.manifest
    assert late.table == early.table
    assert charges(opened) == 1
    assert kinds(opened, late.outcome.run_id) == ["opened", "sealed", "fitted", "validated", "published"]
    assert opened.rows(late.release_id).count() == 200
    assert opened.verify("clinic") == []


def add_a_file(site: TestSite) -> None:
    (site.data() / "more.csv").write_text("pid,sex,age\n9,F,3\n", encoding="utf-8")


def rewrite_a_file(site: TestSite) -> None:
    [file] = site.data().glob("part-*.csv")
    file.write_text(file.read_text(encoding="utf-8").replace("F", "M"), encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("edit", [add_a_file, rewrite_a_file], ids=["added", "rewritten"])
def test_files_that_change_under_a_run_are_refused_without_a_seal(
    spark: SparkSession, tmp_path: Path, edit: Callable[[TestSite], None]
) -> None:
    site = TestSite(tmp_path)
    site.write(spark, visits(), VISITS, format="csv", header=True)
    request = ready(site.open(spark), site.request(source=CSV))
    noise = CountingNoise()

    def change(step: str) -> None:
        if step == "charge":
            edit(site)

    opened = site.open(spark, noise=noise, on_step=change)
    with pytest.raises(SourceError, match="changed after it was pinned"):
        opened.run(request)
    run_id = opened.plan(request).identity.run_id
    assert noise.drawn == []
    assert kinds(opened, run_id) == ["opened"]
    assert charges(opened) == 1
    # The retry is refused as well, and costs nothing more.
    with pytest.raises(SourceError, match="changed after it was pinned"):
        site.open(spark, noise=noise).run(request)
    assert charges(opened) == 1
    assert noise.drawn == []


@pytest.mark.connect
@pytest.mark.slow
def test_a_run_whose_pinned_version_lost_its_files_is_not_retried(spark: SparkSession, tmp_path: Path) -> None:
    """Nothing brings the files back, so the charge is forfeit and only a new run key helps."""
    site = TestSite(tmp_path)
    site.write(spark)
    request = ready(site.open(spark), site.request(), runs=2)
    noise = CountingNoise()

    def vacuum(step: str) -> None:
        if step == "charge":
            [file] = site.data().glob("*.parquet")
            file.unlink()

    opened = site.open(spark, noise=noise, on_step=vacuum)
    with pytest.raises(SourceError, match="charge is forfeit"):
        opened.run(request)
    assert opened.result is not None
    assert (opened.result.status, opened.result.code, opened.result.retryable) == ("invalid", 2, False)
    assert "part-" not in str(opened.result.message)
    with pytest.raises(SourceError, match="charge is forfeit"):
        site.open(spark, noise=noise).run(request)
    assert noise.drawn == []
    assert kinds(opened, opened.plan(request).identity.run_id) == ["opened"]
    assert charges(opened) == 1
    site.write(spark, mode="overwrite")
    assert site.open(spark).run(request, run_key="new").outcome.is_new
    assert charges(opened) == 2


@pytest.mark.parametrize(
    "step", ["charge", *(pytest.param(step, marks=pytest.mark.slow) for step in ("seal", "sample"))]
)
def test_rows_appended_after_the_pin_are_not_read_by_a_resumed_run(
    spark: SparkSession, tmp_path: Path, step: str
) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    request = ready(site.open(spark), site.request(utility={"max_out_of_domain_share": 0.05}))
    with pytest.raises(Stopped):
        site.open(spark, on_step=stop_after(step)).run(request)
    site.write(spark, [(5000 + k, "nobody declared this", 1) for k in range(100)], mode="append")
    opened = site.open(spark)
    release = opened.run(request)
    assert release.outcome.is_new
    assert all(gate["passed"] for gate in release.manifest.body["gates"])
    assert charges(opened) == 1
    assert kinds(opened, release.outcome.run_id) == ["opened", "sealed", "fitted", "validated", "published"]


@pytest.mark.slow
def test_a_crash_between_artifacts_and_registry_doubles_nothing(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    opened = site.open(spark)
    request = ready(opened, site.request())

    def crash(*_: object, **__: object) -> bool:
        raise Stopped("record")

    with monkeypatch.context() as patch:
        patch.setattr(type(opened.registry), "record", crash)
        with pytest.raises(Stopped):
            opened.run(request)
    # All three came in one commit after the table's own.
    assert version_of(spark, opened.registry.artifacts) == 1
    release = opened.run(request)
    assert release.outcome.is_new
    assert version_of(spark, opened.registry.artifacts) == 1
    assert spark.read.format("delta").load(str(opened.registry.artifacts)).count() == 3
    assert spark.read.format("delta").load(str(opened.registry.releases)).count() == 1
