"""Marginals: pair counts against shipping the same packed words to Python, and against a native scan-and-sum.

`pairs` times the kernel alone. `joint_round` times what a run makes: the exact vector of a round that asks the
population and all marginals, and `moments` that of a round with sums, whose two scans are compared with each by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

from measure import Cost, compare, figure
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from synthward.config.loader import bind
from synthward.domain.cells import Packing, Table, tables
from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.spec import Categorical, Date, Domain, Numeric, load_domain
from synthward.kernels.encode import encode, word_column
from synthward.kernels.marginals import weighted_marginals
from synthward.kernels.patients import unit_key
from synthward.measure.curator import public_tasks
from synthward.measure.layout import Layout, collect_vector, exact_vector_frame
from synthward.privacy.queries import Base, Marginal, Population, Presence, SquareSum, Sum
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.privacy.unit import PrivacyUnit

K = 4
COLUMNS = 12
GROWING = ("pairs", "pairs_units", "joint_round_units")
DIGITS = "version: 1\nattributes:\n" + "".join(
    f"  x{k}: {{type: numeric, integer: true, bounds: [0, 9]}}\n" for k in range(COLUMNS)
)
DIABETES = Path(__file__).resolve().parents[2] / "conf" / "domains" / "diabetes130.yaml"
DIABETES_COLUMNS = (
    "race",
    "gender",
    "age",
    "admission_type_id",
    "discharge_disposition_id",
    "admission_source_id",
    "time_in_hospital",
    "num_lab_procedures",
    "num_procedures",
    "num_medications",
    "number_inpatient",
    "number_diagnoses",
    "A1Cresult",
    "metformin",
    "insulin",
    "diabetesMed",
    "readmitted",
)


def _digits(spark: SparkSession, folder: str, rows: int) -> DataFrame:
    """Twelve columns of ten values and a patient key as Parquet: about four rows a patient, in random order."""
    path = f"{folder}/digits-{rows}"
    made = spark.range(0, rows, 1, 16).select(
        (F.xxhash64("id") % max(1, rows // 4)).alias("patient"),
        *(F.pmod(F.xxhash64("id", F.lit(k)), F.lit(10)).cast("int").alias(f"x{k}") for k in range(COLUMNS)),
    )
    made.write.parquet(path)
    return spark.read.parquet(path)


class Bench:
    """The passes over one source: pairs, the same without counting, and whole rounds as the curator makes them."""

    def __init__(self, source: DataFrame, books: dict[str, CodeBook], rows: int) -> None:
        self.books = books
        self.packing = Packing.of(books)
        self.laid: tuple[Table, ...] = tables(books, list(combinations(books, 2)))
        self.tasks = public_tasks(rows)
        self.words = [word_column(word) for word in range(self.packing.words)]
        columns = [F.col(name).alias(f"c{place}") for place, name in enumerate(books)]
        self.scanned = source.select(*columns)
        self.rows = encode(self.scanned, books, self.packing)
        unit = unit_key(F.col("patient"), source.schema["patient"].dataType).alias("unit")
        self.owned = source.select(unit, *columns)
        self.units = encode(self.owned, books, self.packing)

    def actions(self) -> dict[str, Callable[[], object]]:
        """By name."""
        schema = ", ".join(f"{word} long" for word in self.words)
        unit = self.units.schema["unit"].dataType.simpleString()

        def ship(batches):  # type: ignore[no-untyped-def]
            yield from (batch.slice(0, 0) for batch in batches)

        def total(frame: DataFrame) -> object:
            return frame.groupBy("cell").agg(F.sum("value")).toArrow()

        return {
            "scan": lambda: self.scanned.agg(*(F.sum(name) for name in self.scanned.columns)).collect(),
            "ship": lambda: self.rows.select(*self.words).mapInArrow(ship, schema).agg(F.count(F.lit(1))).collect(),
            "pairs": lambda: total(weighted_marginals(self.rows, self.packing, self.laid, 1, WEIGHT_UNIT, self.tasks)),
            "ship_units": lambda: (
                self.units.select("unit", *self.words)
                .repartition(self.tasks, F.col("unit"))
                .mapInArrow(ship, f"unit {unit}, {schema}")
                .agg(F.count(F.lit(1)))
                .collect()
            ),
            "pairs_units": lambda: total(
                weighted_marginals(self.units, self.packing, self.laid, K, WEIGHT_UNIT, self.tasks)
            ),
        }

    def rounds(self) -> dict[str, Callable[[], object]]:
        """The vectors of whole rounds, by name."""
        joint: list[Base] = [Population(), *(Marginal(table.clique) for table in self.laid)]
        graded = [name for name, book in self.books.items() if isinstance(book.attribute, Numeric | Date)]
        columns: list[Base] = [Marginal((name,)) for name in self.books]
        sums: list[Base] = [kind(name) for name in graded for kind in (Presence, Sum, SquareSum)]
        found = {
            "joint_round": self._round(joint, by_patient=False),
            "joint_round_units": self._round(joint, by_patient=True),
        }
        if sums:
            asked = {"moments": [Population(), *columns, *sums], "sums": [Population(), *sums], "columns": columns}
            found |= {f"{name}_units": self._round(queries, by_patient=True) for name, queries in asked.items()}
        return found

    def _round(self, queries: list[Base], *, by_patient: bool) -> Callable[[], object]:
        layout = Layout.of(queries, self.books)
        rows, unit = (self.owned, PrivacyUnit("patient", K)) if by_patient else (self.scanned, PrivacyUnit("row", 1))

        def made() -> object:
            # A frame of its own each time: an adaptive plan that ran once keeps its shuffles, and would only read them.
            frame = exact_vector_frame(rows, self.books, layout, unit, self.tasks)
            return collect_vector(frame, layout.cells)

        return made


def _report_rounds(found: dict[str, Cost], prefix: str) -> None:
    for name, who, ship in (("joint_round", "", "ship"), ("joint_round_units", "patient_", "ship_units")):
        ratio, ours, theirs = f"{prefix}{who}joint_round_vs_ship", found[name], found[ship]
        figure(ratio, ours.seconds / theirs.seconds, "ratio")
        figure(f"{ratio}_cpu", ours.cpu / theirs.cpu, "ratio")
    if "moments_units" in found:
        whole, *parts = (found[f"{name}_units"] for name in ("moments", "sums", "columns"))
        name = f"{prefix}patient_moments_vs_sums_and_columns"
        figure(name, whole.seconds / sum(part.seconds for part in parts), "ratio")
        figure(f"{name}_cpu", whole.cpu / sum(part.cpu for part in parts), "ratio")


def _report(found: dict[str, Cost], prefix: str) -> None:
    figure(f"{prefix}pairs_vs_ship", found["pairs"].seconds / found["ship"].seconds, "ratio")
    figure(f"{prefix}pairs_vs_ship_cpu", found["pairs"].cpu / found["ship"].cpu, "ratio")
    figure(f"{prefix}patient_pairs_vs_ship", found["pairs_units"].seconds / found["ship_units"].seconds, "ratio")
    figure(f"{prefix}patient_pairs_vs_ship_cpu", found["pairs_units"].cpu / found["ship_units"].cpu, "ratio")
    if "scan" in found:
        figure(f"{prefix}pairs_vs_scan", found["pairs"].seconds / found["scan"].seconds, "ratio")
        figure(f"{prefix}patient_pairs_vs_scan", found["pairs_units"].seconds / found["scan"].seconds, "ratio")
    _report_rounds(found, prefix)
    for name, cost in found.items():
        figure(f"{prefix}{name}_s", cost.seconds, "s")
        figure(f"{prefix}{name}_cpu_s", cost.cpu, "CPU-s")


def pairs(spark: SparkSession, folder: str, rows: int, repeats: int) -> None:
    """All 66 pairs of twelve columns of ten values, ids as LONG and as the text of a UUID."""
    source, books = _digits(spark, folder, rows), codebooks(bind(DIGITS, Domain))
    bench = Bench(source, books, rows)
    _report(compare(bench.actions() | bench.rounds(), repeats), "")
    path = f"{folder}/digits-uuid"
    source.withColumn("patient", _uuid_text(F.col("patient"))).write.parquet(path)
    named = Bench(spark.read.parquet(path), books, rows).actions()
    wanted = {name: named[name] for name in ("ship_units", "pairs_units")}
    found = compare(wanted, repeats)
    figure("patient_uuid_pairs_vs_ship", found["pairs_units"].seconds / found["ship_units"].seconds, "ratio")
    for name, cost in found.items():
        figure(f"uuid_{name}_cpu_s", cost.cpu, "CPU-s")


def _uuid_text(number: Column) -> Column:
    """36 characters that tell patients apart, as hospitals write them."""
    digits = F.lower(F.concat(*(F.lpad(F.hex(F.xxhash64(number, F.lit(k))), 16, "0") for k in range(2))))
    cuts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    return F.concat_ws("-", *(F.substring(digits, start, length) for start, length in cuts))


def diabetes(spark: SparkSession, folder: str, rows: int, repeats: int) -> None:
    """All 136 pairs of 17 columns of the diabetes domain, values drawn evenly, texts as in the file."""
    domain = load_domain(DIABETES).restricted_to(DIABETES_COLUMNS)
    columns = []
    for place, (name, attribute) in enumerate(domain.attributes.items()):
        chosen = F.pmod(F.xxhash64("id", F.lit(place)), F.lit(attribute.size)).cast("int")
        if isinstance(attribute, Categorical):
            value = F.get(F.array(*(F.lit(text) for text in attribute.values)), chosen)
        else:
            value = (chosen + F.lit(attribute.grid.low)).cast("string")  # type: ignore[union-attr]
        columns.append(value.alias(name))
    path = f"{folder}/diabetes"
    patient = (F.xxhash64("id") % max(1, rows // 4)).alias("patient")
    spark.range(0, rows, 1, 16).select(patient, *columns).write.parquet(path)
    bench = Bench(spark.read.parquet(path), codebooks(domain), rows)
    actions = bench.actions() | bench.rounds()
    del actions["scan"]  # texts have no sum
    _report(compare(actions, repeats), "diabetes_")


def growth(spark: SparkSession, folder: str, rows: int, repeats: int) -> None:
    """CPU for each row at a tenth of the rows, at all, and at three times as many: one where cost grows linearly.

    `_growth` compares most rows with least, `_growth_upper` most with the middle: what a job costs beside its rows
    makes few rows dear, so that the first is below one.
    """
    found = {}
    counts = (rows // 10, rows, rows * 3)
    for count in counts:
        bench = Bench(_digits(spark, f"{folder}/growth", count), codebooks(bind(DIGITS, Domain)), count)
        actions = bench.actions() | bench.rounds()
        found[count] = compare({name: actions[name] for name in GROWING}, max(2, repeats // 2))
        for name, cost in found[count].items():
            figure(f"{name}_ns_per_row_at_{count}", cost.cpu / count * 1e9, "CPU-ns")
    for name in GROWING:
        least, middle, most = (found[count][name].cpu / count for count in counts)
        figure(f"{name}_growth", most / least, "ratio of cost for each row, most rows to least")
        figure(f"{name}_growth_upper", most / middle, "ratio of cost for each row, most rows to the middle")
