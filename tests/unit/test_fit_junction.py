"""Junction trees: chordal, with the running intersection property, and as small as said."""

from __future__ import annotations

import random
from math import prod

import pytest

from synthward.fit.junction import Graph, JunctionTree, tree_of


def sizes(columns: int, seed: int = 0) -> dict[str, int]:
    chance = random.Random(seed)
    return {f"c{number}": chance.randint(2, 9) for number in range(columns)}


def random_cliques(names: list[str], count: int, seed: int) -> list[tuple[str, ...]]:
    chance = random.Random(seed)
    return [tuple(chance.sample(names, chance.choice([1, 2, 2, 3]))) for _ in range(count)]


def assert_tree(tree: JunctionTree, cells: dict[str, int]) -> None:
    """Parents first, separators as said, and each column's tables connected in the tree."""
    for place, (clique, parent, separator) in enumerate(zip(tree.cliques, tree.parents, tree.separators, strict=True)):
        assert parent < place
        assert set(separator) == (set(clique) & set(tree.cliques[parent]) if parent >= 0 else set())
    for name in cells:
        holding = {place for place, clique in enumerate(tree.cliques) if name in clique}
        tops = [place for place in holding if tree.parents[place] not in holding or tree.parents[place] < 0]
        assert len(tops) == 1, f"the tables of {name} are not connected"
    assert tree.tables == tuple(prod(cells[name] for name in clique) for clique in tree.cliques)
    for clique in tree.cliques:
        assert not any(set(clique) < set(other) for other in tree.cliques)


@pytest.mark.parametrize("seed", range(40))
def test_running_intersection(seed: int) -> None:
    cells = sizes(9, seed)
    cliques = random_cliques(list(cells), 3 + seed % 9, seed)
    tree = tree_of(cells, cliques)
    assert_tree(tree, cells)
    for clique in cliques:
        assert tree.host(clique) is not None


def test_a_cycle_becomes_chordal() -> None:
    cells = dict.fromkeys("abcd", 3)
    tree = tree_of(cells, [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")])
    assert_tree(tree, cells)
    assert sorted(len(clique) for clique in tree.cliques) == [3, 3]


def test_the_costly_column_is_not_joined_with_others_needlessly() -> None:
    """Least cells: the chord of the cycle runs between the small columns."""
    tree = tree_of({"a": 2, "b": 50, "c": 2, "d": 50}, [("a", "b"), ("b", "c"), ("c", "d"), ("d", "a")])
    assert tree.cells == 2 * (2 * 2 * 50)


def test_a_clique_that_a_chord_covers_stays_covered() -> None:
    """The cycle's chord b-d gives way to a-c when that is asked for; what was asked for before must not go with it."""
    cells = {"a": 5, "b": 4, "c": 2, "d": 2}
    cycle = [("a", "b"), ("c", "d"), ("a", "d"), ("b", "c")]
    assert tree_of(cells, cycle).host(("b", "d")) is not None
    tree = tree_of(cells, [*cycle, ("b", "d"), ("a", "c")])
    assert tree.host(("b", "d")) is not None
    assert tree.host(("a", "c")) is not None


def test_separate_columns_stay_separate() -> None:
    tree = tree_of({"a": 2, "b": 3, "c": 4}, [("a", "b")])
    assert {frozenset(clique) for clique in tree.cliques} == {frozenset("ab"), frozenset("c")}
    assert tree.parents == (-1, -1)
    assert tree.cells == 10


def test_cells_and_largest_are_those_of_the_tree() -> None:
    cells = sizes(8, 3)
    graph = Graph(cells)
    for clique in random_cliques(list(cells), 8, 5):
        graph = graph.with_clique(clique)
        assert graph.cells == graph.tree().cells
        assert graph.largest == max(graph.tree().tables)
        assert graph.covers(clique)


def test_growing_copies() -> None:
    before = Graph({"a": 2, "b": 3})
    after = before.with_clique(("a", "b"))
    assert not before.covers(("a", "b"))
    assert after.covers(("a", "b"))


def test_the_smallest_table_hosts() -> None:
    tree = tree_of({"a": 2, "b": 3, "c": 9, "d": 2}, [("a", "b", "c"), ("a", "b", "d")])
    host = tree.host(("a", "b"))
    assert host is not None
    assert set(tree.cliques[host]) == {"a", "b", "d"}
    assert tree.host(("c", "d")) is None


def test_a_hundred_columns() -> None:
    cells = {f"c{number}": 10 for number in range(100)}
    graph = Graph(cells)
    for number in range(99):
        graph = graph.with_clique((f"c{number}", f"c{number + 1}"))
    assert graph.cells == 99 * 100
    assert_tree(graph.tree(), cells)
