"""What all tests share: hypothesis profiles, the public data sets, and one lazily started Spark session."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parents[1]
LANES = ("classic", "connect")

# Deterministic by default: a red build must mean a change, not a lucky draw. SYNTHWARD_HYPOTHESIS=search looks further.
_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=_QUIET)
settings.register_profile("search", derandomize=False, deadline=None, max_examples=2000, suppress_health_check=_QUIET)
settings.load_profile(os.environ.get("SYNTHWARD_HYPOTHESIS", "repeatable"))

# Small jobs spend a quarter of their time on compiling generated code; tests of kernels switch it on (`compiled`).
COMPILED = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}

SHOWCASE = ("test_cli.py", "test_leaks.py", "test_main_job.py")
"""Modules that look at one run, made once for all of them."""

# Measured on 15 small join and aggregate tests: the two JVM flags halve the time, more than all Spark settings do.
SPARK_CONF = {
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.driver.memory": "2g",
    "spark.sql.shuffle.partitions": "2",
    "spark.sql.ui.retainedExecutions": "1",
    "spark.ui.retainedJobs": "1",
    "spark.ui.retainedStages": "1",
    "spark.databricks.delta.snapshotPartitions": "1",
    "delta.log.cacheSize": "3",
    **INTERPRETED,
}


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With two workers a module stays on one of them, and the modules of the showcase stay together."""
    from xdist.scheduler import LoadFileScheduling

    class Modules(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            name = nodeid.partition("::")[0].rpartition("/")[2]
            return "showcase" if name in SHOWCASE else name

    return Modules(config, log)


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's root directory."""
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The public data sets: SYNTHWARD_DATA, otherwise `shared/data` beside the project."""
    path = Path(os.environ.get("SYNTHWARD_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip(f"no public data sets at {path}; set SYNTHWARD_DATA to their directory")
    return path


@pytest.fixture
def accounting(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Google's dp-accounting, from the folder SYNTHWARD_DP_ACCOUNTING, behind everything that is installed here."""
    folder = os.environ.get("SYNTHWARD_DP_ACCOUNTING")
    if folder is not None:
        monkeypatch.setattr(sys, "path", [*sys.path, folder])
    pytest.importorskip(
        "dp_accounting", reason="no dp-accounting; `make extras`, then set SYNTHWARD_DP_ACCOUNTING to .extras/dp"
    )
    return importlib.import_module("dp_accounting.pld.privacy_loss_distribution")


@pytest.fixture(scope="session")
def lane() -> str:
    """Which kind of session the tests run on: `classic`, or `connect` with SYNTHWARD_TEST_LANE=connect."""
    name = os.environ.get("SYNTHWARD_TEST_LANE", "classic")
    if name not in LANES:
        pytest.exit(f"SYNTHWARD_TEST_LANE={name}: not one of {', '.join(LANES)}", returncode=4)
    return name


@pytest.fixture(scope="module")
def compiled(spark: SparkSession) -> Iterator[None]:
    """Generated code, as in production, for the tests of a module."""
    for name, value in COMPILED.items():
        spark.conf.set(name, value)
    yield
    for name, value in INTERPRETED.items():
        spark.conf.set(name, value)


@pytest.fixture(scope="session")
def spark(lane: str) -> Iterator[SparkSession]:
    """One session for all tests, on two local cores; a test that changes a setting puts it back."""
    from synthward.spark.session import build_session, stop_session

    where = {"remote": "local[2]"} if lane == "connect" else {"master": "local[2]"}
    session = build_session("synthward-tests", conf=SPARK_CONF, **where)
    # The first job costs ten times the third one; here it is on nobody's account.
    session.range(2).selectExpr("id % 2 AS cell").groupBy("cell").count().collect()
    yield session
    stop_session(session)
