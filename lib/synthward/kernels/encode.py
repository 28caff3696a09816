"""Raw columns -> codes and fixed-point integers, as native Spark expressions.

Every expression is total: NULL, NaN, infinities, text where a number is due, undeclared values and dates out of bounds
each have a declared code, and no cell can raise an error (DESIGN 4.4). Values are touched by comparisons, `+ - x`,
`rint` and casts only, so that every engine computes the same integers. `domain/codes.py` is the reference.

The stages are separate selects on purpose: Spark does not inline an expression that is used more than once, so each
number is parsed once a row.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.domain.cells import Packing
from synthward.domain.codes import MISSING, OTHER, CodeBook
from synthward.domain.spec import EPOCH, Boolean, Categorical, Date, Graded, Numeric
from synthward.kernels.held import limits_in, spellings

UNIT = "unit"
"""Column that holds the id of the privacy unit; absent where the unit is the row."""

LOOKUP_VALUES = 128
"""Code lists up to this length are searched in an array literal, longer ones by a broadcast join."""

_DAY_MICROS = 86_400_000_000
_FIRST_MICROS = -1_000_000 * _DAY_MICROS
_LAST_MICROS = 4_000_000 * _DAY_MICROS
"""Roughly the years -768 and 12921: every date that can be declared lies between them."""


def word_column(place: int) -> str:
    """Name of a packed word."""
    return f"w{place}"


def quantum_column(place: int) -> str:
    """Name of the fixed-point integer of the attribute at `place` in the domain."""
    return f"q{place}"


def present_column(place: int) -> str:
    """Name of the 0/1 presence of the attribute at `place` in the domain."""
    return f"p{place}"


def encode(rows: DataFrame, books: Mapping[str, CodeBook], packing: Packing) -> DataFrame:
    """Encodes raw columns.

    Args:
        rows: Columns `c0`, `c1`, ... in the order of `books`, and `unit` where units own several rows.
        books: Code books by column name.
        packing: Places of the codes in the words.

    Returns:
        `unit` (if given), words `w0`, ..., and for each graded attribute its `q<place>` and `p<place>`, all LONG.
    """
    keep = [F.col(UNIT)] if UNIT in rows.columns else []
    schema = {field.name: field.dataType for field in rows.schema.fields}
    numbered = list(enumerate(books.values()))
    parsed = rows.select(
        *keep,
        *(column for place, book in numbered for column in _parse(place, book, schema[f"c{place}"])),
    )
    placed = parsed.select(
        *keep, *(column for place, book in numbered for column in _place(place, book, schema[f"c{place}"]))
    )
    for place, book in numbered:
        if isinstance(book.attribute, Categorical) and book.attribute.size > LOOKUP_VALUES:
            placed = _join_codebook(placed, place, book.attribute)
    coded = placed.select(*keep, *(column for place, book in numbered for column in _code(place, book)))
    places = {name: place for place, name in enumerate(books)}
    words = [
        _sum([F.shiftleft(F.col(f"k{places[slot.name]}"), slot.shift) for slot in packing.of_word(word)]).alias(
            word_column(word)
        )
        for word in range(packing.words)
    ]
    sums = [
        F.col(name)
        for place, book in numbered
        if isinstance(book.attribute, Numeric | Date)
        for name in (quantum_column(place), present_column(place))
    ]
    return coded.select(*keep, *words, *sums)


def unsupported(book: CodeBook, data_type: T.DataType) -> str | None:
    """Why an attribute cannot be read from a column of this type, or None. Types are metadata, not data."""
    name, attribute = data_type.simpleString(), book.attribute
    scalar = isinstance(data_type, T.StringType | T.NumericType | T.BooleanType)
    temporal = isinstance(data_type, T.StringType | T.DateType | T.TimestampType | T.TimestampNTZType)
    if isinstance(attribute, Date):
        return None if temporal else f"a date is read from DATE, TIMESTAMP or STRING, not from {name}"
    if isinstance(attribute, Categorical) and isinstance(data_type, T.DateType):
        return None
    if not isinstance(attribute, Numeric) and isinstance(data_type, T.DecimalType) and data_type.scale > 6:
        return f"the text of {name} depends on session settings; give a {attribute.TAG} attribute a STRING column"
    return None if scalar else f"a {attribute.TAG} attribute is read from a plain column, not from {name}"


def _sum(parts: list[Column]) -> Column:
    result = parts[0]
    for part in parts[1:]:
        result = result + part
    return result


def plain_text(column: Column, data_type: T.DataType) -> Column:
    """Text compared byte by byte, whatever the column's collation says."""
    if isinstance(data_type, T.StringType) and data_type.simpleString() != "string":
        return F.collate(column, "UTF8_BINARY")
    return column.cast("string")


def _listed(column: Column, texts: tuple[str, ...]) -> Column:
    return column.isin(*texts) if texts else F.lit(False)


# Stage 1: the raw cell -> `v<place>`, a double, an ordinal or a text, and `m<place>`, whether it is missing.


def _parse(place: int, book: CodeBook, data_type: T.DataType) -> list[Column]:
    raw, attribute = F.col(f"c{place}"), book.attribute
    if isinstance(attribute, Numeric):
        value, missing = _parse_number(raw, attribute, data_type)
    elif isinstance(attribute, Date):
        value, missing = _parse_date(raw, attribute, data_type)
    else:
        text = plain_text(raw, data_type)
        missing = raw.isNull() | _listed(text, attribute.missing)
        value = text
        if isinstance(attribute, Boolean) and isinstance(data_type, T.BooleanType):
            value, missing = raw, raw.isNull()  # a column that is boolean already needs no texts
        elif isinstance(attribute, Boolean):
            missing = missing | (F.trim(text) == "")
            value = F.lower(F.trim(text))
    return [value.alias(f"v{place}"), missing.alias(f"m{place}")]


def _parse_number(raw: Column, attribute: Numeric, data_type: T.DataType) -> tuple[Column, Column]:
    if isinstance(data_type, T.StringType):
        text = plain_text(raw, data_type)
        missing = raw.isNull() | _listed(text, attribute.missing) | (F.trim(text) == "")
        return text.try_cast("double"), missing
    return raw.cast("double"), raw.isNull()


def _parse_date(raw: Column, attribute: Date, data_type: T.DataType) -> tuple[Column, Column]:
    missing = raw.isNull()
    if isinstance(data_type, T.StringType):
        text = plain_text(raw, data_type)
        missing = missing | _listed(text, attribute.missing) | (F.trim(text) == "")
        if attribute.pattern is None:
            return text.try_cast("date"), missing
        # Rewritten to ISO 8601: the engine's parsing by pattern goes through an instant in the session's zone.
        whole = f"^{attribute.pattern.regex}\\z"
        iso = "-".join(f"${group}" if group else "1" for group in attribute.pattern.groups)
        trimmed = F.trim(text)
        rewritten = F.when(trimmed.rlike(whole), F.regexp_replace(trimmed, whole, iso))
        return rewritten.try_cast("date"), missing
    if isinstance(data_type, T.TimestampType):
        # Independent of the session's time zone: the instant shifted into the declared zone, then whole days.
        # Clipped first, since shifting the last instants that fit 64 bits would overflow.
        first, last = F.lit(_FIRST_MICROS), F.lit(_LAST_MICROS)
        near = F.timestamp_micros(F.greatest(first, F.least(last, F.unix_micros(raw))))
        micros = F.unix_micros(F.from_utc_timestamp(near, attribute.time_zone))
        days = F.call_function("div", micros - F.pmod(micros, F.lit(_DAY_MICROS)), F.lit(_DAY_MICROS))
        return F.date_from_unix_date(days.cast("int")), missing
    return raw.cast("date"), missing


# Stage 2: `s<place>`, the grid index, declared code or text's position; OTHER or MISSING where there is none. Graded
# attributes also get `p<place>`, whether a value is present: their sums need that and no index.


def _place(place: int, book: CodeBook, data_type: T.DataType) -> list[Column]:
    value, missing, attribute = F.col(f"v{place}"), F.col(f"m{place}"), book.attribute
    if isinstance(attribute, Numeric | Date):
        return [*_graded_place(place, missing, attribute, data_type), value]
    if isinstance(attribute, Categorical) and attribute.size > LOOKUP_VALUES:
        return [F.when(missing, MISSING).otherwise(OTHER).cast("long").alias(f"s{place}"), value]
    if isinstance(attribute, Boolean) and isinstance(data_type, T.BooleanType):
        position = value.cast("long")
    elif isinstance(attribute, Boolean):
        found = F.when(value.isin(*(t.lower() for t in attribute.true)), 1).when(
            value.isin(*(t.lower() for t in attribute.false)), 0
        )
        position = found.otherwise(OTHER).cast("long")
    else:
        # One compact expression whatever the length: chains of `when` outgrow what the JVM compiles.
        position = F.array_position(F.array(*(F.lit(text) for text in attribute.values)), value) - 1
    return [F.when(missing, MISSING).otherwise(position).cast("long").alias(f"s{place}")]


def _graded_place(place: int, missing: Column, attribute: Graded, data_type: T.DataType) -> list[Column]:
    value = F.col(f"v{place}")
    if isinstance(attribute, Numeric):
        gone, outside = _number_faults(value, missing, attribute, data_type)
        index = _number_index(value, attribute)
    else:
        gone, outside = _date_faults(value, missing, attribute)
        index = _date_index(value, attribute)
    return [
        F.when(gone, MISSING).when(outside, OTHER).otherwise(index).cast("long").alias(f"s{place}"),
        (~gone & ~outside).alias(present_column(place)),
    ]


def _number_faults(value: Column, missing: Column, attribute: Numeric, data_type: T.DataType) -> tuple[Column, Column]:
    """(missing, outside of the domain); neither is ever NULL where it decides."""
    sentinels = [n for sentinel in attribute.sentinels for n in spellings(float(sentinel), data_type)]
    gone, outside = missing, value.isNull()
    if not isinstance(data_type, T.IntegralType | T.DecimalType | T.BooleanType):
        gone = gone | F.coalesce(F.isnan(value), F.lit(False))
        outside = outside | (F.abs(value) == F.lit(float("inf")))
    if sentinels:
        gone = gone | F.coalesce(value.isin(*sentinels), F.lit(False))
    if attribute.outside == "missing":
        low, high = limits_in(attribute.grid, data_type)
        outside = outside | (value < F.lit(low)) | (value > F.lit(high))
    return gone, outside


def _clipped(value: Column, attribute: Numeric) -> Column:
    grid = attribute.grid
    return F.greatest(F.lit(grid.low_float), F.least(F.lit(grid.high_float), value))


def _number_index(value: Column, attribute: Numeric) -> Column:
    grid = attribute.grid
    return F.rint((_clipped(value, attribute) - F.lit(grid.low_float)) * F.lit(grid.per_unit)).cast("long")


def _date_faults(value: Column, missing: Column, attribute: Date) -> tuple[Column, Column]:
    """As `_number_faults`; compared as day numbers, since a date literal goes through the JVM's own calendar."""
    day, gone, outside = F.unix_date(value), missing, value.isNull()
    first, last = ((bound - EPOCH).days for bound in attribute.bounds)
    sentinels = [(sentinel - EPOCH).days for sentinel in attribute.sentinels]
    if sentinels:
        gone = gone | F.coalesce(day.isin(*sentinels), F.lit(False))
    if attribute.outside == "missing":
        outside = outside | (day < first) | (day > last)
    return gone, outside


def _date_index(value: Column, attribute: Date) -> Column:
    # LONG throughout: the last days that fit 32 bits, less a lower bound, would overflow.
    grid = attribute.grid
    if attribute.granularity == "day":
        ordinal = F.unix_date(value).cast("long")
    elif attribute.granularity == "year":
        ordinal = F.year(value).cast("long") - EPOCH.year
    else:
        ordinal = (F.year(value).cast("long") - EPOCH.year) * 12 + F.month(value) - 1
    first, last = F.lit(0).cast("long"), F.lit(grid.count - 1).cast("long")
    return F.greatest(first, F.least(last, ordinal - grid.low))


def _join_codebook(placed: DataFrame, place: int, attribute: Categorical) -> DataFrame:
    """Looks a long code list up by a broadcast join; values are unique, so no row is multiplied."""
    session = placed.sparkSession
    listed = session.createDataFrame(
        [(value, code) for code, value in enumerate(attribute.values)], f"b{place} string, n{place} long"
    )
    joined = placed.join(F.broadcast(listed), F.col(f"v{place}") == F.col(f"b{place}"), "left")
    found = F.when(F.col(f"s{place}") == MISSING, MISSING).otherwise(F.coalesce(F.col(f"n{place}"), F.lit(OTHER)))
    kept = [F.col(name) for name in placed.columns if name not in (f"s{place}", f"v{place}")]
    return joined.select(*kept, found.cast("long").alias(f"s{place}"))


# Stage 3: `k<place>`, the code, and for graded attributes `q<place>` and `p<place>`.


def _code(place: int, book: CodeBook) -> list[Column]:
    where, attribute = F.col(f"s{place}"), book.attribute
    inside = where >= 0
    special = F.when(where == OTHER, book.other).otherwise(book.missing)
    if not isinstance(attribute, Numeric | Date):
        return [F.when(inside, where).otherwise(special).cast("long").alias(f"k{place}")]
    code = F.when(inside, _bin(where, attribute)).otherwise(special).cast("long")
    present = F.col(present_column(place))
    return [
        code.alias(f"k{place}"),
        F.when(present, _quantum(place, attribute)).otherwise(0).cast("long").alias(quantum_column(place)),
        present.cast("long").alias(present_column(place)),
    ]


def _bin(where: Column, attribute: Graded) -> Column:
    grid = attribute.grid
    if grid.bin_step == 1:
        return where
    if grid.bin_step is not None:
        return F.call_function("div", where, F.lit(grid.bin_step))
    return _sum([(where >= start).cast("long") for start in grid.starts[1:]])


def _quantum(place: int, attribute: Graded) -> Column:
    """Clipped as a double, centred, scaled by a power of two, rounded, and clipped again as an integer."""
    scale = attribute.fixed_point
    if isinstance(attribute, Date):
        value = F.col(f"s{place}").cast("double") + F.lit(float(attribute.grid.low))
    else:
        value = _clipped(F.col(f"v{place}"), attribute)
    rounded = F.rint((value - F.lit(scale.centre)) * F.lit(scale.per_unit)).cast("long")
    return F.greatest(F.lit(-scale.limit).cast("long"), F.least(F.lit(scale.limit).cast("long"), rounded))
