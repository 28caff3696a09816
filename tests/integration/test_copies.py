"""Sources without versions: copied after the charge, measured from the copy, which goes away with the need for it."""

from __future__ import annotations

import datetime as dt
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.api import Ward
from synthward.errors import PolicyRefused, SourceError
from synthward.run.environment import Places
from synthward.run.journal import Journal
from synthward.run.opening import open_source
from synthward.sources import copying
from synthward.sources import reading as source
from synthward.spec.request_file import RequestFile
from synthward.store.delta import exists
from synthward.store.places import TableRef
from trial import (
    Clock,
    CountingNoise,
    NoNoise,
    Stopped,
    TestSite,
    charges,
    open_budget,
    plan_of,
    ready,
    stop_after,
    visits,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect

CELL = "JANE-DOE-7"
VIEW = "visits_view"
SOURCE = {"_whole": True, "format": "delta", "table": VIEW, "snapshot": "materialize"}


@pytest.fixture
def site(tmp_path: Path) -> TestSite:
    return TestSite(tmp_path)


def asked(site: TestSite, opened: Ward) -> RequestFile:
    return ready(opened, site.request(source=SOURCE))


def show(spark: SparkSession, rows: list[tuple[Any, ...]], age: str = "CAST(age AS INT)") -> None:
    """Makes the view; its ages are texts, which a CAST may fail on."""
    spark.createDataFrame(rows, "pid BIGINT, sex STRING, age STRING").createOrReplaceTempView("visits_table")
    spark.sql(
        f"CREATE OR REPLACE TEMPORARY VIEW {VIEW} AS SELECT pid, sex, {age} AS age, 'NOTE' AS note FROM visits_table"
    )


def broken(spark: SparkSession) -> None:
    """A view that fails on one cell."""
    show(spark, [*good(), (1, "F", CELL)])


def good() -> list[tuple[Any, ...]]:
    return [(pid, sex, str(age)) for pid, sex, age in visits()]


def copies(site: TestSite) -> list[Path]:
    """Everything of a copy that is left in the protected zone."""
    return list((site.root / "zones" / "protected").glob("source_*"))


def kinds(opened: Ward, request: RequestFile) -> list[str]:
    return [link.kind for link in opened.history(opened.plan(request).identity.run_id)]


def attempt(site: TestSite, spark: SparkSession, request: RequestFile, step: str, **seams: Any) -> Ward:
    """A driver that is stopped after a step."""
    opened = site.open(spark, on_step=stop_after(step), **seams)
    with pytest.raises(Stopped):
        opened.run(request)
    return opened


def test_no_row_is_read_when_a_run_opens(spark: SparkSession, site: TestSite) -> None:
    """A view that fails on a cell is opened, and its schema compared, without meeting that cell."""
    broken(spark)
    opened = site.open(spark)
    open_budget(opened)
    plan, env = opened.plan(opened.request(site.request(source=SOURCE))), opened._environment()
    pinned = open_source(env, plan, Places.of(opened.site, plan), Journal(env.journal, plan.identity.run_id))
    assert pinned.unversioned == (0,)
    assert [link.kind for link in opened.history(plan.identity.run_id)] == ["opened"]
    assert copies(site) == []
    with pytest.raises(Exception, match="CAST_INVALID_INPUT"):
        spark.table(VIEW).collect()


def test_not_one_row_is_read_before_the_charge(spark: SparkSession, site: TestSite) -> None:
    """Every row of the view fails as soon as it is read, the first one too; a run gets as far as its charge."""
    show(spark, [(pid, sex, CELL) for pid, sex, _ in good()])
    with pytest.raises(Exception, match="CAST_INVALID_INPUT"):
        spark.table(VIEW).select("age").head(1)
    request = asked(site, site.open(spark))
    opened = attempt(site, spark, request, "charge")
    assert kinds(opened, request) == ["opened"]
    assert charges(opened) == 1


@pytest.mark.slow
def test_a_view_that_fails_on_a_cell_is_refused_without_telling_it(spark: SparkSession, site: TestSite) -> None:
    broken(spark)
    opened = site.open(spark)
    request = asked(site, opened)
    with pytest.raises(SourceError, match=r"'visits_view' cannot be copied .*CAST_INVALID_INPUT\)") as refused:
        opened.run(request)
    told = [str(refused.value), "".join(traceback.format_exception(refused.value)), str(opened.result)]
    assert not [text for text in told if CELL in text]
    assert opened.result is not None
    assert (opened.result.status, opened.result.retryable) == ("invalid", False)
    assert kinds(opened, request) == ["opened"]
    assert copies(site) == []
    assert charges(opened) == 1
    # Mended, the same command goes on under the same charge.
    show(spark, good())
    again = site.open(spark)
    assert again.run(request).outcome.is_new
    assert kinds(again, request) == ["opened", "copied", "sealed", "fitted", "validated", "published"]
    assert charges(again) == 1
    assert copies(site) == []


@pytest.mark.slow
@pytest.mark.slow_on_connect
def test_a_view_is_copied_and_the_copy_dropped_after_the_seal(spark: SparkSession, site: TestSite) -> None:
    """The copy is there while the run measures, holds the needed columns only, and is gone once it is sealed."""
    show(spark, good())
    opened = site.open(spark, noise=NoNoise(), on_step=stop_after("aggregate"))
    request = asked(site, opened)
    with pytest.raises(Stopped):
        opened.run(request)
    [copy] = copies(site)
    assert spark.read.format("delta").load(str(copy)).columns == ["sex", "age", "pid"]
    assert "minValues" not in "".join(path.read_text() for path in (copy / "_delta_log").glob("*.json"))
    assert kinds(opened, request) == ["opened", "copied"]
    # What the view says later does not matter any more.
    show(spark, [])
    release_id = opened.plan(request).identity.release_id
    attempt(site, spark, request, "sample", noise=NoNoise())
    assert copies(site) == []
    assert kinds(opened, request) == ["opened", "copied", "sealed", "fitted"]
    staged = spark.read.format("delta").load(str(site.root / "zones" / "protected" / f"staging_{release_id}"))
    assert staged.where("sex is not null").count() > 0
    assert not exists(spark, opened.registry.releases) or opened.registry.row(release_id) is None


@pytest.mark.slow
@pytest.mark.slow_on_connect
def test_a_refused_run_leaves_no_copy_and_can_be_taken_up_again(spark: SparkSession, site: TestSite) -> None:
    """A crash after the copy, then a day on which the request may not run, then one on which it may."""
    show(spark, good())
    request = asked(site, site.open(spark))
    opened = attempt(site, spark, request, "copy")
    assert len(copies(site)) == 1
    late = site.open(spark, clock=Clock(dt.datetime(2026, 4, 1, 12, tzinfo=dt.UTC)))
    with pytest.raises(PolicyRefused, match="expires"):
        late.run(request)
    assert copies(site) == []
    noise = CountingNoise()
    again = site.open(spark, noise=noise)
    assert again.run(request).outcome.is_new
    assert noise.drawn
    assert kinds(opened, request) == ["opened", "copied", "copied", "sealed", "fitted", "validated", "published"]
    assert charges(again) == 1
    assert copies(site) == []


def test_a_copy_whose_files_are_gone_is_not_whole(spark: SparkSession, site: TestSite) -> None:
    """As on an object store, where a dropped copy leaves its log behind; and half a copy is removed."""
    show(spark, good())
    plan = plan_of(site, site.request(source=SOURCE))
    target = TableRef(path=str(site.root / "zones" / "protected" / "source_r_0"))
    copied = copying.copy_tables(spark, source.pin(spark, plan.file), plan.file, {0: target})
    assert copying.is_whole(spark, copied, [0])
    for file in copies(site)[0].rglob("*.parquet"):  # column mapping puts them into folders
        file.unlink()
    assert not copying.is_whole(spark, copied, [0])
    copying.discard(spark, [target])
    assert copies(site) == []
