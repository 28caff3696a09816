"""Differentially private synthetic health data on Apache Spark.

Importing this package imports nothing else: Spark executors unpack it from a zip for the sake of a few small worker
modules, and have neither the time nor always the packages for the rest. Public names load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public name -> where it lives.
_PUBLIC = {
    "check": ("synthward.run.check", "check_files"),
    "doctor": ("synthward.spark.doctor", "doctor"),
    "draft_domain": ("synthward.run.drafting", "draft_domain"),
    "load_model": ("synthward.tracking.loading", "load_model"),
    "open": ("synthward.api", "open_ward"),
    "show_progress": ("synthward.cli.logs", "show_progress"),
}

__all__ = ["__version__", "check", "doctor", "draft_domain", "load_model", "open", "show_progress"]  # noqa: F822, RUF100 - they come from __getattr__


def __getattr__(name: str) -> Any:
    """Load a public name on first use."""
    try:
        module, attribute = _PUBLIC[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *_PUBLIC})
