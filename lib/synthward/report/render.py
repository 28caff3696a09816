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
        columns: Columns it concerns with a number, worst first.
        more: How many further columns it concerns.
    """

    what: str
    columns: tuple[tuple[str, str], ...]
    more: int


def render(manifest: Manifest) -> str:
    """The report of a release.

    Args:
        manifest: The release's manifest.

    Returns:
        HTML, without reference to anything outside of it.
    """
    body = manifest.body
    guarantee = body["guarantee"]
    epsilon, nano = Decimal(guarantee["epsilon"]), guarantee["nano_epsilon"]
    pure = None if nano is None else Decimal(nano) / 10**9
    columns = sorted(body["quality"]["columns"], key=lambda column: -column["tvd"])
    spending = _spending(body["measurements"], pure=pure is not None)
    # Limits of what can be learned hold without any allowance for delta where the mechanism is pure: explain those.
    explained = epsilon if pure is None else pure
    return _template().render(
        m=body,
        manifest_digest=manifest.digest,
        style=Markup(_resource("style.css")),
        failed=[gate for gate in body["gates"] if not gate["passed"]],
        epsilon=epsilon,
        delta=Decimal(guarantee["delta"]),
        pure=pure,
        explained=explained,
        beliefs=[(prior, _belief(prior, explained)) for prior in PRIORS],
        budget=_budget(body["budget"], explained),
        spending=spending,
        kinds=_by_kind(spending),
        columns=columns,
        cards=_cards(columns[:MAX_PLOTS], body["domain"]["attributes"]),
        findings=_findings(columns),
        whisker=WHISKER,
    )


def _resource(name: str) -> str:
    return importlib.resources.files("synthward.report").joinpath(name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "up": _rounded_up,
        "number": _number,
        "percent": _percent,
        "chance": _chance,
        "distance": _distance,
        "factor": _factor,
        "instant": _instant,
    }
    return environment.from_string(_resource("template.html.j2"))


def _belief(prior: Decimal, epsilon: Decimal) -> tuple[float, float]:
    """What a belief can become at most and at least: the odds change by a factor of e^epsilon at the very most."""
    odds, exponent = float(prior / (1 - prior)), min(float(epsilon), _LARGEST_EXPONENT)
    high, low = odds * math.exp(exponent), odds * math.exp(-exponent)
    return high / (1 + high), low / (1 + low)


def _budget(budget: Mapping[str, Any], epsilon: Decimal) -> dict[str, Any]:
    """Lengths of the bar, 0 to 100: this release taken alone, and what others add to it."""
    cap, spent = Decimal(budget["cap_epsilon"]), Decimal(budget["spent_epsilon"])
    whole = float(min(spent / cap, Decimal(1))) if cap > 0 else 1.0
    own = min(float(epsilon / cap), whole) if cap > 0 else 0.0
    return {
        "own": round(100 * own, 2),
        "others": round(100 * (whole - own), 2),
        "spent": spent,
        "cap": cap,
        "cap_delta": Decimal(budget["cap_delta"]),
        "remaining": Decimal(budget["remaining_epsilon"]),
        "part": whole,
    }


def _spending(measurements: Sequence[Mapping[str, Any]], *, pure: bool) -> list[Spending]:
    """Every noisy answer with its part of the budget, largest first."""
    key = "nano_epsilon" if pure else "nano_rho"
    whole = max(sum(entry[key] for entry in measurements), 1)
    rows = []
    for entry in measurements:
        kind = entry["query"].partition("(")[0]
        deviation = entry["scale"] * (math.sqrt(2) if entry["mechanism"] == "laplace" else 1.0)
        if kind in ("marginal", "presence", "population"):
            noise, unit = deviation / WEIGHT_UNIT, "units" if kind == "population" else "rows"
        else:
            noise, unit = deviation, "fixed-point units"
        rows.append(Spending(entry["query"], kind, entry["cells"], noise, unit, entry[key] / whole))
    return sorted(rows, key=lambda row: -row.share)


def _by_kind(spending: Iterable[Spending]) -> list[tuple[str, int, float]]:
    """Kind in words, number of answers and part of the budget, largest first."""
    totals: dict[str, tuple[int, float]] = {}
    for row in spending:
        count, share = totals.get(row.kind, (0, 0.0))
        totals[row.kind] = (count + 1, share + row.share)
    listed = [(_KINDS.get(kind, kind), count, share) for kind, (count, share) in totals.items()]
    return sorted(listed, key=lambda row: -row[2])


def _cards(columns: Iterable[Mapping[str, Any]], attributes: Iterable[Mapping[str, Any]]) -> list[Card]:
    declared = {attribute["column"]: attribute for attribute in attributes}
    cards = []
    for column in columns:
        attribute = declared[column["column"]]
        draw = histogram if "bounds" in attribute else bar_list
        cards.append(Card(column, draw(column, attribute)))
    return cards


def _findings(columns: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Weak spots that the numbers show; `columns` come worst first."""
    misfits = [c for c in columns if c["tvd"] > max(NOTICEABLE, MISFIT * c["noise_tvd"])]
    noisy = sorted((c for c in columns if c["noise_tvd"] > NOTICEABLE), key=lambda c: -c["noise_tvd"])
    strange = sorted(
        (c for c in columns if c["out_of_domain"] - 3 * c["out_of_domain_error"] > OUT_OF_DOMAIN),
        key=lambda c: -c["out_of_domain"],
    )
    findings = [
        _finding(
            "The model does not follow the measurement: the synthetic shares are further from the noisy ones than the "
            "noise explains. Do not rely on the shape of",
            [(c, f"distance {_distance(c['tvd'])}") for c in misfits],
        ),
        _finding(
            "The noise is large for the number of values: rare values may be wrong or missing in",
            [(c, f"expected noise {_distance(c['noise_tvd'])}") for c in noisy],
        ),
        _finding(
            "The source holds values that the domain does not declare; they became a label, missing or a bound in",
            [(c, f"{_percent(c['out_of_domain'])} ± {_percent(2 * c['out_of_domain_error'])}") for c in strange],
        ),
    ]
    return [finding for finding in findings if finding.columns]


def _finding(what: str, found: Sequence[tuple[Mapping[str, Any], str]]) -> Finding:
    named = tuple((column["column"], detail) for column, detail in found[:MAX_NAMED])
    return Finding(what, named, max(len(found) - MAX_NAMED, 0))


def _rounded_up(value: Decimal, digits: int = 4) -> str:
    """A privacy loss, rounded up to so many significant digits, because rounding down would promise too much."""
    if not value.is_finite():
        return "unlimited"
    if value == 0:
        return "0"
    rounded = value.quantize(Decimal(1).scaleb(value.adjusted() - digits + 1), ROUND_CEILING).normalize()
    return f"{rounded:e}".replace("e-0", "e-") if abs(rounded) < Decimal("0.0001") else f"{rounded:f}"


def _chance(value: Decimal) -> str:
    """A probability as one chance in so many, rounded so as not to promise too much."""
    return f"1 in {int(1 / value):,}" if value > 0 else "none"


def _number(value: float) -> str:
    """A number with separators, three significant digits below a thousand."""
    if isinstance(value, int) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _percent(value: float) -> str:
    """A share."""
    if 0 < value < 0.0005:
        return "<0.1%"
    if 0.9995 < value < 1:
        return ">99.9%"
    return f"{100 * value:.1f}%"


def _distance(value: float) -> str:
    return f"{value:.3f}" if value >= 0.0005 or value == 0 else "<0.001"


def _factor(epsilon: Decimal) -> str:
    """e^epsilon, rounded up."""
    if epsilon > _LARGEST_EXPONENT:
        return "more than 10^99"
    factor = Decimal(math.exp(float(epsilon)))
    return _rounded_up(factor, 3) if factor < 1000 else f"{int(factor) + 1:,}" if factor < 10**9 else f"{factor:.1e}"


def _instant(text: str) -> str:
    """An ISO 8601 instant as people read it."""
    day, _, time = text.partition("T")
    return f"{day} {time[:5]} UTC" if time.endswith(("Z", "+00:00")) else text
