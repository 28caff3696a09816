"""The grammar of one CSV record, line by line and without Spark; the native expressions are held to it by tests.

A record is one physical line. A field is a text without the quote character, or a quoted text: the quote, any
characters, the quote. Inside, the quote is written as escape and quote. A quoted field begins and ends where the field
does. Everything else is malformed.
"""

from __future__ import annotations

import re

from synthward.spec.request import CsvOptions


def field_pattern(options: CsvOptions) -> str:
    """One field as a regular expression for Python and Java; without groups, and without backtracking.

    Args:
        options: Delimiter, quote and escape.
    """
    delimiter, quote, escape = (re.escape(text) for text in (options.delimiter, options.quote, options.escape))
    if not options.quote:
        return f"[^{delimiter}]*+"
    if options.escape == options.quote:
        inside = f"[^{quote}]*+(?:{quote}{quote}[^{quote}]*+)*+"
    elif options.escape:
        inside = f"[^{quote}{escape}]*+(?:{escape}[\\s\\S][^{quote}{escape}]*+)*+"
    else:
        inside = f"[^{quote}]*+"
    return f"(?:{quote}{inside}{quote}|[^{quote}{delimiter}]*+)"


def unescaped(options: CsvOptions) -> tuple[str, str] | None:
    """Pattern of an escaped character inside of quotes and what replaces it, `$1` being its group; None for none."""
    if not options.quote or not options.escape:
        return None
    quote, escape = re.escape(options.quote), re.escape(options.escape)
    if options.escape == options.quote:
        return f"{quote}({quote})", "$1"
    return f"{escape}([{quote}{escape}])", "$1"


def parse(line: str, options: CsvOptions) -> list[str] | None:
    """The fields of a line, or None if it is malformed; an empty field is an empty text.

    Args:
        line: One line, decoded, without its line break.
        options: How it is written.
    """
    pattern, rule = re.compile(field_pattern(options)), unescaped(options)
    fields, at = [], 0
    while True:
        match = pattern.match(line, at)
        assert match is not None, "a field may be empty"
        text = match.group()
        if options.quote and text.startswith(options.quote):
            text = text[1:-1]
            if rule is not None:
                text = re.sub(rule[0], r"\1", text)
        fields.append(text)
        at = match.end()
        if at == len(line):
            return fields
        if line[at] != options.delimiter:
            return None
        at += 1
