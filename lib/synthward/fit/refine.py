"""Refinement: rows of a field are moved until their tables meet the target tables.

Rows that are drawn independently have sampling errors, and the chains of a fit stop short of their goal. Refinement
removes both. A small part of the rows at a time gets a proposal for one column, from the field's conditional
distribution. A proposal may be accepted if it brings the rows' tables nearer to the targets:

    sum over tables and cells of (T - s C)^2 / max(T, 30 s),   C the rows' counts, s the weight of a row.

Only some of the improving proposals are accepted, because all of them are judged on the same counts.

This is post-processing: targets and field are functions of sealed numbers. It makes the rows of a release depend on
each other, which changes nothing for privacy: the rows are a function of sealed numbers and public chance either way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthward.fit.field import Chains, Codes, Floats
from synthward.fit.tied import Block, tied_blocks

PARTS = (64, 256)
"""Number of parts of the rows in each pass: the finer the parts, the fresher the counts that proposals are judged
by."""

MOST_LOOKUPS = 120_000
"""Parts x columns x tables of a column at most; wide tables are refined in fewer parts."""

ACCEPTED = 0.3
"""Chance of an improving proposal to be accepted."""

SINGLE_WEIGHT = 4.0
"""Weight of a column's own table, beside the tables that it shares with others."""

SMALLEST_TARGET = 30
"""A cell counts as if its target were at least this many rows of the release."""


@dataclass(frozen=True, eq=False)
class Goal:
    """What the rows' tables shall be, in rows of the source.

    Attributes:
        singles: Target of each column, shape (groups,); None if a column has none.
        tables: Target of each table; None if a table has none.
        total: Sum of every target.
    """

    singles: Sequence[Floats | None]
    tables: Sequence[Floats | None]
    total: float


def refine(chains: Chains, singles: Sequence[Floats], tables: Sequence[Floats], goal: Goal, seed: int) -> None:
    """Move the rows towards the goal.

    Args:
        chains: The rows; changed in place. None of them enters an impossible cell.
        singles: Potentials of each column's groups.
        tables: Potentials of the chains' tables.
        goal: The targets.
        seed: Public seed.
    """
    if not chains.count:
        return
    state = _State(chains, singles, tables, goal)
    chance = np.random.Generator(np.random.PCG64(seed))
    lookups = sum(len(tables) for tables in chains.tables_of) * sum(PARTS)
    fewer = max(1, math.ceil(lookups / MOST_LOOKUPS))
    for parts in PARTS:
        for part in np.array_split(chance.permutation(chains.count), min(max(parts // fewer, 4), chains.count)):
            for column in chance.permutation(len(chains.sizes)):
                state.move(int(column), part, chance)
            for number in range(len(state.blocks)):
                state.move_block(number, part, chance)


class _State:
    """Counts of the rows and what follows from them."""

    def __init__(self, chains: Chains, singles: Sequence[Floats], tables: Sequence[Floats], goal: Goal) -> None:
        self._chains, self._goal = chains, goal
        self._scale = goal.total / chains.count
        self._base = [single.astype(np.float32) for single in singles]
        self._floors = [None if target is None else self._floor(target) for target in goal.tables]
        self._single_floors = [None if target is None else self._floor(target) for target in goal.singles]
        self._counts: list[Floats] = [np.zeros_like(table) for table in tables]
        self._singles = [chains.singles(column) for column in range(len(chains.sizes))]
        curvatures = [self._curvature(floor, table) for floor, table in zip(self._floors, tables, strict=True)]
        self._proposals, self._curves = [], []
        for column in range(len(chains.sizes)):
            for number, counted in zip(chains.tables_of[column], chains.counts(column), strict=True):
                self._counts[number] = counted
            self._proposals.append([values.astype(np.float32) for _, values in chains.lookups(column, tables)])
            self._curves.append([values for _, values in chains.lookups(column, curvatures)])
        self.blocks = tied_blocks(chains)
        self._block_bases = [block.base(singles).astype(np.float32) for block in self.blocks]
        self._block_proposals = [block.lookups(tables) for block in self.blocks]
        self._block_curves = [[values for _, values, _ in block.views(curvatures)] for block in self.blocks]

    def _floor(self, target: Floats) -> Floats:
        return np.maximum(target, SMALLEST_TARGET * self._scale)

    def _curvature(self, floor: Floats | None, table: Floats) -> Floats:
        return np.zeros_like(table) if floor is None else self._scale**2 / floor

    def _slope(self, number: int) -> Floats:
        target, floor = self._goal.tables[number], self._floors[number]
        if target is None or floor is None:
            return np.zeros_like(self._counts[number])
        return 2 * self._scale * (self._scale * self._counts[number] - target) / floor

    def move(self, column: int, part: Codes, chance: np.random.Generator) -> None:
        """Propose new groups of a column for some rows, and accept some of those that improve the tables."""
        chains = self._chains
        slopes: list[Floats] = [np.zeros(0)] * len(self._counts)
        for number in chains.tables_of[column]:
            slopes[number] = self._slope(number)
        found = chains.lookups(column, slopes)
        codes = [code for code, _ in found]
        proposals = list(zip(codes, self._proposals[column], strict=True))
        fresh = chains.drawn(chains.conditionals(self._base[column], proposals, part), chains.rows[column, part])
        changed = np.flatnonzero(fresh != chains.rows[column, part])
        rows, after = part[changed], fresh[changed]
        before = chains.rows[column, rows]
        gain = self._single_gain(column, before, after)
        for (code, slope), curve in zip(found, self._curves[column], strict=True):
            own = code[rows]
            gain += slope[own, after] - slope[own, before] + curve[own, after] + curve[own, before]
        accepted = (gain < 0) & (chance.random(len(rows)) < ACCEPTED)
        self._accept(column, rows[accepted], before[accepted], after[accepted])

    def move_block(self, number: int, part: Codes, chance: np.random.Generator) -> None:
        """Propose new combinations of tied columns for some rows, and accept some of those that improve the tables."""
        chains, block = self._chains, self.blocks[number]
        now = block.now(part)
        part, now = part[now >= 0], now[now >= 0]
        fresh = chains.drawn(chains.conditionals(self._block_bases[number], self._block_proposals[number], part), now)
        changed = np.flatnonzero(fresh != now)
        rows, before, after = part[changed], now[changed], fresh[changed]
        gain = np.zeros(len(rows))
        for place, column in enumerate(block.columns):
            old, new = block.states[before, place], block.states[after, place]
            gain += np.where(old != new, self._single_gain(column, old, new), 0.0)
        slopes: list[Floats] = [np.zeros(0)] * len(self._counts)
        for table in block.tables:
            slopes[table] = self._slope(table)
        for (codes, slope, cell), curve in zip(block.views(slopes), self._block_curves[number], strict=True):
            own, old, new = codes[rows], cell[before], cell[after]
            moved = slope[own, new] - slope[own, old] + curve[own, new] + curve[own, old]
            gain += np.where(old != new, moved, 0.0)
        accepted = (gain < 0) & (chance.random(len(rows)) < ACCEPTED)
        self._accept_block(block, rows[accepted], before[accepted], after[accepted])

    def _accept_block(self, block: Block, rows: Codes, before: Codes, after: Codes) -> None:
        if not len(rows):
            return
        self._count(block.tables, rows, -1)
        for place, column in enumerate(block.columns):
            np.add.at(self._singles[column], block.states[before, place], -1)
            np.add.at(self._singles[column], block.states[after, place], 1)
        block.put(rows, after)
        self._count(block.tables, rows, 1)

    def _count(self, tables: Sequence[int], rows: Codes, sign: int) -> None:
        chains = self._chains
        for number in tables:
            np.add.at(self._counts[number], tuple(chains.rows[column, rows] for column in chains.cliques[number]), sign)

    def _single_gain(self, column: int, before: Codes, after: Codes) -> Floats:
        target, floor = self._goal.singles[column], self._single_floors[column]
        if target is None or floor is None:
            return np.zeros(len(before))
        slope = 2 * self._scale * (self._scale * self._singles[column] - target) / floor
        curve = self._scale**2 / floor
        gain: Floats = SINGLE_WEIGHT * (slope[after] - slope[before] + curve[after] + curve[before])
        return gain

    def _accept(self, column: int, rows: Codes, before: Codes, after: Codes) -> None:
        chains = self._chains
        if not len(rows):
            return
        np.add.at(self._singles[column], before, -1)
        np.add.at(self._singles[column], after, 1)
        for number in chains.tables_of[column]:
            clique = chains.cliques[number]
            place = [chains.rows[other, rows] for other in clique]
            np.add.at(self._counts[number], tuple(place), -1)
            place[clique.index(column)] = after
            np.add.at(self._counts[number], tuple(place), 1)
        chains.put(column, rows, after)
