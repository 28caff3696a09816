"""What an executor says about itself. Imports numpy and pyarrow only, like all worker code."""

from __future__ import annotations

import platform
from collections.abc import Iterator

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
