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
from synthward.privacy.calibration import calibrated
from synthward.privacy.measurement import Asked, Measurement, Round, pack, unpack
from synthward.privacy.noise import NoiseCall, exponential_for, gaussian_for, laplace_for
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
    least_bound,
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
    for noise in ("laplace", "gaussian"):
        assert bound(Population(), unit, DOMAIN, noise) == 65536
        assert bound(Marginal(("sex",)), unit, DOMAIN, noise) == K * 65536
        assert bound(Marginal(("x", "sex")), unit, DOMAIN, noise) == K * 65536
        assert bound(Presence("x"), unit, DOMAIN, noise) == K * 65536
        assert bound(Sum("x"), unit, DOMAIN, noise) == K * scale.limit == K * 40960
        assert bound(SquareSum("x"), unit, DOMAIN, noise) == K * scale.square_limit == K * 25600


def predicted(*cliques: tuple[str, ...]) -> tuple[np.ndarray, ...]:
    """Predictions of nothing for cliques of one column each."""
    return tuple(np.zeros({"sex": 4, "x": 12}[clique[0]], dtype=np.int64) for clique in cliques)


@pytest.mark.parametrize("K", [1, 3, 1023])
def test_scores_and_selections_have_the_bounds_of_the_proofs(K: int) -> None:
    """L1 for laplace, L2 for gaussian, the largest score for the exponential mechanism."""
    unit, cliques = PrivacyUnit("patient", K), (("sex",), ("x",), ("sex",))
    scores = Scores(cliques, predicted(*cliques))
    assert bound(scores, unit, DOMAIN, "laplace") == 3 * K * 65536
    l2 = bound(scores, unit, DOMAIN, "gaussian")
    assert (l2 - 1) ** 2 < 3 * (K * 65536) ** 2 <= l2**2
    one = Scores((("sex",),), predicted(("sex",)))
    assert bound(one, unit, DOMAIN, "gaussian") == bound(one, unit, DOMAIN, "laplace") == K * 65536
    selection = Selection(cliques, predicted(*cliques), (2, 7, 1))
    assert bound(selection, unit, DOMAIN, "exponential") == 7 * K * 65536


def test_each_kind_has_its_mechanisms() -> None:
    selection = Selection((("sex",),), predicted(("sex",)), (1,))
    for query, mechanism in ((selection, "laplace"), (selection, "gaussian"), (Marginal(("sex",)), "exponential")):
        with pytest.raises(ValueError, match=f"not answered by the mechanism {mechanism}"):
            bound(query, PrivacyUnit("patient", 1), DOMAIN, mechanism)


@pytest.mark.parametrize("mechanism", ["laplace", "gaussian"])
def test_calibration_takes_the_bound_of_its_mechanism(mechanism: str) -> None:
    unit, cliques = PrivacyUnit("patient", 2), (("sex",), ("x",))
    selection, scores = Selection(cliques, predicted(*cliques), (1, 5)), Scores(cliques, predicted(*cliques))
    for query, used in ((selection, "exponential"), (scores, mechanism), (Population(), mechanism)):
        call = calibrated(query, unit, DOMAIN, mechanism, 10**7)
        assert call.mechanism == used
        assert call.sensitivity == bound(query, unit, DOMAIN, used)
        spent = call.charge.nano_epsilon if mechanism == "laplace" else call.charge.nano_rho
        assert 0.999 * 10**7 <= (spent or 0) <= 10**7


@pytest.mark.parametrize("K", [1, 9])
def test_the_least_bound_is_that_of_some_query(K: int) -> None:
    unit = PrivacyUnit("patient", K)
    kinds = [kind(name) for name in DOMAIN.graded for kind in (Presence, Sum, SquareSum)]
    known = [bound(query, unit, DOMAIN, "gaussian") for query in (Population(), Marginal(("x",)), *kinds)]
    assert least_bound(unit, DOMAIN) == min(known)


def test_unknown_columns_have_no_bound() -> None:
    with pytest.raises(KeyError):
        bound(Sum("sex"), PrivacyUnit("patient", 1), DOMAIN, "laplace")


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
    units = Measurement(ASKED[0], np.array([65536 * 17], dtype=np.int64))
    assert units.counts.tolist() == [17.0]
    assert units.deviation == ASKED[0].call.deviation / 65536


def test_scores_are_in_rows_and_a_selection_is_an_index() -> None:
    cliques = (("sex",), ("x",))
    scores = Asked(Scores(cliques, predicted(*cliques)), gaussian_for(10**7, 92682))
    assert Measurement(scores, np.array([65536, 0], dtype=np.int64)).counts.tolist() == [1.0, 0.0]
    selection = Asked(Selection(cliques, predicted(*cliques), (1, 1)), exponential_for(10**7, 65536, "gaussian"))
    chosen = Measurement(selection, np.array([1], dtype=np.int64))
    assert chosen.counts.tolist() == [1.0]
    with pytest.raises(ValueError, match="index"):
        _ = chosen.deviation
