"""`aim`: the adaptive and iterative mechanism of McKenna, Mullins, Sheldon and Miklau (2022), algorithm 2.

Every step chooses, by the exponential mechanism, the candidate that the current model predicts worst, measures it, and
fits again. A score is weight x (L1 error - expected L1 noise of measuring that table in this step): what measuring it
will teach. Steps start small, 16 for each column; when a measurement has hardly moved the model, the noise is halved.
Tables may take as much of the cap on cells as of the budget is spent.

It needs many rounds and fits, each sealed; `few_round` is as good or better on pairs at a fraction of the time. It is
here for workloads whose weights are very uneven, and for comparison with the literature.

Guarantee: selections and measurements cost at most the rho of the task: each call costs at most its share, shares are
integers, and a step gets no more than what earlier ones left. Everything else here is post-processing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from math import prod

from synthward.fit.base import Rounds, Task, budget_of, share_out
from synthward.fit.choosing import Choosing
from synthward.fit.conditionals import directed, drawn_cells
from synthward.fit.estimate import Fitted
from synthward.fit.joint import Joint
from synthward.fit.junction import Clique, Graph
from synthward.fit.model import MAX_CELLS
from synthward.fit.structure import weights_of
from synthward.fit.tables import noise_of, one_way_round
from synthward.fit.zeros import cells_of
from synthward.privacy.measurement import Asked, Measurement, Round
from synthward.privacy.queries import Marginal, Selection
from synthward.privacy.sensitivity import WEIGHT_UNIT

logger = logging.getLogger(__name__)

STEPS_PER_COLUMN = 16
SELECTION = 10
"""A tenth of a step's budget goes to the selection."""

ANNEALED = 4
"""Factor of a step's budget when the model hardly moved: half the noise."""

REFIT = 100
"""Iterations of the fit after each step; it starts from the one before."""


class Aim(Choosing):
    """See the module."""

    name = "aim"
    exact_curve = False

    def rounds(self, task: Task) -> Rounds:
        """One round for the columns, then two for each step, then the last fit."""
        weights, budget = weights_of(task), budget_of(task)
        step, first = _step(task), self.columns(task)
        joint = Joint(task, (yield first))
        graph, tables, left = joint.graph(), list[Measurement](), budget - first.charge.nano_rho
        fitted = joint.fit(graph.tree(), tables, REFIT, None)
        number = 0
        while weights and left > 0:
            number += 1
            step = left if left < 2 * step else step
            open_to = _open(graph, joint, weights, 1 - (left - step) / budget)
            if not open_to:
                break
            asked = _selection(task, joint, fitted, open_to, step, number)
            [answer] = yield asked
            left -= asked.charge.nano_rho
            chosen = tuple(open_to)[int(answer.values[0])]
            asked = _measuring(task, chosen, step - asked.charge.nano_rho, number)
            [table] = yield asked
            left -= asked.charge.nano_rho
            tables.append(table)
            graph = graph.with_clique(chosen)
            before, fitted = fitted, joint.fit(graph.tree(), tables, REFIT, fitted)
            logger.info("step %d measured %s; %.0f %% of the budget is left", number, chosen, 100 * left / budget)
            if _moved(joint, before, fitted, chosen) <= _noise(joint, table):
                step *= ANNEALED
        fitted = joint.fit(graph.tree(), tables, task.options.max_iterations, fitted)
        return directed(self.name, joint, fitted)

    def columns(self, task: Task) -> Round:
        """The first round: what a step gives a measurement, for every column."""
        measured = _step(task) * len(task.domain.attributes) * (SELECTION - 1) // SELECTION
        return one_way_round(task, measured if weights_of(task) else None)

    def for_tables(self, task: Task, columns: Round) -> int:
        """What columns and selections leave."""
        return (budget_of(task) - columns.charge.nano_rho) * (SELECTION - 1) // SELECTION


def _step(task: Task) -> int:
    """nano-rho of the first step."""
    return budget_of(task) // (STEPS_PER_COLUMN * len(task.domain.attributes))


def _open(graph: Graph, joint: Joint, weights: Mapping[Clique, int], spent: float) -> dict[Clique, int]:
    """Candidates whose tree fits the part of the cap that is open by now."""
    cap = joint.task.options.max_cells * spent
    cells = {name: book.cells for name, book in joint.books.items()}
    found = {}
    for clique, weight in weights.items():
        larger = graph.with_clique(clique)
        if larger.cells <= cap and drawn_cells(larger.tree(), joint.sizes, cells) <= MAX_CELLS:
            found[clique] = weight
    return found


def _selection(
    task: Task, joint: Joint, fitted: Fitted, candidates: Mapping[Clique, int], step: int, number: int
) -> Round:
    cliques, budget = tuple(candidates), step // SELECTION
    predictions = joint.predictions(cliques, fitted)
    [expected] = _measuring(task, cliques[0], step - budget, number).asked
    # In whole rows, like predictions; every table has the same sensitivity and so the same noise in a cell.
    noise = [round(cells_of(clique, joint.books) * noise_of(expected)) * WEIGHT_UNIT for clique in cliques]
    offsets = tuple(-weight * each for weight, each in zip(candidates.values(), noise, strict=True))
    query = Selection(cliques, predictions, tuple(candidates.values()), offsets)
    return Round(f"aim_{number:03d}_select", (Asked(query, share_out(task, {query: 1.0}, budget)[query]),))


def _measuring(task: Task, clique: Clique, budget: int, number: int) -> Round:
    query = Marginal(clique)
    return Round(f"aim_{number:03d}_measure", (Asked(query, share_out(task, {query: 1.0}, budget)[query]),))


def _moved(joint: Joint, before: Fitted, after: Fitted, clique: Clique) -> float:
    """L1 distance of the two models' tables, in rows."""
    old, new = (joint.predictions([clique], each)[0] for each in (before, after))
    return float(abs(new - old).sum()) / WEIGHT_UNIT


def _noise(joint: Joint, table: Measurement) -> float:
    """Expected L1 noise of a measurement on the model's groups, in rows."""
    query = table.asked.query
    assert isinstance(query, Marginal)
    return math.sqrt(2 / math.pi) * table.deviation * prod(joint.sizes[name] for name in query.clique)
