"""One whole run from the command line, made once a session and looked at by several test modules.

Its source has every kind of attribute, awkward column names, and plants: values, patient ids and exact counts that are
easy to find again wherever they should not be.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthward.cli.main import main
from synthward.spec.request_file import load_request
from trial import TestSite, heard, population

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PATIENTS, ROWS, RELEASE_ROWS = 611, 1237, 400
ID_PLANT = "MRN-7734-"
VALUE_PLANTS = ("PLANTED", "ZZPLANT", "98765", "7654321")
COLUMNS = (
    "sex", "age", "weight", "cost", "smoker", "insured", "admitted", "seen", "icd", "vitals.pulse", "Heart Rate (bpm)"
)  # fmt: skip
SCHEMA = (
    "encounter_id BIGINT, pid STRING, note STRING, sex STRING, age INT, weight DOUBLE, cost DECIMAL(10,2), "
    "smoker BOOLEAN, insured STRING, admitted DATE, seen TIMESTAMP, icd STRING, "
    "vitals STRUCT<pulse: SMALLINT, place: STRING>, `Heart Rate (bpm)` BIGINT"
)
ICD = tuple(f"{letter}{number:02d}" for letter in "ABEI" for number in range(50))
ATTRIBUTES: dict[str, Any] = {
    "sex": {"type": "categorical", "values": ["F", "M"], "missing": ["?"], "other": "Unknown"},
    "age": {"type": "numeric", "integer": True, "bounds": [0, 110], "bins": 11, "required": True},
    "weight": {"type": "numeric", "bounds": [0, 300], "resolution": 0.5, "bins": 10, "sentinels": [-9]},
    "cost": {"type": "numeric", "bounds": [0, 1000], "resolution": 0.01, "bins": 10},
    "smoker": {"type": "boolean"},
    "insured": {"type": "boolean", "true": ["yes"], "false": ["no"]},
    "admitted": {"type": "date", "bounds": ["2020-01-01", "2024-12-31"], "bins": 8},
    "seen": {
        "type": "date",
        "bounds": ["2020-01-01", "2024-12-31"],
        "granularity": "month",
        "time_zone": "Europe/Berlin",
    },
    "icd": {"type": "categorical", "codebook": "icd.csv"},
    "vitals.pulse": {"type": "numeric", "integer": True, "bounds": [20, 220], "bins": 5},
    "Heart Rate (bpm)": {"type": "numeric", "integer": True, "bounds": [20, 220], "bins": 5},
}


def planted_rows() -> list[tuple[Any, ...]]:
    """Exactly `ROWS` rows of exactly `PATIENTS` patients, some of them with values that must never be seen again."""
    owners = [k for k in range(PATIENTS) for _ in range(2)] + list(range(ROWS - 2 * PATIENTS))
    rows = []
    for place, owner in enumerate(owners):
        odd = place % 100 == 0
        rows.append(
            (
                9_000_000_000 + place,
                f"{ID_PLANT}{owner:06d}",
                "PLANTED NOTE",
                "PLANTED-SEX" if odd else ("F", "M", "?")[place % 3],
                98765 if odd else place % 100,
                -9.0 if odd else float(50 + place % 60),
                Decimal("7654321.09") if odd else Decimal(place % 1000),
                None if odd else place % 4 == 0,
                "PLANTED" if odd else ("yes", "no")[place % 2],
                dt.date(9876, 5, 4) if odd else dt.date(2020, 1, 1) + dt.timedelta(days=place),
                dt.datetime(2021, 1, 1, tzinfo=dt.UTC) + dt.timedelta(hours=place),
                "ZZPLANT99" if odd else ICD[place % len(ICD)],
                None if odd else (60 + place % 40, "PLANTED WARD"),
                60 + place % 50,
            )
        )
    return rows


@dataclass(frozen=True)
class Showcase:
    """What the run left.

    Attributes:
        site: The site.
        request: The request file.
        stdout: All that the commands printed on stdout, by command.
        stderr: Likewise on stderr.
        codes: Exit codes.
        messages: Log messages of all commands down to DEBUG.
        line: The result line.
    """

    site: TestSite
    request: Path
    stdout: dict[str, str]
    stderr: dict[str, str]
    codes: dict[str, int]
    messages: list[str]
    line: dict[str, Any]


_made: dict[int, Showcase] = {}


def showcase(spark: SparkSession, folder: Path) -> Showcase:
    """The run; made by the first caller, in that caller's folder.

    Args:
        spark: The session of the tests.
        folder: Where to put the site if it is not there yet.
    """
    if id(spark) not in _made:
        _made[id(spark)] = _make(spark, folder)
    return _made[id(spark)]


def _make(spark: SparkSession, folder: Path) -> Showcase:
    site = TestSite(folder, site={"tracking": None}, policy={"allow_unbound_scopes": False, "tiers": {"T1": LOOSE}})
    site.write(spark, planted_rows(), SCHEMA, **{"delta.columnMapping.mode": "name"})
    (folder / "icd.csv").write_text("code,label\n" + "".join(f"{code},text\n" for code in ICD), encoding="utf-8")
    site.domain(ATTRIBUTES)
    today = dt.datetime.now(dt.UTC).date()
    request = site.request(
        audience="team",
        expires=today + dt.timedelta(days=30),
        columns=list(COLUMNS),
        population={"declared_patients": 600, "declared_rows": 1200},
        privacy={"epsilon": 3},
        output={"rows": RELEASE_ROWS, "keys": "fresh", "key_columns": ["encounter_id"]},
    )
    people = str(population(load_request(request), epsilon="3.5"))
    commands = {
        "open": ["budget", "open", people, "--by", "sam"],
        "dry": ["run", str(request), "--dry-run"],
        "unapproved": ["run", str(request), "--result", str(folder / "unapproved.result.json")],
        "lee": ["approve", str(request), "--by", "lee", "--role", "privacy_officer", "--runs", "2"],
        "kim": ["approve", str(request), "--by", "kim", "--role", "data_steward", "--runs", "2"],
        "run": ["run", str(request), "--report-dir", str(folder / "out"), "--result", str(folder / "result.json")],
        "again": ["run", str(request)],
        "poor": ["run", str(request), "--run-key", "next", "--log-format", "json"],
        "show": ["budget", "show"],
        "history": ["budget", "history", "clinic"],
        "verify": ["budget", "verify"],
    }
    stdout, stderr, codes = {}, {}, {}
    with heard() as messages:
        for name, words in commands.items():
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                codes[name] = main([*words, "--site", str(site.file)])
            stdout[name], stderr[name] = out.getvalue(), err.getvalue()
    return Showcase(site, request, stdout, stderr, codes, messages, json.loads(stdout["run"] or "{}"))


LOOSE = {"min_declared_patients": 100, "max_epsilon_per_release": 4}
"""A tier for a small population."""
