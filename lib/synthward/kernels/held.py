"""Numbers of a public grid as a column's floating type holds them.

0.7 as FLOAT is a little less than 0.7 as DOUBLE. Where a value is compared with a declared number, the number has to be
rounded as the value was. The bounds themselves are `domain.spec.Numeric.limits`, which the reference compares with too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pyspark.sql import types as T

from synthward.domain.grid import Grid


def held(grid: Grid, places: npt.NDArray[np.int64], data_type: T.DataType) -> npt.NDArray[np.float64]:
    """Values at grid indexes as `sample.decode` computes them and as the type holds them, as doubles.

    Args:
        grid: The grid; `low + index * step` fits 64 bits.
        places: Grid indexes, any shape.
        data_type: FLOAT rounds to 24 bits; any other type leaves the double as it is.
    """
    values = (places * grid.step + grid.low).astype(np.float64) / float(grid.denominator)
    if isinstance(data_type, T.FloatType):
        with np.errstate(over="ignore"):
            return values.astype(np.float32).astype(np.float64)
    return values


def spellings(number: float, data_type: T.DataType) -> list[float]:
    """A declared number and, in a column of FLOAT, what that type makes of it: -9.9 is not a FLOAT."""
    if not isinstance(data_type, T.FloatType):
        return [number]
    with np.errstate(over="ignore"):
        return list(dict.fromkeys([number, float(np.float32(number))]))
