"""Parquet files: an explicit schema of the requested columns only, by the types that each file's own footer declares.

Types that differ between files are widened by public rules; what has no common type is refused with both types.
Instants that Spark cannot read to their ends (milliseconds, nanoseconds) are read as the integers that are stored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.conditions import kind_of
from synthward.errors import SourceError
from synthward.sources import _worker
from synthward.sources.columns import listed
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
from synthward.spec.request import Source
from synthward.store.places import local_path, quoted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_NO_COLUMN = "_no_column"
_INTEGERS = ("TINYINT", "SMALLINT", "INT", "BIGINT")
_LARGEST_MICROS = 2**62
"""Beyond it an instant is read as this many microseconds, 146,000 years: far outside of every domain."""
_PER_MICRO = {"MILLIS": 1000, "MICROS": 1, "NANOS": -1000}
_remembered: dict[tuple[str, str, tuple[str, ...]], list[dict[str, Any]]] = {}
"""Described footers by fingerprint, place and names: pinned files are described once, not in every pass."""
_MOST_REMEMBERED = 32


Leaf = tuple[str, ...]
"""Type of a column in a file, then the names that lead to it from the top."""


@dataclass(frozen=True)
class Described:
    """One file and the requested columns in it; a column that the file lacks is absent."""

    file: SourceFile
    leaves: Mapping[str, Leaf]


def pin(spark: SparkSession, source: Source) -> Pinned:
    """See `Format.pin`."""
    return pin_files(spark, source)


def check_unchanged(spark: SparkSession, pinned: Pinned, failure: Exception | None) -> None:  # noqa: ARG001
    """See `Format.check_unchanged`."""
    check_files(spark, pinned)


def open(spark: SparkSession, pinned: Pinned, names: Sequence[str]) -> DataFrame:  # noqa: A001 - the protocol's word
    """See `Format.open`."""
    files = list_files(spark, pinned.source)
    folders = folder_columns(files, names)
    described = _described(spark, pinned.source, files, tuple(dict.fromkeys(names)))
    targets = _targets(pinned.source, described, [name for name in names if name not in folders])
    groups: dict[tuple[Leaf | None, ...], list[SourceFile]] = {}
    for one in described:
        groups.setdefault(tuple(one.leaves.get(name) for name in names), []).append(one.file)
    frames = []
    for leaves, members in groups.items():
        everything = len(groups) == 1
        paths = [literal(str(pinned.source.path))] if everything else [literal(file.path) for file in members]
        found = {name: leaf for name, leaf in zip(names, leaves, strict=True) if leaf is not None}
        frames.append(_read(spark, paths, found, names, targets, folders))
    return reduce(lambda one, other: one.unionAll(other), frames)


def _read(
    spark: SparkSession,
    paths: list[str],
    leaves: Mapping[str, Leaf],
    names: Sequence[str],
    targets: Mapping[str, T.DataType],
    folders: Mapping[str, Column],
) -> DataFrame:
    """Files of the same types: the requested columns, each cast to its common type; the casts are total."""
    schema = T.StructType()
    for name, (kind, *parts) in leaves.items():
        if name not in folders and kind != "VOID":
            schema = _with_leaf(schema, parts, stored_type(kind))
    if not schema.fields:
        schema = T.StructType([T.StructField(_NO_COLUMN, T.StringType())])
    reader = plain_reader(spark).schema(schema)
    # Ancient dates as they are written, whatever the session says: a setting must not decide about one cell.
    reader = reader.option("datetimeRebaseMode", "CORRECTED").option("int96RebaseMode", "CORRECTED")
    columns = []
    for name in dict.fromkeys(names):
        kind, *parts = leaves.get(name, ("VOID",))
        if name in folders:
            column = folders[name]
        elif kind == "VOID":
            column = F.lit(None).cast(targets[name])
        else:
            column = _as_target(F.col(".".join(quoted(part) for part in parts)), kind, targets[name])
        columns.append(column.alias(name))
    return reader.parquet(*paths).select(*columns)


def _with_leaf(schema: T.StructType, parts: Sequence[str], data_type: T.DataType) -> T.StructType:
    """The schema with one more column, inside of structs where its path has several names."""
    if len(parts) == 1:
        return T.StructType([*schema.fields, T.StructField(parts[0], data_type)])
    inner = next((field.dataType for field in schema.fields if field.name == parts[0]), T.StructType())
    assert isinstance(inner, T.StructType)
    others = [field for field in schema.fields if field.name != parts[0]]
    return T.StructType([*others, T.StructField(parts[0], _with_leaf(inner, parts[1:], data_type))])


def stored_type(kind: str) -> T.DataType:
    """The type that a column of this kind is read as: every cell of it can be.

    Raises:
        KeyError: There is no such type.
    """
    decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", kind)
    if decimal:
        return T.DecimalType(int(decimal[1]), int(decimal[2]))
    if re.fullmatch(r"TIMESTAMP(_NTZ)?\((MILLIS|NANOS)\)", kind):
        return T.LongType()
    return _TYPES["STRING" if kind.startswith("CHAR(") else kind]


_TYPES: dict[str, T.DataType] = {
    "BOOLEAN": T.BooleanType(),
    "TINYINT": T.ByteType(),
    "SMALLINT": T.ShortType(),
    "INT": T.IntegerType(),
    "BIGINT": T.LongType(),
    "FLOAT": T.FloatType(),
    "DOUBLE": T.DoubleType(),
    "STRING": T.StringType(),
    "BINARY": T.BinaryType(),
    "DATE": T.DateType(),
    "INT96": T.TimestampType(),
    "TIMESTAMP(MICROS)": T.TimestampType(),
    "TIMESTAMP_NTZ(MICROS)": T.TimestampNTZType(),
    # No attribute and no key is read from these; they have types so that the refusal names the column as any other.
    "ARRAY": T.ArrayType(T.StringType()),
    "MAP": T.MapType(T.StringType(), T.StringType()),
    "STRUCT": T.StructType(),
}
_DIGITS = {"TINYINT": 3, "SMALLINT": 5, "INT": 10, "BIGINT": 19}


def common_type(kinds: Sequence[str]) -> T.DataType | None:
    """The type that holds the cells of all kinds, or None; a function of declared types alone.

    Whole numbers and decimals widen without loss, whole numbers or decimals with FLOAT or DOUBLE are DOUBLE, texts are
    texts whether padded or not, and instants of every unit are instants.

    Args:
        kinds: Types of one column in several files, see `_worker.leaf_kind`; at least one.
    """
    found = {kind for kind in kinds if kind != "VOID"}
    if not found:
        return T.StringType()
    if found <= set(_DIGITS):
        return _TYPES[max(found, key=_DIGITS.__getitem__)]
    if all(kind == "STRING" or kind.startswith("CHAR(") for kind in found):
        return T.StringType()
    if all(kind == "INT96" or kind.startswith("TIMESTAMP(") for kind in found):
        return T.TimestampType()
    if all(kind.startswith("TIMESTAMP_NTZ(") for kind in found):
        return T.TimestampNTZType()
    exact = {kind for kind in found if kind in _DIGITS or kind.startswith("DECIMAL(")}
    if found == exact:
        return _common_decimal(exact)
    if found - exact <= {"FLOAT", "DOUBLE"}:
        return T.FloatType() if found == {"FLOAT"} else T.DoubleType()
    return _TYPES.get(found.pop()) if len(found) == 1 else None


def _common_decimal(kinds: set[str]) -> T.DataType | None:
    whole, scale = 0, 0
    for kind in kinds:
        data_type = T.DecimalType(_DIGITS[kind], 0) if kind in _DIGITS else stored_type(kind)
        assert isinstance(data_type, T.DecimalType)
        whole, scale = max(whole, data_type.precision - data_type.scale), max(scale, data_type.scale)
    return T.DecimalType(whole + scale, scale) if whole + scale <= 38 else None


def _as_target(column: Column, kind: str, target: T.DataType) -> Column:
    """A column of a kind as the common type; no cell makes it fail."""
    instant = re.fullmatch(r"TIMESTAMP(_NTZ)?\((MILLIS|NANOS)\)", kind)
    if instant is not None:
        return _instant(_micros(column, instant[2]), without_zone=instant[1] is not None)
    if kind.startswith("CHAR("):
        return F.rtrim(column)
    return column if stored_type(kind) == target else column.cast(target)


def _micros(column: Column, unit: str) -> Column:
    """Microseconds of an instant that is stored in another unit, rounded down, and clipped far outside of all dates."""
    if unit == "MILLIS":
        largest = F.lit(_LARGEST_MICROS // 1000)
        return F.greatest(-largest, F.least(largest, column)) * F.lit(1000)
    rest = F.pmod(column, F.lit(1000).cast("long"))
    down = F.when((column < 0) & (rest != 0), F.lit(1)).otherwise(F.lit(0))
    return F.call_function("div", column, F.lit(1000).cast("long")) - down


def _instant(micros: Column, *, without_zone: bool) -> Column:
    if not without_zone:
        return F.timestamp_micros(micros)
    return F.expr("TIMESTAMP_NTZ'1970-01-01 00:00:00'") + F.expr("INTERVAL '0.000001' SECOND") * micros


def _targets(source: Source, described: Sequence[Described], names: Sequence[str]) -> dict[str, T.DataType]:
    """The common type of every requested column.

    Raises:
        SourceError: A column has no common type, or no type that can be read; all such columns at once.
    """
    targets, problems = {}, []
    for name in dict.fromkeys(names):
        kinds = [(one.file, one.leaves[name][0]) for one in described if name in one.leaves]
        found = common_type([kind for _, kind in kinds])
        if found is None:
            shown = [(file.public_name(source.location), kind) for file, kind in kinds if kind != "VOID"]
            problems.append(_no_common_type(name, shown))
        else:
            targets[name] = found
    if problems:
        raise SourceError("\n".join(problems))
    return targets


def _no_common_type(name: str, kinds: Sequence[tuple[str, str]]) -> str:
    first, *rest = kinds
    other = next(((file, kind) for file, kind in rest if common_type([first[1], kind]) is None), None)
    if other is None:
        other = next(((file, kind) for file, kind in rest if kind != first[1]), None)
    if other is None:
        return (
            f"column '{name}' is {first[1]} in {first[0]}, a type that cannot be read; write it as a number, a text, a "
            "date or a timestamp"
        )
    return (
        f"column '{name}' is {first[1]} in {first[0]} and {other[1]} in {other[0]}, which have no common type; write "
        "the files with one type"
    )


def _described(
    spark: SparkSession, source: Source, files: Sequence[SourceFile], names: tuple[str, ...]
) -> list[Described]:
    """The requested columns of every file.

    Raises:
        SourceError: A file has no Parquet footer, or a column is nowhere, twice, or both a column and a folder.
    """
    memory = (fingerprint(files), source.location, names)
    if memory not in _remembered:
        if len(_remembered) >= _MOST_REMEMBERED:
            _remembered.clear()
        _remembered[memory] = _footers(spark, source, files, names)
    facts = _remembered[memory]
    problems, is_folder = [], {name for file in files for name in file.folders if name in names}
    top = list(dict.fromkeys(column for fact in facts for column in fact.get("columns", ())))
    for file, fact in zip(files, facts, strict=True):
        shown = file.public_name(source.location)
        if "error" in fact:
            problems.append(f"source '{source.location}': {shown} is no Parquet file that can be read")
        problems += [
            f"column '{name}' is more than once in {shown}, upper and lower case aside; give every column a name of "
            "its own"
            for name in fact.get("twins", ())
        ]
        problems += [
            f"column '{name}' is a folder in some files and a column in {shown}; make it one or the other everywhere"
            for name in fact.get("kinds", ())
            if name in is_folder and name not in file.folders
        ]
        problems += [
            f"column '{name}' is written in other upper and lower case in {shown}; write the files with one name"
            for name in fact.get("cased", ())
            if any(name in other.get("kinds", ()) for other in facts)
        ]
    seen = is_folder | {name for fact in facts for name in (*fact.get("kinds", ()), *fact.get("twins", ()))}
    if not problems:
        problems += [
            f"column '{name}' is not in the source; its columns are: {listed([*top, *sorted(is_folder)])}. Names are "
            "compared exactly, upper and lower case included"
            for name in names
            if name not in seen
        ]
    if problems:
        raise SourceError("\n".join(problems[:20]))
    return [
        Described(file, {name: tuple(leaf) for name, leaf in fact["kinds"].items()})
        for file, fact in zip(files, facts, strict=True)
    ]


def _footers(
    spark: SparkSession, source: Source, files: Sequence[SourceFile], names: tuple[str, ...]
) -> list[dict[str, Any]]:
    """What the footers say, read by this process where it sees the files, and by the executors otherwise."""
    seen = [_seen_here(file.path) for file in files]
    if all(path is not None for path in seen):
        return [_worker.described(path, names) for path in seen if path is not None]
    # Spark has no reader of footers: executors hold one file at a time and hand on its last bytes.
    content = F.col("content")
    length = F.hex(F.substring(content, -8, 4))
    swapped = F.concat(*(F.substring(length, place, 2) for place in (7, 5, 3, 1)))
    size = F.least(F.lit(2**31 - 16), F.conv(swapped, 16, 10).cast("long")).cast("int") + F.lit(8)
    try:
        tails = plain_reader(spark).format("binaryFile").load(literal(str(source.path)))
        tails = tails.select("path", F.substr(content, -size, size).alias("footer"))
        rows = tails.mapInArrow(_worker.describe_footers(names), "path string, described string").collect()
    except Exception as error:  # noqa: BLE001  a classic session passes some errors on as py4j's own
        raise SourceError(
            f"source '{source.location}': the footers of its files cannot be read ({kind_of(error)}); a Parquet file "
            "must be smaller than 2 GiB and fit into an executor's memory. Write smaller files, or a Delta table"
        ) from None
    by_path = {row["path"]: json.loads(row["described"]) for row in rows}
    return [by_path.get(file.path, {"error": "gone"}) for file in files]


def _seen_here(path: str) -> Path | None:
    """The file as this process sees it: a local file, or a mounted folder of Databricks."""
    mounted = re.sub(r"^dbfs:/+(?=Volumes/)", "/", path)
    local = local_path(mounted if mounted != path else re.sub(r"^dbfs:/+", "/dbfs/", path))
    return local if local is not None and local.is_file() else None
