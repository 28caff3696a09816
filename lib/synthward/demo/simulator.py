"""SIMULATED encounters, so that everything can be tried without own data.

The extract looks like those of hospitals: several encounters for each patient, mixed types, recognisable correlations,
gaps and dirty values. No row belongs to a real person, and nothing has a clinical meaning: the rates are invented. The
extract plays the role of protected data. So requests on it declare bounds and categories from public knowledge, never
from the extract.
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
"""Largest number of patients: ids have seven digits."""

PATIENTS_PER_TASK = 10_000

EDITION = "1"
"""Version of the simulation. It increases whenever the same patients and seed give other rows."""

_PROPERTY = "synthward.demo."


def simulate(spark: SparkSession, patients: int, seed: int, *, tasks: int | None = None) -> DataFrame:
    """Return SIMULATED encounters, about three rows for each patient. They are not of real persons.

    The same number of patients and the same seed give the same rows on any cluster. A smaller number of patients gives
    the rows of the first patients. The dirty values are on purpose: NULL, `?`, -9, NaN, misplaced decimal points,
    misspelt departments, undeclared codes, dates in 1900 and 2099, rows without a patient, and one patient (if there
    are enough patients) with several hundred encounters.

    Args:
        spark: Session. Nothing is computed before the result is used.
        patients: Number of patients, 1 to 9,999,999.
        seed: Seed, 0 or more.
        tasks: Number of tasks, for tests. Default: one task for each 10,000 patients.

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
    """Write SIMULATED encounters as a Delta table, unless the table already has the same encounters.

    Args:
        spark: Session.
        path: Folder or URI of the table. A relative folder is relative to the working directory.
        patients: Number of patients.
        seed: Seed of the simulation.

    Returns:
        True if the table was written, False if it was there.

    Raises:
        UsageError: A number is out of range, or the path has another table. That table is not changed.
    """
    rows = simulate(spark, patients, seed)
    target = TableRef(path=resolve(Path.cwd(), path))
    wanted = {"edition": EDITION, "patients": str(patients), "seed": str(seed)}
    there = properties(spark, target)
    if there is not None:
        found = _demo_properties(there)
        if not found:
            raise UsageError(
                f"table {target}: found a table that this simulator did not write; it replaces only its own tables. "
                "Choose another path, or remove the table"
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
