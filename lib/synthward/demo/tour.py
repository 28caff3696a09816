"""A guided first run: opens a demo scope, records demo approvals, runs a request, shows one refusal.

The approvals of a tour are given by invented people so that the whole path can be seen on one machine; at a site real
people give them, each with an account of their own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from synthward.api import Release, Ward
from synthward.errors import PolicyRefused

if TYPE_CHECKING:
    from synthward.spec.population import PopulationFile
    from synthward.spec.request_file import RequestFile

CAST = {"data_steward": "kim", "privacy_officer": "lee", "security_officer": "noor", "release_manager": "sam"}
"""Who plays which role."""


@dataclass(frozen=True)
class Stop:
    """A population of the tour.

    Attributes:
        request: The request to run.
        people: The population that it is about.
        refused: A request that policy refuses, or None.
    """

    request: RequestFile
    people: PopulationFile
    refused: RequestFile | None = None


def guide(ward: Ward, stop: Stop) -> Release:
    """Runs one stop of the tour, telling on stderr what happens."""
    scope, budget = stop.people.population.scope, stop.people.population.budget
    say(f"1. budget: scope '{scope}', epsilon {budget.epsilon} at delta {budget.delta} for all releases together")
    ward.open_population(stop.people, by=CAST["privacy_officer"], note="opened by the tour")
    plan = ward.plan(stop.request)
    say(f"2. plan: tier {plan.assessment.tier} ({plan.assessment.title}), epsilon {plan.epsilon} at delta {plan.delta}")
    for role in plan.assessment.approvals_needed:
        approval = ward.approve(stop.request, by=CAST[role], role=role, note="demo approval")
        say(f"3. approval: {approval.by} as {role}")
    say("4. run: charge, measure, seal, sample, gates, publish")
    release = ward.run(stop.request)
    if stop.refused is not None:
        _show_refusal(ward, stop.refused)
    return release


def _show_refusal(ward: Ward, refused: RequestFile) -> None:
    """Shows what policy has against a request; the request is planned and never run, so it can spend nothing."""
    title = refused.request.title
    try:
        ward.plan(refused).require_policy()
    except PolicyRefused as error:
        say(f"5. a request that is refused, before any data is read: {title}")
        for reason in error.reasons:
            say(f"   {reason}")
    else:
        say(f"5. policy does not refuse the request '{title}', as the tour expected it to; it was not run")


def farewell(ward: Ward, release: Release, report: str) -> None:
    """Says where everything is."""
    tracking = ward.site.tracking
    outcome = release.outcome
    say("")
    say(f"table    {release.table}")
    say(f"report   {report}")
    say(f"mlflow   {tracking.uri if tracking.enabled else 'switched off'}  run {outcome.mlflow_run or 'not logged'}")
    say(f"budget   scope {outcome.scope.scope}: epsilon {outcome.scope.remaining} left")
    if not outcome.is_new:
        say("This run was published before: nothing was spent, nothing was written. `make clean-demo` starts over.")


def say(text: str) -> None:
    """One line for the reader of the tour."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
