"""The `learn` section of a request: parts of the domain that are measured, and charged, before everything else.

Bounds, resolutions and listed values stay declared. What may be learned is where bins are cut and which further values
many patients have, by noisy answers that the budget pays for.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from synthward.config.fields import Findings, key
from synthward.domain.patterns import pattern_fault
from synthward.domain.quantiles import fine_bins
from synthward.domain.spec import Categorical, Domain, Numeric

if TYPE_CHECKING:
    from synthward.spec.request import Request


THRESHOLD_PART = 10
"""A tenth of delta goes to the thresholds of categories: a larger part would hardly lower them, and a smaller one
hardly lower the noise of everything else, since both depend on the logarithm of delta."""


@dataclass(frozen=True)
class LearnedCategories:
    """Which further texts of a column become values: those that clearly more than a few patients have."""

    pattern: str = key(
        doc="What such a text looks like as a whole, for instance [A-Za-z/-]{1,40}; so no other can come out."
    )
    per_patient: int = key(
        minimum=1, maximum=1000, doc="Texts of one patient that count at most; the noise grows with its root."
    )
    at_most: int = key(minimum=1, maximum=10_000, doc="Values that are added at most, those with the largest counts.")

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        fault = pattern_fault(self.pattern)
        if fault is not None:
            yield "pattern", f"found {self.pattern!r}: {fault}"


@dataclass(frozen=True)
class Learn:
    """What a run learns of its domain before the synthesizer's rounds."""

    share: Decimal = key(
        Decimal("0.1"),
        exclusive_minimum=0,
        maximum=Decimal("0.9"),
        doc="Part of the budget for it: of epsilon for laplace, of rho for gaussian.",
    )
    quantiles: dict[str, int] = key(
        {},
        minimum=2,
        maximum=512,
        doc="Bins wanted, by numeric column: cut so that each holds about as many rows.",
    )
    categories: dict[str, LearnedCategories] = key(
        {}, doc="Further values, by categorical column; needs gaussian noise and takes a tenth of delta."
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of which something is learned, each with an equal part of the share."""
        return (*self.quantiles, *self.categories)

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if not self.columns:
            yield "quantiles", "name a column here, for instance `quantiles: {length_of_stay: 16}`, or in `categories`"


def faults(request: Request, domain: Domain) -> Findings:
    """What of `learn` does not fit its request and domain, by key.

    Args:
        request: The request.
        domain: The domain with all declared attributes.
    """
    learn = request.learn
    for kind, names in (("quantiles", learn.quantiles), ("categories", learn.categories)) if learn is not None else ():
        for name in names:
            if name not in request.columns:
                yield (
                    f"learn.{kind}.{name}",
                    f"column '{name}' is not requested; add it to `columns`, or remove it here",
                )
            elif name in domain.attributes:
                yield from ((f"learn.{kind}.{name}{key}", text) for key, text in _CHECKS[kind](name, request, domain))


def _quantile_faults(name: str, request: Request, domain: Domain) -> Findings:
    attribute = domain.attributes[name]
    if not isinstance(attribute, Numeric):
        yield "", f"column '{name}' is {attribute.TAG}; bins are learned of numeric columns only"
        return
    assert request.learn is not None
    bins, cells = request.learn.quantiles[name], fine_bins(attribute)
    if bins >= cells:
        yield "", f"found {bins} bins, but the public grid of '{name}' has {cells} cells; ask for fewer than that"
    if any(name in zero for zero in request.synthesizer.zeros):
        yield "", f"a structural zero names '{name}': it would forbid a whole bin, and bins are not known yet"


def _category_faults(name: str, request: Request, domain: Domain) -> Findings:
    attribute, privacy = domain.attributes[name], request.privacy
    if not isinstance(attribute, Categorical):
        yield "", f"column '{name}' is {attribute.TAG}; values are learned of categorical columns only"
        return
    assert request.learn is not None
    if attribute.trim or attribute.case != "exact" or attribute.normalise:
        yield "", f"column '{name}' has `trim`, `case` or `normalise`; values are learned as they are written"
    wanted = request.learn.categories[name]
    if privacy.mechanism != "gaussian":
        yield "", f"needs a delta, so `mechanism: gaussian`; found {privacy.mechanism}, which is pure"
    elif threshold_delta(request.learn, privacy.delta) == 0:
        yield "", f"privacy.delta {privacy.delta} is too small to set a part of it aside for the thresholds"
    if request.patient.unit == "row" and wanted.per_patient != 1:
        yield ".per_patient", f"found {wanted.per_patient}, but unit row allows 1 only: a row has one text"


_CHECKS = {"quantiles": _quantile_faults, "categories": _category_faults}


def threshold_delta(learn: Learn, delta: Decimal) -> int:
    """Delta that each threshold may use up, in 10^-18; 0 where there are none or nothing is left for them.

    Args:
        learn: The section.
        delta: Delta of the whole release.
    """
    return int(delta * 10**18) // (THRESHOLD_PART * len(learn.categories)) if learn.categories else 0
