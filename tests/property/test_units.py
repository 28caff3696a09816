"""One patient more, with whatever stands in the key of the own rows, moves every answer by one patient at most."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F

from synthward.kernels.encode import UNIT
from synthward.sources.units import rows_of_units
from synthward.spec.patient_id import IdShape

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect

S, K = 2**16, 2
PAIRS = 120
SHAPE = IdShape(pattern="[0-9]{2,3}", never=("00", "999"))
NOBODY = (None, "", " ", "00", "999", "UNKNOWN", "Zo\ufffd", "1", "10\n", " 10", "1234")
OPTED_OUT = ("77", "78")

Row = tuple[int, str | None, int]


def data_sets(rng: random.Random) -> tuple[list[Row], list[str]]:
    """Pairs of data sets, 2k without and 2k + 1 with one patient more; rows (data set, key, value), and who it is."""
    rows: list[Row] = []
    who = []
    for pair in range(PAIRS):
        others = rng.sample([str(k) for k in range(10, 60)], rng.randint(0, 6))
        shared = [(key, rng.randrange(3)) for key in others for _ in range(rng.randint(1, 4))]
        shared += [(rng.choice(NOBODY), rng.randrange(3)) for _ in range(rng.randint(0, 5))]
        patient = rng.choice(["61", "62", *OPTED_OUT])
        hers = [(patient, rng.randrange(3)) for _ in range(rng.randint(1, 5))]
        # Her rows may also carry what is no id, and then belong to nobody.
        hers += [(rng.choice(NOBODY), rng.randrange(3)) for _ in range(rng.randint(0, 4))]
        rows += [(2 * pair, *row) for row in shared] + [(2 * pair + 1, *row) for row in [*shared, *hers]]
        who.append(patient)
    rng.shuffle(rows)
    return rows, who


def test_one_patient_more_moves_every_answer_by_one_patient(spark: SparkSession) -> None:
    rows, who = data_sets(random.Random(20261130))
    carried = spark.createDataFrame(rows, "ds INT, k0 STRING, c0 INT")
    listed = spark.createDataFrame([(key,) for key in OPTED_OUT], "id STRING")
    found = rows_of_units(carried, ["ds", "c0"], "pid", SHAPE, listed)
    counted = found.groupBy("ds", UNIT, "c0").agg(F.count(F.lit(1)).alias("n")).collect()
    units: dict[int, dict[bytes, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0, 0]))
    for row in counted:
        units[row["ds"]][bytes(row[UNIT])][row["c0"]] += row["n"]
    largest = {True: 0, False: 0}
    for pair, patient in enumerate(who):
        before, after = answers(units[2 * pair]), answers(units[2 * pair + 1])
        moved = sum(abs(a - b) for a, b in zip(after[1:], before[1:], strict=True))
        opted_out = patient in OPTED_OUT
        assert after[0] - before[0] == (0 if opted_out else S)
        assert moved <= K * S
        largest[opted_out] = max(largest[opted_out], moved)
    assert largest == {True: 0, False: K * S}


def answers(units: dict[bytes, list[int]]) -> list[int]:
    """The population and the marginal, re-weighted as the kernels do."""
    weights: dict[bytes, int] = {unit: S if sum(n) <= K else K * S // sum(n) for unit, n in units.items()}
    marginal: list[Any] = [sum(weights[unit] * n[value] for unit, n in units.items()) for value in range(3)]
    return [S * len(units), *marginal]
