"""A guided first run: it opens a demo scope, records demo approvals, runs a request, and shows one refusal.

Invented people give the approvals of the tour, so that one machine shows the whole path. At a real site, real people
give them, and each person has their own account.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from synthward.api import Release, Ward
from synthward.errors import PolicyRefused
from synthward.report.site_files import write_site
from synthward.spec.site import ZONES

if TYPE_CHECKING:
    from synthward.spec.population import PopulationFile
    from synthward.spec.request_file import RequestFile

CAST = {"data_steward": "kim", "privacy_officer": "lee", "security_officer": "noor", "release_manager": "sam"}
"""The invented person for each role."""


@dataclass(frozen=True)
class Stop:
    """One request of the tour, with its population.

    Attributes:
        request: The request to run.
        people: The population of the request.
        refused: A request that policy refuses, or None.
    """

    request: RequestFile
    people: PopulationFile
    refused: RequestFile | None = None


def guide(ward: Ward, stop: Stop) -> Release:
    """Run one stop of the tour. Print on stderr what happens."""
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
    """Show why policy refuses a request. The request is planned and never run, so it cannot spend anything."""
    title = refused.request.title
    try:
        ward.plan(refused).require_policy()
    except PolicyRefused as error:
        say(f"5. a request that is refused, before any data is read: {title}")
        for reason in error.reasons:
            say(f"   {reason}")
    else:
        say(f"5. policy does not refuse the request '{title}', although the tour expected that; it was not run")


def afterwards(ward: Ward, stop: Stop, release: Release, folder: Path) -> None:
    """Practise a recall on a copy, and build the officer's site; only once, for a release that is new.

    Args:
        ward: The site.
        stop: The stop of the tour.
        release: Its release.
        folder: Where the pages go.
    """
    if not release.outcome.is_new:
        return
    drilled = ward.drill(release.release_id)
    say(f"6. recall, practised on a copy: {'passed' if drilled.passed else 'FAILED'} in {drilled.seconds:.0f} seconds")
    requests = [request for request in (stop.request, stop.refused) if request is not None]
    zones = {name: str(getattr(ward.site, name)) for name in ZONES}
    write_site(ward.site_pages(requests), folder, zones)
    say(f"7. officer's site: {folder / 'index.html'}")


def farewell(ward: Ward, release: Release, report: str) -> None:
    """Print where everything is."""
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
    """Print one line for the reader of the tour."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
