"""The strict YAML binder: what it accepts, and what it says, with the line, about what it does not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from synthward.config.fields import key
from synthward.config.loader import bind, bind_document, load, restore
from synthward.config.shapes import members
from synthward.errors import ConfigError


@dataclass(frozen=True)
class Number:
    TAG: ClassVar[str] = "number"
    bounds: tuple[Decimal, Decimal] = key(doc="Bounds.")
    whole: bool = key(False, doc="Whole numbers only.")

    def problems(self) -> Iterator[tuple[str, str]]:
        if self.bounds[1] <= self.bounds[0]:
            yield "bounds", "must ascend"


@dataclass(frozen=True)
class Label:
    TAG: ClassVar[str] = "label"
    values: tuple[str, ...] = key(doc="Values.", pattern="[^!]*")


@dataclass(frozen=True)
class Inner:
    rate: float = key(0.5, doc="A share.", minimum=0, maximum=1)
    options: dict[str, str] = key({}, doc="Free options.")


@dataclass(frozen=True)
class Doc:
    version: Literal[1] = key(doc="Format version.")
    name: str = key(doc="A name.", pattern="[a-z]+")
    count: int = key(3, doc="A count.", minimum=1, maximum=10)
    epsilon: Decimal = key(Decimal("1.5"), doc="Above zero.", exclusive_minimum=0)
    day: dt.date | None = key(None, doc="A day.")
    kind: Literal["pin", "copy"] = key("pin", doc="A kind.")
    colour: str = key("red", doc="A colour.", choices=("red", "green"))
    attributes: dict[str, Number | Label] = key({}, doc="Attributes.")
    inner: Inner = key(Inner(), doc="Nested.")
    maximum_rows: int | None = key(None, doc="Another name in YAML.", yaml="max_rows")

    def problems(self) -> Iterator[tuple[str, str]]:
        if "forbidden" in self.attributes:
            yield "attributes.forbidden.values[1]", "not this one"
            yield "inner.rate", "nor this"


GOOD = """\
# comment
version: 1
name: abc
count: 4
epsilon: 1e-9
day: 2027-06-30
max_rows: 1_000
attributes:
  age: {type: number, bounds: [0, 120.50], whole: true}
  code:
    type: label
    values: [1, 2, 00845, 3E03317, No, "null", 0x1F, 1_0, 2027-01-01, 'a b', .5]
  "x.y": {type: label, values: []}
inner: {rate: 1, options: {a: 1, b: no, c: 1.50}}
"""


def test_everything_supported_is_bound() -> None:
    doc = bind(GOOD, Doc)
    assert doc.epsilon == Decimal("1e-9")
    assert doc.day == dt.date(2027, 6, 30)
    assert doc.maximum_rows == 1000
    assert doc.kind == "pin"
    assert list(doc.attributes) == ["age", "code", "x.y"]
    assert doc.attributes["age"] == Number(bounds=(Decimal(0), Decimal("120.50")), whole=True)
    assert doc.inner == Inner(rate=1.0, options={"a": "1", "b": "no", "c": "1.50"})


def test_texts_written_as_numbers_or_booleans_keep_their_source_text() -> None:
    code = bind(GOOD, Doc).attributes["code"]
    assert isinstance(code, Label)
    expected = ("1", "2", "00845", "3E03317", "No", "null", "0x1F", "1_0", "2027-01-01", "a b", ".5")
    assert code.values == expected


def test_decimals_never_pass_through_a_float() -> None:
    text = "version: 1\nname: a\nepsilon: 0.1000000000000000055511151231257827021181583404541015625\n"
    assert str(bind(text, Doc).epsilon) == "0.1000000000000000055511151231257827021181583404541015625"


def test_defaults_are_not_shared_between_objects() -> None:
    first, second = bind("version: 1\nname: a\n", Doc), bind("version: 1\nname: a\n", Doc)
    first.attributes["x"] = Label(values=())
    assert second.attributes == {}


HEAD = "version: 1\nname: abc\n"

BAD: list[tuple[str, str, list[tuple[int, str, str]]]] = [
    ("empty", "", [(1, "", "the file is empty; it needs the keys version, name")]),
    ("only a comment", "# nothing\n", [(1, "", "the file is empty")]),
    ("explicit null", "---\nnull\n", [(1, "", "the file is empty")]),
    ("a list", "- a\n- b\n", [(1, "", "found a list, expected a mapping")]),
    ("a scalar", "hello\n", [(1, "", "found a plain text, expected a mapping")]),
    ("bad syntax", HEAD + "attributes: {a: [1\n", [(4, "", "not valid YAML")]),
    ("bad indent", HEAD + "count: 3\n  kind: pin\n", [(4, "", "not valid YAML")]),
    ("a tab", HEAD + "inner:\n\trate: 1\n", [(4, "", "a tab indents this line")]),
    ("control character", HEAD + "colour: r\x07d\n", [(3, "", "control character")]),
    ("two documents", HEAD + "---\nversion: 1\n", [(3, "", "a second document")]),
    ("duplicate key", HEAD + "count: 3\ncount: 4\n", [(4, "count", "this key is already on line 3")]),
    (
        "nested duplicate",
        HEAD + "inner:\n  rate: 1\n  rate: 0\n",
        [(5, "rate", "this key is already on line 4")],
    ),
    ("alias", HEAD + "inner: &i {rate: 1}\nattributes: *i\n", [(3, "", "anchors"), (4, "", "aliases")]),
    ("merge key", HEAD + "inner:\n  <<: {rate: 1}\n", [(4, "", "merge keys")]),
    ("tag", HEAD + "colour: !!str red\n", [(3, "", "tags are not supported")]),
    ("python tag", HEAD + "colour: !!python/name:os.system red\n", [(3, "", "tags are not supported")]),
    ("complex key", HEAD + "? [a, b]\n: 1\n", [(3, "", "a key must be a plain text")]),
    ("deep nesting", HEAD + "inner: " + "[" * 60 + "]" * 60 + "\n", [(3, "", "nested deeper than")]),
    ("missing key", "version: 1\n", [(1, "name", "the key is missing: A name.")]),
    ("null for a text", "version: 1\nname:\n", [(2, "name", "found nothing (null), expected a text")]),
    (
        "null word in a list",
        HEAD + "attributes:\n  a:\n    type: label\n    values:\n      - x\n      - null\n",
        [(8, "attributes.a.values[1]", "quote it")],
    ),
    ("unknown key, near", HEAD + "cuont: 3\n", [(3, "cuont", "unknown key; did you mean 'count'?")]),
    ("unknown key, far", HEAD + "zzz: 3\n", [(3, "", "an unknown key; allowed here: version, name, count")]),
    ("field name instead of YAML name", HEAD + "maximum_rows: 3\n", [(3, "maximum_rows", "did you mean 'max_rows'")]),
    ("text for int", HEAD + "count: three\n", [(3, "count", "found 'three', expected a whole number")]),
    ("quoted int", HEAD + 'count: "3"\n', [(3, "count", "found the quoted text '3', expected a whole number")]),
    ("float for int", HEAD + "count: 3.0\n", [(3, "count", "expected a whole number")]),
    ("octal-looking int", HEAD + "count: 010\n", [(3, "count", "expected a whole number")]),
    ("endless int", HEAD + "count: " + "9" * 5000 + "\n", [(3, "count", "more than 100 digits")]),
    ("int too small", HEAD + "count: 0\n", [(3, "count", "found 0, allowed is 1 or more")]),
    ("int too large", HEAD + "count: 11\n", [(3, "count", "found 11, allowed is 10 or less")]),
    ("list for int", HEAD + "count: [3]\n", [(3, "count", "found a list, expected a whole number")]),
    ("NaN", HEAD + "epsilon: .nan\n", [(3, "epsilon", "must be finite")]),
    ("nan word", HEAD + "epsilon: NaN\n", [(3, "epsilon", "must be finite")]),
    ("infinity", HEAD + "epsilon: -.inf\n", [(3, "epsilon", "must be finite")]),
    ("float NaN", HEAD + "inner: {rate: .NaN}\n", [(3, "inner.rate", "must be finite")]),
    ("huge exponent", HEAD + "epsilon: 1e999999999\n", [(3, "epsilon", "allowed are numbers within")]),
    ("not above", HEAD + "epsilon: 0.0\n", [(3, "epsilon", "found 0.0, allowed is more than 0")]),
    ("yes for bool", HEAD + "attributes:\n  a: {type: number, bounds: [0, 1], whole: yes}\n",
     [(4, "attributes.a.whole", "found 'yes', expected true or false")]),
    ("True for bool", HEAD + "attributes:\n  a: {type: number, bounds: [0, 1], whole: True}\n",
     [(4, "attributes.a.whole", "expected true or false")]),
    ("date format", HEAD + "day: 30.06.2027\n", [(3, "day", "expected a date, for instance 2027-06-30")]),
    ("no such day", HEAD + "day: 2027-02-30\n", [(3, "day", "not a calendar date")]),
    ("literal", HEAD + "kind: pins\n", [(3, "kind", "did you mean 'pin'?, expected one of pin, copy")]),
    ("choices", HEAD + "colour: greeen\n", [(3, "colour", "did you mean 'green'?, expected one of red, green")]),
    ("pattern", "version: 1\nname: ABC\n", [(2, "name", "expected a text that matches [a-z]+")]),
    ("pattern in a list", HEAD + "attributes: {a: {type: label, values: [x, y!]}}\n",
     [(3, "attributes.a.values[1]", "expected a text that matches")]),
    ("scalar for list", HEAD + "attributes: {a: {type: label, values: x}}\n",
     [(3, "attributes.a.values", "found 'x', expected a list")]),
    ("wrong length", HEAD + "attributes: {a: {type: number, bounds: [1]}}\n",
     [(3, "attributes.a.bounds", "found a list of 1, expected exactly 2 values")]),
    ("list for dict", HEAD + "attributes: [a]\n", [(3, "attributes", "found a list, expected a mapping")]),
    ("no type", HEAD + "attributes:\n  a:\n    values: [x]\n",
     [(4, "attributes.a", "the key 'type' is missing; it is one of label, number")]),
    ("unknown type", HEAD + "attributes:\n  a:\n    type: nmber\n",
     [(5, "attributes.a.type", "did you mean 'number'?, expected one of label, number")]),
    ("another variant's key", HEAD + "attributes: {a: {type: label, values: [], bounds: [0, 1]}}\n",
     [(3, "attributes.a", "an unknown key; allowed here: values")]),
    ("cross-field, nested", HEAD + "attributes:\n  a:\n    type: number\n    bounds: [1, 0]\n",
     [(6, "attributes.a.bounds", "must ascend")]),
    ("cross-field, item and absent key", HEAD + "inner:\n  options: {}\nattributes:\n  forbidden:\n    type: label\n"
     "    values:\n      - a\n      - b\n",
     [(3, "inner.rate", "nor this"), (10, "attributes.forbidden.values[1]", "not this one")]),
    ("version of the future", "version: 2\nnome: x\n", [(1, "version", "found '2', expected one of 1")]),
    ("version as text", 'version: "1"\nname: abc\n', [(1, "version", "found the quoted text '1'")]),
    ("no version", "name: abc\n", [(1, "version", "the key is missing: Format version.")]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), [pytest.param(t, e, id=name) for name, t, e in BAD])
def test_bad_documents(text: str, expected: list[tuple[int, str, str]], tmp_path: Path) -> None:
    file = tmp_path / "doc.yaml"
    file.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(ConfigError) as caught:
        load(file, Doc)
    problems = caught.value.problems
    assert [(p.line, p.path) for p in problems] == [(line, path) for line, path, _ in expected], problems
    for problem, (line, _, words) in zip(problems, expected, strict=True):
        assert words in problem.message
        assert str(problem).startswith(f"{file}:{line}: ")


def test_all_problems_at_once_in_the_order_of_the_lines() -> None:
    text = "version: 1\nname: ABC\ncount: x\ncount: 4\nepsilon: 0\nwhat: 1\ninner:\n  rate: 2\nday: never\n"
    with pytest.raises(ConfigError) as caught:
        bind(text, Doc)
    assert [p.line for p in caught.value.problems] == [2, 3, 4, 5, 6, 8, 9]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("name: caf\xe9".encode("latin-1"))
    for path, words in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "cannot be read"), (latin, "not UTF-8")):
        with pytest.raises(ConfigError, match=words):
            load(path, Doc)


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "doc.yaml"
    file.write_bytes(b"\xef\xbb\xbfversion: 1\r\nname: abc\r\ncount: 99\r\n")
    with pytest.raises(ConfigError) as caught:
        load(file, Doc)
    assert [p.line for p in caught.value.problems] == [3]


def test_a_document_keeps_its_lines() -> None:
    document = bind_document(GOOD, Doc, Path("doc.yaml"))
    assert document.problem("attributes.code.values[2]", "x").line == 12
    assert document.problem("attributes.x.y.values", "x").line == 13
    assert document.problem("attributes.age.nowhere", "x").line == 9
    assert document.problem("nowhere.at[3].all", "x").line == 1


def test_restore_says_what_is_wrong_with_a_stored_text() -> None:
    with pytest.raises(ConfigError, match="not valid JSON"):
        restore("{", Doc)
    with pytest.raises(ConfigError, match=r"inner.options.a: .* not valid Unicode"):
        restore('{"version": 1, "name": "a", "inner": {"options": {"a": "\\ud800"}}}', Doc)
    with pytest.raises(ConfigError, match="unknown key"):
        restore('{"version": 1, "name": "a", "zzz": 1}', Doc)


@dataclass(frozen=True)
class Unsupported:
    things: set[str] = key(doc="A set.")


@dataclass(frozen=True)
class Ambiguous:
    thing: Inner | Label = key(doc="Only one of them has a TAG.")


def test_annotations_that_cannot_be_bound_are_a_programming_error() -> None:
    with pytest.raises(TypeError, match=r"Unsupported.things"):
        members(Unsupported)
    with pytest.raises(TypeError, match="TAG"):
        members(Ambiguous)
