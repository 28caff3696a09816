"""The model's text: equal models are equal texts, and what does not fit is refused."""

from __future__ import annotations

import base64
import hashlib
import json

import numpy as np
import pytest

from synthward.errors import IntegrityError
from synthward.fit.model import ColumnModel, Model


def some() -> Model:
    grade = ColumnModel("g", np.full((5, 4), 0.25), np.array([0, 3]), 7, ("x",))
    return Model("test", "d" * 64, (grade, ColumnModel("x", np.array([0.1, 0.2, 0.3, 0.4, 0.0]))), ("x", "g"))


def test_a_model_survives_its_text() -> None:
    model = some()
    again = Model.parse(model.text, model.digest)
    assert again.text == model.text
    assert again.digest == hashlib.sha256(model.text.encode()).hexdigest()
    assert (again.order, again.column("g").parents, again.column("g").count) == (("x", "g"), ("x",), 7)
    np.testing.assert_array_equal(again.column("g").probabilities, model.column("g").probabilities)
    np.testing.assert_array_equal(again.column("g").starts, [0, 3])
    assert again.column("x").starts is None
    assert model.cells == 25


def test_another_digest_format_or_a_damaged_text_is_refused() -> None:
    model = some()
    with pytest.raises(IntegrityError, match="digest"):
        Model.parse(model.text, "0" * 64)
    for old, new, message in (
        ('"format":2', '"format":1', "format 1 is unknown"),
        ('"order":["x","g"]', '"order":["g","x"]', "damaged.*'g' depends on"),
        ('"order":["x","g"]', '"order":["x"]', "damaged.*order"),
        ('"cells":4', '"cells":5', "damaged"),
        ('"count":7', '"count":3', "damaged.*runs"),
    ):
        assert model.text.count(old) == 1
        with pytest.raises(IntegrityError, match=message):
            Model.parse(model.text.replace(old, new))
    for text in ("", "[]", "{}", json.dumps({"format": 2})):
        with pytest.raises(IntegrityError):
            Model.parse(text)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (ColumnModel("g", np.full((4, 4), 0.25), parents=("x",)), "shape"),
        (ColumnModel("g", np.full(4, 0.25), parents=("x",)), "shape"),
        (ColumnModel("g", np.full((1, 4), 0.25)), "shape"),
        (ColumnModel("g", np.full((25, 4), 0.25), parents=("x", "x")), "one twice"),
        (ColumnModel("g", np.full((5, 4), 0.25), parents=("y",)), "not drawn before"),
        (ColumnModel("g", np.full((4, 4), 0.25), parents=("g",)), "not drawn before"),
        (ColumnModel("g", np.array([0.5, 0.5, 0.5, -0.5])), "negative"),
        (ColumnModel("g", np.array([0.5, 0.4, 0.0, 0.0])), "sum to 1"),
        (ColumnModel("g", np.array([np.nan, 0.4, 0.6, 0.0])), "sum to 1"),
        (ColumnModel("g", np.full(4, 0.25), np.array([0, 3, 5]), 7), "runs"),
        (ColumnModel("g", np.full(4, 0.25), np.array([1, 3]), 7), "runs"),
        (ColumnModel("g", np.full(4, 0.25), np.array([0, 7]), 7), "runs"),
    ],
)
def test_parts_that_do_not_fit_are_refused(column: ColumnModel, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Model("test", "", (column, ColumnModel("x", np.full(5, 0.2))), ("x", "g"))


NUMBERS = [-1, 0, 2, "5", None, 1.5, True, 10**18, 2**63, [4], {"a": 1}, 10**400]


@pytest.mark.parametrize("value", NUMBERS, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("key", ["cells", "count"])
def test_numbers_beyond_their_limits_are_refused_in_words(key: str, value: object) -> None:
    body = json.loads(some().text)
    for place in (0, 1):
        if key == "count" and (place == 1 and value == 0):
            continue  # the count of codes
        changed = json.loads(json.dumps(body))
        changed["columns"][place][key] = value
        with pytest.raises(IntegrityError, match="damaged"):
            Model.from_body(changed)


@pytest.mark.parametrize(
    "value", [None, [], 5, "x", True, {"format": 2}, {}, {"format": True}, {"format": "2" * 10**6}]
)
def test_what_is_no_model_is_refused_in_words(value: object) -> None:
    with pytest.raises(IntegrityError) as caught:
        Model.from_body(value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("value", [None, 5, {}, "x" * 1001, [5], [None], ["x"] * 10_001])
@pytest.mark.parametrize("key", ["order", "columns", "synthesizer", "domain_digest"])
def test_parts_of_another_type_are_refused_in_words(key: str, value: object) -> None:
    with pytest.raises(IntegrityError, match="damaged"):
        Model.from_body({**json.loads(some().text), key: value})


def packed(*numbers: int) -> str:
    return base64.b64encode(np.array(numbers, "<i8").tobytes()).decode()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("groups", packed(0, 1, 2, 2**62)),
        ("groups", packed(0, 1, 2, -1)),
        ("groups", packed(0, 1)),
        ("groups", "AAAA"),
        ("groups", "!!!!"),
        ("groups", 5),
        ("starts", packed(0, -(2**63))),
        ("starts", packed(0, 2**63 - 1)),
        ("starts", packed()),
        ("starts", "A" * 10**6),
        ("probabilities", None),
        ("probabilities", ""),
        ("probabilities", "A" * (12 * 2**23)),
        ("parents", "x"),
        ("parents", [["x"]]),
        ("name", None),
        ("name", ["g"]),
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_their_size_matters(key: str, value: object) -> None:
    body = json.loads(some().text)
    body["columns"][0][key] = value
    with pytest.raises(IntegrityError, match="damaged"):
        Model.from_body(body)


def test_a_deep_text_is_refused_in_words() -> None:
    with pytest.raises(IntegrityError, match=r"too deeply|not a JSON object"):
        Model.parse("[" * 200_000)
    with pytest.raises(IntegrityError):
        Model.parse('{"a":' * 200_000 + "1" + "}" * 200_000)
