"""One look at a staged release: counts of every cell, rows, lineage and content fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from synthward.domain.cells import Packing, tables
from synthward.domain.codes import CodeBook
from synthward.domain.spec import Boolean, Categorical, Date, Numeric
from synthward.kernels.encode import encode
from synthward.kernels.marginals import weighted_marginals
from synthward.release.table import ROW, Fingerprint, Lineage, content_columns


@dataclass(frozen=True, eq=False)
class Inspection:
    """What a staged release holds; exact, because its rows are synthetic.

    Attributes:
        rows: Number of rows.
        types: Spark type by column.
        undeclared: Rows with a value that is not declared, by column.
        counts: Counts of the cells of each column, as in its code book.
        lineage_ok: Every row is labelled and row numbers are 0 .. rows - 1.
        fingerprint: Content.
    """

    rows: int
    types: Mapping[str, str]
    undeclared: Mapping[str, int]
    counts: Mapping[str, npt.NDArray[np.int64]]
    lineage_ok: bool
    fingerprint: Fingerprint


def inspect(staged: DataFrame, books: Mapping[str, CodeBook], lineage: Lineage) -> Inspection:
    """Reads the staged table: one Arrow pass for the cells, one native aggregate for the rest."""
    counts = _cell_counts(staged, books)
    labelled = F.col("_synthetic") & (F.col("_release_id") == lineage.release_id)
    labelled = labelled & (F.col("_model_digest") == lineage.model_digest)
    labelled = labelled & (F.col("_generated_at") == lineage.generated_at)
    row = staged.agg(
        *content_columns(staged.columns),
        F.coalesce(F.min(labelled), F.lit(True)).alias("labelled"),
        F.min(ROW).alias("first"),
        F.max(ROW).alias("last"),
        F.sum(F.col(ROW).cast("decimal(38,0)")).alias("sum"),
    ).collect()[0]
    rows = int(row["rows"])
    numbered = rows > 0 and row["first"] == 0 and row["last"] == rows - 1 and int(row["sum"]) == rows * (rows - 1) // 2
    return Inspection(
        rows=rows,
        types={field.name: field.dataType.simpleString() for field in staged.schema.fields},
        undeclared={name: _undeclared(books[name], cells) for name, cells in counts.items()},
        counts={name: _as_source_cells(books[name], cells) for name, cells in counts.items()},
        lineage_ok=bool(row["labelled"]) and numbered,
        fingerprint=Fingerprint(rows, str(row["content"])),
    )


def _cell_counts(staged: DataFrame, books: Mapping[str, CodeBook]) -> dict[str, npt.NDArray[np.int64]]:
    released = {name: _released(book) for name, book in books.items()}
    packing = Packing.of(released)
    laid = tables(released, [(name,) for name in released])
    quoted = ["`" + name.replace("`", "``") + "`" for name in released]
    rows = staged.select(*(F.col(name).alias(f"c{place}") for place, name in enumerate(quoted)))
    counted = weighted_marginals(encode(rows, released, packing), packing, laid, 1, 1, tasks=1)
    table = counted.groupBy("cell").agg(F.sum("value").alias("value")).toArrow()
    vector = np.zeros(sum(part.cells for part in laid), dtype=np.int64)
    vector[table.column("cell").to_numpy()] = table.column("value").to_numpy()
    return {part.clique[0]: vector[part.offset : part.offset + part.cells] for part in laid}


def _released(book: CodeBook) -> CodeBook:
    """The code book of the release: a label for undeclared values is a value of its own there, other texts are not."""
    attribute = book.attribute
    # A sentinel inside the bounds is an ordinary value of the release; a value beyond them is a fault.
    if isinstance(attribute, Numeric):
        return CodeBook(book.name, replace(attribute, missing=(), sentinels=(), outside="missing"))
    if isinstance(attribute, Date):
        return CodeBook(book.name, replace(attribute, missing=(), sentinels=(), outside="missing"))
    if isinstance(attribute, Boolean):
        return CodeBook(book.name, replace(attribute, missing=()))
    values = attribute.values if attribute.other is None else (*attribute.values, attribute.other)
    return CodeBook(book.name, replace(attribute, values=values, other=None, missing=()))


def _undeclared(book: CodeBook, cells: npt.NDArray[np.int64]) -> int:
    undeclared = int(cells[-2])
    return undeclared + (int(cells[-1]) if book.attribute.required else 0)


def _as_source_cells(book: CodeBook, cells: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Counts in the cells of the source's code book, where the label of undeclared values stands for `other`."""
    if isinstance(book.attribute, Categorical) and book.attribute.other is not None:
        return np.append(cells[:-2], cells[-1])
    return cells
