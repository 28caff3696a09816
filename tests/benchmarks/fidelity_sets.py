"""Public data sets of the fidelity benchmark, beside the protocol's own: columns with public values, key, target.

Rows are texts that are values of the domain already: numbers and dates are cut at round numbers here. Lists of codes
come from code books, from the words of the sources' documentation, or from another draw of the same simulator, never
from the rows that are protected.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

OTHER = "other"

YES_NO = ("no", "yes")
DOSES = ("No", "Steady", "Up", "Down")
DRUGS = [
    "metformin",
    "repaglinide",
    "nateglinide",
    "chlorpropamide",
    "glimepiride",
    "acetohexamide",
    "glipizide",
    "glyburide",
    "tolbutamide",
    "pioglitazone",
    "rosiglitazone",
    "acarbose",
    "miglitol",
    "troglitazone",
    "tolazamide",
    "examide",
    "citoglipton",
    "glyburide-metformin",
    "glipizide-metformin",
    "glimepiride-pioglitazone",
    "metformin-rosiglitazone",
    "metformin-pioglitazone",
]
PAYERS = ["?", "MC", "HM", "SP", "BC", "MD", "CP", "UN", "CM", "OG", "PO", "DM", "CH", "WC", "OT", "MP", "SI", "FR"]
ICD9_CHAPTERS = (140, 240, 280, 290, 320, 390, 460, 520, 580, 630, 680, 710, 740, 760, 780, 800)
ICD9 = (
    *(str(code) for code in range(1, 1000)),
    *(f"V{code:02d}" for code in range(1, 92)),
    *(f"E{code}" for code in range(800, 1000)),
)
ANCESTRIES = [
    "irish",
    "italian",
    "english",
    "french",
    "german",
    "chinese",
    "portuguese",
    "polish",
    "american",
    "french_canadian",
    "asian_indian",
    "scottish",
    "russian",
    "swedish",
    "west_indian",
    "dominican",
    "african",
    "puerto_rican",
    "american_indian",
    "greek",
    "mexican",
    "central_american",
    "south_american",
    "arab",
]
LABS = (
    "Glucose",
    "Hematocrit",
    "Potassium",
    "Sodium",
    "Creatinine",
    "Chloride",
    "Urea Nitrogen",
    "Bicarbonate",
    "Hemoglobin",
    "Anion Gap",
    "Platelet Count",
    "White Blood Cells",
    "MCHC",
    "Red Blood Cells",
    "MCH",
    "MCV",
    "RDW",
    "Magnesium",
    "Calcium, Total",
    "Phosphate",
    "pH",
    "PTT",
    "INR(PT)",
    "PT",
    "pO2",
    "pCO2",
    "Base Excess",
    "Bilirubin, Total",
    "Alkaline Phosphatase",
    "Lymphocytes",
    "Monocytes",
    "Neutrophils",
    "Lactate",
    "Albumin",
)
UNITS = ("", "mg/dL", "mEq/L", "%", "K/uL", "IU/L", "sec", "g/dL", "mm Hg", "pg", "m/uL", "fL", "units", "mmol/L")


@dataclass(frozen=True)
class PublicSet:
    """A set of the benchmark.

    Attributes:
        values: Values of each column. One with the value `OTHER` at the end takes all others.
        key: Column with the patient's id.
        target: Column that a classifier predicts; None if none is trained.
        negative: Values of the target that are its negative class.
        declared: Publicly declared rows and patients, round numbers for four fifths of the set.
        rows: Reads the rows, one text column each, key included.
    """

    values: Mapping[str, tuple[str, ...]]
    key: str
    target: str | None
    negative: tuple[str, ...]
    declared: Mapping[str, int]
    rows: Callable[[Path], pd.DataFrame]


def _read(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False)


def _cut(numbers: pd.Series | np.ndarray, edges: tuple[float, ...], labels: tuple[str, ...]) -> np.ndarray:
    """Labels of numbers; label k + 1 from edge k on."""
    return np.array(labels, dtype=object)[np.searchsorted(np.array(edges), np.asarray(numbers, dtype=float), "right")]


def _decades(years: pd.Series) -> np.ndarray:
    return _cut(years, tuple(range(10, 100, 10)), AGES)


def _years(texts: pd.Series, starts: pd.Series) -> pd.Series:
    """Whole years from one date to another; 0 where one of them cannot be read."""
    first, last = (pd.to_numeric(part.str[:4], errors="coerce") for part in (starts, texts))
    return (last - first).fillna(0)


AGES = (*(f"{age}-{age + 9}" for age in range(0, 90, 10)), "90+")
DURATIONS = ("active", "two weeks", "two months", "a year", "longer")
ONSETS = ("before 1980", *(f"{year}s" for year in range(1980, 2020, 10)))


def _conditions(folder: Path) -> pd.DataFrame:
    """Conditions of the larger draw, each with its patient."""
    draw = folder / "synthea-mn" / "c5k"
    found, patients = _read(draw / "conditions.csv.gz"), _read(draw / "patients.csv.gz")
    rows = found.merge(patients, left_on="PATIENT", right_on="pat_id")
    start, stop = (pd.to_datetime(rows[name], errors="coerce") for name in ("START", "STOP"))
    days = (stop - start).dt.days
    lasting = _cut(days.fillna(-1), (15, 61, 366), DURATIONS[1:])
    return pd.DataFrame(
        {
            "patient": rows["PATIENT"],
            "code": rows["CODE"],
            "description": rows["DESCRIPTION"].str.strip(),
            "age": _decades(_years(rows["START"], rows["birth_date"]).clip(lower=0)),
            "onset": _cut(start.dt.year.fillna(2010), (1980, 1990, 2000, 2010), ONSETS),
            "month": rows["START"].str[5:7],
            "duration": np.where(days.isna(), "active", lasting),
            "gender": rows["gender"],
            "race": rows["race"],
            "ancestry": rows["ethnicity"],
            "marital": rows["marital"].replace("", "none"),
            "dead": np.where(rows["death_date"] == "", "no", "yes"),
            "opioids": np.where(rows["prior_opioid_abuse_diag"] == "1", "yes", "no"),
        }
    )


def synthea_conditions(folder: Path) -> PublicSet:
    """Flattened conditions of Synthea; code and description determine each other. Codes: those of another draw."""
    book = _read(folder / "synthea-mn" / "b" / "conditions.csv.gz")
    values = {
        "code": (*sorted(set(book["CODE"])), OTHER),
        "description": (*sorted(set(book["DESCRIPTION"].str.strip())), OTHER),
        "age": AGES,
        "onset": ONSETS,
        "month": (*(f"{month:02d}" for month in range(1, 13)), OTHER),
        "duration": DURATIONS,
        "gender": ("F", "M"),
        "race": ("white", "asian", "black", "hispanic", "native", OTHER),
        "ancestry": (*ANCESTRIES, OTHER),
        "marital": ("M", "S", "none"),
        "dead": YES_NO,
        "opioids": YES_NO,
    }
    return PublicSet(values, "patient", "gender", ("F",), {"row": 20_000, "patient": 4_000}, _conditions)


def _labs(folder: Path) -> pd.DataFrame:
    """Lab results of the demo, each with its kind, its patient and the admission it belongs to."""
    demo = folder / "mimic3-demo"
    names = _read(demo / "d_labitems.csv.gz")[["itemid", "label", "fluid", "category"]]
    stays = _read(demo / "admissions.csv.gz")
    stays = stays[["hadm_id", "admission_type", "insurance", "marital_status", "discharge_location"]]
    patients = _read(demo / "patients.csv.gz")[["subject_id", "gender", "dob", "expire_flag"]]
    rows = _read(demo / "labevents.csv.gz").merge(names, on="itemid").merge(patients, on="subject_id")
    rows = rows.merge(stays, on="hadm_id", how="left").fillna("")
    numbers = pd.to_numeric(rows["valuenum"], errors="coerce")
    size = _cut(numbers.fillna(0), SIZE_EDGES, SIZES[1:])
    return pd.DataFrame(
        {
            "patient": rows["subject_id"],
            "item": rows["label"],
            "fluid": rows["fluid"].str.capitalize(),
            "category": rows["category"].str.capitalize(),
            "unit": rows["valueuom"].replace("", "none"),
            "value": np.where(numbers.isna(), "none", size),
            "flag": rows["flag"].replace("", "normal"),
            "hour": _cut(pd.to_numeric(rows["charttime"].str[11:13]), tuple(range(3, 24, 3)), HOURS),
            "admission": rows["admission_type"].replace("", "none"),
            "insurance": rows["insurance"].replace("", "none"),
            "marital": rows["marital_status"].replace("", "none"),
            "discharge": rows["discharge_location"].replace("", "none"),
            "gender": rows["gender"],
            "age": _decades(_years(rows["charttime"], rows["dob"])),
            "dead": np.where(rows["expire_flag"] == "1", "yes", "no"),
        }
    )


SIZE_EDGES = (0.5, 1, 2, 3, 4, 5, 7, 10, 15, 20, 25, 30, 40, 60, 80, 100, 130, 160, 200, 300, 500)
SIZES = ("none", "below", *(f"from {edge:g}" for edge in SIZE_EDGES))
HOURS = tuple(f"{hour:02d}h" for hour in range(0, 24, 3))


def mimic_labs(folder: Path) -> PublicSet:
    """Flattened lab results of the MIMIC-III demo: an item determines its fluid, category and unit; 100 patients."""
    del folder
    values = {
        "item": (*LABS, OTHER),
        "fluid": ("Blood", "Urine", "Ascites", "Pleural", OTHER),
        "category": ("Hematology", "Chemistry", "Blood gas"),
        "unit": (*(unit or "none" for unit in UNITS), OTHER),
        "value": SIZES,
        "flag": ("normal", "abnormal", "delta"),
        "hour": HOURS,
        "admission": ("none", "EMERGENCY", "ELECTIVE", "URGENT"),
        "insurance": ("none", "Medicare", "Private", "Medicaid", OTHER),
        "marital": ("none", "MARRIED", "SINGLE", "WIDOWED", "DIVORCED", OTHER),
        "discharge": ("none", "DEAD/EXPIRED", "SNF", "HOME", "HOME HEALTH CARE", "REHAB/DISTINCT PART HOSP", OTHER),
        "gender": ("F", "M"),
        "age": AGES,
        "dead": YES_NO,
    }
    return PublicSet(values, "patient", "flag", ("normal",), {"row": 60_000, "patient": 80}, _labs)


def _chapters(codes: pd.Series) -> np.ndarray:
    numbers = pd.to_numeric(codes, errors="coerce")
    chapters = _cut(numbers.fillna(0), ICD9_CHAPTERS, CHAPTERS)
    return np.where(numbers.isna(), np.where(codes == "?", "?", "external"), chapters)


CHAPTERS = tuple(f"chapter {number}" for number in range(1, len(ICD9_CHAPTERS) + 2))


def _capped(texts: pd.Series) -> pd.Series:
    return pd.to_numeric(texts).clip(upper=10).astype(str)


def _wide(folder: Path, columns: Mapping[str, tuple[str, ...]]) -> pd.DataFrame:
    """Columns of the diabetes extract, numbers cut, diagnoses as asked for."""
    rows = _read(folder / "diabetes130" / "diabetic_data.csv.gz")
    rows["num_lab_procedures"] = _cut(pd.to_numeric(rows["num_lab_procedures"]), tuple(range(5, 100, 5)), LABS_DONE)
    rows["num_medications"] = _cut(pd.to_numeric(rows["num_medications"]), tuple(range(5, 50, 5)), DRUGS_GIVEN)
    for name in ("number_outpatient", "number_emergency", "number_inpatient"):
        rows[name] = _capped(rows[name])
    for name in ("diag_1", "diag_2", "diag_3"):
        codes = rows[name]
        if len(columns.get(name, ())) > len(CHAPTERS) + 2:
            numeric = codes.str.match(r"\d")
            rows[name] = codes.where(~numeric, codes.str.replace(r"\..*$", "", regex=True).str.lstrip("0"))
        else:
            rows[name] = _chapters(codes)
    return rows[["patient_nbr", *columns]]


LABS_DONE = tuple(f"from {edge}" for edge in range(0, 100, 5))
DRUGS_GIVEN = tuple(f"from {edge}" for edge in range(0, 50, 5))


def _ints(low: int, high: int) -> tuple[str, ...]:
    return tuple(str(number) for number in range(low, high + 1))


COMMON: dict[str, tuple[str, ...]] = {
    "race": ("Caucasian", "AfricanAmerican", "Hispanic", "Asian", "Other", "?"),
    "gender": ("Female", "Male", "Unknown/Invalid"),
    "age": tuple(f"[{age}-{age + 10})" for age in range(0, 100, 10)),
    "admission_type_id": _ints(1, 8),
    "discharge_disposition_id": _ints(1, 30),
    "admission_source_id": _ints(1, 26),
    "time_in_hospital": _ints(1, 14),
    "num_lab_procedures": LABS_DONE,
    "num_procedures": _ints(0, 6),
    "num_medications": DRUGS_GIVEN,
    "number_inpatient": _ints(0, 10),
    "number_diagnoses": _ints(1, 16),
    "max_glu_serum": ("None", "Norm", ">200", ">300"),
    "A1Cresult": ("None", "Norm", ">7", ">8"),
    "insulin": DOSES,
    "change": ("No", "Ch"),
    "diabetesMed": ("No", "Yes"),
    "readmitted": ("NO", "<30", ">30"),
}


def diabetes_wide(folder: Path) -> PublicSet:
    """Forty-two columns of the diabetes extract, diagnoses by chapter of ICD-9."""
    del folder
    more = {"payer_code": tuple(PAYERS), "diag_1": (*CHAPTERS, "external", "?")}
    values = COMMON | more | dict.fromkeys(DRUGS, DOSES)
    declared = {"row": 80_000, "patient": 60_000}
    return PublicSet(values, "patient_nbr", "readmitted", ("NO",), declared, lambda place: _wide(place, values))


def diabetes_codes(folder: Path) -> PublicSet:
    """Columns of the diabetes extract with two diagnoses by their codes, 1,290 values each."""
    del folder
    codes = (*ICD9, OTHER)
    values = COMMON | {"diag_1": codes, "diag_2": codes}
    declared = {"row": 80_000, "patient": 60_000}
    return PublicSet(values, "patient_nbr", None, (), declared, lambda place: _wide(place, values))


SETS: dict[str, Callable[[Path], PublicSet]] = {
    "synthea_conditions": synthea_conditions,
    "mimic3_labs": mimic_labs,
    "diabetes130_wide": diabetes_wide,
    "diabetes130_codes": diabetes_codes,
}
