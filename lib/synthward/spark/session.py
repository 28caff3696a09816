"""Builds the Spark session of a job, a notebook or a test. Library code never builds one: its session is injected.

The settings depend on who started the JVM. If Spark or the platform started it (spark-submit, a Connect server), only
Delta's extension, Delta's catalog and the limit of generated methods are added, if missing. On Databricks nothing is
added. A local session gets everything that a laptop needs.

The session time zone of a cluster is not changed, because no result of the library depends on it. Local sessions use
UTC, so that printed output does not depend on the machine either.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import synthward
from synthward.errors import EnvironmentProblem, UsageError
from synthward.kernels.compiled import METHOD_LIMIT, METHOD_LIMIT_KEY
from synthward.run.private_files import LOCAL_DIR_KEY
from synthward.spark import jars
from synthward.spark.digests import check_jars, delta_jars
from synthward.spark.java import find_java
from synthward.spark.package import build_zip
from synthward.spark.private import HADOOP_UMASK, HADOOP_UMASK_KEY
from synthward.spark.scratch import SPILL, new_scratch, remove_scratch

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
CATALOG = "org.apache.spark.sql.delta.catalog.DeltaCatalog"
_EXTENSIONS_KEY = "spark.sql.extensions"
_CATALOG_KEY = "spark.sql.catalog.spark_catalog"
_JAVA_OPTIONS_KEY = "spark.driver.extraJavaOptions"
_CONNECT_MARKS = ("SPARK_LOCAL_REMOTE", "SPARK_CONNECT_MODE_ENABLED")
_GIB = 2**30


def build_session(
    app: str, *, master: str | None = None, remote: str | None = None, conf: Mapping[str, str] | None = None
) -> SparkSession:
    """Return the active session, or build a new one with Delta.

    Args:
        app: Application name, shown in the Spark UI and the cluster's list.
        master: Spark master. Default: from spark-submit or the environment, otherwise `local[*]`.
        remote: A Connect address. With `sc://host:port` this package is sent to that server. With `local[n]` a new
            Connect server is started in this process.
        conf: More settings. They replace the defaults of this module. Ignored if a session is already active.

    Raises:
        EnvironmentProblem: Java or Delta's JARs are missing, versions do not fit, or Spark does not start.
        UsageError: Both `master` and `remote` are given, or `remote` is given while a classic session is active.
    """
    if master is not None and remote is not None:
        raise UsageError(f"build_session: master={master} and remote={remote} exclude each other. Fix: give one")
    jars.spark_version()
    from pyspark.sql import SparkSession

    active = SparkSession.getActiveSession()
    if active is not None:
        if remote is not None and type(active).__module__ != "pyspark.sql.connect.session":
            raise UsageError(
                f"build_session: remote={remote}, but a classic session is active. Fix: stop_session() first"
            )
        return active
    settings = dict(conf or {})
    builder = SparkSession.builder.appName(app)
    remote = remote or (None if master else os.environ.get("SPARK_REMOTE"))
    if os.environ.get(jars.DATABRICKS_VARIABLE):
        return _configured(builder, settings).getOrCreate()
    if remote is not None and not remote.startswith("local"):
        spark = _configured(builder.remote(remote), {**method_settings(settings), **settings}).getOrCreate()
        send_package(spark)
        return spark
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        return _submitted(builder, settings)
    master = remote or master or settings.get("spark.master") or os.environ.get("MASTER") or "local[*]"
    return _started(app, master, settings, connect=remote is not None)


def send_package(spark: SparkSession) -> None:
    """Put this package on the path of a Connect server's Python workers, for this session alone.

    Functions for workers are pickled by name. A server without the package could not load them. The package comes first
    on the path. So a release is made by the driver's code, even if the server has another version of the package.

    Args:
        spark: A Connect session. Nothing was sent to it yet.
    """
    from pyspark.errors import PySparkException

    with tempfile.TemporaryDirectory() as folder:
        root = Path(synthward.__file__).parent
        # The driver itself may run from a zip.
        archive = build_zip(Path(folder) / "synthward.zip") if root.is_dir() else root.parent
        try:
            spark.addArtifacts(str(archive), pyfile=True)
        except PySparkException as refusal:
            # A platform that accepts no files installs packages in its own way. Preflight checks for the package.
            logger.warning(
                "the Connect server did not accept the package (%s)", refusal.getCondition() or type(refusal).__name__
            )


def stop_session(spark: SparkSession) -> None:
    """Stop a session and remove its scratch directories. Stop also the Connect server of a local session."""
    spark.stop()
    remove_scratch()


def _configured(builder: SparkSession.Builder, settings: Mapping[str, str]) -> SparkSession.Builder:
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder


def _submitted(builder: SparkSession.Builder, settings: Mapping[str, str]) -> SparkSession:
    """Return the session of a program that spark-submit started. Master, JARs and resources are given."""
    from pyspark import SparkConf, SparkContext

    # The JVM is running but not connected yet. A SparkConf made before that sees none of the submitted settings.
    SparkContext._ensure_initialized()
    given = {**dict(SparkConf().getAll()), **settings}
    jvm = cast("Any", SparkContext._jvm)
    try:
        jvm.java.lang.Thread.currentThread().getContextClassLoader().loadClass(EXTENSION)
    except Exception as missing:  # py4j wraps the JVM's exceptions
        version = jars.spark_version()
        ways = jars.three_ways(version, jars.installed_version("delta-spark"))
        raise EnvironmentProblem(f"Delta: not on the class path of this spark-submit.\n{ways}") from missing
    check_jars(delta_jars(given, jars.spark_home(os.environ)))
    return _configured(builder, {**settings, **delta_settings(given), **method_settings(given)}).getOrCreate()


def method_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return the limit of generated methods, unless `given` has one. See `kernels.compiled`."""
    return {} if METHOD_LIMIT_KEY in given else {METHOD_LIMIT_KEY: str(METHOD_LIMIT)}


def delta_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Return Delta's extension and catalog, if `given` does not have them. Other extensions are kept."""
    missing: dict[str, str] = {}
    extensions = [name.strip() for name in given.get(_EXTENSIONS_KEY, "").split(",") if name.strip()]
    if EXTENSION not in extensions:
        missing[_EXTENSIONS_KEY] = ",".join([*extensions, EXTENSION])
    if _CATALOG_KEY not in given:
        missing[_CATALOG_KEY] = CATALOG
    return missing


def _started(app: str, master: str, settings: dict[str, str], *, connect: bool) -> SparkSession:
    """Start a JVM here: a local session, or the client-mode driver of a cluster."""
    find_java(os.environ)
    in_force = jars.settings_in_force(os.environ, settings)
    plan = jars.plan_for(os.environ, settings)
    merged = {**settings, **delta_settings(in_force), **method_settings(in_force), **plan.conf}
    home = jars.spark_home(os.environ)
    check_jars(delta_jars({**in_force, **plan.conf}, home))
    if master.startswith("local"):
        # Spark reads the UI's address and the workers' Python from the environment, not from the settings.
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
        scratch = new_scratch()
        merged = {**local_settings(master, in_force, scratch), **merged}
        merged[_JAVA_OPTIONS_KEY] = _quiet_options(in_force.get(_JAVA_OPTIONS_KEY, ""), scratch)
    merged |= {"spark.app.name": app, "spark.master": master}
    logger.debug("Delta JARs: %s (%s)", plan.source, plan.detail)
    try:
        spark = _start_connect(merged) if connect else _start_classic(merged)
    except Exception as error:
        remove_scratch()
        hint = "Java's own message is above, on stderr."
        if plan.source == "packages":
            ways = jars.three_ways(jars.spark_version(), jars.installed_version("delta-spark"))
            hint = f"{hint} If {plan.detail} could not be fetched:\n{ways}"
        raise EnvironmentProblem(f"Spark did not start with master {master}: {_first_line(error)}\n{hint}") from error
    if plan.source == "packages":
        try:
            # The JARs that were fetched just now. Only the start of the session has used them.
            check_jars(delta_jars({**in_force, **plan.conf}, home))
        except EnvironmentProblem:
            stop_session(spark)
            raise
    return spark


def local_settings(master: str, given: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """Return the defaults of a local session, without the settings that `given` has.

    Args:
        master: `local`, `local[4]`, `local[*]`, `local[4,2]` or `local-cluster[2,1,1024]`.
        given: Settings that apply in any case.
        scratch: A directory that only this session uses.
    """
    cores = _cores(master)
    defaults = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": _driver_memory(),
        # Off by default: the UI shows exact counts to every user of the machine.
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.pyspark.python": sys.executable,
        "spark.pyspark.driver.python": sys.executable,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": str(2 * cores),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        # Shuffle and spill files hold patients' rows as plain text. So their folder is closed to other users.
        LOCAL_DIR_KEY: str(scratch / SPILL),
        HADOOP_UMASK_KEY: HADOOP_UMASK,
        # With the default of 50, every read of a table's log takes 50 tasks.
        "spark.databricks.delta.snapshotPartitions": "2",
    }
    return {key: value for key, value in defaults.items() if key not in given}


def _cores(master: str) -> int:
    """Return the number of task slots of a local master."""
    inside = master.partition("[")[2].rstrip("]").split(",")
    if master.startswith("local-cluster"):
        return int(inside[0]) * int(inside[1])
    if inside[0] == "*":
        return os.cpu_count() or 1
    return int(inside[0]) if inside[0] else 1


def _driver_memory() -> str:
    """Return a quarter of the machine's memory, from 1 to 8 GiB. Spark's default of 1 GiB is too small for models."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{max(1, min(8, physical // 4 // _GIB))}g"


def _quiet_options(options: str, scratch: Path) -> str:
    """Return Java options with the quiet log configuration, unless the caller has a log configuration."""
    if "log4j" in options:
        return options
    # The configuration is copied to a file, because the package may be in a zip.
    path = scratch / "log4j2.properties"
    path.write_text(resources.files("synthward.spark").joinpath("log4j2.properties").read_text("utf-8"), "utf-8")
    return f"{options} -Dlog4j2.configurationFile=file:{path}".strip()


@contextmanager
def _classic_mode() -> Iterator[None]:
    """Keep pyspark's builder from making a Connect client.

    A person set SPARK_REMOTE, so it is restored afterwards. The variables that mark a running Connect client are not
    restored. Without an active session they come from a parent process, and all functions would return Connect columns.
    """
    for mark in _CONNECT_MARKS:
        os.environ.pop(mark, None)
    remote = os.environ.pop("SPARK_REMOTE", None)
    try:
        yield
    finally:
        if remote is not None:
            os.environ["SPARK_REMOTE"] = remote


def _start_classic(settings: Mapping[str, str]) -> SparkSession:
    from pyspark.sql import SparkSession

    with _classic_mode():
        return _configured(SparkSession.builder, {**settings, "spark.api.mode": "classic"}).getOrCreate()


def _start_connect(settings: Mapping[str, str]) -> SparkSession:
    """Start a Connect server in this process on a free local port. Return its client.

    `builder.remote("local[2]")` does the same, but always on port 15002, so two programs could not run at once. Also,
    older releases send static settings a second time, and each one causes a CANNOT_MODIFY warning.
    """
    from pyspark.sql.connect.session import SparkSession as RemoteSession

    # Without a token, every user of this machine could run code in this process through the port.
    os.environ.setdefault("SPARK_CONNECT_AUTHENTICATE_TOKEN", str(uuid.uuid4()))
    port = _free_port()
    server = {
        "spark.plugins": _with_plugin(settings.get("spark.plugins", "")),
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(port),
        "spark.sql.artifact.isolation.enabled": "true",
        "spark.sql.artifact.isolation.alwaysApplyClassloader": "true",
    }
    _start_classic({**settings, **server})
    # As in pyspark's builder: functions read these to choose the kind of column, stop() to decide what to stop.
    os.environ.update(dict.fromkeys(_CONNECT_MARKS, "1"))
    return cast("SparkSession", RemoteSession.builder.remote(f"sc://localhost:{port}").getOrCreate())


def _with_plugin(plugins: str) -> str:
    connect = "org.apache.spark.sql.connect.SparkConnectPlugin"
    return ",".join([*(name for name in plugins.split(",") if name and name != connect), connect])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
