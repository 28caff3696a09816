"""The report: one self-contained HTML page about a release, for the people who are responsible for it.

Its only input is the manifest. So it cannot show anything that may not be published. The page loads nothing: its
content security policy forbids it. It has no script. Equal manifests give equal bytes. The page states evidence: what
was promised, what was entered as approved, what was tested, and with which result. It never states compliance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from markupsafe import Markup

from synthward.records.manifest import AttributeEntry, BudgetEntry, ColumnEntry, ReleaseRecord
from synthward.release.manifest import Manifest
from synthward.report.findings import MAX_NAMED, column_findings, fit_findings, relation_findings
from synthward.report.plots import WHISKER, BarList, Histogram, bar_list, histogram
from synthward.report.quality import QualityView, quality_view
from synthward.report.relations import CLEAR, SLIGHT, UNCERTAIN, graph, pair_map, relations
from synthward.report.spending import groups, spending
from synthward.report.templates import environment, resource
from synthward.report.words import LARGEST_EXPONENT

MAX_PLOTS = 60
"""Largest number of columns with a plot, the worst first. The table has all columns."""

MAX_ANSWERS, MAX_RELATIONS = 100, 100
"""Largest numbers of noisy answers and measured tables that the page lists. The manifest has all of them."""

PRIORS = (Decimal("0.001"), Decimal("0.01"), Decimal("0.1"), Decimal("0.5"))
"""Beliefs of an attacker before the release. The page shows how far the release can change them."""


@dataclass(frozen=True)
class Card:
    """A column's plot.

    Attributes:
        column: The column's entry in the manifest's quality.
        plot: The drawing.
    """

    column: ColumnEntry
    plot: BarList | Histogram

    @property
    def is_list(self) -> bool:
        """True if the plot is a list of bars."""
        return isinstance(self.plot, BarList)


def render(manifest: Manifest) -> str:
    """Return the report of a release.

    Args:
        manifest: The release's manifest.

    Returns:
        HTML without references to other files.
    """
    release = manifest.record
    guarantee = release.guarantee
    epsilon, nano = Decimal(guarantee.epsilon), guarantee.nano_epsilon
    pure = None if nano is None else Decimal(nano) / 10**9
    view = quality_view(release.quality)
    columns = sorted(release.quality.columns, key=lambda column: _order(view, column))
    found = relations(release.quality)
    answers = spending(release.measurements, pure=pure is not None)
    ended = release.model.convergence
    # If the mechanism is pure, the limits hold with delta = 0, so the page explains those.
    explained = epsilon if pure is None else pure
    return (
        environment()
        .get_template("template.html.j2")
        .render(
            m=release,
            manifest_digest=manifest.digest,
            style=Markup(resource("style.css")),
            failed=release.failed_gates,
            epsilon=epsilon,
            delta=Decimal(guarantee.delta),
            thresholds=Decimal(guarantee.atto_delta) / 10**18,
            pure=pure,
            explained=explained,
            beliefs=[(prior, _belief(prior, explained)) for prior in PRIORS],
            budget=_budget(release.budget, epsilon),
            controls=_controls(release),
            unsigned=any(not entry.signed for entry in release.approvals),
            signed=any(entry.signed for entry in release.approvals),
            answers=answers,
            groups=groups(answers),
            columns=columns,
            cards=_cards(columns[:MAX_PLOTS], release.domain.attributes),
            relations=found,
            view=view,
            pairs=sum(len(relation.columns) == 2 for relation in found),
            map=pair_map(release.quality.columns, found),
            graph=graph(release.model.graph),
            findings=[*fit_findings(ended), *column_findings(columns), *relation_findings(found)],
            ended=ended,
            max_answers=MAX_ANSWERS,
            max_relations=MAX_RELATIONS,
            max_warnings=MAX_NAMED,
            slight=SLIGHT,
            clear=CLEAR,
            uncertain=UNCERTAIN,
            whisker=WHISKER,
        )
    )


def _order(view: QualityView | None, column: ColumnEntry) -> float:
    """The largest expected distance to the real rows first; in manifests without it, the largest fit residual."""
    statement = None if view is None else view.of_column(column.column)
    return -(column.tvd if statement is None or statement.distance is None else statement.distance)


def _belief(prior: Decimal, epsilon: Decimal) -> tuple[float, float]:
    """Return the largest and smallest belief after the release. The odds change by at most a factor of e^epsilon."""
    odds, exponent = float(prior / (1 - prior)), min(float(epsilon), LARGEST_EXPONENT)
    high, low = odds * math.exp(exponent), odds * math.exp(-exponent)
    return high / (1 + high), low / (1 + low)


def _budget(budget: BudgetEntry, epsilon: Decimal) -> dict[str, Any]:
    """Return the lengths of the bar's parts, 0 to 100: this release alone, as the scope counts it, and other charges.

    A release's epsilon at its own delta and a scope's epsilon at the scope's delta are two statements. The bar shows
    only the scope's, because a difference between the two would look like another release. Manifests of earlier
    versions do not have the release's part, so their bar has one part.

    Args:
        budget: From the manifest.
        epsilon: The release's own epsilon.
    """
    cap, spent = Decimal(budget.cap_epsilon), Decimal(budget.spent_epsilon)
    spent_part = float(min(spent / cap, Decimal(1))) if cap > 0 else 1.0
    alone = None if budget.alone_epsilon is None else Decimal(budget.alone_epsilon)
    charges = budget.charges
    own = spent_part if alone is None or charges == 1 or cap <= 0 else min(float(alone / cap), spent_part)
    return {
        "alone": alone,
        "charges": charges,
        "counts_more": alone is not None and alone != epsilon,
        "own": round(100 * own, 2),
        "others": round(100 * (spent_part - own), 2),
        "spent": spent,
        "cap": cap,
        "cap_delta": Decimal(budget.cap_delta),
        "remaining": Decimal(budget.remaining_epsilon),
        "part": spent_part,
    }


def _controls(release: ReleaseRecord) -> list[dict[str, Any]]:
    """Return the tier's controls, each with the gates that show it. Manifests of earlier versions name no evidence."""
    gates = {gate.gate: gate for gate in release.gates}
    named = {entry.control: entry.gates for entry in release.policy.evidence}
    found = []
    for name in release.policy.controls:
        results = [gates[gate] for gate in named.get(name, ()) if gate in gates]
        complete = bool(results) and len(results) == len(named[name])
        shown = complete and all(gate.passed for gate in results)
        found.append({"name": name, "gates": results, "shown": shown})
    return found


def _cards(columns: Iterable[ColumnEntry], attributes: Iterable[AttributeEntry]) -> list[Card]:
    declared = {attribute.column: attribute for attribute in attributes}
    cards = []
    for column in columns:
        attribute = declared[column.column]
        plot = bar_list(column, attribute) if attribute.bounds is None else histogram(column, attribute.bounds[1])
        cards.append(Card(column, plot))
    return cards
