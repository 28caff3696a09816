"""The main job for spark-submit: runs an approved request to a published release.

    spark-submit --py-files synthward.zip jobs/synthesize.py --site site.yaml --request request.yaml --run-key 2026-01

Exit codes: 0 ok, 2 usage, 3 refused by policy, 4 budget, 5 gate failed, 1 anything else. `--result FILE` writes the
same to a file, `--junit FILE` gates and controls as JUnit XML. On Databricks tasks have no exit codes, so an exception
has the code. Running the job again is safe.
"""

from __future__ import annotations

import argparse
import sys

from synthward.cli.main import run_job


def arguments(words: list[str]) -> list[str]:
    """Turn `--request FILE` into the request argument. Pass all other words to `synthward run` unchanged."""
    parser = argparse.ArgumentParser(prog="synthesize.py", add_help=False, allow_abbrev=False)
    parser.add_argument("--request")
    options, others = parser.parse_known_args(words)
    return ["run", *others, *([options.request] if options.request is not None else [])]


if __name__ == "__main__":
    run_job(arguments(sys.argv[1:]))
