"""`synthward prove`: puts the claim of a request to the test, without data."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

from synthward.config.text import shown

logger = logging.getLogger(__name__)

CONTRADICTED = 5
"""Exit code where a statement of the claim was found false: that of a failed gate."""


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the command."""
    prove = commands.add_parser(
        "prove", parents=[common], help="put the privacy claim of a request to the test; reads no data, spends nothing"
    )
    prove.add_argument("request", type=Path, help="request file")
    prove.add_argument("--quick", action="store_true", help="fewer neighbours and draws: a minute instead of several")
    prove.add_argument("--out", type=Path, default=None, help="folder for proof.md and claim.json (default: stdout)")
    prove.add_argument(
        "--scratch", type=Path, default=None, help="folder that driver and executors share, for made-up files"
    )
    prove.set_defaults(command=put_to_the_test)


def put_to_the_test(options: argparse.Namespace) -> int:
    """Runs all audits; 0 when nothing contradicts the claim."""
    from synthward.cli.sessions import known_zones, ward
    from synthward.store.outputs import require_writable, write_output

    report, claim = (None if options.out is None else options.out / name for name in ("proof.md", "claim.json"))
    for target in (report, claim):
        if target is not None:
            require_writable(target, known_zones(options), "--out")
    with ward(options, "synthward prove") as opened:
        request = opened.request(options.request)
        found = opened.prove(
            request,
            quick=options.quick,
            scratch=options.scratch,
            progress=lambda what: logger.info("prove: %s", what),
        )
    if report is None or claim is None:
        print("\n".join(map(shown, found.markdown.split("\n"))))
    else:
        report.parent.mkdir(parents=True, exist_ok=True)
        write_output(report, found.markdown.encode())
        write_output(claim, found.json.encode())
        print(report)
        print(claim)
    for check in found.contradicted:
        logger.error("prove: FALSE: %s: %s: %s", check.part, check.name, check.found)
    return 0 if found.passed else CONTRADICTED
