"""Quality of joint structure: pooled noisy tables, distances with their noise, the drawn graph, and the gates."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.spec import Categorical, Domain
from synthward.evaluate.gates.gate import GateInputs, Thresholds
from synthward.evaluate.gates.registry import run_gates
from synthward.evaluate.inspect import Inspection
from synthward.evaluate.metrics import column_quality
from synthward.evaluate.relations import (
    CliqueQuality,
    clique_quality,
    dependence,
    drawn_graph,
    drawn_pairs,
    pair_summary,
)
from synthward.evaluate.tables import NoisyTable, noisy_tables, total_rows, with_pairs
from synthward.fit.model import ColumnModel, Model
from synthward.privacy.measurement import Asked, Measurement
from synthward.privacy.noise import NoiseCall
from synthward.privacy.queries import Marginal, Population
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.unit import PrivacyUnit
from synthward.release.names import LINEAGE
from synthward.release.table import Fingerprint
from synthward.run.records import limits_of

BOOKS: dict[str, CodeBook] = codebooks(
    Domain(
        version=1,
        attributes={
            "a": Categorical(values=("x", "y"), other="else"),
            "b": Categorical(values=("u", "v", "w")),
            "c": Categorical(values=("0", "1")),
        },
    )
)
"""Cells: a 4, b 5, c 4; only `a` has a label for undeclared values."""


def sealed(clique: tuple[str, ...], counts: Any, scale: float, mechanism: str = "gaussian") -> Measurement:
    """A measurement with these counts in rows, and noise of `scale` rows."""
    call = NoiseCall(mechanism, scale * WEIGHT_UNIT, WEIGHT_UNIT)  # type: ignore[arg-type]
    values = (np.asarray(counts, dtype=np.float64).ravel() * WEIGHT_UNIT).astype(np.int64)
    return Measurement(Asked(Marginal(clique), call), values)


def test_a_clique_is_the_same_in_any_order_of_its_columns() -> None:
    counts = np.arange(20.0).reshape(4, 5)
    found = noisy_tables([sealed(("a", "b"), counts, 3), sealed(("b", "a"), counts.T, 3)], BOOKS)
    [table] = found.values()
    assert table.columns == ("a", "b")
    assert np.array_equal(table.counts, counts)
    assert table.answers == 2
    assert table.deviation == pytest.approx(3 / math.sqrt(2))


def test_answers_are_averaged_by_inverse_variance() -> None:
    found = noisy_tables([sealed(("c",), [10, 10, 10, 10], 1), sealed(("c",), [20, 20, 20, 20], 2)], BOOKS)
    table = found["c",]
    assert table.counts == pytest.approx(np.full(4, 12.0))
    assert table.deviation == pytest.approx(math.sqrt(4 / 5))
    assert table.mean_absolute == pytest.approx(math.sqrt(2 / math.pi) * table.deviation)


def test_a_single_answer_keeps_its_own_distribution() -> None:
    table = noisy_tables([sealed(("c",), [1, 2, 3, 4], 5, "laplace")], BOOKS)["c",]
    assert table.deviation == pytest.approx(5 * math.sqrt(2))
    assert table.mean_absolute == pytest.approx(5)


def test_other_answers_are_no_tables() -> None:
    population = Measurement(Asked(Population(), NoiseCall("laplace", 2.0, 1)), np.array([7]))
    assert noisy_tables([population], BOOKS) == {}


def test_wider_tables_tell_of_their_pairs() -> None:
    wide = np.arange(80.0).reshape(4, 5, 4)
    found = with_pairs(noisy_tables([sealed(("a", "b", "c"), wide, 2), sealed(("b", "c"), wide.sum(axis=0), 4)], BOOKS))
    assert set(found) == {("a", "b", "c"), ("a", "b"), ("a", "c"), ("b", "c")}
    assert np.allclose(found["a", "c"].counts, wide.sum(axis=1))
    assert found["a", "c"].deviation == pytest.approx(2 * math.sqrt(5))
    assert found["a", "c"].answers == 0
    # Both say the same: the average has half the variance of one, since 2 * sqrt(4 cells of a) is 4.
    assert np.allclose(found["b", "c"].counts, wide.sum(axis=0))
    assert found["b", "c"].deviation == pytest.approx(4 / math.sqrt(2))
    assert found["b", "c"].answers == 1


def test_rows_are_estimated_from_all_tables() -> None:
    tables = [NoisyTable(("c",), np.full(4, 25.0), 1, 0.8, 1), NoisyTable(("b",), np.full(5, 22.0), 2, 1.6, 1)]
    # Variances of the sums: 4 and 20.
    assert total_rows(tables) == pytest.approx((100 / 4 + 110 / 20) / (1 / 4 + 1 / 20))
    assert total_rows([NoisyTable(("c",), np.full(4, -25.0), 1, 0.8, 1)]) == 1


def test_equal_shares_have_no_distance_whatever_the_number_of_rows() -> None:
    synthetic = np.array([[4, 1, 0, 0], [2, 3, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [5, 5, 0, 0]]).T[:, :5]
    table = NoisyTable(("a", "b"), synthetic * 10.0, 1e-9, 1e-9, 1)
    found = clique_quality(table, synthetic, BOOKS, float(table.counts.sum()))
    assert found.distance == pytest.approx(0)


def test_undeclared_values_without_a_label_count_as_missing() -> None:
    noisy, drawn = np.zeros((4, 5)), np.zeros((4, 5), dtype=np.int64)
    noisy[2, 3], noisy[0, 0] = 50, 50
    drawn[2, 4], drawn[0, 0] = 1, 1
    found = clique_quality(NoisyTable(("a", "b"), noisy, 1, 0.8, 1), drawn, BOOKS, 100)
    assert found.distance == 0
    assert found.cells == 4 * 4
    moved = np.zeros((4, 5), dtype=np.int64)
    moved[3, 4], moved[0, 0] = 1, 1
    # `a` has a label for undeclared values: that is not the same as missing.
    assert clique_quality(NoisyTable(("a", "b"), noisy, 1, 0.8, 1), moved, BOOKS, 100).distance == pytest.approx(0.5)


@pytest.mark.parametrize("mechanism", ["gaussian", "laplace"])
def test_expected_noise_is_what_noise_does(mechanism: str) -> None:
    random, rows = np.random.default_rng(11), 1000
    # Most cells are empty: noise goes below zero there as often as above.
    exact = random.multinomial(rows, [0.2] * 5 + [0.0] * 15).reshape(4, 5)
    distances = []
    for _ in range(4000):
        noise = random.normal(0, 4, (4, 5)) if mechanism == "gaussian" else random.laplace(0, 4, (4, 5))
        [table] = noisy_tables([sealed(("a", "b"), exact + noise, 4, mechanism)], BOOKS).values()
        found = clique_quality(table, exact, BOOKS, rows)
        distances.append(found.distance)
    assert np.mean(distances) == pytest.approx(found.noise_distance, rel=0.02)
    # Adding `other` to `missing` cancels a little noise, so that the error is a slight overestimate.
    assert found.noise_distance_error * 0.85 < np.std(distances) < found.noise_distance_error * 1.05


def test_distances_are_shares_even_if_noise_is_all_there_is() -> None:
    table = NoisyTable(("a", "b"), np.full((4, 5), -400.0), 500, 400, 1)
    found = clique_quality(table, np.ones((4, 5), dtype=np.int64), BOOKS, 1)
    assert (found.distance, found.noise_distance, found.noise_distance_error) == (1, 1, 1)


def test_one_column_is_compared_with_all_its_answers() -> None:
    table = noisy_tables([sealed(("c",), [10, 30, 0, 0], 1), sealed(("c",), [30, 10, 0, 0], 1)], BOOKS)["c",]
    found = column_quality(BOOKS["c"], table, np.array([5, 5, 0, 0]))
    assert found.distance == 0
    assert found.error == pytest.approx(1 / math.sqrt(2) / 40)


def chain() -> Model:
    """a, then c given a; b alone."""
    given = np.array([[0.9, 0.1, 0, 0], [0.1, 0.9, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0.5, 0, 0]])
    columns = (
        ColumnModel("a", np.array([0.5, 0.5, 0, 0])),
        ColumnModel("b", np.full(5, 0.2)),
        ColumnModel("c", given, parents=("a",)),
    )
    return Model("fixed", "digest", columns, ("b", "a", "c"))


def test_the_graph_has_the_edges_of_the_model_with_their_strength() -> None:
    counts = np.array([[45, 5, 0, 0], [5, 45, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    assert drawn_pairs(chain(), BOOKS) == (("a", "c"),)
    [edge] = drawn_graph(chain(), BOOKS, {("a", "c"): counts}.__getitem__)
    assert (edge.parent, edge.child) == ("a", "c")
    assert edge.strength == pytest.approx(0.4)
    assert dependence(np.outer([1, 2, 3], [4, 5])) == pytest.approx(0)
    assert dependence(np.zeros((2, 2), dtype=np.int64)) == 0


def test_limits_are_those_of_the_model() -> None:
    related = " ".join(limits_of(chain(), PrivacyUnit("patient", 3)))
    assert "independently of each other: relations between columns are not kept" not in related
    assert "at most 2 columns" in related
    assert "more than 3 rows" in related
    alone = Model("moments", "digest", chain().columns[:2], ("a", "b"))
    unrelated = " ".join(limits_of(alone, PrivacyUnit("row", 1)))
    assert "independently of each other: relations between columns are not kept" in unrelated
    assert "weighed down" not in unrelated
    assert "inside a bin" not in unrelated


def inspection(**changes: Any) -> Inspection:
    types = dict.fromkeys(["a", "b", "c"], "string") | dict.fromkeys(LINEAGE, "string")
    facts: dict[str, Any] = {
        "rows": 100,
        "types": types,
        "undeclared": {"a": 0, "b": 0, "c": 0},
        "counts": {},
        "joint": {("a", "b", "c"): np.arange(80).reshape(4, 5, 4), ("a", "c"): np.ones((4, 4), dtype=np.int64)},
        "lineage_ok": True,
        "fingerprint": Fingerprint(100, "0"),
    }
    return Inspection(**(facts | changes))


def test_tables_inside_a_counted_clique_need_no_count_of_their_own() -> None:
    wide = np.arange(80).reshape(4, 5, 4)
    assert np.array_equal(inspection().table(("c", "b")), wide.sum(axis=0).T)
    assert np.array_equal(inspection().table(("c", "a")), np.ones((4, 4)))
    with pytest.raises(KeyError, match=r"\(a, d\) was not counted"):
        inspection().table(("a", "d"))


def pair(distance: float) -> CliqueQuality:
    return CliqueQuality(("a", "b"), 16, distance, 0.01, 0.001, 1)


def gates(
    found: Inspection | None = None, relations: tuple[CliqueQuality, ...] = (), limit: Decimal | None = None
) -> dict[str, bool]:
    table = noisy_tables([sealed(("c",), [50, 50, 0, 0], 1)], BOOKS)["c",]
    quality = {"c": column_quality(BOOKS["c"], table, np.array([50, 50, 0, 0]))}
    population = Measurement(Asked(Population(), NoiseCall("laplace", 2.0, 1)), np.array([100 * WEIGHT_UNIT]))
    thresholds = Thresholds(100, 10, Decimal("0.1"), Decimal("0.1"), Decimal("0.1"), limit)
    expected = dict.fromkeys(["a", "b", "c"], "string")
    results = run_gates(GateInputs(found or inspection(), expected, quality, relations, population, thresholds))
    return {result.name: result.passed for result in results}


def test_the_pair_gate_reads_the_mean_of_the_measured_pairs() -> None:
    pairs = (pair(0.1), pair(0.3), CliqueQuality(("a", "b", "c"), 64, 0.9, 0.1, 0.01, 1))
    assert "pair distance" not in gates(relations=pairs)
    assert gates(relations=pairs, limit=Decimal("0.2"))["pair distance"] is True
    assert gates(relations=pairs, limit=Decimal("0.199"))["pair distance"] is False
    assert gates(relations=(), limit=Decimal(1))["pair distance"] is False
    assert pair_summary(pairs) == {
        "pairs_measured": 2,
        "pair_tvd_mean": 0.2,
        "pair_tvd_max": 0.3,
        "pair_noise_tvd_mean": 0.01,
    }


def test_a_column_that_nobody_asked_for_fails() -> None:
    assert gates()["columns"] is True
    types = dict(inspection().types) | {"patient_nbr": "bigint"}
    assert gates(inspection(types=types))["columns"] is False
    assert all(passed for name, passed in gates(inspection(types=types)).items() if name != "columns")


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"rows": 99}, "row count"),
        ({"types": {"a": "string", "b": "int", "c": "string"}}, "types"),
        ({"undeclared": {"a": 0, "b": 1, "c": 0}}, "domain"),
        ({"lineage_ok": False}, "lineage"),
    ],
)
def test_each_structural_gate_fails_alone(changes: dict[str, Any], gate: str) -> None:
    assert [name for name, passed in gates(inspection(**changes)).items() if not passed] == [gate]
