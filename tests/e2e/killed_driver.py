"""A driver that kills itself: runs a request and dies by SIGKILL right after a step.

Usage: killed_driver.py SITE REQUEST STEP NTH. The step callback is the seam; production has no switch for this.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from synthward.api import Ward
from synthward.spark.session import build_session
from synthward.spec.site import load_site

SETTINGS = {
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
}


def main(site: str, request: str, step: str) -> None:
    """Runs until `step`, then dies without a word."""

    def on_step(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    ward = Ward(build_session("killed", master="local[2]", conf=SETTINGS), load_site(Path(site)), on_step=on_step)
    ward.run(ward.request(request))


if __name__ == "__main__":
    main(*sys.argv[1:])
