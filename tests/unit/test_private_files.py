"""What Synthward keeps on a machine is closed to its other users, and doctor says where it is not."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from small_model import model_file
from synthward.cli.main import main
from synthward.run.doctor import private_files_finding
from synthward.run.private_files import LOCAL_DIR_KEY, open_to_others
from synthward.spark import scratch
from synthward.spark.private import HADOOP_UMASK_KEY, UMASK, private_umask
from synthward.spark.session import local_settings
from synthward.spec.site import Site, load_site

SITE = (
    "version: 1\nname: Test\npolicy: policy.yaml\n"
    "ledger: ./zones/ledger\nprotected: ./zones/protected\nreleases: ./zones/releases\n"
)

OWNER_AND_OUT = """
import sys, tempfile, time
from synthward.spark import scratch

tempfile.tempdir = sys.argv[1]
print(scratch.new_scratch(), flush=True)
time.sleep(120)
"""

HOUR = 3600.0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site with its zones, all closed."""
    (tmp_path / "site.yaml").write_text(SITE, encoding="utf-8")
    for zone in ("ledger", "protected", "releases"):
        (tmp_path / "zones" / zone).mkdir(parents=True)
        (tmp_path / "zones" / zone).chmod(0o700)
    return load_site(tmp_path / "site.yaml")


@pytest.fixture
def owner(tmp_path: Path) -> subprocess.Popen[str]:
    """A process that has a scratch folder in `tmp_path`."""
    words = [sys.executable, "-c", OWNER_AND_OUT, str(tmp_path)]
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def folder_of(process: subprocess.Popen[str]) -> Path:
    assert process.stdout is not None
    path = Path(process.stdout.readline().strip())
    (path / "spill" / "shuffle_0.data").write_bytes(b"rows")
    return path


def closed(umask: int) -> int:
    before = os.umask(umask)
    try:
        with private_umask():
            inside = os.umask(0)
            os.umask(inside)
        after = os.umask(umask)
        assert after == umask
        return inside
    finally:
        os.umask(before)


def test_a_command_closes_its_files_and_never_opens_any() -> None:
    assert closed(0o022) == UMASK
    assert closed(0o000) == UMASK
    assert closed(0o077) == 0o077


def test_what_a_command_writes_is_closed_to_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.json").write_text(model_file().text, encoding="utf-8")
    out = tmp_path / "rows.csv"
    before = os.umask(0o000)
    try:
        assert main(["sample", str(tmp_path / "model.json"), "--rows", "5", "--out", str(out)]) == 0
        assert os.umask(0o000) == 0o000
    finally:
        os.umask(before)
    assert stat.S_IMODE(out.stat().st_mode) & 0o007 == 0


def test_a_local_session_spills_and_writes_privately(tmp_path: Path) -> None:
    found = local_settings("local[2]", {}, tmp_path)
    assert Path(found[LOCAL_DIR_KEY]).parent == tmp_path
    assert found[HADOOP_UMASK_KEY] == "077"


def test_closed_zones_are_in_order(site: Site) -> None:
    assert open_to_others(site, {}, {}) == []
    assert open_to_others(None, {}, {}) == []


@pytest.mark.parametrize(
    ("zone", "mode", "fault"),
    [
        ("ledger", 0o755, "has mode 0755: chmod o-rwx"),
        ("protected", 0o701, "has mode 0701: chmod o-rwx"),
        ("releases", 0o777, "has mode 0777: chmod o-w "),
        ("releases", 0o755, ""),
        ("protected", 0o770, ""),
    ],
)
def test_open_zones_are_named_with_the_command_that_closes_them(site: Site, zone: str, mode: int, fault: str) -> None:
    place = Path(getattr(site, zone).removeprefix("file:"))
    place.chmod(mode)
    found = open_to_others(site, {}, {})
    assert len(found) == bool(fault)
    if fault:
        assert str(place) in found[0]
        assert fault in found[0]
        subprocess.run(found[0].partition(": ")[2].split(), check=True)
        assert open_to_others(site, {}, {}) == []


def test_an_open_database_and_open_spill_folders_are_found(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    (tmp_path / "mlflow.db").chmod(0o644)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o755)
    assert ["MLflow's database" in fault for fault in open_to_others(site, {}, {})] == [True]
    both = f"{tmp_path}/a,{tmp_path}/b"
    assert len(open_to_others(None, {LOCAL_DIR_KEY: both}, {})) == 2
    assert len(open_to_others(None, {LOCAL_DIR_KEY: "/nowhere"}, {"SPARK_LOCAL_DIRS": both})) == 2


def test_doctor_looks(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPARK_LOCAL_DIRS", raising=False)
    assert private_files_finding(site, {}).ok
    (tmp_path / "zones" / "protected").chmod(0o755)
    finding = private_files_finding(site, {})
    assert not finding.ok
    assert finding.fix == f"chmod o-rwx {tmp_path}/zones/protected"


def test_a_folder_is_private_and_goes_with_its_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(scratch, "_held", {})
    path = scratch.new_scratch()
    assert path.parent == tmp_path
    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / scratch.SPILL).stat().st_mode) == 0o700
    assert scratch.remove_abandoned(tmp_path, now=time.time() + HOUR) == []
    scratch.remove_scratch()
    assert not path.exists()


def test_the_folder_of_a_killed_driver_is_removed(tmp_path: Path, owner: subprocess.Popen[str]) -> None:
    path = folder_of(owner)
    later = time.time() + HOUR
    assert scratch.remove_abandoned(tmp_path, now=later) == []  # alive
    owner.send_signal(signal.SIGKILL)
    owner.wait(30)
    assert scratch.remove_abandoned(tmp_path, now=time.time()) == []  # so young: perhaps not locked yet
    assert scratch.remove_abandoned(tmp_path, now=later) == [path]
    assert list(tmp_path.iterdir()) == []


def test_nothing_else_is_removed(tmp_path: Path) -> None:
    """What has no lock is of an earlier version (older than the machine's start, with known content) or a person's."""
    booted = time.time() - HOUR
    kinds = {
        "synthward-aaaaaaaa": ("log4j2.properties", booted - HOUR),  # the one to go
        "synthward-bbbbbbbb": ("log4j2.properties", booted + 60),
        "synthward-cccccccc": ("results.csv", booted - HOUR),
        "synthward-backup": ("log4j2.properties", booted - HOUR),
        "other-aaaaaaaa": ("log4j2.properties", booted - HOUR),
    }
    for name, (file, when) in kinds.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / file).touch()
        os.utime(tmp_path / name, (when, when))
    (tmp_path / "synthward-linklink").symlink_to(tmp_path / "other-aaaaaaaa")
    assert scratch.remove_abandoned(tmp_path, booted=booted) == [tmp_path / "synthward-aaaaaaaa"]
    assert len(list(tmp_path.iterdir())) == len(kinds)
    assert scratch.remove_abandoned(tmp_path, booted=0.0) == []
