"""Build the Spark session of a job, a notebook or a test. Library code never does: its session is injected.

What is set depends on who started the JVM. Where Spark or the platform did (spark-submit, a Connect server), only
Delta's extension and catalog and the limit of generated methods are added, when missing; on Databricks nothing is. A
local session gets everything a laptop needs.

The session time zone of a cluster is left alone: the library never lets a result depend on it. Local sessions use UTC,
so that what a person sees printed does not depend on the machine either.
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
    """The active session, or a new one with Delta.

    Args:
        app: Application name, shown in the Spark UI and the cluster's list.
        master: Spark master. Default: what spark-submit or the environment says, otherwise `local[*]`.
        remote: A Connect address, `sc://host:port`, whose server is sent this package, or `local[n]` for a Connect
            server of its own in this process.
        conf: More settings; they win over the defaults here. Ignored when a session is already active.

    Raises:
        EnvironmentProblem: Java or Delta's JARs are missing, versions do not fit, or Spark does not start.
        UsageError: Both a master and a remote, or a Connect session was asked for while a classic one is active.
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
    """Puts this package on the path of a Connect server's Python workers, for this session alone.

    Functions for workers are pickled by their names, so a server that has never seen the package could not load them.
    It comes first on the path there: where the server has the package too, a release is of the code that decided on it.

    Args:
        spark: A Connect session that has been sent nothing yet.
    """
    from pyspark.errors import PySparkException

    with tempfile.TemporaryDirectory() as folder:
        root = Path(synthward.__file__).parent
        # A driver may itself have come with a zip.
        archive = build_zip(Path(folder) / "synthward.zip") if root.is_dir() else root.parent
        try:
            spark.addArtifacts(str(archive), pyfile=True)
        except PySparkException as refusal:
            # A platform that takes no files installs packages in its own way; preflight sees whether somebody did.
            logger.warning("the Connect server took no package (%s)", refusal.getCondition() or type(refusal).__name__)


def stop_session(spark: SparkSession) -> None:
    """Stop a session, the Connect server of a local one included, and remove its scratch directories."""
    spark.stop()
    remove_scratch()


def _configured(builder: SparkSession.Builder, settings: Mapping[str, str]) -> SparkSession.Builder:
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder


def _submitted(builder: SparkSession.Builder, settings: Mapping[str, str]) -> SparkSession:
    """The session of a program that spark-submit started: master, JARs and resources are given."""
    from pyspark import SparkConf, SparkContext

    # The JVM is there but not connected yet; a SparkConf made before that sees none of the submitted settings.
    SparkContext._ensure_initialized()
    given = {**dict(SparkConf().getAll()), **settings}
    jvm = cast("Any", SparkContext._jvm)
    try:
        jvm.java.lang.Thread.currentThread().getContextClassLoader().loadClass(EXTENSION)
    except Exception as missing:  # py4j wraps what the JVM throws
        version = jars.spark_version()
        ways = jars.three_ways(version, jars.installed_version("delta-spark"))
        raise EnvironmentProblem(f"Delta: not on the class path of this spark-submit.\n{ways}") from missing
    check_jars(delta_jars(given, jars.spark_home(os.environ)))
    return _configured(builder, {**settings, **delta_settings(given), **method_settings(given)}).getOrCreate()


def method_settings(given: Mapping[str, str]) -> dict[str, str]:
    """The limit of generated methods, unless `given` has one; see `kernels.compiled`."""
    return {} if METHOD_LIMIT_KEY in given else {METHOD_LIMIT_KEY: str(METHOD_LIMIT)}


def delta_settings(given: Mapping[str, str]) -> dict[str, str]:
    """Delta's extension and catalog, as far as `given` lacks them; other extensions are kept."""
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
        # Spark reads these from the environment, not from the settings: the UI's address and the workers' Python.
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
        hint = "What Java said stands above, on stderr."
        if plan.source == "packages":
            ways = jars.three_ways(jars.spark_version(), jars.installed_version("delta-spark"))
            hint = f"{hint} If {plan.detail} could not be fetched:\n{ways}"
        raise EnvironmentProblem(f"Spark did not start with master {master}: {_first_line(error)}\n{hint}") from error
    if plan.source == "packages":
        try:
            # What was fetched just now. Nothing but the start of the session has used it.
            check_jars(delta_jars({**in_force, **plan.conf}, home))
        except EnvironmentProblem:
            stop_session(spark)
            raise
    return spark


def local_settings(master: str, given: Mapping[str, str], scratch: Path) -> dict[str, str]:
    """Defaults of a local session, without those that `given` sets.

    Args:
        master: `local`, `local[4]`, `local[*]`, `local[4,2]` or `local-cluster[2,1,1024]`.
        given: Settings that hold anyway.
        scratch: Directory of this session alone.
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
        # Shuffle and spill files hold patients' rows, in the clear: in a folder that no other user can enter.
        LOCAL_DIR_KEY: str(scratch / SPILL),
        HADOOP_UMASK_KEY: HADOOP_UMASK,
        # The default of 50 makes 50 tasks of every look at a table's log.
        "spark.databricks.delta.snapshotPartitions": "2",
    }
    return {key: value for key, value in defaults.items() if key not in given}


def _cores(master: str) -> int:
    """Number of task slots of a local master."""
    inside = master.partition("[")[2].rstrip("]").split(",")
    if master.startswith("local-cluster"):
        return int(inside[0]) * int(inside[1])
    if inside[0] == "*":
        return os.cpu_count() or 1
    return int(inside[0]) if inside[0] else 1


def _driver_memory() -> str:
    """A quarter of the machine, from 1 to 8 GiB; Spark's own default of 1 GiB is too little for a model's tables."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return f"{max(1, min(8, physical // 4 // _GIB))}g"


def _quiet_options(options: str, scratch: Path) -> str:
    """Java options that point the JVM to the quiet log configuration, unless the caller brought one."""
    if "log4j" in options:
        return options
    # A file of its own: the package, and the configuration in it, may stand in a zip.
    path = scratch / "log4j2.properties"
    path.write_text(resources.files("synthward.spark").joinpath("log4j2.properties").read_text("utf-8"), "utf-8")
    return f"{options} -Dlog4j2.configurationFile=file:{path}".strip()


@contextmanager
def _classic_mode() -> Iterator[None]:
    """Keep pyspark's builder from making a Connect client.

    SPARK_REMOTE is what a person set, and comes back. The marks of a running Connect client do not: without an active
    session they are a parent process's, and would make every function here return Connect columns.
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
    """A Connect server in this process on a free local port, and its client.

    `builder.remote("local[2]")` does the same, but always on port 15002, so that two programs cannot run at once, and
    older releases send static settings a second time, each answered with a CANNOT_MODIFY warning.
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
    # As pyspark's builder does: functions look here to know which kind of column to make, stop() whether to stop all.
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
