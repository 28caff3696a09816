"""The report: one self-contained HTML page about a release, for the people who answer for it.

Its only input is the manifest, so nothing can stand in it that may not be published. It loads nothing from anywhere
(a content security policy in the page says so to the browser), holds no script, and equal manifests give equal bytes.
It words evidence: what was promised, who approved it, what was tested and how it came out; never compliance.
"""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

import jinja2
from markupsafe import Markup

from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.release.manifest import Manifest
from synthward.report.plots import WHISKER, BarList, Histogram, bar_list, histogram

MAX_PLOTS = 60
"""Columns that get a plot of their own, worst first; all of them are in the table."""

MAX_NAMED = 12
"""Columns that a finding names one by one."""

NOTICEABLE = 0.05
"""A distance from which on a column is pointed out: 5 rows in 100 would have to change."""

MISFIT = 3.0
"""A distance of so many times the expected noise is the model's doing, not the noise's."""

OUT_OF_DOMAIN = 0.01
"""A share of undeclared source values from which on a column is pointed out, beyond three standard errors."""

PRIORS = (Decimal("0.001"), Decimal("0.01"), Decimal("0.1"), Decimal("0.5"))
"""Beliefs of an attacker before the release, for the table of what can become of them."""

_LARGEST_EXPONENT = 230.0
_KINDS = {
    "population": "number of units",
    "marginal": "shares of the values of a column",
    "presence": "number of rows with a value",
    "sum": "sums",
    "square_sum": "sums of squares",
}


@dataclass(frozen=True)
class Spending:
    """One noisy answer and its part of the budget.

    Attributes:
        query: Its label.
        kind: First word of the label.
        cells: Numbers in the answer.
        noise: Standard deviation of the noise of one number, in `unit`.
        unit: rows, units, or fixed-point units.
        share: Part of the budget, 0 to 1.
    """

    query: str
    kind: str
    cells: int
    noise: float
    unit: str
    share: float


@dataclass(frozen=True)
class Card:
    """A column's plot.

    Attributes:
        column: Its entry in the manifest's quality.
        plot: What is drawn.
    """

    column: Mapping[str, Any]
    plot: BarList | Histogram

    @property
    def is_list(self) -> bool:
        """Whether the plot is a list of bars."""
        return isinstance(self.plot, BarList)


@dataclass(frozen=True)
class Finding:
    """A weak spot.

    Attributes:
        what: In a sentence.
        columns: Columns it concerns, worst first.
        more: How many further columns it concerns.
    """

    what: str
    columns: tuple[str, ...]
    more: int


def render(manifest: Manifest) -> str:
    """The report of a release.

    Args:
        manifest: The release's manifest.

    Returns:
        HTML, without reference to anything outside of it.
    """
    body = manifest.body
    guarantee, quality = body["guarantee"], body["quality"]
    columns = sorted(quality["columns"], key=lambda column: -column["tvd"])
    spending = _spending(body["measurements"], pure=guarantee["nano_epsilon"] is not None)
    epsilon, delta, pure = _strongest(guarantee)
    return _template().render(
        m=body,
        manifest_digest=manifest.digest,
        style=Markup(_resource("style.css")),  # noqa: S704 - our own file, no data in it
        failed=[gate for gate in body["gates"] if not gate["passed"]],
        epsilon=epsilon,
        delta=delta,
        also=None if pure else _also(guarantee),
        odds=_factor(epsilon),
        beliefs=[(prior, _belief(prior, epsilon)) for prior in PRIORS],
        budget=_budget(body["budget"], epsilon),
        spending=spending,
        kinds=_by_kind(spending),
        columns=columns,
        cards=_cards(columns[:MAX_PLOTS], body["domain"]["attributes"]),
        findings=_findings(columns),
        noticeable=NOTICEABLE,
        whisker=WHISKER,
    )


def _resource(name: str) -> str:
    return importlib.resources.files("synthward.report").joinpath(name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"up": _rounded_up, "number": _number, "percent": _percent, "chance": _chance}
    environment.filters |= {"distance": _distance, "instant": _instant, "words": _words}
    return environment.from_string(_resource("template.html.j2"))


def _strongest(guarantee: Mapping[str, Any]) -> tuple[Decimal, Decimal, bool]:
    """The statement that the page explains: epsilon, delta, and whether it is the manifest's own."""
    return Decimal(guarantee["epsilon"]), Decimal(guarantee["delta"]), True


def _also(guarantee: Mapping[str, Any]) -> Decimal | None:
    return guarantee["epsilon"] and None
