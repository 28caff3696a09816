"""A session and an opened site for the commands that need them."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from synthward.cli.options import site_path
from synthward.errors import UsageError
from synthward.spec.site import ZONES, load_site

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.api import Ward


@contextlib.contextmanager
def session(options: argparse.Namespace, app: str) -> Iterator[SparkSession]:
    """Open a session for one command. It is stopped afterwards, unless it existed before."""
    from pyspark.sql import SparkSession

    from synthward.spark.session import build_session, stop_session

    was_there = SparkSession.getActiveSession() is not None
    spark = build_session(app, master=options.master, remote=options.remote)
    try:
        yield spark
    finally:
        if not was_there:
            stop_session(spark)


def known_zones(options: argparse.Namespace) -> dict[str, str]:
    """Return the location of each zone of the command's site; an empty mapping if there is no valid site file."""
    try:
        site = load_site(site_path(options))
    except UsageError:
        return {}
    return {name: getattr(site, name) for name in ZONES}


@contextlib.contextmanager
def ward(options: argparse.Namespace, app: str) -> Iterator[Ward]:
    """Open the site. Site, policy and roster are read before Spark starts, and refused if they are wrong."""
    from synthward.api import Ward
    from synthward.governance.policy import load_policy
    from synthward.governance.roster import roster_of

    site = load_site(site_path(options))
    load_policy(Path(site.policy))
    roster_of(site)
    with session(options, app) as spark:
        yield Ward(spark, site)
