"""The tables of a tree: within the cap, with less predicted error than a greedy pass leaves, in bounded work."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from synthward.fit import packing
from synthward.fit.joint import Joint
from synthward.fit.junction import Graph
from synthward.fit.packing import Prospects, packed, searched

SIZES = {"a": 10, "b": 10, "c": 10, "d": 10, "e": 30}
PAIRED = {"a": 10, "b": 10, "c": 10, "d": 20, "e": 10, "f": 20}
CHAIN = [("a", "b"), ("b", "c"), ("c", "d")]
WIDE = ("a", "e")
CAP = 340
"""Room for the chain, or for the wide table alone."""


def joint(rows: float, max_cells: int = CAP, sizes: dict[str, int] = SIZES) -> Joint:
    """What the search reads of a joint model's state."""
    options = SimpleNamespace(max_cells=max_cells)
    books = {name: SimpleNamespace(cells=size) for name, size in sizes.items()}
    made: Any = SimpleNamespace(
        books=books, sizes=sizes, total=rows, task=SimpleNamespace(options=options), graph=lambda: Graph(sizes)
    )
    return cast("Joint", made)


def prospects(
    errors: dict[tuple[str, ...], float],
    mean_absolute: float = 0.1,
    sizes: dict[str, int] = SIZES,
    **weights: int,
) -> Prospects:
    return Prospects({clique: weights.get("".join(clique), 1) for clique in errors}, errors, sizes, mean_absolute)


def held(graph: Graph, names: list[tuple[str, ...]]) -> set[tuple[str, ...]]:
    return {clique for clique in names if graph.covers(clique)}


def test_the_predicted_error_is_shrunk_noise_where_measured_and_dependence_elsewhere() -> None:
    found = prospects({("a", "b"): 900.0, WIDE: 600.0}, mean_absolute=2.0, ae=8)
    assert found.names == [WIDE, ("a", "b")]
    shares = np.array([(8 * 300) ** (2 / 3), 100 ** (2 / 3)])
    alone = 2.0 * 300
    np.testing.assert_allclose(found.left(np.array([True, False])), [600 * alone / np.hypot(600, alone), 900])
    noise = 2.0 * np.array([300, 100]) * np.sqrt(shares.sum() / shares)
    both = np.array([600, 900]) * noise / np.hypot([600, 900], noise)
    np.testing.assert_allclose(found.left(np.array([True, True])), both)
    np.testing.assert_allclose(found.left(np.array([False, False])), [600, 900])


def test_scores_below_zero_are_no_error() -> None:
    found = prospects({("a", "b"): -5.0, ("b", "c"): 0.0})
    assert found.left(np.array([True, False])).tolist() == [0, 0]


def test_a_greedy_pass_stays_within_the_cap() -> None:
    graph, kept = packed(joint(5000), [WIDE, *CHAIN])
    assert kept == [WIDE]
    assert graph.cells <= CAP
    graph, kept = packed(joint(5000), [*CHAIN, WIDE])
    assert kept == CHAIN
    assert graph.cells <= CAP
    assert len(packed(joint(5000, 10_000), [*CHAIN, WIDE])[1]) == 4


def test_a_grave_table_that_keeps_better_ones_out_gives_way() -> None:
    """It comes first; the three tables that it keeps out are worth more together."""
    errors = {WIDE: 1000.0, **dict.fromkeys(CHAIN, 900.0)}
    assert held(searched(joint(4900), prospects(errors)), list(errors)) == set(CHAIN)


def test_a_table_that_keeps_a_better_one_out_is_sent_to_the_end() -> None:
    """There is room for two. With the third in front the first would stay, and the second and best would not."""
    errors = {("a", "b"): 700.0, ("c", "d"): 1000.0, ("e", "f"): 900.0}
    ranked = prospects(errors, sizes=PAIRED)
    assert ranked.names == list(errors)
    graph = searched(joint(10_000, 450, PAIRED), ranked)
    assert held(graph, list(errors)) == {("c", "d"), ("e", "f")}


def test_a_table_that_did_not_fit_is_brought_to_the_front() -> None:
    """The pair is worth more for each of its cells, the wide table is worth more."""
    errors = {("a", "b"): 600.0, WIDE: 1000.0}
    ranked = prospects(errors)
    assert ranked.names[0] == ("a", "b")
    assert held(searched(joint(10_000), ranked), list(errors)) == {WIDE}


def test_one_large_error_is_worse_than_two_small_ones() -> None:
    """Distances of .1 against two of .055: the sum is smaller, but somebody will look at the worst pair."""
    errors = {WIDE: 2000.0, ("a", "b"): 1050.0, ("c", "d"): 1050.0}
    assert held(searched(joint(10_000), prospects(errors)), list(errors)) == {WIDE}


def test_without_any_table_there_is_nothing_to_search() -> None:
    assert searched(joint(5000), prospects({})).cells == sum(SIZES.values())


def test_the_search_is_bounded_by_a_public_number(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = {WIDE: 1000.0, **dict.fromkeys(CHAIN, 900.0)}
    passes = []

    def counted(*arguments: Any) -> Any:
        passes.append(arguments)
        return packed(*arguments)

    monkeypatch.setattr(packing, "packed", counted)
    monkeypatch.setattr(packing, "EFFORT", 3 * len(errors) * len(SIZES))
    searched(joint(4900), prospects(errors))
    assert len(passes) == 1 + 3
    passes.clear()
    monkeypatch.setattr(packing, "EFFORT", 0)
    assert held(searched(joint(4900), prospects(errors)), list(errors)) == {WIDE}
    assert len(passes) == 1
