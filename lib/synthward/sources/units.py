"""Rows with a key become rows of units: what is no id has no unit, and people who opted out are not there.

Both are decided row by row, from the key, the declared shape and the list of opt-outs alone, before anything is counted
and before rows of one unit are brought together (PROOFS.md, 2.7 and 2.8).
"""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.errors import SourceError
from synthward.kernels.encode import UNIT
from synthward.kernels.patients import id_problem, id_text, is_id, is_whole_number, key_problem, unit_key
from synthward.spec.patient_id import IdShape

KEY = "k0"
"""Column with the key of each row."""

_WHOLE = r"\A-?[0-9]{1,38}\z"


def rows_of_units(
    carried: DataFrame, names: Sequence[str], key: str, shape: IdShape | None, excluded: DataFrame | None
) -> DataFrame:
    """The rows that have a unit, with its id.

    Args:
        carried: Columns `names`, and the key as `k0`.
        names: Columns to keep.
        key: The key's name, for messages.
        shape: Declared shape of ids.
        excluded: Column `id`: ids of people who opted out; None without a list.

    Returns:
        Columns `names` and `unit`, which is never NULL.

    Raises:
        SourceError: The key or the list has a type that cannot be an id.
    """
    data_type = carried.schema[KEY].dataType
    for fault in (key_problem(data_type), id_problem(data_type, shape)):
        if fault is not None:
            raise SourceError(f"patient key '{key}': {fault}")
    rows = carried.where(is_id(F.col(KEY), data_type, shape))
    if excluded is not None:
        rows = _without(rows, data_type, excluded)
    return rows.select(*names, unit_key(F.col(KEY), data_type).alias(UNIT))


def _without(rows: DataFrame, data_type: T.DataType, excluded: DataFrame) -> DataFrame:
    """The rows whose id is not on the list.

    Whole numbers are compared by value, also where the list has them as text; texts and bytes exactly.
    """
    list_type = excluded.schema["id"].dataType
    fault = key_problem(list_type) or _unlike(data_type, list_type)
    if fault is not None:
        raise SourceError(f"list of opt-outs (population.excluded): {fault}")
    listed = excluded.where(is_id(F.col("id"), list_type, None))
    if is_whole_number(data_type) and isinstance(list_type, T.StringType):
        text = F.trim(id_text(F.col("id"), list_type))
        listed = listed.select(F.when(text.rlike(_WHOLE), text).try_cast("decimal(38,0)").cast("string").alias("id"))
    elif not isinstance(list_type, T.BinaryType):
        listed = listed.select(id_text(F.col("id"), list_type).alias("id"))
    own = F.col(KEY) if isinstance(data_type, T.BinaryType) else id_text(F.col(KEY), data_type)
    # Bytes are compared under no collation.
    return rows.join(
        listed.select(F.col("id").cast("binary").alias("id")), own.cast("binary") == F.col("id"), "left_anti"
    )


def _unlike(data_type: T.DataType, list_type: T.DataType) -> str | None:
    """Why ids of the two types cannot be compared without doubt, or None."""
    binary = isinstance(data_type, T.BinaryType)
    if binary != isinstance(list_type, T.BinaryType):
        types = f"its ids are {list_type.simpleString()}, the patient key is {data_type.simpleString()}"
        return f"{types}; write the list with ids of the key's type"
    if isinstance(data_type, T.StringType) and is_whole_number(list_type):
        return (
            f"its ids are {list_type.simpleString()} and the patient key is text, so that 7 and '007' could be one "
            "person; write the list as text, exactly as the source has the ids"
        )
    return None
