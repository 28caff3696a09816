"""Junction trees: the joint tables of a model. Every measured clique lies inside one of them.

A graph over the columns joins columns that are measured together. Columns are eliminated one by one, each time the one
whose table with its remaining neighbours has the fewest cells. This makes the graph chordal. The maximal tables of the
elimination are the tree's cliques. A maximum spanning tree over the sizes of their intersections has the running
intersection property (Koller and Friedman 2009, sections 9.4 and 10.4). Everything is a function of public sizes and
edges. The order of the columns breaks ties, so equal input gives equal trees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from synthward.privacy.queries import Clique


@dataclass(frozen=True)
class JunctionTree:
    """A junction tree; each clique comes after its parent.

    Attributes:
        cliques: Columns of each table, in ascending order of their sizes (ties by the given order of the columns), so
            that the longest axis is the fastest one.
        parents: Index of each clique's parent; -1 for the root of a component.
        separators: Columns shared with the parent, in the order of the clique; empty for roots.
        tables: Cells of each table.
    """

    cliques: tuple[Clique, ...]
    parents: tuple[int, ...]
    separators: tuple[Clique, ...]
    tables: tuple[int, ...]

    @property
    def cells(self) -> int:
        """Cells of all tables together."""
        return sum(self.tables)

    def host(self, clique: Iterable[str]) -> int | None:
        """Return the index of the smallest table that contains a clique; None if there is none."""
        wanted = set(clique)
        holding = [place for place, columns in enumerate(self.cliques) if wanted <= set(columns)]
        return min(holding, key=lambda place: self.tables[place], default=None)


class Graph:
    """A graph over columns. It grows by cliques and knows the size of its junction tree.

    >>> graph = Graph({"age": 10, "sex": 2, "ward": 5}).with_clique(("age", "sex")).with_clique(("sex", "ward"))
    >>> graph.covers(("age", "sex")), graph.covers(("age", "ward")), graph.cells
    (True, False, 30)
    """

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """Make a graph without edges.

        Args:
            sizes: Cells of each column, in the order of the domain.
        """
        self._names = tuple(sizes)
        self._bit = {name: 1 << place for place, name in enumerate(sizes)}
        self._sizes = tuple(sizes.values())
        self._neighbours = [0] * len(sizes)
        self._tables = [self._bit[name] for name in self._names]

    def covers(self, clique: Iterable[str]) -> bool:
        """Return True if a table of the current tree contains the clique."""
        wanted = self._mask(clique)
        return any(wanted & table == wanted for table in self._tables)

    def with_clique(self, clique: Iterable[str]) -> Graph:
        """Return a copy in which all columns of the clique are joined, so that every later copy covers the clique.

        Without this, a chord may cover the clique by chance, and a later elimination need not add that chord again.
        """
        grown = Graph.__new__(Graph)
        grown._names, grown._bit, grown._sizes = self._names, self._bit, self._sizes
        grown._neighbours = list(self._neighbours)
        mask = self._mask(clique)
        for place in _places(mask):
            grown._neighbours[place] |= mask & ~(1 << place)
        grown._tables = grown._eliminated()
        return grown

    @property
    def cells(self) -> int:
        """Cells of all tables of the tree together."""
        return sum(self._cells_of(table) for table in self._tables)

    @property
    def largest(self) -> int:
        """Cells of the largest table."""
        return max(self._cells_of(table) for table in self._tables)

    def tree(self) -> JunctionTree:
        """The junction tree, rooted in each component at its largest table."""
        tables = sorted(self._tables, key=lambda table: (-self._cells_of(table), table))
        joined, parents = _spanning(tables)
        cliques = tuple(self._clique(table) for table in joined)
        separators = tuple(
            () if parent < 0 else tuple(name for name in clique if name in cliques[parent])
            for clique, parent in zip(cliques, parents, strict=True)
        )
        return JunctionTree(cliques, parents, separators, tuple(self._cells_of(table) for table in joined))

    def _mask(self, clique: Iterable[str]) -> int:
        return sum(self._bit[name] for name in set(clique))

    def _cells_of(self, mask: int) -> int:
        return prod(self._sizes[place] for place in _places(mask))

    def _clique(self, mask: int) -> Clique:
        return tuple(self._names[place] for place in sorted(_places(mask), key=lambda place: self._sizes[place]))

    def _eliminated(self) -> list[int]:
        """Return the maximal tables of the elimination by least cells."""
        neighbours = list(self._neighbours)
        weight = [self._cells_of(mask | 1 << place) for place, mask in enumerate(neighbours)]
        left = set(range(len(neighbours)))
        tables: list[int] = []
        while left:
            place = min(left, key=lambda each: (weight[each], each))
            left.remove(place)
            around, own = neighbours[place], 1 << place
            table = around | own
            if not any(table & known == table for known in tables):
                tables.append(table)
            for other in _places(around):
                neighbours[other] = (neighbours[other] | around) & ~(own | 1 << other)
                weight[other] = self._cells_of(neighbours[other] | 1 << other)
        return tables


def _places(mask: int) -> list[int]:
    places = []
    while mask:
        low = mask & -mask
        places.append(low.bit_length() - 1)
        mask ^= low
    return places


def _spanning(tables: Sequence[int]) -> tuple[list[int], tuple[int, ...]]:
    """Return Prim's maximum spanning forest by the number of shared columns, with parents first."""
    joined: list[int] = []
    parents: list[int] = []
    best = dict.fromkeys(range(len(tables)), (0, -1))
    while best:
        place = max(best, key=lambda each: (best[each][0], -each))
        shared, parent = best.pop(place)
        joined.append(tables[place])
        parents.append(parent if shared else -1)
        for other in best:
            common = (tables[place] & tables[other]).bit_count()
            if common > best[other][0]:
                best[other] = (common, len(joined) - 1)
    return joined, tuple(parents)


def tree_of(sizes: Mapping[str, int], cliques: Iterable[Clique]) -> JunctionTree:
    """The junction tree that holds all given cliques.

    Args:
        sizes: Cells of each column.
        cliques: Columns that must stand in one table.
    """
    graph = Graph(sizes)
    for clique in cliques:
        graph = graph.with_clique(clique)
    return graph.tree()
