"""Decides whether a location is safe for several drivers.

A location is unsafe if a later overwrite could erase a link that was already read back. It is safe if no other writer
can replace the file of a commit. This module lists the stores that are known to be safe. It never guesses from a name.
Environment variables do not prove a platform, because anybody can set them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pyspark.errors import PySparkException

from synthward.errors import EnvironmentProblem

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OWN = "io.delta.storage."
_FORMER = "org.apache.spark.sql.delta.storage."
"""Package of Delta's log stores up to version 1.0. Delta still accepts these names."""


def _named(*names: str) -> frozenset[str]:
    return frozenset(package + name for name in names for package in (_OWN, _FORMER))


_LOCAL, _HDFS, _AZURE, _GCS = map(_named, ("LocalLogStore", "HDFSLogStore", "AzureLogStore", "GCSLogStore"))
_S3 = frozenset({_OWN + "S3DynamoDBLogStore"})

LOG_STORES = {
    "": _LOCAL | _HDFS,
    "file": _LOCAL | _HDFS,
    "hdfs": _HDFS,
    "viewfs": _HDFS,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "wasb": _AZURE,
    "wasbs": _AZURE,
    "gs": _GCS,
    "s3": _S3,
    "s3a": _S3,
    "s3n": _S3,
}
"""Log stores that commit atomically from any number of drivers, by scheme (Delta's page "Storage configuration")."""

_SAFE_BY_DEFAULT = frozenset({"", "file", "hdfs", "viewfs", "abfs", "abfss", "wasb", "wasbs", "gs", "dbfs"})
"""Schemes whose default log store is safe. It is used if no log store is configured."""


def scheme_of(location: str) -> str:
    """Return the scheme of a URI in lower case; an empty text for a path and for a catalog name."""
    return location.split(":", 1)[0].lower() if ":" in location.split("/", 1)[0] else ""


def refuse_unsafe(
    location: str, single_writer: bool, log_store: str = "", is_coordinated: Callable[[], bool] = lambda: False
) -> None:
    """Refuse a location where a later overwrite could erase a charge or a seal after it was read back.

    Args:
        location: Directory URI or catalog name of the table.
        single_writer: The site promises that only one driver ever writes. Every charge records this.
        log_store: The LogStore class that the session configures for the scheme; empty if Delta's default is used.
        is_coordinated: Returns True if the platform coordinates commits itself. Called only if nothing else makes the
            location safe.

    Raises:
        EnvironmentProblem: The location is not safe.
    """
    scheme = scheme_of(location)
    known = LOG_STORES.get(scheme, frozenset())
    is_safe = log_store in known if log_store else scheme in _SAFE_BY_DEFAULT
    if is_safe or single_writer or is_coordinated():
        return
    found = f"the LogStore {log_store}" if log_store else f"{scheme}://"
    kept = ", ".join(sorted(name for name in known if name.startswith(_OWN))) or "none is known"
    raise EnvironmentProblem(
        f"{location}: {found} has no safe log store for several drivers, so a charge or a seal could be lost; "
        f"set spark.delta.logStore.{scheme or 'file'}.impl to one that several drivers may use at once ({kept}), or "
        "use a file:, hdfs:, abfss: or gs: directory or a catalog, or say `single_writer: true` in site.yaml if only "
        "one driver ever writes"
    )


def configured_log_store(spark: SparkSession, location: str) -> str:
    """Return the LogStore class that the session configures for a scheme; an empty text for Delta's default."""
    scheme = scheme_of(location) or "file"
    return _conf(spark, f"spark.delta.logStore.{scheme}.impl") or _conf(spark, "spark.delta.logStore.class")


def is_databricks(spark: SparkSession) -> bool:
    """True if the session runs on Databricks, which coordinates commits itself.

    The answer comes from the list of built-in functions. Whoever starts the job can give a setting or a variable, but
    cannot change that list. `current_version` is built in since Databricks Runtime 11 and unknown to Apache Spark.
    """
    try:
        return bool(spark.sql("SHOW SYSTEM FUNCTIONS LIKE 'current_version'").collect())
    except PySparkException:
        return False


def _conf(spark: SparkSession, name: str) -> str:
    try:
        return spark.conf.get(name, None) or ""
    except PySparkException:  # serverless refuses to read settings that are not on its list
        return ""
