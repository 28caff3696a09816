"""Patterns of texts: which are understood, that both engines' syntax is a subset, and that matching stays bounded."""

from __future__ import annotations

import re
import warnings

import pytest

from synthward.domain.patterns import LONGEST, MAX_WAYS, pattern_fault

GOOD = {
    "[A-Za-z/-]{1,40}": (["Surgery-General", "Hematology/Oncology"], ["", "Mr. Smith", "a" * 41, "Surgery\n"]),
    r"[A-Z][0-9]{2}(\.[0-9]{1,2})?": (["E11", "E11.9"], ["E1", "E11.", "E11.999", "e11"]),
    "Inpatient|Outpatient|ER{1,2}": (["Inpatient", "ER", "ERR"], ["Inpatien", "E"]),
    r"[a-z\]\-\\]{2}": (["a]", "-\\"], ["a[", "a"]),
    "Notfall ([0-9]|[A-F]){1,3}": (["Notfall 1A", "Notfall F"], ["Notfall ", "Notfall G"]),
    "ambulant|stationär": (["stationär"], ["stationar"]),
    r"\(x\)": (["(x)"], ["x"]),
}

BAD = {
    "": "empty text",
    "[a-z]{0,5}": "empty text",
    "a?": "empty text",
    "[a-z]*": "without end",
    "[a-z]+": "without end",
    ".{1,3}": "has no meaning",
    "^a$": "has no meaning",
    "[^a]": "must be written",
    "[a-zA-z]": "range 'A-z'",
    "[!-~]": "range '!-~'",
    "[-a]": "must be written",
    "[a&&b]": "must be written",
    "[[a]]": "must be written",
    "[]": "must be written",
    "[a": "in the middle",
    "(a": "in the middle",
    "a)": "closes nothing",
    "(?i)a": "has no meaning",
    "(?:a)": "has no meaning",
    r"\d{3}": "punctuation only",
    r"(a)\1": "punctuation only",
    "a\\": "in the middle",
    "a{2,}": "no bounded repetition",
    "a{,2}": "no bounded repetition",
    "a{x}": "no bounded repetition",
    "a{3,2}": "must ascend",
    "a{0}": "must ascend",
    "a{1,201}": "at most 200 times",
    "{2}": "has no meaning",
    "[a-z]{1,40}[a-z]{1,40}[a-z]{1,40}": "ways to match",
    "(a?){30}": "ways to match",
    "((a|b){1,9}){1,9}": "ways to match",
    "[a-z]{150}[a-z]{150}": f"more than {LONGEST} characters",
    "a\nb": "U+000A",
    "a\ufffd": "U+FFFD",
    "[\ufffd]": "U+FFFD",
}


@pytest.mark.parametrize("pattern", GOOD)
def test_what_is_understood_means_what_it_means_elsewhere(pattern: str) -> None:
    assert pattern_fault(pattern) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = re.compile(pattern)
    yes, no = GOOD[pattern]
    assert all(compiled.fullmatch(text) for text in yes)
    assert not any(compiled.fullmatch(text) for text in no)


@pytest.mark.parametrize("pattern", BAD)
def test_what_is_not_bounded_or_not_clear_is_refused(pattern: str) -> None:
    fault = pattern_fault(pattern)
    assert fault is not None
    assert BAD[pattern] in fault


def test_the_bounds_are_sharp() -> None:
    assert pattern_fault("[a-z]{100}[a-z]{1,100}") is None
    assert pattern_fault("([a-z]{1,100})[a-z]{1,100}") is None
    assert MAX_WAYS == 100 * 100
    assert pattern_fault("[a-z]{1,99}[a-z]{1,101}x?") is not None
