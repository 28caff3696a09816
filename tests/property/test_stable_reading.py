"""Reading is 1-stable: removing one patient's bytes moves the product's own exact vector by no more than its bound.

Every case writes D and D' as files that differ in the bytes of one patient, and only in these. The questions are those
of a run: population, marginals, sums. Cases of the findings (a stray quote, a note with line breaks, a folder whose
name changes the type of a column, bytes that are no text) are among them: each once moved an answer by 2 to 400 bounds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from synthward.privacy.queries import Query
from synthward.privacy.sensitivity import bound
from synthward.run.plan import Plan
from trial import CSV, DOMAIN, TestSite, exact_answers, merged, plan_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

S = 2**16
K = 2
Files = dict[str, bytes]
"""Content by path below the source's folder."""
Row = tuple[Any, str, int]


@dataclass(frozen=True)
class Case:
    """Two sources that differ in one patient's bytes.

    Attributes:
        with_patient: Files of D.
        without: Files of D'.
        source: The request's source.
        changes: Other changes of the request.
        ratio: The largest change of an answer in bounds: 1 where a bound is attained.
        attributes: Changes of the domain.
    """

    with_patient: Files
    without: Files
    source: Mapping[str, Any] = field(default_factory=lambda: CSV)
    changes: Mapping[str, Any] = field(default_factory=dict)
    ratio: float | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def others(count: int = 12) -> list[Row]:
    """Rows of the patients who stay."""
    return [(100 + k, "F" if k % 2 else "M", 7 * k % 100) for k in range(count) for _ in range(1 + k % 3)]


HERS: list[Row] = [(7777, "F", 50), (7777, "F", 50)]
HEADER = "pid,sex,age"


def lines_of(rows: Sequence[Row]) -> list[str]:
    """CSV lines."""
    return [",".join(map(str, row)) for row in rows]


def text_case(
    hers: Sequence[str], encoding: str = "utf-8", declared: str = "UTF-8", mark: bytes = b"", **rest: Any
) -> Case:
    """One CSV file in which her lines stand among the others'."""
    theirs = [*lines_of(others()), *rest.pop("more", ())]
    whole = [HEADER, *theirs[:5], *hers, *theirs[5:]]

    def encoded(lines: Sequence[str]) -> bytes:
        return mark + b"".join(f"{line}\n".encode(encoding, "surrogateescape") for line in lines)

    source = merged(CSV, {"csv": {"encoding": declared, **rest.pop("csv", {})}})
    return Case({"a.csv": encoded(whole)}, {"a.csv": encoded([HEADER, *theirs])}, source, **rest)


def csv_cases() -> dict[str, Case]:
    """CSV: quotes, line breaks, undecodable bytes, encodings, headers, folders."""
    note = [f'7777,"F","{50}"', '7777,"He said: ""so, then"" and left",50']
    broken = ['7777,"seen on the ward', *[f"day {k}: no change" for k in range(200)], 'left",50']
    two_orders = {"1.csv": "\n".join([HEADER, *lines_of(others(6))]).encode() + b"\n"}
    turned = [f"{age},{pid},{sex}" for pid, sex, age in [*others()[9:], *HERS]]
    folders = {
        f"ward={ward}/a.csv": "\n".join(["pid,age", *(f"{ward}{k},9" for k in range(20))]).encode()
        for ward in ("01", "02")
    }
    ward = {"ward": {"type": "categorical", "values": ["01", "02", "7A"]}}
    by_ward = {"columns": ["ward", "age"]}
    return {
        "plain lines attain the bound": text_case(lines_of(HERS), ratio=1),
        "quoted texts": text_case(note),
        "a stray quote": text_case(['7777,"he said he felt,F,50']),
        "a note with line breaks": text_case(broken),
        "undecodable bytes": text_case(["Zo\udceb,F,50"] * 40, more=["Zo\udce9,M,50", "Zo\udce8,M,50"]),
        "her line is the header": text_case([HEADER], ratio=0),
        "a line break of a file with CR": text_case(["7777,F,50\r", "7777,F,50\r"], ratio=1),
        "a line with a lone CR": text_case(["77\r77,F,50", "77\r77,F,50"], ratio=1),
        "an empty line": text_case(["", " ", "\t"], ratio=0),
        "latin": text_case(["Zo\u00eb,F,50", "Zo\u00eb,F,50"], "latin-1", "ISO-8859-1", ratio=1),
        "little-endian with a mark": text_case(lines_of(HERS), "utf-16-le", "UTF-16", b"\xff\xfe", ratio=1),
        "big-endian": text_case(lines_of(HERS), "utf-16-be", "UTF-16BE", ratio=1),
        "quoting off": text_case(['7777,"F,50'] * 2, csv={"quote": ""}, ratio=1),
        "headers in two orders": Case(
            {**two_orders, "2.csv": "\n".join(["age,pid,sex", *turned]).encode()},
            {**two_orders, "2.csv": "\n".join(["age,pid,sex", *turned[:-2]]).encode()},
            ratio=1,
        ),
        "a folder of her ward": Case(
            {**folders, "ward=7A/a.csv": b"pid,age\n7777,50\n7777,50\n"},
            folders,
            changes=by_ward,
            attributes=ward,
            ratio=1,
        ),
        "a folder of her id": Case(
            {f"pid={pid}/a.csv": b"sex,age\nF,50\nF,50\n" for pid in ("1", "01", "2.5", "x9")},
            {f"pid={pid}/a.csv": b"sex,age\nF,50\nF,50\n" for pid in ("1", "01", "2.5")},
            ratio=1,
        ),
    }


def parquet_bytes(rows: Sequence[tuple[Any, ...]], names: Sequence[str]) -> bytes:
    """One Parquet file."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({name: [row[k] for row in rows] for k, name in enumerate(names)}), sink)
    return sink.getvalue().to_pybytes()


def parquet_cases() -> dict[str, Case]:
    """Parquet: folders of wards and of ids, and files whose types differ."""
    names, plain = ("pid", "sex", "age"), {"format": "parquet"}
    wards = {
        f"ward={ward}/a.parquet": parquet_bytes([(f"{ward}{k}", 9) for k in range(20)], ("pid", "age"))
        for ward in ("01", "02")
    }
    ids = {
        f"pid={pid}/a.parquet": parquet_bytes([("F", 50), ("F", 50)], ("sex", "age"))
        for pid in ("1", "01", "2.5", "a%2Fb", "a+b")
    }
    first = {"0.parquet": parquet_bytes(others(6), names)}
    later = [(pid, sex, float(age)) for pid, sex, age in [*others()[9:], *HERS]]
    return {
        "parquet": Case(
            {"a.parquet": parquet_bytes([*others(), *HERS], names)},
            {"a.parquet": parquet_bytes(others(), names)},
            plain,
            ratio=1,
        ),
        "parquet, her ward": Case(
            {**wards, "ward=7A/a.parquet": parquet_bytes([("7777", 50)] * 2, ("pid", "age"))},
            wards,
            plain,
            {"columns": ["ward", "age"]},
            1,
            {"ward": {"type": "categorical", "values": ["01", "02", "7A"]}},
        ),
        "parquet, her id": Case(
            {**ids, "pid=x9/a.parquet": parquet_bytes([("F", 50), ("F", 50)], ("sex", "age"))}, ids, plain, ratio=1
        ),
        "parquet, two types": Case(
            {**first, "1.parquet": parquet_bytes(later, names)},
            {**first, "1.parquet": parquet_bytes(later[:-2], names)},
            plain,
            ratio=1,
        ),
    }


CASES = csv_cases() | parquet_cases()
QUICK = ("a stray quote", "a note with line breaks", "undecodable bytes", "a folder of her ward", "parquet, her id")


def written(root: Path, files: Files, case: Case) -> Plan:
    """A site with one source, and the plan of its request."""
    site = TestSite(root)
    site.domain({**DOMAIN["attributes"], **case.attributes})
    for name, content in files.items():
        (site.data() / name).parent.mkdir(parents=True, exist_ok=True)
        (site.data() / name).write_bytes(content)
    return plan_of(site, site.request(source=case.source, patient={"max_rows_per_patient": K}, **case.changes))


def moved(spark: SparkSession, root: Path, case: Case) -> dict[Query, float]:
    """The L1 change of every answer in units of its bound."""
    plan = written(root / "d", case.with_patient, case)
    ours = exact_answers(spark, plan)
    theirs = exact_answers(spark, written(root / "e", case.without, case))
    asked = next(plan.synthesizer.rounds(plan.task))
    return {
        part.query: float(np.abs(np.subtract(ours[part.query.label], theirs[part.query.label])).sum())
        / bound(part.query, plan.task.unit, plan.domain, "laplace")
        for part in asked.asked
    }


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in CASES]
)
def test_one_patients_bytes_move_no_answer_beyond_its_bound(spark: SparkSession, tmp_path: Path, name: str) -> None:
    case = CASES[name]
    ratios = moved(spark, tmp_path, case)
    assert max(ratios.values()) <= 1, {query.label: ratio for query, ratio in ratios.items()}
    if case.ratio is not None:
        assert max(ratios.values()) == pytest.approx(case.ratio)
