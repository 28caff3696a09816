"""`budget verify` against ledgers that lost what seals and releases say was paid: restored, cut, gone."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from showcase import Showcase, showcase
from synthward.cli.main import main
from synthward.store.delta import version_of
from synthward.store.places import TableRef, Zone
from trial import SCOPE, Stopped, TestSite, heard, ready, stop_after

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EMPTY, OPENED = 0, 1
"""Versions of a journal of one run: the table was made, the run was opened."""


@pytest.fixture(autouse=True)
def _own_logging() -> object:
    """The command line sets up the package's logger for good; here it is put back."""
    with heard() as messages:
        yield messages


@dataclass(frozen=True)
class Sealed:
    """A site with one run that stopped after its seal, so that nothing but the seal has the receipt.

    Attributes:
        root: Its folder.
        new: Version of the ledger's table before the scope was opened.
        unspent: Version before the charge.
    """

    root: Path
    new: int
    unspent: int


@pytest.fixture(scope="module")
def sealed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Sealed:
    site = TestSite(tmp_path_factory.mktemp("sealed"))
    site.write(spark)
    opened = site.open(spark, on_step=stop_after("seal"))
    opened.ledger.genesis()
    new = version_of(spark, charges(site))
    request = ready(opened, site.request())
    unspent = version_of(spark, charges(site))
    with pytest.raises(Stopped):
        opened.run(request)
    # The charge, and the commitment of the seal.
    assert version_of(spark, charges(site)) == unspent + 2
    return Sealed(site.root, new, unspent)


def charges(site: TestSite) -> TableRef:
    return Zone(str(site.root / "zones" / "ledger")).table("charges")


def journal(site: TestSite) -> TableRef:
    return Zone(str(site.root / "zones" / "protected")).table("journal")


def copied(root: Path, folder: Path) -> TestSite:
    """A site of its own with the zones as they are."""
    shutil.copytree(root / "zones", folder / "zones")
    return TestSite(folder)


def restore(spark: SparkSession, ref: TableRef, version: int) -> None:
    spark.sql(f"RESTORE TABLE {ref.sql} TO VERSION AS OF {version}").collect()


def verify(capsys: pytest.CaptureFixture[str], site: TestSite, *scope: str) -> tuple[int, str]:
    """Exit code and what was printed: on stdout when all is well, on stderr when not."""
    capsys.readouterr()
    code = main(["budget", "verify", *scope, "--site", str(site.file)])
    out, err = capsys.readouterr()
    assert (out == "") == (code != 0)
    return code, err if code else out


def test_a_run_that_stopped_after_its_seal_is_paid_for(
    sealed: Sealed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = copied(sealed.root, tmp_path)
    told = "1 scope(s) verified: chains unbroken, a charge for every seal and release\n"
    assert verify(capsys, site) == verify(capsys, site, SCOPE) == (0, told)


def test_a_ledger_restored_to_before_a_seal_was_paid_is_found(
    spark: SparkSession, sealed: Sealed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = copied(sealed.root, tmp_path)
    restore(spark, charges(site), sealed.unspent)
    for scope in ((), (SCOPE,)):
        code, told = verify(capsys, site, *scope)
        assert code == 4
        assert f"{SCOPE}: receipt 1: the charge is missing" in told


def test_a_ledger_restored_to_before_a_scope_was_opened_is_found(
    spark: SparkSession, sealed: Sealed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger names no scope at all; the journal does, also when it holds the opening of the run alone."""
    site = copied(sealed.root, tmp_path)
    restore(spark, charges(site), sealed.new)
    code, told = verify(capsys, site)
    assert code == 4
    assert f"{SCOPE}: scope '{SCOPE}': has no links" in told
    assert f"{SCOPE}: receipt 1: the charge is missing" in told
    restore(spark, journal(site), OPENED)
    code, told = verify(capsys, site)
    assert code == 4
    assert f"{SCOPE}: scope '{SCOPE}': has no links" in told
    assert "receipt" not in told


def test_a_ledger_that_is_gone_is_found(
    spark: SparkSession, sealed: Sealed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = copied(sealed.root, tmp_path)
    shutil.rmtree(str(charges(site)))
    code, told = verify(capsys, site)
    assert code == 4
    assert "genesis: one link is due, 0 found" in told
    assert "receipt 1: was issued by another ledger" in told


def test_a_ledger_restored_to_before_a_release_was_paid_is_found(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Charge and commitments are the tail of the ledger; the release by itself has the charge's receipt."""
    shown: Showcase = showcase(spark, tmp_path_factory.mktemp("showcase"))
    site = copied(shown.site.root, tmp_path)
    paid = version_of(spark, charges(site))
    committed = len(site.open(spark).budget(SCOPE).commitments)
    assert committed >= 3
    restore(spark, charges(site), paid - committed)
    code, told = verify(capsys, site)
    assert code == 4
    assert f"{SCOPE}: receipt 2: the charge is missing (or the commitment); the ledger was cut" in told
    restore(spark, charges(site), paid - committed - 1)
    for scope in ((), (SCOPE,)):
        code, told = verify(capsys, site, *scope)
        assert code == 4
        assert f"{SCOPE}: receipt 1: the charge is missing (or the commitment); the ledger was cut" in told
    restore(spark, journal(site), EMPTY)
    code, told = verify(capsys, site)
    assert code == 4
    assert f"{SCOPE}: receipt 1: the charge is missing" in told


def test_a_ledger_that_was_begun_again_is_found(
    spark: SparkSession, sealed: Sealed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = copied(sealed.root, tmp_path)
    shutil.rmtree(str(charges(site)))
    terms = ["--epsilon", "5", "--delta", "1e-6", "--patients", "600", "--by", "x"]
    assert main(["budget", "open", SCOPE, *terms, "--site", str(site.file)]) == 0
    code, told = verify(capsys, site)
    assert code == 4
    assert "receipt 1: was issued by another ledger" in told
