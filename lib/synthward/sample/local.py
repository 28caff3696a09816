"""Rows drawn in this process, decoded, without Spark: for the command line, notebooks and the MLflow model.

The same model, seed and number of rows give the same places as on a cluster. Values come in the attributes' own types:
text, BOOLEAN, LONG or DOUBLE, DATE.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from synthward.domain.codes import MISSING, OTHER, CodeBook
from synthward.domain.differences import days_of
from synthward.domain.spec import Boolean, Categorical, Date, Difference
from synthward.errors import UsageError
from synthward.sample import _worker
from synthward.sample.model_file import ModelFile
from synthward.sample.where import plan_where
from synthward.store.outputs import place, require_writable

LABEL = b"synthward"
"""Key in a file's schema under which stands that its rows are synthetic, and where they come from."""

MARK_COLUMN = "_synthetic"
"""Last column of a CSV file: `true` in every row. The format has no other place for such a mark."""

FORMULA = "^[=+\\-@\t\r]"
"""How a text begins that a spreadsheet takes for a formula; in a CSV file it gets an apostrophe in front."""

MAX_ROWS_IN_MEMORY = 10**8
"""Rows of a table in memory at most; files are written batch by batch and may have more."""


def sample_table(file: ModelFile, rows: int, seed: int = 1, where: Mapping[str, Any] | None = None) -> pa.Table:
    """Decoded synthetic rows.

    Args:
        file: Model and domain.
        rows: Number of rows.
        seed: Public seed; the same one gives the same rows.
        where: Wanted values or shares by column, see `sample.where`.

    Raises:
        UsageError: A number or `where` makes no sense for this model, or there are more rows than
            `MAX_ROWS_IN_MEMORY`.
    """
    if rows > MAX_ROWS_IN_MEMORY:
        raise UsageError(
            f"rows must be at most {MAX_ROWS_IN_MEMORY} in memory, found {rows}; draw several times with other seeds, "
            "write a file with `synthward sample`, or sample on a cluster"
        )
    schema, batches = sample_batches(file, rows, seed, where)
    return pa.Table.from_batches(batches, schema)


def sample_batches(
    file: ModelFile, rows: int, seed: int = 1, where: Mapping[str, Any] | None = None
) -> tuple[pa.Schema, Iterator[pa.RecordBatch]]:
    """Like `sample_table`, batch by batch: memory is bounded by one block.

    Raises:
        UsageError: A number or `where` makes no sense for this model.
    """
    for name, number in (("rows", rows), ("seed", seed)):
        if not 0 <= number < 2**53:
            raise UsageError(f"{name} must be a whole number from 0 to 2^53, found {number}")
    plan = plan_where(file, rows, seed, where or {})
    label = {"synthetic": True, "model": file.model.digest, "seed": seed, "where": bool(where)}
    fields = [pa.field(name, _type(book)) for name, book in file.books.items()]
    schema = pa.schema(fields, metadata={LABEL: json.dumps(label).encode()})
    return schema, _decoded(plan, file, schema)


def write_rows(file: ModelFile, path: Path, rows: int, seed: int, where: Mapping[str, Any] | None) -> None:
    """Writes decoded rows to a new Parquet or CSV file, by its ending; an unfinished file never has the final name.

    A Parquet file says in its schema that its rows are synthetic, a CSV file in a last column `_synthetic`. In a CSV
    file a text, or a column's name, that a spreadsheet would run as a formula has an apostrophe in front.

    Raises:
        UsageError: The ending is neither, the file exists, or `rows`, `seed` or `where` make no sense.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise UsageError(f"{path}: rows are written as .parquet or .csv; give the file one of these endings")
    require_writable(path, {}, "--out")
    schema, batches = sample_batches(file, rows, seed, where)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(4)}.unfinished")
    if path.suffix == ".csv":
        batches = map(csv_batch, batches)
        schema = csv_schema(schema)
    opened = pyarrow.parquet.ParquetWriter if path.suffix == ".parquet" else pyarrow.csv.CSVWriter
    try:
        with opened(str(unfinished), schema) as writer:
            for batch in batches:
                writer.write_batch(batch)
        place(unfinished, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        unfinished.unlink(missing_ok=True)


def csv_schema(schema: pa.Schema) -> pa.Schema:
    """The columns of a CSV file: names that no spreadsheet runs, and the mark."""
    names = [f"'{name}" if re.match(FORMULA, name) else name for name in schema.names]
    mark = MARK_COLUMN
    while mark in names:
        mark = f"_{mark}"
    fields = [field.with_name(name) for field, name in zip(schema, names, strict=True)]
    return pa.schema([*fields, pa.field(mark, pa.bool_())])


def csv_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Rows as they stand in a CSV file: texts that no spreadsheet runs, and the mark."""
    schema = csv_schema(batch.schema)
    columns = [
        pc.replace_substring_regex(column, f"({FORMULA})", "'\\1") if pa.types.is_string(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays([*columns, pa.array([True] * batch.num_rows, pa.bool_())], schema=schema)


def _decoded(plan: _worker.SamplePlan, file: ModelFile, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    if not plan.rows:
        return
    sampler = _worker.Sampler(plan)
    for block in range(-(-plan.rows // plan.block_rows)):
        for places in sampler.batches(block):
            yield decode_batch(file.books, places, schema)


def decode_batch(books: Mapping[str, CodeBook], places: Sequence[np.ndarray], schema: pa.Schema) -> pa.RecordBatch:
    """Decoded rows, as on a cluster: derived dates, and columns that are missing together (`sample.decode`).

    Args:
        books: Code books in release order.
        places: Places of each column, equal lengths.
        schema: Columns of the result.
    """
    by_name = dict(zip(books, places, strict=True))
    values: dict[str, pa.Array] = {}
    for (name, book), field in zip(books.items(), schema, strict=True):
        if isinstance(book.attribute, Difference):
            days, absent = days_of(books, by_name, name)
            values[name] = pa.array(days.astype(np.int32), pa.int32(), mask=absent).cast(field.type)
        else:
            values[name] = decode_places(book, by_name[name], field.type)
    columns = [_together(values, name, book.missing_with) for name, book in books.items()]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _together(values: Mapping[str, pa.Array], name: str, others: Sequence[str]) -> pa.Array:
    """The values of a column, NULL where another one of its list is NULL."""
    found = values[name]
    for other in others:
        found = pc.if_else(pc.is_valid(values[other]), found, pa.scalar(None, found.type))
    return found


def _type(book: CodeBook) -> pa.DataType:
    attribute = book.declared
    if isinstance(attribute, Categorical):
        return pa.string()
    if isinstance(attribute, Boolean):
        return pa.bool_()
    if isinstance(attribute, Date):
        return pa.date32()
    return pa.int64() if attribute.integer else pa.float64()


def decode_places(book: CodeBook, places: np.ndarray, target: pa.DataType) -> pa.Array:
    """The values at places; NULL for what is missing and for undeclared values without a label."""
    attribute = book.attribute
    absent = places < 0
    if isinstance(attribute, Categorical):
        codes = np.where(places == OTHER, attribute.size, places)
        gone = absent if attribute.other is None else places == MISSING
        return pa.array([*attribute.values, attribute.other], target).take(pa.array(codes, mask=gone))
    if isinstance(attribute, Boolean):
        return pa.array(places == 1, target, mask=absent)
    grid = attribute.grid
    numerators = places.astype(np.int64) * grid.step + grid.low
    if isinstance(attribute, Date):
        unit = {"day": "D", "month": "M", "year": "Y"}[attribute.granularity]
        days = numerators.astype(f"datetime64[{unit}]").astype("datetime64[D]").astype(np.int32)
        return pa.array(days, pa.int32(), mask=absent).cast(target)
    if attribute.integer:
        return pa.array(numerators // grid.denominator, target, mask=absent)
    # One correctly rounded division of two exact integers, as on a cluster.
    return pa.array(numerators / grid.denominator, target, mask=absent)
