"""Columns that determine each other, redrawn together.

Chains redraw one column at a time. A column that another one determines, such as a code and its name, can then never
move: its value follows from the other, and the other's from it. Their shares, and their relations with all other
columns, would stay as they were at the start. Columns are tied if one explains the other by more than `TIED`. Tied
columns make a block. A block is redrawn among the combinations that its rows have (blocked Gibbs sampling: Liu, Wong
and Kong 1994, doi:10.1093/biomet/81.1.27). Rows with another, rare combination keep it in such a move.

Everything here is a function of the rows of chains, which are post-processing of sealed numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from synthward.fit.field import Chains

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

TIED = 0.6
"""Goodman and Kruskal's tau from which on two columns are tied: 0 for independent columns, 1 if one determines the
other."""

MOST_COLUMNS = 4
"""Largest number of columns of a block."""

MOST_STATES = 256
"""Largest number of combinations of a block."""

LEAST_SHARE = 5e-4
"""Share of the rows that a combination must have."""

LEAST_COVERED = 0.5
"""Share of the rows that the combinations of a block must hold together, or the block is left out."""

View = tuple[Codes, Floats, Codes]
"""A table as a block sees it: code of the other columns for each row; values, shape (codes, cells of the block's
columns); and the cell of each combination."""


class Block:
    """Tied columns of some chains, and the combinations that they are redrawn among.

    Attributes:
        columns: Indices of the columns.
        states: Groups of each combination, shape (combinations, columns).
        tables: Numbers of the tables that hold at least one of the columns.
    """

    def __init__(self, chains: Chains, columns: Sequence[int], states: Codes) -> None:
        """Take the chains and the combinations."""
        self.columns, self.states = tuple(columns), states
        self.tables = tuple(sorted({number for column in columns for number in chains.tables_of[column]}))
        self._chains = chains
        self._sizes = [chains.sizes[column] for column in self.columns]
        self._flat = _flat(states.T, self._sizes)
        self._order = np.argsort(self._flat)

    def now(self, part: slice | Codes) -> Codes:
        """Return the number of the combination that each row has; -1 for another one."""
        flat = _flat(self._chains.rows[list(self.columns)][:, part], self._sizes)
        ordered = self._flat[self._order]
        place = np.minimum(np.searchsorted(ordered, flat), len(ordered) - 1)
        return np.where(ordered[place] == flat, self._order[place], -1)

    def views(self, tables: Sequence[Floats]) -> list[View]:
        """Return the block's tables; their values at (code, cell of the combination) add up."""
        chains, found = self._chains, []
        single: dict[int, list[int]] = {column: [] for column in self.columns}
        for number in self.tables:
            clique = chains.cliques[number]
            own = [column for column in clique if column in self.columns]
            if len(own) == 1:
                single[own[0]].append(number)
                continue
            others = [column for column in clique if column not in self.columns]
            sizes = [chains.sizes[column] for column in own]
            moved = tables[number].transpose([clique.index(column) for column in [*others, *own]])
            cell = _flat([self.states[:, self.columns.index(column)] for column in own], sizes)
            found.append((chains.joint_codes(others), moved.reshape(-1, int(np.prod(sizes))), cell))
        for place, (column, numbers) in enumerate(single.items()):
            cell = self.states[:, place]
            found += [(codes, values, cell) for codes, values in chains.lookups(column, tables, numbers)]
        return found

    def base(self, singles: Sequence[Floats]) -> Floats:
        """Return the sum of the columns' own potentials for each combination."""
        found: Floats = np.sum(
            [singles[column][self.states[:, place]] for place, column in enumerate(self.columns)], axis=0
        )
        return found

    def lookups(self, tables: Sequence[Floats]) -> list[tuple[Codes, npt.NDArray[np.float32]]]:
        """Return pairs of codes and values as `Chains.lookups` does, with combinations in place of groups."""
        merged: dict[int, tuple[Codes, Floats]] = {}
        for codes, values, cell in self.views(tables):
            known = merged.get(id(codes))
            merged[id(codes)] = (codes, values[:, cell] if known is None else known[1] + values[:, cell])
        return [(codes, values.astype(np.float32)) for codes, values in merged.values()]

    def redraw(self, singles: Sequence[Floats], tables: Sequence[Floats]) -> None:
        """Redraw the block of all rows from its conditional distribution on the combinations.

        Args:
            singles: Potentials of each column's groups.
            tables: Potentials of all tables.
        """
        chains, now = self._chains, self.now(slice(None))
        fresh = chains.fresh(self.base(singles), self.lookups(tables), now)
        rows = np.flatnonzero((now >= 0) & (fresh != now))
        self.put(rows, fresh[rows])

    def put(self, rows: Codes, numbers: Codes) -> None:
        """Write combinations, given by their numbers, into some rows."""
        for place, column in enumerate(self.columns):
            self._chains.put(column, rows, self.states[numbers, place])


def tied_blocks(chains: Chains) -> tuple[Block, ...]:
    """Find the blocks of tied columns that the rows of the chains show."""
    ties: dict[tuple[int, int], float] = {}
    for column in range(len(chains.sizes)):
        for number, counted in zip(chains.tables_of[column], chains.counts(column), strict=True):
            clique = chains.cliques[number]
            if len(clique) == 2:
                first, second = sorted(clique)
                ties[first, second] = max(explained(counted), explained(counted.T))
    block_of = {column: [column] for column in range(len(chains.sizes))}
    for (first, second), strength in sorted(ties.items(), key=lambda tie: (-tie[1], tie[0])):
        if strength < TIED:
            break
        joined, other = block_of[first], block_of[second]
        if joined is not other and len(joined) + len(other) <= MOST_COLUMNS:
            joined += other
            block_of |= dict.fromkeys(other, joined)
    found = {min(columns): sorted(columns) for columns in block_of.values() if len(columns) > 1}
    blocks = (_block(chains, columns) for _, columns in sorted(found.items()))
    return tuple(block for block in blocks if block is not None)


def _block(chains: Chains, columns: Sequence[int]) -> Block | None:
    sizes = [chains.sizes[column] for column in columns]
    codes, counts = np.unique(_flat(chains.rows[list(columns)], sizes), return_counts=True)
    common = np.argsort(-counts, kind="stable")[:MOST_STATES]
    common = common[counts[common] >= LEAST_SHARE * chains.count]
    if len(common) < 2 or counts[common].sum() < LEAST_COVERED * chains.count:
        return None
    states = np.stack(np.unravel_index(codes[common], sizes), axis=1).astype(np.int64)
    return Block(chains, columns, states)


def explained(counts: Floats) -> float:
    """Return how much the second column explains of the first: Goodman and Kruskal's tau of a table.

    >>> explained(np.array([[5.0, 0.0], [0.0, 5.0]])), explained(np.ones((2, 2)))
    (1.0, 0.0)
    """
    total, given = counts.sum(), counts.sum(axis=0)
    alone = float(((counts.sum(axis=1) / total) ** 2).sum()) if total > 0 else 1.0
    if alone >= 1:
        return 0.0
    squares = (counts**2).sum(axis=0)
    within = float(np.divide(squares, given, out=np.zeros_like(given), where=given > 0).sum() / total)
    return max(0.0, (within - alone) / (1 - alone))


def _flat(columns: Sequence[Codes] | Codes, sizes: Sequence[int]) -> Codes:
    """Return the joint code of some columns."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for groups, size in zip(columns, sizes, strict=True):
        code = code * size + groups
    return code
