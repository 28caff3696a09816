"""The native expressions for one CSV line equal the grammar of `sources.records`, on random and on chosen lines."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F

from synthward.sources.csv import fields
from synthward.sources.records import parse
from synthward.spec.request import CsvOptions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect

OPTIONS = (
    CsvOptions(),
    CsvOptions(delimiter=";", escape="\\"),
    CsvOptions(delimiter="\t", quote="", escape=""),
    CsvOptions(delimiter="|", quote="'", escape=""),
    CsvOptions(delimiter="^", quote="]", escape="]"),
    CsvOptions(delimiter="€", quote="§", escape="-"),
)
CHOSEN = [
    '"',
    '""',
    '"""',
    '""""',
    ",",
    '"a","b","c"',
    '"","",""',
    '"a"" ","b","c"',
    'a"b,c,d',
    '"a" ,b,c',
    ' "a",b,c',
    "",
]


def lines(options: CsvOptions, rng: random.Random) -> list[str]:
    """Lines in which the special characters of some options are frequent."""
    alphabet = [options.delimiter] * 3 + ["a", " ", "é", "\r", "\0", "$", "\\", "𝄞", "\u2028"]
    alphabet += [options.quote, options.quote, options.quote or "x", options.escape or "y"]
    return ["".join(rng.choices(alphabet, k=rng.randrange(14))) for _ in range(1500)] + [
        text.replace(",", options.delimiter).replace('"', options.quote or '"') for text in CHOSEN
    ]


def test_lines_are_records_for_spark_as_they_are_for_the_grammar(spark: SparkSession) -> None:
    rng = random.Random(5)
    rows = [(place, line) for place, options in enumerate(OPTIONS) for line in lines(options, rng)]
    frame = spark.createDataFrame(rows, "place INT, line STRING").coalesce(1)
    for count in (3, 1):
        cut = F.lit(None)
        for place, options in enumerate(OPTIONS):
            cut = F.when(F.col("place") == place, fields(F.col("line"), options, count)).otherwise(cut)
        found = frame.select("place", "line", cut.alias("cut")).collect()
        assert len(found) == len(rows)
        records = 0
        for place, line, cut_to in found:
            right = parse(line, OPTIONS[place])
            right = right if right is not None and len(right) == count else None
            ours = cut_to if cut_to is not None and len(cut_to) == count else None
            assert ours == right, (OPTIONS[place], line)
            records += right is not None
        assert records > 500


@pytest.mark.parametrize(
    ("line", "options", "found"),
    [
        ("a,b,", OPTIONS[0], ["a", "b", ""]),
        ('"a ""x"", b",c', OPTIONS[0], ['a "x", b', "c"]),
        ('"a\\"b";c\\', OPTIONS[1], ['a"b', "c\\"]),
        ("'it','s'", CsvOptions(quote="'", escape=""), ["it", "s"]),
        ('"a"b,c', OPTIONS[0], None),
        ('a "b",c', OPTIONS[0], None),
        ('7777,"he said he felt,F,50', OPTIONS[0], None),
    ],
)
def test_the_grammar(line: str, options: CsvOptions, found: list[str] | None) -> None:
    assert parse(line, options) == found


def test_a_long_line_is_no_deep_recursion() -> None:
    text = '"' + 'x ""y"", ' * 200_000 + '"'
    assert [len(field) for field in parse(f"1,{text}", OPTIONS[0]) or []] == [1, 200_000 * len('x "y", ')]
