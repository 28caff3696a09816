"""The main job for spark-submit: runs an approved request to a published release.

    spark-submit --py-files synthward.zip jobs/synthesize.py --site site.yaml --request request.yaml --run-key 2026-01

Exit codes: 0 ok, 2 usage, 3 refused by policy, 4 budget, 5 gate failed, 1 anything else. Running it again is safe.
"""

from __future__ import annotations

import sys

from synthward.cli.main import main


def arguments(words: list[str]) -> list[str]:
    """`--request FILE` is the request; everything else is passed to `synthward run` as it is."""
    if "--request" not in words:
        return ["run", *words]
    place = words.index("--request")
    return ["run", *words[:place], *words[place + 2 :], *words[place + 1 : place + 2]]


if __name__ == "__main__":
    code = main(arguments(sys.argv[1:]))
    if code:
        sys.exit(code)
