"""`synthward assess`: what policy makes of a request. It reads no data, and without --simulate it starts no Spark."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from synthward.cli.options import site_path
from synthward.config.text import shown
from synthward.errors import PolicyRefused


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the command."""
    parser = commands.add_parser(
        "assess", parents=[common], help="tier, controls, roles and reasons of a request; reads no data"
    )
    parser.add_argument("request", type=Path, help="request file")
    parser.add_argument("--source", default=None, help="replaces the source's location; part of what is approved")
    parser.add_argument(
        "--simulate", action="store_true", help="also what it would cost, and how often its scope could pay for it"
    )
    parser.set_defaults(command=assess_request)


def assess_request(options: argparse.Namespace) -> int:
    """Prints the assessment; with --simulate also the plan and how many runs the scope has left."""
    from synthward.cli.run import absolute_source
    from synthward.cli.sessions import ward
    from synthward.config.instants import now
    from synthward.governance.policy import load_policy
    from synthward.run.describe import describe_assessment, describe_exhaustion
    from synthward.run.plan import make_plan
    from synthward.spec.request_file import load_request
    from synthward.spec.site import load_site

    site = site_path(options)
    file = load_request(options.request, source_override=absolute_source(options.source))
    if options.simulate:
        with ward(options, "synthward assess") as opened:
            plan = opened.plan(file)
            lines = [*describe_assessment(plan), *opened.describe(plan).split("\n")]
            lines += describe_exhaustion(plan, opened.account(plan))
    else:
        policy = load_policy(Path(load_site(site).policy))
        plan = make_plan(file, policy, "", now().date())
        lines = describe_assessment(plan)
    print("\n".join(map(shown, lines)))
    for refusal in plan.assessment.refusals:
        print(shown(f"REFUSED {refusal}"), file=sys.stderr)
    return PolicyRefused.exit_code if plan.assessment.refusals else 0
