"""Requested columns of a table with a schema: by exact name or by a path into structs, CHAR without its padding."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.errors import SourceError
from synthward.store.places import quoted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

DECLARED_TYPE = "__CHAR_VARCHAR_TYPE_STRING"
"""Where Spark keeps the declared type of a column that is a string to it, in the metadata of the field."""
CHAR = re.compile(r"char\(\d+\)", re.IGNORECASE)


def select_columns(frame: DataFrame, names: Sequence[str]) -> DataFrame:
    """Exactly the requested columns, under the names by which they were requested.

    Raises:
        SourceError: A column is not there, or not by one name.
    """
    return frame.select(*(resolve_column(frame, name)[0].alias(name) for name in names))


def resolve_column(frame: DataFrame, name: str) -> tuple[Column, T.DataType]:
    """A column by its exact name, else by a dotted path into structs.

    Raises:
        SourceError: There is no such column.
    """
    whole = _field(frame.schema, name)
    if whole is not None:
        return _unpadded(F.col(quoted(name)), whole), whole.dataType
    parts = name.split(".")
    data_type: T.DataType = frame.schema
    field = T.StructField(name, data_type)
    for part in parts:
        found = _field(data_type, part)
        if found is None:
            raise SourceError(
                f"column '{name}' is not in the source; its columns are: {listed(frame.columns)}. "
                "Names are compared exactly, upper and lower case included"
            )
        field, data_type = found, found.dataType
    return _unpadded(F.col(".".join(quoted(part) for part in parts)), field), data_type


def _field(struct: T.DataType, name: str) -> T.StructField | None:
    """The field of exactly this name.

    Raises:
        SourceError: Others differ from it by case only; which one Spark would read depends on the session.
    """
    fields = struct.fields if isinstance(struct, T.StructType) else []
    alike = [field for field in fields if field.name.lower() == name.lower()]
    found = next((field for field in alike if field.name == name), None)
    if found is not None and len(alike) > 1:
        raise SourceError(
            f"column '{name}' is more than once in the source, upper and lower case aside: "
            f"{', '.join(field.name for field in alike)}; give every column a name of its own, for instance in a view"
        )
    return found


def _unpadded(column: Column, field: T.StructField) -> Column:
    """CHAR(n) is compared without its padding; the type is metadata, so that this is the same for every row."""
    return F.rtrim(column) if CHAR.fullmatch((field.metadata or {}).get(DECLARED_TYPE, "")) else column


def listed(columns: Sequence[str], most: int = 60) -> str:
    """Names of columns for a message; never those of a CSV file, which may be cells."""
    return ", ".join(columns[:most]) + (", ..." if len(columns) > most else "")
