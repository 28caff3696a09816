"""Small hostile extracts: everything that a cell, an id or a patient can do to a kernel, a few rows at a time."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from synthward.domain.codes import codebooks
from synthward.domain.spec import Boolean, Categorical, Date, Domain, Numeric
from synthward.privacy.queries import Marginal, Population, Presence, Query, SquareSum, Sum

IdKind = Literal["text", "long"]
Rows = list[tuple[Hashable, tuple[object, ...]]]

DOMAIN = Domain(
    version=1,
    attributes={
        "lab": Numeric(
            bounds=(Decimal(-10), Decimal(10)),
            resolution=Decimal("0.5"),
            bins=8,
            sentinels=tuple(Decimal(n) for n in (-9, 0, 999)),
        ),
        "age": Numeric(
            bounds=(Decimal(0), Decimal(120)), integer=True, bins=12, outside="missing", missing=("NA", "unk")
        ),
        "sex": Categorical(values=("F", "M"), missing=("?",), other="U"),
        "flag": Boolean(missing=("na",)),
        "seen": Date(bounds=(date(2000, 1, 1), date(2020, 12, 1)), granularity="month", bins=9),
        "icd": Categorical(values=tuple(f"3E{place:05}" for place in range(150)), missing=("NONE",)),
        "dose": Numeric(bounds=(Decimal(-1_000_000), Decimal(1_000_000)), integer=True, bins=5),
    },
)
BOOKS = codebooks(DOMAIN)
TYPES = (pa.float64(), pa.string(), pa.string(), pa.string(), pa.date32(), pa.string(), pa.int64())

QUERIES: tuple[Query, ...] = (
    Population(),
    *(kind(name) for name in DOMAIN.graded for kind in (Presence, Sum, SquareSum)),
    *(Marginal((name,)) for name in BOOKS),
    Marginal(("lab", "sex")),
    Marginal(("icd", "flag")),
    Marginal(("dose", "age", "seen")),
)

EXTREME = (10.0, "120", "F", "yes", date(2020, 12, 1), "3E00000", 1_000_000)
"""A row that moves every answer as far as a row can."""

CELL_POOLS: tuple[tuple[object, ...], ...] = (
    (
        -0.0,
        0.0,
        math.nan,
        math.inf,
        -math.inf,
        1e308,
        -1e308,
        5e-324,
        10.0,
        -10.0,
        9.75,
        0.25,
        -0.75,
        -9.0,
        999.0,
        None,
    ),
    (
        "0",
        "120",
        "121",
        "-1",
        " 42 ",
        "4e1",
        "7.5",
        "nan",
        "Infinity",
        "1e400",
        "abc",
        "",
        " ",
        "NA",
        "unk",
        "0x1p3",
        None,
    ),
    ("F", "M", "f", "", "?", "Ω", "F ", None),
    ("yes", "NO", " t ", "0", "1", "maybe", "na", "", None),
    (
        date(2000, 1, 1),
        date(2020, 12, 31),
        date(1970, 1, 1),
        date(1, 1, 1),
        date(9999, 12, 31),
        date(2010, 6, 15),
        None,
    ),
    ("3E00000", "3E00149", "3E00150", "3e00001", "00845", "NONE", "", None),
    (0, 1_000_000, -1_000_000, 2**63 - 1, -(2**63), 999_999, 17, None),
)
_IDS: dict[IdKind, tuple[Hashable, ...]] = {
    "text": ("", " ", "0", "00", "ab1", "AB1", "é", "e\u0301", "患者", "\U0001f600", "p\x00", "p", "null"),
    "long": (0, -1, 1, 2**63 - 1, -(2**63), 2**53, 2**53 + 1, 2**32, -(2**32)),
}


def patient_ids(kind: IdKind, count: int) -> list[Hashable]:
    """Distinct ids, the nasty ones first."""
    plain: list[Hashable] = [f"p{n}" if kind == "text" else n + 10 for n in range(count)]
    return [*_IDS[kind], *plain][:count]


def cells(rng: random.Random) -> tuple[object, ...]:
    """One row without its id."""
    return tuple(rng.choice(pool) for pool in CELL_POOLS)


def extract(rng: random.Random, kind: IdKind, *, patients: int = 40, heavy: int = 0) -> Rows:
    """A table with up to that many patients.

    Args:
        rng: Source of chance.
        kind: Type of the ids.
        patients: Most patients.
        heavy: Rows of one patient who owns many, or 0.
    """
    rows: Rows = []
    for unit in rng.sample(patient_ids(kind, 60), rng.randint(0, patients)):
        first = cells(rng)
        for _ in range(rng.choice((1, 1, 1, 2, 3, 5, 9))):
            rows.append((unit, first if rng.random() < 0.3 else cells(rng)))
    rows += [(None, cells(rng)) for _ in range(rng.randint(0, 3))]
    rows += [(patient_ids(kind, 60)[-1], cells(rng)) for _ in range(heavy)]
    rng.shuffle(rows)
    return rows


def without(rows: Rows, unit: Hashable) -> Rows:
    """The neighbour: everything but one unit's rows."""
    return [row for row in rows if row[0] != unit]


def write(tables: Sequence[Rows], kind: IdKind, folder: Path, files: int = 3) -> str:
    """Writes data sets as Parquet, rows dealt over files in turn: columns dataset, unit, c0, c1, ..."""
    folder.mkdir(parents=True)
    listed = [(number, unit, *row) for number, rows in enumerate(tables) for unit, row in rows]
    fields: list[tuple[str, Any]] = [
        ("dataset", pa.int64()),
        ("unit", pa.string() if kind == "text" else pa.int64()),
        *((f"c{place}", data_type) for place, data_type in enumerate(TYPES)),
    ]
    for file in range(files):
        part = listed[file::files]
        columns = [
            pa.array([row[place] for row in part], type=data_type) for place, (_, data_type) in enumerate(fields)
        ]
        pq.write_table(pa.table(columns, names=[name for name, _ in fields]), folder / f"part-{file}.parquet")
    return str(folder)
