"""The weight of a risk statement: points by the policy's scale, and the tiers that they raise a request by.

A pure function, and monotone: a recipient more, a stronger motive, one more tag on a column or a smaller population
never gives fewer points, and more points never raise a request by fewer tiers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from synthward.governance.policy import RiskScale
from synthward.spec.request import Request
from synthward.spec.risk import Recipient, Risk


@dataclass(frozen=True)
class RiskFinding:
    """What a risk statement comes to.

    Attributes:
        points: Its points.
        raises: One sentence for each tier by which it raises the request.
        faults: Words that the policy does not know, and attacks that are not in scope.
    """

    points: int
    raises: tuple[str, ...]
    faults: tuple[str, ...]


def weigh(risk: Risk | None, scale: RiskScale | None, request: Request) -> RiskFinding:
    """Weigh a risk statement.

    Args:
        risk: The statement, None for none.
        scale: The policy's scale, None for none.
        request: The request; only the declared size of its population counts.
    """
    if risk is None:
        return RiskFinding(0, (), ())
    if scale is None:
        return RiskFinding(0, (), ("the policy has no scale for risk statements (risk); take it out",))
    declared = request.population.declared_patients
    recipient = max(_recipient_points(one, scale) for one in risk.recipients)
    column = max((scale.tags.get(tag, 0) for tags in risk.columns.values() for tag in tags), default=0)
    small = max((step.points for step in scale.small_populations if declared < step.below), default=0)
    points = recipient + column + small
    parts = f"recipients {recipient}, columns {column}, population {small}"
    raises = tuple(
        f"raised by one tier: {points} points of risk ({parts}) reach {limit}"
        for limit in scale.raises
        if points >= limit
    )
    return RiskFinding(points, raises, tuple(_faults(risk, scale)))


def _recipient_points(recipient: Recipient, scale: RiskScale) -> int:
    return (
        scale.motives.get(recipient.motive, 0)
        + scale.capacities.get(recipient.capacity, 0)
        + scale.auxiliary.get(recipient.auxiliary, 0)
    )


def _faults(risk: Risk, scale: RiskScale) -> Iterator[str]:
    """A word that the policy does not know counts for nothing, so it refuses the request."""
    for index, one in enumerate(risk.recipients):
        for name, words in (("motive", scale.motives), ("capacity", scale.capacities), ("auxiliary", scale.auxiliary)):
            yield from _unknown(f"recipients[{index}].{name}", getattr(one, name), words)
    for column, tags in risk.columns.items():
        for tag in tags:
            yield from _unknown(f"a tag of column {column}", tag, scale.tags)
    left_out = [attack for attack in scale.attacks if attack not in risk.attacks]
    if left_out:
        yield f"attacks that policy wants thought about are left out: {', '.join(left_out)}; add them to `attacks`"


def _unknown(place: str, word: str, words: Mapping[str, int]) -> Iterator[str]:
    if word not in words:
        yield f"{place}: found {word}, allowed are {', '.join(words)}"
