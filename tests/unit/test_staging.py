"""Staging without Spark: what a release draws."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from small_model import model_file
from synthward.errors import GateFailed, UsageError
from synthward.run.staging import _drawing
from synthward.sample.model_file import ModelFile
from synthward.spec.request import Output


def without(file: ModelFile, name: str, cell: int) -> ModelFile:
    """The file with a model that never draws one cell of a column without parents."""
    column = file.model.column(name)
    assert not column.parents
    probabilities = np.array(column.probabilities)
    probabilities[cell] = 0
    other = replace(column, probabilities=probabilities / probabilities.sum())
    columns = tuple(other if one is column else one for one in file.model.columns)
    return ModelFile(replace(file.model, columns=columns), file.domain)


def test_a_wish_that_the_model_cannot_draw_ends_the_run_like_a_failed_gate() -> None:
    file = model_file(groups=False)
    root = file.model.column(file.model.order[0])
    assert root.name == "sex"
    wish = Output(name="x", rows=10, where={"sex": {"F": Decimal(1)}})
    assert _drawing(file, wish).rows == 10
    with pytest.raises(GateFailed, match=r"output\.where: the model gives no row .* column 'sex'.*the charge stands"):
        _drawing(without(file, "sex", 0), wish)


def test_a_model_that_is_too_large_is_not_taken_for_a_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthward.sample.blocks.MAX_CELLS", 1)
    with pytest.raises(UsageError, match="every sampling task would receive them all"):
        _drawing(model_file(groups=False), Output(name="x", rows=10))
