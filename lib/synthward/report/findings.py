"""Weak points that the numbers of a release show, the worst first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthward.records.manifest import ColumnEntry, ConvergenceEntry
from synthward.report.relations import Relation
from synthward.report.words import distance, percent

CROSS = " \N{MULTIPLICATION SIGN} "

MAX_NAMED = 12
"""Largest number of columns or pairs that a finding names."""

NOTICEABLE = 0.05
"""A column with at least this distance is named: 5 rows in 100 would have to change."""

MISFIT = 3.0
"""If the distance is more than this many times the expected noise, the model causes it, not the noise."""

OUT_OF_DOMAIN = 0.01
"""A column with more than this share of undeclared source values is named, beyond three standard errors."""


@dataclass(frozen=True)
class Finding:
    """A weak point.

    Attributes:
        what: The weak point in a sentence.
        subjects: The columns or pairs with this weak point, each with a number; the worst first.
        more: Number of further columns or pairs.
    """

    what: str
    subjects: tuple[tuple[str, str], ...]
    more: int


def fit_findings(ended: ConvergenceEntry | None) -> list[Finding]:
    """Return a fit that stopped short, as the manifest records it. Manifests of earlier versions have no record."""
    if ended is None or ended.reached:
        return []
    return [
        _finding(
            f"The fit stopped short of its tolerance after {ended.steps} of at most {ended.at_most} steps: the "
            f"{ended.tables} noisy tables are missed by {distance(ended.distance)} on average beyond their noise, "
            "worst",
            [(CROSS.join(ended.worst.columns), f"by {distance(ended.worst.distance)}")],
        )
    ]


def column_findings(columns: Iterable[ColumnEntry]) -> list[Finding]:
    """Return weak points of single columns. The columns are given as in the manifest."""
    listed = sorted(columns, key=lambda column: -column.tvd)
    misfits = [c for c in listed if c.tvd > max(NOTICEABLE, MISFIT * c.noise_tvd)]
    noisy = sorted((c for c in listed if c.noise_tvd > NOTICEABLE), key=lambda c: -c.noise_tvd)
    strange = sorted(
        (c for c in listed if c.out_of_domain - 3 * c.out_of_domain_error > OUT_OF_DOMAIN),
        key=lambda c: -c.out_of_domain,
    )
    # The two shares have an error each.
    clipped = sorted(
        (c for c in listed if c.clipped - 3 * 2**0.5 * c.out_of_domain_error > OUT_OF_DOMAIN),
        key=lambda c: -c.clipped,
    )
    return _present(
        _finding(
            "The model does not follow the measurement: the synthetic shares are further from the noisy ones than the "
            "noise explains. Do not rely on the shape of",
            [(c.column, f"distance {distance(c.tvd)}") for c in misfits],
        ),
        _finding(
            "The noise is large for the number of values: rare values may be wrong or missing in",
            [(c.column, f"expected noise {distance(c.noise_tvd)}") for c in noisy],
        ),
        _finding(
            "The source holds values that the domain does not declare; they became a label or missing in",
            [(c.column, f"{percent(c.out_of_domain)} ± {percent(2 * c.out_of_domain_error)}") for c in strange],
        ),
        _finding(
            "The source holds values beyond the declared bounds; they became the bound in",
            [(c.column, f"{percent(max(c.below, 0.0))} below, {percent(max(c.above, 0.0))} above") for c in clipped],
        ),
    )


def relation_findings(relations: Iterable[Relation]) -> list[Finding]:
    """Return weak points of measured relations between columns."""
    listed = list(relations)
    misfits = sorted((r for r in listed if r.beyond_noise > NOTICEABLE), key=lambda r: -r.beyond_noise)
    noisy = sorted((r for r in listed if r.noise > NOTICEABLE), key=lambda r: -r.noise)
    return _present(
        _finding(
            "The model does not follow what was measured of columns together, beyond what the noise explains. Do not "
            "rely on the relation of",
            [(r.name, f"at least {distance(r.beyond_noise)} off") for r in misfits],
        ),
        _finding(
            "The noise is large for the number of combinations of values: rare combinations may be wrong or missing in",
            [(r.name, f"expected noise {distance(r.noise)}") for r in noisy],
        ),
    )


def _present(*findings: Finding) -> list[Finding]:
    return [finding for finding in findings if finding.subjects]


def _finding(what: str, found: Sequence[tuple[str, str]]) -> Finding:
    return Finding(what, tuple(found[:MAX_NAMED]), max(len(found) - MAX_NAMED, 0))
