"""Rehearsal before the charge: the release's own table, made of public values, written and read back (DESIGN 4.17).

The places are those that a release can hold: first, middle and last place of every column, every declared value where a
column's type is not text, `other` and `missing`, and the last row number. They go through the code that a release goes
through: a Python task on an executor, `sample.decode`, `release.table.write` with all constraints, properties, lineage
and keys, and `kernels.encode` on what was written. The codes must be those that went in. No data is read.

What declarations and types alone decide is decided first (`release.fitting`), without Spark. All faults of all columns
are told at once.

Cost: one Delta commit and two small jobs, once a run: the link `opened` is written only after a rehearsal that passed.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.conditions import Outlook, kind_of, outlook_of
from synthward.domain.cells import Packing
from synthward.domain.codes import MISSING, OTHER, CodeBook, codebooks
from synthward.domain.differences import days_of, with_bases
from synthward.domain.spec import Categorical, Date, Difference, Domain, Numeric
from synthward.errors import EnvironmentProblem, SourceError
from synthward.evaluate.inspect import released_book
from synthward.kernels.encode import UNIT, encode, word_column
from synthward.release import table
from synthward.release.fitting import declared_value, misfits
from synthward.release.names import ROW
from synthward.release.table import Lineage
from synthward.run import _worker
from synthward.store.delta import drop, pause, read
from synthward.store.places import TableRef, local_path, quoted

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

logger = logging.getLogger(__name__)

MOST_VALUES = 2**14
"""Declared values of one column that are rehearsed; of more, as many evenly spread ones, the first and the last too."""

TRIES = 3
"""Two drivers of one run may be in each other's way."""

SHOWN = 3
"""Values of a column that a message names."""

_LINEAGE = Lineage("rehearsal", "0" * 64, "2000-01-01T00:00:00Z")


@dataclass(frozen=True, eq=False)
class Script:
    """What is rehearsed.

    Attributes:
        books: Code books in release order.
        types: Column types of the release, by column.
        keys: Key columns that get fresh ids, with their types.
        rows: Rows of the release, of which the last one's number is rehearsed.
    """

    books: Mapping[str, CodeBook]
    types: Mapping[str, T.DataType]
    keys: Mapping[str, T.DataType]
    rows: int

    @classmethod
    def of(cls, domain: Domain, types: Mapping[str, T.DataType], keys: Mapping[str, T.DataType], rows: int) -> Script:
        """The script of a domain; a column without any declared value, whose values are learned, has a stand-in.

        Args:
            domain: The requested attributes as declared.
            types: Column types of the release.
            keys: Key columns that get fresh ids, with their types.
            rows: Rows of the release.
        """
        # Each column is rehearsed by itself: values are compared one by one, whatever is missing together.
        books = {name: replace(book, missing_with=()) for name, book in codebooks(domain).items()}
        for name, book in books.items():
            if isinstance(book.attribute, Categorical) and not book.attribute.values:
                books[name] = CodeBook(name, replace(book.attribute, values=("1",)))
        return cls(books, types, keys, rows)

    @cached_property
    def places(self) -> dict[str, npt.NDArray[np.int32]]:
        """Places by column, repeated to equal lengths."""
        wanted = {name: rehearsed_places(book, self.types[name]) for name, book in self.books.items()}
        count = max((len(places) for places in wanted.values()), default=1)
        return {name: np.resize(places, count) for name, places in wanted.items()}

    @cached_property
    def row_numbers(self) -> npt.NDArray[np.int64]:
        """Row numbers: from the first one on, and the last one that the release will have."""
        count = max((len(places) for places in self.places.values()), default=1)
        numbers = np.arange(count, dtype=np.int64) % self.rows
        numbers[-1] = self.rows - 1
        return numbers


def rehearsed_places(book: CodeBook, data_type: T.DataType) -> npt.NDArray[np.int32]:
    """Places of one column that a release can hold, each once."""
    attribute = book.attribute
    count = attribute.grid.count if isinstance(attribute, Numeric | Date) else attribute.size
    if isinstance(attribute, Numeric | Date):
        inside = [0, 1, count // 2, count - 2, count - 1]
    elif isinstance(data_type, T.StringType) and count > MOST_VALUES:
        inside = [0, count // 2, count - 1]
    else:
        inside = np.linspace(0, count - 1, min(count, MOST_VALUES)).astype(int).tolist() if count else []
    # A required column has neither; a label for what is undeclared stays.
    has_label = isinstance(attribute, Categorical) and attribute.other is not None
    special = [] if attribute.required else [OTHER, MISSING]
    special = [OTHER] if attribute.required and has_label else special
    return np.array([*dict.fromkeys(place for place in inside if 0 <= place < count), *special], dtype=np.int32)


def rehearse(
    spark: SparkSession,
    script: Script,
    ref: TableRef,
    source_types: Mapping[str, T.DataType],
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Rehearses a release.

    Args:
        spark: Session.
        script: What to rehearse.
        ref: The run's place for the table, in the protected zone; nothing is there afterwards.
        source_types: Types of the requested columns in the source.
        sleep: For tests.

    Raises:
        SourceError: Columns of the release cannot hold what is declared; with every column.
        EnvironmentProblem: The table cannot be written, for a reason that no column explains.
    """
    faults = misfits(script.books, script.types, script.keys, script.rows)
    faults += zone_faults(spark, script) + collation_faults(spark, source_types)
    if faults:
        raise refusal(faults)
    for attempt in range(TRIES):
        try:
            wrong = _performed(spark, script, ref)
        except Exception as error:
            if attempt < TRIES - 1 and outlook_of(error) is not Outlook.DETERMINISTIC:
                sleep(pause(attempt))
                continue
            wrong = _explained(spark, script)
            if not wrong:
                raise EnvironmentProblem(
                    f"the release's table could not be rehearsed in {ref} ({kind_of(error)}), and no column by itself "
                    "explains it; check the protected zone and the session. Nothing was spent"
                ) from error
        break
    if wrong:
        raise refusal(wrong)


def refusal(faults: Sequence[str]) -> SourceError:
    """The error that tells everything that was found."""
    listed = "\n".join(f"- {fault}" for fault in faults)
    return SourceError(f"the release cannot hold what is declared ({len(faults)} found). Nothing was spent:\n{listed}")


def zone_faults(spark: SparkSession, script: Script) -> list[str]:
    """Time zones that this engine does not know, asked with one literal row each: Java has data of its own."""
    zones: dict[str, list[str]] = {}
    for name, book in script.books.items():
        if isinstance(book.declared, Date) and isinstance(script.types[name], T.TimestampType):
            zones.setdefault(book.declared.time_zone, []).append(name)
    unknown = [zone for zone in zones if not _knows(spark, F.from_utc_timestamp(F.timestamp_micros(F.lit(0)), zone))]
    return [
        f"column '{name}': this Java does not know the time zone {zone}; declare one that it knows, for instance the "
        "zone of a larger city with the same clock, or update Java's time zone data"
        for zone in unknown
        for name in zones[zone]
    ]


def collation_faults(spark: SparkSession, source_types: Mapping[str, T.DataType]) -> list[str]:
    """Collations of the source that this engine cannot undo: texts are compared byte by byte."""
    found: dict[str, list[str]] = {}
    for name, data_type in source_types.items():
        if isinstance(data_type, T.StringType) and data_type.simpleString() != "string":
            found.setdefault(data_type.simpleString(), []).append(name)
    return [
        f"column '{name}' is {shown.upper()}: this engine cannot compare it byte by byte; read the source through a "
        "view that casts the column to STRING"
        for shown, names in found.items()
        if not _knows(spark, F.collate(F.collate(F.lit("a"), shown.removeprefix("string collate ")), "UTF8_BINARY"))
        for name in names
    ]


def _knows(spark: SparkSession, expression: Column) -> bool:
    """Whether the engine can compute an expression of literals.

    Raises:
        Exception: Spark's own, of a failure that is not the expression's.
    """
    try:
        spark.range(0, 1, 1, 1).select(expression.cast("string").alias("known")).collect()
    except Exception as error:
        if outlook_of(error) is Outlook.DETERMINISTIC:
            return False
        raise
    return True


def _performed(spark: SparkSession, script: Script, ref: TableRef) -> list[str]:
    """Writes the table, encodes what was written and compares; the table is removed whatever happens."""
    rows = table.release_rows(_places(spark, script), script.books, script.types, script.keys, _LINEAGE)
    checks = table.constraints(script.books, script.types)
    try:
        table.write(rows, ref, checks, {"status": "rehearsal"})
        written = read(spark, ref)
        wrong = [
            f"column '{name}' would be {written.schema[name].dataType.simpleString()} in the release, not "
            f"{wanted.simpleString()}; leave it out, or read the source through a view that casts it"
            for name, wanted in {**script.keys, **script.types}.items()
            if written.schema[name].dataType != wanted
        ]
        return wrong or _unlike(written, script)
    finally:
        _remove(spark, ref)


def _remove(spark: SparkSession, ref: TableRef) -> None:
    """Removes the table, or what a failed write has left of it; a leftover is worth a warning and no failure."""
    try:
        folder = local_path(ref.path) if ref.path is not None else None
        if folder is not None and folder.is_dir():
            shutil.rmtree(folder)
        else:
            drop(spark, ref)
    except Exception as error:  # noqa: BLE001 - it holds public values only, and the next rehearsal replaces it
        logger.warning("the rehearsal's table %s is left over (%s); it can be removed", ref, kind_of(error))


def _places(spark: SparkSession, script: Script) -> DataFrame:
    """The places as `sample_places` gives them, made by a task, so that executors decode and write them."""
    columns: list[npt.NDArray[Any]] = [script.row_numbers, *script.places.values()]
    names = [ROW, *(f"c{place}" for place in range(len(script.books)))]
    schema = ", ".join([f"{ROW} long", *(f"{name} int" for name in names[1:])])
    return spark.range(0, 1, 1, 1).mapInArrow(_worker.replay(columns, names), schema)


def _unlike(written: DataFrame, script: Script) -> list[str]:
    """Columns whose values are not found again as they were written; all values are public and may be named."""
    books = {name: _fine(released_book(book), _released_places(script, name)) for name, book in script.books.items()}
    packing = Packing.of(books)
    chosen = [F.col(quoted(name)).alias(f"c{place}") for place, name in enumerate(books)]
    words = [word_column(word) for word in range(packing.words)]
    encoded = encode(written.select(F.col(ROW).alias(UNIT), *chosen), books, packing).select(UNIT, *words).toArrow()
    numbers = encoded.column(UNIT).to_numpy()
    wrong = []
    for name, book in books.items():
        slot = packing.slot(name)
        codes = (encoded.column(word_column(slot.word)).to_numpy() >> slot.shift) & ((1 << slot.bits) - 1)
        expected = [_released_code(book, script.books[name], int(place)) for place in _released_places(script, name)]
        lost = Counter(zip(script.row_numbers.tolist(), expected, strict=True))
        lost -= Counter(zip(numbers.tolist(), codes.tolist(), strict=True))
        places = [
            int(place)
            for number, code, place in zip(script.row_numbers.tolist(), expected, script.places[name], strict=True)
            if (number, code) in lost
        ]
        if places:
            wrong.append(_changed(written, script, name, list(dict.fromkeys(places))))
    return wrong


def _released_places(script: Script, name: str) -> npt.NDArray[np.int32]:
    """Places that rows have once they are released: a derived date is missing with its base, and ends at its bounds."""
    attribute = script.books[name].attribute
    if not isinstance(attribute, Difference):
        return script.places[name]
    days, absent = days_of(script.books, script.places, name)
    start, _ = days_of(script.books, script.places, attribute.base)
    return np.where(absent, MISSING, days - start - attribute.grid.low).astype(np.int32)


def _fine(book: CodeBook, places: npt.NDArray[np.int32]) -> CodeBook:
    """The code book with a bin of its own for each of these places, so that a neighbour counts as another value."""
    attribute = book.attribute
    if isinstance(attribute, Date):
        return CodeBook(book.name, replace(attribute, bins=attribute.grid.count))
    if not isinstance(attribute, Numeric):
        return book
    grid = attribute.grid
    starts = sorted({start for place in places.tolist() for start in (place, place + 1) if 0 < start < grid.count})
    with localcontext() as exact:
        exact.prec = 700  # bounds and resolutions lie between 2^-300 and 2^300
        step = attribute.resolution if attribute.resolution is not None else Decimal(1)
        edges = tuple(attribute.bounds[0] + step * start for start in starts)
    return CodeBook(book.name, replace(attribute, bins=None, edges=edges))


def _released_code(book: CodeBook, declared: CodeBook, place: int) -> int:
    """Code in the release's book: a label for what is undeclared is a value there, without one it is missing."""
    attribute = declared.attribute
    if place == OTHER:
        has_label = isinstance(attribute, Categorical) and attribute.other is not None
        return attribute.size if has_label else book.missing
    return book.code_of_place(place)


def _changed(written: DataFrame, script: Script, name: str, places: list[int]) -> str:
    """What became of values, as text."""
    shown = places[:SHOWN]
    at = {int(p): int(n) for p, n in zip(script.places[name], script.row_numbers, strict=True) if int(p) in shown}
    found = written.where(F.col(ROW).isin(*at.values())).select(F.col(ROW), F.col(quoted(name)).cast("string"))
    texts = {int(row[0]): row[1] for row in found.collect()}
    told = "; ".join(f"{_declared(script.books[name], p)} is written as {_shown(texts.get(at[p]))}" for p in shown)
    more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    return (
        f"column '{name}' is {script.types[name].simpleString().upper()}: {told}{more}, which is another value; "
        "declare values as the column's type writes them, or read the source through a view that casts it to STRING"
    )


def _declared(book: CodeBook, place: int) -> str:
    if place == MISSING:
        return "what is missing"
    if place == OTHER:
        label = book.attribute.other if isinstance(book.attribute, Categorical) else None
        return f"label '{label}' of undeclared values" if label is not None else "what is undeclared"
    return f"'{declared_value(book.attribute, place)}'"


def _shown(text: str | None) -> str:
    return "NULL" if text is None else f"'{text}'"


def _explained(spark: SparkSession, script: Script) -> list[str]:
    """Looks for the columns that make a rehearsal fail, each by itself; without a table, since only this counts."""
    checks = table.constraints_by_column(script.books, script.types)
    found = []
    for name in [*script.keys, *script.books]:
        kept = {name: script.keys[name]} if name in script.keys else {}
        books = {} if kept else with_bases(script.books, name)
        one = replace(script, books=books, keys=kept) if books else replace(script, keys=kept)
        rows = table.release_rows(_places(spark, one), books, script.types, kept, _LINEAGE)
        data_type = {**script.keys, **script.types}[name].simpleString().upper()
        try:
            held = F.expr(checks[name]) if name in checks else F.lit(True)
            if not rows.select(held.alias("held"), F.xxhash64(F.col(quoted(name)))).agg(F.min("held")).collect()[0][0]:
                found.append(
                    f"column '{name}' is {data_type}: a declared value breaks the declared range as it holds it"
                )
        except Exception as error:
            if outlook_of(error) is not Outlook.DETERMINISTIC:
                raise
            found.append(f"column '{name}' is {data_type}: its values cannot be made ({kind_of(error)})")
    return found
