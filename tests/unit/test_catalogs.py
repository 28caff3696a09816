"""What a catalog is told about a release, as statements."""

from __future__ import annotations

from typing import Any

import pytest

from synthward.errors import UsageError
from synthward.governance.acts import recipient_fault
from synthward.release import catalogs
from synthward.release.catalogs import SAYS_SYNTHETIC, Paths, SparkCatalog, Unity, catalog_for, execute, literal
from synthward.release.names import LINEAGE
from synthward.store.places import TableRef, Zone

TABLE = TableRef(parts=("main", "released", "visits__r1"))
VIEW = TableRef(parts=("main", "released", "visits__r1_for_readers"))


def test_unity_catalog_grants_what_a_reader_needs_and_no_more() -> None:
    assert Unity().grant(TABLE, "heart study") == [
        "GRANT USE CATALOG ON CATALOG `main` TO `heart study`",
        "GRANT USE SCHEMA ON SCHEMA `main`.`released` TO `heart study`",
        "GRANT SELECT ON TABLE `main`.`released`.`visits__r1` TO `heart study`",
    ]
    assert Unity().revoke(TABLE, "heart study") == [
        "REVOKE SELECT ON TABLE `main`.`released`.`visits__r1` FROM `heart study`"
    ]


def test_unity_catalog_marks_the_table() -> None:
    assert Unity().describe(TABLE, f"{SAYS_SYNTHETIC} Release r1.", {"synthetic": "true", "tier": "T2"}) == [
        f"COMMENT ON TABLE `main`.`released`.`visits__r1` IS '{SAYS_SYNTHETIC} Release r1.'",
        "ALTER TABLE `main`.`released`.`visits__r1` SET TAGS ('synthetic' = 'true', 'tier' = 'T2')",
    ]


@pytest.mark.parametrize("catalog", [SparkCatalog(), Unity()])
def test_a_reader_view_hides_lineage_and_still_says_what_it_is(catalog: SparkCatalog) -> None:
    [statement] = catalog.view(TABLE, VIEW, ["sex", "a`b", *LINEAGE], SAYS_SYNTHETIC)
    assert statement == (
        f"CREATE VIEW IF NOT EXISTS `main`.`released`.`visits__r1_for_readers` (`sex` COMMENT '{SAYS_SYNTHETIC}', "
        f"`a``b`) COMMENT '{SAYS_SYNTHETIC}' TBLPROPERTIES ('synthward.synthetic' = 'true') "
        "AS SELECT `sex`, `a``b` FROM `main`.`released`.`visits__r1`"
    )
    assert catalog.drop_view(VIEW) == ["DROP VIEW IF EXISTS `main`.`released`.`visits__r1_for_readers`"]


def test_open_source_spark_has_no_grants_and_paths_have_nothing() -> None:
    assert SparkCatalog().grant(TABLE, "analysts") == SparkCatalog().revoke(TABLE, "analysts") == []
    assert Paths().grant(TABLE, "analysts") == Paths().describe(TABLE, "text", {}) == []
    with pytest.raises(UsageError, match="a view needs a catalog"):
        Paths().view(TABLE, VIEW, ["sex"], "text")


@pytest.mark.parametrize("text", ["o'clock", "back\\slash"])
def test_a_text_that_could_end_a_literal_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not allowed"):
        literal(text)


@pytest.mark.parametrize("name", ["", " ", "a`b", "two\nlines", "x" * 201])
def test_a_recipient_that_could_end_a_name_is_refused(name: str) -> None:
    assert recipient_fault(name) is not None
    assert recipient_fault("data-science@clinic.example") is None


@pytest.mark.parametrize(
    ("zone", "kind", "databricks", "found"),
    [
        ("/data/releases", "auto", False, "paths"),
        ("/data/releases", "paths", True, "paths"),
        ("main.released", "auto", False, "hive"),
        ("main.released", "auto", True, "unity"),
        ("main.released", "hive", True, "hive"),
        ("main.released", "unity", False, "unity"),
    ],
)
def test_the_adapter_follows_from_zone_site_and_session(
    monkeypatch: pytest.MonkeyPatch, zone: str, kind: Any, databricks: bool, found: str
) -> None:
    monkeypatch.setattr(catalogs, "is_databricks", lambda _: databricks)
    assert catalog_for(None, Zone(zone), kind).kind == found  # type: ignore[arg-type]


@pytest.mark.parametrize(("zone", "kind"), [("/data/releases", "unity"), ("main.released", "paths")])
def test_a_catalog_that_does_not_fit_the_zone_is_refused(zone: str, kind: Any) -> None:
    with pytest.raises(UsageError, match="does not fit the release zone"):
        catalog_for(None, Zone(zone), kind)  # type: ignore[arg-type]


def test_statements_run_in_order() -> None:
    said: list[str] = []

    class Session:
        def sql(self, text: str) -> Any:
            said.append(text)
            return self

        def collect(self) -> list[Any]:
            return []

    execute(Session(), ["ONE", "TWO"])  # type: ignore[arg-type]
    assert said == ["ONE", "TWO"]
