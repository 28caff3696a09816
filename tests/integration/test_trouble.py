"""Places that go away while a run is going on: a full disk, a target that became read-only, a dead MLflow server."""

from __future__ import annotations

import contextlib
import http.server
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synthward.errors import EnvironmentProblem
from trial import TestSite, charges, heard, ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of 16 MiB at `folder`, which only root can make."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a disk of its own needs root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Callable[[], None]:
    """Fills a disk to the last byte; returns what frees it."""
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(b"\0" * 4096)
    return filler.unlink


def lock(disk: Path) -> Callable[[], None]:
    """Makes a disk read-only, which root cannot overrule either; returns what undoes it."""
    remount = ["mount", "-o", "remount,{}", str(disk)]
    subprocess.run([word.format("ro") for word in remount], check=True)
    return lambda: subprocess.run([word.format("rw") for word in remount], check=True) and None


@pytest.mark.parametrize("trouble", [fill, lock])
@pytest.mark.parametrize("step", ["validate", "register"])
def test_a_release_zone_that_cannot_be_written_any_more(
    spark: SparkSession, tmp_path: Path, trouble: Callable[[Path], Callable[[], None]], step: str
) -> None:
    """The run fails, says so in its result, and goes on where it stopped once there is room again."""
    with small_disk(tmp_path / "zones" / "releases") as disk:
        site = TestSite(tmp_path, site={"publish": "copy"})
        site.write(spark)
        mend: list[Callable[[], None]] = []

        def on_step(name: str) -> None:
            if name == step and not mend:
                mend.append(trouble(disk))

        opened = site.open(spark, on_step=on_step)
        request = ready(opened, site.request())
        with pytest.raises(Exception):  # noqa: B017, PT011 - Spark's own, and another one for each of the two
            opened.run(request)
        assert opened.result is not None
        assert (opened.result.status, opened.result.code, opened.result.retryable) == ("failed", 1, True)
        seals = [link.hash for link in opened.history(opened.result.run_id or "") if link.kind == "sealed"]
        mend[0]()
        release = opened.run(request)
        assert release.outcome.is_new
        assert charges(opened) == 1
        assert [link.hash for link in opened.history(release.outcome.run_id) if link.kind == "sealed"] == seals
        assert opened.rows(release.release_id).count() == 200
        assert opened.verify("clinic") == []


@pytest.mark.parametrize("trouble", [fill, lock])
@pytest.mark.parametrize("zone", ["releases", "protected"])
def test_a_zone_that_cannot_be_written_is_found_before_anything_is_spent(
    spark: SparkSession, tmp_path: Path, trouble: Callable[[Path], Callable[[], None]], zone: str
) -> None:
    """Its tables are there already, so that nothing has to be made in it until the release is."""
    with small_disk(tmp_path / "zones" / zone) as disk:
        site = TestSite(tmp_path, site={"publish": "copy"})
        site.write(spark)
        opened = site.open(spark)
        request = ready(opened, site.request(), runs=2)
        opened.run(request)
        mend = trouble(disk)
        with pytest.raises(EnvironmentProblem, match=rf"zone .*zones/{zone} cannot be written .*Nothing was spent"):
            opened.run(request, run_key="next")
        assert charges(opened) == 1
        mend()
        assert opened.run(request, run_key="next").outcome.is_new
        assert charges(opened) == 2
        assert list(disk.glob("_synthward_probe_*")) == []


def test_a_tracking_server_that_dies_before_the_end_costs_a_warning(spark: SparkSession, tmp_path: Path) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    site = TestSite(tmp_path, site={"tracking": {"enabled": True, "uri": f"http://127.0.0.1:{server.server_port}"}})
    site.write(spark)
    died: list[str] = []

    def on_step(name: str) -> None:
        if name == "preflight":
            assert not died
        if name == "publish":
            server.shutdown()
            server.server_close()
            died.append(name)

    with heard() as messages:
        opened = site.open(spark, on_step=on_step)
        release = opened.run(ready(opened, site.request()))
    assert died
    assert release.outcome.is_new
    assert release.outcome.mlflow_run is None
    assert [text for text in messages if "MLflow was not written" in text]
    assert opened.result is not None
    assert opened.result.status == "published"
