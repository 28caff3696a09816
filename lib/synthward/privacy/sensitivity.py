"""How much one privacy unit can change an exact answer, and why no sum can overflow.

Neighbours: add or remove one unit with all its rows. With `n` the unit's row count and `K` the contribution bound, the
kernels count a unit's sum as `sum` when `n <= K` and as `(sum * K) div n` otherwise, its presence as `n_f * S` or
`(n_f * K * S) div n`, and every row of a marginal as `S` or `(K * S) div n`. So one unit changes

* a sum by at most `K * Q`, a sum of squares by at most `K * Q2`, a presence by at most `K * S`;
* a marginal by at most `K * S` in L1, hence in L2 (all its rows may share one cell, so the bound is attained);
* the L1 error of a prediction by at most `K * S`, m errors together by `m * K * S` in L1 and `sqrt(m) * K * S` in L2;
  public weights multiply that, public offsets add nothing;
* the population, counted in units of 1/S, by S;
* counts of texts by S in each of at most K0 texts (section 8.1). A unit that is a row has one text.

Proofs: PROOFS.md, sections 1 to 3. All bounds are integers, and so is every answer.
"""

from __future__ import annotations

from math import isqrt

from synthward.domain.spec import Domain
from synthward.errors import ConfigError, Problem
from synthward.privacy.noise import Mechanism
from synthward.privacy.queries import (
    Categories,
    Marginal,
    Population,
    Presence,
    Query,
    Scores,
    Selection,
    SquareSum,
    Sum,
)
from synthward.privacy.thresholds import count_bound
from synthward.privacy.unit import PrivacyUnit

WEIGHT_UNIT = 2**16
"""S: rows weigh in units of 1/S. At 2^10 a patient with many rows would round to nothing."""

MAX_ROWS = 2**36
MAX_UNITS = 2**34
MAX_SUM = 2**62
"""Public ceilings of the static overflow check: a source may have any number of rows up to MAX_ROWS, all of which may
belong to one patient."""


def bound(query: Query, unit: PrivacyUnit, domain: Domain, mechanism: Mechanism) -> int:
    """Largest change of `query`'s exact answer when one privacy unit is added or removed, an integer rounded up.

    Args:
        query: The query.
        unit: Contribution bound.
        domain: The requested attributes.
        mechanism: Which norm measures the change: L1 for laplace, L2 for gaussian, the largest change of a score for
            exponential. L1 and L2 differ for scores only.

    Raises:
        KeyError: The query names a column that is not in the domain.
        ValueError: The mechanism does not answer queries of this kind.

    >>> from synthward.domain.spec import Categorical
    >>> domain = Domain(version=1, attributes={"sex": Categorical(values=("F", "M"))})
    >>> bound(Marginal(("sex",)), PrivacyUnit("patient", 4), domain, "laplace")  # K * S
    262144
    """
    if (mechanism == "exponential") != isinstance(query, Selection):
        raise ValueError(f"{query.label} is not answered by the mechanism {mechanism}")
    match query:
        case Population():
            return WEIGHT_UNIT
        case Marginal() | Presence():
            return unit.max_rows * WEIGHT_UNIT
        case Scores(cliques):
            together = joint_l1 if mechanism == "laplace" else joint_l2
            return together(len(cliques), unit)
        case Selection():
            return max(query.weights) * unit.max_rows * WEIGHT_UNIT
        case Sum(attribute):
            return unit.max_rows * domain.graded[attribute].fixed_point.limit
        case SquareSum(attribute):
            return unit.max_rows * domain.graded[attribute].fixed_point.square_limit
        case Categories():
            return count_bound(mechanism, 1 if unit.name == "row" else query.per_patient, WEIGHT_UNIT)


def joint_l1(queries: int, unit: PrivacyUnit) -> int:
    """L1 bound of that many marginals, or scores, together: `m * K * S`.

    >>> joint_l1(3, PrivacyUnit("patient", 4)) == 3 * 4 * WEIGHT_UNIT
    True
    """
    return queries * unit.max_rows * WEIGHT_UNIT


def joint_l2(queries: int, unit: PrivacyUnit) -> int:
    """L2 bound of that many marginals, or scores, together: `sqrt(m) * K * S`, rounded up to an integer.

    >>> joint_l2(4, PrivacyUnit("patient", 4)) == 2 * 4 * WEIGHT_UNIT
    True
    """
    square = queries * (unit.max_rows * WEIGHT_UNIT) ** 2
    root = isqrt(square)
    return root if root * root == square else root + 1


def check_overflow(unit: PrivacyUnit, domain: Domain) -> None:
    """Refuses a configuration whose sums could leave 62 bits for any data whatever (DESIGN 4.6).

    Before the division by n, one unit that owns every row reaches `rows * K * max(Q, Q2, S)`; after it, all units
    together reach `units * K * max(Q, Q2, S)`. Both are public, so this is decided at configuration time.

    Raises:
        ConfigError: K is too large.
    """
    scales = [attribute.fixed_point for attribute in domain.graded.values()]
    largest = max([WEIGHT_UNIT, *(max(scale.limit, scale.square_limit) for scale in scales)])
    reach = unit.max_rows * largest * max(MAX_ROWS, MAX_UNITS)
    if reach >= MAX_SUM:
        allowed = (MAX_SUM - 1) // (largest * max(MAX_ROWS, MAX_UNITS))
        raise ConfigError(
            [
                Problem(
                    "patient.max_rows_per_patient",
                    f"K = {unit.max_rows} could overflow 64-bit sums over 2^36 rows; at most {allowed} is possible",
                )
            ]
        )
