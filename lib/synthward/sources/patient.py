"""From the requested columns of several tables to rows of units: the joins along the path to the patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.domain.codes import CodeBook
from synthward.errors import SourceError
from synthward.kernels.supported import unsupported
from synthward.sources.protocol import Pinned
from synthward.sources.reading import PinnedSource, open_table
from synthward.sources.units import rows_of_units
from synthward.spec.request import PathStep
from synthward.spec.request_file import RequestFile
from synthward.store.places import quoted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

_WHOLE_TEXT = r"^(-?(?:0|[1-9][0-9]*))\.0+\z"
_LARGEST_WHOLE = float(2**63)


def needed_columns(file: RequestFile, place: int) -> list[str]:
    """The only columns that are read of the table at `place` on the path to the patient; the opt-outs come last."""
    patient, excluded = file.request.patient, file.request.population.excluded
    if excluded is not None and place == len(patient.path) + 1:
        return [excluded.key]
    arriving = list(patient.path[place - 1].on.values()) if place else list(file.request.columns)
    if patient.unit == "row":
        return arriving
    leaving = list(patient.path[place].on) if place < len(patient.path) else [str(patient.key)]
    return list(dict.fromkeys([*arriving, *leaving]))


def source_rows(
    spark: SparkSession, pinned: PinnedSource, file: RequestFile, books: Mapping[str, CodeBook]
) -> DataFrame:
    """The requested columns as `c0`, `c1`, ... and the unit's id; only these columns are read.

    The path to the patient is a chain of plain inner joins: rows without a patient contribute nothing, and a foreign
    key with several parents fans out. n is counted on the result, on the final id.

    Raises:
        SourceError: A column is missing or has a type that its attribute cannot be read from.
    """
    patient = file.request.patient
    first = list(patient.path[0].on) if patient.path else [str(patient.key)]
    if patient.unit == "row":
        first = []
    frame = open_table(spark, pinned.tables[0], [*books, *first])
    columns, problems = [], []
    for place, (name, book) in enumerate(books.items()):
        fault = unsupported(book, frame.schema[name].dataType)
        if fault is not None:
            problems.append(f"column '{name}': {fault}")
        columns.append(F.col(quoted(name)).alias(f"c{place}"))
    if problems:
        raise SourceError("\n".join(problems))
    if patient.unit == "row":
        return frame.select(*columns)
    names = [f"c{place}" for place in range(len(columns))]
    carried = frame.select(*columns, *(F.col(quoted(name)).alias(f"k{k}") for k, name in enumerate(first)))
    for depth, step in enumerate(patient.path):
        hand_on = _next_keys(patient.path, depth, patient.key)
        carried = _join(spark, carried, names, pinned.tables[depth + 1], step, hand_on)
    return rows_of_units(carried, names, str(patient.key), patient.id, _opt_outs(spark, pinned, file))


def _opt_outs(spark: SparkSession, pinned: PinnedSource, file: RequestFile) -> DataFrame | None:
    """The list of opt-outs as its one column `id`, or None without a list."""
    excluded = file.request.population.excluded
    if excluded is None:
        return None
    frame = open_table(spark, pinned.tables[-1], [excluded.key])
    return frame.select(F.col(quoted(excluded.key)).alias("id"))


def _next_keys(path: tuple[PathStep, ...], depth: int, key: str | None) -> list[str]:
    """Columns that the table joined at `depth` must hand on: the next join's left side, at the end the patient's id."""
    return list(path[depth + 1].on) if depth + 1 < len(path) else [str(key)]


def _join(
    spark: SparkSession, carried: DataFrame, names: list[str], table: Pinned, step: PathStep, hand_on: list[str]
) -> DataFrame:
    theirs = list(step.on.values())
    parent = open_table(spark, table, [*theirs, *hand_on])
    right = parent.select(
        *(F.col(quoted(name)).alias(f"r{k}") for k, name in enumerate(theirs)),
        *(F.col(quoted(name)).alias(f"n{k}") for k, name in enumerate(hand_on)),
    )
    condition, problems = F.lit(True), []
    for place, (ours, its) in enumerate(step.on.items()):
        left_type, right_type = carried.schema[f"k{place}"].dataType, right.schema[f"r{place}"].dataType
        pair = same_value(F.col(f"k{place}"), left_type, F.col(f"r{place}"), right_type)
        if pair is None:
            problems.append(
                f"path: column '{ours}' is {left_type.simpleString()} and column '{its}' of '{table.source.location}' "
                f"is {right_type.simpleString()}; no value of one is a value of the other. Join columns of one kind"
            )
        else:
            condition = condition & pair
    if problems:
        raise SourceError("\n".join(problems))
    joined = carried.join(right, condition, "inner")
    return joined.select(*names, *(F.col(f"n{k}").alias(f"k{k}") for k in range(len(hand_on))))


def same_value(ours: Column, our_type: T.DataType, theirs: Column, their_type: T.DataType) -> Column | None:
    """Whether two keys are one value, or None where their types have no value in common.

    Numbers are compared by value, whatever type holds them: 1.0 is 1. A text is a number if it is the number as the
    engine writes whole numbers, with or without a fraction of zeros: `1` and `1.0`, but not `01`. A number with a
    fraction is no key, and NULL is equal to nothing. No cell makes the comparison fail.

    Args:
        ours: A key.
        our_type: Its type.
        theirs: The other key.
        their_type: Its type.
    """
    if our_type == their_type and not isinstance(our_type, T.FractionalType):
        return ours == theirs
    if isinstance(our_type, T.IntegralType) and isinstance(their_type, T.IntegralType):
        return ours.cast("long") == theirs.cast("long")
    kinds = {_kind(our_type), _kind(their_type)}
    if None in kinds:
        return None
    if kinds == {"number"}:
        return _number_text(ours, our_type) == _number_text(theirs, their_type)
    if kinds == {"number", "text"}:
        return _key_text(ours, our_type) == _key_text(theirs, their_type)
    if kinds <= {"text", "bytes", "date"} and kinds != {"bytes", "date"}:
        return ours.cast("string") == theirs.cast("string")
    return None


def _kind(data_type: T.DataType) -> str | None:
    kinds: Sequence[tuple[type[T.DataType], str]] = (
        (T.NumericType, "number"),
        (T.StringType, "text"),
        (T.BinaryType, "bytes"),
        (T.DateType, "date"),
    )
    return next((kind for type_, kind in kinds if isinstance(data_type, type_)), None)


def _key_text(key: Column, data_type: T.DataType) -> Column:
    if isinstance(data_type, T.NumericType):
        return _number_text(key, data_type)
    return F.regexp_replace(key, _WHOLE_TEXT, "$1")


def _number_text(key: Column, data_type: T.DataType) -> Column:
    """A whole number as the text of its value; NULL for a fraction, NaN and what no BIGINT holds."""
    if isinstance(data_type, T.IntegralType):
        return key.cast("string")
    if isinstance(data_type, T.DecimalType):
        whole = key.cast(T.DecimalType(38, data_type.scale))
        return F.regexp_replace(F.when(whole == F.floor(whole), whole.cast("string")), r"\.0+\z", "")
    number = key.cast("double")
    is_whole = (number == F.rint(number)) & (number >= -_LARGEST_WHOLE) & (number < _LARGEST_WHOLE)
    return F.when(is_whole, F.when(is_whole, number).cast("long").cast("string"))
