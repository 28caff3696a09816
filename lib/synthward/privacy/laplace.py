"""The exact zCDP of discrete Laplace noise.

Guarantee. For integer vectors x, x' with |x - x'|_1 <= d, adding discrete Laplace noise of scale s to every entry is
rho-zCDP with

    rho = a d - (a / sinh a) (1 - e^(-a d)),    a = 1 / s,

and with no smaller rho: it is the Kullback-Leibler divergence of two outputs whose inputs differ by d in one entry.
Neighbours: add or remove one privacy unit; d is the integer bound of `sensitivity.bound`. At a d = 1 it is .368 where
what holds of every pure mechanism, (a d)^2 / 2, is .5. Proof: PROOFS.md, section 4.11. Harrison and Manurangsi ("Exact
zCDP characterizations for fundamental differentially private mechanisms", 2025) have the same number by another proof.
"""

from __future__ import annotations

from fractions import Fraction

from synthward.privacy.exponentials import exp_above, exp_below


def laplace_rho(scale: float, sensitivity: int) -> Fraction:
    """The rho of discrete Laplace noise, rounded up: above the exact number by less than 10^-40 as a rule, never below.

    Never above (d / s)^2 / 2 either. With scales beyond 10^40 it comes out as that.

    Args:
        scale: s, taken as the rational that the float is.
        sensitivity: d, the largest L1 distance of two exact answers.

    >>> float(laplace_rho(4.0, 4))  # epsilon 1 on counts that move by at most 4
    0.3744163320937902
    """
    a = 1 / Fraction(scale)
    epsilon = a * sensitivity
    # a / sinh a = 2 a e^-a / (1 - e^-2a), rounded down; the denominator is above 0, as no rounded exponential is 1.
    ratio = 2 * a * exp_below(a) / (1 - exp_below(2 * a))
    return min(epsilon - ratio * max(1 - exp_above(epsilon), Fraction(0)), epsilon**2 / 2)
