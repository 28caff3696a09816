"""The shipped JSON Schemas agree with the classes and with the loader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import jsonschema
import pytest
import yaml

import synthward.config
from synthward.cli import schemas
from synthward.config.loader import bind
from synthward.config.schema import DRAFT, shipped
from synthward.errors import ConfigError
from synthward.run.documents import KINDS

ROOT = Path(__file__).parents[2]

REQUEST = """\
version: 1
title: Readmission prototype
requester: {name: ada, role: data_engineer}
purpose: {code: prototyping, text: Try the pipeline., ticket: EHR-123}
audience: team
expires: 2027-06-30
source: {path: data/x.csv, format: csv, csv: {delimiter: ;, records: one_per_line}}
patient:
  key: patient_nbr
  id: {pattern: "[0-9]{1,9}"}
  max_rows_per_patient: 4
  path:
    - {source: {format: csv, path: adm.csv, csv: {records: one_per_line}}, on: {hadm_id: hadm_id}}
population: {scope: diabetes130, declared_patients: 70000, declared_rows: 100000}
domain: ../domains/diabetes130.yaml
columns: [race, gender, 00845]
privacy: {mechanism: gaussian, epsilon: 1.0, delta: 1e-9}
output: {name: diabetes130_synthetic, rows: 100000, keys: fresh, key_columns: [encounter_id]}
utility: {max_out_of_domain_share: 0.2, max_mean_tvd: null}
"""

POPULATION = """\
version: 1
scope: diabetes130
title: Inpatients
key: patient_nbr
id: {pattern: "[0-9]{1,9}", not: ["0", UNKNOWN]}
declared_patients: 70000
budget: {epsilon: 4, delta: 1e-9}
sources:
  - source: {format: csv, path: data/x.csv}
    declared_rows: 100000
    path:
      - {source: {format: csv, path: adm.csv}, on: {hadm_id: hadm_id}}
excluded: {source: {table: main.ehr.opt_outs, table_id: 0f8fad5b-d9cb-469f-a165-70867728950e}, key: patient_nbr}
"""

DOMAIN = """\
version: 1
attributes:
  race: {type: categorical, values: [A, B, 3, No]}
  age: {type: numeric, bounds: [0, 120], integer: true}
  seen: {type: date, bounds: [1999-01-01, 2008-12-31], granularity: month}
"""


REPAIR = """\
version: 1
run: 0123456789abcdef0123456789abcdef
reason: The table could not be written.
output: {name: mended, rows: 1000, types: declared, where: {race: {A: 0.5, B: 0.5}}}
"""

RISK = """\
version: 1
context: a folder
recipients: [{group: team, motive: none, capacity: low, auxiliary: none}]
columns: {age: [quasi_identifier], sex: []}
attacks: [membership]
residual: little
override: {tier: T1, reason: stays inside}
"""

ROSTER = f"""\
version: 1
name: Demo people
edition: 1
persons:
  lee:
    name: Lee Demo
    roles: [{{role: privacy_officer, first: 2026-01-01}}]
    keys: [{{public: {"ab" * 32}, first: 2026-01-01, last: 2026-12-31}}]
  mo: {{name: Mo Demo}}
delegations:
  - {{giver: lee, receiver: mo, role: privacy_officer, first: 2026-02-01, last: 2026-02-07, reason: leave}}
"""


def samples() -> dict[str, str]:
    site, policy = ((ROOT / "conf" / f"{name}.yaml").read_text(encoding="utf-8") for name in ("site", "policy"))
    return {
        "site": site,
        "policy": policy,
        "request": REQUEST,
        "domain": DOMAIN,
        "population": POPULATION,
        "repair": REPAIR,
        "roster": ROSTER,
        "risk": RISK,
    }


class Editor(yaml.SafeLoader):
    """YAML as editors read it: only true and false are booleans, so the key `on` is a text."""

    yaml_implicit_resolvers: ClassVar[Any] = {
        first: [(tag, pattern) for tag, pattern in pairs if first in "tf" or not tag.endswith(":bool")]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def as_json(text: str) -> Any:
    """What a validator sees: dates are texts."""
    return json.loads(json.dumps(yaml.load(text, Loader=Editor), default=lambda day: day.isoformat()))  # noqa: S506


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(json.loads(shipped(name)))


def test_shipped_schemas_are_up_to_date() -> None:
    folder = Path(synthward.config.__path__[0]) / "schemas"
    assert schemas.stale(folder) == [], "run: python -m synthward.cli.schemas"
    assert sorted(path.name for path in folder.glob("*.json")) == [f"{name}.json" for name in sorted(KINDS)]
    assert schemas.main(["--check"]) == 0


def test_missing_and_old_schemas_are_noticed(tmp_path: Path) -> None:
    found = schemas.stale(tmp_path)
    assert found == ["domain", "population", "policy", "repair", "request", "risk", "roster", "site"]
    for name, text in schemas.schemas().items():
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    (tmp_path / "site.json").write_text("{}", encoding="utf-8")
    assert schemas.stale(tmp_path) == ["site"]


@pytest.mark.parametrize("name", sorted(KINDS))
def test_schemas_are_valid_and_accept_what_the_loader_accepts(name: str) -> None:
    schema = json.loads(shipped(name))
    assert schema["$schema"] == DRAFT
    jsonschema.Draft202012Validator.check_schema(schema)
    text = samples()[name]
    bind(text, KINDS[name].document)
    validator(name).validate(as_json(text))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("request", "audience: team", "audience: friends"),
        ("request", "title: Readmission prototype", "titel: x"),
        ("request", "max_rows_per_patient: 4", "max_rows_per_patient: 4000"),
        ("request", "scope: diabetes130", "scope: Diabetes 130"),
        ("request", "epsilon: 1.0", "epsilon: 0"),
        ("request", "version: 1", "version: 2"),
        ("request", "rows: 100000", "rows: many"),
        ("request", "columns: [race, gender, 00845]", "columns: race"),
        ("site", "publish: clone", "publish: move"),
        ("site", "name: Local demonstration", "nome: x"),
        ("policy", "max_request_days: 400", "max_request_days: 0"),
        ("policy", "audiences: [enclave]", "audiences: [everybody]"),
        ("domain", "type: numeric", "type: number"),
        ("domain", "bounds: [0, 120]", "bounds: [0]"),
        ("repair", "run: 0123456789abcdef0123456789abcdef", "run: mine"),
        ("repair", "types: declared", "types: any"),
    ],
)
def test_schemas_refuse_what_the_loader_refuses(name: str, old: str, new: str) -> None:
    text = samples()[name].replace(old, new, 1)
    assert text != samples()[name]
    with pytest.raises(ConfigError):
        bind(text, KINDS[name].document)
    assert not validator(name).is_valid(as_json(text))


def test_every_key_is_documented() -> None:
    def undocumented(schema: Any, path: str) -> list[str]:
        found = []
        for name, value in schema.get("properties", {}).items():
            if "description" not in value and "const" not in value:
                found.append(f"{path}.{name}")
        for name, definition in schema.get("$defs", {}).items():
            found += undocumented(definition, f"{path}.{name}")
        return found

    assert [entry for name in KINDS for entry in undocumented(json.loads(shipped(name)), name)] == []


def test_defaults_are_stated() -> None:
    request = json.loads(shipped("request"))
    assert request["$defs"]["Output"]["properties"]["keys"]["default"] == "omit"
    assert request["$defs"]["Privacy"]["properties"]["delta"]["default"] == "0"
