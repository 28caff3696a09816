"""The strict grammar of texts against a plain cast: what it costs a column, and a whole pass.

`text_vs_cast_KIND` is the time of encoding four text columns of one kind, as the product reads them, divided by that of
encoding the same columns after a plain `try_cast`, from Parquet. `text_pass_vs_cast_FORMAT` is the same ratio for a
pass as a run makes it: scan, encode, shuffle by patient, population and marginals of an ordinary table.
"""

from __future__ import annotations

from collections.abc import Callable

from measure import compare, figure
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from synthward.config.loader import bind
from synthward.domain.cells import Packing
from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.spec import Domain
from synthward.kernels.encode import encode, word_column
from synthward.kernels.patients import unit_key
from synthward.measure.curator import public_tasks
from synthward.measure.layout import Layout, collect_vector, exact_vector_frame
from synthward.privacy.queries import Base, Marginal, Population
from synthward.privacy.unit import PrivacyUnit

K = 4
COPIES = 4
KINDS = {"whole": "double", "real": "double", "date": "date", "time": "date"}
"""Kinds of text columns, and the type of the plain cast that each is compared with."""
ORDINARY = {"whole": 3, "real": 3, "date": 2, "time": 1, "code": 5}
"""Columns of an ordinary table by kind."""
DECLARED = {
    "whole": "{type: numeric, integer: true, bounds: [0, 250], bins: 10}",
    "real": "{type: numeric, bounds: [0, 200], resolution: 0.1, bins: 10}",
    "date": "{type: date, bounds: [2000-01-01, 2020-12-31], bins: 10}",
    "time": "{type: date, bounds: [2000-01-01, 2020-12-31], bins: 10}",
    "code": "{type: categorical, values: [A0, A1, A2, A3, A4, A5, A6, A7]}",
}


def _texts(kind: str, place: int) -> Column:
    """Drawn evenly from what is declared, as hospitals write it."""

    def drawn(salt: int, below: int) -> Column:
        return F.pmod(F.xxhash64("id", F.lit(10 * place + salt)), F.lit(below))

    def two(salt: int, below: int) -> Column:
        return F.lpad(drawn(salt, below).cast("string"), 2, "0")

    if kind == "whole":
        return drawn(0, 250).cast("string")
    if kind == "real":
        return (drawn(0, 2000) / 10.0).cast("string")
    if kind == "code":
        return F.concat(F.lit("A"), drawn(0, 8).cast("string"))
    day = F.date_add(F.lit("2000-01-01").cast("date"), drawn(0, 7000).cast("int")).cast("string")
    if kind == "date":
        return day
    return F.concat(day, F.lit(" "), two(1, 24), F.lit(":"), two(2, 60), F.lit(":"), two(3, 60))


def _table(spark: SparkSession, rows: int, kinds: list[str]) -> DataFrame:
    patient = (F.xxhash64("id") % max(1, rows // 4)).alias("patient")
    columns = (_texts(kind, place).alias(f"c{place}") for place, kind in enumerate(kinds))
    return spark.range(0, rows, 1, 16).select(patient, *columns)


def _books(kinds: list[str]) -> dict[str, CodeBook]:
    lines = "".join(f"  x{place}: {DECLARED[kind]}\n" for place, kind in enumerate(kinds))
    return codebooks(bind(f"version: 1\nattributes:\n{lines}", Domain))


def _cast(source: DataFrame, kinds: list[str]) -> DataFrame:
    """The columns as a plain cast reads them; codes stay texts."""
    columns = (F.col(f"c{place}") for place in range(len(kinds)))
    cast = (
        column.try_cast(KINDS[kind]).alias(f"c{place}") if kind in KINDS else column
        for place, (column, kind) in enumerate(zip(columns, kinds, strict=True))
    )
    return source.select("patient", *cast)


def _encoding(rows: DataFrame, books: dict[str, CodeBook]) -> Callable[[], object]:
    packing = Packing.of(books)
    words = [F.bit_xor(word_column(word)) for word in range(packing.words)]
    return lambda: encode(rows.drop("patient"), books, packing).agg(*words).collect()


def columns(spark: SparkSession, folder: str, rows: int, repeats: int) -> None:
    """A text column of each kind against its plain cast."""
    for kind in KINDS:
        kinds, path = [kind] * COPIES, f"{folder}/texts-{kind}"
        _table(spark, rows, kinds).write.parquet(path)
        source, books = spark.read.parquet(path), _books(kinds)
        actions = {"text": _encoding(source, books), "cast": _encoding(_cast(source, kinds), books)}
        _report(f"text_vs_cast_{kind}", actions, repeats)


def passes(spark: SparkSession, folder: str, rows: int, repeats: int) -> None:
    """A whole pass of an ordinary table, from CSV and from Parquet."""
    kinds = [kind for kind, count in ORDINARY.items() for _ in range(count)]
    made, books = _table(spark, rows, kinds), _books(kinds)
    made.write.parquet(f"{folder}/ordinary.parquet")
    made.write.csv(f"{folder}/ordinary.csv")
    sources = {
        "parquet": spark.read.parquet(f"{folder}/ordinary.parquet"),
        "csv": spark.read.schema(made.schema).csv(f"{folder}/ordinary.csv"),
    }
    for name, source in sources.items():
        actions = {"text": _pass(source, books, rows), "cast": _pass(_cast(source, kinds), books, rows)}
        _report(f"text_pass_vs_cast_{name}", actions, repeats)


def _pass(source: DataFrame, books: dict[str, CodeBook], rows: int) -> Callable[[], object]:
    queries: list[Base] = [Population(), *(Marginal((name,)) for name in books)]
    layout, tasks = Layout.of(queries, books), public_tasks(rows)
    unit = unit_key(F.col("patient"), source.schema["patient"].dataType).alias("unit")
    owned = source.select(unit, *(F.col(f"c{place}") for place in range(len(books))))

    def made() -> object:
        # A frame of its own each time: an adaptive plan that ran once keeps its shuffles, and would only read them.
        return collect_vector(exact_vector_frame(owned, books, layout, PrivacyUnit("patient", K), tasks), layout.cells)

    return made


def _report(name: str, actions: dict[str, Callable[[], object]], repeats: int) -> None:
    found = compare(actions, repeats)
    figure(name, found["text"].seconds / found["cast"].seconds, "ratio")
    figure(f"{name}_cpu", found["text"].cpu / found["cast"].cpu, "ratio")
    figure(f"{name}_cast_cpu_s", found["cast"].cpu, "CPU-s")
