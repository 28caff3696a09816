"""A model with a field under wanted shares of some columns: everything else as the model says, given those.

The potentials of the wanted columns are moved until chains have the wanted shares: iterative proportional fitting
(Csiszar 1975, doi:10.1214/aop/1176996454) with the chains' shares in place of exact ones. Values that are not wanted
get the potential -inf. Refinement then meets the shares; it has no other target. It is post-processing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from synthward.errors import UsageError
from synthward.fit.field import Chains
from synthward.fit.field_model import FieldModel
from synthward.fit.model import ColumnModel, Model
from synthward.fit.prototypes import chains_of
from synthward.fit.tied import tied_blocks

Floats = npt.NDArray[np.float64]

CHAINS = 2**14
SWEEPS = 40
SEED = 5_081
"""Public seed of the chains."""

GAIN = 0.7
"""Part of a full step of proportional fitting, so that the chances of the chains do not add up."""


def condition_field(model: Model, wanted: Mapping[str, Floats]) -> Model:
    """Return the model under wanted shares.

    Args:
        model: A model with a field.
        wanted: Share of each cell of some columns, each with the sum 1.

    Raises:
        UsageError: The model excludes what is wanted.
    """
    field = model.field
    assert field is not None
    index = {column.name: place for place, column in enumerate(model.columns)}
    shares = {index[name]: _by_group(model.column(name), cells) for name, cells in wanted.items()}
    singles = [single.copy() for single in field.singles]
    for column, share in shares.items():
        singles[column][share <= 0] = -np.inf
    chains = chains_of(model, field, CHAINS, SEED)
    order = np.random.Generator(np.random.PCG64(SEED + 1))
    blocks = tied_blocks(chains)
    for _ in range(SWEEPS):
        for block in blocks:
            block.redraw(singles, field.potentials)
        for column in order.permutation(len(singles)):
            chains.redraw(int(column), singles[column], field.potentials)
        for column, share in shares.items():
            _tilt(singles[column], share, chains.singles(column) / chains.count)
    rows = _possible_rows(model, chains, shares)
    tilted = FieldModel(
        cliques=field.cliques,
        potentials=field.potentials,
        targets=(None,) * len(field.cliques),
        singles=tuple(singles),
        single_targets=tuple(
            field.total * shares[column] if column in shares else None for column in range(len(singles))
        ),
        total=field.total,
        rows=rows,
    )
    columns = tuple(
        replace(column, probabilities=wanted[column.name]) if column.name in wanted else column
        for column in model.columns
    )
    return replace(model, columns=columns, field=tilted)


def _by_group(column: ColumnModel, cells: Floats) -> Floats:
    groups = np.arange(column.cells) if column.groups is None else column.groups
    return np.bincount(groups, weights=cells, minlength=column.group_count).astype(np.float64)


def _tilt(single: Floats, share: Floats, found: Floats) -> None:
    held = (share > 0) & (found > 0)
    single[held] += GAIN * np.log(share[held] / found[held])


def _possible_rows(model: Model, chains: Chains, shares: Mapping[int, Floats]) -> npt.NDArray[np.int64]:
    """Return the chains without rows that are stuck in a value that nobody wants."""
    kept = np.ones(chains.count, dtype=bool)
    for column, share in shares.items():
        kept &= share[chains.rows[column]] > 0
    rows = chains.rows[:, kept]
    for column, share in shares.items():
        if not np.isin(np.flatnonzero(share > 0), rows[column]).all():
            raise UsageError(
                f"the model gives no row what is wanted of column '{model.columns[column].name}' together with the "
                "other columns; ask for values that it can draw"
            )
    return rows
