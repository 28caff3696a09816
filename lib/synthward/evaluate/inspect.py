"""One look at a staged release: counts of every cell, rows, lineage and content fingerprint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from synthward.domain.cells import Packing, tables
from synthward.domain.codes import CodeBook
from synthward.domain.spec import Boolean, Date, Difference, Numeric
from synthward.evaluate.rules import counted
from synthward.evaluate.tables import has_label
from synthward.kernels.encode import encode
from synthward.kernels.marginals import weighted_marginals
from synthward.privacy.queries import Clique
from synthward.release.names import ROW
from synthward.release.table import Fingerprint, Lineage, content_columns
from synthward.spec.rules import Rule
from synthward.store.places import quoted

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cells:
    """What is counted in synthetic rows; exact, because they are synthetic.

    Attributes:
        undeclared: Rows with a value that is not declared, by column.
        counts: Counts of the cells of each column, as in its code book.
        joint: Counts of the cells of cliques, shape (cells of the first column, ...), as in the code books.
    """

    undeclared: Mapping[str, int]
    counts: Mapping[str, Integers]
    joint: Mapping[Clique, Integers]

    def table(self, columns: Clique) -> Integers:
        """Counts of a clique that was asked for or lies inside one; axes in the order of `columns`.

        Raises:
            KeyError: The clique was not counted.
        """
        wanted = set(columns)
        holders = [clique for clique in self.joint if wanted <= set(clique)]
        if not holders:
            raise KeyError(f"({', '.join(columns)}) was not counted in the staged table")
        holder = min(holders, key=lambda clique: self.joint[clique].size)
        kept = [name for name in holder if name in wanted]
        gone = tuple(axis for axis, name in enumerate(holder) if name not in wanted)
        counts: Integers = self.joint[holder].sum(axis=gone).transpose([kept.index(name) for name in columns])
        return counts


@dataclass(frozen=True, eq=False)
class Inspection(Cells):
    """What a staged release holds.

    Attributes:
        rows: Number of rows.
        types: Spark type by column.
        lineage_ok: Every row is labelled and row numbers are 0 .. rows - 1.
        fingerprint: Content.
        disordered: Rows that break a declared order of two dates, by column of the later one.
        broken: Rows that break a clinical rule, by name of the rule.
        apart: Rows with a value in some and not all columns that are missing together, by list of columns.
    """

    rows: int
    types: Mapping[str, str]
    lineage_ok: bool
    fingerprint: Fingerprint
    disordered: Mapping[str, int] = field(default_factory=dict)
    broken: Mapping[str, int] = field(default_factory=dict)
    apart: Mapping[Clique, int] = field(default_factory=dict)


def inspect(
    staged: DataFrame,
    books: Mapping[str, CodeBook],
    lineage: Lineage,
    cliques: Iterable[Clique] = (),
    rules: Sequence[Rule] = (),
) -> Inspection:
    """Reads the staged table: one Arrow pass for the cells, one native aggregate for the rest.

    Args:
        staged: The staged table.
        books: Code books of the source's domain.
        lineage: What every row must carry.
        cliques: Clique to be counted together; those inside others are not counted twice.
        rules: Clinical rules, checked against the domain.
    """
    cells = count_cells(staged, books, cliques)
    derived = {name: book.attribute.base for name, book in books.items() if isinstance(book.attribute, Difference)}
    groups = list(dict.fromkeys(_group(name, books) for name, book in books.items() if book.missing_with))
    labelled = F.col("_synthetic") & (F.col("_release_id") == lineage.release_id)
    labelled = labelled & (F.col("_model_digest") == lineage.model_digest)
    labelled = labelled & (F.col("_generated_at") == lineage.generated_at)
    breaches = counted(rules, books, {field.name: field.dataType for field in staged.schema.fields})
    row = staged.agg(
        *content_columns(staged.columns),
        F.coalesce(F.min(labelled), F.lit(True)).alias("labelled"),
        F.min(ROW).alias("first"),
        F.max(ROW).alias("last"),
        F.sum(F.col(ROW).cast("decimal(38,0)")).alias("sum"),
        *(_without_base(name, base).alias(f"alone{place}") for place, (name, base) in enumerate(derived.items())),
        *(breach.alias(f"broken{place}") for place, breach in enumerate(breaches)),
        *(_partly_missing(group).alias(f"apart{place}") for place, group in enumerate(groups)),
    ).collect()[0]
    rows = int(row["rows"])
    numbered = rows > 0 and row["first"] == 0 and row["last"] == rows - 1 and int(row["sum"]) == rows * (rows - 1) // 2
    return Inspection(
        undeclared=cells.undeclared,
        counts=cells.counts,
        joint=cells.joint,
        rows=rows,
        types={field.name: field.dataType.simpleString() for field in staged.schema.fields},
        lineage_ok=bool(row["labelled"]) and numbered,
        fingerprint=Fingerprint(rows, str(row["content"])),
        disordered={
            name: int(cells.counts[name][books[name].other]) + int(row[f"alone{place}"])
            for place, name in enumerate(derived)
        },
        broken={rule.name: int(row[f"broken{place}"]) for place, rule in enumerate(rules)},
        apart={group: int(row[f"apart{place}"]) for place, group in enumerate(groups)},
    )


def _without_base(name: str, base: str) -> Column:
    """Number of rows that have a date and lack the date before it."""
    own, other = (F.col(quoted(column)) for column in (name, base))
    return F.coalesce(F.sum((own.isNotNull() & other.isNull()).cast("long")), F.lit(0))


def _group(name: str, books: Mapping[str, CodeBook]) -> Clique:
    """The list of columns that are missing together with a column, itself included, in release order."""
    return tuple(other for other in books if other == name or other in books[name].missing_with)


def _partly_missing(group: Clique) -> Column:
    """Number of rows that have a value in some columns of a list and none in others."""
    present = [F.col(quoted(name)).isNotNull().cast("int") for name in group]
    return F.coalesce(F.sum((F.least(*present) != F.greatest(*present)).cast("long")), F.lit(0))


def count_cells(rows: DataFrame, books: Mapping[str, CodeBook], cliques: Iterable[Clique] = ()) -> Cells:
    """Counts the cells of synthetic rows in one Arrow pass.

    Args:
        rows: At least the columns of the domain, decoded.
        books: Code books of the source's domain.
        cliques: Clique to be counted together; those inside others are not counted twice.
    """
    wide = _outermost(cliques)
    counts = _cell_counts(rows, books, [*((name,) for name in books), *wide])
    return Cells(
        undeclared={name: _undeclared(book, counts[name,]) for name, book in books.items()},
        counts={name: _as_source_cells(counts[name,], (name,), books) for name in books},
        joint={clique: _as_source_cells(counts[clique], clique, books) for clique in wide},
    )


def _outermost(cliques: Iterable[Clique]) -> tuple[Clique, ...]:
    """Cliques of two or more columns that lie inside no other one."""
    distinct = list({frozenset(clique): clique for clique in cliques if len(clique) > 1}.values())
    return tuple(c for c in distinct if not any(set(c) < set(other) for other in distinct))


def _cell_counts(staged: DataFrame, books: Mapping[str, CodeBook], cliques: Iterable[Clique]) -> dict[Clique, Integers]:
    released = {name: released_book(book) for name, book in books.items()}
    packing = Packing.of(released)
    laid = tables(released, list(cliques))
    rows = staged.select(*(F.col(quoted(name)).alias(f"c{place}") for place, name in enumerate(released)))
    counted = weighted_marginals(encode(rows, released, packing), packing, laid, 1, 1, tasks=1)
    table = counted.groupBy("cell").agg(F.sum("value").alias("value")).toArrow()
    vector = np.zeros(sum(part.cells for part in laid), dtype=np.int64)
    vector[table.column("cell").to_numpy()] = table.column("value").to_numpy()
    return {part.clique: vector[part.offset : part.offset + part.cells].reshape(part.shape) for part in laid}


def released_book(book: CodeBook) -> CodeBook:
    """The code book of the release: a label for undeclared values is a value of its own there, other texts are not."""
    attribute = book.attribute
    if isinstance(attribute, Difference):
        own, start = (replace(date, missing=(), sentinels=()) for date in (attribute.own, attribute.start))
        attribute = replace(attribute, own=own, start=start)
    # A sentinel inside the bounds is an ordinary value of the release; a value beyond them is a fault.
    if isinstance(attribute, Numeric):
        return CodeBook(book.name, replace(attribute, missing=(), sentinels=(), outside="missing"))
    if isinstance(attribute, Date):
        return CodeBook(book.name, replace(attribute, missing=(), sentinels=(), outside="missing"))
    if isinstance(attribute, Boolean):
        return CodeBook(book.name, replace(attribute, missing=()))
    values = attribute.values if attribute.other is None else (*attribute.values, attribute.other)
    return CodeBook(book.name, replace(attribute, values=values, other=None, missing=()))


def _undeclared(book: CodeBook, cells: Integers) -> int:
    undeclared = int(cells[-2])
    return undeclared + (int(cells[-1]) if book.attribute.required else 0)


def _as_source_cells(counts: Integers, columns: Clique, books: Mapping[str, CodeBook]) -> Integers:
    """Counts in the cells of the source's code books, where the label of undeclared values stands for `other`."""
    for axis, name in enumerate(columns):
        if has_label(books[name]):
            counts = np.delete(counts, counts.shape[axis] - 2, axis)
        if books[name].clips:  # a release holds nothing beyond the bounds
            size = books[name].attribute.size
            counts = np.insert(counts, [size, size], 0, axis)
    return counts
