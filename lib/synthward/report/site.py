"""The officer's site: static pages about what waits for whom, budgets, releases, incidents and uses.

A pure function of facts: equal facts give equal bytes. The pages have no script, load nothing, and refer to each other
by relative addresses only, so that they can be read from a file share.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from markupsafe import Markup

from synthward.report.site_facts import RequestFact, ScopeFact, SiteFacts
from synthward.report.templates import environment, resource

WIDTH, HEIGHT = 600, 150
"""Units of the drawing of a budget."""


@dataclass(frozen=True)
class Todo:
    """Something that waits for somebody.

    Attributes:
        who: The role, or who else.
        what: What is to be done.
        page: Where to read on.
        urgent: Whether it is an alarm.
    """

    who: str
    what: str
    page: str
    urgent: bool = False


@dataclass(frozen=True)
class BurnDown:
    """The drawing of a budget: what is left of it over time.

    Attributes:
        left: Points of the line of what is left, as SVG wants them.
        ahead: Points of the forecast; empty without one.
        today: Place of the day of the statement, 0 to `WIDTH`.
        first: First day.
        last: Last day.
    """

    left: str
    ahead: str
    today: float
    first: str
    last: str


def pages(facts: SiteFacts) -> dict[str, str]:
    """Every page of the site, by its relative path."""
    todos = todo(facts)
    found = {
        "index.html": _page("site_index.html.j2", facts, "", todos=todos, open_incidents=_open(facts)),
        "register.html": _page("site_register.html.j2", facts, ""),
    }
    for request in facts.requests:
        found[request.page] = _page("site_request.html.j2", facts, "../", r=request, steps=_steps(request))
    for scope in facts.scopes:
        found[scope.page] = _page("site_scope.html.j2", facts, "../", s=scope, drawing=burn_down(scope, facts.as_of))
    for release in facts.releases:
        found[release.page] = _page("site_release.html.j2", facts, "../", r=release)
        if release.report is not None:
            found[release.report_page] = release.report
    return found


def _page(template: str, facts: SiteFacts, up: str, **more: object) -> str:
    style = Markup(resource("style.css") + resource("site.css"))
    return environment().get_template(template).render(f=facts, up=up, style=style, width=WIDTH, height=HEIGHT, **more)


def _open(facts: SiteFacts) -> int:
    return len({each.id for release in facts.releases for each in release.incidents if each.closed is None})


def todo(facts: SiteFacts) -> tuple[Todo, ...]:
    """What needs whom, the urgent first."""
    found = [Todo("whoever keeps the records", problem, "index.html", True) for problem in facts.problems]
    for scope in facts.scopes:
        whole = (f"{scope.name}: {problem}" for problem in scope.problems)
        found += [Todo("whoever keeps the records", text, scope.page, True) for text in whole]
    for release in facts.releases:
        whole = (f"{release.title}: {problem}" for problem in release.problems)
        found += [Todo("whoever acted", text, release.page, True) for text in whole]
        for each in release.incidents:
            if each.closed is None:
                due = f", due {each.due[:16].replace('T', ' ')} UTC" if each.due else ""
                recall = "" if release.stage == "recalled" else ", or recall the release"
                text = f"close incident {each.id} of “{release.title}” ({each.severity}{due}){recall}"
                found.append(Todo("privacy or security officer", text, release.page, each.late))
    for request in facts.requests:
        if request.refusals:
            text = f"“{request.title}” is refused by policy: change the request, or withdraw it"
            found.append(Todo(request.requester, text, request.page))
            continue
        found += [
            Todo(role.replace("_", " "), f"decide about “{request.title}”", request.page) for role in request.missing
        ]
        if not request.missing:
            found.append(Todo(request.requester, f"run “{request.title}”: it is approved", request.page))
    found += [
        Todo("whoever watches", f"{one.subject}: {one.message}", "index.html#monitoring", one.severity == "alarm")
        for one in facts.findings
        if one.severity != "note" and one.kind in ("records", "budget", "runs", "revalidation")
    ]
    return tuple(sorted(found, key=lambda one: not one.urgent))


def _steps(request: RequestFact) -> tuple[str, ...]:
    """Commands for those who still have to decide."""
    return tuple(
        f"synthward approve {request.file} --by YOUR-ID --role {role} --key YOUR.key" for role in request.missing
    )


def burn_down(scope: ScopeFact, as_of: str) -> BurnDown:
    """The drawing of a scope's budget.

    Args:
        scope: The scope.
        as_of: The day of the statement, ISO 8601.
    """
    first, today = (dt.date.fromisoformat(text[:10]) for text in (scope.opened, as_of))
    until = today if scope.until is None else dt.date.fromisoformat(scope.until)
    last = max(today, until, first + dt.timedelta(days=1))
    whole = (last - first).days

    def point(day: dt.date, part: float) -> str:
        along = min(max((day - first).days / whole, 0.0), 1.0)
        return f"{WIDTH * along:.1f},{HEIGHT * (1 - part):.1f}"

    part, line = 1.0, [point(first, 1.0)]
    for charge in scope.charges:
        day = dt.date.fromisoformat(charge.at[:10])
        line += [point(day, part), point(day, charge.part)]
        part = charge.part
    line.append(point(max(today, first), part))
    ahead = [] if scope.until is None or until <= today else [point(max(today, first), part), point(until, 0.0)]
    along = min(max((today - first).days / whole, 0.0), 1.0)
    return BurnDown(" ".join(line), " ".join(ahead), round(WIDTH * along, 1), first.isoformat(), last.isoformat())
