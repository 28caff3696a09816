"""Code books: one declared value a row of a CSV file, read strictly.

A code book that is read wrongly makes whole lines, or all but one, of its codes undeclared, and the run's budget goes
into a column of `other`. So whatever is not certain is refused, with the line in the code book and the key that
settles it. Messages hold lines and places, never what the file holds.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from synthward.config.files import CODEBOOK_BYTES, Fence, FileRefused, read_inside
from synthward.config.text import LINE, quoted, text_fault

MAX_VALUES = 2**20
"""Values of a code book at most."""

MAX_VALUE_LENGTH = 1000
"""Characters of a value at most."""

DELIMITERS = {",": ",", ";": ";", "|": "|", "tab": "\t"}
"""Delimiters by the name that stands in a domain."""

_NAMES = {character: name for name, character in DELIMITERS.items()}
_CODECS = {"UTF-8": "utf-8-sig", "ISO-8859-1": "iso-8859-1", "WINDOWS-1252": "cp1252", "UTF-16": "utf-16"}
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


class CodebookFault(ValueError):
    """A code book is not read.

    Attributes:
        key: The key of the domain that the fault belongs to.
    """

    def __init__(self, message: str, key: str = "codebook") -> None:
        self.key = key
        super().__init__(message)


@dataclass(frozen=True)
class Dialect:
    """How a domain says that a code book is written; None where it says nothing.

    Attributes:
        delimiter: The character between columns.
        encoding: One of `UTF-8`, `ISO-8859-1`, `WINDOWS-1252`, `UTF-16`.
        header: Whether the first line names the columns.
    """

    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None


@dataclass(frozen=True)
class _Row:
    """One record of the file and the line on which it begins, from 1."""

    line: int
    cells: list[str]


def read_codebook(fence: Fence, written: str, column: str | None, dialect: Dialect) -> tuple[str, ...]:
    """The values of a code book, in the order of the file.

    Empty lines and empty cells of the column are passed over; a value that stands there again counts once, because a
    column of a larger table repeats its values.

    Args:
        fence: Where the file may lie.
        written: Its path as written in the domain.
        column: The column to read, None for the first.
        dialect: What the domain says about the file.

    Raises:
        CodebookFault: The file may not or cannot be read, or it is not certain what its values are.
    """
    name = quoted(written.rpartition("/")[2]).strip("'")
    try:
        content = read_inside(fence, written, CODEBOOK_BYTES)
    except FileRefused as refused:
        raise CodebookFault(f"{quoted(written)} {refused}") from None
    text = _decoded(name, content, dialect.encoding)
    rows = list(_rows(name, text, dialect.delimiter or ","))
    if not rows:
        raise CodebookFault(f"{name} is empty; a code book is a CSV file with a header line and one value a row")
    if dialect.delimiter is None:
        _require_comma(name, rows)
    width = len(rows[0].cells)
    for row in rows:
        if len(row.cells) != width:
            raise CodebookFault(
                f"{name}:{row.line}: has {len(row.cells)} columns, line {rows[0].line} has {width}; quote a cell that "
                'holds the delimiter ("a, b"), or declare `codebook_delimiter`',
                "codebook_delimiter" if dialect.delimiter is not None else "codebook",
            )
    names, listed = ([], rows) if dialect.header is False else (rows[0].cells, rows[1:])
    place = _place(name, names, column)
    values: dict[str, int] = {}
    for row in listed:
        value = row.cells[place]
        fault = text_fault(value, MAX_VALUE_LENGTH, lines=False)
        if fault is not None:
            raise CodebookFault(f"{name}:{row.line}: the value {fault}")
        if value:
            values.setdefault(value, row.line)
    if dialect.header is None:
        _require_header(name, rows[0].line, names[place], values)
    if not 1 <= len(values) <= MAX_VALUES:
        found = "no values" if not values else f"more than {MAX_VALUES} values"
        raise CodebookFault(f"{name} holds {found} in this column; 1 to {MAX_VALUES} are possible")
    return tuple(values)


def _decoded(name: str, content: bytes, encoding: str | None) -> str:
    if encoding is None and content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise CodebookFault(f"{name} is UTF-16; save the file as UTF-8, or declare `codebook_encoding: UTF-16`")
    try:
        return content.decode(_CODECS[encoding or "UTF-8"])
    except UnicodeDecodeError as error:
        where = f"{name} is not {encoding or 'UTF-8'} (byte {error.start})"
        key = "codebook" if encoding is None else "codebook_encoding"
        raise CodebookFault(f"{where}; save the file as UTF-8, or declare its `codebook_encoding`", key) from None
    except UnicodeError:
        raise CodebookFault(f"{name} is not {encoding}; save the file as UTF-8", "codebook_encoding") from None


def _rows(name: str, text: str, delimiter: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    before = 0
    try:
        for cells in reader:
            if any(cells):
                yield _Row(before + 1, cells)
            before = reader.line_num
    except csv.Error:
        raise CodebookFault(
            f"{name}:{before + 1}: a quote is not closed, or text follows a closed one; write a quote inside of quotes "
            'twice ("")'
        ) from None


def _require_comma(name: str, rows: list[_Row]) -> None:
    """Nothing says that another character is the delimiter: not the first line, and not all lines together."""
    for other in (";", "\t", "|"):
        in_header = any(other in cell for cell in rows[0].cells)
        everywhere = len(rows[0].cells) == 1 and len(rows) > 1 and all(other in row.cells[0] for row in rows[1:])
        if in_header or everywhere:
            line = rows[0].line if in_header else rows[1].line
            shown = "a tab" if other == "\t" else f"'{other}'"
            raise CodebookFault(
                f"{name}:{line}: holds {shown}, and the code book is read with commas; declare `codebook_delimiter: "
                f"{_NAMES[other]!r}`, or `codebook_delimiter: ','` where commas are right"
            )


def _place(name: str, names: list[str], column: str | None) -> int:
    if column is None:
        return 0
    found = [place for place, one in enumerate(names) if one == column]
    if len(found) == 1:
        return found[0]
    wrong = "no column of this name" if not found else "several columns of this name"
    raise CodebookFault(
        f"{name} has {wrong} in its first line; compare `codebook_column`, its case included, with that line, and the "
        "delimiter with `codebook_delimiter`",
        "codebook_column",
    )


def _require_header(name: str, line: int, header: str, values: dict[str, int]) -> None:
    """The first line names the column, as far as its form can tell; a code that is taken for a name would be lost."""
    reason = None
    shapes = {_shape(value) for value in values}
    if not header or text_fault(header, LINE, lines=False) is not None:
        reason = "does not name this column"
    elif _NUMBER.fullmatch(header):
        reason = "is a number, which looks like a value"
    elif header in values:
        reason = f"stands again on line {values[header]}, so that it looks like a value"
    elif any(one.isdigit() for one in header) and _shape(header) in shapes:
        reason = "has the form of the values below, so that it looks like a value"
    elif len(values) > 1 and shapes == {_shape(header)}:
        reason = "has the form of all values below, so that it looks like a value"
    if reason is not None:
        raise CodebookFault(
            f"{name}:{line}: the first line {reason}; write the column's name above it, or declare `codebook_header: "
            "false` where the file has no header, `true` where this is one"
        )


def _shape(text: str) -> str:
    """A text with every digit as 9, capital as A and other letter as a."""
    return "".join("9" if c.isdigit() else "A" if c.isupper() else "a" if c.isalpha() else c for c in text)
