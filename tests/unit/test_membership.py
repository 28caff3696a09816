"""The risk of a membership test: against the truth for known mechanisms, and inverted for requests that state it."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from synthward.errors import ConfigError
from synthward.privacy.accounting import ATTO, NANO, Charge
from synthward.privacy.membership import Membership, epsilon_within
from synthward.run.stated import risk_of, risk_words, settled, unkept
from synthward.spec.request import Detection, Privacy
from trial import TestSite, plan_of

rhos = st.floats(1e-4, 3).map(lambda rho: max(1, int(rho * NANO)))
rates = st.floats(1e-4, 0.5)


def most_powerful(first: np.ndarray, second: np.ndarray, false_alarms: float) -> float:
    """Detection of the best test between two distributions on the same points (Neyman and Pearson)."""
    order = np.argsort(-second / np.maximum(first, 1e-300))
    alarms, found = np.cumsum(first[order]), np.cumsum(second[order])
    return float(np.interp(false_alarms, np.concatenate([[0.0], alarms]), np.concatenate([[0.0], found])))


@given(rhos, rates)
def test_the_risks_of_gaussian_noise_are_those_of_two_normals(nano_rho: int, false_alarms: float) -> None:
    """By an independent library: exact with the curve, and the general bound is above it."""
    mu = math.sqrt(2 * nano_rho / NANO)
    advantage = 2 * norm.cdf(mu / 2) - 1
    detection = norm.cdf(norm.ppf(false_alarms) + mu)
    exact, general = Membership(Charge(None, nano_rho), 1000), Membership(Charge(None, nano_rho))
    assert advantage <= exact.advantage <= advantage + 1e-6
    assert detection <= exact.detection(false_alarms) <= detection + 1e-6
    assert exact.advantage <= general.advantage + 1e-6
    assert exact.detection(false_alarms) <= general.detection(false_alarms) + 1e-6


@given(st.floats(0.01, 5), rates)
def test_pure_bounds_hold_for_discrete_laplace_noise_and_are_met_by_coins(epsilon: float, false_alarms: float) -> None:
    found = Membership(Charge.pure(Decimal(str(epsilon))))
    points = np.arange(-4000, 4001)
    noise = np.exp(-epsilon * np.abs(points))
    first, second = noise / noise.sum(), np.roll(noise, 1) / noise.sum()
    assert most_powerful(first, second, false_alarms) <= found.detection(false_alarms) + 1e-9
    assert np.abs(first - second).sum() / 2 <= found.advantage + 1e-9
    # Randomised response meets the advantage.
    heads = math.exp(epsilon) / (1 + math.exp(epsilon))
    assert found.advantage == pytest.approx(2 * heads - 1, abs=1e-6)


@given(rhos, rates)
def test_a_detection_is_between_guessing_and_certainty(nano_rho: int, false_alarms: float) -> None:
    for found in (
        Membership(Charge(None, nano_rho)),
        Membership(Charge(None, nano_rho), 10),
        Membership(Charge.pure(1)),
    ):
        assert false_alarms <= found.detection(false_alarms) <= 1
        assert found.detection(false_alarms) <= false_alarms + found.advantage + 1e-6


def test_additive_delta_counts() -> None:
    plain, more = Membership(Charge(None, NANO // 100)), Membership(Charge(None, NANO // 100, ATTO // 1000))
    assert more.advantage >= plain.advantage + 0.00099
    assert more.detection(0.01) >= plain.detection(0.01) + 0.00099


@settings(max_examples=25, deadline=None)
@given(
    wanted=st.floats(0.01, 0.9),
    mechanism=st.sampled_from(["laplace", "gaussian"]),
    exact=st.booleans(),
    false_alarms=st.none() | st.sampled_from([0.001, 0.01, 0.1]),
)
def test_the_epsilon_of_a_risk_keeps_it_and_wastes_little(
    wanted: float, mechanism: str, exact: bool, false_alarms: float | None
) -> None:
    def risk(found: Membership) -> float:
        return found.advantage if false_alarms is None else found.detection(false_alarms)

    if false_alarms is not None and wanted < 1.5 * false_alarms:
        return
    epsilon = epsilon_within(risk, wanted, mechanism, Decimal("1e-9"), exact_curve=exact)
    if mechanism == "laplace":
        assert risk(Membership(Charge.pure(epsilon))) <= wanted
        assert risk(Membership(Charge.pure(epsilon + Decimal("2e-6")))) > wanted * (1 - 2e-6)
    smaller = epsilon_within(risk, wanted / 1.2, mechanism, Decimal("1e-9"), exact_curve=exact)
    assert smaller <= epsilon
    assert exact or epsilon <= epsilon_within(risk, wanted, mechanism, Decimal("1e-9"), exact_curve=True)


def test_the_advantage_of_pure_privacy_is_inverted_in_closed_form() -> None:
    found = epsilon_within(lambda one: one.advantage, 0.1, "laplace", Decimal(0), exact_curve=False)
    assert 0 <= math.log(1.1 / 0.9) - float(found) < 3e-6


STATED: list[dict[str, Any]] = [
    {"mechanism": "laplace", "membership_advantage": 0.2},
    {"mechanism": "laplace", "detection": {"rate": 0.05, "false_alarms": 0.01}},
    {"mechanism": "gaussian", "delta": 1e-9, "membership_advantage": 0.2},
    {"mechanism": "gaussian", "delta": 1e-9, "detection": {"rate": 0.05, "false_alarms": 0.01}},
]


FEW, AIM = ({"synthesizer": {"name": name}} for name in ("few_round", "aim"))
LEARNED = {"learn": {"share": 0.2, "quantiles": {"age": 3}}, "synthesizer": {"name": "independent"}}


@pytest.mark.parametrize("privacy", STATED)
@pytest.mark.parametrize("more", [{}, FEW, AIM, LEARNED])
def test_a_plan_keeps_the_risk_that_its_request_states(
    tmp_path: Path, privacy: dict[str, Any], more: dict[str, Any]
) -> None:
    if privacy["mechanism"] == "laplace" and more.get("synthesizer", {}).get("name") in ("few_round", "aim"):
        return
    site = TestSite(tmp_path)
    plan = plan_of(site, site.request(privacy={**privacy, "_whole": True}, population={"declared_rows": 10**6}, **more))
    stated = plan.file.request.privacy
    assert stated.epsilon is None
    wanted = float(stated.membership_advantage or stated.detection.rate)  # type: ignore[union-attr]
    # Of several Laplace answers the budget is the sum of epsilons, and their real risk is far below it.
    used = 0.3 if privacy["mechanism"] == "laplace" else 0.8
    assert used * wanted < risk_of(stated, plan.membership) <= wanted
    assert plan.task.epsilon == settled(plan.file.request).privacy.epsilon
    assert 0 < plan.epsilon <= plan.task.epsilon
    other = plan_of(site, site.request(privacy={"mechanism": "laplace", "epsilon": 1}))
    assert other.file.digest != plan.file.digest


def test_a_plan_that_does_not_keep_the_risk_is_refused() -> None:
    stated = Privacy(mechanism="laplace", membership_advantage=Decimal("0.1"))
    assert unkept(stated, Membership(Charge.pure(Decimal("0.2")))) is None
    assert "asks for a risk of 0.1 at most" in (unkept(stated, Membership(Charge.pure(Decimal("0.21")))) or "")
    assert unkept(Privacy(mechanism="laplace", epsilon=Decimal(1)), Membership(Charge.pure(Decimal(9)))) is None
    found = Privacy(mechanism="laplace", detection=Detection(rate=Decimal("0.02"), false_alarms=Decimal("0.01")))
    assert unkept(found, Membership(Charge.pure(1))) is not None


@pytest.mark.parametrize(
    ("privacy", "words"),
    [
        ({"epsilon": 1, "membership_advantage": 0.1}, "found epsilon and membership_advantage"),
        ({}, "found none of them"),
        ({"membership_advantage": 1}, "is no limit"),
        ({"detection": {"rate": 0.01, "false_alarms": 0.01}}, "guessing alone finds"),
    ],
)
def test_a_request_states_its_privacy_once(tmp_path: Path, privacy: dict[str, Any], words: str) -> None:
    site = TestSite(tmp_path)
    with pytest.raises(ConfigError, match=words):
        plan_of(site, site.request(privacy={"mechanism": "laplace", **privacy, "_whole": True}))


def test_too_small_a_risk_is_refused(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    with pytest.raises(ConfigError, match="no epsilon keeps so small a risk"):
        plan_of(site, site.request(privacy={"mechanism": "laplace", "membership_advantage": 1e-9, "_whole": True}))


def test_words_round_up() -> None:
    words = risk_words(Membership(Charge.pure(1)), "patient")
    assert "by at most 46.22 % (membership advantage); with 1.00 % false alarms it detects at most 2.72 %" in words
    assert json.dumps(words).isascii()
