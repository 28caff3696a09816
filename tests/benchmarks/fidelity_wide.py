"""A hundred columns of ten values: what the default synthesizer makes of 4,950 pairs, and what it costs the driver."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pandas as pd
from fidelity_numpy import CodeCurator, driven
from fidelity_protocol import DELTA, Metered

from synthward.domain.spec import Categorical, Domain
from synthward.fit.base import Task
from synthward.fit.catalog import synthesizer
from synthward.privacy.queries import Marginal
from synthward.privacy.unit import PrivacyUnit
from synthward.run.plan import with_curve
from synthward.spec.request import Synthesizer as Settings

COLUMNS, VALUES, ROWS = 100, 10, 200_000


def wide() -> dict[str, float | str]:
    """One release at epsilon 1, a row as the unit, on made-up rows of five hidden classes."""
    random = np.random.default_rng(7)
    names = [f"c{number}" for number in range(COLUMNS)]
    values = tuple(f"v{value}" for value in range(VALUES))
    domain = Domain(version=1, attributes={name: Categorical(required=True, values=values) for name in names})
    task = Task(domain, PrivacyUnit("row", 1), "gaussian", Decimal(1), DELTA, ROWS, Settings(name="few_round"))
    hidden = random.integers(0, 5, ROWS)
    columns = {}
    for name in names:
        own = np.where(random.random(ROWS) < 0.4, random.permutation(VALUES)[hidden], random.integers(0, VALUES, ROWS))
        columns[name] = own.astype(np.int64)
    rows = pd.DataFrame(columns)
    metered = Metered(synthesizer("few_round"))
    task = with_curve(task, metered)
    model, last = driven(metered.rounds(task), CodeCurator(task, rows))
    measured = sum(len(item.query.clique) > 1 for item in last.asked if isinstance(item.query, Marginal))
    return {
        "columns": COLUMNS,
        "pairs": COLUMNS * (COLUMNS - 1) // 2,
        "rows": ROWS,
        "epsilon": 1,
        "synthesizer": "few_round",
        "pairs_measured": measured,
        "model_cells": model.cells,
        **metered.figures(),
    }
