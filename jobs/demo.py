"""`make run`: simulated encounters from request to release. `make demo-diabetes DATA=FILE`: the UCI extract."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from synthward.api import open_ward
from synthward.cli.logs import log_to_stderr
from synthward.cli.run import result_line
from synthward.demo.simulator import write_demo
from synthward.demo.tour import Stop, afterwards, farewell, guide, say
from synthward.errors import SafeError
from synthward.spark.private import private_umask
from synthward.spark.session import build_session, stop_session

ROOT = Path(__file__).resolve().parent.parent
REQUESTS = ROOT / "conf" / "requests"
POPULATIONS = ROOT / "conf" / "populations"
HOME = ROOT / ".synthward"

SHORT_LIVED = {"spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"}
"""A tour of seconds ends before optimised compilation and parallel collection have paid for themselves."""


def main() -> int:
    """Run the tour and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--diabetes", type=Path, metavar="FILE", help="diabetic_data.csv or .csv.gz instead")
    options = parser.parse_args()
    log_to_stderr(quiet=False)
    spark = None
    try:
        if options.diabetes is not None and not options.diabetes.is_file():
            parser.error(f"{options.diabetes} is not a file; give the downloaded diabetic_data.csv or .csv.gz")
        spark = build_session("synthward demo", conf=SHORT_LIVED)
        ward = open_ward(spark, ROOT / "conf" / "site.yaml")
        if options.diabetes is not None:
            extract = str(options.diabetes.absolute())
            people = ward.population(POPULATIONS / "diabetes130.yaml", source=extract)
            stop = Stop(ward.request(REQUESTS / "diabetes130.yaml", source=extract), people)
        else:
            is_new = write_demo(spark, str(HOME / "demo" / "encounters"))
            say(f"0. SIMULATED encounters of 50,000 invented patients: {'written' if is_new else 'there already'}")
            refused = ward.request(REQUESTS / "demo_refused.yaml")
            people = ward.population(POPULATIONS / "demo.yaml")
            stop = Stop(ward.request(REQUESTS / "demo_encounters.yaml"), people, refused)
        release = guide(ward, stop)
        afterwards(ward, stop, release, HOME / "site")
        report = ward.write_report(release, HOME / "reports")
        farewell(ward, release, report)
        print(json.dumps(result_line(release, report)))
    except Exception as error:  # noqa: BLE001 - the text of an unexpected error may quote a cell
        safe = SafeError.of(error)
        say(safe.text)
        return safe.code
    finally:
        if spark is not None:
            stop_session(spark)
    return 0


if __name__ == "__main__":
    with private_umask():
        code = main()
    sys.exit(code)
