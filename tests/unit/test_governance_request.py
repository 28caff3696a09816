"""The request file: rules between its keys, resolution, digest."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from synthward.config.loader import bind
from synthward.errors import ConfigError
from synthward.spec.request import CsvOptions, Request, Synthesizer
from synthward.spec.request_file import load_request, request_digest

REQUEST = """\
version: 1
title: Readmission prototype
requester: {name: ada, role: data_engineer}
purpose: {code: prototyping, text: Try the pipeline, ticket: EHR-123}
audience: team
expires: 2027-06-30
source:
  format: csv
  path: data/x.csv
  csv: {records: one_per_line}
patient:
  key: patient_nbr
  max_rows_per_patient: 4
population: {scope: diabetes130, declared_patients: 70000, declared_rows: 100000}
domain: ../domains/diabetes130.yaml
columns:
  - race
  - gender
privacy: {mechanism: laplace, epsilon: 1.0}
output: {name: diabetes130_synthetic, rows: 100000}
utility: {max_out_of_domain_share: 0.2}
"""

DOMAIN = """\
version: 1
attributes:
  race: {type: categorical, values: [A, B]}
  gender: {type: categorical, values: [F, M]}
"""


def edited(*changes: tuple[str, str]) -> str:
    text = REQUEST
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def write(folder: Path, request: str = REQUEST, domain: str = DOMAIN) -> Path:
    for name, text in (("requests/r.yaml", request), ("domains/diabetes130.yaml", domain)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "requests" / "r.yaml"


def test_defaults() -> None:
    request = bind(REQUEST, Request)
    assert request.patient.unit == "patient"
    assert request.privacy.delta == Decimal(0)
    assert request.source.snapshot == "pin"
    assert request.source.csv_options == CsvOptions(
        delimiter=",",
        quote='"',
        escape='"',
        encoding="UTF-8",
        header=True,
        names=(),
        records="one_per_line",
        multiline=False,
    )
    assert request.synthesizer == Synthesizer(name="moments")
    assert (request.output.keys, request.output.key_columns, request.output.sampling_seed) == ("omit", (), 1)
    assert request.utility.max_mean_tvd is None


def test_a_foreign_key_path_and_fresh_keys() -> None:
    path = (
        "\n  path:\n    - {source: {path: adm.csv, format: csv, csv: {records: one_per_line}}, on: {hadm_id: HADM_ID}}"
    )
    request = bind(
        edited(
            ("max_rows_per_patient: 4", "max_rows_per_patient: 4" + path),
            ("rows: 100000}\nu", "rows: 100000, keys: fresh, key_columns: [encounter_id]}\nu"),
        ),
        Request,
    )
    [step] = request.patient.path
    assert step.on == {"hadm_id": "HADM_ID"}
    assert request.linking_columns == {"patient_nbr", "hadm_id", "encounter_id"}


LIST = "s: 100000, excluded: {source: {path: out.csv, format: csv}, key: pid}}\nd"
STEP = "max_rows_per_patient: 4\n  path:\n    - {source: {path: a.csv, format: csv}, on: {hadm_id: ADM}}"


def test_every_csv_source_makes_its_exporters_promise_a_part_of_the_claim() -> None:
    """Of the table, of every step of the path and of the list of opt-outs; whether the request names the key or not."""
    unsaid = edited(
        ("  csv: {records: one_per_line}\n", ""), ("max_rows_per_patient: 4", STEP), ("s: 100000}\nd", LIST)
    )
    promises = bind(unsaid, Request).promises
    assert [text.partition(":")[0] for text in promises] == [
        f"CSV source '{path}'" for path in ("data/x.csv", "a.csv", "out.csv")
    ]
    assert all("no text holds a line break" in text for text in promises)
    table = edited(("format: csv\n  path: data/x.csv\n  csv: {records: one_per_line}", "table: main.ehr.enc"))
    assert bind(table, Request).promises == ()


BAD = [
    ("no location", [("  path: data/x.csv\n", "")], 7, "source.path", "either `path` or `table`"),
    ("two locations", [("  path: data/x.csv", "  path: x\n  table: a.b")], 9, "source.path", "not both"),
    ("csv table", [("path: data/x.csv", "table: main.ehr.enc")], 8, "source.format", "delta or parquet"),
    ("csv block", [("format: csv", "format: parquet")], 10, "source.csv", "`format: csv` only"),
    ("wide delimiter", [("csv: {", "csv: {delimiter: ab, ")], 10, "source.csv.delimiter", "matches"),
    ("bad table", [("path: data/x.csv", "table: a b.c")], 9, "source.table", "matches"),
    ("line breaks", [("one_per_line", "one_per_line, multiline: true")], 10, "source.csv.multiline", "Delta table"),
    ("no names", [("one_per_line", "one_per_line, header: false")], 10, "source.csv.names", "needs the names"),
    ("needless names", [("one_per_line", "one_per_line, names: [a]")], 10, "source.csv.names", "header: false"),
    ("quote as delimiter", [("csv: {", "csv: {delimiter: '\"', ")], 10, "source.csv.delimiter", "two characters"),
    ("no key", [("  key: patient_nbr\n", "")], 11, "patient.key", "needs the column with the patient's id"),
    (
        "row with key",
        [("key: patient_nbr", "key: x\n  unit: row"), ("patient: 4", "patient: 1")],
        12,
        "patient.key",
        "unit row has no key",
    ),
    ("row with K", [("key: patient_nbr", "unit: row")], 13, "patient.max_rows_per_patient", "unit row allows 1 only"),
    ("K too small", [("patient: 4", "patient: 0")], 13, "patient.max_rows_per_patient", "1 or more"),
    ("K too large", [("patient: 4", "patient: 1024")], 13, "patient.max_rows_per_patient", "1023 or less"),
    ("empty join", [("max_rows_per_patient: 4", STEP), ("{hadm_id: ADM}", "{}")], 15, "patient.path[0].on", "pair"),
    ("scope", [("scope: diabetes130", "scope: Diabetes")], 14, "population.scope", "matches"),
    ("nobody", [("declared_patients: 70000", "declared_patients: 0")], 14, "population.declared_patients", "1 or more"),
    (
        "fewer rows than patients",
        [("declared_rows: 100000", "declared_rows: 69999")],
        14,
        "population.declared_rows",
        "below declared_patients",
    ),
    ("too many rows", [("s: 100000}\nd", "s: 99999999999}\nd")], 14, "population.declared_rows", "or less"),
    ("no columns", [("columns:\n  - race\n  - gender", "columns: []")], 16, "columns", "at least one column"),
    ("a column twice", [("- gender", "- gender\n  - Race")], 19, "columns[2]", "listed again"),
    ("the key as a column", [("- gender", "- Patient_NBR")], 18, "columns[1]", "never reproduced"),
    ("a join key", [("- gender", "- adm"), ("max_rows_per_patient: 4", STEP)], 20, "columns[1]", "never reproduced"),
    (
        "a fresh key as a column",
        [("rows: 100000}\nu", "rows: 1, keys: fresh, key_columns: [race]}\nu")],
        17,
        "columns[0]",
        "never reproduced",
    ),
    ("fresh without columns", [("rows: 100000}\nu", "rows: 1, keys: fresh}\nu")], 20, "output.key_columns", "needs"),
    (
        "omit with columns",
        [("rows: 100000}\nu", "rows: 1, key_columns: [x]}\nu")],
        20,
        "output.key_columns",
        "remove them",
    ),
    ("epsilon 0", [("epsilon: 1.0", "epsilon: 0")], 19, "privacy.epsilon", "more than 0"),
    ("epsilon infinite", [("epsilon: 1.0", "epsilon: .inf")], 19, "privacy.epsilon", "finite"),
    ("delta 1", [("laplace, epsilon: 1.0", "gaussian, epsilon: 1, delta: 1")], 19, "privacy.delta", "less than 1"),
    ("delta negative", [("epsilon: 1.0", "epsilon: 1.0, delta: -1e-9")], 19, "privacy.delta", "0 or more"),
    ("laplace with delta", [("epsilon: 1.0", "epsilon: 1.0, delta: 1e-9")], 19, "privacy.delta", "laplace is pure"),
    ("gaussian without", [("laplace", "gaussian")], 19, "privacy.delta", "gaussian needs 1E-18 or more"),
    ("delta below the unit", [("laplace,", "gaussian, delta: 1e-19,")], 19, "privacy.delta", "gaussian needs"),
    (
        "a table of many columns",
        [("utility:", "synthesizer: {name: aim, workload: [{columns: [a, b, c, d, e, f, g, h, i]}]}\nutility:")],
        21,
        "synthesizer.workload[0].columns",
        "found 9 columns, allowed are 8 together",
    ),
    ("no rows", [("rows: 100000}\nu", "rows: 0}\nu")], 20, "output.rows", "1 or more"),
    ("too many rows out", [("rows: 100000}\nu", "rows: 10000000001}\nu")], 20, "output.rows", "or less"),
    ("output name", [("name: diabetes130_synthetic", "name: a-b")], 20, "output.name", "matches"),
    ("seed", [("rows: 100000}\nu", "rows: 1, sampling_seed: -1}\nu")], 20, "output.sampling_seed", "0 or more"),
    ("share", [("share: 0.2", "share: 1.1")], 21, "utility.max_out_of_domain_share", "1 or less"),
    ("blank ticket", [("ticket: EHR-123", "ticket: ' '")], 4, "purpose.ticket", "matches"),
    ("audience", [("audience: team", "audience: teams")], 5, "audience", "did you mean 'team'?"),
    ("expires", [("expires: 2027-06-30", "expires: next year")], 6, "expires", "expected a date"),
    ("a policy of one's own", [("audience: team", "policy: mine.yaml\naudience: team")], 5, "", "unknown key"),
    ("a ledger of one's own", [("audience: team", "ledger: ./mine\naudience: team")], 5, "", "unknown key"),
]


@pytest.mark.parametrize(("changes", "line", "path", "words"), [pytest.param(*rest, id=name) for name, *rest in BAD])
def test_bad_requests(changes: list[tuple[str, str]], line: int, path: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bind(edited(*changes), Request)
    [problem] = caught.value.problems
    assert (problem.line, problem.path) == (line, path)
    assert words in problem.message


def test_unit_row_has_neither_key_nor_path() -> None:
    request = bind(edited(("key: patient_nbr", "unit: row"), ("patient: 4", "patient: 1")), Request)
    assert request.patient.key is None
    with pytest.raises(ConfigError, match="unit row has no path"):
        bind(edited(("key: patient_nbr", "unit: row"), ("max_rows_per_patient: 4", STEP)), Request)


def test_locations_resolve_against_the_folder_of_the_request(tmp_path: Path) -> None:
    file = load_request(write(tmp_path, edited(("max_rows_per_patient: 4", STEP))))
    folder = tmp_path.as_posix()
    assert file.resolved(file.request.source).path == f"{folder}/requests/data/x.csv"
    assert file.resolved(file.request.patient.path[0].source).path == f"{folder}/requests/a.csv"
    assert file.request.source.path == "data/x.csv"
    assert list(file.domain.attributes) == ["race", "gender"]
    table = load_request(
        write(
            tmp_path, edited(("format: csv\n  path: data/x.csv\n  csv: {records: one_per_line}", "table: main.ehr.enc"))
        )
    )
    assert table.resolved(table.request.source) == table.request.source
    assert table.request.source.location == "main.ehr.enc"


def test_columns_must_be_declared_in_the_domain(tmp_path: Path) -> None:
    path = write(tmp_path, edited(("- gender", "- gender\n  - weight")))
    with pytest.raises(ConfigError) as caught:
        load_request(path)
    [problem] = caught.value.problems
    assert (problem.file, problem.line, problem.path) == (path, 19, "columns[2]")
    assert "not declared in the domain" in problem.message


LEARNED = "learn: {categories: {gender: {pattern: '[A-Z]', per_patient: 1, at_most: 3}}}"


@pytest.mark.parametrize(
    ("where", "changes", "path", "message"),
    [
        ("{weight: {a: 1}}", [], "output.where.weight", "column 'weight' is not requested"),
        ("{race: {C: 1}}", [], "output.where.race", "'C' is not a declared value of column 'race'"),
        ("{race: {A: 0.5}}", [], "output.where.race", "sum to 0.5, not to 1"),
        ("{age: {41: 0.5, 42: 0.5}}", [("- gender", "- age")], "output.where.age", "lie in one bin"),
        (
            "{gender: {F: 1}}",
            [("laplace, epsilon: 1.0}", f"gaussian, epsilon: 1, delta: 1e-9}}\n{LEARNED}")],
            "output.where.gender",
            "`learn` finds out which values 'gender' has",
        ),
    ],
)
def test_wishes_must_fit_request_and_domain(
    tmp_path: Path, where: str, changes: list[tuple[str, str]], path: str, message: str
) -> None:
    text = edited(("rows: 100000}\nu", f"rows: 100000, where: {where}}}\nu"), *changes)
    domain = DOMAIN + "  age: {type: numeric, integer: true, bounds: [0, 99], bins: 10}\n"
    with pytest.raises(ConfigError) as caught:
        load_request(write(tmp_path, text, domain))
    [problem] = caught.value.problems
    assert problem.path == path
    assert text.splitlines()[(problem.line or 0) - 1].startswith("output:")
    assert message in problem.message


def test_wishes_that_fit_are_part_of_what_is_approved(tmp_path: Path) -> None:
    plain = load_request(write(tmp_path))
    wishing = load_request(write(tmp_path, edited(("100000}\nu", "100000, where: {gender: {F: 0.7, M: 0.3}}}\nu"))))
    assert wishing.request.output.where == {"gender": {"F": Decimal("0.7"), "M": Decimal("0.3")}}
    assert wishing.digest != plain.digest


def test_a_missing_domain_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, edited(("diabetes130.yaml", "none.yaml")))
    with pytest.raises(ConfigError, match=r"r\.yaml:15: domain: .*none\.yaml' no such file"):
        load_request(path)


def test_the_digest_covers_request_and_domain_and_not_their_place(tmp_path: Path) -> None:
    fixed = ("data/x.csv", "/data/x.csv")
    first = load_request(write(tmp_path / "a", edited(fixed)))
    moved = load_request(write(tmp_path / "b", "# a comment\n" + edited(fixed)))
    edit = load_request(write(tmp_path / "c", edited(fixed, ("epsilon: 1.0", "epsilon: 1.5"))))
    domain = load_request(write(tmp_path / "d", edited(fixed), domain=DOMAIN.replace("[F, M]", "[F, M, X]")))
    assert first.digest == moved.digest == request_digest(first.request, first.domain.digest, tmp_path)
    assert len({first.digest, edit.digest, domain.digest}) == 3


def test_a_relative_source_is_approved_for_its_folder(tmp_path: Path) -> None:
    """The same words in another folder are about another table."""
    assert load_request(write(tmp_path / "a")).digest != load_request(write(tmp_path / "b")).digest


def test_a_relative_table_of_the_path_is_approved_for_its_folder(tmp_path: Path) -> None:
    """The columns lie in one fixed place; the table that leads to the patient is another one in another folder."""
    text = edited(("data/x.csv", "/data/x.csv"), ("max_rows_per_patient: 4", STEP))
    here, there = (load_request(write(tmp_path / folder, text)) for folder in ("a", "b"))
    assert here.request == there.request
    assert here.digest != there.digest
    fixed = text.replace("{path: a.csv", "{path: /data/a.csv")
    assert len({load_request(write(tmp_path / folder, fixed)).digest for folder in ("a", "b")}) == 1


def test_equal_numbers_written_differently_are_one_request(tmp_path: Path) -> None:
    first = load_request(write(tmp_path))
    second = load_request(write(tmp_path, edited(("epsilon: 1.0", "epsilon: 1"))))
    assert first.digest == second.digest


def test_the_source_override_is_part_of_the_digest(tmp_path: Path) -> None:
    path = write(tmp_path)
    plain, other = load_request(path), load_request(path, source_override="data/y.csv")
    assert other.request.source.path == "data/y.csv"
    assert plain.digest != other.digest
    assert load_request(path, source_override="data/x.csv").digest == plain.digest
    assert load_request(path, source_override="s3a://b/x").resolved(other.request.source).path is not None


def test_the_source_override_replaces_like_by_like_and_is_checked(tmp_path: Path) -> None:
    path = write(
        tmp_path, edited(("format: csv\n  path: data/x.csv\n  csv: {records: one_per_line}", "table: main.ehr.enc"))
    )
    assert load_request(path, source_override="main.ehr.other").request.source.table == "main.ehr.other"
    with pytest.raises(ConfigError, match=r"source\.table: found 'a table'"):
        load_request(path, source_override="a table")
    with pytest.raises(ConfigError, match=r"source\.path"):
        load_request(write(tmp_path), source_override=" ")
