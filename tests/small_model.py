"""A small model of six columns of every kind, as a file that stands alone."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import numpy as np

from synthward.domain.spec import Boolean, Categorical, Date, Domain, Numeric
from synthward.fit.model import ColumnModel, Model
from synthward.sample.model_file import ModelFile

DOMAIN = Domain(
    version=1,
    attributes={
        "sex": Categorical(values=("F", "M"), other="U"),
        "age": Numeric(bounds=(Decimal(0), Decimal(99)), integer=True, bins=10),
        "dose": Numeric(bounds=(Decimal(-1), Decimal(1)), resolution=Decimal("0.1"), bins=3),
        "ill": Boolean(),
        "seen": Date(bounds=(date(2020, 1, 1), date(2020, 12, 31)), granularity="month", bins=4),
        "ward": Categorical(values=("a", "b"), required=True),
    },
)
CELLS = {"sex": 4, "age": 12, "dose": 5, "ill": 4, "seen": 6, "ward": 4}
PARENTS: dict[str, tuple[str, ...]] = {
    "sex": (),
    "age": ("sex",),
    "dose": ("age", "sex"),
    "ill": ("dose", "age"),
    "seen": (),
    "ward": ("ill", "sex"),
}


def model_file(groups: bool = False) -> ModelFile:
    """Every column depends on what PARENTS says; `ill` has a parent set that is no clique of its last parent's."""
    rng = np.random.default_rng(3)
    own = {"age": np.arange(12) // 3} if groups else {}
    counts = {name: int(own[name].max()) + 1 if name in own else cells for name, cells in CELLS.items()}
    columns = []
    for name, attribute in DOMAIN.attributes.items():
        parents = PARENTS[name]
        given = int(np.prod([counts[parent] for parent in parents]))
        table = rng.dirichlet(np.full(CELLS[name], 0.8), given)
        if name == "ward":
            table[:, 2:] = 0
            table /= table.sum(axis=1, keepdims=True)
        grid = getattr(attribute, "grid", None)
        columns.append(
            ColumnModel(
                name,
                table if parents else table[0],
                None if grid is None else np.array(grid.starts),
                0 if grid is None else grid.count,
                parents,
                own.get(name),
            )
        )
    return ModelFile(Model("test", DOMAIN.digest, tuple(columns), tuple(CELLS)), DOMAIN)
