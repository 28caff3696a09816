"""Worst-case neighbours of a request as files: its own columns, codes, bound, joins, formats and options.

D' holds the others: people below and above the bound, whose rows show every code. D holds one person more, whose rows
stand between theirs, in every file. All are made up: nothing is read from the request's own sources.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from synthward.domain.codes import CodeBook
from synthward.domain.spec import Date, Numeric
from synthward.prove.cells import as_text, every_code, extremes, hostile
from synthward.prove.texts import matching
from synthward.sources.patient import needed_columns
from synthward.spec.request import CsvOptions, Source
from synthward.spec.request_file import RequestFile

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Cells = tuple[object, ...]
Row = dict[str, object]

FILES = 3
"""Files of every table; the person's rows stand in each, first, between and last."""

OTHERS = 9
MANY = 10_000
_CANARY, _LEFT_OUT = 7, 8
"""Numbers of the person who is added, and of one who opted out."""

_CODECS = {"UTF-16": "utf-16", "UTF-32": "utf-32", "US-ASCII": "ascii"}


@dataclass(frozen=True)
class Case:
    """What the person who is added has.

    Attributes:
        name: In words.
        rows: The person's rows, cells in the order of the columns.
        parents: How often every foreign key of the person leads to the person: more than once where it fans out.
    """

    name: str
    rows: tuple[Cells, ...]
    parents: int = 1


def cases(file: RequestFile, *, quick: bool) -> list[Case]:
    """The persons to add, the hardest first.

    Args:
        file: The request.
        quick: The first few only.
    """
    K = file.request.patient.max_rows_per_patient
    books = _books(file)
    high = tuple(extremes(book)[0] for book in books.values())
    low = tuple(extremes(book)[1] for book in books.values())
    odd = _rows_of([hostile(book) for book in books.values()])
    if file.request.patient.unit == "row":
        every = _rows_of([every_code(book) for book in books.values()])
        wanted = [Case("one row, highest", (high,)), Case("one row, lowest", (low,))]
        return wanted + [Case(f"one row of undeclared cells, {k}", (row,)) for k, row in enumerate([*odd, *every][:4])]
    found = [
        Case("K rows in one cell", (high,) * K),
        Case("2 K rows in one cell", (high,) * (2 * K)),
        Case("undeclared and extreme cells", tuple(odd)),
        Case("K + 1 rows in one cell", (high,) * (K + 1)),
        Case(f"{MANY} rows in one cell", (high,) * MANY),
        Case("K rows of mixed signs", tuple((high, low)[k % 2] for k in range(K))),
        Case("2 K + 1 rows, lowest values, one highest", (*(low,) * (2 * K), high)),
        Case("every code, sentinel and missing text", tuple(_rows_of([every_code(book) for book in books.values()]))),
    ]
    if file.request.patient.path:
        found.insert(1, Case("K rows, each key with two parents", (high,) * K, parents=2))
    return found[:3] if quick else found


def id_kinds(file: RequestFile) -> tuple[str, ...]:
    """Kinds of ids that the request's key may have: texts, and whole numbers where format and shape allow them."""
    if file.request.patient.unit == "row":
        return ("none",)
    holder = file.request.patient.path[-1].source if file.request.patient.path else file.request.source
    try:
        identity(file, "number", _CANARY)
    except ValueError:
        return ("text",)
    return ("text",) if holder.format == "csv" else ("number", "text")


def identity(file: RequestFile, kind: str, number: int) -> object:
    """The id of a made-up person.

    Raises:
        ValueError: No id of this kind has the declared shape.
    """
    shape = file.request.patient.id
    pattern = None if shape is None else shape.pattern
    never = () if shape is None else shape.never
    for turn in range(50):
        text = matching(pattern, number + 10 * turn) if pattern else ("" if kind == "number" else "p") + str(number + 1)
        plain = text.isascii() and text.isdigit() and 0 < int(text) < 2**53
        if text in never or (kind == "number" and not plain):
            continue
        return int(text) if kind == "number" else text
    raise ValueError(f"no {kind} has the shape of an id")


@dataclass(frozen=True)
class Neighbours:
    """Writes D and D' of a request below a folder.

    Attributes:
        file: The request.
        folder: Where; driver and executors see it.
        kind: Kind of the ids.
    """

    file: RequestFile
    folder: Path
    kind: str

    def write(self, spark: SparkSession, name: str, case: Case | None) -> RequestFile:
        """Writes one data set and returns the request that reads it.

        Args:
            spark: Session, for Delta.
            name: Folder below.
            case: The person who is added; None for D'.
        """
        request, written = self.file.request, []
        for place, source in enumerate(request.sources):
            target = self.folder / name / str(place)
            target.mkdir(parents=True)
            columns = needed_columns(self.file, place)
            theirs = [row for person in self._others() for row in self._table(place, *person)]
            hers = [] if case is None else list(self._table(place, _CANARY, case.rows, case.parents))
            _written(spark, target, source, columns, _dealt(theirs, hers), self._types(place))
            written.append(_located(source, target))
        steps = tuple(
            dataclasses.replace(step, source=source)
            for step, source in zip(request.patient.path, written[1:], strict=False)
        )
        changed = dataclasses.replace(
            request, source=written[0], patient=dataclasses.replace(request.patient, path=steps)
        )
        excluded = request.population.excluded
        if excluded is not None:
            listed = dataclasses.replace(excluded, source=written[-1])
            changed = dataclasses.replace(changed, population=dataclasses.replace(request.population, excluded=listed))
        return dataclasses.replace(self.file, request=changed, document=None)

    def _others(self) -> Iterator[tuple[int, tuple[Cells, ...], int]]:
        """People of D': number, rows, parents."""
        K, books = self.file.request.patient.max_rows_per_patient, _books(self.file)
        every = _rows_of([every_code(book) for book in books.values()])
        if self.file.request.patient.unit == "row":
            yield 0, tuple(every), 1
            return
        counts = [1, K, K + 1, 2 * K + 1, 3, 1, 2, max(K - 1, 1), 5]
        start = 0
        for number, count in enumerate(counts):
            yield 20 + number, tuple(every[(start + k) % len(every)] for k in range(count)), 1 + number % 2
            start += count
        yield _LEFT_OUT, (every[0], every[-1]), 1

    def _table(self, place: int, number: int, rows: Sequence[Cells], parents: int) -> Iterator[Row]:
        """One person's rows of the table at `place`."""
        request = self.file.request
        path, key = request.patient.path, request.patient.key
        if place > len(path):
            if number == _LEFT_OUT and request.population.excluded is not None:
                yield {request.population.excluded.key: self._id(number)}
            return
        if place == 0:
            for count, cells in enumerate(rows):
                row: Row = dict(zip(request.columns, cells, strict=True))
                yield row | self._handed_on(0, number, count % 2)
            return
        for visit in range(2):
            arriving = {
                theirs: self._id(number) if key in (ours, theirs) else _link(place - 1, number, visit)
                for ours, theirs in path[place - 1].on.items()
            }
            for _ in range(parents if place == len(path) else 1):
                yield arriving | self._handed_on(place, number, visit)

    def _handed_on(self, place: int, number: int, visit: int) -> Row:
        """Keys from the table at `place` to the next, or to the person."""
        patient = self.file.request.patient
        if patient.unit == "row":
            return {}
        if place == len(patient.path):
            return {str(patient.key): self._id(number)}
        return {
            ours: self._id(number) if patient.key in (ours, theirs) else _link(place, number, visit)
            for ours, theirs in patient.path[place].on.items()
        }

    def _id(self, number: int) -> object:
        return identity(self.file, self.kind, number)

    def _types(self, place: int) -> dict[str, pa.DataType]:
        """Types of the columns of a typed format."""
        types: dict[str, pa.DataType] = {}
        for name, book in _books(self.file).items() if place == 0 else ():
            attribute = book.attribute
            if isinstance(attribute, Numeric):
                # Texts are converted by the product; a numeric column with texts for missing is one of texts.
                types[name] = pa.string() if attribute.missing else pa.float64()
            elif isinstance(attribute, Date):
                types[name] = pa.string() if attribute.format or attribute.missing else pa.date32()
            else:
                types[name] = pa.string()
        return types


def _books(file: RequestFile) -> Mapping[str, CodeBook]:
    """Code books of the columns' own cells: what is written is a date, also where days between two are counted."""
    columns = file.domain.restricted_to(file.request.columns).attributes
    return {name: CodeBook(name, attribute) for name, attribute in columns.items()}


def _rows_of(pools: Sequence[Sequence[object]]) -> list[Cells]:
    """Rows in which every cell of every pool stands at least once."""
    return [tuple(pool[k % len(pool)] for pool in pools) for k in range(max(map(len, pools)))]


def _link(level: int, number: int, visit: int) -> int:
    return (level + 1) * 10**6 + number * 10 + visit


def _dealt(theirs: Sequence[Row], hers: Sequence[Row]) -> list[list[Row]]:
    """Rows by file: the person's before, between and after those of the others."""
    files = []
    for place in range(FILES):
        mine, others = list(hers[place::FILES]), list(theirs[place::FILES])
        half, third = len(others) // 2, -(-len(mine) // 3)
        files.append([*mine[:third], *others[:half], *mine[third : 2 * third], *others[half:], *mine[2 * third :]])
    return files


def _located(source: Source, target: Path) -> Source:
    return dataclasses.replace(source, path=str(target), table=None, snapshot="pin")


def _written(
    spark: SparkSession,
    target: Path,
    source: Source,
    columns: Sequence[str],
    files: Sequence[Sequence[Row]],
    types: Mapping[str, pa.DataType],
) -> None:
    if source.format == "csv":
        for number, rows in enumerate(files):
            (target / f"{number}.csv").write_bytes(_csv(rows, columns, source.csv_options))
        return
    plain = target if source.format == "parquet" else target.with_name(f"{target.name}-plain")
    plain.mkdir(exist_ok=True)
    held = {name: types.get(name) or _type_of(name, files) for name in columns}
    for number, rows in enumerate(files):
        arrays = {name: pa.array([_typed(row.get(name), kind) for row in rows], kind) for name, kind in held.items()}
        pq.write_table(pa.table(arrays), plain / f"{number}.parquet")
    if source.format == "delta":
        spark.read.parquet(str(plain)).write.format("delta").mode("overwrite").save(str(target))


def _type_of(name: str, files: Sequence[Sequence[Row]]) -> pa.DataType:
    found = next((row[name] for rows in files for row in rows if row.get(name) is not None), 0)
    return pa.int64() if isinstance(found, int) else pa.string()


def _typed(cell: object, kind: pa.DataType) -> object:
    if kind == pa.string():
        return as_text(cell)
    if kind == pa.float64():
        return cell if isinstance(cell, float) else None
    return cell


def _csv(rows: Sequence[Row], columns: Sequence[str], options: CsvOptions) -> bytes:
    """Lines as an exporter writes them who keeps the promise: no text holds a line break."""
    names = list(columns) if options.header else list(options.names)
    lines = [_line(names, options)] if options.header else []
    lines += [_line([_plain(row.get(name), options) for name in names], options) for row in rows]
    return "".join(f"{line}\n" for line in lines).encode(_CODECS.get(options.encoding, options.encoding))


def _plain(cell: object, options: CsvOptions) -> str:
    """A cell's text, without what the file's encoding or its lack of quotes cannot hold."""
    text = (as_text(cell) or "").replace("\n", " ").replace("\r", " ")
    codec = _CODECS.get(options.encoding, options.encoding)
    text = text.encode(codec, "ignore").decode(codec)
    return text if options.quote else text.replace(options.delimiter, " ")


def _line(fields: Sequence[str], options: CsvOptions) -> str:
    return options.delimiter.join(_field(text, options) for text in fields)


def _field(text: str, options: CsvOptions) -> str:
    quote = options.quote
    if not quote or not (quote in text or options.delimiter in text or options.escape in text):
        return text
    inner = text if options.escape == quote else text.replace(options.escape, options.escape * 2)
    return f"{quote}{inner.replace(quote, options.escape + quote)}{quote}"
