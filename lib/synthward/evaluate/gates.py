"""Gates: what must hold before a staged release becomes visible.

They read synthetic rows, sealed measurements and public declarations only, so passing or failing says nothing that has
not been paid for. Noisy numbers are compared with three standard errors of slack, so that a sound release is not failed
by its noise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from synthward.evaluate.inspect import Inspection
from synthward.evaluate.metrics import ColumnQuality
from synthward.evaluate.relations import CliqueQuality, pair_summary
from synthward.privacy.measurement import Measurement
from synthward.release.names import LINEAGE

SLACK = 3.0


@dataclass(frozen=True)
class GateResult:
    """Outcome of one gate.

    Attributes:
        name: Gate.
        passed: Whether it passed.
        detail: What was found and what is allowed, without exact numbers about the source.
    """

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Thresholds:
    """What the request and the policy allow.

    Attributes:
        rows: Requested rows.
        min_patients: The tier's smallest population.
        max_out_of_domain_share: Largest share of undeclared values in any column.
        max_clipped_share: Largest share of values beyond the bounds in any column.
        max_mean_tvd: Largest mean distance to the noisy marginals, None for no such gate.
        max_mean_pair_tvd: Largest mean distance of the measured pairs, None for no such gate.
    """

    rows: int
    min_patients: int
    max_out_of_domain_share: Decimal
    max_clipped_share: Decimal
    max_mean_tvd: Decimal | None
    max_mean_pair_tvd: Decimal | None


_BY_OUTPUT = ("row count", "types", "columns", "domain", "lineage")
"""Gates that look at how rows were drawn and written; the others look at what was measured."""

_REMEDIES = {
    "population": "the measured population stays as it is: use a source or a tier with which it suffices",
    "out of domain": "declare how the values of these columns are written, leave the columns out, or have a larger "
    "utility.max_out_of_domain_share approved",
    "clipped": "declare the unit and the bounds that these columns have, leave the columns out, or have a larger "
    "utility.max_clipped_share approved",
    "distance": "give the run a larger epsilon or fewer columns, or have another utility.max_mean_tvd approved",
    "pair distance": "use a synthesizer that measures pairs, a larger epsilon or fewer columns, or have another "
    "utility.max_mean_pair_tvd approved",
}


def remedies(failed: Iterable[str]) -> str:
    """What to change after failed gates, and whether that is charged anew.

    Args:
        failed: Names of the gates.
    """
    names = list(failed)
    if all(name in _BY_OUTPUT for name in names):
        return (
            "How rows are drawn and written is the reason: another output section finishes the run without a new "
            "charge (`synthward approve REQUEST --repair FILE`, then `synthward run REQUEST --repair FILE`)"
        )
    told = "; ".join(_REMEDIES[name] for name in names if name in _REMEDIES)
    return f"What to change: {told}. An edited request is a new run, which is charged anew"


def run_gates(
    found: Inspection,
    expected_types: Mapping[str, str],
    quality: Mapping[str, ColumnQuality],
    relations: Sequence[CliqueQuality],
    population: Measurement,
    thresholds: Thresholds,
) -> tuple[GateResult, ...]:
    """All gates, in a fixed order; every one is evaluated, so that a report shows all of them."""
    return (
        _rows(found, thresholds),
        _types(found, expected_types),
        _columns(found, expected_types),
        _domain(found),
        _lineage(found),
        _population(population, thresholds),
        _out_of_domain(quality, thresholds),
        _clipped(quality, thresholds),
        *_distance(quality, thresholds),
        *_pair_distance(relations, thresholds),
    )


def _rows(found: Inspection, thresholds: Thresholds) -> GateResult:
    return GateResult(
        "row count", found.rows == thresholds.rows, f"{found.rows} rows staged, {thresholds.rows} requested"
    )


def _types(found: Inspection, expected: Mapping[str, str]) -> GateResult:
    wrong = [name for name, data_type in expected.items() if found.types.get(name) != data_type]
    detail = f"columns with another type than declared: {', '.join(wrong)}" if wrong else "all columns as declared"
    return GateResult("types", not wrong, detail)


def _columns(found: Inspection, expected: Mapping[str, str]) -> GateResult:
    """Nothing but what was asked for: a column too many would be a value that nobody has approved."""
    extra = [name for name in found.types if name not in expected and name not in LINEAGE]
    detail = f"columns that nobody asked for: {', '.join(extra)}" if extra else "no other columns"
    return GateResult("columns", not extra, detail)


def _domain(found: Inspection) -> GateResult:
    wrong = [name for name, count in found.undeclared.items() if count]
    detail = f"undeclared values in: {', '.join(wrong)}" if wrong else "every value is declared"
    return GateResult("domain", not wrong, detail)


def _lineage(found: Inspection) -> GateResult:
    detail = "every row labelled, rows numbered without gaps" if found.lineage_ok else "rows without correct lineage"
    return GateResult("lineage", found.lineage_ok, detail)


def _population(population: Measurement, thresholds: Thresholds) -> GateResult:
    noisy, error = float(population.counts[0]), population.deviation
    passed = noisy + SLACK * error >= thresholds.min_patients
    return GateResult(
        "population",
        passed,
        f"noisy number of units {noisy:.0f} (standard error {error:.0f}), at least {thresholds.min_patients} needed",
    )


def _out_of_domain(quality: Mapping[str, ColumnQuality], thresholds: Thresholds) -> GateResult:
    limit = float(thresholds.max_out_of_domain_share)
    worst = [c.name for c in quality.values() if c.out_of_domain - SLACK * c.out_of_domain_error > limit]
    if not worst:
        return GateResult("out of domain", True, f"noisy share of undeclared values at most {limit:.1%} everywhere")
    return GateResult(
        "out of domain",
        False,
        f"more than {limit:.1%} of the source's values are undeclared in: {', '.join(worst)}; is it the right file, "
        "and does the domain say how its values are written?",
    )


def _clipped(quality: Mapping[str, ColumnQuality], thresholds: Thresholds) -> GateResult:
    """Another unit, such as Fahrenheit where Celsius is declared, is nothing but values beyond the bounds."""
    limit = float(thresholds.max_clipped_share)
    worst = [c for c in quality.values() if c.clipped - SLACK * c.clipped_error > limit]
    if not worst:
        return GateResult("clipped", True, f"noisy share of values beyond the bounds at most {limit:.1%} everywhere")
    named = ", ".join(f"{c.name} ({'below' if c.below > c.above else 'above'})" for c in worst)
    return GateResult(
        "clipped",
        False,
        f"more than {limit:.1%} of the source's values lie beyond the bounds in: {named}; is it the declared unit and "
        "kind of column? Where the bounds are meant to cut a long tail, raise `max_clipped_share`",
    )


def _distance(quality: Mapping[str, ColumnQuality], thresholds: Thresholds) -> tuple[GateResult, ...]:
    if thresholds.max_mean_tvd is None:
        return ()
    mean = sum(c.distance for c in quality.values()) / len(quality)
    passed = mean <= float(thresholds.max_mean_tvd)
    return (GateResult("distance", passed, f"mean distance {mean:.4f}, at most {thresholds.max_mean_tvd} requested"),)


def _pair_distance(relations: Sequence[CliqueQuality], thresholds: Thresholds) -> tuple[GateResult, ...]:
    limit = thresholds.max_mean_pair_tvd
    if limit is None:
        return ()
    mean = pair_summary(relations)["pair_tvd_mean"]
    if mean is None:
        return (GateResult("pair distance", False, "no pair of columns was measured; use a synthesizer that does"),)
    passed = mean <= float(limit)
    return (GateResult("pair distance", passed, f"mean distance of pairs {mean:.4f}, at most {limit} requested"),)
