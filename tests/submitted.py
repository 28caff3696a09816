"""Programs of their own for the end-to-end tests: spark-submit, a standalone cluster, executors that have little.

Everything listens on 127.0.0.1 only, and whatever a test starts it stops.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyspark

from synthward.spark.session import CATALOG, EXTENSION
from trial import SCOPE, ZONES, Clock, TestSite, charges, ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

LIMIT = 900.0
"""Seconds for one program; many times what an idle machine needs, for a busy one."""

SETTINGS = {
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.ui.enabled": "false",
}

SPARK_HOME = Path(pyspark.__file__).parent

_CONNECT_SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"

# Executors see the standard library, these packages and what Spark sends them: no package of ours by another way.
_ON_EXECUTORS = ("numpy", "numpy.libs", "pyarrow", "pyarrow.libs")


def clean_environment() -> dict[str, str]:
    """The environment without what a running session has left in it."""
    dropped = ("PYSPARK_", "SPARK_CONNECT", "SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_ENV", "SPARK_SUBMIT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**kept, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}


def program(
    root: Path,
    script: str,
    *words: str,
    package: Path,
    master: str,
    conf: Mapping[str, str],
    options: Sequence[str] = (),
) -> list[str]:
    """The spark-submit command of a job, as docs/running.md has it, with the settings of the tests on top."""
    jars = ",".join(str(path) for path in sorted((root / "jars").glob("*.jar")))
    settings = [word for name, value in {**SETTINGS, **conf}.items() for word in ("--conf", f"{name}={value}")]
    return [
        str(Path(sys.executable).with_name("spark-submit")),
        *("--master", master, "--jars", jars, "--properties-file", str(root / "conf" / "spark-defaults.conf")),
        *("--py-files", str(package), *options, *settings),
        str(root / "jobs" / script),
        *words,
    ]


def finished(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end; its exit code and all that it printed."""
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=LIMIT, check=False)


def submit(
    root: Path,
    package: Path,
    *words: str,
    cwd: Path,
    script: str = "synthesize.py",
    master: str = "local[2]",
    conf: Mapping[str, str] | None = None,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """spark-submit of a job, as on a cluster."""
    command = program(root, script, *words, package=package, master=master, conf=conf or {}, options=options)
    # Outside of the checkout, and without it on the path: the package is to come from the zip.
    environment = {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"} | dict(env or {})
    return finished(command, cwd, environment)


def bare_python(folder: Path) -> Path:
    """A Python for executors with numpy and pyarrow and nothing else that is installed here."""
    packages = folder / "packages"
    packages.mkdir(parents=True)
    for name in _ON_EXECUTORS:
        found = SPARK_HOME.parent / name
        if found.is_dir():
            (packages / name).symlink_to(found)
    wrapper = folder / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{packages}" exec {sys.executable} -S "$@"\n', "utf-8")
    wrapper.chmod(0o755)
    return wrapper


@dataclass(frozen=True)
class Cluster:
    """A standalone cluster on this machine.

    Attributes:
        master: Its address.
        work: Where its workers keep the executors' logs.
    """

    master: str
    work: Path


@contextlib.contextmanager
def standalone(folder: Path, hosts: Sequence[str] = ("127.0.0.1", "127.0.0.1")) -> Iterator[Cluster]:
    """A standalone master with workers of one core each, in processes of their own.

    Args:
        folder: Where they run and log.
        hosts: Address of each worker: Spark copies a slow task to another host only, and all of 127/8 is this machine.
    """
    port = free_port()
    environment = clean_environment() | {
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_NO_DAEMONIZE": "1",
    }
    environment.pop("PYTHONPATH", None)
    master = f"spark://127.0.0.1:{port}"
    work = folder / "work"
    started: list[subprocess.Popen[bytes]] = []

    def start(name: str, words: list[str]) -> None:
        command = [str(SPARK_HOME / "bin" / "spark-class"), f"org.apache.spark.deploy.{name}", *words]
        with (folder / f"{name.rpartition('.')[2]}-{len(started)}.log").open("wb") as log:
            started.append(subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log))

    try:
        # Port 0 of the web pages: any free one.
        start("master.Master", ["--host", "127.0.0.1", "--port", str(port), "--webui-port", "0"])
        wait_for(port)
        for host in hosts:
            own = ["--host", host, "--webui-port", "0", "--cores", "1", "--memory", "1g"]
            start("worker.Worker", [*own, "--work-dir", str(work), master])
        yield Cluster(master, work)
    finally:
        stop(started)


@contextlib.contextmanager
def connect_server(root: Path, folder: Path, python: Path) -> Iterator[str]:
    """A Spark Connect server in a process of its own, with Delta and without Synthward.

    Args:
        root: The project, whose JARs the server gets.
        folder: Where it runs and logs.
        python: The Python of its workers.

    Yields:
        Its address.
    """
    port = free_port()
    environment = {name: value for name, value in clean_environment().items() if name != "PYTHONPATH"}
    environment |= {"SPARK_HOME": str(SPARK_HOME), "PYSPARK_PYTHON": str(python), "PYSPARK_DRIVER_PYTHON": str(python)}
    conf = SETTINGS | {
        "spark.sql.extensions": EXTENSION,
        "spark.sql.catalog.spark_catalog": CATALOG,
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
    }
    jars = ",".join(str(path) for path in sorted((root / "jars").glob("*.jar")))
    settings = [word for name, value in conf.items() for word in ("--conf", f"{name}={value}")]
    words = ["--master", "local[2]", "--jars", jars, "--class", _CONNECT_SERVER, *settings, "spark-internal"]
    with (folder / "connect.log").open("wb") as log:
        command = [str(SPARK_HOME / "bin" / "spark-submit"), *words]
        server = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        wait_for(port)
        yield f"sc://127.0.0.1:{port}"
    finally:
        stop([server])


def stop(servers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ends servers, the last one first; what does not end by itself is killed."""
    for server in reversed(servers):
        server.terminate()
    for server in servers:
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, server: subprocess.Popen[bytes] | None = None) -> None:
    """Waits until somebody listens on a port, or until the server that should do so has ended."""
    end = time.monotonic() + 120
    while time.monotonic() < end and (server is None or server.poll() is None):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise TimeoutError(f"nothing listens on port {port}")


def prepared(spark: SparkSession, folder: Path, *, away: str = "", **changes: Any) -> tuple[TestSite, Path]:
    """A site of today with a source, a budget and approvals, and a request with `changes`.

    Args:
        spark: A session.
        folder: Where the site's files are written.
        away: URI of a folder in another file system for source and zones.
        changes: What the request has otherwise.
    """
    site = TestSite(folder, site={zone: f"{away}/{zone}" for zone in ZONES} if away else None)
    source = site.write(spark)
    if away:
        spark.read.format("delta").load(str(source)).write.format("delta").save(f"{away}/visits")
        changes["source"] = {"path": f"{away}/visits"}
    today = dt.datetime.now(dt.UTC)
    path = site.request(expires=today.date() + dt.timedelta(days=3), **changes)
    ready(site.open(spark, clock=Clock(today)), path)
    return site, path


def facts(site: TestSite, spark: SparkSession, request: Path) -> dict[str, Any]:
    """What the ledger and the journal hold, read by a driver that was not there."""
    opened = site.open(spark)
    links = opened.history(opened.plan(opened.request(request)).identity.run_id)
    seals = [link.hash for link in links if link.kind == "sealed"]
    return {"charges": charges(opened), "kinds": [link.kind for link in links], "seals": seals}


def result_line(stdout: str) -> dict[str, Any]:
    """The JSON line of a run."""
    [line] = [text for text in stdout.splitlines() if text.startswith('{"run_id"')]
    found: dict[str, Any] = json.loads(line)
    return found


def whole(site: TestSite, spark: SparkSession, request: Path, release_id: str, rows: int = 200) -> None:
    """One charge, one seal, one release with every row once."""
    after = facts(site, spark, request)
    assert (after["charges"], len(after["seals"])) == (1, 1)
    assert after["kinds"] == ["opened", "sealed", "fitted", "validated", "published"]
    opened = site.open(spark)
    released = opened.rows(release_id)
    assert released.count() == released.select("_row").distinct().count() == rows
    assert opened.verify(SCOPE) == []
