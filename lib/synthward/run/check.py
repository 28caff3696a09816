"""Checks of configuration files before anything runs: all problems at once, each at its line; no session, no data.

With a site, a request is also held against the site's policy and planned: purpose, roles, expiry, tier, controls,
learned settings, structural zeros, sizes. What only the ledger knows (what is left of a budget) is not looked at.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from synthward.config.files import Fence
from synthward.config.instants import now
from synthward.config.loader import Document, load_document, read_text
from synthward.config.nodes import Mapping, Scalar, parse
from synthward.domain.spec import Domain, load_domain_of
from synthward.errors import ConfigError, Problem
from synthward.governance.policy import Policy, load_policy
from synthward.governance.roster import roster_of
from synthward.run.documents import KINDS, kind_of_file
from synthward.run.plan import assessed, make_plan
from synthward.spec.request import Request
from synthward.spec.request_file import RequestFile, load_risk_of, misfits, request_digest, with_risk
from synthward.spec.site import load_site


@dataclass(frozen=True)
class Checked:
    """What a check of one file found.

    Attributes:
        path: The file.
        kind: domain, policy, population, repair, request, risk, roster or site; empty where it cannot be told.
        problems: What makes the file wrong, by line.
        refusals: Why policy would refuse the request, by line; only with a policy.
        notes: What to know of a request that is in order: its tier and the approvals that it needs.
    """

    path: Path
    kind: str
    problems: tuple[Problem, ...] = ()
    refusals: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.problems and not self.refusals


def check_files(
    paths: Sequence[str | Path], site: str | Path | None = None, today: dt.date | None = None
) -> list[Checked]:
    """Checks files, each for what it is.

    Args:
        paths: The files.
        site: The site against whose policy requests are held; None to look at each file alone.
        today: The day on which requests are to run; default: today, in UTC.

    Returns:
        One entry a file, in order; before them one for a site that is wrong and not among the files.
    """
    day = now().date() if today is None else today
    files = [Path(path) for path in paths]
    found: list[Checked] = []
    policy = None
    if site is not None:
        try:
            policy = load_policy(Path(load_site(Path(site)).policy))
        except ConfigError as error:
            # Said once, for the site; the requests are checked as far as that goes without a policy.
            if Path(site).resolve() not in {path.resolve() for path in files}:
                found.append(Checked(Path(site), "site", tuple(error.problems)))
    return [*found, *(check_file(path, policy, day) for path in files)]


def check_file(path: Path, policy: Policy | None, today: dt.date) -> Checked:
    """Checks one file; see `check_files`."""
    kind = ""
    try:
        kind = kind_of_file(path)
        if kind == "request":
            return _check_request(path, policy, today)
        loaded = KINDS[kind].load(path)
        if kind == "site":
            load_policy(Path(loaded.policy))
            roster_of(loaded)
    except ConfigError as error:
        return Checked(path, kind, tuple(error.problems))
    return Checked(path, kind)


def _check_request(path: Path, policy: Policy | None, today: dt.date) -> Checked:
    problems: list[Problem] = []
    document: Document[Request] | None = None
    try:
        document = load_document(path, Request)
    except ConfigError as error:
        problems += error.problems
    domain, faults = _domain(path, document)
    problems += faults
    risk = None
    try:
        risk = None if document is None else load_risk_of(path, document)
    except ConfigError as error:
        problems += error.problems
    if document is None:
        return Checked(path, "request", _by_line(problems, path))
    request = document.value
    if domain is not None:
        problems += misfits(document, request, domain)
    refusals: list[Problem] = []
    notes: tuple[str, ...] = ()
    if policy is not None:
        found = assessed(request, policy, today, risk)
        refusals = [document.problem(refusal.key, refusal.message) for refusal in found.refusals]
        people = ", ".join(found.approvals_needed) or "nobody"
        notes = (f"tier {found.tier} ({'; '.join(found.reasons)})", f"to be approved by {people}")
    if policy is not None and domain is not None and not problems:
        whole = with_risk(request_digest(request, domain.digest, path.parent), risk)
        file = RequestFile(path, request, domain, whole, document, risk)
        try:
            notes += tuple(f"warning: {warning}" for warning in make_plan(file, policy, "", today).warnings)
        except ConfigError as error:
            problems += error.problems
    return Checked(path, "request", _by_line(problems, path), _by_line(refusals, path), notes)


def _domain(path: Path, document: Document[Request] | None) -> tuple[Domain | None, list[Problem]]:
    """The domain that a request names, even where the rest of the request is wrong."""
    name = document.value.domain if document is not None else _named_domain(path)
    if name is None:
        return None, []
    place = Problem("domain", "", path) if document is None else document.problem("domain", "")
    try:
        return load_domain_of(Fence.of_request(path), name, place), []
    except ConfigError as error:
        return None, error.problems


def _named_domain(path: Path) -> str | None:
    node, _ = parse(read_text(path))
    entry = node.entries.get("domain") if isinstance(node, Mapping) else None
    return entry[1].text if entry is not None and isinstance(entry[1], Scalar) and entry[1].text.strip() else None


def _by_line(problems: Sequence[Problem], path: Path) -> tuple[Problem, ...]:
    """Problems of the file itself first, each file's in the order of its lines."""
    return tuple(sorted(problems, key=lambda problem: (problem.file != path, str(problem.file), problem.line)))
