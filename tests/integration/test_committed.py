"""A journal that was restored, or written by somebody else, under a charge: nothing is drawn again or obeyed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.errors import IntegrityError, SourceError
from synthward.store.chain import Chain
from synthward.store.delta import version_of
from synthward.store.places import TableRef, Zone
from synthward.store.safety import is_databricks
from trial import SCOPE, CountingNoise, Stopped, TestSite, charges, ready, stop_after

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.api import Ward

EMPTY, OPENED = 0, 1
"""Versions of a journal of one run: the table was made, the run was opened."""


def table(site: TestSite, zone: str, name: str) -> TableRef:
    return Zone(str(site.root / "zones" / zone)).table(name)


def restore(spark: SparkSession, ref: TableRef, version: int) -> None:
    spark.sql(f"RESTORE TABLE {ref.sql} TO VERSION AS OF {version}").collect()


def commits(spark: SparkSession, root: Path) -> int:
    """Delta commits in all zones of a site."""
    return sum(1 for _ in (root / "zones").rglob("_delta_log/*.json"))


def test_a_journal_restored_under_its_charge_is_forfeit(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    request = ready(site.open(spark), site.request())
    journal = table(site, "protected", "journal")
    with pytest.raises(Stopped):
        site.open(spark, on_step=stop_after("seal")).run(request)
    sealed = version_of(spark, journal)
    assert site.open(spark).verify(SCOPE) == []
    noise = CountingNoise()
    opened = site.open(spark, noise=noise)
    for version, told in ((OPENED, "the journal was cut back"), (EMPTY, "charged under another journal")):
        restore(spark, journal, version)
        run_id = opened.plan(request).identity.run_id
        with pytest.raises(IntegrityError, match=told) as refused:
            opened.run(request)
        assert run_id in str(refused.value)
        assert opened.result is not None
        assert not opened.result.retryable
        assert noise.drawn == []
        assert charges(opened) == 1
        assert any("committed its step 'sealed.moments', which is missing" in text for text in opened.verify(SCOPE))
    restore(spark, journal, sealed)
    assert site.open(spark, noise=noise).run(request).outcome.is_new
    assert noise.drawn == []
    assert site.open(spark).verify_all() == {SCOPE: []}


def plant(opened: Ward, run_id: str, kind: str, facts: dict[str, Any], payload: bytes | None) -> None:
    """Writes a well-formed link into a run's journal, as anybody can who may write to the protected zone."""
    journal: Chain = opened._journal
    links = journal.read(run_id)
    journal.append(run_id, kind, facts, payload, links[-1] if links else None)


def test_links_that_the_run_did_not_commit_are_not_obeyed(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    request = ready(site.open(spark), site.request())
    with pytest.raises(Stopped):
        site.open(spark, on_step=stop_after("charge")).run(request)
    noise = CountingNoise()
    opened = site.open(spark, noise=noise)
    run_id = opened.plan(request).identity.run_id
    receipt = opened.ledger.state(SCOPE).charges[0].receipt(opened.ledger.genesis().hash, is_new=False)
    paid = {"seq": receipt.seq, "head": receipt.head_hash, "genesis": receipt.genesis_hash}
    plant(opened, run_id, "sealed", {"step": "moments", "attempt": 1, "ledger": paid, "asked": [], "cells": []}, b"no")
    plant(opened, run_id, "fitted", {"model": "0" * 64}, b"{}")
    plant(opened, run_id, "validated", {"passed": True, "version": 0, "manifest": "0" * 64}, b"{}")
    plant(opened, run_id, "published", {"table": "elsewhere", "manifest": "0" * 64}, None)
    before = commits(spark, tmp_path)
    release = opened.run(request)
    assert release.outcome.is_new
    assert noise.drawn
    assert opened.registry.row(release.release_id)
    assert opened.verify_all() == {SCOPE: []}
    assert not site.open(spark, noise=noise).run(request).outcome.is_new
    assert commits(spark, tmp_path) > before


def test_an_opening_of_another_source_is_not_obeyed(spark: SparkSession, tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    site.write(spark, name="registry")
    request = ready(site.open(spark), site.request())
    noise = CountingNoise()
    with pytest.raises(Stopped):
        site.open(spark, on_step=stop_after("open")).run(request)
    opened = site.open(spark, noise=noise)
    run_id = opened.plan(request).identity.run_id
    [link] = opened.history(run_id)
    facts = link.facts
    facts["source"][0]["location"] = facts["source"][0]["location"].replace("visits", "registry")
    restore(spark, table(site, "protected", "journal"), EMPTY)
    plant(opened, run_id, "opened", facts, None)
    with pytest.raises(IntegrityError, match=r"not of the approved request \(it differs in source\)"):
        opened.run(request)
    assert noise.drawn == []
    assert charges(opened) == 0


@pytest.mark.parametrize("how", ["table", "view"])
def test_a_catalog_cannot_hide_a_zone(spark: SparkSession, tmp_path: Path, how: str) -> None:
    """A table of the catalog over the ledger's files, and a view that reads them, are refused before the charge."""
    site = TestSite(tmp_path)
    ward = site.open(spark)
    name = f"hidden_{how}_{tmp_path.name[-1]}"
    source = {"_whole": True, "format": "delta", "table": f"default.{name}"}
    if how == "view":
        source["snapshot"] = "materialize"
    path = site.request(source=source, patient={"key": "key"}, columns=["age"])
    request = ready(ward, path)
    place = table(site, "ledger", "charges").path
    if how == "table":
        spark.sql(f"CREATE TABLE default.{name} USING delta LOCATION '{place}'").collect()
    else:
        spark.sql(f"CREATE VIEW default.{name} AS SELECT key, seq AS age FROM delta.`{place}`").collect()
    try:
        with pytest.raises(SourceError, match="in the ledger zone of this site, which is never a source"):
            ward.run(request)
    finally:
        spark.sql(f"DROP {how.upper()} IF EXISTS default.{name}").collect()
    assert charges(ward) == 0
    assert ward.history(ward.plan(request).identity.run_id) == ()


def test_apache_spark_is_not_taken_for_databricks(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    assert not is_databricks(spark)
    # The question is understood: what is built in is found.
    assert spark.sql("SHOW SYSTEM FUNCTIONS LIKE 'version'").collect()


def test_a_small_run_makes_few_commits(spark: SparkSession, tmp_path: Path) -> None:
    """Each costs about a second: three of them are commitments, one for the round, the model and the manifest each."""
    site = TestSite(tmp_path)
    site.write(spark)
    request = ready(site.open(spark), site.request())
    before = commits(spark, tmp_path)
    site.open(spark).run(request)
    assert commits(spark, tmp_path) - before <= 23
