"""What an executor says about itself and does in a rehearsal. Imports numpy and pyarrow only, like all worker code."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa


def versions(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Function for `mapInArrow`: one row (python, numpy, pyarrow, synthward) a task."""
    import synthward

    for _ in batches:
        pass
    own = [platform.python_version(), np.__version__, pa.__version__, synthward.__version__]
    names = ["python", "numpy", "pyarrow", "synthward"]
    yield pa.RecordBatch.from_arrays([pa.array([text]) for text in own], names=names)


def replay(columns: Sequence[np.ndarray], names: Sequence[str]) -> Callable[[Iterator[pa.RecordBatch]], Any]:
    """Function for `mapInArrow` over one row: these columns, whatever comes in.

    Args:
        columns: Equal lengths; int64 or int32.
        names: Their names.
    """

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for _ in batches:
            pass
        yield pa.RecordBatch.from_arrays([pa.array(column) for column in columns], names=list(names))

    return run
