"""The kinds of configuration files: class, title, loader, and the top-level keys by which a file is recognised."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from synthward.config.files import DOMAIN_BYTES
from synthward.config.loader import read_text
from synthward.domain.spec import Domain, load_domain
from synthward.errors import ConfigError, Problem
from synthward.governance.policy import Policy, load_policy
from synthward.governance.roster import Roster, read_roster
from synthward.spec.population import Population, load_population
from synthward.spec.repair import Repair, load_repair
from synthward.spec.request import Request
from synthward.spec.request_file import load_request
from synthward.spec.risk import Risk, load_risk
from synthward.spec.site import SiteDocument, load_site

_TOP_LEVEL = re.compile(r"^([A-Za-z_]+)\s*:", re.MULTILINE)


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        document: The class of the document.
        title: Title of its JSON Schema.
        load: Reads a file of this kind.
        marks: Top-level keys by which a file of this kind is recognised.
    """

    document: type
    title: str
    load: Callable[[Path], Any]
    marks: frozenset[str]


KINDS: dict[str, Kind] = {
    "domain": Kind(Domain, "Synthward domain", load_domain, frozenset({"attributes"})),
    "population": Kind(Population, "Synthward population", load_population, frozenset({"sources", "budget"})),
    "policy": Kind(Policy, "Synthward policy", load_policy, frozenset({"tiers", "purposes"})),
    "repair": Kind(Repair, "Synthward repair", load_repair, frozenset({"run", "reason"})),
    "request": Kind(
        Request, "Synthward request", load_request, frozenset({"purpose", "population", "privacy", "columns"})
    ),
    "risk": Kind(Risk, "Synthward risk statement", load_risk, frozenset({"recipients", "residual"})),
    "roster": Kind(Roster, "Synthward roster", read_roster, frozenset({"persons", "edition"})),
    "site": Kind(SiteDocument, "Synthward site", load_site, frozenset({"ledger", "protected"})),
}


def kind_of_file(path: Path) -> str:
    """What a file is, by its top-level keys.

    Raises:
        ConfigError: It cannot be read, or has no key by which to tell.
    """
    keys = set(_TOP_LEVEL.findall(read_text(path, DOMAIN_BYTES)))
    scores = {name: len(keys & kind.marks) for name, kind in KINDS.items()}
    best = max(scores, key=lambda name: scores[name])
    if not scores[best]:
        listed = "; ".join(f"{name}: {', '.join(sorted(kind.marks))}" for name, kind in KINDS.items())
        raise ConfigError(
            [Problem("", f"cannot tell what kind of file this is; expected top-level keys are {listed}", path, 1)]
        )
    return best
