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
    """A session for one command; stopped afterwards unless it was there before."""
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
    """Location of each zone of the command's site; none where there is no site, or it is wrong and will be refused."""
    try:
        site = load_site(site_path(options))
    except UsageError:
        return {}
    return {name: getattr(site, name) for name in ZONES}


@contextlib.contextmanager
def ward(options: argparse.Namespace, app: str) -> Iterator[Ward]:
    """The opened site; site, policy and roster are read, and refused if wrong, before Spark starts."""
    from synthward.api import Ward
    from synthward.governance.policy import load_policy
    from synthward.governance.roster import roster_of

    site = load_site(site_path(options))
    load_policy(Path(site.policy))
    roster_of(site)
    with session(options, app) as spark:
        yield Ward(spark, site)
