"""What runs in Python on the executors: lines of UTF-16 and UTF-32 files decoded strictly, footers of Parquet files.

Imports numpy and pyarrow only, like every module that executors load.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

Batches = Iterator[pa.RecordBatch]


def decode_lines(codec: str) -> Callable[[Batches], Batches]:
    """Decodes the first column, binary, to text; NULL for bytes that are no text. Other columns pass.

    Args:
        codec: Python's name of the encoding.
    """

    def run(batches: Batches) -> Batches:
        for batch in batches:
            texts = pa.array([_decoded(line, codec) for line in batch.column(0).to_pylist()], pa.string())
            yield pa.RecordBatch.from_arrays([texts, *batch.columns[1:]], names=batch.schema.names)

    return run


def _decoded(line: bytes | None, codec: str) -> str | None:
    try:
        return None if line is None else line.decode(codec)
    except UnicodeDecodeError:
        return None


def describe_footers(names: tuple[str, ...]) -> Callable[[Batches], Batches]:
    """Describes Parquet footers: from columns `path` and `footer`, the bytes from the metadata to the end of the file.

    Args:
        names: The requested columns.

    Returns:
        A function to columns `path` and `described`, JSON as `described` gives it.
    """

    def run(batches: Batches) -> Batches:
        for batch in batches:
            paths, footers = (column.to_pylist() for column in batch.columns)
            texts = [json.dumps(described(pa.BufferReader(b"PAR1" + footer), names)) for footer in footers]
            yield pa.RecordBatch.from_arrays(
                [pa.array(paths, pa.string()), pa.array(texts, pa.string())], names=["path", "described"]
            )

    return run


def described(file: Path | pa.BufferReader, names: tuple[str, ...]) -> dict[str, Any]:
    """The physical types of the requested columns of one Parquet file, from its footer alone.

    Args:
        file: The file, or a buffer that holds its footer.
        names: The requested columns, by exact name or by a path into structs.

    Returns:
        `columns`: all top-level names; `kinds`: [type, names from the top to the column] by
        requested name, absent where the file lacks the column;
        `twins`: requested names that are there more than once, upper and lower case aside; `cased`:
        requested names that are there in other upper and lower case; `error` where it is no Parquet file.
    """
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as opened:
            schema, arrow, facts = opened.schema, opened.schema_arrow, opened.metadata.metadata or {}
    except Exception as error:  # noqa: BLE001  pyarrow has several; the text may quote bytes
        return {"error": type(error).__name__}
    leaves: dict[str, list[Any]] = {}
    for place in range(len(schema)):
        leaves.setdefault(schema.column(place).path, []).append(schema.column(place))
    declared = _declared_types(facts)
    top = list(arrow.names)
    kinds, twins, cased = {}, [], []
    for name in names:
        parts = [name] if name in top else name.split(".")
        if sum(other.lower() == parts[0].lower() for other in top) > 1 and parts[0] in top:
            twins.append(name)
            continue
        field = _walk(arrow, parts)
        if field is None:
            cased += [name for other in top if other.lower() == name.lower()]
            continue
        found = leaves.get(".".join(parts), [])
        if len(found) == 1 and found[0].max_repetition_level == 0:
            kind = declared.get(name) or leaf_kind(found[0])
        else:
            kind = "ARRAY" if pa.types.is_list(field.type) else "MAP" if pa.types.is_map(field.type) else "STRUCT"
        kinds[name] = [kind, *parts]
    return {"columns": top, "kinds": kinds, "twins": twins, "cased": cased}


def _walk(schema: pa.Schema, parts: list[str]) -> pa.Field | None:
    index = schema.get_field_index(parts[0])
    if index < 0:
        return None
    field = schema.field(index)
    for part in parts[1:]:
        index = field.type.get_field_index(part) if pa.types.is_struct(field.type) else -1
        if index < 0:
            return None
        field = field.type.field(index)
    return field


def _declared_types(metadata: dict[bytes, bytes]) -> dict[str, str]:
    """Columns that Spark wrote as CHAR(n), which are padded texts to Parquet."""
    try:
        fields = json.loads(metadata[b"org.apache.spark.sql.parquet.row.metadata"])["fields"]
        kinds = {field["name"]: field["metadata"].get("__CHAR_VARCHAR_TYPE_STRING", "") for field in fields}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}
    return {name: kind.upper() for name, kind in kinds.items() if kind.lower().startswith("char(")}


_BY_WIDTH = {8: "TINYINT", 16: "SMALLINT", 32: "INT", 64: "BIGINT"}
_UNSIGNED = {8: "SMALLINT", 16: "INT", 32: "BIGINT", 64: "DECIMAL(20,0)"}
_PLAIN = {
    "BOOLEAN": "BOOLEAN",
    "INT32": "INT",
    "INT64": "BIGINT",
    "INT96": "INT96",
    "FLOAT": "FLOAT",
    "DOUBLE": "DOUBLE",
    "BYTE_ARRAY": "BINARY",
}


def leaf_kind(leaf: Any) -> str:
    """The type of a column in words: Spark's where it has one, and for instants the unit they are stored in.

    Args:
        leaf: A `pyarrow.parquet.ColumnSchema`.
    """
    logical = json.loads(leaf.logical_type.to_json())
    physical, word = leaf.physical_type, logical.get("Type", "None")
    if word in ("None", "Undefined"):
        kind = _PLAIN.get(physical)
    elif word == "Int":
        kind = (_BY_WIDTH if logical["isSigned"] else _UNSIGNED)[logical["bitWidth"]]
    elif word == "Decimal":
        kind = f"DECIMAL({logical['precision']},{logical['scale']})"
    elif word == "Timestamp":
        unit = {"milliseconds": "MILLIS", "microseconds": "MICROS", "nanoseconds": "NANOS"}[logical["timeUnit"]]
        kind = f"TIMESTAMP({unit})" if logical["isAdjustedToUTC"] else f"TIMESTAMP_NTZ({unit})"
    else:
        kind = {"String": "STRING", "Enum": "STRING", "JSON": "STRING", "Date": "DATE", "Null": "VOID"}.get(word)
    return kind or f"{word.upper() if word != 'None' else physical}"
