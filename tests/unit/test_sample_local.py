"""Rows from a model file without Spark: decoding, conditions, files, the command line, the class that MLflow loads."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.parquet
import pytest

from synthward.cli.main import main
from synthward.domain.spec import Boolean, Categorical, Date, Domain, Numeric
from synthward.errors import IntegrityError, UsageError
from synthward.fit.model import ColumnModel, Model
from synthward.sample.artifact import Artifact
from synthward.sample.condition import condition
from synthward.sample.local import LABEL, sample_table
from synthward.sample.pyfunc import SyntheticRows

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


def artifact(groups: bool = False) -> Artifact:
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
    return Artifact(Model("test", DOMAIN.digest, tuple(columns), tuple(CELLS)), DOMAIN)


def whole(model: Model) -> np.ndarray:
    """The joint distribution by brute force, axes in the order of CELLS."""
    names = list(CELLS)
    joint = np.ones(tuple(CELLS.values()))
    for column in model.columns:
        counts = [model.column(parent).group_count for parent in column.parents]
        table = column.probabilities.reshape(*counts, column.cells)
        for axis, parent in enumerate(column.parents):
            own = model.column(parent).groups
            table = table if own is None else np.take(table, own, axis=axis)
        axes = [names.index(name) for name in (*column.parents, column.name)]
        table = table.transpose(np.argsort(axes))
        joint = joint * table.reshape([CELLS[name] if place in axes else 1 for place, name in enumerate(names)])
    return joint


@pytest.mark.parametrize("groups", [False, True])
def test_one_condition_is_bayes_rule(groups: bool) -> None:
    model = artifact(groups).model
    before = whole(model)
    assert before.sum() == pytest.approx(1)
    for axis, (name, cells) in enumerate(CELLS.items()):
        marginal = before.sum(axis=tuple(k for k in range(6) if k != axis))
        share = np.where(marginal > 0, np.arange(1.0, cells + 1), 0)
        share /= share.sum()
        ratio = np.divide(share, marginal, out=np.zeros(cells), where=marginal > 0)
        expected = before * ratio.reshape([-1 if k == axis else 1 for k in range(6)])
        np.testing.assert_allclose(whole(condition(model, {name: share})), expected, atol=1e-9)
        fixed = np.eye(cells)[0]
        expected = before * (fixed / marginal[0]).reshape([-1 if k == axis else 1 for k in range(6)])
        np.testing.assert_allclose(whole(condition(model, {name: fixed})), expected, atol=1e-9)


@pytest.mark.parametrize("groups", [False, True])
def test_several_conditions_are_met_together(groups: bool) -> None:
    model = artifact(groups).model
    wanted = {"ward": np.array([0.2, 0.8, 0, 0]), "sex": np.array([0.6, 0.4, 0, 0]), "ill": np.full(4, 0.25)}
    after = whole(condition(model, wanted))
    assert after.sum() == pytest.approx(1)
    for name, shares in wanted.items():
        axis = list(CELLS).index(name)
        np.testing.assert_allclose(after.sum(axis=tuple(k for k in range(6) if k != axis)), shares, atol=1e-5)
    # Given the wanted columns, everything else is as the model says.
    ours, theirs = (part[0, :, :, 0, :, 0] for part in (after, whole(model)))
    np.testing.assert_allclose(ours / ours.sum(), theirs / theirs.sum(), atol=1e-9)


def test_what_the_model_cannot_draw_is_refused() -> None:
    model = artifact().model
    with pytest.raises(UsageError, match="'ward'"):
        condition(model, {"ward": np.array([0.5, 0.0, 0.5, 0.0])})
    zero = replace(model.columns[0], probabilities=np.array([1.0, 0, 0, 0]))
    with pytest.raises(UsageError, match="'sex'"):
        condition(replace(model, columns=(zero, *model.columns[1:])), {"sex": np.array([0.0, 1, 0, 0])})


def test_values_are_decoded() -> None:
    table = sample_table(artifact(), 20_000, seed=5)
    assert [str(field.type) for field in table.schema] == ["string", "int64", "double", "bool", "date32[day]", "string"]
    assert json.loads(table.schema.metadata[LABEL])["synthetic"] is True
    frame = table.to_pandas()
    assert set(frame["sex"].dropna()) == {"F", "M", "U"}
    assert frame["sex"].isna().any()
    assert frame["age"].dropna().between(0, 99).all()
    assert set(frame["dose"].dropna()) == {round(-1 + k * 0.1, 1) for k in range(21)}
    assert set(frame["ill"].dropna()) == {True, False}
    assert set(frame["seen"].dropna()) == {dt.date(2020, month, 1) for month in range(1, 13)}
    assert set(frame["ward"]) == {"a", "b"}
    for name, axis in (("sex", 0), ("ill", 3)):
        shares = whole(artifact().model).sum(axis=tuple(k for k in range(6) if k != axis))
        missing = shares[3] if name == "sex" else shares[2] + shares[3]
        assert frame[name].isna().mean() == pytest.approx(missing, abs=0.01)


def test_wanted_values_and_shares_appear() -> None:
    model = artifact()
    fixed = sample_table(model, 5_000, where={"age": 42, "ill": True, "sex": "U"}).to_pandas()
    assert (set(fixed["age"]), set(fixed["ill"]), set(fixed["sex"])) == ({42}, {True}, {"U"})
    shares = sample_table(model, 10_000, where={"age": {"42": 0.25, 77: 0.75}, "seen": {None: 1}}).to_pandas()
    assert shares["age"].value_counts().to_dict() == {77.0: 7500, 42.0: 2500}
    assert shares["seen"].isna().all()
    assert sample_table(model, 100, where={"seen": "2020-03-01"}).to_pandas()["seen"].eq(dt.date(2020, 3, 1)).all()
    joint = whole(model.model)
    given = joint[:, 4].sum(axis=(1, 2, 3, 4))
    drawn = sample_table(model, 50_000, where={"age": 42}).to_pandas()["sex"]
    assert (drawn == "F").mean() == pytest.approx(given[0] / given.sum(), abs=0.01)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"weight": 1}, "'weight' is no column"),
        ({"sex": "X"}, "'X' is not a declared value of column 'sex'"),
        ({"age": 100}, "100 is not a declared"),
        ({"age": "old"}, "'old' is not a declared"),
        ({"seen": "2021-01-01"}, "not a declared value of column 'seen'"),
        ({"ward": None}, "None is not a declared value of column 'ward'"),
        ({"sex": {"F": 0.5, "M": 0.6}}, "sum to 1.1"),
        ({"sex": {"F": -0.5, "M": 1.5}}, "at least 0"),
        ({"sex": {"F": True}}, "at least 0"),
        ({"sex": {}}, "sum to 0"),
        ({"age": {"41": 0.5, "42": 0.5}}, "lie in one bin"),
    ],
)
def test_wishes_that_make_no_sense_are_refused(where: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        sample_table(artifact(), 10, where=where)


def test_a_model_file_survives_and_guards_itself() -> None:
    model = artifact(groups=True)
    again = Artifact.parse(model.text, model.model.digest)
    assert again.text == model.text
    assert list(again.books) == list(CELLS)
    assert sample_table(again, 100).equals(sample_table(model, 100))
    body = json.loads(model.text)
    damaged = [
        {**body, "artifact": 2},
        {**body, "digest": "0" * 64},
        {**body, "domain": {**body["domain"], "title": "another"}},
        {**body, "domain": {"version": 1}},
        {**body, "model": {**body["model"], "synthesizer": "x"}},
    ]
    for text in ("", "[1]", *map(json.dumps, damaged)):
        with pytest.raises(IntegrityError):
            Artifact.parse(text)
    with pytest.raises(IntegrityError, match="digest"):
        Artifact.parse(model.text, "0" * 64)


def test_the_command_writes_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = artifact()
    file = tmp_path / "model.json"
    file.write_text(model.text, encoding="utf-8")
    for name in ("rows.parquet", "rows.csv"):
        out = tmp_path / name
        asked = ["sample", str(file), "--rows", "300", "--out", str(out), "--where", '{"sex": "F"}', "--seed", "9"]
        assert main(asked) == 0
        line = json.loads(capsys.readouterr().out)
        assert line == {"file": str(out), "model": model.model.digest, "rows": 300, "synthetic": True}
        assert main(asked) == 2
        assert "exists" in capsys.readouterr().err
    rows = pyarrow.parquet.read_table(tmp_path / "rows.parquet")
    assert rows.equals(sample_table(model, 300, seed=9, where={"sex": "F"}))
    assert json.loads(rows.schema.metadata[LABEL])["model"] == model.model.digest
    assert pyarrow.csv.read_csv(tmp_path / "rows.csv").num_rows == 300
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.json", "rows.csv", "rows.parquet"]
    for wrong, message in (
        (["--out", str(tmp_path / "x.txt")], ".parquet or .csv"),
        (["--out", str(tmp_path / "no" / "x.csv")], "cannot be written"),
        (["--out", str(tmp_path / "x.csv"), "--where", "[1]"], "JSON object"),
        (["--out", str(tmp_path / "x.csv"), "--seed", "-1"], "seed must be"),
    ):
        assert main(["sample", str(file), "--rows", "3", *wrong]) == 2
        assert message in capsys.readouterr().err
    assert main(["sample", str(tmp_path / "none.json"), "--rows", "3", "--out", str(tmp_path / "x.csv")]) == 2


def test_predict_takes_mappings_and_rows() -> None:
    model = SyntheticRows(artifact())
    expected = sample_table(artifact(), 50, 7, {"sex": "M"}).to_pandas()
    asked: dict[str, Any] = {"rows": 50, "seed": 7, "where": {"sex": "M"}}
    for form in (asked, {**asked, "where": '{"sex": "M"}'}, pd.DataFrame([asked]), {**asked, "rows": np.int64(50)}):
        pd.testing.assert_frame_equal(model.predict(form), expected)
    assert len(model.predict({"rows": 3})) == 3
    assert len(model.predict({"rows": 0})) == 0
    assert len(model.predict(pd.DataFrame({"rows": [3], "where": [None]}))) == 3
    no_where: list[object] = [{"rows": 1, "where": "["}, {"rows": 1, "where": 4}, 5]
    for wrong in ({}, {"rows": 1.5}, {"rows": True}, {"rows": 1, "n": 2}, *no_where):
        with pytest.raises(UsageError):
            model.predict(wrong)
