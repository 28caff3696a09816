"""A driver on YARN whose first attempt dies: right after a step its application master is killed, driver and all.

Usage: attempted_driver.py SITE REQUEST STEP. YARN starts a second attempt, which is let alone.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from synthward.api import Ward
from synthward.spark.session import build_session
from synthward.spec.site import load_site


def main(site: str, request: str, step: str) -> None:
    """Runs the request, up to `step` in the first attempt."""
    # container_<cluster>_<application>_<attempt>_<container>
    is_first = os.environ["CONTAINER_ID"].split("_")[-2] == "01"

    def on_step(name: str) -> None:
        if is_first and name == step:
            os.kill(os.getppid(), signal.SIGKILL)
            signal.pause()  # YARN ends what is left of the container

    ward = Ward(build_session("attempted"), load_site(Path(site)), on_step=on_step)
    ward.run(ward.request(request))


if __name__ == "__main__":
    main(*sys.argv[1:])
