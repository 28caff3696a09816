"""Bounds are the declared integers; no declared configuration can overflow; measurements survive packing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthward.config.canonical import canonical_json
from synthward.domain.spec import Categorical, Date, Domain, Numeric
from synthward.errors import ConfigError
from synthward.kernels._worker import unit_weights
from synthward.privacy.calibration import calibrated
from synthward.privacy.measurement import Asked, Measurement, Round, pack, unpack
from synthward.privacy.noise import Additive, NoiseCall, gaussian_for, laplace_for
from synthward.privacy.queries import Marginal, Population, Presence, Scores, Selection, SquareSum, Sum
from synthward.privacy.sensitivity import (
    MAX_ROWS,
    MAX_SUM,
    MAX_UNITS,
    WEIGHT_UNIT,
    bound,
    check_overflow,
    joint_l1,
    joint_l2,
)
from synthward.privacy.unit import PrivacyUnit

DOMAIN = Domain(
    version=1,
    attributes={
        "x": Numeric(bounds=(Decimal(-10), Decimal(10)), resolution=Decimal("0.5")),
        "day": Date(bounds=(date(2000, 1, 1), date(2020, 1, 1))),
        "sex": Categorical(values=("F", "M")),
    },
)


@pytest.mark.parametrize("K", [1, 2, 4, 1023])
def test_bounds_are_those_of_the_proofs(K: int) -> None:
    unit = PrivacyUnit("patient", K)
    scale = DOMAIN.graded["x"].fixed_point
    assert WEIGHT_UNIT == 65536
    for mechanism in ("laplace", "gaussian"):
        assert bound(Population(), unit, DOMAIN, mechanism) == 65536
        assert bound(Marginal(("sex",)), unit, DOMAIN, mechanism) == K * 65536
        assert bound(Marginal(("x", "sex")), unit, DOMAIN, mechanism) == K * 65536
        assert bound(Presence("x"), unit, DOMAIN, mechanism) == K * 65536
        assert bound(Sum("x"), unit, DOMAIN, mechanism) == K * scale.limit == K * 40960
        assert bound(SquareSum("x"), unit, DOMAIN, mechanism) == K * scale.square_limit == K * 25600


def test_only_a_selection_is_answered_by_the_exponential_mechanism() -> None:
    unit, guess = PrivacyUnit("patient", 2), (np.zeros(4, dtype=np.int64),)
    with pytest.raises(ValueError, match="not answered by the mechanism exponential"):
        bound(Population(), unit, DOMAIN, "exponential")
    with pytest.raises(ValueError, match="not answered by the mechanism laplace"):
        bound(Selection((("sex",),), guess, (1,), (0,)), unit, DOMAIN, "laplace")
    assert bound(Selection((("sex",),), guess, (5,), (-(2**70),)), unit, DOMAIN, "exponential") == 5 * 2 * 65536


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_calibration_takes_the_bound_of_its_mechanism(mechanism: Additive) -> None:
    unit, cliques = PrivacyUnit("patient", 2), (("sex",), ("sex",))
    guess = (np.zeros(4, dtype=np.int64),) * 2
    selection, scores = Selection(cliques, guess, (1, 5), (0, 0)), Scores(cliques, guess)
    others = (scores, Population(), Marginal(("sex",)), Sum("x"), SquareSum("x"), Presence("x"))
    for query, used in ((selection, "exponential"), *((other, mechanism) for other in others)):
        call = calibrated(query, unit, DOMAIN, mechanism, 10**7)
        assert call.mechanism == used
        assert call.sensitivity == bound(query, unit, DOMAIN, call.mechanism)
        spent = call.charge.nano_epsilon if mechanism == "laplace" else call.charge.nano_rho
        assert 0.999 * 10**7 <= (spent or 0) <= 10**7


def test_unknown_columns_have_no_bound() -> None:
    with pytest.raises(KeyError):
        bound(Sum("sex"), PrivacyUnit("patient", 1), DOMAIN, "laplace")


@pytest.mark.parametrize("K", [1, 4])
def test_a_row_of_a_patient_with_many_rows_still_weighs(K: int) -> None:
    """Up to n = 65536 K a row weighs something, and a patient loses at most one part in K S / n to truncation."""
    n = np.array([K, K + 1, 1000 * K, 30_000 * K, 65_536 * K], dtype=np.int64)
    weights = unit_weights(n, K, WEIGHT_UNIT)
    assert np.all(weights >= 1)
    assert np.all(n * weights <= K * WEIGHT_UNIT)
    assert np.all(n * (weights + 1) > K * 65_536)


@given(st.integers(1, 10_000), st.integers(1, 1023))
def test_joint_bounds(m: int, K: int) -> None:
    """m K S, and the least integer not below sqrt(m) K S."""
    unit = PrivacyUnit("patient", K)
    assert joint_l1(m, unit) == m * K * WEIGHT_UNIT
    square = m * (K * WEIGHT_UNIT) ** 2
    assert (joint_l2(m, unit) - 1) ** 2 < square <= joint_l2(m, unit) ** 2


def test_the_largest_k_is_1023() -> None:
    check_overflow(PrivacyUnit("patient", 1023), DOMAIN)
    with pytest.raises(ConfigError, match="at most 1023"):
        check_overflow(PrivacyUnit("patient", 1024), DOMAIN)


def test_the_check_covers_one_patient_owning_all_rows_and_all_patients_at_their_bound() -> None:
    scale = DOMAIN.graded["x"].fixed_point
    for K in (1, 1023):
        for largest in (WEIGHT_UNIT, scale.limit, scale.square_limit):
            assert MAX_ROWS * K * largest < MAX_SUM
            assert MAX_UNITS * K * largest < MAX_SUM
    assert MAX_ROWS == 2**36
    assert MAX_UNITS == 2**34


@pytest.mark.parametrize(("name", "K"), [("patient", 0), ("patient", -1), ("row", 2)])
def test_units(name: str, K: int) -> None:
    with pytest.raises(ValueError, match="K"):
        PrivacyUnit(name, K)


def test_a_row_unit_says_so() -> None:
    assert PrivacyUnit("row", 1).claim == "unit: row, NOT patient"
    assert PrivacyUnit("patient", 4).claim == "unit: patient"


ASKED = (
    Asked(Population(), laplace_for(10**8, 1)),
    Asked(Sum("x"), laplace_for(10**8, 40960)),
    Asked(Marginal(("x", "sex")), gaussian_for(10**7, 65536)),
    Asked(SquareSum("day"), laplace_for(10**8, 3)),
    Asked(Presence("x"), laplace_for(10**8, 65536)),
)


def test_a_description_is_plain_and_holds_the_exact_scale() -> None:
    described = [item.to_json() for item in ASKED]
    assert len({canonical_json(body) for body in described}) == len(ASKED)
    for item, body in zip(ASKED, described, strict=True):
        assert float.fromhex(body["scale"]) == item.call.scale
        assert body["sensitivity"] == item.call.sensitivity


def test_rounds_are_told_apart() -> None:
    """Another step, order, scale or sensitivity is another round."""
    first = Round("one", ASKED)
    louder = (Asked(Population(), NoiseCall("laplace", ASKED[0].call.scale * 2, 1)), *ASKED[1:])
    wider = (Asked(Population(), NoiseCall("laplace", ASKED[0].call.scale, 2)), *ASKED[1:])
    others = [Round("two", ASKED), Round("one", ASKED[::-1]), Round("one", louder), Round("one", wider)]
    assert len({first.digest, *(other.digest for other in others)}) == 5
    assert Round("one", tuple(ASKED)).digest == first.digest
    assert first.charge.nano_epsilon is None
    assert first.charge.nano_rho == sum(item.call.charge.nano_rho for item in ASKED)


def test_packing_is_exact_and_a_short_payload_is_refused() -> None:
    cells = [1, 1, 12, 1, 1]
    values = [np.array([-(2**62) + k] * count, dtype=np.int64) for k, count in enumerate(cells)]
    measured = [Measurement(item, part) for item, part in zip(ASKED, values, strict=True)]
    payload = pack(measured)
    for back, part in zip(unpack(ASKED, cells, payload), values, strict=True):
        np.testing.assert_array_equal(back.values, part)
    with pytest.raises(ValueError, match="16 cells"):
        unpack(ASKED, cells, payload[:-8])


def test_counts_are_in_rows_and_deviations_with_them() -> None:
    weighted = Measurement(ASKED[2], np.array([65536 * 3], dtype=np.int64))
    assert weighted.counts.tolist() == [3.0]
    assert weighted.deviation == ASKED[2].call.scale / 65536
    population = Measurement(ASKED[0], np.array([65536 * 17], dtype=np.int64))
    assert population.counts.tolist() == [17.0]
    assert population.deviation == ASKED[0].call.deviation / 65536
    plain = Measurement(ASKED[1], np.array([17], dtype=np.int64))
    assert plain.counts.tolist() == [17.0]
    assert plain.deviation == ASKED[1].call.deviation
