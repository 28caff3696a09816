"""Rows from a model file without Spark: decoding, conditions, files, the command line, the class that MLflow loads."""

from __future__ import annotations

import datetime as dt
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.csv
import pyarrow.parquet
import pytest

from small_model import CELLS, DOMAIN, model_file
from synthward.cli.main import main
from synthward.domain.spec import Categorical, Domain
from synthward.errors import IntegrityError, UsageError
from synthward.fit.model import ColumnModel, Model
from synthward.sample.condition import condition
from synthward.sample.local import LABEL, MAX_ROWS_IN_MEMORY, sample_table, write_rows
from synthward.sample.model_file import ModelFile
from synthward.sample.pyfunc import NULLABLE, SyntheticRows


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
    model = model_file(groups).model
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
    model = model_file(groups).model
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
    model = model_file().model
    with pytest.raises(UsageError, match="'ward'"):
        condition(model, {"ward": np.array([0.5, 0.0, 0.5, 0.0])})
    zero = replace(model.columns[0], probabilities=np.array([1.0, 0, 0, 0]))
    with pytest.raises(UsageError, match="'sex'"):
        condition(replace(model, columns=(zero, *model.columns[1:])), {"sex": np.array([0.0, 1, 0, 0])})


def test_values_are_decoded() -> None:
    table = sample_table(model_file(), 20_000, seed=5)
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
        shares = whole(model_file().model).sum(axis=tuple(k for k in range(6) if k != axis))
        missing = shares[3] if name == "sex" else shares[2] + shares[3]
        assert frame[name].isna().mean() == pytest.approx(missing, abs=0.01)


def test_wanted_values_and_shares_appear() -> None:
    model = model_file()
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
        sample_table(model_file(), 10, where=where)


def test_a_model_file_survives_and_guards_itself() -> None:
    model = model_file(groups=True)
    again = ModelFile.parse(model.text, model.model.digest)
    assert again.text == model.text
    assert list(again.books) == list(CELLS)
    assert sample_table(again, 100).equals(sample_table(model, 100))
    body = json.loads(model.text)
    damaged = [
        {**body, "model_file": 2},
        {**body, "digest": "0" * 64},
        {**body, "domain": {**body["domain"], "title": "another"}},
        {**body, "domain": {"version": 1}},
        {**body, "model": {**body["model"], "synthesizer": "x"}},
    ]
    for text in ("", "[1]", *map(json.dumps, damaged)):
        with pytest.raises(IntegrityError):
            ModelFile.parse(text)
    with pytest.raises(IntegrityError, match="digest"):
        ModelFile.parse(model.text, "0" * 64)


def test_the_command_writes_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = model_file()
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
    model = SyntheticRows(model_file())
    expected = sample_table(model_file(), 50, 7, {"sex": "M"}).to_pandas(types_mapper=NULLABLE.get)
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


def test_frames_keep_whole_numbers_and_truth_where_values_are_missing() -> None:
    frame = SyntheticRows(model_file()).predict({"rows": 500})
    types = {name: str(kind) for name, kind in frame.dtypes.items()}
    expected = {
        "sex": "string",
        "age": "Int64",
        "dose": "float64",
        "ill": "boolean",
        "seen": "object",
        "ward": "string",
    }
    assert types == expected
    assert frame["age"].isna().any()
    assert frame["age"].dropna().between(0, 99).all()


@pytest.mark.parametrize(
    "where",
    [
        {"age": np.int64(42)},
        {"age": np.float64(42)},
        {"age": {np.int64(42): np.float32(1)}},
        {"age": pd.Series([1.0], index=[42])},
        {"seen": pd.NaT},
        {"seen": np.datetime64("NaT")},
        {"seen": pd.Timestamp("2020-03-01")},
        {"seen": np.datetime64("2020-03-01")},
        {"sex": pd.NA},
        {"sex": np.str_("F")},
        {"ill": np.bool_(True)},
        {"dose": float("nan")},
    ],
)
def test_scalars_of_numpy_and_pandas_are_values(where: dict[str, Any]) -> None:
    [name] = where
    drawn = sample_table(model_file(), 20, where=where).column(name).to_pylist()
    expected = {"age": 42, "ill": True, "sex": "F", "dose": None, "seen": dt.date(2020, 3, 1)}[name]
    absent = where[name] is pd.NA or where[name] is pd.NaT or str(where[name]) == "NaT"
    assert set(drawn) == {None if absent else expected}
    assert len(SyntheticRows(model_file()).predict(pd.DataFrame([{"rows": 20, "where": where}]))) == 20


@pytest.mark.parametrize(
    "where", [{"age": [42]}, {"age": np.array([42])}, {"age": {"42": [1]}}, {"age": {42: pd.NaT}}, {"sex": {"F", "M"}}]
)
def test_lists_and_arrays_are_no_values(where: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"column 'age'|column 'sex'"):
        SyntheticRows(model_file()).predict({"rows": 5, "where": where})


def test_rows_in_memory_are_limited_before_anything_is_drawn() -> None:
    for rows in (MAX_ROWS_IN_MEMORY + 1, 10**13, np.int64(10**13), 1e13):
        with pytest.raises(UsageError, match="rows must be at most"):
            SyntheticRows(model_file()).predict({"rows": rows})
    for rows in ("5", True, 2.5, [5], pd.NA):
        with pytest.raises(UsageError):
            SyntheticRows(model_file()).predict({"rows": rows})


def formulas() -> ModelFile:
    values = ("=1+1", "+x", "-x", "@SUM(A1)", "\tx", "\rx", "a=b", "-1")
    domain = Domain(version=1, attributes={"=cmd": Categorical(values=values), "_synthetic": DOMAIN.attributes["age"]})
    age = model_file().model.column("age").probabilities.mean(axis=0)
    grid = DOMAIN.attributes["age"].grid  # type: ignore[union-attr]
    columns = (
        ColumnModel("=cmd", np.full(10, 0.1)),
        ColumnModel("_synthetic", age, np.array(grid.starts), grid.count),
    )
    return ModelFile(Model("test", domain.digest, columns, ("=cmd", "_synthetic")), domain)


def test_a_csv_file_says_that_it_is_synthetic_and_runs_no_formula(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    write_rows(formulas(), file, 500, 1, None)
    table = pyarrow.csv.read_csv(file, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True))
    assert table.column_names == ["'=cmd", "_synthetic", "__synthetic"]
    assert set(table["__synthetic"].to_pylist()) == {True}
    texts = {text for text in table["'=cmd"].to_pylist() if text}
    assert not any(text[0] in "=+-@\t\r" for text in texts)
    assert {"'=1+1", "'+x", "'-x", "'@SUM(A1)", "a=b", "'-1"} <= texts
    write_rows(formulas(), tmp_path / "rows.parquet", 500, 1, None)
    parquet = pyarrow.parquet.read_table(tmp_path / "rows.parquet")
    assert parquet.column_names == ["=cmd", "_synthetic"]
    assert "=1+1" in parquet["=cmd"].to_pylist()


def test_rows_never_replace_or_follow_anything(tmp_path: Path) -> None:
    model = model_file()
    (tmp_path / "there.csv").write_text("mine", encoding="utf-8")
    (tmp_path / "link.csv").symlink_to(tmp_path / "there.csv")
    (tmp_path / "nowhere.csv").symlink_to(tmp_path / "none.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("there.csv", "link.csv", "nowhere.csv", "folder.csv"):
        with pytest.raises(UsageError, match=r"--out: .*(never replaces|through links|is not a file)"):
            write_rows(model, tmp_path / name, 5, 1, None)
    assert (tmp_path / "there.csv").read_text(encoding="utf-8") == "mine"
    assert not (tmp_path / "none.csv").exists()
    with pytest.raises(UsageError, match="cannot be written"):
        write_rows(model, tmp_path / "none" / "x.csv", 5, 1, None)


def test_a_model_file_of_another_kind_or_size_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 385 * 2**20)
    (tmp_path / "bytes").write_bytes(b"\xff")
    for name, words in (("fifo", "pipe"), ("huge", "384 MiB"), ("bytes", "UTF-8"), ("none", "no such file")):
        with pytest.raises(UsageError, match=words):
            ModelFile.load(tmp_path / name)
    with pytest.raises(UsageError, match="device"):
        ModelFile.load(Path("/dev/zero"))


@pytest.mark.parametrize("deep", ["[" * 200_000, '{"model_file": 1, "model": ' + "[" * 200_000])
def test_a_deep_model_file_is_refused_in_words(deep: str) -> None:
    with pytest.raises(IntegrityError, match=r"too deeply|not a JSON object"):
        ModelFile.parse(deep)


def test_a_model_of_another_size_than_its_domain_is_refused() -> None:
    wide = ColumnModel("sex", np.full(5, 0.2))
    flat = Domain(version=1, attributes={"sex": Categorical(values=("F", "M"))})
    with pytest.raises(IntegrityError, match="cells of its domain"):
        ModelFile.parse(ModelFile(Model("t", flat.digest, (wide,), ("sex",)), flat).text)
