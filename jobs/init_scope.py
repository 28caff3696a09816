"""Opens the privacy budget of a population, once: a job for the privacy officer.

    spark-submit --py-files synthward.zip jobs/init_scope.py diabetes130 --site site.yaml \
        --epsilon 4 --delta 1e-9 --patients 70000 --by sam

The same terms again change nothing; other terms are refused.
"""

from __future__ import annotations

import sys

from synthward.cli.main import run_job

if __name__ == "__main__":
    run_job(["budget", "open", *sys.argv[1:]])
