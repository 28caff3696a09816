"""The synthesizers by name."""

from __future__ import annotations

from synthward.errors import ConfigError, Problem
from synthward.fit.base import Synthesizer
from synthward.fit.moments import Moments

SYNTHESIZERS: dict[str, type[Synthesizer]] = {Moments.name: Moments}


def synthesizer(name: str) -> Synthesizer:
    """A synthesizer by its name in the request.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in SYNTHESIZERS:
        known = ", ".join(sorted(SYNTHESIZERS))
        raise ConfigError([Problem("synthesizer.name", f"'{name}' is unknown; there are: {known}")])
    return SYNTHESIZERS[name]()
