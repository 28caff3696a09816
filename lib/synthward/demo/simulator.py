"""SIMULATED encounters to try everything on, without any data of one's own.

An extract like those that hospitals write: several encounters a patient, mixed types, recognisable correlations, gaps
and dirt. No real person is behind any row and nothing in it has a clinical meaning: the rates are invented. It takes
the place of protected data, so requests on it declare bounds and categories from public knowledge, never from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from synthward.config.locations import resolve
from synthward.demo import _worker
from synthward.errors import UsageError
from synthward.store.delta import properties
from synthward.store.places import TableRef

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SCHEMA = (
    "patient_id string, encounter_id bigint, sex string, birth_year int, admit_date date, department string, "
    "admission_type string, diagnosis string, length_of_stay int, systolic_bp double, hba1c double, creatinine double, "
    "emergency boolean, insurance string, discharge string, readmitted_30d boolean"
)
"""Pressure in mmHg, HbA1c in %, creatinine in mg/dL, stay in days."""

MAX_PATIENTS = 9_999_999
"""Ids have seven digits."""

PATIENTS_PER_TASK = 10_000

EDITION = "1"
"""Goes up whenever the same patients and seed give other rows."""

_PROPERTY = "synthward.demo."


def simulate(spark: SparkSession, patients: int, seed: int, *, tasks: int | None = None) -> DataFrame:
    """SIMULATED encounters, about three rows a patient; not of real persons.

    The same patients and seed give the same rows on any cluster; a smaller number of patients gives the first of them.
    Dirt on purpose: NULL, `?`, -9, NaN, slips of the decimal point, misspelt departments, undeclared codes, dates of
    1900 and 2099, rows without a patient, and one patient (if there are that many) with several hundred encounters.

    Args:
        spark: Session; nothing is computed before the result is used.
        patients: Number of patients, 1 to 9,999,999.
        seed: 0 or more.
        tasks: Number of tasks, for tests; default one for 10,000 patients.

    Raises:
        UsageError: A number is out of range.
    """
    if not 1 <= patients <= MAX_PATIENTS:
        raise UsageError(f"patients: found {patients}, allowed are 1 to {MAX_PATIENTS}; choose another number")
    if seed < 0:
        raise UsageError(f"seed: found {seed}, allowed is 0 or more; choose another number")
    blocks = -(-patients // _worker.BLOCK_PATIENTS)
    wanted = tasks if tasks is not None else -(-patients // PATIENTS_PER_TASK)
    return spark.range(0, blocks, 1, max(1, min(wanted, blocks))).mapInArrow(_worker.encounters(seed, patients), SCHEMA)


def write_demo(spark: SparkSession, path: str, patients: int = 50_000, seed: int = 7) -> bool:
    """Write SIMULATED encounters as a Delta table, unless the same ones are there already.

    Args:
        spark: Session.
        path: Folder or URI of the table; a relative folder counts from the working directory.
        patients: Number of patients.
        seed: Seed of the simulation.

    Returns:
        True when the table was written, False when it was there.

    Raises:
        UsageError: A number is out of range, or the table that stands there is not a demonstration: it is left alone.
    """
    rows = simulate(spark, patients, seed)
    target = TableRef(path=resolve(Path.cwd(), path))
    wanted = {"edition": EDITION, "patients": str(patients), "seed": str(seed)}
    there = properties(spark, target)
    if there is not None:
        found = _demo_properties(there)
        if not found:
            raise UsageError(
                f"table {target}: found one that this simulator has not written, and only its own are replaced; "
                "choose another path, or remove the table"
            )
        if found == wanted:
            return False
    writer = rows.writeTo(target.sql).using("delta").tableProperty("delta.dataSkippingStatsColumns", "encounter_id")
    for name, value in wanted.items():
        writer = writer.tableProperty(_PROPERTY + name, value)
    writer.createOrReplace()
    return True


def _demo_properties(properties: Mapping[str, str]) -> dict[str, str]:
    return {name.removeprefix(_PROPERTY): text for name, text in properties.items() if name.startswith(_PROPERTY)}
