"""Clinical rules on a staged release, and against the domain before a run.

Rules are public and the rows are synthetic, so counting broken rules costs nothing. The count is part of the one native
aggregate over the staged table. Values are compared in the form in which the release holds them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from operator import and_, or_

from pyspark.sql import Column
from pyspark.sql import functions as F
from pyspark.sql import types as T

from synthward.config.text import quoted as shown
from synthward.domain.codes import CodeBook
from synthward.domain.spec import Boolean, Categorical, Date, Difference, Numeric
from synthward.sample.decode import decode
from synthward.spec.rules import Rule
from synthward.store.places import quoted

Books = Mapping[str, CodeBook]
Values = Mapping[str, Sequence[str]]
Ranges = Mapping[str, tuple[Decimal, Decimal]]


def rule_faults(rules: Sequence[Rule], books: Books, learned: Collection[str] = ()) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with rules, as (key within the list, text).

    Args:
        rules: The rules.
        books: Code books of the requested columns, as declared.
        learned: Columns whose values are not declared but learned.
    """
    seen: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if rule.name in seen:
            yield f"[{index}].name", f"{shown(rule.name)} is the name of rule {seen[rule.name]} too; choose another"
        seen.setdefault(rule.name, index)
        unknown = [name for name in rule.columns if name not in books]
        for name in unknown:
            yield f"[{index}]", f"column {shown(name)} is not requested; add it to `columns`, or remove it here"
        named = [name for name in learned if name in {**rule.when, **rule.never, **rule.always}]
        for name in named:
            yield f"[{index}]", f"the values of {shown(name)} are learned, so that no rule can name them; declare them"
        if not unknown and not named:
            yield from ((f"[{index}].{key}", text) for key, text in _value_faults(rule, books))
    yield from _contradictions(rules)


def _value_faults(rule: Rule, books: Books) -> Iterator[tuple[str, str]]:
    for part in ("when", "never", "always"):
        values: Values = getattr(rule, part)
        for name, texts in values.items():
            attribute = books[name].attribute
            if not isinstance(attribute, Categorical | Boolean):
                yield f"{part}.{name}", f"column {shown(name)} is {attribute.TAG}; values are for texts and booleans"
                continue
            for text in texts:
                if _code(books[name], text) is None:
                    yield f"{part}.{name}", f"{shown(text)} is not a declared value of {shown(name)}"
        ranges: Ranges = getattr(rule, f"{part}_between")
        for name, (low, high) in ranges.items():
            attribute = books[name].attribute
            if not isinstance(attribute, Numeric) or isinstance(attribute, Difference):
                yield f"{part}_between.{name}", f"column {shown(name)} is {attribute.TAG}; ranges are for numbers"
            elif high < attribute.bounds[0] or low > attribute.bounds[1]:
                bounds = f"[{attribute.bounds[0]}, {attribute.bounds[1]}]"
                yield f"{part}_between.{name}", f"found [{low}, {high}], beyond the bounds {bounds} of {shown(name)}"
    for name in rule.not_before.keys() | set(rule.not_before.values()):
        own = _date(books[name])
        if own is None:
            yield "not_before", f"column {shown(name)} is {books[name].attribute.TAG}; only dates have an order"
        elif own.format is not None:
            yield (
                "not_before",
                f"column {shown(name)} is a text with a format; declare the order by `after` instead",
            )


def _contradictions(rules: Sequence[Rule]) -> Iterator[tuple[str, str]]:
    """Yield pairs of rules of which one demands what the other forbids, for the same rows."""
    for index, rule in enumerate(rules):
        if rule.at_most or rule.severity == "warn" or rule.never_between or len(rule.never) != 1:
            continue
        [(name, forbidden)] = rule.never.items()
        for other in rules:
            same = (other.when, other.when_between) == (rule.when, rule.when_between)
            demanded = other.always.get(name, ()) if same and not other.at_most else ()
            if demanded and set(demanded) <= set(forbidden):
                yield (
                    f"[{index}].never.{name}",
                    f"rule {shown(other.name)} allows only what this rule forbids, for the same rows; keep one",
                )


def is_by_construction(rule: Rule, books: Books, zeros: Sequence[Values]) -> bool:
    """Whether no row of a release can break a rule, whatever the noise.

    Structural zeros of the request cover it, or the later date of its order is derived from the earlier one.

    Args:
        rule: A rule without faults.
        books: Code books of the requested columns.
        zeros: The request's structural zeros.
    """
    if rule.not_before:
        return all(_is_derived(books[late], early) for late, early in rule.not_before.items())
    combinations = _forbidden(rule, books)
    return bool(combinations) and all(any(_covers(zero, wanted, books) for zero in zeros) for wanted in combinations)


def _forbidden(rule: Rule, books: Books) -> list[dict[str, tuple[str, ...]]]:
    """Return the combinations of values that a rule forbids; empty if values alone do not say it."""
    if rule.when_between or rule.never_between or rule.always_between:
        return []
    if rule.never:
        both = rule.when.keys() & rule.never.keys()
        return [] if both else [{**rule.when, **rule.never}]
    found = []
    for name, texts in rule.always.items():
        if name in rule.when:
            return []
        allowed = {_code(books[name], text) for text in texts}
        rest = tuple(text for text in _declared(books[name]) if _code(books[name], text) not in allowed)
        found.append({**rule.when, name: rest})
    return found


def _covers(zero: Values, wanted: Values, books: Books) -> bool:
    def codes(name: str, texts: Sequence[str]) -> set[int | None]:
        return {_code(books[name], text) for text in texts}

    return zero.keys() <= wanted.keys() and all(codes(name, wanted[name]) <= codes(name, zero[name]) for name in zero)


def broken(rule: Rule, books: Books, types: Mapping[str, T.DataType]) -> Column:
    """Return whether a row of the release breaks a rule, a boolean that is never NULL.

    Args:
        rule: A rule without faults.
        books: Code books of the requested columns.
        types: Type of every column of the release.
    """

    def listed(values: Values) -> list[tuple[Column, Column]]:
        return [(F.col(quoted(name)), _is_one_of(books[name], texts, types[name])) for name, texts in values.items()]

    def within(ranges: Ranges) -> list[tuple[Column, Column]]:
        numbers = {name: _number(books[name], types[name]) for name in ranges}
        return [(numbers[n], numbers[n].between(float(low), float(high))) for n, (low, high) in ranges.items()]

    def holds(tests: Sequence[tuple[Column, Column]]) -> Column:
        return reduce(and_, (F.coalesce(test, F.lit(False)) for _, test in tests), F.lit(True))

    about = holds([*listed(rule.when), *within(rule.when_between)])
    if rule.not_before:
        dates = {name: F.col(quoted(name)).try_cast("date") for pair in rule.not_before.items() for name in pair}
        late = (F.coalesce(dates[late] < dates[early], F.lit(False)) for late, early in rule.not_before.items())
        return about & reduce(or_, late)
    if rule.always or rule.always_between:
        tests = [*listed(rule.always), *within(rule.always_between)]
        return about & reduce(or_, (value.isNotNull() & ~F.coalesce(test, F.lit(False)) for value, test in tests))
    return about & holds([*listed(rule.never), *within(rule.never_between)])


def counted(rules: Sequence[Rule], books: Books, types: Mapping[str, T.DataType]) -> list[Column]:
    """Return one aggregate for each rule: the number of rows that break it."""
    return [F.coalesce(F.sum(broken(rule, books, types).cast("long")), F.lit(0)) for rule in rules]


def _is_one_of(book: CodeBook, texts: Sequence[str], target: T.DataType) -> Column:
    codes = [code for text in texts if (code := _code(book, text)) is not None]
    return reduce(or_, (F.col(quoted(book.name)) == _released(book, code, target) for code in codes))


def _released(book: CodeBook, code: int, target: T.DataType) -> Column:
    attribute = book.attribute
    if isinstance(attribute, Categorical) and code == attribute.size and attribute.other is not None:
        return F.lit(attribute.other).cast(target)
    return decode(book, F.lit(code), target)


def _number(book: CodeBook, target: T.DataType) -> Column:
    value, attribute = F.col(quoted(book.name)), book.attribute
    if isinstance(target, T.StringType) and isinstance(attribute, Numeric) and attribute.decimal == ",":
        value = F.replace(value, F.lit(","), F.lit("."))
    return value.try_cast("double")


def _code(book: CodeBook, text: str) -> int | None:
    """Return the code of a declared value, or of the label for undeclared ones; None if the text is neither."""
    attribute = book.attribute
    code = book.code_of(text)
    if code < attribute.size:
        return code
    is_label = isinstance(attribute, Categorical) and attribute.other == text
    return attribute.size if is_label else None


def _declared(book: CodeBook) -> tuple[str, ...]:
    attribute = book.attribute
    if isinstance(attribute, Boolean):
        return (attribute.false[0], attribute.true[0])
    assert isinstance(attribute, Categorical)
    return attribute.values if attribute.other is None else (*attribute.values, attribute.other)


def _date(book: CodeBook) -> Date | None:
    attribute = book.attribute
    if isinstance(attribute, Difference):
        return attribute.own
    return attribute if isinstance(attribute, Date) else None


def _is_derived(late: CodeBook, early: str) -> bool:
    """Whether a date is derived from an earlier one, by no fewer than 0 days."""
    attribute = late.attribute
    return isinstance(attribute, Difference) and attribute.base == early and attribute.bounds[0] >= 0
