"""Weak spots that the numbers of a release show, worst first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from synthward.report.relations import Relation
from synthward.report.words import distance, percent

CROSS = " \N{MULTIPLICATION SIGN} "

MAX_NAMED = 12
"""Columns or pairs that a finding names one by one."""

NOTICEABLE = 0.05
"""A distance from which on a column is pointed out: 5 rows in 100 would have to change."""

MISFIT = 3.0
"""A distance of so many times the expected noise is the model's doing, not the noise's."""

OUT_OF_DOMAIN = 0.01
"""A share of undeclared source values from which on a column is pointed out, beyond three standard errors."""


@dataclass(frozen=True)
class Finding:
    """A weak spot.

    Attributes:
        what: In a sentence.
        subjects: Columns or pairs it concerns with a number, worst first.
        more: How many further ones it concerns.
    """

    what: str
    subjects: tuple[tuple[str, str], ...]
    more: int


def fit_findings(convergence: Mapping[str, Any] | None) -> list[Finding]:
    """A fit that stopped short, as the manifest records it; nothing for manifests of earlier versions."""
    if convergence is None or convergence["reached"]:
        return []
    return [
        _finding(
            f"The fit stopped short of its tolerance after {convergence['steps']} of at most {convergence['at_most']} "
            f"steps: the {convergence['tables']} noisy tables are missed by {distance(convergence['distance'])} on "
            "average beyond their noise, worst",
            [(CROSS.join(convergence["worst"]["columns"]), f"by {distance(convergence['worst']['distance'])}")],
        )
    ]


def column_findings(columns: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Weak spots of single columns, given as in the manifest."""
    listed = sorted(columns, key=lambda column: -column["tvd"])
    misfits = [c for c in listed if c["tvd"] > max(NOTICEABLE, MISFIT * c["noise_tvd"])]
    noisy = sorted((c for c in listed if c["noise_tvd"] > NOTICEABLE), key=lambda c: -c["noise_tvd"])
    strange = sorted(
        (c for c in listed if c["out_of_domain"] - 3 * c["out_of_domain_error"] > OUT_OF_DOMAIN),
        key=lambda c: -c["out_of_domain"],
    )
    return _present(
        _finding(
            "The model does not follow the measurement: the synthetic shares are further from the noisy ones than the "
            "noise explains. Do not rely on the shape of",
            [(c["column"], f"distance {distance(c['tvd'])}") for c in misfits],
        ),
        _finding(
            "The noise is large for the number of values: rare values may be wrong or missing in",
            [(c["column"], f"expected noise {distance(c['noise_tvd'])}") for c in noisy],
        ),
        _finding(
            "The source holds values that the domain does not declare; they became a label, missing or a bound in",
            [
                (c["column"], f"{percent(c['out_of_domain'])} ± {percent(2 * c['out_of_domain_error'])}")
                for c in strange
            ],
        ),
    )


def relation_findings(relations: Iterable[Relation]) -> list[Finding]:
    """Weak spots of measured relations between columns."""
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
