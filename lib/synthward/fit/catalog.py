"""The synthesizers by name."""

from __future__ import annotations

from synthward.errors import ConfigError, Problem
from synthward.fit.aim import Aim
from synthward.fit.base import Synthesizer
from synthward.fit.few_round import FewRound
from synthward.fit.fixed import Fixed
from synthward.fit.independent import Independent
from synthward.fit.moments import Moments
from synthward.fit.tree import Tree

SYNTHESIZERS: dict[str, type[Synthesizer]] = {
    each.name: each for each in (Moments, Independent, Fixed, FewRound, Tree, Aim)
}


def synthesizer(name: str) -> Synthesizer:
    """A synthesizer by its name in the request.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in SYNTHESIZERS:
        known = ", ".join(sorted(SYNTHESIZERS))
        raise ConfigError([Problem("synthesizer.name", f"'{name}' is unknown; there are: {known}")])
    return SYNTHESIZERS[name]()
