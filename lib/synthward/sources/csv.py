"""CSV files as stable records: one physical line is one record, checked strictly and parsed natively, line by line.

Lines end in LF or CR LF. A line is a record if its bytes are text in the declared encoding, its quotes are balanced
and in place, and it has exactly as many fields as its file's header. Any other line is malformed and belongs to nobody.
So what one line holds changes no other line (PROOFS 0.3). Line breaks inside of quoted texts would make several lines
of one record; that there are none is the exporter's promise, which every claim prints.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.conditions import kind_of
from synthward.errors import SourceError
from synthward.sources import _worker
from synthward.sources.locations import (
    SourceFile,
    check_files,
    fingerprint,
    folder_columns,
    list_files,
    literal,
    pin_files,
    plain_reader,
)
from synthward.sources.protocol import Pinned
from synthward.sources.records import field_pattern, parse, unescaped
from synthward.spec.request import CsvOptions, Source

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

BYTE_ORDER_MARK = "\ufeff"
LONGEST_HEADER = 2**20
"""Bytes of a first line that are looked at."""
_AT_ONCE = 8
_SHOWN = 20
_CODECS = {
    "UTF-8": "utf-8",
    "US-ASCII": "ascii",
    "ISO-8859-1": "iso-8859-1",
    "UTF-16LE": "utf-16-le",
    "UTF-16BE": "utf-16-be",
}
_MARKS = {
    "UTF-16": {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"},
    "UTF-32": {b"\xff\xfe\x00\x00": "utf-32-le", b"\x00\x00\xfe\xff": "utf-32-be"},
}
_remembered: dict[tuple[str, str, CsvOptions], list[Header | str]] = {}
"""Headers by fingerprint, place and options: of pinned files they are read once, not in every pass."""
_MOST_REMEMBERED = 32


@dataclass(frozen=True)
class Header:
    """The first line of a file, which is metadata.

    Attributes:
        codec: Python's name of the file's encoding.
        line: The line, decoded, without byte order mark and line break; None for files without a header.
        names: Its fields.
    """

    codec: str
    line: str | None
    names: tuple[str, ...]


def pin(spark: SparkSession, source: Source) -> Pinned:
    """See `Format.pin`."""
    return pin_files(spark, source, may_be_empty=not source.csv_options.header)


def check_unchanged(spark: SparkSession, pinned: Pinned, failure: Exception | None) -> None:  # noqa: ARG001
    """See `Format.check_unchanged`."""
    check_files(spark, pinned)


def open(spark: SparkSession, pinned: Pinned, names: Sequence[str]) -> DataFrame:  # noqa: A001 - the protocol's word
    """See `Format.open`. All columns are texts; an empty field is NULL, quoted or not."""
    source, options = pinned.source, pinned.source.csv_options
    names = list(dict.fromkeys(names))
    files = list_files(spark, source)
    folders = folder_columns(files, names)
    headers = _headers(spark, source, files)
    problems = _problems(source, files, headers, names, set(folders))
    if problems:
        raise SourceError("\n".join(problems[:_SHOWN]))
    groups: dict[Header, list[SourceFile]] = {}
    for file, header in zip(files, headers, strict=True):
        assert isinstance(header, Header)
        groups.setdefault(header, []).append(file)
    if not groups:
        return spark.createDataFrame([], T.StructType([T.StructField(name, T.StringType()) for name in names]))
    frames = []
    for header, members in groups.items():
        everything = len(groups) == 1
        paths = [literal(str(source.path))] if everything else [literal(file.path) for file in members]
        frames.append(_records(spark, paths, header, options, names, folders))
    return reduce(lambda one, other: one.unionAll(other), frames)


def _records(
    spark: SparkSession,
    paths: list[str],
    header: Header,
    options: CsvOptions,
    names: Sequence[str],
    folders: dict[str, Column],
) -> DataFrame:
    """The records of files with one header."""
    beside = [(f"d{place}", name) for place, name in enumerate(names) if name in folders]
    lines = _lines(spark, paths, header, {alias: folders[name] for alias, name in beside})
    line = F.col("line")
    no_record = {"", header.line, BYTE_ORDER_MARK + header.line} if header.line is not None else {""}
    is_line = F.col("is_text") & ~line.isin(*sorted(no_record))
    # Exploded, so that Spark splits a line once: it would move a filter, and with it the split, below a projection.
    split = lines.select(
        F.explode(F.when(is_line, F.array(fields(line, options, len(header.names))))).alias("fields"),
        *(alias for alias, _ in beside),
    )
    whole = split.where(F.size("fields") == len(header.names))
    of_folder = {name: alias for alias, name in beside}
    return whole.select(
        *(
            (
                F.col(of_folder[name])
                if name in of_folder
                else F.nullif(F.get("fields", F.lit(header.names.index(name))), F.lit(""))
            ).alias(name)
            for name in names
        )
    )


def _lines(spark: SparkSession, paths: list[str], header: Header, beside: dict[str, Column]) -> DataFrame:
    """Columns `line`, without its line break, `is_text`, whether its bytes could be decoded, and those beside."""
    reader = plain_reader(spark).option("lineSep", "\n")
    value = F.col("value")
    if header.codec.startswith("utf-") and header.codec != "utf-8":
        reader = reader.option("encoding", header.codec.upper().replace("-LE", "LE").replace("-BE", "BE"))
        raw = reader.text(paths).select(
            value.cast("binary").alias("value"), *(column.alias(name) for name, column in beside.items())
        )
        schema = ", ".join(["value string", *(f"{name} string" for name in beside)])
        read, is_text = raw.mapInArrow(_worker.decode_lines(header.codec), schema), value.isNotNull()
        others = list(beside)
        return read.select(_line(value, header).alias("line"), is_text.alias("is_text"), *others)
    is_text = F.is_valid_utf8(value)
    if header.codec == "iso-8859-1":
        value, is_text = F.decode(value.cast("binary"), "ISO-8859-1"), F.lit(True)
    elif header.codec == "ascii":
        is_text = is_text & (F.octet_length(value) == F.length(value))
    read = reader.text(paths).select(
        value.alias("value"), is_text.alias("is_text"), *(column.alias(name) for name, column in beside.items())
    )
    return read.select(_line(F.col("value"), header).alias("line"), "is_text", *beside)


def _line(value: Column, header: Header) -> Column:
    """A line without the CR of a line break; without a header any line may be the first and begin with a mark."""
    cut = F.when(F.endswith(value, F.lit("\r")), F.substr(value, F.lit(1), F.length(value) - 1)).otherwise(value)
    if header.line is not None:
        return cut
    return F.when(F.startswith(value, F.lit(BYTE_ORDER_MARK)), F.substr(cut, F.lit(2))).otherwise(cut)


def fields(line: Column, options: CsvOptions, count: int) -> Column:
    """The fields of one line as an array; NULL, or another number of fields than `count`, for a malformed line.

    The same as `records.parse`, in three ways. A line without quotes is split. One whose every field is quoted, without
    quotes inside, is split between the quotes: 2 `count` quotes are then all those around fields. Any other is cut into
    fields by their pattern; it is a record if the fields, joined again, are the line.

    Args:
        line: The line, without its line break.
        options: How it is written.
        count: The number of fields of a record.
    """
    delimiter, quote = options.delimiter, options.quote
    plain = F.split(line, _split_pattern(delimiter), -1)
    if not quote:
        return plain
    doubled = options.escape in ("", quote)
    quotes = F.octet_length(line) - F.octet_length(F.replace(line, F.lit(quote), F.lit("")))
    around = F.startswith(line, F.lit(quote)) & F.endswith(line, F.lit(quote))
    all_quoted = F.lit(doubled) & around & (quotes == 2 * count * len(quote.encode()))
    inside = F.substr(line, F.lit(2), F.length(line) - 2)
    between = F.split(inside, re.escape(f"{quote}{delimiter}{quote}"), -1)
    return F.when(~F.contains(line, F.lit(quote)), plain).when(all_quoted, between).otherwise(_cut(line, options))


def _cut(line: Column, options: CsvOptions) -> Column:
    """Fields by their pattern, unquoted, or NULL; what is computed once is bound by a lambda over one element."""
    delimiter = F.lit(options.delimiter)
    led = F.concat(delimiter, line)
    pattern = f"{re.escape(options.delimiter)}({field_pattern(options)})"
    found = F.regexp_extract_all(led, F.lit(pattern), F.lit(1))
    return F.get(
        F.transform(
            F.array(found),
            lambda cut: F.when(
                F.concat(delimiter, F.array_join(cut, options.delimiter)) == led,
                F.transform(cut, lambda field: _unquoted(field, options)),
            ),
        ),
        F.lit(0),
    )


def _unquoted(field: Column, options: CsvOptions) -> Column:
    inside, rule = F.substr(field, F.lit(2), F.length(field) - 2), unescaped(options)
    if rule is not None:
        inside = F.regexp_replace(inside, F.lit(rule[0]), F.lit(rule[1]))
    return F.when(F.startswith(field, F.lit(options.quote)), inside).otherwise(field)


def _split_pattern(text: str) -> str:
    """A character as a pattern in the form that Java splits by without compiling an expression."""
    return f"\\{text}" if text in ".$|()[{^?*+\\" else text


def _problems(
    source: Source,
    files: Sequence[SourceFile],
    headers: Sequence[Header | str],
    names: Sequence[str],
    folders: set[str],
) -> list[str]:
    """What is wrong with headers; names that were found are never told, they may be a patient's cells."""
    problems = []
    for file, header in zip(files, headers, strict=True):
        shown = file.public_name(source.location)
        if isinstance(header, str):
            problems.append(f"source '{source.location}': {shown} {header}")
            continue
        lower = [name.lower() for name in header.names]
        for name in names:
            alike = lower.count(name.lower())
            where = f"the header of {shown}" if header.line is not None else "`csv.names`"
            if name in folders:
                if name in header.names and name not in file.folders:
                    problems.append(
                        f"column '{name}' is a folder in some files and a column in {shown}; make it one or the other "
                        "everywhere"
                    )
            elif name not in header.names:
                problems.append(
                    f"column '{name}' is not in {where}. Names are compared exactly, upper and lower case and spaces "
                    "included; a file whose first line holds no names needs `csv: {header: false, names: [...]}`"
                )
            elif alike > 1:
                problems.append(
                    f"column '{name}' is more than once in {where}, upper and lower case aside; give every column a "
                    "name of its own"
                )
    return problems


def _headers(spark: SparkSession, source: Source, files: Sequence[SourceFile]) -> list[Header | str]:
    """The header of every file, or what is wrong with it."""
    memory = (fingerprint(files), source.location, source.csv_options)
    if memory not in _remembered:
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            _remembered[memory] = list(pool.map(lambda file: _header(spark, source, file), files))
    return _remembered[memory]


def _header(spark: SparkSession, source: Source, file: SourceFile) -> Header | str:
    options = source.csv_options
    codec = _CODECS.get(options.encoding)
    if codec is None:
        start = _first_line(spark, source, file, None)
        marks = _MARKS[options.encoding]
        codec = next((name for mark, name in marks.items() if start.startswith(mark)), None)
        if codec is None:
            return (
                f"has no byte order mark, so that {options.encoding} does not say how it is written; declare "
                "`encoding: UTF-16LE` or `UTF-16BE`"
            )
    if not options.header:
        return Header(codec, None, options.names)
    try:
        text = _first_line(spark, source, file, codec).decode(codec)
    except UnicodeDecodeError:
        return f"has a first line that is no text in {options.encoding}; declare `csv: {{encoding: ...}}`"
    line = text.removeprefix(BYTE_ORDER_MARK).removesuffix("\r")
    names = parse(line, options)
    if names is None:
        return "has a first line that is no well-formed record; see `delimiter`, `quote` and `escape` in `csv`"
    return Header(codec, line, tuple(names))


def _first_line(spark: SparkSession, source: Source, file: SourceFile, codec: str | None) -> bytes:
    """The bytes of a file's first line; Spark stops reading after it."""
    reader = plain_reader(spark).option("lineSep", "\n")
    if codec is not None and codec.startswith("utf-") and codec != "utf-8":
        reader = reader.option("encoding", codec.upper().replace("-LE", "LE").replace("-BE", "BE"))
    try:
        first = reader.text(literal(file.path)).where(F.col("_metadata.file_block_start") == 0).limit(1)
        rows = first.select(F.substring(F.col("value").cast("binary"), 1, LONGEST_HEADER)).collect()
    except Exception as error:  # noqa: BLE001  a classic session passes some errors on as py4j's own
        raise SourceError(
            f"source '{source.location}': {file.public_name(source.location)} cannot be read ({kind_of(error)})"
        ) from None
    return bytes(rows[0][0]) if rows else b""
