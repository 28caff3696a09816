"""Prototypes: rows on groups that meet the tables of a field. Rows of a release are copies of them, with drawn values.

A release with at most `MOST_EXACT` rows has one prototype for each row. A larger one has `MANY` prototypes; each block
of the release holds all of them, in an order of its own. Values inside groups are drawn for every row.

Everything here is post-processing. The prototypes are a function of the model, their number and the public seed, on one
kind of processor.
"""

from __future__ import annotations

import numpy as np

from synthward.fit.field import Chains, Codes, Floats
from synthward.fit.field_model import FieldModel
from synthward.fit.model import Model
from synthward.fit.refine import Goal, refine
from synthward.fit.tied import tied_blocks

MOST_EXACT = 2**17
MANY = 2**16

SWEEPS = 3
"""Redraws of every column, by which copies of one start row become different rows."""


def prototype_count(rows: int) -> int:
    """Return the number of prototypes of a sample of `rows` rows.

    >>> prototype_count(80_000), prototype_count(10_000_000)
    (80000, 65536)
    """
    return rows if rows <= MOST_EXACT else MANY


def prototypes(model: Model, rows: int, seed: int) -> Codes:
    """Make the prototypes of a sample.

    Args:
        model: A model with a field.
        rows: Number of rows of the sample.
        seed: Public seed of the sample.

    Returns:
        Groups, shape (columns, prototypes).
    """
    field = model.field
    assert field is not None
    count = prototype_count(rows)
    start, chance = (int(part) for part in np.random.SeedSequence(seed, spawn_key=(0xF1E1D,)).generate_state(2))
    chains = chains_of(model, field, count, start)
    order = np.random.Generator(np.random.PCG64(chance))
    blocks = tied_blocks(chains)
    for _ in range(SWEEPS):
        for block in blocks:
            block.redraw(field.singles, field.potentials)
        for column in order.permutation(len(field.singles)):
            chains.redraw(int(column), field.singles[column], field.potentials)
    goal = Goal(field.single_targets, field.targets, field.total)
    # Refinement looks up few rows at a time, for which packed columns would not pay.
    alone = Chains(chains.rows, chains.sizes, chains.cliques, chance + 2, packed_cells=1)
    refine(alone, field.singles, field.potentials, goal, chance + 1)
    return alone.rows


def chains_of(model: Model, field: FieldModel, count: int, seed: int) -> Chains:
    """Return chains that start from copies of the field's rows."""
    index = {column.name: place for place, column in enumerate(model.columns)}
    rows = field.rows[:, np.arange(count) % field.rows.shape[1]]
    cliques = [tuple(index[name] for name in clique) for clique in field.cliques]
    return Chains(np.ascontiguousarray(rows), [len(single) for single in field.singles], cliques, seed)


def group_shares(probabilities: Floats, groups: Codes, count: int) -> Floats:
    """Return the share of each cell inside its group, shape (groups, cells).

    A group whose cells have no share at all gets even shares of its cells.

    Args:
        probabilities: Share of each cell, shape (cells,).
        groups: Group of each cell, shape (cells,).
        count: Number of groups.

    >>> group_shares(np.array([0.2, 0.6, 0.2]), np.array([0, 1, 1]), 2).round(2).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.75, 0.25]]
    """
    cells = np.arange(len(groups))
    table, member = np.zeros((count, len(groups))), np.zeros((count, len(groups)))
    table[groups, cells], member[groups, cells] = probabilities, 1.0
    sums = table.sum(axis=1, keepdims=True)
    known = np.divide(table, sums, out=np.zeros_like(table), where=sums > 0)
    shares: Floats = np.where(sums > 0, known, member / member.sum(axis=1, keepdims=True))
    return shares
