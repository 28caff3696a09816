"""Small inputs that once went wrong, each run as a user would: it ends well, or is refused before the charge.

The inputs are not part of the project: SYNTHWARD_CASES names their folder (default: `shared/cases` beside the project).
What is wrong in each of them has tests of its own kind as well; these runs are the last look at the whole.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pyspark.sql import SparkSession

from synthward.api import Release, Ward, open_ward
from synthward.domain.spec import Categorical, load_domain
from synthward.errors import ConfigError, GateFailed, SynthwardError
from trial import population

ROOT = Path(__file__).resolve().parents[2]
SCOPE = "lab"

Seen = Callable[[pd.DataFrame], bool]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def cases() -> Path:
    path = Path(os.environ.get("SYNTHWARD_CASES", ROOT.parent / "shared" / "cases"))
    if not path.is_dir():
        pytest.skip(f"no cases at {path}; set SYNTHWARD_CASES to their directory")
    return path


def share(column: str, *values: object) -> Callable[[pd.DataFrame], float]:
    return lambda rows: float(rows[column].isin(values).mean())


def within(column: str, low: float, high: float) -> Seen:
    return lambda rows: bool(rows[column].dropna().between(low, high).all())


PUBLISHED: dict[str, Seen] = {
    # The bounds as FLOAT holds them.
    "01-float-bounds": within("crp", float(np.float32(0.7)), float(np.float32(30.1))),
    # A quarter of the source has none.
    "03-categories-as-double": lambda rows: 0.7 < share("race", 1.0, 2.0, 3.0)(rows) < 0.8,
    "04-nanos-unrequested": lambda rows: len(rows) > 0,
    "05-millis-infinity": lambda rows: len(rows) > 0,
    "06-foreign-key-double": lambda rows: share("sex", "F", "M")(rows) > 0.9,
    "07-csv-column-order": lambda rows: bool((rows["systolic"].median() > 120) and (rows["diastolic"].median() < 110)),
    "12-utf16": lambda rows: share("x", "F", "M")(rows) > 0.9,
    "13-path-0": lambda rows: len(rows) > 0,
    "14-int-then-double": lambda rows: share("x", "F", "M")(rows) > 0.9,
    "14d-int-width": within("n", 0, 9),
    "15-char": lambda rows: share(str(rows.columns[0]), "F", "M")(rows) > 0.9,
}
"""What a published release must look like."""

REFUSED = {
    "02-tinyint-wide-bounds": "age",
    "03d-yes-no-on-boolean": "flag",
    "03f-leading-zeros-on-int": "column 'loc'",
    "13h-file-starts-with-underscore": "begin with",
    "16z-0": "America/Coyhaique",
    "17-release-types": "resolution",
    "18-column-named-_row": "_row",
}
"""What the refusal names; nothing is charged."""

OUT_OF_DOMAIN = ("08-excel-serial-date", "09-number-suffix")
"""What is no value of its column is counted as out of the domain, and the gate says so."""


ORDER = "    after: admitted\n    within: [0, 730]\n"
"""What the domain of case 20 declares of `discharged`, its last attribute."""

CODEBOOKS = {
    "semicolon.csv": "semicolon.csv:1: holds ';'",
    "noheader.csv": "noheader.csv:1: the first line",
}
"""Code books of case 22 that are refused, and how the message begins."""


def run(spark: SparkSession, case: Path, folder: Path, wards: list[Ward], declared: str = "") -> Release:
    """Runs a copy of the case: its budget opened for the people of its request, and the request approved.

    Args:
        spark: Session.
        case: Folder of the case.
        folder: Where the copy lies.
        wards: Gets the copy's ward.
        declared: Lines that are added to the copy's domain.
    """
    shutil.copytree(case, folder, copy_function=shutil.copyfile)
    if declared:
        domain = folder / "domain.yaml"
        domain.write_text(domain.read_text().rstrip("\n") + "\n" + declared)
    ward = open_ward(spark, folder / "site.yaml")
    wards.append(ward)
    request = ward.request(folder / "request.yaml")
    ward.open_population(ward.population(population(request, epsilon="100000")), by="op")
    ward.approve(request, by="kim", role="data_steward")
    return ward.run(request)


def charges(wards: list[Ward]) -> int:
    return sum(len(ward.ledger.state(SCOPE).charges) for ward in wards)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_case_is_published(spark: SparkSession, cases: Path, tmp_path: Path, name: str) -> None:
    wards: list[Ward] = []
    release = run(spark, cases / name, tmp_path / "site", wards)
    rows = spark.sql(f"SELECT * FROM delta.`{release.table}`").toPandas()
    assert PUBLISHED[name](rows)
    assert charges(wards) == 1


@pytest.mark.parametrize("name", REFUSED)
def test_a_case_is_refused_before_the_charge(spark: SparkSession, cases: Path, tmp_path: Path, name: str) -> None:
    wards: list[Ward] = []
    with pytest.raises(SynthwardError) as refused:
        run(spark, cases / name, tmp_path / "site", wards)
    assert REFUSED[name] in str(refused.value)
    assert not isinstance(refused.value, GateFailed)
    assert charges(wards) == 0


@pytest.mark.parametrize("name", OUT_OF_DOMAIN)
def test_what_is_no_value_is_out_of_the_domain(spark: SparkSession, cases: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(GateFailed, match="out of domain"):
        run(spark, cases / name, tmp_path / "site", [])


def test_no_discharge_is_before_its_admission(spark: SparkSession, cases: Path, tmp_path: Path) -> None:
    name = "20-discharge-before-admission"
    wards: list[Ward] = []
    release = run(spark, cases / name, tmp_path / "site", wards, ORDER)
    rows = spark.sql(f"SELECT admitted, discharged FROM delta.`{release.table}`").toPandas()
    both = rows.dropna().apply(pd.to_datetime)
    assert len(both) > 0.9 * len(rows)
    assert (both["discharged"] >= both["admitted"]).all()
    assert not (rows["admitted"].isna() & rows["discharged"].notna()).any()
    assert charges(wards) == 1


def codebook_domain(cases: Path, folder: Path, name: str, column: str = "") -> Path:
    """A copy of case 22 whose domain names another code book, on line 4."""
    shutil.copytree(cases / "22-codebooks", folder, copy_function=shutil.copyfile)
    path = folder / "domain.yaml"
    path.write_text(
        f"version: 1\ntitle: t\nattributes:\n  dx: {{type: categorical, codebook: {name}, {column}other: Other}}\n"
    )
    return path


@pytest.mark.parametrize("column", ["", "codebook_column: code, "])
def test_a_byte_order_mark_is_no_part_of_a_code_book(cases: Path, tmp_path: Path, column: str) -> None:
    domain = load_domain(codebook_domain(cases, tmp_path / "case", "bom.csv", column))
    attribute = domain.attributes["dx"]
    assert isinstance(attribute, Categorical)
    assert attribute.values == ("A00", "A01")


@pytest.mark.parametrize("name", CODEBOOKS)
def test_an_unclear_code_book_is_refused_at_the_line_of_its_key(cases: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_domain(codebook_domain(cases, tmp_path / "case", name))
    [problem] = refused.value.problems
    assert CODEBOOKS[name] in problem.message
    assert problem.line == 4


def test_a_domain_in_another_encoding_is_refused(cases: Path) -> None:
    with pytest.raises(ConfigError, match="UTF-8"):
        load_domain(cases / "22-codebooks" / "u16.yaml")
