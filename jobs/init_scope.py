"""Opens the privacy budget of a population, once: a job for the privacy officer.

    spark-submit --py-files synthward.zip jobs/init_scope.py populations/diabetes130.yaml --site site.yaml --by sam

The file says whose budget it is, and how large it is. Opening the same budget again changes nothing. Other terms are
refused.
"""

from __future__ import annotations

import sys

from synthward.cli.main import run_job

if __name__ == "__main__":
    run_job(["budget", "open", *sys.argv[1:]])
