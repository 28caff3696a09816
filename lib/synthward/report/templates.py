"""The templates and style sheets of all pages, as they are packaged."""

from __future__ import annotations

import functools
import importlib.resources

import jinja2

from synthward.report.words import FILTERS


def resource(name: str) -> str:
    """The text of a packaged file of this room."""
    return importlib.resources.files("synthward.report").joinpath(name).read_text(encoding="utf-8")


@functools.cache
def environment() -> jinja2.Environment:
    """Where templates come from. Everything that a template shows is escaped, and nothing may be missing."""
    made = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(resource),
    )
    made.filters |= FILTERS
    return made
