"""Looks at budgets, releases, runs and sources between runs: a job for the scheduler.

    spark-submit --py-files synthward.zip jobs/monitor.py --site site.yaml --out /var/log/synthward/findings.json

Exit codes: 0 nothing or notes only, 6 warnings, 7 alarms; others as of every command. `--webhook URL` sends the same
JSON. It reads no rows of any source, only names and types of columns; `--no-schemas` leaves these out as well.
"""

from __future__ import annotations

import sys

from synthward.cli.main import run_job

if __name__ == "__main__":
    run_job(["monitor", *sys.argv[1:]])
