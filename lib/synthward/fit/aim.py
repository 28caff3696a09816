"""`aim`: the adaptive and iterative mechanism of McKenna, Mullins, Sheldon and Miklau (2022), algorithm 2.

Every step chooses, by the exponential mechanism, the candidate that the current model predicts worst, measures it, and
fits again. Candidates are all parts of the workload's tables, columns by themselves included, and any of them may be
measured again. A score is weight x (L1 error - expected L1 noise of measuring that table in this step), which is what
measuring it will teach; a part r weighs the sum over the workload's tables s of w_s |r and s in common|. Steps start
small, 16 for each column; when a measurement has hardly moved the model, the noise is halved. The tree may take as much
of the cap on cells as of the budget is spent; tables that it holds already are always open.

What differs from the authors' code (ryan112358/private-pgm): the workload is all pairs and what the request names, less
the tables that noise would drown; the fit is `fit.estimate`, on groups of cells, so that what moved is compared with
the noise on groups; the first round counts the population as well; the cap is one on cells, and holds for tables inside
of the model, too, where measuring them asks for a larger tree.

It needs many rounds and fits, each sealed; `few_round` is as good or better on pairs at a fraction of the time. It is
here for workloads whose weights are very uneven, and for comparison with the literature.

Guarantee: selections and measurements cost at most the rho of the task: each call costs at most its share, shares are
integers, and a step gets no more than what earlier ones left. Everything else here is post-processing.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from itertools import combinations
from math import prod

from synthward.fit.adaptive import AdaptiveSynthesizer
from synthward.fit.base import Rounds, Task, budget_of, share_out
from synthward.fit.conditionals import directed, drawn_cells
from synthward.fit.estimate import Fitted
from synthward.fit.joint import Joint
from synthward.fit.junction import Graph
from synthward.fit.model import MAX_CELLS
from synthward.fit.structure import weights_of
from synthward.fit.tables import noise_of, one_way_round
from synthward.fit.zeros import cells_of
from synthward.privacy.measurement import Asked, Measurement, Round
from synthward.privacy.queries import Clique, Marginal, Selection
from synthward.privacy.sensitivity import WEIGHT_UNIT

logger = logging.getLogger(__name__)

STEPS_PER_COLUMN = 16
SELECTION = 10
"""A tenth of a step's budget goes to the selection."""

ANNEALED = 4
"""Factor of a step's budget when the model hardly moved: half the noise."""

REFIT = 100
"""Iterations of the fit after each step; it starts from the one before."""


class Aim(AdaptiveSynthesizer):
    """See the module."""

    name = "aim"
    exact_curve = False

    def rounds(self, task: Task) -> Rounds:
        """One round for the columns, then two for each step, then the last fit."""
        weights, budget = candidates(task), budget_of(task)
        step, first = _step(task), self.columns(task)
        joint = Joint(task, (yield first))
        graph, tables, left = joint.graph(), list[Measurement](), budget - first.charge.nano_rho
        fitted = joint.fit(graph.tree(), tables, REFIT, None, guess=True)
        number = 0
        while weights and left > 0:
            number += 1
            step = left if left < 2 * step else step
            open_to = _open(graph, joint, weights, 1 - (left - step) / budget)
            asked = _selection(task, joint, fitted, open_to, step, number)
            [answer] = yield asked
            left -= asked.charge.nano_rho
            chosen = tuple(open_to)[int(answer.values[0])]
            asked = _measuring(task, chosen, step - asked.charge.nano_rho, number)
            [table] = yield asked
            left -= asked.charge.nano_rho
            tables.append(table)
            graph = graph.with_clique(chosen)
            before, fitted = fitted, joint.fit(graph.tree(), tables, REFIT, fitted, guess=True)
            logger.info("step %d measured %s; %.0f %% of the budget is left", number, chosen, 100 * left / budget)
            if _moved(joint, before, fitted, chosen) <= _noise(joint, table):
                step *= ANNEALED
        fitted = joint.fit(graph.tree(), tables, task.options.max_iterations, fitted)
        return directed(self.name, joint, fitted)

    def cliques(self, task: Task) -> tuple[Clique, ...]:
        """All candidates."""
        return tuple(candidates(task))

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


def candidates(task: Task) -> dict[Clique, int]:
    """Weight of every part of the workload's tables, small ones first; none where the workload is empty.

    The sum over tables s of w_s |r and s in common| is taken column by column: each column of r adds the weights of the
    tables that have it.
    """
    workload = weights_of(task)
    column = {
        name: sum(weight for clique, weight in workload.items() if name in clique) for name in task.domain.attributes
    }
    parts = dict.fromkeys(
        part for clique in workload for size in range(1, len(clique) + 1) for part in combinations(clique, size)
    )
    return {part: sum(column[name] for name in part) for part in sorted(parts, key=len)}


def _open(graph: Graph, joint: Joint, weights: Mapping[Clique, int], spent: float) -> dict[Clique, int]:
    """Candidates that the tree holds already, and those whose tree fits the part of the cap that is open by now.

    A table that the tree holds only by a chord may need a larger tree to stay there; that has to fit the whole cap.
    """
    cells = {name: book.cells for name, book in joint.books.items()}
    found = {}
    for clique, weight in weights.items():
        larger = graph.with_clique(clique)
        cap = joint.task.options.max_cells * (1 if graph.covers(clique) else spent)
        # A column by itself changes no tree, so that there is always something to measure.
        if len(clique) == 1 or (larger.cells <= cap and drawn_cells(larger.tree(), joint.sizes, cells) <= MAX_CELLS):
            found[clique] = weight
    return found


def _selection(
    task: Task, joint: Joint, fitted: Fitted, open_to: Mapping[Clique, int], step: int, number: int
) -> Round:
    cliques, budget = tuple(open_to), step // SELECTION
    predictions = joint.predictions(cliques, fitted)
    [expected] = _measuring(task, cliques[0], step - budget, number).asked
    # In whole rows, like predictions; every table has the same sensitivity and so the same noise in a cell.
    noise = [round(cells_of(clique, joint.books) * noise_of(expected)) * WEIGHT_UNIT for clique in cliques]
    offsets = tuple(-weight * each for weight, each in zip(open_to.values(), noise, strict=True))
    query = Selection(cliques, predictions, tuple(open_to.values()), offsets)
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
