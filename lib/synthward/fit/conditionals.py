"""Turns a fitted junction tree into the directed model that rows are drawn from.

Each column is drawn given the columns of its table that are drawn already. Tables come parents first; inside a table,
columns go from the fewest groups to the most. By the running intersection property, the columns of a table that are
drawn already are its separator. So the product of the conditionals is the fitted joint distribution, and columns that
are independent given a separator stay independent.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

import numpy as np

from synthward.domain.spec import Date, Numeric
from synthward.fit.estimate import Fitted
from synthward.fit.groups import EXCLUDED
from synthward.fit.joint import Joint
from synthward.fit.junction import JunctionTree
from synthward.fit.model import ColumnModel, Model
from synthward.privacy.queries import Clique


def draws(tree: JunctionTree) -> dict[str, Clique]:
    """Return the parents of every column, in the order of drawing."""
    found: dict[str, Clique] = {}
    for clique in tree.cliques:
        for name in clique:
            if name not in found:
                found[name] = tuple(other for other in clique if other in found)
    return found


def drawn_cells(tree: JunctionTree, groups: Mapping[str, int], cells: Mapping[str, int]) -> int:
    """Return the number of probabilities of the directed model.

    Args:
        tree: The junction tree.
        groups: Groups of each column.
        cells: Cells of each column.
    """
    return sum(prod(groups[parent] for parent in parents) * cells[name] for name, parents in draws(tree).items())


def directed(synthesizer: str, joint: Joint, fitted: Fitted) -> Model:
    """Build the directed model.

    Args:
        synthesizer: Its name, for the model's stamp.
        joint: Groups and domain.
        fitted: The junction tree's potentials.
    """
    beliefs = fitted.inference.beliefs(fitted.potentials)[1]
    order = draws(fitted.inference.tree)
    columns = {}
    for name, parents in order.items():
        own, attribute = joint.groupings[name], joint.books[name].attribute
        table = fitted.inference.joint(beliefs, (*parents, name)).reshape(-1, own.count)
        mass = table.sum(axis=1, keepdims=True)
        # Combinations of parents without mass are never drawn; they get what the column has on the whole.
        given = np.where(mass > 0, table, table.sum(axis=0)) / np.where(mass > 0, mass, table.sum())
        kept = own.groups != EXCLUDED
        groups = np.where(kept, own.groups, 0)
        probabilities = given[:, groups] * own.within
        grid = attribute.grid if isinstance(attribute, Numeric | Date) else None
        columns[name] = ColumnModel(
            name=name,
            probabilities=probabilities if parents else probabilities[0],
            starts=None if grid is None else np.array(grid.starts, dtype=np.int64),
            count=0 if grid is None else grid.count,
            parents=parents,
            groups=groups,
        )
    return Model(
        synthesizer=synthesizer,
        domain_digest=joint.task.domain.digest,
        columns=tuple(columns[name] for name in joint.books),
        order=tuple(order),
        convergence=fitted.ended,
    )
