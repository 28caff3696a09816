"""The exact Gaussian curve: never below the truth, close to it, and refused where it does not hold."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from synthward.fit.base import Task, budget_of
from synthward.fit.few_round import FewRound
from synthward.privacy.accounting import NANO, rho_for
from synthward.privacy.gaussian import (
    INFINITE,
    MAX_RHO,
    delta_of,
    discreteness,
    gaussian_epsilon_of,
    gaussian_rho_for,
)
from synthward.privacy.sensitivity import WEIGHT_UNIT

DELTA = Decimal("1e-9")
CELLS = 720


def hockey_stick(mu: float, epsilon: float) -> float:
    """sup over events of P(E) - e^epsilon Q(E) for N(mu, 1) and N(0, 1), by integration of the density ratio."""

    def excess(x: float) -> float:
        return stats.norm.pdf(x, mu) - math.exp(epsilon) * stats.norm.pdf(x)

    start = epsilon / mu + mu / 2
    return float(integrate.quad(excess, start, start + 40, epsabs=0, epsrel=1e-10, limit=500)[0])


@given(mu=st.floats(0.05, 3), epsilon=st.floats(0.05, 8))
def test_delta_is_the_hockey_stick_divergence_of_two_normals(mu: float, epsilon: float) -> None:
    nano_rho = math.ceil(mu**2 / 2 * NANO)
    loss = Decimal(epsilon).quantize(Decimal("1e-9"))
    true = hockey_stick(math.sqrt(2 * nano_rho / NANO), float(loss))
    if true > 1e-15:
        bound = float(delta_of(nano_rho, loss, 0))
        assert true * (1 - 1e-8) <= bound <= true * (1 + 1e-3)


def exact_tail(x: Decimal) -> Decimal:
    """Q(x) by an alternating series: 1/2 - sum of (-1)^k x^(2k+1) / (2^k k! (2k+1)) / sqrt(2 pi)."""
    pi = Decimal(
        "3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798"
    )
    power, total, k = x, Decimal(0), 0
    while abs(power) > Decimal("1e-95") or k < 10:
        total += power / (2 * k + 1)
        k += 1
        power *= -x * x / (2 * k)
    return Decimal("0.5") - total / (2 * pi).sqrt()


@pytest.mark.parametrize("nano_rho", [50, 10**4, 10**6, 16_549_554, 10**8, 10**9, 10**10])
@pytest.mark.parametrize("sigmas", [-4, -1, 0, 0.5, 2, 4, 6])
def test_delta_in_high_precision_is_never_below_the_curve(nano_rho: int, sigmas: float) -> None:
    """At epsilons `sigmas` deviations beyond the mean loss, against tails of ninety digits.

    The doubles have to be above the curve at the larger mu that the proof uses, and above by little.
    """
    with localcontext() as context:
        context.prec = 95
        mu = (2 * Decimal(nano_rho) / NANO * (1 + Decimal(2) ** -23)).sqrt()
        epsilon = max(mu * (Decimal(sigmas) + mu / 2), Decimal(0)).quantize(Decimal("1e-9"))
        above, below = exact_tail(epsilon / mu - mu / 2), exact_tail(epsilon / mu + mu / 2)
        known = Fraction(above - epsilon.exp() * below)
        allowance = 3 * Fraction(above) / 10**11
    found = delta_of(nano_rho, epsilon, 0)
    assert known <= found <= known + allowance + Fraction(1, 10**30)


@pytest.mark.parametrize(("epsilon", "deviation"), [("1", 5.495), ("3", 1.944), ("10", 0.650)])
def test_noise_of_the_whole_budget(epsilon: str, deviation: float) -> None:
    """Standard deviations at sensitivity 1 and delta 1e-9: 4 to 5 % below those of the conversion from zCDP."""
    rho = gaussian_rho_for(Decimal(epsilon), DELTA, CELLS)
    found = math.sqrt(1 / (2 * rho / NANO))
    assert found == pytest.approx(deviation, abs=6e-4)
    assert 0.95 < found / math.sqrt(1 / (2 * rho_for(Decimal(epsilon), DELTA) / NANO)) < 0.97


@given(epsilon=st.decimals("0.05", "9", places=3), power=st.integers(4, 12))
def test_what_is_charged_is_reported_within_what_was_asked_for(epsilon: Decimal, power: int) -> None:
    delta, atto = Decimal(1).scaleb(-power), 10 ** (18 - power)
    rho = gaussian_rho_for(epsilon, delta, CELLS)
    assert rho > 0
    assert gaussian_epsilon_of(rho, atto, CELLS) <= epsilon
    assert delta_of(rho + 1, epsilon, CELLS) > Fraction(atto, 10**18)


def test_the_curve_gives_no_number_where_discreteness_matters() -> None:
    assert gaussian_epsilon_of(0, 10**9, CELLS) == 0
    assert gaussian_epsilon_of(10**7, 0, CELLS) == INFINITE
    assert gaussian_epsilon_of((MAX_RHO + 1) * NANO, 10**17, CELLS) == INFINITE
    assert gaussian_epsilon_of(3 * NANO, 10**9, 2**24) == INFINITE
    assert gaussian_rho_for(Decimal(1000), DELTA, CELLS) == 0
    small, large = (gaussian_rho_for(Decimal(10), DELTA, cells) for cells in (CELLS, 2**22))
    assert large < small


def test_the_budget_is_the_better_one_of_two_bounds() -> None:
    """Where the curve is worse than zCDP, zCDP is used."""
    task = Task(*[None] * 2, "gaussian", Decimal(1), DELTA, 100, None)  # type: ignore[arg-type]
    by_curve = Task(*[None] * 2, "gaussian", Decimal(1), DELTA, 100, None, CELLS)  # type: ignore[arg-type]
    hopeless = Task(*[None] * 2, "gaussian", Decimal(60), DELTA, 100, None, 2**24)  # type: ignore[arg-type]
    assert budget_of(task) == rho_for(Decimal(1), DELTA) < budget_of(by_curve)
    assert budget_of(hopeless) == rho_for(Decimal(60), DELTA)
    assert FewRound.exact_curve


def distance(scale: float) -> float:
    """Total variation distance of discrete Gaussian noise P of a scale and rounded Gaussian noise Q, in one coordinate.

    Q has the variance s^2 - 1/12. The logarithm of Q/P is summed from parts that are small by themselves, so that
    doubles give a distance of 1e-18 to six digits.
    """
    b = 1 / (scale**2 - 1 / 12)
    x = np.arange(math.ceil(12 * scale) + 1, dtype=float)
    nodes, weights = np.polynomial.legendre.leggauss(12)
    squeezed = b * (nodes / 2) ** 2 / 2
    # E[cosh(x b U) exp(-b U^2 / 2)] - 1 for U uniform on [-1/2, 1/2], as cosh(y) - 1 = 2 sinh(y / 2)^2.
    excess = (2 * np.sinh(np.outer(x * b, nodes) / 4) ** 2 * np.exp(-squeezed) + np.expm1(-squeezed)) @ (weights / 2)
    log_ratio = math.log1p(b / 12) / 2 - (x * b) ** 2 / (24 * (1 + b / 12)) + np.log1p(excess)
    discrete = np.exp(-(x**2) / (2 * scale**2)) / (scale * math.sqrt(2 * math.pi))
    apart = discrete * np.abs(np.expm1(log_ratio))
    return float(apart[0] / 2 + apart[1:].sum())


@pytest.mark.parametrize("scale", [2.0, 4.0, 8.0, 16.0, 32.0])
def test_discrete_and_rounded_noise_are_as_close_as_the_proof_says(scale: float) -> None:
    """Small scales, at which the two distributions can simply be written down and subtracted."""
    x = np.arange(-math.ceil(14 * scale), math.ceil(14 * scale) + 1)
    discrete = np.exp(-(x**2) / (2 * scale**2))
    discrete /= discrete.sum()
    variance = scale**2 - 1 / 12
    rounded = np.array([integrate.quad(stats.norm.pdf, k - 0.5, k + 0.5, args=(0, math.sqrt(variance)))[0] for k in x])
    found = np.abs(discrete - rounded).sum() / 2
    assert found == pytest.approx(distance(scale), rel=1e-6, abs=1e-13)
    # 1 / (2056.7 s^4) and terms of the order of 1 / s^6.
    assert found * 2056.7 * scale**4 == pytest.approx(1, abs=1 / scale**2)
    # Without Sheppard's correction it would be of the order of 1 / s^2.
    naive = np.array([integrate.quad(stats.norm.pdf, k - 0.5, k + 0.5, args=(0, scale))[0] for k in x])
    assert np.abs(discrete - naive).sum() / 2 > 1 / (60 * scale**2)


@pytest.mark.parametrize("cells", [1, CELLS])
@pytest.mark.parametrize("rho", [2048, 512, 128])
def test_the_allowance_for_discreteness_is_the_distance_and_hardly_more(rho: int, cells: int) -> None:
    """One call that has all of rho, at the least sensitivity S: the noisiest scale that the curve admits is 2^10.

    The bound that is charged, cells (2 rho)^2 / (2000 S^4), against the distance itself: a factor of 4 in it, which rho
    in the place of 2 rho would be, has to show in both directions.
    """
    scale = WEIGHT_UNIT / math.sqrt(2 * rho)
    assert scale >= 2**10
    true, charged = cells * distance(scale), float(discreteness(rho * NANO, cells))
    assert true <= charged <= 1.05 * true


@given(
    nano_rho=st.one_of(st.integers(1, 10**6), st.integers(10**6, 20 * NANO)),
    atto_delta=st.integers(1, 10**15),
    cells=st.sampled_from([1, CELLS, 10**6]),
)
def test_the_epsilon_of_a_delta_is_the_least_that_has_it(nano_rho: int, atto_delta: int, cells: int) -> None:
    """What is reported has at most that delta, and an epsilon one step of 1e-9 lower would not."""
    epsilon, delta = gaussian_epsilon_of(nano_rho, atto_delta, cells), Fraction(atto_delta, 10**18)
    if epsilon == INFINITE:
        return
    assert delta_of(nano_rho, epsilon, cells) <= delta
    lower = epsilon - Decimal("1e-9")
    assert lower <= 0 or delta_of(nano_rho, lower, cells) > delta


def test_the_distance_of_all_draws_is_bounded_by_the_largest_answer() -> None:
    """Many calls that share rho are together no further apart than one call that has all of it (PROOFS 4.8 b)."""
    shares = [NANO // 10] * 10
    assert sum(discreteness(share, CELLS) for share in shares) <= discreteness(NANO, CELLS)
