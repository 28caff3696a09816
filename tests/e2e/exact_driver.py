"""A driver that measures without noise: prints the exact integers of a request's first round as one JSON line.

Usage: exact_driver.py SITE REQUEST. The noise source is the seam; nothing is charged, sealed or published.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from synthward.api import Ward
from synthward.spark.session import build_session, stop_session
from synthward.spec.site import load_site
from trial import exact_answers


def main(site: str, request: str) -> None:
    """Pins, aggregates, prints."""
    spark = build_session("exact")
    try:
        ward = Ward(spark, load_site(Path(site)))
        print(json.dumps(exact_answers(spark, ward.plan(ward.request(request)))))
    finally:
        stop_session(spark)


if __name__ == "__main__":
    main(*sys.argv[1:])
