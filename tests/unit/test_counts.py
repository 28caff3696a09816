"""Counts with error bars: conditions, intervals, coverage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import joint_fits
from joint_fits import BOOKS, DOMAIN, ROWS, data
from small_model import model_file
from synthward.cli.main import main
from synthward.errors import IntegrityError, UsageError
from synthward.evaluate.quality.assessed import Release, assess
from synthward.evaluate.quality.questions import trials
from synthward.evaluate.quality.tables import judged, shown_codes
from synthward.fit.catalog import synthesizer
from synthward.sample.counts import CountErrors, Counts, condition_distance, half_width
from synthward.sample.drawn import DrawnRows
from synthward.sample.model_file import ModelFile
from synthward.sample.pyfunc import SyntheticRows

SMALL = model_file()
PAIRS = dict.fromkeys(judged(SMALL.books), 0.02)
ERRORS = CountErrors(10_000, 30, PAIRS, (1.0, 1.5, 2.0))


def counts(errors: CountErrors = ERRORS) -> Counts:
    return Counts(SMALL, errors)


def with_errors(errors: CountErrors = ERRORS) -> ModelFile:
    return ModelFile(SMALL.model, SMALL.domain, errors.to_json())


def test_conditions_are_values_lists_and_ranges() -> None:
    asked = counts()
    both = asked.count({"sex": ["F", "M"]})
    assert both.estimate == pytest.approx(
        asked.count({"sex": "F"}).estimate + asked.count({"sex": "M"}).estimate, abs=2
    )
    whole = asked.count({"age": {"from": 0, "to": 99}}).estimate
    assert whole == pytest.approx(
        asked.count({"age": {"to": 49}}).estimate + asked.count({"age": {"from": 50}}).estimate, abs=2
    )
    together = asked.count({"ward": "a", "ill": True, "age": {"from": 20, "to": 60}})
    assert 0 <= together.low <= together.estimate <= together.high < whole


def test_no_condition_counts_all_rows_with_the_noise_of_their_number() -> None:
    found = counts().count({})
    assert (found.estimate, found.low, found.high) == (10_000, 10_000 - 59, 10_000 + 59)


def test_an_interval_widens_with_what_is_expected_of_the_columns() -> None:
    wide = counts(CountErrors(10_000, 30, dict.fromkeys(PAIRS, 0.1), (1.0, 1.5, 2.0)))
    near, far = counts().count({"sex": "F"}), wide.count({"sex": "F"})
    assert near.estimate == far.estimate
    assert far.high - far.low > 3 * (near.high - near.low) > 0


def test_an_interval_grows_with_the_number_of_columns() -> None:
    factors = (1.0, 1.5, 2.0)
    widths = [half_width(PAIRS, factors, tuple(SMALL.books)[:k], 0.2) or 0.0 for k in range(1, 7)]
    assert widths == sorted(widths)
    assert widths[5] == pytest.approx(2 * widths[2])


def test_an_unknown_pair_has_the_bounds_of_its_columns() -> None:
    unknown = {columns: None if columns == ("sex", "age") else 0.02 for columns in PAIRS}
    found = counts(CountErrors(10_000, 0, unknown, (1.0, 1.5, 2.0))).count({"sex": "F", "age": {"to": 49}})
    women, young = (counts().count(where) for where in ({"sex": "F"}, {"age": {"to": 49}}))
    assert not found.known
    assert found.high >= min(women.estimate, young.estimate)
    assert found.low <= max(0, women.estimate + young.estimate - 10_000)
    assert condition_distance(unknown, ("sex", "age", "ill")) is None


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"height": 3}, "'height' is no column of the model"),
        ({"sex": "X"}, "'X' is not a declared value of column 'sex'"),
        ({"sex": []}, "the list of values of column 'sex' is empty"),
        ({"sex": {"from": "F"}}, "the condition on column 'sex'"),
        ({"age": {"above": 3}}, "the condition on column 'age'"),
        ({"age": {"from": None}}, "the ends of a range of column 'age'"),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(where: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        counts().count(where)


def test_the_model_file_carries_the_error_model() -> None:
    file = with_errors()
    again = ModelFile.parse(file.text, SMALL.model.digest)
    assert Counts.of(again).count({"sex": "F"}) == counts().count({"sex": "F"})
    with pytest.raises(UsageError, match="no error model of counts"):
        Counts.of(ModelFile.parse(SMALL.text))


@pytest.mark.parametrize(
    "damage", [{"rows": -1}, {"factors": []}, {"distances": [{"columns": ["sex"]}]}, {"rows": "1"}]
)
def test_a_damaged_error_model_is_refused(damage: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError, match="error model of counts"):
        CountErrors.parse({**ERRORS.to_json(), **damage})
    with pytest.raises(IntegrityError):
        ModelFile.parse(json.dumps({**json.loads(SMALL.text), "counts": 3}))


def test_the_pyfunc_counts() -> None:
    rows = SyntheticRows(with_errors())
    frame = rows.predict({"count": {"sex": "F"}})
    assert frame.to_dict("records") == [counts().count({"sex": "F"}).to_json()]
    assert rows.predict({"count": '{"sex": "F"}'}).equals(frame)
    with pytest.raises(UsageError, match="or count alone"):
        rows.predict({"count": {}, "rows": 3})


def test_the_command_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.json"
    path.write_text(with_errors().text)
    assert main(["count", str(path), "--where", '{"sex": "F"}']) == 0
    line = json.loads(capsys.readouterr().out)
    assert line == counts().count({"sex": "F"}).to_json() | {"model": SMALL.model.digest}
    assert main(["count", str(path), "--where", "sex"]) != 0


def test_intervals_cover_true_counts() -> None:
    """Conditions on the real rows: 95 % intervals, and none of them covers everything."""
    task = joint_fits.task("few_round", epsilon="2")
    rows = data()
    model, _, sealed = joint_fits.run(task, rows=rows)
    flat = [answer for part in sealed for answer in part]
    found = assess(Release(synthesizer("few_round"), task, ROWS, 1, replicates=2), model, flat, {}).counts
    drawn = DrawnRows.of(model, BOOKS, ROWS, 1)
    real = {column: rows[column].to_numpy(np.int64) for column in rows}
    asked = trials(BOOKS, real, shown_codes(drawn), np.random.default_rng(5))
    halves = [half_width(found.distances, found.factors, trial.columns, trial.released) for trial in asked]
    assert all(half is not None and 0 < half < 0.2 for half in halves)
    covered = [abs(trial.real - trial.released) <= (half or 0) for trial, half in zip(asked, halves, strict=True)]
    assert 0.85 <= np.mean(covered) <= 0.995
    assert DOMAIN.digest == model.domain_digest
