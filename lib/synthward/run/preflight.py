"""Checks without data, before anything is spent: can executors run our code, can we write where we will have to?"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from pyspark.errors import PySparkException

import synthward
from synthward.conditions import kind_of
from synthward.errors import EnvironmentProblem, SynthwardError
from synthward.kernels.compiled import METHOD_LIMIT, METHOD_LIMIT_KEY
from synthward.release.publication import published_state
from synthward.release.registry import Registry
from synthward.run import _worker
from synthward.spec.site import Site
from synthward.store.places import TableRef, Zone
from synthward.store.probe import write_probe

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

logger = logging.getLogger(__name__)

PROBES = 4

INTERPRETED_COLUMNS = 12
"""Columns from which encoding may be one method that Java does not compile; see `kernels.compiled`."""


def check_executors(spark: SparkSession) -> dict[str, str]:
    """Runs a tiny Python task on the executors and compares versions with the driver's.

    Returns:
        Versions found there, by package: one each, or several where executors differ in what does not matter.

    Raises:
        EnvironmentProblem: Python, numpy, pyarrow or Synthward are missing there, or differ in a way that matters.
    """
    schema = "python string, numpy string, pyarrow string, synthward string"
    try:
        found = spark.range(0, PROBES, 1, PROBES).mapInArrow(_worker.versions, schema).distinct().collect()
    except PySparkException as error:
        raise EnvironmentProblem(
            f"executors cannot run Synthward's Python code ({kind_of(error)}). They need "
            f"Python 3.11 or later with numpy and pyarrow, and this package: {_how_to_equip(spark)}. Nothing was spent"
        ) from error
    here = (np.__version__, synthward.__version__)
    for row in found:
        # numpy decides the random streams of sampling, synthward everything else; they must be the driver's.
        there = (row["numpy"], row["synthward"])
        if there != here:
            raise EnvironmentProblem(
                f"an executor has numpy {there[0]} and synthward {there[1]}, the driver numpy {here[0]} and synthward "
                f"{here[1]}; give all nodes one environment ({_how_to_equip(spark)}). Nothing was spent"
            )
    names = [part.split()[0] for part in schema.split(", ")]
    return {name: " and ".join(sorted({row[name] for row in found})) for name in names}


def _how_to_equip(spark: SparkSession) -> str:
    """How code and packages reach the executors of this kind of session."""
    if type(spark).__module__.startswith("pyspark.sql.connect"):
        return (
            "a session that `synthward --remote` opens sends it; in a session of your own call "
            'spark.addArtifacts("synthward.zip", pyfile=True) (make zip), on Databricks install the wheel. Python, '
            "numpy and pyarrow are the server's: set PYSPARK_PYTHON where it starts, of the client's minor version"
        )
    return (
        "send it with --py-files synthward.zip, and an environment with --archives (make env-pack), and set "
        "PYSPARK_PYTHON"
    )


def warn_of_interpretation(spark: SparkSession, columns: int) -> None:
    """Says so where the session lets Spark make methods that Java never compiles: the run is right, but slow.

    Args:
        spark: The session, whose settings belong to whoever made it.
        columns: Number of columns to be measured.
    """
    try:
        limit = int(str(spark.conf.get(METHOD_LIMIT_KEY)))
    except PySparkException:  # a platform that hides the setting runs no such methods
        return
    if limit > METHOD_LIMIT and columns >= INTERPRETED_COLUMNS:
        logger.warning(
            "%s is %d: encoding %d columns may run up to twenty times slower than it could; set it to %d",
            METHOD_LIMIT_KEY,
            limit,
            columns,
            METHOD_LIMIT,
        )


def written_zones(site: Site) -> dict[str, Zone]:
    """The zones that a run writes new tables into, by what they are called."""
    return {"release": Zone(site.releases), "protected": Zone(site.protected), "ledger": Zone(site.ledger)}


def check_zones(spark: SparkSession, zones: Mapping[str, Zone], mark: str) -> None:
    """Writes a probe into each zone, because a table that is there says nothing about new ones.

    Args:
        spark: The session.
        zones: Zones by what they are called.
        mark: Public id of the run.

    Raises:
        EnvironmentProblem: A zone cannot be written.
    """
    for name, zone in zones.items():
        try:
            write_probe(spark, zone, mark)
        except Exception as error:  # a classic session passes some errors on as py4j's own
            raise EnvironmentProblem(
                f"the {name} zone {zone.location} cannot be written ({kind_of(error)}); "
                "check the place, its free space and the permissions: files or tables must be made and removed there. "
                "Nothing was spent"
            ) from error


def check_targets(spark: SparkSession, registry: Registry, target: TableRef, release_id: str) -> None:
    """Creates the registry where it is absent and looks at the target.

    Raises:
        EnvironmentProblem: The release zone cannot be written, or something else is at the target.
    """
    try:
        registry.prepare()
        there = published_state(spark, target)
    except SynthwardError:
        raise
    except Exception as error:  # a classic session passes some of Delta's errors on as py4j's own
        raise EnvironmentProblem(
            f"the release zone cannot be used ({kind_of(error)}); check the path and the "
            f"permissions for {registry.releases}. Nothing was spent"
        ) from error
    if there is not None and there.get("release_id") != release_id:
        raise EnvironmentProblem(
            f"the target {target} holds another table; move it away or give the request another output name. "
            "Nothing was spent"
        )
