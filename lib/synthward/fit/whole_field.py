"""From sealed tables to a model with a field: the start on a tree, the fit by chains, the targets of refinement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from synthward.fit.conditionals import directed, draws
from synthward.fit.convergence import Convergence, Misfit, convergence, misfit, noise_distance
from synthward.fit.estimate import Fitted, Floats, Target, consistent, merged, own_ridge
from synthward.fit.field import Chains, Codes, Field, FieldFit, fit_field
from synthward.fit.field_model import FieldModel
from synthward.fit.joint import RIDGE, Joint
from synthward.fit.margins import nearest, reconciled
from synthward.fit.model import Model
from synthward.fit.packing import Prospects, searched
from synthward.fit.refine import Goal, refine
from synthward.privacy.measurement import Measurement
from synthward.privacy.queries import Clique, Marginal

FEWEST_CHAINS, MOST_CHAINS = 2**13, 2**16
"""A fit has about as many chains as the source has rows, within these limits."""

START_ROWS = 2**14
"""Number of rows that a model keeps to start a sample from."""

SWEEPS = 60
"""Largest number of redraws of every column in the fit."""

FEWEST_SWEEPS = 20

EFFORT = 10**10
"""Chains x sweeps x numbers looked up for a row, at most: about 40 CPU-seconds. Wider tables get fewer chains."""

START_STEPS = 150
"""Largest number of steps of the fit on the tree: it is a first guess only."""

SEED = 20_261
"""Public seed of the chains. Chance in a fit is post-processing."""

CLEAR_CORRECTION, NOISY_CORRECTION = 0.75, 0.5
"""Part of the Newton step from the chains' tables towards the fitted ones. It is smaller where noise is large."""

NOISY = 0.0125
"""Mean noise distance of the tables above which the smaller correction is used."""


TOLERANCE = 0.005
"""A fit reached its tolerance if its tables are this near to what the objective asks for, on average, or nearer than
`NOISE_PART` of their noise; and if every column is this near to its own table, beyond its noise. Chains tell tables of
a hundred cells apart by about .002."""

NOISE_PART = 1 / 2


def fitted_field(synthesizer: str, joint: Joint, tables: Sequence[Measurement], prospects: Prospects) -> Model:
    """Fit a field to all tables.

    Args:
        synthesizer: Name of the synthesizer.
        joint: Groups, base and one-way tables.
        tables: Sealed joint tables.
        prospects: The tables with their errors; they decide which tables the tree of the first guess holds.
    """
    graph = searched(joint, prospects)
    held = [
        table for table in tables if isinstance(table.asked.query, Marginal) and graph.covers(table.asked.query.clique)
    ]
    fitted = joint.fit(graph.tree(), held, min(START_STEPS, joint.task.options.max_iterations), None, guess=True)
    targets = _targets(joint, tables)
    ridges = [min(RIDGE, own_ridge(target, _base_rows(joint, target.clique), joint.total)) for target in targets]
    singles = [
        consistent(reconciled(one, targets), joint.base_shares(one.clique), joint.total)
        for one in (consistent(one, joint.base_shares(one.clique), joint.total) for one in joint.ones)
    ]
    margins = {single.clique[0]: _rows_of(single, joint.total) for single in singles}
    aims = [_feasible(joint, target, margins) for target in targets]
    start = _first_guess(joint, fitted, targets)
    count, sweeps = _effort(joint, start)
    rows = tree_rows(joint, fitted, count, SEED)
    found = fit_field(start, rows, singles, aims, ridges, joint.total, sweeps, SEED + 1)
    goals = _goals(joint, aims, ridges, found)
    field, ended = _refined(joint, targets, singles, goals, found)
    return replace(_independent(synthesizer, joint, fitted), field=field, convergence=ended)


def _rows_of(single: Target, total: float) -> Floats:
    """Return what a column's groups are wanted to have: noisy rows without negative ones, with the common total."""
    rows = np.maximum(single.counts, 0.0)
    wanted: Floats = rows * (total / rows.sum())
    return wanted


def _feasible(joint: Joint, target: Target, margins: Mapping[str, Floats]) -> Target:
    """Return the nearest table that rows can have."""
    possible = joint.base_shares(target.clique) > 0
    counts = nearest(target.counts, target.variance, possible, [margins[name] for name in target.clique])
    return replace(target, counts=counts)


def _effort(joint: Joint, start: Field) -> tuple[int, int]:
    """Return the number of chains, a power of two, and of sweeps: public numbers that bound the time of a fit."""
    place = {name: index for index, name in enumerate(start.names)}
    cliques = [tuple(place[name] for name in clique) for clique in start.tables]
    empty = np.zeros((len(start.names), 0), dtype=np.int64)
    work = Chains(empty, [len(single) for single in start.singles], cliques, SEED).work
    count = int(min(max(2 ** math.ceil(math.log2(max(joint.total, 1.0))), FEWEST_CHAINS), MOST_CHAINS))
    while count > FEWEST_CHAINS and count * work * SWEEPS > EFFORT:
        count //= 2
    sweeps = max(FEWEST_SWEEPS, min(SWEEPS, EFFORT // (count * work)))
    return count, min(sweeps, joint.task.options.max_iterations)


def _targets(joint: Joint, tables: Sequence[Measurement]) -> list[Target]:
    return [
        consistent(target, joint.base_shares(target.clique), joint.total)
        for target in merged([joint.target(table) for table in tables])
    ]


def _base_rows(joint: Joint, clique: Clique) -> Floats:
    rows: Floats = joint.total * joint.base_shares(clique)
    return rows


def _first_guess(joint: Joint, fitted: Fitted, targets: Sequence[Target]) -> Field:
    """The tree's potentials; 0 for tables that the tree does not hold, and -inf for impossible cells."""
    names = tuple(joint.books)
    zeros = joint.zero_tables
    tables: dict[Clique, Floats] = {}
    for target in targets:
        known = fitted.potential(target.clique)
        tables[target.clique] = np.zeros(target.counts.shape) if known is None else known.copy()
    for clique, zero in zeros.items():
        if len(clique) > 1:
            own = next((known for known in tables if set(known) == set(clique)), clique)
            order = [clique.index(name) for name in own]
            tables[own] = tables.get(own, np.zeros(zero.transpose(order).shape)) + zero.transpose(order)
    singles = []
    for name in names:
        known = fitted.potential((name,))
        base = joint.base_logarithms(name)
        singles.append(base if known is None else base + known)
    return Field(names, tuple(singles), tables)


def tree_rows(joint: Joint, fitted: Fitted, count: int, seed: int) -> Codes:
    """Draw rows on groups from a fitted tree.

    Args:
        joint: Groups.
        fitted: The tree.
        count: Number of rows.
        seed: Public seed.

    Returns:
        Groups, shape (columns, count).
    """
    chance = np.random.Generator(np.random.PCG64(seed))
    beliefs = fitted.inference.beliefs(fitted.potentials)[1]
    rows: dict[str, Codes] = {}
    for name, parents in draws(fitted.inference.tree).items():
        table = fitted.inference.joint(beliefs, (*parents, name)).reshape(-1, joint.sizes[name])
        sums = np.cumsum(table, axis=1)
        given = np.zeros(count, dtype=np.int64)
        for parent in parents:
            given = given * joint.sizes[parent] + rows[parent]
        drawn = chance.random(count) * sums[given, -1]
        # Strictly more than the sum before a group, so that a group without mass is never drawn.
        rows[name] = (sums[given][:, :-1] <= drawn[:, None]).sum(axis=1)
    return np.stack([rows[name] for name in joint.books])


def _goals(joint: Joint, targets: Sequence[Target], ridges: Sequence[float], found: FieldFit) -> list[Floats]:
    """The tables that the objective asks for: the chains' tables, moved by a part of a diagonal Newton step."""
    noise = np.mean([float(np.sqrt(target.variance).sum()) for target in targets]) / 2 / joint.total
    part = NOISY_CORRECTION if noise > NOISY else CLEAR_CORRECTION
    goals = []
    for target, ridge in zip(targets, ridges, strict=True):
        expected, potentials = found.expected[target.clique], found.field.tables[target.clique]
        possible = np.isfinite(potentials)
        base = _base_rows(joint, target.clique)
        slope = expected - target.counts + ridge * target.variance * np.where(possible, potentials, 0.0)
        weight = np.divide(base, base + ridge * target.variance, out=np.zeros_like(base), where=base > 0)
        goal = np.where(possible, np.maximum(expected - part * weight * slope, 0.0), 0.0)
        goals.append(goal * (joint.total / goal.sum()))
    return goals


def _refined(
    joint: Joint, tables: Sequence[Target], singles: Sequence[Target], goals: Sequence[Floats], found: FieldFit
) -> tuple[FieldModel, Convergence]:
    """Refine the rows that a model keeps, and compare them with every noisy table: so a fit knows what rows can reach.

    The fit reached its tolerance if the chains' tables are near what the objective asks for, on average, and if every
    column of the refined rows is near its own table, beyond its noise.
    """
    field = _field_model(joint, found, goals, singles)
    place = {name: index for index, name in enumerate(joint.books)}
    cliques = [tuple(place[name] for name in clique) for clique in field.cliques]
    rows = Chains(field.rows.copy(), [len(single) for single in field.singles], cliques, SEED + 3, packed_cells=1)
    refine(rows, field.singles, field.potentials, Goal(field.single_targets, field.targets, field.total), SEED + 4)
    total, scale = joint.total, joint.total / rows.count
    columns: list[Misfit] = []
    held: dict[int, Floats] = {}
    for column, one in enumerate(singles):
        columns.append(misfit(one.clique, scale * rows.singles(column), one.counts, one.variance, total))
        held.update(zip(rows.tables_of[column], rows.counts(column), strict=True))
    misfits = [
        misfit(table.clique, scale * held[number], table.counts, table.variance, total)
        for number, table in enumerate(tables)
    ]
    gap = float(np.mean([found.gaps[table.clique] for table in tables]))
    noise = float(np.mean([noise_distance(table.variance, total) for table in tables]))
    reached = gap <= max(TOLERANCE, noise * NOISE_PART) and all(one.distance <= TOLERANCE for one in columns)
    at_most = min(SWEEPS, joint.task.options.max_iterations)
    ended = convergence("field", found.sweeps, at_most, [*columns, *misfits], reached=reached)
    return replace(field, rows=rows.rows), ended


def _field_model(joint: Joint, found: FieldFit, goals: Sequence[Floats], singles: Sequence[Target]) -> FieldModel:
    cliques = tuple(found.field.tables)
    return FieldModel(
        cliques=cliques,
        potentials=tuple(found.field.tables.values()),
        targets=(*goals, *([None] * (len(cliques) - len(goals)))),
        singles=found.field.singles,
        single_targets=tuple(_rows_of(single, joint.total) for single in singles),
        total=joint.total,
        rows=np.ascontiguousarray(found.rows[:, :START_ROWS]),
    )


def _independent(synthesizer: str, joint: Joint, fitted: Fitted) -> Model:
    """Return the columns by themselves: shares of cells, groups and runs."""
    tree = directed(synthesizer, joint, fitted)
    columns = []
    for column in tree.columns:
        grouping = joint.groupings[column.name]
        kept = grouping.groups >= 0
        own = np.where(kept, grouping.groups, 0)
        shares = np.where(kept, joint.base_shares((column.name,))[own] * grouping.within, 0.0)
        columns.append(replace(column, probabilities=shares / shares.sum(), parents=(), groups=own))
    return replace(tree, columns=tuple(columns), order=tuple(column.name for column in columns))
