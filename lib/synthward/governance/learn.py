"""The `learn` section of a request: parts of the domain that are measured, and charged, before everything else.

Bounds, resolutions and listed values stay declared. What may be learned is where bins are cut, by noisy answers that
the budget pays for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from decimal import Decimal

from synthward.config.fields import key
from synthward.domain.quantiles import fine_bins
from synthward.domain.spec import Domain, Numeric

Findings = Iterator[tuple[str, str]]


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

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of which something is learned."""
        return tuple(self.quantiles)

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if not self.quantiles:
            yield "quantiles", "name at least one column, for instance `quantiles: {length_of_stay: 16}`"


def faults(learn: Learn, domain: Domain, requested: Collection[str], forbidden: Collection[str]) -> Findings:
    """What does not fit the request and its domain, by key below `learn`.

    Args:
        learn: The section.
        domain: The domain with all declared attributes.
        requested: Columns of the request.
        forbidden: Columns that structural zeros name.
    """
    for name, bins in learn.quantiles.items():
        place, attribute = f"quantiles.{name}", domain.attributes.get(name)
        if name not in requested:
            yield place, f"column '{name}' is not requested; add it to `columns`, or remove it here"
        elif attribute is None:
            continue  # reported with the columns
        elif not isinstance(attribute, Numeric):
            yield place, f"column '{name}' is {attribute.TAG}; bins are learned of numeric columns only"
        elif bins >= fine_bins(attribute):
            found = fine_bins(attribute)
            yield (
                place,
                f"found {bins} bins, but the public grid of '{name}' has {found} cells; ask for fewer than that",
            )
        elif name in forbidden:
            yield place, f"a structural zero names '{name}': it would forbid a whole bin, and bins are not known yet"
