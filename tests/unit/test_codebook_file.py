"""Code books: every way in which one is written is read as declared, or refused with line and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthward.config.canonical import canonical_json
from synthward.domain.spec import Categorical, Domain, load_domain
from synthward.errors import ConfigError


def domain(folder: Path, content: bytes, **keys: str) -> Path:
    (folder / "codes.csv").write_bytes(content)
    options = "".join(f"    {name}: {value}\n" for name, value in keys.items())
    file = folder / "domain.yaml"
    text = f"version: 1\nattributes:\n  dx:\n    type: categorical\n    codebook: codes.csv\n{options}"
    file.write_text(text, encoding="utf-8")
    return file


def values(file: Path) -> tuple[str, ...]:
    attribute = load_domain(file).attributes["dx"]
    assert isinstance(attribute, Categorical)
    return attribute.values


GOOD = {
    "plain": (b"code,label\nA00,Cholera\nA01,Typhoid\n", {}),
    "byte order mark": (b"\xef\xbb\xbfcode,label\nA00,x\nA01,y\n", {}),
    "byte order mark and column": (b"\xef\xbb\xbfcode,label\nA00,x\nA01,y\n", {"codebook_column": "code"}),
    "windows line ends": (b"code\r\nA00\r\nA01\r\n", {}),
    "no last line end": (b"code\nA00\nA01", {}),
    "empty lines and cells": (b"\ncode,label\n\nA00,x\n,,\n,y\n\nA01,z\n".replace(b",,\n", b",\n"), {}),
    "again": (b"code,label\nA00,x\nA01,y\nA00,z\n", {}),
    "semicolon declared": (b"code;label\nA00;x\nA01;y\n", {"codebook_delimiter": "';'"}),
    "tab declared": (b"code\tlabel\nA00\tx\nA01\ty\n", {"codebook_delimiter": "tab"}),
    "bar declared": (b"code|label\nA00|x\nA01|y\n", {"codebook_delimiter": "'|'"}),
    "second column": (b"label,code\nx,A00\ny,A01\n", {"codebook_column": "code"}),
    "no header declared": (b"A00\nA01\n", {"codebook_header": "false"}),
    "header declared": (b"B99\nA00\nA01\n", {"codebook_header": "true"}),
    "utf-16 declared": ("code\nA00\nA01\n".encode("utf-16"), {"codebook_encoding": "UTF-16"}),
    "comma declared": (b"code;x,label\nA00,p\nA01,q\n", {"codebook_delimiter": "','"}),
    "quotes": (b'code,label\n"A00","a, b"\n"A01","c"\n', {}),
}


@pytest.mark.parametrize("name", list(GOOD))
def test_it_is_read_as_declared(tmp_path: Path, name: str) -> None:
    content, keys = GOOD[name]
    assert values(domain(tmp_path, content, **keys)) == ("A00", "A01")


def test_latin_1_is_read_where_it_is_declared(tmp_path: Path) -> None:
    content = "code\nZoë\nZoé\n".encode("latin-1")
    assert values(domain(tmp_path, content, codebook_encoding="ISO-8859-1")) == ("Zoë", "Zoé")


BAD: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "semicolon": (b"code;label\nA00;Cholera\n", {}, 5, "codes.csv:1: holds ';'.*codebook_delimiter: ';'"),
    "semicolon, column named": (b"code;label\nA00;x\n", {"codebook_column": "code"}, 5, "codes.csv:1: holds ';'"),
    "tab": (b"code\tlabel\nA00\tx\n", {}, 5, "codes.csv:1: holds a tab.*codebook_delimiter: 'tab'"),
    "bar": (b"code|label\nA00|x\n", {}, 5, r"codes.csv:1: holds '\|'"),
    "semicolon below one name": (b"code\nA00;x\nA01;y\n", {}, 5, "codes.csv:2: holds ';'"),
    "no header, not declared": (b"A00\nA01\n", {}, 5, "codes.csv:1: the first line has the form of the values"),
    "no header, numbers": (b"001\n02\n", {}, 5, "is a number, which looks like a value"),
    "no header, letters": (b"F\nM\nU\n", {}, 5, "has the form of all values below"),
    "no header, again": (b"male\nother\nmale\n", {}, 5, "stands again on line 3"),
    "no name": (b",label\nA00,x\n", {}, 5, "does not name this column"),
    "latin 1": (b"code,label\nA00,Chol\xe9ra\n", {}, 5, r"codes.csv is not UTF-8 \(byte 19\); save the file as UTF-8"),
    "latin 1 declared as UTF-8": (b"code\n\xe9\n", {"codebook_encoding": "UTF-8"}, 6, "is not UTF-8"),
    "utf-16": ("code\nA00\n".encode("utf-16"), {}, 5, "is UTF-16"),
    "short line": (b"code,label\nA00,x\nA01\n", {}, 5, "codes.csv:3: has 1 columns, line 1 has 2"),
    "long line": (b"code,label\nA00,x,y\n", {}, 5, "codes.csv:2: has 3 columns"),
    "open quote": (b'code\n"A00\nA01\n', {}, 5, "codes.csv:2: a quote is not closed"),
    "text after a quote": (b'code\n"A"00\n', {}, 5, "codes.csv:2: a quote is not closed, or text follows"),
    "line break in a value": (b'code\n"A\n0"\n', {}, 5, "codes.csv:2: the value has a line break"),
    "control character": (b"code\nA\x1b0\n", {}, 5, "codes.csv:2: the value has a hidden character"),
    "empty": (b"", {}, 5, "codes.csv is empty"),
    "header only": (b"code\n", {}, 5, "holds no values"),
    "no such column": (b"SECRET,HIV\nA,b\n", {"codebook_column": "code"}, 6, "no column of this name"),
    "column twice": (b"code,code\nA,b\n", {"codebook_column": "code"}, 6, "several columns of this name"),
    "column without header": (b"A00\n", {"codebook_header": "false", "codebook_column": "code"}, 7, "has no names"),
}


@pytest.mark.parametrize("name", list(BAD))
def test_what_is_not_certain_is_refused_at_the_line_of_the_key(tmp_path: Path, name: str) -> None:
    content, keys, line, words = BAD[name]
    file = domain(tmp_path, content, **keys)
    with pytest.raises(ConfigError, match=words) as caught:
        load_domain(file)
    [problem] = caught.value.problems
    assert (problem.file, problem.line) == (file, line)
    assert not any(secret in problem.message for secret in ("SECRET", "HIV", "Chol", "A00", "male"))


def test_all_code_books_of_a_domain_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "domain.yaml").write_text(
        "version: 1\nattributes:\n  a: {type: categorical, codebook: x.csv}\n"
        "  b: {type: categorical, codebook: y.csv}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_domain(tmp_path / "domain.yaml")
    assert [problem.line for problem in caught.value.problems] == [3, 4]


def test_how_a_code_book_is_read_needs_one(tmp_path: Path) -> None:
    (tmp_path / "domain.yaml").write_text(
        "version: 1\nattributes:\n  a: {type: categorical, values: [x], codebook_header: false}\n", encoding="utf-8"
    )
    with pytest.raises(ConfigError, match="there is no `codebook`"):
        load_domain(tmp_path / "domain.yaml")


def test_keys_of_code_books_leave_older_digests_as_they_are() -> None:
    """Approvals and model files hold digests of domains that knew none of these keys."""
    text = canonical_json(Domain(version=1, attributes={"a": Categorical(values=("x",))}))
    assert text == (
        '{"attributes":{"a":{"codebook":null,"codebook_column":null,"missing":[],"other":null,"required":false,'
        '"type":"categorical","values":["x"]}},"title":"","version":1}'
    )
