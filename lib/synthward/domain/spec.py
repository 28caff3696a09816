"""The declared, public description of the columns of an extract: attributes, their values, bounds and treatments.

Nothing here is ever inferred from data (DESIGN 4.2). Each attribute has a code for every declared value or bin, then
one code for what is out of its domain (`other`) and one for `missing`, so that every conceivable cell has a code and
the encoding cannot fail.
"""

from __future__ import annotations

import dataclasses
import os
import re
import zoneinfo
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from synthward.config.canonical import digest
from synthward.config.fields import Findings, key
from synthward.config.files import DOMAIN_BYTES, Fence, FileRefused
from synthward.config.loader import Document, load_document, load_named
from synthward.config.text import LINE, quoted, text_fault
from synthward.domain.codebook_file import DELIMITERS, CodebookFault, Dialect, read_codebook
from synthward.domain.grid import FixedPoint, Grid
from synthward.domain.texts import EXCEL, EXCEL_EPOCH, EXCEL_FALSE_DAY, forms, tidied
from synthward.errors import ConfigError, Problem

EPOCH = date(1970, 1, 1)
EXCEL_FIRST = date(1900, 1, 1)
LARGEST_FLOAT = 3.4e38
MOST_DAYS = 3_652_058
"""Days between the first and the last date of the calendar."""


@dataclass(frozen=True)
class _Common:
    missing: tuple[str, ...] = key(
        (), doc="Texts that mean 'missing', exactly as written in the source.", example="[NA, '?']"
    )
    required: bool = key(
        False, doc="The release never has NULL here: missing and undeclared mass is spread over the declared values."
    )


@dataclass(frozen=True)
class Numeric(_Common):
    """A number between public bounds, kept at a public resolution."""

    TAG: ClassVar[str] = "numeric"
    bounds: tuple[Decimal, Decimal] = key(doc="Lowest and highest value; public, never taken from data.")
    integer: bool = key(False, doc="Whole numbers: the resolution is 1 unless given, and the release holds BIGINT.")
    resolution: Decimal | None = key(None, doc="Distance of neighbouring values in the release.")
    bins: int | None = key(None, minimum=1, maximum=100_000, doc="Number of equal bins for marginals (default 32).")
    edges: tuple[Decimal, ...] = key((), doc="Lower edges of the second and later bins, instead of `bins`.")
    sentinels: tuple[Decimal, ...] = key((), doc="Numbers that mean 'missing', such as -9 or 999.")
    outside: Literal["clip", "missing"] = key("clip", doc="What a finite number beyond the bounds becomes.")
    decimal: Literal[".", ","] = key(".", later=True, doc="Decimal mark of numbers in text columns.", example="','")

    @cached_property
    def grid(self) -> Grid:
        """Values and bins."""
        resolution = self.resolution if self.resolution is not None else Decimal(1)
        return Grid.of(*self.bounds, resolution, bins=self.bins, edges=self.edges)

    @cached_property
    def fixed_point(self) -> FixedPoint:
        """Scale of the sums."""
        return FixedPoint.of(self.grid.low_float, self.grid.high_float)

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Smallest and largest double within the bounds, each bound also as a FLOAT column holds it.

        Half a step is the most that counts as the bound: the FLOAT next to 16777217 is 16777216, another whole number.
        """
        low, high = self.grid.low_float, self.grid.high_float
        if max(abs(low), abs(high)) > LARGEST_FLOAT:
            return low, high
        lowest, highest = float(np.float32(low)), float(np.float32(high))
        half = self.grid.step / self.grid.denominator / 2
        return (lowest if low - half < lowest < low else low), (highest if high < highest < high + half else high)

    @property
    def size(self) -> int:
        """Number of declared codes, `other` and `missing` not counted."""
        return self.grid.bins

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if self.resolution is None and not self.integer:
            yield "resolution", "a real number needs a resolution, for instance `resolution: 0.1`"
            return
        if self.integer and any(n != n.to_integral_value() for n in (*self.bounds, self.resolution or Decimal(1))):
            yield "bounds", "an integer attribute needs whole bounds and a whole resolution"
        if self.bins is not None and self.edges:
            yield "edges", "give `bins` or `edges`, not both"
        try:
            _ = self.grid
        except ValueError as error:
            yield "bounds", str(error)


@dataclass(frozen=True)
class Categorical(_Common):
    """One of a declared list of values."""

    TAG: ClassVar[str] = "categorical"
    values: tuple[str, ...] = key((), doc="Declared values, as text exactly as in the source.")
    codebook: str | None = key(None, doc="CSV file with one value a row, relative to the domain file.")
    codebook_column: str | None = key(None, doc="Column of the code book (default: its first).")
    codebook_delimiter: Literal[",", ";", "|", "tab"] | None = key(
        None,
        later=True,
        doc="Character between the columns of the code book (default: a comma; a first line that looks as if it were "
        "another one is refused).",
    )
    codebook_encoding: Literal["UTF-8", "ISO-8859-1", "WINDOWS-1252", "UTF-16"] | None = key(
        None, later=True, doc="Character encoding of the code book (default: UTF-8, with or without byte order mark)."
    )
    codebook_header: bool | None = key(
        None,
        later=True,
        doc="Whether the first line of the code book names its columns (default: it does, and one that looks like a "
        "value is refused).",
    )
    other: str | None = key(None, doc="Label that undeclared values get in the release; without it they become NULL.")
    trim: bool = key(False, later=True, doc="Spaces around a text do not count.", example="true")
    case: Literal["exact", "fold"] = key("exact", later=True, doc="fold: upper and lower case are one.", example="fold")
    normalise: bool = key(
        False,
        later=True,
        doc="A text also matches in its composed (NFC) and decomposed (NFD) Unicode form.",
        example="true",
    )

    @property
    def size(self) -> int:
        """Number of declared codes, `other` and `missing` not counted."""
        return len(self.values)

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if bool(self.values) == (self.codebook is not None):
            yield "values", "give either `values` or `codebook`"
        if self.codebook is None:
            for name in ("codebook_column", "codebook_delimiter", "codebook_encoding", "codebook_header"):
                if getattr(self, name) is not None:
                    yield name, "says how the code book is read, but there is no `codebook`; remove it"
        elif self.codebook_header is False and self.codebook_column is not None:
            yield "codebook_column", "a code book without a header has no names; its first column is read"
        for name, found in (("values", self.values), ("missing", self.missing)):
            repeated = sorted(value for value, times in Counter(found).items() if times > 1)
            if repeated:
                yield name, f"listed more than once: {', '.join(repeated[:5])}"
        both = sorted(set(self.values) & set(self.missing))
        if both:
            yield "missing", f"also declared as a value: {', '.join(both[:5])}"
        alike = self._alike() if self.trim or self.case == "fold" or self.normalise else None
        if alike is not None and not both:
            yield "values", f"'{alike[0]}' and '{alike[1]}' are one text under `trim`, `case` and `normalise`"
        if self.other is not None and self.other in set(self.values):
            yield "other", f"'{self.other}' is a declared value; undeclared values need a label of their own"

    def _alike(self) -> tuple[str, str] | None:
        """Two declared texts that a cell could match both."""
        owner: dict[str, str] = {}
        for text in dict.fromkeys((*self.values, *self.missing)):
            for form in forms(text, normalise=self.normalise):
                first = owner.setdefault(tidied(form, trim=self.trim, fold=self.case == "fold"), text)
                if first != text:
                    return first, text
        return None


@dataclass(frozen=True)
class Boolean(_Common):
    """True or false, with the texts that mean either."""

    TAG: ClassVar[str] = "boolean"
    true: tuple[str, ...] = key(("true", "t", "yes", "y", "1"), doc="Texts for true, compared in lower case.")
    false: tuple[str, ...] = key(("false", "f", "no", "n", "0"), doc="Texts for false, compared in lower case.")

    @property
    def size(self) -> int:
        """Number of declared codes: false is 0, true is 1."""
        return 2

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if not self.true or not self.false:
            yield "true", "both `true` and `false` need at least one text"
        sets = [{text.lower() for text in texts} for texts in (self.true, self.false, self.missing)]
        if sets[0] & sets[1] or sets[2] & (sets[0] | sets[1]):
            yield "true", "one text stands for two of true, false and missing"


_DATE_PART = re.compile(r"([A-Za-z])\1*|[^A-Za-z]")
_DATE_PARTS = {
    "yyyy": "((?!0000)[0-9]{4})",
    "MM": "([0-9]{2})",
    "M": "([0-9]{1,2})",
    "dd": "([0-9]{2})",
    "d": "([0-9]{1,2})",
    "HH": "(?:[01][0-9]|2[0-3])",
    "mm": "[0-5][0-9]",
    "ss": "[0-5][0-9]",
}


@dataclass(frozen=True)
class DatePattern:
    """A date format as a regular expression, so that neither session settings nor an engine's parser matter.

    Attributes:
        regex: Of the whole text.
        groups: Group of year, month and day; 0 where the format has no such part, which then counts as 1.
        width: Number of digits of a format that has nothing but digits, such as yyyyMMdd, else None: such dates are
            read from columns of numbers too.
    """

    regex: str
    groups: tuple[int, int, int]
    width: int | None = None

    @classmethod
    def of(cls, text: str) -> DatePattern:
        """Reads a pattern such as MM/dd/yyyy.

        Raises:
            ValueError: It has other parts than these, no year, or one part twice.
        """
        regex, seen = "", ""
        parts = [found[0] for found in _DATE_PART.finditer(text)]
        for part in parts:
            if part in _DATE_PARTS:
                regex += _DATE_PARTS[part]
                seen += part[0]
            elif part.isascii() and not part.isalnum() and part.isprintable() and part not in "'[]{}#":
                regex += re.escape(part)
            else:
                raise ValueError(f"'{part}' is not understood; use {', '.join(_DATE_PARTS)} and punctuation")
        if "y" not in seen or len(set(seen)) != len(seen):
            raise ValueError("needs yyyy, and no part twice")
        dated = [part for part in seen if part in "yMd"]
        year, month, day = (dated.index(part) + 1 if part in dated else 0 for part in "yMd")
        whole = "".join(parts)
        fixed = whole.isalpha() and all(len(part) > 1 for part in parts)
        return cls(regex, (year, month, day), len(whole) if fixed else None)


@dataclass(frozen=True)
class Date(_Common):
    """A calendar date between public bounds, at a public granularity."""

    TAG: ClassVar[str] = "date"
    bounds: tuple[date, date] = key(doc="First and last date; public, never taken from data.")
    granularity: Literal["day", "month", "year"] = key("day", doc="The release holds the first day of each period.")
    time_zone: str = key("UTC", doc="Zone in which an instant (TIMESTAMP) becomes a date.")
    format: str | None = key(
        None,
        doc="How a date is written in text or as a number: MM/dd/yyyy, yyyyMMdd, or `excel` for Excel's serial "
        "numbers; default ISO 8601.",
        example="MM/dd/yyyy",
    )
    bins: int | None = key(None, minimum=1, maximum=100_000, doc="Number of equal bins for marginals (default 32).")
    sentinels: tuple[date, ...] = key((), doc="Dates that mean 'missing', such as 1900-01-01.")
    outside: Literal["clip", "missing"] = key("clip", doc="What a date beyond the bounds becomes.")
    after: str | None = key(
        None,
        later=True,
        doc="Column of the date that this date is never before. Counted and modelled are the days between the two; the "
        "release holds the other date plus these days.",
        example="admitted",
    )
    within: tuple[int, int] | None = key(
        None, later=True, doc="Fewest and most units after the other date; public.", example="[0, 365]"
    )
    unit: Literal["day"] = key("day", later=True, doc="Unit of `within`.", example="day")

    def ordinal(self, day: date) -> int:
        """Days, months or years since 1970-01-01."""
        if self.granularity == "day":
            return (day - EPOCH).days
        years = day.year - EPOCH.year
        return years if self.granularity == "year" else years * 12 + day.month - 1

    @cached_property
    def pattern(self) -> DatePattern | None:
        """The format, read; None for ISO 8601 and for serial numbers."""
        return None if self.format is None or self.serial else DatePattern.of(self.format)

    @property
    def serial(self) -> bool:
        """Whether dates are Excel's serial numbers."""
        return self.format == EXCEL

    def number_of(self, day: date) -> int:
        """A date as columns of numbers hold it: its digits, or Excel's serial number.

        Raises:
            ValueError: The format is neither.
        """
        if self.serial:
            serial = (day - EPOCH).days - EXCEL_EPOCH
            return serial - (serial <= EXCEL_FALSE_DAY)
        if self.pattern is None or self.pattern.width is None or self.format is None:
            raise ValueError(f"the format '{self.format}' is no number")
        parts = {"yyyy": f"{day.year:04}", "MM": f"{day.month:02}", "dd": f"{day.day:02}"}
        return int("".join(parts.get(found[0], "00") for found in _DATE_PART.finditer(self.format)))

    @cached_property
    def grid(self) -> Grid:
        """Ordinals and bins."""
        low, high = (Decimal(self.ordinal(day)) for day in self.bounds)
        return Grid.of(low, high, Decimal(1), bins=self.bins)

    @cached_property
    def fixed_point(self) -> FixedPoint:
        """Scale of the sums, in ordinals."""
        return FixedPoint.of(self.grid.low_float, self.grid.high_float)

    @property
    def size(self) -> int:
        """Number of declared codes, `other` and `missing` not counted."""
        return self.grid.bins

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        first, last = self.bounds
        if last < first or self.ordinal(first) == self.ordinal(last):
            yield "bounds", f"must span at least two {self.granularity}s in ascending order, found [{first}, {last}]"
        try:
            zoneinfo.ZoneInfo(self.time_zone)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            yield "time_zone", f"'{self.time_zone}' is not an IANA time zone such as UTC or Europe/Berlin"
        try:
            _ = self.pattern
        except ValueError as error:
            yield "format", f"'{self.format}': {error}"
        if self.serial and first < EXCEL_FIRST:
            yield "bounds", f"Excel's serial numbers begin with {EXCEL_FIRST}, found {first}"
        yield from self._order_problems()

    def _order_problems(self) -> Findings:
        if self.after is None:
            if self.within is not None:
                yield "within", "says how far this date lies after another one; name that one with `after`"
            return
        if self.granularity != "day":
            yield "granularity", f"a date after another one is counted in days, found {self.granularity}; leave it out"
        if self.within is None:
            yield "after", "needs the fewest and the most days after that date, for instance `within: [0, 365]`"
        elif not 0 <= self.within[0] < self.within[1] <= MOST_DAYS:
            fewest, most = self.within
            yield "within", f"two whole numbers in ascending order, from 0 to {MOST_DAYS}; found [{fewest}, {most}]"


@dataclass(frozen=True, kw_only=True)
class Difference(Numeric):
    """Whole days from one date of a row to another: what is counted and modelled of a date with `after`.

    No file declares it. It is made from two declared dates, and is a number to everything that counts, fits or draws.

    Attributes:
        own: The declared date of the column itself.
        base: Column of the date before it.
        start: The declared date of that column.
    """

    TAG: ClassVar[str] = "difference"
    own: Date
    base: str
    start: Date

    @classmethod
    def of(cls, own: Date, base: str, start: Date) -> Difference:
        """The difference of two dates; `own.within` is declared."""
        assert own.within is not None
        return cls(
            missing=own.missing,
            required=own.required,
            bounds=(Decimal(own.within[0]), Decimal(own.within[1])),
            integer=True,
            bins=own.bins,
            outside=own.outside,
            own=own,
            base=base,
            start=start,
        )

    @property
    def last_day(self) -> int:
        """The last date that a release holds in the column, in days since 1970-01-01."""
        return self.own.ordinal(self.own.bounds[1])


Attribute = Numeric | Categorical | Boolean | Date
Graded = Numeric | Date
"""Attributes whose values lie on a grid and can be summed."""


@dataclass(frozen=True)
class Domain:
    """The declared attributes of an extract, in order."""

    version: Literal[1] = key(doc="Version of the file's format.")
    attributes: dict[str, Attribute] = key(doc="Attribute by column name; dots reach into structs.")
    title: str = key("", doc="What the extract is.", max_length=LINE)
    missing_together: tuple[tuple[str, ...], ...] = key(
        (),
        later=True,
        doc="Lists of columns that are all missing or all present: a row of the release with NULL in one column of a "
        "list has NULL in all of them.",
        example="[[systolic, diastolic]]",
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if not self.attributes:
            yield "attributes", "declare at least one attribute"
        for name in self.attributes:
            fault = "is empty; name a column" if not name else text_fault(name, LINE, lines=False)
            if fault is not None:
                yield f"attributes.{name}", f"the column's name {fault}"
        for name, attribute in self.attributes.items():
            if isinstance(attribute, Date) and attribute.after is not None and attribute.within is not None:
                yield from self._order_problems(f"attributes.{name}", attribute, attribute.after, attribute.within)
        yield from self._together_problems()

    def _together_problems(self) -> Findings:
        """What is wrong with the lists of `missing_together`."""
        seen: dict[str, int] = {}
        for index, listed in enumerate(self.missing_together):
            path = f"missing_together[{index}]"
            if len(listed) < 2:
                yield path, f"name two or more columns, found {len(listed)}"
            for name in listed:
                attribute = self.attributes.get(name)
                if name in seen:
                    yield path, f"{quoted(name)} is already in list {seen[name]}; name a column once, in one list"
                elif attribute is None:
                    yield path, f"{quoted(name)} is not declared; name columns of `attributes`"
                elif attribute.required:
                    yield path, f"{quoted(name)} is `required` and never missing; remove one of the two"
                seen.setdefault(name, index)
            for name, attribute in self.attributes.items():
                base = attribute.after if isinstance(attribute, Date) else None
                if base in listed and name not in listed:
                    yield path, f"{quoted(name)} lies after {quoted(base)} and is missing with it; name it in this list"

    def _order_problems(self, path: str, own: Date, after: str, within: tuple[int, int]) -> Findings:
        """What is wrong with a declared order of two dates."""
        base = self.attributes.get(after)
        if not isinstance(base, Date):
            found = "is not declared" if base is None else f"is {base.TAG}"
            yield f"{path}.after", f"{quoted(after)} {found}; name a column whose attribute is a date"
            return
        if base.granularity != "day":
            yield f"{path}.after", f"{quoted(after)} has granularity {base.granularity}; only days can be ordered"
            return
        if self._is_circular(after):
            yield f"{path}.after", f"{quoted(after)} lies itself after this date, by `after`; remove one of the two"
            return
        if own.required and not base.required:
            yield f"{path}.required", f"{quoted(after)} may be missing, and this date with it; set `required` there too"
        first, last = ((bound - date.min).days + within[0] for bound in base.bounds)
        if first < (own.bounds[0] - date.min).days or last > (own.bounds[1] - date.min).days:
            shown = [date.min + timedelta(min(days, MOST_DAYS)) for days in (first, last)]
            text = f"dates {within[0]} days after {quoted(after)} lie within [{shown[0]}, {shown[1]}]"
            yield f"{path}.bounds", f"{text}, which the bounds must include; found [{own.bounds[0]}, {own.bounds[1]}]"

    def _is_circular(self, name: str) -> bool:
        """Whether the dates that a column lies after come back to one of them."""
        seen = set()
        found: str | None = name
        while found is not None and found not in seen:
            seen.add(found)
            attribute = self.attributes.get(found)
            found = attribute.after if isinstance(attribute, Date) else None
        return found is not None

    @cached_property
    def digest(self) -> str:
        """sha256 of the declared content, code books included."""
        return digest(self)

    def restricted_to(self, columns: tuple[str, ...]) -> Domain:
        """The attributes of the requested columns, in the order asked for.

        Raises:
            ConfigError: A column is not declared.
        """
        unknown = [column for column in columns if column not in self.attributes]
        if unknown:
            declared = ", ".join(self.attributes)
            raise ConfigError(
                [
                    Problem("columns", f"'{column}' is not declared in the domain; declared: {declared}")
                    for column in unknown
                ]
            )
        bases = {column: self.after(column) for column in columns}
        lacking = {column: base for column, base in bases.items() if base is not None and base not in columns}
        if lacking:
            raise ConfigError([Problem("columns", needs_base(column, base)) for column, base in lacking.items()])
        together = (tuple(name for name in listed if name in columns) for listed in self.missing_together)
        return replace(
            self,
            attributes={column: self.attributes[column] for column in columns},
            missing_together=tuple(listed for listed in together if len(listed) > 1),
        )

    def missing_with(self, column: str) -> tuple[str, ...]:
        """The other columns that are declared to be missing in the same rows as a column."""
        for listed in self.missing_together:
            if column in listed:
                return tuple(name for name in listed if name != column)
        return ()

    def after(self, column: str) -> str | None:
        """The column of the date that a column's date is declared to be after, None without such an order."""
        attribute = self.attributes.get(column)
        return attribute.after if isinstance(attribute, Date) else None

    @cached_property
    def counted(self) -> Mapping[str, Attribute]:
        """What is encoded, counted and modelled of each column: of a date with `after`, the days between the two."""
        return {name: self._counted(attribute) for name, attribute in self.attributes.items()}

    def _counted(self, attribute: Attribute) -> Attribute:
        if not isinstance(attribute, Date) or attribute.after is None:
            return attribute
        start = self.attributes[attribute.after]
        assert isinstance(start, Date)
        return Difference.of(attribute, attribute.after, start)

    @property
    def graded(self) -> Mapping[str, Graded]:
        """The attributes that can be summed, as they are counted."""
        return {name: a for name, a in self.counted.items() if isinstance(a, Numeric | Date)}


def needs_base(column: str, base: str) -> str:
    """What is wrong where a date is requested without the one that it is declared to be after."""
    return (
        f"'{column}' is declared as a date after '{base}', which is not requested; request both, or remove `after` in "
        "the domain"
    )


def load_domain(path: Path) -> Domain:
    """Reads a domain file and the code books it names, which lie in its folder or below (`config.files`).

    Raises:
        ConfigError: With every problem found, by file and line.
    """
    return _with_codebooks(load_document(path, Domain, DOMAIN_BYTES), Fence.of_domain(path))


def load_domain_of(fence: Fence, written: str, place: Problem) -> Domain:
    """Like `load_domain`, for the domain that a request names.

    Args:
        fence: Where the request's domain may lie.
        written: Its path as written in the request.
        place: The key in the request, for what is wrong with the path itself.

    Raises:
        ConfigError: With every problem found, by file and line.
    """
    path = Path(os.path.normpath(fence.base / written))
    try:
        books = fence.of_named(written)
        document = load_named(fence, written, path, Domain, DOMAIN_BYTES)
    except FileRefused as refused:
        raise ConfigError([dataclasses.replace(place, message=f"{quoted(written)} {refused}")]) from None
    return _with_codebooks(document, books)


def _with_codebooks(document: Document[Domain], fence: Fence) -> Domain:
    """The domain with the values of its code books in place of their names; problems at the line of the key."""
    domain = document.value
    resolved: dict[str, Attribute] = {}
    problems: list[Problem] = []
    for name, attribute in domain.attributes.items():
        resolved[name] = attribute
        if isinstance(attribute, Categorical) and attribute.codebook is not None:
            dialect = Dialect(
                None if attribute.codebook_delimiter is None else DELIMITERS[attribute.codebook_delimiter],
                attribute.codebook_encoding,
                attribute.codebook_header,
            )
            try:
                values = read_codebook(fence, attribute.codebook, attribute.codebook_column, dialect)
            except CodebookFault as fault:
                problems.append(document.problem(f"attributes.{name}.{fault.key}", str(fault)))
                continue
            declared = replace(attribute, values=values, **_NO_CODEBOOK)
            resolved[name] = declared
            problems += [document.problem(f"attributes.{name}.{key}", text) for key, text in declared.problems()]
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.line))
    return replace(domain, attributes=resolved)


_NO_CODEBOOK: dict[str, Any] = dict.fromkeys(
    ("codebook", "codebook_column", "codebook_delimiter", "codebook_encoding", "codebook_header")
)
