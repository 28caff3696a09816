"""A driver whose source, ledger and zones lie in an object store: one refused ledger, one whole run, one repeated.

Usage: object_store_driver.py FOLDER ENDPOINT JARS. Prints one JSON line.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

from synthward.cli.result import ResultFile
from synthward.errors import EnvironmentProblem
from synthward.spark.session import build_session, stop_session
from trial import SCOPE, VISITS, ZONES, TestSite, charges, ready, visits

BUCKET = "s3a://clinic"
IN_BUCKET = {zone: f"{BUCKET}/{zone}" for zone in ZONES}


def settings(endpoint: str, jars: Path) -> dict[str, str]:
    """A small session with Hadoop's S3 client, which reaches the endpoint and nothing else."""
    return {
        "spark.driver.memory": "1g",
        "spark.driver.extraClassPath": ":".join(str(path) for path in sorted(jars.glob("*.jar"))),
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.hadoop.fs.s3a.endpoint": endpoint,
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.hadoop.fs.s3a.connection.ssl.enabled": "false",
        "spark.hadoop.fs.s3a.access.key": "testing",
        "spark.hadoop.fs.s3a.secret.key": "testing",
    }


def main(folder: str, endpoint: str, jars: str) -> None:
    """Runs all of it."""
    spark = build_session("object store", master="local[2]", conf=settings(endpoint, Path(jars)))
    try:
        source = f"{BUCKET}/data/visits"
        spark.createDataFrame(visits(), VISITS).coalesce(1).write.format("delta").save(source)
        changes = {"source": {"_whole": True, "format": "delta", "path": source}}
        careless = TestSite(Path(folder) / "careless", site=IN_BUCKET)
        try:
            ready(careless.open(spark), careless.request(**changes))
            refused = ""
        except EnvironmentProblem as error:
            refused = str(error)
        site = TestSite(Path(folder) / "site", site={**IN_BUCKET, "single_writer": True})
        ward = site.open(spark)
        request = ready(ward, site.request(**changes))
        first, again = ward.run(request), ward.run(request)
        assert ward.result is not None
        ResultFile(f"{BUCKET}/result", lambda: contextlib.nullcontext(spark)).write(ward.result, spark)
        told = json.loads(spark.read.text(f"{BUCKET}/result").collect()[0][0])
        found = {
            "refused": refused,
            "new": [first.outcome.is_new, again.outcome.is_new],
            "table": first.table,
            "rows": ward.rows(first.release_id).count(),
            "charges": charges(ward),
            "problems": ward.verify(SCOPE),
            "status": told["status"],
        }
    finally:
        stop_session(spark)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
