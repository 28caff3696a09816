"""SIMULATED encounters, made in a Python worker: block numbers in, rows out. Imports numpy and pyarrow only.

No row belongs to a real person, and no number has a clinical meaning. Rates and effects are invented, so that a reader
recognises the direction of a correlation and nothing more. A block is a fixed number of patients with its own random
stream. So rows depend on the seed and the patient's number, never on partitions, cluster size or retries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

BLOCK_PATIENTS = 500
BLOCK_IDS = 2**20
"""Number of encounter ids of a block. Its patients can have far fewer encounters."""
FIRST_ENCOUNTER_ID = 100_000_000
HEAVIEST_PATIENT = 118
"""The number of the patient who has several hundred encounters."""

FIRST_DAY = int(np.datetime64("2019-01-01", "D").astype(np.int64))
DAYS = 2557
"""The extract covers 2019 to 2025. Days count from 1970-01-01."""
FUTURE_DAY = int(np.datetime64("2099-12-31", "D").astype(np.int64))
NO_DAY = int(np.datetime64("1900-01-01", "D").astype(np.int64))

SENTINEL = -9
"""The simulated source system writes this if a number was not measured."""

FEMALE, MALE, DIVERSE = 0, 1, 2
SEXES = ("F", "M", "X", "?")
INSURANCES = ("Medicare", "Medicaid", "Private", "Self-pay", "Other", "?")
ADMISSIONS = ("Emergency", "Urgent", "Elective", "Observation")
DISCHARGES = ("Home", "Home health", "Skilled nursing", "Rehabilitation", "Transfer", "Against advice", "Died", "?")
DEPARTMENTS = (
    *("Cardiology", "Dermatology", "Emergency", "Endocrinology", "Gastroenterology", "General Medicine"),
    *("General Surgery", "Hematology", "Infectious Diseases", "Nephrology", "Neurology", "Obstetrics", "Oncology"),
    *("Ophthalmology", "Orthopedics", "Otolaryngology", "Pediatrics", "Psychiatry", "Pulmonology", "Urology"),
)
MISSPELT = ("CARDIO", "Gen. Medicine", "ortho", "Emergency Dept", "surgery (general)")
"""Spellings of departments that the domain does not declare."""
MISCODED = ("J18.9", "i10", "ZZZ", "E11.9", "unknown")
"""Diagnoses that do not have the form of a three-character code."""

TRAITS = ("", "diabetes", "heart", "lung", "kidney", "cancer", "dialysis")


@dataclass(frozen=True)
class Condition:
    """A reason for an encounter.

    Attributes:
        code: Three-character code of the code book.
        department: Index into `DEPARTMENTS` of the usual department.
        weight: Relative frequency at the typical age.
        age: Typical age in years.
        spread: Standard deviation of the age in years.
        sex: `F` or `M` if only one sex is affected, otherwise empty.
        stay: Mean length of stay in days.
        emergency: Share of emergencies.
        trait: The patient's trait that makes the condition likely, or empty.
    """

    code: str
    department: int
    weight: float
    age: float
    spread: float
    sex: str
    stay: float
    emergency: float
    trait: str


# Department: code, weight, age, spread, sex, stay, emergency share, trait. Invented numbers.
_CONDITIONS: Mapping[str, str] = {
    "Cardiology": "I10 5 64 16 - 1.5 .3 heart|I20 2 66 12 - 2.5 .6 heart|I21 3 68 12 - 6 .9 heart|"
    "I25 3 69 11 - 3 .3 heart|I42 1 58 15 - 5 .5 heart|I47 1 52 18 - 2 .6 -|I48 4 73 11 - 3.5 .6 heart|"
    "I50 4 76 11 - 7 .7 heart|R07 4 48 18 - 1 .9 -|R55 2 60 24 - 1.5 .9 -|I95 1 70 14 - 2 .7 -",
    "Pulmonology": "J18 4 66 24 - 6 .8 lung|J44 4 69 10 - 5.5 .7 lung|J45 3 32 20 - 2 .6 lung|J96 1 70 14 - 9 .9 lung|"
    "J90 1 68 15 - 5 .6 lung|J93 .5 38 18 - 4 .9 -|G47 1 52 14 - 1 0 -",
    "Endocrinology": "E11 6 62 13 - 4 .4 diabetes|E10 2 34 18 - 3.5 .6 diabetes|E13 .5 55 16 - 4 .4 diabetes|"
    "E05 1 45 16 - 2 .3 -|E03 1 52 17 - 1 .1 -|E04 1 55 14 - 2 .05 -|E66 1 45 12 - 2.5 .05 diabetes|"
    "E78 1 60 12 - 1 0 heart",
    "Nephrology": "N18 3 68 14 - 5 .3 kidney|N17 2 72 14 - 7 .8 kidney|N04 .4 40 22 - 6 .3 kidney|"
    "Z49 1 64 14 - .1 .02 dialysis|E87 2 72 15 - 3.5 .8 kidney|I12 1 70 12 - 4 .3 kidney",
    "Gastroenterology": "K21 2 54 17 - 1 .2 -|K29 2 50 19 - 2 .6 -|K50 1 34 14 - 5 .4 -|K51 1 40 16 - 5 .4 -|"
    "K57 2 66 13 - 4.5 .6 -|K70 1 54 11 - 7 .6 -|K85 1.5 52 16 - 6 .9 -|K92 2 68 17 - 4 .9 -|A09 3 35 26 - 2 .8 -|"
    "K52 1 42 26 - 2 .7 -|D12 1 62 11 - .5 0 -",
    "General Surgery": "K35 2 28 17 - 3 .95 -|K40 2.5 58 17 M 1 .1 -|K80 3 54 16 - 3 .5 -|K81 1 58 16 - 4 .8 -|"
    "K56 1.5 66 18 - 6 .9 -|K43 1 58 14 - 3 .2 -|L03 2 56 20 - 4 .7 -|L02 1 40 19 - 2 .7 -|K64 1 50 14 - 1 .1 -|"
    "T81 1 60 16 - 6 .6 -|E04 .5 54 13 - 2 0 -",
    "Orthopedics": "M16 2.5 69 10 - 5 0 -|M17 3 69 9 - 4.5 0 -|S72 2.5 80 11 - 9 .95 -|S52 2 42 27 - 1.5 .9 -|"
    "S82 2 46 22 - 4 .9 -|S42 1.5 58 25 - 2.5 .9 -|M51 1.5 48 13 - 4 .3 -|M54 2 50 16 - 3 .6 -|M23 1.5 38 15 - 1 0 -|"
    "M75 1 54 12 - 1 0 -|S83 1 30 13 - 1 .4 -",
    "Neurology": "I63 3 73 12 - 8 .95 heart|G45 2 70 13 - 3 .9 heart|G40 2 38 25 - 3 .8 -|G43 1.5 38 14 - 1 .6 -|"
    "G35 1 40 11 - 4 .2 -|G20 1 74 8 - 7 .2 -|R42 2 60 18 - 1.5 .8 -|G30 .6 80 7 - 9 .4 -|R51 1 38 17 - .8 .8 -",
    "Oncology": "C50 3 60 12 F 3 .02 cancer|C34 2.5 68 9 - 6 .2 cancer|C18 2 68 11 - 7 .2 cancer|"
    "C61 2 69 8 M 4 0 cancer|"
    "C25 .8 69 10 - 8 .3 cancer|C79 1.5 66 12 - 6 .3 cancer|Z51 3 62 12 - 1.5 0 cancer",
    "Hematology": "C83 .8 66 13 - 6 .1 cancer|C90 .8 69 10 - 6 .1 cancer|C91 .6 40 28 - 8 .2 cancer|"
    "D50 1.5 58 22 - 2 .3 -|D64 1 68 18 - 2.5 .5 -|D69 .6 50 24 - 4 .4 -",
    "Infectious Diseases": "A41 3 72 16 - 9 .95 -|N10 1 42 22 F 4 .8 -|B02 .6 64 17 - 4 .5 -|A46 .8 64 15 - 6 .7 -|"
    "J10 1 50 28 - 4 .8 -|U07 1.5 60 20 - 7 .8 -",
    "Urology": "N20 3 48 14 - 2 .8 -|N39 2.5 66 22 - 3.5 .7 -|N40 2 70 9 M 3.5 .1 -|C67 1.5 71 10 - 4 .1 cancer|"
    "N13 1 56 20 - 3 .5 -|R31 1 68 15 - 2 .7 -",
    "Obstetrics": "O80 16 29 5 F 2.5 .2 -|O82 8 32 5 F 4 .2 -|O42 4 30 5 F 3 .5 -|O14 2 31 6 F 5 .5 -|"
    "O24 2 33 5 F 2 .1 -|O47 4 28 5 F .6 .7 -|O03 3 32 6 F .7 .7 -|N80 .8 34 7 F 2 0 -|D25 1.2 45 6 F 3 0 -",
    "Pediatrics": "J21 3 1 1 - 3.5 .9 -|J06 3 4 3 - 1.5 .9 -|P07 1.5 0 .3 - 20 .2 -|P59 1.5 0 .3 - 2 .3 -|"
    "Z38 6 0 .3 - 2.5 0 -|"
    "J20 1.5 4 4 - 2.5 .8 -|R56 1 3 2 - 1.5 .95 -|S06 2 9 6 - 1 .95 -",
    "Psychiatry": "F10 3 46 12 - 6 .8 -|F20 1.5 40 14 - 20 .6 -|F32 2 46 17 - 16 .4 -|F33 1.5 50 15 - 18 .3 -|"
    "F43 1.5 36 14 - 5 .7 -|F31 .8 42 14 - 18 .5 -",
    "Ophthalmology": "H25 3 74 8 - .4 0 -|H40 1 70 11 - 1 .05 -|H33 .7 60 12 - 2 .4 -|H35 1 70 12 - .4 0 diabetes",
    "Otolaryngology": "J35 2 10 9 - 1.5 0 -|J34 1.5 38 13 - 1 0 -|J32 1 44 14 - 1 0 -|R04 .8 64 18 - 1.5 .9 -|"
    "H81 1 58 16 - 2 .7 -",
    "Dermatology": "C44 2 74 11 - 1 0 -|L40 .8 48 15 - 4 .05 -|L30 .8 50 24 - 3 .1 -|C43 .8 60 15 - 1.5 0 cancer",
    "General Medicine": "R10 3 40 20 - 1.5 .85 -|E86 2 76 18 - 3.5 .8 -|R53 1 70 16 - 3 .6 -|R50 1 45 28 - 3 .8 -|"
    "Z03 1.5 55 20 - 1 .5 -|I80 1 58 16 - 2 .6 -|R26 .7 78 9 - 6 .5 -|M10 .7 64 13 - 2.5 .5 -",
    "Emergency": "S01 3 34 24 - .1 1 -|S61 2 34 18 - .1 1 -|S93 2 32 16 - 0 1 -|S62 1.5 36 20 - .1 1 -|"
    "T78 1 34 20 - .3 1 -|"
    "T40 .6 34 12 - 1 1 -|R11 1.5 38 22 - .3 1 -",
}


def _conditions() -> Iterator[Condition]:
    for department, listed in _CONDITIONS.items():
        index = DEPARTMENTS.index(department)
        for entry in listed.split("|"):
            code, weight, age, spread, sex, stay, emergency, trait = entry.split()
            typical = float(weight), float(age), float(spread)
            yield Condition(code, index, *typical, sex.strip("-"), float(stay), float(emergency), trait.strip("-"))


CONDITIONS = tuple(_conditions())
_GENERAL, _EMERGENCY = DEPARTMENTS.index("General Medicine"), DEPARTMENTS.index("Emergency")


@dataclass(frozen=True)
class _People:
    """Patients of a block, one entry each. `traits` has a column for each trait; the first (none) is always true."""

    number: Integers
    sex: Integers
    age: Floats
    traits: Flags
    visits: Integers


def _people(random: np.random.Generator, block: int) -> _People:
    """Draw sex, age (in 2022), traits and the number of encounters."""
    count = BLOCK_PATIENTS
    number = np.arange(block * count + 1, (block + 1) * count + 1, dtype=np.int64)
    sex = np.searchsorted(np.cumsum([0.525, 0.472]), random.random(count)).astype(np.int64)
    child = random.random(count) < 0.14
    age = np.where(child, random.uniform(-3, 18, count), np.clip(random.normal(57, 19, count), 16, 101))
    old = np.clip((age - 20) / 60, 0, 1)
    chance = np.outer([0.24, 0.45, 0.12, 0.13, 0.11], old) + np.array([[0.02], [0.01], [0.07], [0.01], [0.01]])
    ill = random.random(chance.shape) < chance
    frequent = random.random(count) < np.where(ill[3], 0.03, 0.002)
    traits = np.stack([np.ones(count, bool), *ill, frequent], axis=1)
    traits[frequent, TRAITS.index("kidney")] = True
    rate = random.gamma(0.9, 1.35 + 0.8 * ill.sum(axis=0))
    visits = 1 + random.poisson(rate)
    visits = np.where(frequent, 40 + random.geometric(1 / 25, count), visits)
    heaviest = number == HEAVIEST_PATIENT
    traits[heaviest] = True
    visits = np.where(heaviest, 360 + random.poisson(40, count), visits).astype(np.int64)
    return _People(number, sex, age, traits, visits)


def _choose(random: np.random.Generator, weights: Floats) -> Integers:
    """Draw one column for each row, in proportion to non-negative weights of shape (rows, columns)."""
    ends = np.cumsum(weights, axis=1)
    points = random.random(len(ends)) * ends[:, -1]
    chosen: Integers = np.minimum((ends <= points[:, None]).sum(axis=1), weights.shape[1] - 1)
    return chosen


def _diagnoses(random: np.random.Generator, age: Floats, sex: Integers, traits: Flags) -> Integers:
    """Draw the index into `CONDITIONS` of each encounter, given age, sex and traits."""
    typical = np.array([c.age for c in CONDITIONS])
    spread = np.array([c.spread for c in CONDITIONS])
    weights = np.exp(-0.5 * ((age[:, None] - typical) / spread) ** 2) * np.array([c.weight for c in CONDITIONS])
    for code, letter in ((FEMALE, "M"), (MALE, "F")):
        weights[np.ix_(sex == code, [c.sex == letter for c in CONDITIONS])] = 0.0
    for index, trait in enumerate(TRAITS[1:], start=1):
        own = np.array([c.trait == trait for c in CONDITIONS])
        rare, often = (0.0, 400.0) if trait == "dialysis" else (0.08, 3.0)
        weights[:, own] *= np.where(traits[:, index], often, rare)[:, None]
    weights[:, [c.code == "R53" for c in CONDITIONS]] += 1e-9
    return _choose(random, weights)


def _calendar(
    random: np.random.Generator, visits: Integers, stay: Integers, frail: Floats, planned: Flags
) -> tuple[Integers, Flags]:
    """Draw admission days, in order for each patient, and whether the next one is within 30 days after the discharge.

    A longer stay and more traits make an early return more likely. A planned return is not a readmission.
    """
    first = np.repeat(np.cumsum(visits) - visits, visits)
    many = np.repeat(visits, visits)
    early = random.random(len(stay)) < 1 / (1 + np.exp(2.2 - 0.09 * np.minimum(stay, 25) - 0.45 * frail))
    late = np.where(many < 20, 31, 1) + random.exponential(1, len(stay)) * np.minimum(300, 1600 / many)
    gap = np.where(early, random.integers(1, 31, len(stay)), late.astype(np.int64))
    until = np.cumsum(stay + gap) - (stay + gap)
    offset = until - until[first]
    last = np.append(first[1:] != first[:-1], True)
    span = np.repeat(offset[last], visits)
    offset = np.where(span >= DAYS, offset * (DAYS - 1) // np.maximum(span, 1), offset)
    start = np.repeat(random.random(len(visits)), visits) * np.maximum(DAYS - 1 - span, 0)
    admitted = FIRST_DAY + start.astype(np.int64) + offset
    following = np.where(last, 0, np.roll(admitted, -1)) - admitted - stay
    return admitted, ~last & (following <= 30) & ~np.roll(planned, -1)


def _discharges(random: np.random.Generator, age: Floats, stay: Integers, urgent: Flags, last: Flags) -> Integers:
    """Draw the index into `DISCHARGES`. Only a last encounter ends in death."""
    old = np.clip((age - 50) / 40, 0, 1.2)
    long = np.minimum(stay / 10, 2.5)
    none = np.zeros(len(age))
    weights = np.stack(
        [
            none + 10,
            0.3 + 1.2 * old * (1 + long),
            0.05 + 1.6 * old * long,
            0.05 + 0.7 * long,
            none + 0.25,
            none + 0.12,
            np.where(last, 0.03 + old * (0.2 + 0.5 * urgent) * (1 + long), 0),
            none + 0.12,
        ],
        axis=1,
    )
    return _choose(random, weights)


def _insurances(random: np.random.Generator, age: Floats) -> Integers:
    """Draw the index into `INSURANCES`: old people have Medicare, young people have Medicaid or a private insurer."""
    old, young = age >= 65, age < 19
    none = np.zeros(len(age))
    weights = np.stack(
        [
            np.where(old, 12.0, 0.7),
            np.where(young, 5.0, 2.0),
            np.where(old, 2.0, 7.0),
            np.where(old, 0.1, 0.8),
            none + 0.5,
            none + 0.35,
        ],
        axis=1,
    )
    return _choose(random, weights)


def _hit(random: np.random.Generator, count: int, share: float | Floats) -> Flags:
    return random.random(count) < share


def _texts(values: Sequence[str], codes: Integers, null: Flags) -> pa.Array:
    return pa.array(list(values)).take(pa.array(codes, mask=null))


def _lab(random: np.random.Generator, values: Floats, digits: int, null: Flags | Floats) -> pa.Array:
    """Return a laboratory column: rounded, with gaps, sentinels, NaN and misplaced decimal points."""
    count = len(values)
    found = np.round(values, digits)
    found[_hit(random, count, 0.002)] *= 10
    found[_hit(random, count, 0.012)] = SENTINEL
    found[_hit(random, count, 0.001)] = np.nan
    return pa.array(np.round(found, digits), mask=np.asarray(null, dtype=bool), from_pandas=False)


def block_rows(seed: int, block: int, patients: int) -> pa.RecordBatch:
    """Return the encounters of one block's patients. Patients with a number above `patients` are left out."""
    random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, block])))
    people = _people(random, block)
    visits = people.visits
    rows = int(visits.sum())
    who = np.repeat(np.arange(len(visits)), visits)
    sex, traits, frail = people.sex[who], people.traits[who], people.traits[who, 1:6].sum(axis=1).astype(np.float64)
    # Here the age does not change with the calendar: a few years do not change a patient's conditions.
    age = np.maximum(people.age[who], 0)
    condition = _diagnoses(random, age, sex, traits)
    mean_stay = np.array([c.stay for c in CONDITIONS])[condition]
    stay = np.minimum(random.gamma(1.6, mean_stay * (1 + np.clip(age - 50, -20, 40) / 90) / 1.6), 150).astype(np.int64)
    planned = np.array([c.trait == "dialysis" for c in CONDITIONS])[condition]
    admitted, returned = _calendar(random, visits, stay, frail, planned)
    last = np.append(who[1:] != who[:-1], True)
    year = admitted.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64) + 1970
    born = np.minimum(np.floor(2022 - people.age).astype(np.int64)[who], year[np.cumsum(visits) - visits][who])

    emergency = _hit(random, rows, np.array([c.emergency for c in CONDITIONS])[condition])
    admission = np.where(emergency, np.where(_hit(random, rows, 0.88), 0, 3), np.where(_hit(random, rows, 0.3), 1, 2))
    usual = np.array([c.department for c in CONDITIONS])[condition]
    elsewhere = np.where(emergency & (stay == 0), _EMERGENCY, _GENERAL)
    adult_ward = ~np.isin(usual, [DEPARTMENTS.index("Obstetrics"), DEPARTMENTS.index("Pediatrics")])
    department = np.where(adult_ward & _hit(random, rows, 0.13), elsewhere, usual)
    discharge = _discharges(random, age, stay, emergency, last)
    insurance = _insurances(random, age)[np.cumsum(visits) - visits][who]

    diabetic, kidney = traits[:, TRAITS.index("diabetes")], traits[:, TRAITS.index("kidney")]
    pressure = 98 + 0.42 * np.minimum(age, 85) + 11 * traits[:, TRAITS.index("heart")] + random.normal(0, 12, rows)
    sugar = np.where(diabetic, random.gamma(9, 0.28, rows) + 5.4, random.normal(5.35, 0.3, rows))
    coded = np.isin(condition, [index for index, c in enumerate(CONDITIONS) if c.code in ("E10", "E11", "E13")])
    creatinine = np.exp(random.normal(-0.2, 0.22, rows) + 0.18 * (sex == MALE) + 0.95 * kidney + 0.004 * (age - 50))

    day = np.where(_hit(random, rows, 0.001), FUTURE_DAY, admitted)
    day = np.where(_hit(random, rows, 0.002), NO_DAY, day)
    born = np.where(_hit(random, rows, 0.001), 1066, born)
    shown_sex = np.where(_hit(random, rows, 0.006), SEXES.index("?"), sex)
    shown_stay = np.where(_hit(random, rows, 0.0008), 9999, np.where(_hit(random, rows, 0.006), SENTINEL, stay))
    wards, codes = [*DEPARTMENTS, *MISSPELT], [*(c.code for c in CONDITIONS), *MISCODED]
    department = np.where(
        _hit(random, rows, 0.005), len(DEPARTMENTS) + random.integers(0, len(MISSPELT), rows), department
    )
    shown = np.where(_hit(random, rows, 0.006), len(CONDITIONS) + random.integers(0, len(MISCODED), rows), condition)
    names = pa.array([f"P{number:07d}" for number in people.number.tolist()])
    columns = {
        "patient_id": names.take(pa.array(who, mask=_hit(random, rows, 0.002))),
        "encounter_id": pa.array(FIRST_ENCOUNTER_ID + block * BLOCK_IDS + np.arange(rows, dtype=np.int64)),
        "sex": _texts(SEXES, shown_sex, _hit(random, rows, 0.002)),
        "birth_year": pa.array(born.astype(np.int32), mask=_hit(random, rows, 0.004)),
        "admit_date": pa.array(day.astype(np.int32), mask=_hit(random, rows, 0.001)).cast(pa.date32()),
        "department": _texts(wards, department, _hit(random, rows, 0.003)),
        "admission_type": _texts(ADMISSIONS, admission, _hit(random, rows, 0.01)),
        "diagnosis": _texts(codes, shown, _hit(random, rows, 0.008)),
        "length_of_stay": pa.array(shown_stay.astype(np.int32), mask=_hit(random, rows, 0.003)),
        "systolic_bp": _lab(random, pressure, 1, _hit(random, rows, 0.1)),
        "hba1c": _lab(random, sugar, 1, _hit(random, rows, np.where(coded, 0.08, np.where(diabetic, 0.45, 0.88)))),
        "creatinine": _lab(random, creatinine, 2, _hit(random, rows, np.where(kidney, 0.1, 0.4))),
        "emergency": pa.array(emergency, mask=_hit(random, rows, 0.005)),
        "insurance": _texts(INSURANCES, insurance, _hit(random, rows, 0.01)),
        "discharge": _texts(DISCHARGES, discharge, _hit(random, rows, 0.005)),
        "readmitted_30d": pa.array(returned, mask=_hit(random, rows, 0.002)),
    }
    batch = pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
    kept = max(0, min(patients - block * BLOCK_PATIENTS, BLOCK_PATIENTS))
    return batch.slice(0, int(visits[:kept].sum()))


def encounters(seed: int, patients: int) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return a function for `mapInArrow`. Its input is block numbers, its output the encounters of each block."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for block in batch.column(0).to_pylist():
                yield block_rows(seed, block, patients)

    return run
