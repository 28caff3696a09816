"""A model under wanted shares of some columns: everything else as the model says, given those.

With weights on the cells of some columns the model stays of its form: messages go from every column to the last drawn
of its parents, as in a junction tree, and what they leave behind are the conditional distributions. Shares of one
column are met exactly by one pass; of several columns by iterative proportional fitting, which among all distributions
with those shares finds the one closest to the model (Csiszar 1975, doi:10.1214/aop/1176996454). It is post-processing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
import numpy.typing as npt

from synthward.domain.wanted import MAX_SWEEPS, TOLERANCE
from synthward.errors import UsageError
from synthward.fit.model import MAX_CELLS, ColumnModel, Model
from synthward.sample.condition_field import condition_field

Floats = npt.NDArray[np.float64]


@dataclass
class _Factor:
    """One column's distribution, one axis for each parent and one for its cells.

    Attributes:
        parents: Columns of the first axes.
        table: Probabilities given the groups of the parents.
        groups: Group of each cell.
        group_count: Number of groups.
    """

    parents: tuple[str, ...]
    table: Floats
    groups: npt.NDArray[np.int64]
    group_count: int


def condition(model: Model, wanted: Mapping[str, Floats]) -> Model:
    """The model given shares.

    Args:
        model: The model.
        wanted: Shares of the cells of some columns, each summing to 1.

    Raises:
        UsageError: The model excludes what is wanted, or has no room for it.
    """
    if not wanted:
        return model
    if model.field is not None:
        return condition_field(model, wanted)
    involved = _ancestors(model, wanted)
    order = [name for name in model.order if name in involved]
    factors = _chordal(model, order)
    weights = {name: np.ones(len(shares)) for name, shares in wanted.items()}
    fitted = dict(factors)
    for _ in range(MAX_SWEEPS):
        for name, shares in wanted.items():
            found = _marginal(fitted, order, name)
            if np.any((found <= 0) & (shares > 0)):
                raise UsageError(
                    f"the model gives no row what is wanted of column '{name}' together with the other columns; "
                    "ask for values that it can draw"
                )
            weights[name] *= np.divide(shares, found, out=np.zeros_like(shares), where=shares > 0)
            weights[name] /= weights[name].max()
            fitted = _weighted(factors, order, weights)
        if all(np.abs(_marginal(fitted, order, name) - shares).max() <= TOLERANCE for name, shares in wanted.items()):
            return _rebuilt(model, fitted)
    raise UsageError(f"the model has no rows with the wanted shares of {', '.join(wanted)} together; ask for fewer")


def _ancestors(model: Model, names: Mapping[str, object]) -> set[str]:
    found = set(names)
    for name in reversed(model.order):
        if name in found:
            found.update(model.column(name).parents)
    return found


def _chordal(model: Model, order: Sequence[str]) -> dict[str, _Factor]:
    """Factors in which the parents of a column, less the last drawn, are parents of that one.

    Raises:
        UsageError: The missing parents would make a factor too large.
    """
    factors = {}
    for name in order:
        column = model.column(name)
        sizes = [model.column(parent).group_count for parent in column.parents]
        groups = np.arange(column.cells) if column.groups is None else column.groups
        table = column.probabilities.reshape(*sizes, column.cells)
        factors[name] = _Factor(column.parents, table, groups, column.group_count)
    for name in reversed(order):
        factor = factors[name]
        if factor.parents:
            last = factors[_last(factor, order)]
            lacking = tuple(p for p in factor.parents if p not in last.parents and factors[p] is not last)
            shape = [factors[parent].group_count for parent in lacking]
            if last.table.size * prod(shape) > MAX_CELLS:
                raise UsageError("the model is too large to be drawn under conditions; leave the conditions out")
            last.table = np.broadcast_to(last.table, (*shape, *last.table.shape))
            last.parents = (*lacking, *last.parents)
    return factors


def _last(factor: _Factor, order: Sequence[str]) -> str:
    """The parent that is drawn last."""
    return max(factor.parents, key=order.index)


def _weighted(
    factors: Mapping[str, _Factor], order: Sequence[str], weights: Mapping[str, Floats]
) -> dict[str, _Factor]:
    """The conditional distributions after the cells of some columns got weights: one pass from the last column back."""
    tables = {name: factors[name].table for name in order}
    for name in reversed(order):
        factor = factors[name]
        table = tables[name] * weights[name] if name in weights else tables[name]
        message = table.sum(axis=-1)
        top = float(message.max())
        if top <= 0:
            raise UsageError("the model gives no row all that is wanted together; ask for values that it can draw")
        share = message[..., None]
        # A combination of parents that cannot occur keeps the distribution that it had.
        tables[name] = np.divide(table, share, out=np.array(factor.table), where=share > 0)
        if factor.parents:
            last = _last(factor, order)
            tables[last] = tables[last] * _spread(message / top, factor, last, factors)
    return {name: replace(factors[name], table=tables[name]) for name in order}


def _spread(message: Floats, factor: _Factor, last: str, factors: Mapping[str, _Factor]) -> Floats:
    """A message over a factor's parents as an array that broadcasts against the factor of the last of them."""
    target = factors[last]
    kept = [parent for parent in target.parents if parent in factor.parents]
    turned = message.transpose([*(factor.parents.index(parent) for parent in kept), factor.parents.index(last)])
    shape = [factors[parent].group_count if parent in kept else 1 for parent in target.parents]
    return turned.reshape(*shape, target.group_count)[..., target.groups]


def _marginal(factors: Mapping[str, _Factor], order: Sequence[str], wanted: str) -> Floats:
    """Shares of the cells of a column: one pass from the first column to it."""
    joints: dict[str, Floats] = {}
    for name in order:
        factor = factors[name]
        if factor.parents:
            last = _last(factor, order)
            source = factors[last]
            grouped = np.zeros((*joints[last].shape[:-1], source.group_count))
            np.add.at(grouped.swapaxes(0, -1), source.groups, joints[last].swapaxes(0, -1))
            spare = tuple(axis for axis, parent in enumerate(source.parents) if parent not in factor.parents)
            axes = [*(parent for parent in source.parents if parent in factor.parents), last]
            given = grouped.sum(axis=spare).transpose([axes.index(parent) for parent in factor.parents])
            joints[name] = given[..., None] * factor.table
        else:
            joints[name] = factor.table
        if name == wanted:
            break
    shares: Floats = joints[wanted].sum(axis=tuple(range(joints[wanted].ndim - 1)))
    return shares


def _rebuilt(model: Model, fitted: Mapping[str, _Factor]) -> Model:
    columns = []
    for column in model.columns:
        factor = fitted.get(column.name)
        columns.append(column if factor is None else _with_factor(column, factor))
    return replace(model, columns=tuple(columns))


def _with_factor(column: ColumnModel, factor: _Factor) -> ColumnModel:
    sums = factor.table.sum(axis=-1, keepdims=True)
    table = (factor.table / sums).reshape(-1, column.cells)
    return replace(column, probabilities=table if factor.parents else table[0], parents=factor.parents)
