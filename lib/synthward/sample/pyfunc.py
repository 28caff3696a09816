"""The model as MLflow loads it: `mlflow.pyfunc.load_model(...).predict({"rows": n, "where": {...}})`.

Without pickle: MLflow keeps the model file, this package's code and the name of this module, which reads the file.
Neither Spark nor MLflow is imported here. MLflow's loader checks nothing and imports what the stored model names;
`synthward.load_model` checks the model first (`tracking.loading`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from synthward.errors import UsageError
from synthward.sample.counts import Counts
from synthward.sample.local import sample_table
from synthward.sample.model_file import ModelFile
from synthward.sample.wishes import is_absent

KEYS = ("rows", "seed", "where")

COUNT = "count"
"""Key of a request for a count instead of rows: its conditions, a mapping or its JSON text."""

NULLABLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
}
"""Types of the frame's columns by Arrow's."""


class SyntheticRows:
    """Draws rows from one model."""

    def __init__(self, file: ModelFile) -> None:
        self._file = file
        self._counts: Counts | None = None

    def count(self, where: Mapping[str, Any]) -> pd.DataFrame:
        """One row: `estimate`, `low` and `high` of a 95 % interval, and `known`; see `sample.counts.Counts.count`.

        Args:
            where: Conditions by column.

        Raises:
            UsageError: A condition makes no sense for this model, or the model file has no error model.
        """
        if self._counts is None:
            self._counts = Counts.of(self._file)
        return pd.DataFrame([self._counts.count(where).to_json()])

    def predict(self, model_input: object) -> pd.DataFrame:
        """Synthetic rows with values decoded.

        Args:
            model_input: Mapping with `rows`, and if wanted `seed` (1) and `where` (a mapping, or its JSON text); or a
                mapping with `count` alone, whose conditions are counted with an interval (see `count`); or a DataFrame
                of one row with these columns, which is what a serving endpoint makes of it.

        Raises:
            UsageError: It is something else, makes no sense for this model, or asks for more rows than fit in memory.

        Columns have pandas' nullable types (`Int64`, `boolean`, `string`), so that a missing value does not turn whole
        numbers into fractions and truth into objects; other numbers are `float64`, dates `datetime.date` objects.
        """
        asked = _asked(model_input)
        if COUNT in asked:
            return self.count(_mapping(COUNT, asked[COUNT]))
        where = None if asked.get("where") is None else _mapping("where", asked["where"])
        rows, seed = (_whole(name, asked.get(name, 1)) for name in ("rows", "seed"))
        table = sample_table(self._file, rows, seed, where)
        frame: pd.DataFrame = table.to_pandas(types_mapper=NULLABLE.get)
        return frame


def _mapping(name: str, given: object) -> Mapping[str, Any]:
    """A mapping, or its JSON text."""
    found = given
    if isinstance(given, str):
        try:
            found = json.loads(given)
        except (ValueError, RecursionError):
            raise UsageError(f"{name} is not JSON; give a mapping, or its JSON text") from None
    if not isinstance(found, Mapping):
        raise UsageError(f"{name} is a {type(found).__name__}; give a mapping from column to value or shares")
    return found


def _asked(model_input: object) -> dict[str, Any]:
    if isinstance(model_input, pd.DataFrame):
        if len(model_input) != 1:
            raise UsageError(f"one request is one row of rows, seed, where; found {len(model_input)} rows")
        found = {str(name): value for name, value in model_input.iloc[0].items() if not is_absent(value)}
    elif isinstance(model_input, Mapping):
        found = {str(name): value for name, value in model_input.items() if value is not None}
    else:
        raise UsageError(f"ask with a mapping such as {{'rows': 1000}}, not with a {type(model_input).__name__}")
    if set(found) == {COUNT}:
        return found
    unknown = [name for name in found if name not in KEYS]
    if unknown or "rows" not in found:
        raise UsageError(
            "a request has rows, seed and where, and rows always, or count alone; found "
            f"{', '.join(found) or 'nothing'}"
        )
    return found


def _whole(name: str, value: object) -> int:
    """An integer of any of the types in which MLflow hands it on."""
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return int(value)
    raise UsageError(f"{name} must be a whole number, found a {type(value).__name__}, or a number with a fraction")


def _load_pyfunc(path: str) -> SyntheticRows:
    """Called by MLflow with the path of the model file."""
    return SyntheticRows(ModelFile.load(Path(path)))
