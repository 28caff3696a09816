"""Raw columns -> codes and fixed-point integers, as native Spark expressions.

Every expression is total: NULL, NaN, infinities, text where a number is due, undeclared values and dates out of bounds
each have a declared code, and no cell can raise an error (DESIGN 4.4). Values are touched by comparisons, `+ - x`,
`rint` and casts only, so that every engine computes the same integers. `domain/codes.py` is the reference.

The stages are separate selects on purpose: Spark does not inline an expression that is used more than once, so each
number is parsed once a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Literal

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.domain.cells import Packing
from synthward.domain.codes import ABOVE, BELOW, MISSING, OTHER, CodeBook
from synthward.domain.matching import Coded, by_double, by_number, by_text, by_truth, compared_texts
from synthward.domain.spec import EPOCH, Boolean, Categorical, Date, DatePattern, Difference, Graded, Numeric
from synthward.domain.texts import (
    EXCEL_EPOCH,
    EXCEL_FALSE_DAY,
    EXCEL_LAST,
    date_regex,
    folded_letters,
)
from synthward.kernels.held import spellings
from synthward.kernels.supported import fits_decimal, fits_long

UNIT = "unit"
"""Column that holds the id of the privacy unit; absent where the unit is the row."""

LOOKUP_VALUES = 128
"""Code lists up to this length are searched in an array literal, longer ones by a broadcast join."""

_DAY_MICROS = 86_400_000_000

_LAST_DAY = 2_932_896
"""9999-12-31."""

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
    has_texts = any(_is_read_from_text(book, schema[f"c{place}"]) for place, book in numbered)
    read = rows
    for stage in (_trimmed, _instants, _cast_days) if has_texts else ():
        read = read.select(
            *keep, *(column for place, book in numbered for column in stage(place, book, schema[f"c{place}"]))
        )
    parsed = read.select(
        *keep,
        *(column for place, book in numbered for column in _parse(place, book, schema[f"c{place}"])),
    )
    places = {name: place for place, name in enumerate(books)}
    if any(isinstance(book.attribute, Difference) for book in books.values()):
        parsed = parsed.select(*keep, *(column for place, book in numbered for column in _differ(place, book, places)))
        schema |= {f"c{place}": T.LongType() for place, book in numbered if isinstance(book.attribute, Difference)}
    placed = parsed.select(
        *keep, *(column for place, book in numbered for column in _place(place, book, schema[f"c{place}"]))
    )
    for place, book in numbered:
        attribute = book.attribute
        if isinstance(attribute, Categorical) and _is_joined(attribute, schema[f"c{place}"]):
            placed = _join_codebook(placed, place, attribute, schema[f"c{place}"])
    coded = placed.select(*keep, *(column for place, book in numbered for column in _code(place, book)))
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


# Stage 0, in three steps, since each needs the one before more than once: of numbers and dates that are read from text
# also `t<place>`, the text without spaces around it; of ISO dates also `i<place>` and `d<place>`, what the casts read.


def _trimmed(place: int, book: CodeBook, data_type: T.DataType) -> list[Column]:
    raw = F.col(f"c{place}")
    if not _is_read_from_text(book, data_type):
        return [raw]
    return [raw, F.trim(plain_text(raw, data_type)).alias(f"t{place}")]


def _instants(place: int, book: CodeBook, data_type: T.DataType) -> list[Column]:
    raw = F.col(f"c{place}")
    if not _is_read_from_text(book, data_type):
        return [raw]
    trimmed = F.col(f"t{place}")
    return [raw, trimmed, *([_cast_instant(trimmed).alias(f"i{place}")] if _is_iso(book) else [])]


def _cast_days(place: int, book: CodeBook, data_type: T.DataType) -> list[Column]:
    raw = F.col(f"c{place}")
    if not _is_read_from_text(book, data_type):
        return [raw]
    trimmed = F.col(f"t{place}")
    if not _is_iso(book):
        return [raw, trimmed]
    instant = F.col(f"i{place}")
    return [raw, trimmed, instant, F.coalesce(instant.cast("date"), trimmed.try_cast("date")).alias(f"d{place}")]


def _is_read_from_text(book: CodeBook, data_type: T.DataType) -> bool:
    return isinstance(book.declared, Numeric | Date) and isinstance(data_type, T.StringType)


def _is_iso(book: CodeBook) -> bool:
    attribute = book.declared
    return isinstance(attribute, Date) and not attribute.serial and attribute.pattern is None


# Stage 1: the raw cell -> `v<place>`, a double, an ordinal or a text, and `m<place>`, whether it is missing.


def _parse(place: int, book: CodeBook, data_type: T.DataType) -> list[Column]:
    raw, attribute = F.col(f"c{place}"), book.declared
    if isinstance(attribute, Numeric):
        value, missing = _parse_number(place, attribute, data_type)
    elif isinstance(attribute, Date):
        value, missing = _parse_date(place, attribute, data_type)
    elif isinstance(data_type, T.BooleanType):
        value, missing = raw, raw.isNull()  # both truths have their places in stage 2
    elif isinstance(data_type, T.NumericType):
        value, missing = _parse_coded_number(raw, attribute, data_type)
    elif isinstance(attribute, Boolean):
        text = plain_text(raw, data_type)
        missing = raw.isNull() | _listed(text, attribute.missing) | (F.trim(text) == "")
        value = F.lower(F.trim(text))
    else:
        value = _tidied(plain_text(raw, data_type), attribute)
        texts = [form for text in attribute.missing for form in compared_texts(attribute, text)]
        missing = raw.isNull() | _listed(value, tuple(dict.fromkeys(texts)))
    return [value.alias(f"v{place}"), missing.alias(f"m{place}")]


def _tidied(text: Column, attribute: Categorical) -> Column:
    if attribute.trim:
        text = F.trim(text)
    return F.translate(text, *folded_letters()) if attribute.case == "fold" else text


def _parse_coded_number(raw: Column, attribute: Coded, data_type: T.DataType) -> tuple[Column, Column]:
    """The cell as the type in which `_keys` writes declared numbers."""
    keys = _keys(attribute, data_type)
    gone = [_key(key, data_type) for key, place in keys if place == MISSING]
    if isinstance(data_type, T.IntegralType):
        value = raw.cast("long")
    elif isinstance(data_type, T.FractionalType) and not isinstance(data_type, T.DecimalType):
        value = raw.cast("double")
        return value, raw.isNull() | F.isnan(value) | (value.isin(*gone) if gone else F.lit(False))
    else:
        value = raw
    return value, raw.isNull() | (value.isin(*gone) if gone else F.lit(False))


def _parse_number(place: int, attribute: Numeric, data_type: T.DataType) -> tuple[Column, Column]:
    raw, trimmed = F.col(f"c{place}"), F.col(f"t{place}")
    if isinstance(data_type, T.StringType):
        missing = raw.isNull() | _listed(plain_text(raw, data_type), attribute.missing) | (trimmed == "")
        return _number_of_text(trimmed, attribute.decimal), missing
    return raw.cast("double"), raw.isNull()


# The strict grammar of texts (`domain/texts.py`). A regular expression, and any function that makes a text, costs more
# than the cast, so the cast decides, and cheap marks of the text refuse what it takes beyond the grammar.


def _number_of_text(trimmed: Column, point: str) -> Column:
    """The number that a text is by the grammar, else NULL.

    With `e0` after it, a text of digits, sign and point is the same number. What a cast takes beyond the grammar
    (`12D`, `0x1p4`, NaN, tabs at the end) is none any more, except for control characters at the beginning, which come
    before every sign and digit. Numbers with an exponent of their own have other marks: to try a cast in vain is dear.
    """
    pointed = F.replace(trimmed, F.lit(","), F.lit(".")) if point == "," else trimmed
    begun = (trimmed >= "+") & (trimmed < ":")
    if point == ",":
        begun = begun & ~F.contains(trimmed, F.lit("."))
    with_exponent = F.contains(trimmed, F.lit("e")) | F.contains(trimmed, F.lit("E"))
    plain = F.when(begun & ~with_exponent, F.concat(pointed, F.lit("e0")).try_cast("double"))
    return plain.when(begun & with_exponent & _ends_as_decimal(trimmed), pointed.try_cast("double"))


def _ends_as_decimal(trimmed: Column) -> Column:
    """Whether a text has no x and a digit at its end.

    What a cast takes with an e and not by the grammar (`1e2D`, `0x1ep4`, tabs at the end) is without one of these.
    """
    decimal = F.contains(F.lit("0123456789"), F.substring(trimmed, -1, 1))
    for mark in ("x", "X"):
        decimal = decimal & ~F.contains(trimmed, F.lit(mark))
    return decimal


def _cast_instant(trimmed: Column) -> Column:
    """The local date and time of a text as long as `yyyy-MM-dd HH:mm:ss`, as the cast reads it."""
    return F.when(F.octet_length(trimmed) == len("yyyy-MM-dd HH:mm:ss"), trimmed.try_cast("timestamp_ntz"))


def _day_of_text(trimmed: Column, instant: Column, day: Column, granularity: Literal["day", "month", "year"]) -> Column:
    """The date that a text is by the grammar, else NULL.

    Args:
        trimmed: The text without spaces around it.
        instant: `_cast_instant` of it.
        day: What the cast reads as its date.
        granularity: What a text may leave out.

    A text that a cast reads has a year of four digits where it begins with 1 to 9 and the year is not above 9999. Ten
    bytes that end with a hyphen and the two digits of the day that was read leave two digits for the month. Of
    nineteen bytes with a colon at the fourteenth, those before it are as many as a date and an hour can have; where a
    colon and the two digits of the second that was read end the text, two digits are left for the minute.
    """
    begun = (trimmed >= "1") & (F.unix_date(day) <= _LAST_DAY)
    plain = (F.octet_length(trimmed) == len("yyyy-MM-dd")) & F.endswith(
        trimmed, F.get(_ends("-", 31), F.dayofmonth(day))
    )
    timed = (F.locate(":", trimmed, 14) == 14) & F.endswith(trimmed, F.get(_ends(":", 59), F.second(instant)))
    read = (begun & (plain | timed)) | _whole(trimmed, date_regex(granularity))
    return F.when(day.isNotNull() & read, day)


def _ends(mark: str, last: int) -> Column:
    """A mark and two digits for each number up to `last`: one literal, which the optimizer splits once."""
    return F.split(F.lit(",".join(f"{mark}{number:02}" for number in range(last + 1))), ",")


def _whole(text: Column, regex: str) -> Column:
    """Whether a whole text matches, line breaks at its end included, which `$` would overlook."""
    return text.rlike(f"^(?:{regex})\\z")


def _parse_date(place: int, attribute: Date, data_type: T.DataType) -> tuple[Column, Column]:
    raw, trimmed = F.col(f"c{place}"), F.col(f"t{place}")
    missing = raw.isNull()
    if isinstance(data_type, T.StringType):
        missing = missing | _listed(plain_text(raw, data_type), attribute.missing) | (trimmed == "")
        if attribute.serial:
            return _day_of_serial(_number_of_text(trimmed, ".")), missing
        if attribute.pattern is None:
            return _day_of_text(trimmed, F.col(f"i{place}"), F.col(f"d{place}"), attribute.granularity), missing
        return _day_by_pattern(trimmed, attribute.pattern), missing
    if isinstance(data_type, T.NumericType):
        number = raw.cast("double")
        if isinstance(data_type, T.FractionalType):
            missing = missing | F.coalesce(F.isnan(number), F.lit(False))
        return (_day_of_serial(number) if attribute.serial else _day_of_digits(number, attribute)), missing
    if isinstance(data_type, T.TimestampType):
        # Independent of the session's time zone: the instant shifted into the declared zone, then whole days.
        # Clipped first, since shifting the last instants that fit 64 bits would overflow.
        first, last = F.lit(_FIRST_MICROS), F.lit(_LAST_MICROS)
        near = F.timestamp_micros(F.greatest(first, F.least(last, F.unix_micros(raw))))
        micros = F.unix_micros(F.from_utc_timestamp(near, attribute.time_zone))
        days = F.call_function("div", micros - F.pmod(micros, F.lit(_DAY_MICROS)), F.lit(_DAY_MICROS))
        return F.date_from_unix_date(days.cast("int")), missing
    return raw.cast("date"), missing


def _day_by_pattern(trimmed: Column, pattern: DatePattern) -> Column:
    # Rewritten to ISO 8601: the engine's parsing by pattern goes through an instant in the session's zone.
    whole = f"^{pattern.regex}\\z"
    iso = "-".join(f"${group}" if group else "1" for group in pattern.groups)
    return F.when(trimmed.rlike(whole), F.regexp_replace(trimmed, whole, iso)).try_cast("date")


def _day_of_serial(number: Column) -> Column:
    """Excel's serial number; clipped before the casts, which are then safe wherever an engine evaluates them."""
    serial = F.floor(F.greatest(F.lit(0.0), F.least(F.lit(float(EXCEL_LAST)), number))).cast("int")
    shifted = serial + F.lit(EXCEL_EPOCH) + (serial < EXCEL_FALSE_DAY).cast("int")
    valid = (number >= 1) & (number < EXCEL_LAST + 1) & (serial != EXCEL_FALSE_DAY)
    return F.when(valid, F.date_from_unix_date(shifted))


def _day_of_digits(number: Column, attribute: Date) -> Column:
    """A number whose digits are the date, such as 20240131; at most 14 digits, which a double holds exactly."""
    pattern = attribute.pattern
    assert pattern is not None
    assert pattern.width is not None
    near = F.greatest(F.lit(0.0), F.least(F.lit(float(10**pattern.width - 1)), number))
    whole = (near == number) & (F.rint(near) == near)
    text = F.lpad(near.cast("long").cast("string"), pattern.width, "0")
    return F.when(whole, _day_by_pattern(text, pattern))


# Stage 1b, only where a date is declared to be after another one: `v<place>` becomes the days between the two dates of
# the row, and `m<place>` whether either of them is missing. Both are functions of that row.


def _differ(place: int, book: CodeBook, places: Mapping[str, int]) -> list[Column]:
    value, missing, attribute = F.col(f"v{place}"), F.col(f"m{place}"), book.attribute
    if isinstance(attribute, Difference):
        (end, gone), (start, base_gone) = _end(place, attribute.own), _end(places[attribute.base], attribute.start)
        value, missing = end - start, gone | base_gone
    return [value.alias(f"v{place}"), missing.alias(f"m{place}")]


def _end(place: int, attribute: Date) -> tuple[Column, Column]:
    """(day number as a double, NULL beyond the years 1 to 9999 and where there is no date; whether it is missing)."""
    day = F.unix_date(F.col(f"v{place}"))
    gone, _ = _date_faults(F.col(f"v{place}"), F.col(f"m{place}"), replace(attribute, outside="clip"))
    first, last = ((end - EPOCH).days for end in (date.min, date.max))
    return F.when(day.between(first, last), day.cast("double")), gone


# Stage 2: `s<place>`, the grid index, declared code or text's position; where there is none, one of the negative
# places. Graded attributes also get `p<place>`, whether a value is present: their sums need that and no index.


def _place(place: int, book: CodeBook, data_type: T.DataType) -> list[Column]:
    value, missing, attribute = F.col(f"v{place}"), F.col(f"m{place}"), book.attribute
    if isinstance(attribute, Numeric | Date):
        return [*_graded_place(place, missing, attribute, data_type), value]
    if isinstance(attribute, Categorical) and _is_joined(attribute, data_type):
        return [F.when(missing, MISSING).otherwise(OTHER).cast("long").alias(f"s{place}"), value]
    if isinstance(data_type, T.BooleanType):
        truths = {False: 0, True: 1} if isinstance(attribute, Boolean) else by_truth(attribute)
        false, true = (F.lit(truths.get(truth, OTHER)) for truth in (False, True))
        position = F.when(value, true).otherwise(false)
    elif isinstance(attribute, Boolean) and not isinstance(data_type, T.NumericType):
        found = F.when(value.isin(*(t.lower() for t in attribute.true)), 1).when(
            value.isin(*(t.lower() for t in attribute.false)), 0
        )
        position = found.otherwise(OTHER).cast("long")
    else:
        position = _found(value, attribute, data_type)
    return [F.when(missing, MISSING).otherwise(position).cast("long").alias(f"s{place}")]


def _is_joined(attribute: Categorical, data_type: T.DataType) -> bool:
    return attribute.size > LOOKUP_VALUES and not isinstance(data_type, T.BooleanType)


def _keys(attribute: Coded, data_type: T.DataType) -> list[tuple[str | int | float, int]]:
    """What the cells of a column are equal to, and the places of these keys; texts for DECIMAL, whose type they get."""
    if isinstance(data_type, T.IntegralType):
        return [(int(number), place) for number, place in by_number(attribute).items() if fits_long(number)]
    if isinstance(data_type, T.DecimalType):
        found = by_number(attribute).items()
        return [(format(number, "f"), place) for number, place in found if fits_decimal(number, data_type)]
    if isinstance(data_type, T.NumericType):
        return list(by_double(attribute).items())
    assert isinstance(attribute, Categorical)
    return list(by_text(attribute).items())


def _key(key: str | float, data_type: T.DataType) -> Column:
    """A key as a literal of exactly the type of the cells."""
    if isinstance(data_type, T.DecimalType):
        return F.lit(key).cast(data_type)
    return F.lit(key).cast("long") if isinstance(data_type, T.IntegralType) else F.lit(key)


def _found(value: Column, attribute: Coded, data_type: T.DataType) -> Column:
    """Place of a cell among the declared values.

    One compact expression whatever the length: chains of `when` outgrow what the JVM compiles.
    """
    keys = [(key, place) for key, place in _keys(attribute, data_type) if place != MISSING]
    if not keys:
        return F.lit(OTHER)
    where = F.array_position(F.array(*(_key(key, data_type) for key, _ in keys)), value)
    places = [place for _, place in keys]
    if places == list(range(len(places))):
        return where - 1
    # The first entry answers for what is not found: `array_position` counts from 1.
    return F.get(F.array(F.lit(OTHER), *map(F.lit, places)), where.cast("int"))


def _graded_place(place: int, missing: Column, attribute: Graded, data_type: T.DataType) -> list[Column]:
    value = F.col(f"v{place}")
    if isinstance(attribute, Numeric):
        gone, outside = _number_faults(value, missing, attribute, data_type)
        index = _number_index(value, attribute)
        low, high = (F.lit(limit) for limit in attribute.limits)
        below, above = value < low, value > high
    else:
        gone, outside = _date_faults(value, missing, attribute)
        index = _date_index(value, attribute)
        below, above = _date_beyond(value, attribute)
    where = F.when(gone, MISSING).when(outside, OTHER)
    if attribute.outside == "clip":
        where = where.when(below, BELOW).when(above, ABOVE)
    return [
        where.otherwise(index).cast("long").alias(f"s{place}"),
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
        low, high = attribute.limits
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
    sentinels = [(sentinel - EPOCH).days for sentinel in attribute.sentinels]
    if sentinels:
        gone = gone | F.coalesce(day.isin(*sentinels), F.lit(False))
    if attribute.outside == "missing":
        below, above = _date_beyond(value, attribute)
        outside = outside | below | above
    return gone, outside


def _date_beyond(value: Column, attribute: Date) -> tuple[Column, Column]:
    """Whether a date lies in a period before the first one, or after the last one."""
    ordinal, grid = _date_ordinal(value, attribute), attribute.grid
    return ordinal < F.lit(grid.low), ordinal > F.lit(grid.low + grid.count - 1)


def _date_ordinal(value: Column, attribute: Date) -> Column:
    """Days, months or years since 1970-01-01 as LONG: the last days that fit 32 bits, less a bound, would overflow."""
    if attribute.granularity == "day":
        ordinal = F.unix_date(value).cast("long")
    elif attribute.granularity == "year":
        ordinal = F.year(value).cast("long") - EPOCH.year
    else:
        ordinal = (F.year(value).cast("long") - EPOCH.year) * 12 + F.month(value) - 1
    return ordinal


def _date_index(value: Column, attribute: Date) -> Column:
    grid, ordinal = attribute.grid, _date_ordinal(value, attribute)
    first, last = F.lit(0).cast("long"), F.lit(grid.count - 1).cast("long")
    return F.greatest(first, F.least(last, ordinal - grid.low))


def _join_codebook(placed: DataFrame, place: int, attribute: Categorical, data_type: T.DataType) -> DataFrame:
    """Looks a long code list up by a broadcast join; keys are unique, so no row is multiplied."""
    keys = [(key, code) for key, code in _keys(attribute, data_type) if code != MISSING]
    if isinstance(data_type, T.IntegralType):
        kind = "long"
    else:
        kind = "double" if isinstance(data_type, T.FloatType | T.DoubleType) else "string"
    listed = placed.sparkSession.createDataFrame(keys, f"b{place} {kind}, n{place} long")
    if isinstance(data_type, T.DecimalType):
        listed = listed.withColumn(f"b{place}", F.col(f"b{place}").cast(data_type))
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
    code = F.when(inside, _bin(where, attribute))
    if book.clips:
        code = code.when(where == BELOW, book.below).when(where == ABOVE, book.above)
    code = code.otherwise(special).cast("long")
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
        where, last = F.col(f"s{place}"), F.lit(attribute.grid.count - 1).cast("long")
        clipped = F.when(where == ABOVE, last).otherwise(F.greatest(F.lit(0).cast("long"), where))
        value = clipped.cast("double") + F.lit(float(attribute.grid.low))
    else:
        value = _clipped(F.col(f"v{place}"), attribute)
    rounded = F.rint((value - F.lit(scale.centre)) * F.lit(scale.per_unit)).cast("long")
    return F.greatest(F.lit(-scale.limit).cast("long"), F.least(F.lit(scale.limit).cast("long"), rounded))
