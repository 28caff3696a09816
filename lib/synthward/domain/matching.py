"""What the declared values of a category or boolean are compared with, for each kind of column.

Text is compared as text. Numbers are compared by value: a declared `1` is 1, 1.0 and the decimal 1.00. A declared text
that is no plain number, such as `01` or `A`, can never be equal to a number; who opens a source refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from decimal import Decimal

import numpy as np

from synthward.domain.spec import Boolean, Categorical
from synthward.domain.texts import forms, is_plain_number, tidied

MISSING = -2
"""Place of what is missing."""

Coded = Categorical | Boolean


def declared(attribute: Coded) -> Iterator[tuple[str, int]]:
    """Declared texts with their places: values first, then the texts that mean 'missing'."""
    if isinstance(attribute, Categorical):
        yield from ((value, code) for code, value in enumerate(attribute.values))
    else:
        yield from ((text, 0) for text in attribute.false)
        yield from ((text, 1) for text in attribute.true)
    yield from ((text, MISSING) for text in attribute.missing)


def by_text(attribute: Categorical) -> dict[str, int]:
    """Places by the text that a cell has once it is tidied."""
    return {form: place for text, place in declared(attribute) for form in compared_texts(attribute, text)}


def compared_texts(attribute: Categorical, text: str) -> tuple[str, ...]:
    """What a tidied cell must be equal to, to match a declared text."""
    fold = attribute.case == "fold"
    written = forms(text, normalise=attribute.normalise)
    return tuple(dict.fromkeys(tidied(form, trim=attribute.trim, fold=fold) for form in written))


def by_number(attribute: Coded) -> dict[Decimal, int]:
    """Places by exact number; declared texts that are no plain numbers are left out."""
    found: dict[Decimal, int] = {}
    for text, place in declared(attribute):
        if is_plain_number(text):
            found.setdefault(Decimal(text), place)
    return found


def by_double(attribute: Coded) -> dict[float, int]:
    """Places by double: the nearest one of a declared number, and that of its nearest FLOAT.

    A declared 0.1 is therefore found in a column of floats, where it is 0.10000000149..., as well as in one of doubles.
    """
    numbers = by_number(attribute)
    found: dict[float, int] = {}
    for number, place in numbers.items():
        if math.isfinite(double := float(number)):
            found.setdefault(double + 0.0, place)
    for number, place in numbers.items():
        if abs(number) < Decimal("3.4e38"):
            found.setdefault(float(np.float32(float(number))) + 0.0, place)
    return found


def by_truth(attribute: Categorical) -> Mapping[bool, int]:
    """Places of false and true: their words, or else 0 and 1."""
    texts, numbers = by_text(attribute), by_number(attribute)
    found = {}
    for truth, word in ((False, "false"), (True, "true")):
        place = texts.get(word, numbers.get(Decimal(int(truth))))
        if place is not None:
            found[truth] = place
    return found
