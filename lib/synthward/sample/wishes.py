"""What is asked of a sample, in Python's own types: frames, arrays and serving endpoints hand on scalars of theirs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd

from synthward.errors import UsageError


def is_absent(value: object) -> bool:
    """Whether a value means missing: None, and what numpy and pandas take for it."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, np.datetime64):
        return bool(np.isnat(value))
    return isinstance(value, float | np.floating) and bool(value != value)


def plain_where(where: Mapping[Any, Any]) -> dict[str, Any]:
    """A `where` whose numpy and pandas scalars are Python's own: frames and arrays hand on theirs.

    Raises:
        UsageError: A value or a share is no single value: a list, an array, a frame.
    """
    return {str(name): _plain_wish(str(name), value) for name, value in where.items()}


def plain_condition(where: Mapping[Any, Any]) -> dict[str, Any]:
    """Conditions of a count whose numpy and pandas scalars are Python's own; a column may ask for a list of values.

    Raises:
        UsageError: A value is no single value.
    """
    found: dict[str, Any] = {}
    for key, value in where.items():
        name = str(key)
        if isinstance(value, list | tuple | np.ndarray | pd.Series):
            found[name] = [plain_scalar(name, one) for one in value]
        elif isinstance(value, Mapping):
            found[name] = {str(end): plain_scalar(name, one) for end, one in value.items()}
        else:
            found[name] = plain_scalar(name, value)
    return found


def _plain_wish(name: str, value: object) -> object:
    if isinstance(value, pd.Series):
        value = value.to_dict()
    if isinstance(value, Mapping):
        return {plain_scalar(name, one): plain_scalar(name, share) for one, share in value.items()}
    return plain_scalar(name, value)


def plain_scalar(name: str, value: object) -> object:
    """A single value as Python's own type; what numpy and pandas take for missing is None.

    Raises:
        UsageError: It is no single value.
    """
    if is_absent(value):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    if isinstance(value, np.datetime64):
        return pd.Timestamp(value).to_pydatetime()
    if isinstance(value, np.generic):
        return plain_scalar(name, value.item())
    if isinstance(value, str | bool | int | float | Decimal | dt.date):
        return value
    raise UsageError(
        f"where: column '{name}' is asked for a {type(value).__name__}; give one value, None for missing, or a mapping "
        "from value to share"
    )
