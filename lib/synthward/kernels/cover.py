"""Which tables to count so that few of them hold all cliques: covering blocks.

Counting every clique costs a pass over the rows for each. Instead whole blocks of columns are counted, each at most
`BLOCK_CELLS` cells, such that every clique lies inside some block; the clique's cells are sums over the block's other
columns. That is exact, and because rows weigh the same in a block as in its cliques, sensitivities do not change.
Everything here is public: columns, their numbers of cells, cliques.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import log2, prod

BLOCK_CELLS = 1 << 15
"""Cells of a block of several cliques: its counts, 256 KiB, stay in the cache while rows are added."""

RESTARTS = 24
"""Orders that are tried for small workloads; fewer where a try takes long."""


@dataclass(frozen=True)
class Cover:
    """Blocks of columns and the block that each clique is taken from.

    Attributes:
        blocks: Columns of each block, in the columns' order.
        block_of: Place of the block of each clique, in the cliques' order.
    """

    blocks: tuple[tuple[str, ...], ...]
    block_of: tuple[int, ...]


def cover(cells: Mapping[str, int], cliques: Sequence[tuple[str, ...]], block_cells: int = BLOCK_CELLS) -> Cover:
    """Finds few blocks that contain all cliques.

    Greedy, from several starts: a block grows by the column that completes most uncovered cliques for its size. A
    clique larger than `block_cells` is a block of its own.

    Args:
        cells: Number of codes of each column.
        cliques: Sets of columns; order inside and repetitions do not matter.
        block_cells: Cap on the cells of blocks.

    Returns:
        The cover; the same for the same arguments.
    """
    bit = {name: 1 << place for place, name in enumerate(cells)}
    wanted = {sum(bit[name] for name in set(clique)) for clique in cliques}
    sizes = {bit[name]: count for name, count in cells.items()}
    maximal = [mask for mask in wanted if not any(mask != other and mask & other == mask for other in wanted)]
    chance = random.Random(0)
    best: list[int] = []
    for attempt in range(max(1, min(RESTARTS, 4_000 // max(len(maximal), 1)))):
        order = sorted(maximal)
        if attempt:
            chance.shuffle(order)
        found = _without_spare(_greedy(order, sizes, block_cells), maximal)
        if not attempt or _cost(found) < _cost(best):
            best = found
    blocks = sorted(best, key=lambda mask: (_size(mask, sizes), mask))
    masks = [sum(bit[name] for name in set(clique)) for clique in cliques]
    return Cover(
        tuple(tuple(name for name in cells if bit[name] & block) for block in blocks),
        tuple(next(place for place, block in enumerate(blocks) if block & mask == mask) for mask in masks),
    )


def _greedy(order: Sequence[int], sizes: Mapping[int, int], block_cells: int) -> list[int]:
    blocks = []
    waiting = list(order)
    while waiting:
        block = waiting[0]
        size = _size(block, sizes)
        while True:
            # What each further column would complete: cliques that lack it alone.
            gains: dict[int, int] = {}
            for mask in waiting:
                lacking = mask & ~block
                if lacking and lacking & (lacking - 1) == 0 and size * sizes[lacking] <= block_cells:
                    gains[lacking] = gains.get(lacking, 0) + 1
            if not gains:
                break
            column = max(gains, key=lambda bit: (gains[bit] / log2(sizes[bit] + 1), -bit))
            block |= column
            size *= sizes[column]
        waiting = [mask for mask in waiting if mask & ~block]
        blocks.append(block)
    return blocks


def _without_spare(blocks: list[int], cliques: Collection[int]) -> list[int]:
    """Drops blocks whose cliques all lie in others."""
    kept = list(blocks)
    for block in blocks:
        others = [other for other in kept if other != block]
        if all(any(other & mask == mask for other in others) for mask in cliques if block & mask == mask):
            kept = others
    return kept


def _size(mask: int, sizes: Mapping[int, int]) -> int:
    return prod(size for bit, size in sizes.items() if bit & mask)


def _cost(blocks: Sequence[int]) -> int:
    """Work for each row, in tenths of counting a block: its cell numbers take a step for each column."""
    return sum(10 + block.bit_count() for block in blocks)
