"""The report: one self-contained HTML page about a release, for the people who answer for it.

Its only input is the manifest, so nothing can stand in it that may not be published. It loads nothing from anywhere
(a content security policy in the page says so to the browser), holds no script, and equal manifests give equal bytes.
It words evidence: what was promised, what was entered as approved, what was tested and how it came out; never
compliance.
"""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import jinja2
from markupsafe import Markup

from synthward.release.manifest import Manifest
from synthward.report.findings import MAX_NAMED, column_findings, relation_findings
from synthward.report.plots import WHISKER, BarList, Histogram, bar_list, histogram
from synthward.report.relations import CLEAR, SLIGHT, UNCERTAIN, graph, pair_map, relations
from synthward.report.spending import groups, spending
from synthward.report.words import FILTERS, LARGEST_EXPONENT

MAX_PLOTS = 60
"""Columns that get a plot of their own, worst first; all of them are in the table."""

MAX_ANSWERS, MAX_RELATIONS = 100, 100
"""Noisy answers and measured tables that are listed one by one; all of them are in the manifest."""

PRIORS = (Decimal("0.001"), Decimal("0.01"), Decimal("0.1"), Decimal("0.5"))
"""Beliefs of an attacker before the release, for the table of what can become of them."""


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
    found = relations(body["quality"])
    answers = spending(body["measurements"], pure=pure is not None)
    # Limits of what can be learned hold without any allowance for delta where the mechanism is pure: explain those.
    explained = epsilon if pure is None else pure
    return _template().render(
        m=body,
        manifest_digest=manifest.digest,
        style=Markup(_resource("style.css")),
        failed=[gate for gate in body["gates"] if not gate["passed"]],
        epsilon=epsilon,
        delta=Decimal(guarantee["delta"]),
        thresholds=Decimal(guarantee["atto_delta"]) / 10**18,
        pure=pure,
        explained=explained,
        beliefs=[(prior, _belief(prior, explained)) for prior in PRIORS],
        budget=_budget(body["budget"], epsilon),
        controls=_controls(body),
        unsigned=any(not entry.get("signed", False) for entry in body["approvals"]),
        signed=any(entry.get("signed", False) for entry in body["approvals"]),
        answers=answers,
        groups=groups(answers),
        columns=columns,
        cards=_cards(columns[:MAX_PLOTS], body["domain"]["attributes"]),
        relations=found,
        pairs=sum(len(relation.columns) == 2 for relation in found),
        map=pair_map(body["quality"]["columns"], found),
        graph=graph(body["model"]["graph"]),
        findings=[*column_findings(columns), *relation_findings(found)],
        max_answers=MAX_ANSWERS,
        max_relations=MAX_RELATIONS,
        max_warnings=MAX_NAMED,
        slight=SLIGHT,
        clear=CLEAR,
        uncertain=UNCERTAIN,
        whisker=WHISKER,
    )


def _resource(name: str) -> str:
    return importlib.resources.files("synthward.report").joinpath(name).read_text(encoding="utf-8")


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_resource),
    )
    environment.filters |= FILTERS
    return environment.get_template("template.html.j2")


def _belief(prior: Decimal, epsilon: Decimal) -> tuple[float, float]:
    """What a belief can become at most and at least: the odds change by a factor of e^epsilon at the very most."""
    odds, exponent = float(prior / (1 - prior)), min(float(epsilon), LARGEST_EXPONENT)
    high, low = odds * math.exp(exponent), odds * math.exp(-exponent)
    return high / (1 + high), low / (1 + low)


def _budget(budget: Mapping[str, Any], epsilon: Decimal) -> dict[str, Any]:
    """Lengths of the bar, 0 to 100: this release taken alone, as the scope counts it, and what other charges add.

    Epsilon of a release at its own delta and of a scope at the scope's delta are two statements. The bar shows the
    scope's only: a difference between the two would look like another release. Manifests of earlier versions lack
    the release's part; their bar is one piece.

    Args:
        budget: From the manifest.
        epsilon: What the release itself promises.
    """
    cap, spent = Decimal(budget["cap_epsilon"]), Decimal(budget["spent_epsilon"])
    whole = float(min(spent / cap, Decimal(1))) if cap > 0 else 1.0
    alone = Decimal(budget["alone_epsilon"]) if "alone_epsilon" in budget else None
    charges = budget.get("charges", 1)
    own = whole if alone is None or charges == 1 or cap <= 0 else min(float(alone / cap), whole)
    return {
        "alone": alone,
        "charges": charges,
        "counts_more": alone is not None and alone != epsilon,
        "own": round(100 * own, 2),
        "others": round(100 * (whole - own), 2),
        "spent": spent,
        "cap": cap,
        "cap_delta": Decimal(budget["cap_delta"]),
        "remaining": Decimal(budget["remaining_epsilon"]),
        "part": whole,
    }


def _controls(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tier's controls, each with the gates that show it; manifests of earlier versions name no evidence."""
    gates = {gate["gate"]: gate for gate in body["gates"]}
    named = {entry["control"]: entry["gates"] for entry in body["policy"].get("evidence", ())}
    found = []
    for name in body["policy"]["controls"]:
        results = [gates[gate] for gate in named.get(name, ()) if gate in gates]
        complete = bool(results) and len(results) == len(named[name])
        shown = complete and all(gate["passed"] for gate in results)
        found.append({"name": name, "gates": results, "shown": shown})
    return found


def _cards(columns: Iterable[Mapping[str, Any]], attributes: Iterable[Mapping[str, Any]]) -> list[Card]:
    declared = {attribute["column"]: attribute for attribute in attributes}
    cards = []
    for column in columns:
        attribute = declared[column["column"]]
        draw = histogram if "bounds" in attribute else bar_list
        cards.append(Card(column, draw(column, attribute)))
    return cards
