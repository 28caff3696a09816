"""From a share of the budget to the noise of one query: bound, mechanism and scale together."""

from __future__ import annotations

from synthward.domain.spec import Domain
from synthward.privacy.noise import Additive, NoiseCall, exponential_for, gaussian_for, laplace_for
from synthward.privacy.queries import Query, Selection
from synthward.privacy.sensitivity import bound
from synthward.privacy.unit import PrivacyUnit


def calibrated(query: Query, unit: PrivacyUnit, domain: Domain, mechanism: Additive, share: int) -> NoiseCall:
    """The most accurate call that answers `query` and charges at most `share`.

    Args:
        query: What is asked; a selection gets the exponential mechanism, everything else additive noise.
        unit: Contribution bound.
        domain: The requested attributes.
        mechanism: The run's mechanism.
        share: nano-epsilon for laplace, nano-rho for gaussian.

    Raises:
        ValueError: The share is less than 1.
    """
    if isinstance(query, Selection):
        return exponential_for(share, bound(query, unit, domain, "exponential"), mechanism)
    calibrate = laplace_for if mechanism == "laplace" else gaussian_for
    return calibrate(share, bound(query, unit, domain, mechanism))
