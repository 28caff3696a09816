"""Which kind of configuration file a file is, and whether it is right."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from synthward.config.loader import read_text
from synthward.domain.spec import load_domain
from synthward.errors import ConfigError, Problem
from synthward.governance.policy import load_policy
from synthward.spec.repair import load_repair
from synthward.spec.request_file import load_request
from synthward.spec.site import load_site

_MARKS = {
    "domain": {"attributes"},
    "policy": {"tiers", "purposes"},
    "site": {"ledger", "protected"},
    "request": {"purpose", "population", "privacy", "columns"},
    "repair": {"run", "reason"},
}
_LOADERS: dict[str, Callable[[Path], object]] = {
    "domain": load_domain,
    "policy": load_policy,
    "site": load_site,
    "request": load_request,
    "repair": load_repair,
}
_TOP_LEVEL = re.compile(r"^([A-Za-z_]+)\s*:", re.MULTILINE)


def check_file(path: Path) -> str:
    """Loads a file as what its top-level keys say it is.

    Returns:
        The kind: domain, policy, site, request or repair.

    Raises:
        ConfigError: With every problem found, or when the kind cannot be told.
    """
    keys = set(_TOP_LEVEL.findall(read_text(path)))
    scores = {kind: len(keys & marks) for kind, marks in _MARKS.items()}
    kind = max(scores, key=lambda name: scores[name])
    if not scores[kind]:
        listed = "; ".join(f"{name}: {', '.join(sorted(marks))}" for name, marks in _MARKS.items())
        raise ConfigError(
            [Problem("", f"cannot tell what kind of file this is; expected top-level keys are {listed}", path, 1)]
        )
    _LOADERS[kind](path)
    return kind
